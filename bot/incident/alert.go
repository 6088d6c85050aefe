package incident

import (
	"strings"
	"time"
)

// Severity is the severity of an incident, from sev1, the most severe, to sev4.
type Severity string

// The four severities.
const (
	Sev1 Severity = "sev1"
	Sev2 Severity = "sev2"
	Sev3 Severity = "sev3"
	Sev4 Severity = "sev4"
)

// Severities returns all severities, the most severe first.
func Severities() []Severity { return []Severity{Sev1, Sev2, Sev3, Sev4} }

// ParseSeverity parses "sev2", "SEV-2", "2" and "p2". Its error is an [*Error].
func ParseSeverity(s string) (Severity, error) {
	t := strings.ToLower(strings.TrimSpace(s))
	for _, prefix := range []string{"severity", "sev", "p"} {
		t = strings.TrimPrefix(t, prefix)
	}
	switch v := Severity("sev" + strings.Trim(t, "- ")); v {
	case Sev1, Sev2, Sev3, Sev4:
		return v, nil
	}
	return "", Invalid("severity", "unknown severity %q. Use sev1 (most severe), sev2, sev3 or sev4", s)
}

// MoreSevereThan reports whether s is more severe than other. An empty severity
// is the least severe.
func (s Severity) MoreSevereThan(other Severity) bool { return s != "" && (other == "" || s < other) }

// Level is the normalised level of an alert.
type Level string

// The levels of Sigma.
const (
	LevelInformational Level = "informational"
	LevelLow           Level = "low"
	LevelMedium        Level = "medium"
	LevelHigh          Level = "high"
	LevelCritical      Level = "critical"
)

// Alert is one normalised signal of a source. All fields except Source, Kind and
// Level hold text of the sender and must not be trusted.
type Alert struct {
	Source      string            `json:"source"`                // "sentry", "cloudtrail", ...
	Kind        string            `json:"kind"`                  // "sentry.issue", "cloudtrail.StopLogging", ...
	Level       Level             `json:"level"`                 // level given by the source
	Title       string            `json:"title"`                 // one line
	Detail      string            `json:"detail,omitempty"`      // more lines
	Fingerprint string            `json:"fingerprint"`           // identity for deduplication
	Correlation string            `json:"correlation,omitempty"` // correlation key, groups alerts into one incident
	EventID     string            `json:"event_id,omitempty"`    // id of this occurrence at the source
	At          time.Time         `json:"at"`                    // time of the occurrence by the source's clock
	URL         string            `json:"url,omitempty"`         // page at the source
	Project     string            `json:"project,omitempty"`
	Release     string            `json:"release,omitempty"`
	Environment string            `json:"environment,omitempty"`
	Account     string            `json:"account,omitempty"`
	Region      string            `json:"region,omitempty"`
	Principal   string            `json:"principal,omitempty"` // acting identity, as named by the source
	Address     string            `json:"address,omitempty"`   // acting network address
	Tags        map[string]string `json:"tags,omitempty"`
	Rule        string            `json:"rule,omitempty"`   // detection rule that matched, with its author if the licence requires it
	Sample      bool              `json:"sample,omitempty"` // marked as a sample by the source
	Report      *VulnReport       `json:"report,omitempty"` // of a vulnerability report, otherwise nil
	// Ongoing marks an alert about a state that lasts since At. A repeat means that
	// the state still lasts, not that it began again.
	Ongoing bool `json:"ongoing,omitempty"`
	// LeftOut is the number of items of a delivery that were not read. The alert stands
	// for them.
	LeftOut int `json:"left_out,omitempty"`
	// Origin is the origin of the delivery. The inbox sets it, not the source.
	Origin Origin `json:"origin,omitempty"`
}

// Identity returns the fingerprint, or one made of the kind and the title if the
// source gave none.
func (a Alert) Identity() string {
	if a.Fingerprint != "" {
		return a.Fingerprint
	}
	return a.Kind + "\n" + a.Title
}

