package incident

import (
	"strings"
	"time"
)

// Severity grades an incident; sev1 is the worst.
type Severity string

// The four severities.
const (
	Sev1 Severity = "sev1"
	Sev2 Severity = "sev2"
	Sev3 Severity = "sev3"
	Sev4 Severity = "sev4"
)

// Severities lists them, the worst first.
func Severities() []Severity { return []Severity{Sev1, Sev2, Sev3, Sev4} }

// ParseSeverity reads "sev2", "SEV-2", "2" and "p2".
func ParseSeverity(s string) (Severity, error) {
	t := strings.ToLower(strings.TrimSpace(s))
	for _, prefix := range []string{"severity", "sev", "p"} {
		t = strings.TrimPrefix(t, prefix)
	}
	switch v := Severity("sev" + strings.Trim(t, "- ")); v {
	case Sev1, Sev2, Sev3, Sev4:
		return v, nil
	}
	return "", Invalid("severity", "%q is no severity; use sev1 (worst), sev2, sev3 or sev4", s)
}

// MoreSevereThan reports whether s is graver than other.
func (s Severity) MoreSevereThan(other Severity) bool { return s != "" && (other == "" || s < other) }

// Level is how loud a source shouted, normalised.
type Level string

// The levels, as Sigma names them.
const (
	LevelInformational Level = "informational"
	LevelLow           Level = "low"
	LevelMedium        Level = "medium"
	LevelHigh          Level = "high"
	LevelCritical      Level = "critical"
)

// Alert is one thing a source said, normalised. Everything in it but Source,
// Kind and Level is the sender's text and is never to be trusted.
type Alert struct {
	Source      string            `json:"source"`                // "sentry", "cloudtrail", ...
	Kind        string            `json:"kind"`                  // what sort of alert: "sentry.issue", "cloudtrail.StopLogging"
	Level       Level             `json:"level"`                 // how grave the source finds it
	Title       string            `json:"title"`                 // one line
	Detail      string            `json:"detail,omitempty"`      // what a responder reads next
	Fingerprint string            `json:"fingerprint"`           // copies of one alert share it
	Correlation string            `json:"correlation,omitempty"` // alerts of one incident share it
	EventID     string            `json:"event_id,omitempty"`    // the source's own id of this occurrence
	At          time.Time         `json:"at"`                    // when it happened, by the source's clock
	URL         string            `json:"url,omitempty"`         // where to look at the source
	Project     string            `json:"project,omitempty"`
	Release     string            `json:"release,omitempty"`
	Environment string            `json:"environment,omitempty"`
	Account     string            `json:"account,omitempty"`
	Region      string            `json:"region,omitempty"`
	Principal   string            `json:"principal,omitempty"` // who acted, as the source names them
	Address     string            `json:"address,omitempty"`   // the network address that acted
	Tags        map[string]string `json:"tags,omitempty"`
	Rule        string            `json:"rule,omitempty"`   // the detection rule that matched, with its author where the licence asks for it
	Sample      bool              `json:"sample,omitempty"` // the source says it is a drill
	Report      *VulnReport       `json:"report,omitempty"` // of an alert that a person sent
	// Lasting: it tells of a state since At. A copy says that it lasts still, not that it happened again.
	Ongoing bool `json:"ongoing,omitempty"`
}

// HeaderDrill marks a delivery that is brought once more so that all of it counts
// anew. No sender can set it.
const HeaderDrill = "Tocsin-Drill"

// HeaderRecorded marks a delivery that came out of a recording, and not by a door
// of this instance: nobody outside is told of it. No sender can set it.
const HeaderRecorded = "Tocsin-Recorded"

// Signal is what one delivery meant: an alert, or something that somebody did
// in the outside system (a PagerDuty acknowledgement is no alert).
type Signal struct {
	Row     int64    `json:"row"` // the inbox row it came in
	Alert   *Alert   `json:"alert,omitempty"`
	Command *Command `json:"command,omitempty"`
	// Subject finds the incident of a Command that does not know its id: a
	// pager's dedup key, or an alert's correlation key. The Desk resolves it.
	Subject IncidentRef `json:"subject,omitzero"`
	// Event names what happened, where the outside system does. However often it
	// comes, and by whichever door, it counts once. Empty: each delivery counts,
	// as those of a drill do (HeaderDrill).
	Event string `json:"event,omitempty"`
	// Observations are what an event means to rules about several of them.
	Observations []Observation `json:"observations,omitempty"`
}

// Observation is what one event means to one group of a rule about several
// events. Whoever made it can tell what it does to the group's window; to the
// Desk it is a step that is taken once, in the transaction that marks the row
// handled.
type Observation struct {
	Window      string       `json:"window"`      // names the rule and the group; made of digests, holds no text
	Rule        string       `json:"rule"`        // the rule's id
	At          time.Time    `json:"at"`          // when it happened; zero: when it arrived
	Event       string       `json:"event"`       // tells it from the other events of its window
	Contributor int          `json:"contributor"` // what it is to the rule, if that tells several things apart
	Value       string       `json:"value"`       // a digest of what the rule counts
	Group       []GroupField `json:"group"`
	About       *Alert       `json:"-"` // what the event is by itself
}

// GroupField is a field by which events are grouped, and its text.
type GroupField struct {
	Field  string `json:"field"`
	Value  string `json:"value"`
	Absent bool   `json:"absent,omitempty"` // the event does not have it
}

// Firing is a rule about several events that came true.
type Firing struct {
	CompletedBy int // place of the observation that completed it
	Alert       Alert
	More        []Observation // what it means to the rules that build on it
}

// IncidentRef is how an outside system names an incident.
type IncidentRef struct {
	PageKey     string `json:"page_key,omitempty"`    // "INC-42/1"
	Correlation string `json:"correlation,omitempty"` // as in Alert
	// Fingerprint is, where what is said is about one alert of the same source, that
	// alert's. A command with a key is then another one when the alert has come
	// again since: what is over, comes back and is over again is said twice.
	Fingerprint string `json:"fingerprint,omitempty"`
}

// DecodedDelivery is one inbox row and what it meant.
type DecodedDelivery struct {
	Row         int64
	Source      string
	Signals     []Signal
	Failed      string // why it could not be decoded, for a person; "" if it could
	Reprocessed bool   // it is evaluated anew: its alerts were counted the first time
}
