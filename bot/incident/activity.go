package incident

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Activity is one call or action in an outside system, as a record shows it.
type Activity struct {
	At        time.Time `json:"at,omitzero"`
	Call      string    `json:"call"` // such as "iam CreateUser"
	Result    string    `json:"result,omitempty"`
	Principal string    `json:"principal,omitempty"`
	// Names are other names of the principal, such as its ARN, its user name and the name
	// of its session.
	Names     []string `json:"-"`
	AccessKey string   `json:"access_key,omitempty"`
	Address   string   `json:"address,omitempty"`
	Accounts  []string `json:"accounts,omitempty"`
	Region    string   `json:"region,omitempty"`
	UserAgent string   `json:"user_agent,omitempty"`
	EventID   string   `json:"event_id,omitempty"`
}

// Activity returns the activity that an alert names.
func (a Alert) Activity() Activity {
	out := Activity{At: a.At, Call: a.Kind, Principal: a.Principal, AccessKey: a.Tags["access_key"], Address: a.Address, Region: a.Region, EventID: a.EventID}
	if a.Account != "" {
		out.Accounts = []string{a.Account}
	}
	return out
}

// SubjectKind is the kind of a subject of a [Question].
type SubjectKind string

// The kinds of subjects.
const (
	SubjectPrincipal SubjectKind = "principal"
	SubjectKey       SubjectKind = "key"
	SubjectAddress   SubjectKind = "address"
	SubjectAccount   SubjectKind = "account"
)

// SubjectKinds returns all kinds of subjects.
func SubjectKinds() []SubjectKind {
	return []SubjectKind{SubjectPrincipal, SubjectKey, SubjectAddress, SubjectAccount}
}

// Question asks for the activity of a subject in a period.
type Question struct {
	Kind  SubjectKind `json:"kind"`
	Value string      `json:"value"`
	From  time.Time   `json:"from,omitzero"` // zero: the default period
	To    time.Time   `json:"to,omitzero"`   // zero: now
	// Incident is the incident of the channel. The default period begins before it.
	Incident ID    `json:"-"`
	Page     int   `json:"page,omitempty"`  // of the events, from 1
	Limit    int   `json:"limit,omitempty"` // events of a page
	After    int64 `json:"after,omitempty"` // the delivery after which an earlier search goes on
	Skip     int   `json:"-"`               // events that the earlier search counted
}

var (
	accessKeyID   = regexp.MustCompile(`^(?i:AKIA|ASIA|ABIA|ACCA)[A-Za-z0-9]{12,124}$`)
	accountID     = regexp.MustCompile(`^\d{12}$`)
	principalName = regexp.MustCompile(`^(arn:.+|(?i:user|role|assumed-role|federated-user|service)/.+|(AIDA|AROA)[A-Z0-9]{12,}(:.*)?|[^@\s]+@[^@\s]+|root)$`)
)

// GuessSubject returns the kind of a value that can be of only one kind.
func GuessSubject(value string) (SubjectKind, bool) {
	switch _, err := netip.ParseAddr(value); {
	case err == nil:
		return SubjectAddress, true
	case accessKeyID.MatchString(value):
		return SubjectKey, true
	case accountID.MatchString(value):
		return SubjectAccount, true
	case principalName.MatchString(value):
		return SubjectPrincipal, true
	}
	return "", false
}

// Matches reports whether an activity is one of the subject.
func (q Question) Matches(a Activity) bool {
	switch q.Kind {
	case SubjectPrincipal:
		return isNamed(a.Principal, q.Value) || slices.ContainsFunc(a.Names, func(name string) bool { return strings.EqualFold(name, q.Value) })
	case SubjectKey:
		return strings.EqualFold(a.AccessKey, q.Value)
	case SubjectAccount:
		return slices.Contains(a.Accounts, q.Value)
	case SubjectAddress:
		asked, err := netip.ParseAddr(q.Value)
		if err != nil {
			return strings.EqualFold(a.Address, q.Value)
		}
		got, err := netip.ParseAddr(a.Address)
		return err == nil && got.Unmap() == asked.Unmap()
	}
	return false
}

// isNamed reports whether a principal has a name: its ARN, or the last part of it.
func isNamed(principal, name string) bool {
	before, ok := strings.CutSuffix(strings.ToLower(principal), strings.ToLower(name))
	return ok && name != "" && (before == "" || strings.HasSuffix(before, "/") || strings.HasSuffix(before, ":"))
}

// plainRun matches characters that every encoder of JSON writes as they are.
var plainRun = regexp.MustCompile(`[A-Za-z0-9_.:@-]+`)

// minNeedle is the minimum length of a text that is worth searching.
const minNeedle = 3

// Needle returns a text that each record of the subject contains in this form, apart from
// the case of its letters, or "" if there is none. To search it is faster than to decode
// every record.
func (q Question) Needle() string {
	value := q.Value
	if q.Kind == SubjectAddress && strings.Contains(value, ":") {
		return "" // an IPv6 address has several forms
	}
	// A role has other ARNs with the same name in its sessions.
	value = value[strings.LastIndex(value, "/")+1:]
	longest := ""
	for _, run := range plainRun.FindAllString(value, -1) {
		if len(run) > len(longest) {
			longest = run
		}
	}
	if len(longest) < minNeedle {
		return ""
	}
	return strings.ToLower(longest)
}

// TrailEvent is one activity of an answer.
type TrailEvent struct {
	Activity
	Source   string `json:"source"`
	Delivery int64  `json:"delivery"`
	Alert    int64  `json:"alert,omitempty"`
	Incident ID     `json:"incident,omitempty"`
	Origin   Origin `json:"origin,omitempty"`
}

// Tally counts a value.
type Tally struct {
	Value string `json:"value"`
	Count int    `json:"count"`
}

// TrailAlert is an alert that names the subject.
type TrailAlert struct {
	AlertLine
	Incident ID `json:"incident,omitempty"`
}

// Limits of an answer.
const (
	// DefaultTrailEvents is the number of events of a page.
	DefaultTrailEvents = 20
	// MaxTrailEvents is the maximum number of events of a page.
	MaxTrailEvents = 1000
)

// Trail is the answer to a [Question], from the records that the reader may read.
type Trail struct {
	Question Question  `json:"question"` // with its period
	Count    int       `json:"count"`    // events, also those on other pages
	First    time.Time `json:"first,omitzero"`
	Last     time.Time `json:"last,omitzero"`
	// The most frequent values come first.
	Calls      []Tally `json:"calls,omitempty"` // a call with its result
	Principals []Tally `json:"principals,omitempty"`
	AccessKeys []Tally `json:"access_keys,omitempty"`
	Accounts   []Tally `json:"accounts,omitempty"`
	Regions    []Tally `json:"regions,omitempty"`
	Addresses  []Tally `json:"addresses,omitempty"`
	UserAgents []Tally `json:"user_agents,omitempty"`

	Alerts    []TrailAlert `json:"alerts,omitempty"`
	Incidents []ID         `json:"incidents,omitempty"`
	Events    []TrailEvent `json:"events"` // of the page, in the order of their times
	Pages     int          `json:"pages"`

	Deliveries int `json:"deliveries"` // that were searched
	Unread     int `json:"unread"`     // deliveries that contain the value and cannot be decoded
	// SearchedTo is the time up to which deliveries were searched. If Next is set, the search
	// ended before the end of the period, and goes on after this delivery.
	SearchedTo   time.Time `json:"searched_to"`
	Next         int64     `json:"next,omitempty"`
	AlertsAreCut bool      `json:"alerts_are_cut,omitempty"` // there can be more alerts
}