// AlertCount counts the alerts of one kind.
type AlertCount struct {
	Kind        string `json:"kind"`
	Alerts      int64  `json:"alerts"`      // different ones
	Occurrences int64  `json:"occurrences"` // of all of them
}

// SumAlerts returns the totals of counts.
func SumAlerts(counts []AlertCount) (total AlertCount) {
	for _, c := range counts {
		total.Alerts, total.Occurrences = total.Alerts+c.Alerts, total.Occurrences+c.Occurrences
	}
	return total
}

// Signal is one decoded part of a delivery: an alert, or a command for an action
// in the outside system, such as an acknowledgement at PagerDuty.
type Signal struct {
	Row     int64    `json:"row"` // id of the inbox row
	Alert   *Alert   `json:"alert,omitempty"`
	Command *Command `json:"command,omitempty"`
	// Subject identifies the incident of a Command without For. The Desk resolves it.
	Subject IncidentRef `json:"subject,omitzero"`
	// TestPage is the acknowledgement of a test page.
	TestPage *TestPageAck `json:"test_page,omitempty"`
	// Event is the id of the event in the outside system. An event is counted
	// once, even if it is received several times or from several endpoints. If it
	// is empty, every delivery counts.
	Event string `json:"event,omitempty"`
	// Unreadable marks an alert about a delivery, or a part of one, that cannot be read.
	// It opens an incident at the usual severity of its source, because no routing rule
	// can judge what nobody has read.
	Unreadable bool `json:"unreadable,omitempty"`
	// Observations are the event's contributions to correlation rules.
	Observations []Observation `json:"observations,omitempty"`
	// Activity is the call that the record describes, or nil if it describes none.
	Activity *Activity `json:"-"`
}

// Observation is the contribution of one event to one group of a correlation
// rule. The source that made it applies it to the window of the group. The Desk
// applies each observation once, in the transaction that marks the row handled.
type Observation struct {
	Window      string       `json:"window"`      // key of rule and group, made of digests without text
	Rule        string       `json:"rule"`        // id of the rule
	At          time.Time    `json:"at"`          // time of the event, zero means time of arrival
	Event       string       `json:"event"`       // unique in its window
	Contributor int          `json:"contributor"` // index of the contribution if the rule distinguishes several
	Value       string       `json:"value"`       // digest of the counted value
	Group       []GroupField `json:"group"`
	About       *Alert       `json:"-"` // the event as an alert
}

// GroupField is a field used to group events, with its value.
type GroupField struct {
	Field  string `json:"field"`
	Value  string `json:"value"`
	Absent bool   `json:"absent,omitempty"` // not in the event
}

// Firing is a correlation rule whose condition became true.
type Firing struct {
	CompletedBy int // index of the completing observation
	Alert       Alert
	More        []Observation // contributions to rules that build on this one
}

// IncidentRef identifies an incident by a key of an outside system.
type IncidentRef struct {
	PageKey     string `json:"page_key,omitempty"`    // "INC-42/1"
	Correlation string `json:"correlation,omitempty"` // Alert.Correlation
	// Fingerprint is the fingerprint of the alert that a command is about, if it is
	// about one alert of its source. The command's key then also depends on the
	// alert's recurrences: an alert that resolves, recurs and resolves again yields
	// two commands.
	Fingerprint string `json:"fingerprint,omitempty"`
}

// DecodedDelivery is one inbox row and its decoded signals.
type DecodedDelivery struct {
	Row         int64
	Source      string
	Origin      Origin
	Signals     []Signal
	Failed      string // reason for a decode failure, empty if decoding succeeded
	Unread      string // reason for a decode failure of some items, empty if all were decoded
	Ignored     string // reason to ignore the delivery, empty if it has an ordinary result
	Reprocessed bool   // routed again, its alerts were counted before
	PartlyRead  bool   // decoded again, because some items could not be decoded before
}
