package response

import (
	"context"
	"errors"
	"time"

	"tocsin/bot/incident"
)

// ErrCorrelated is returned by Tx.Correlate when another live incident holds
// the key; the caller reads again and attaches to that one.
var ErrCorrelated = errors.New("another live incident has this correlation key")

// ErrChanged is returned by Tx.Save when the incident moved on since it was
// read. Nothing was written; the caller reads again.
var ErrChanged = errors.New("the incident changed since it was read")

// Store is what the desk needs of a database. Everything written inside one
// Tx commits together or not at all; there is no other way to write.
type Store interface {
	// Tx runs f in one read-write transaction. An error from f rolls back and is
	// returned; serialization failures are retried, so f has no outside effects.
	// After an error nothing was written, unless it has a method
	// OutcomeUnknown() bool that says so: the answer to the commit was lost.
	Tx(ctx context.Context, f func(Tx) error) error
	// View runs f against the committed state, read only.
	View(ctx context.Context, f func(Reader) error) error
}

// Reader is what can be read. An incident that does not exist is an
// *incident.Error with CodeUnknown.
type Reader interface {
	Incident(id incident.ID) (incident.Incident, error) // in a Tx: locked for update
	Timeline(id incident.ID) ([]incident.Event, error)  // in order of Seq
	// Event returns one event of a timeline; the zero Event if it is not there.
	Event(id incident.ID, seq int) (incident.Event, error)
	Summaries(f incident.Filter) ([]incident.Summary, error)
	Directory() (incident.Directory, error)
	// Correlated returns the live incident with the first of these correlation
	// keys that one has, or 0.
	IncidentByCorrelation(keys ...string) (incident.ID, error)
	// Holders returns, of these correlation keys, those that a live incident has.
	IncidentsByCorrelation(keys []string) (map[string]incident.ID, error)
	// Ended returns the incident that was the last to have that correlation key
	// and ended, not before since, and whether it knows the alert; 0 if there is none.
	// Of an alert that tells of a lasting state it is the last one that knows it,
	// however long ago that ended, where one does.
	EndedIncident(key string, a incident.Alert, since time.Time) (id incident.ID, known bool, err error)
	// Linked returns the incident whose Links have that value under that name
	// (a Slack channel's id under LinkChannel), or 0.
	IncidentByLink(name, value string) (incident.ID, error)
	// Alerts lists the alerts of an incident with their counters; of a shelf
	// (Watched, Dropped, Maintained) the newest.
	Alerts(id incident.ID, limit int) ([]AlertRow, error)
	// AlertsAfter lists those of an incident that come after one of them, in order.
	AlertsAfter(id incident.ID, after int64, limit int) ([]AlertRow, error)
	// Alert returns one alert; one that does not exist is CodeUnknown.
	Alert(id int64) (AlertRow, error)
	// Copies counts how often an incident had an alert.
	CountOccurrences(id incident.ID, a incident.Alert) (int64, error)
	// Shelved counts the alerts of a shelf that came since, and their copies.
	CountSuppressed(shelf incident.ID, since time.Time) (kinds, copies int64, err error)
	// Delivery returns what is kept of one delivery; and the alert, incident and
	// decision that it came to.
	Delivery(row int64) (incident.StoredDelivery, DeliveryOutcome, error)
	// FirstDelivery returns the first delivery of an alert that is still kept, or 0.
	FirstDelivery(alert int64) (row int64, err error)
	// Unread lists deliveries of a source that could not be read, the newest
	// first: number, time and reason.
	UndecodableDeliveries(source string, limit int) ([]incident.StoredDelivery, error)
	// Configuration returns rules that were in force together.
	Configuration(id int64) (Configuration, error)
	// Maintenance lists the windows that end after a time, by their end.
	Maintenance(after time.Time) ([]incident.MaintenanceWindow, error)
	// Openings counts, up to limit, how often since then an alert opened an
	// incident or would have.
	CountOpenings(since time.Time, limit int) (int, error)
	// Document returns a written postmortem, unredacted.
	Document(id incident.ID, revision int) (incident.Document, error)
}

// Tx is a read-write transaction. Once, Correlate and Tally may name an
// incident whose first Save comes later in the same transaction (its number is
// from NewID), so nothing may hold them to a row that exists already.
type Tx interface {
	Reader

	// NewID takes the next incident number, without gaps among commits.
	NewID() (incident.ID, error)
	// Save writes the incident as it stands after the sealed events, which are
	// appended. It is guarded by the sequence before the first of them
	// (ErrChanged) and keeps the MAC of the new head.
	Save(inc incident.Incident, events []incident.Event) error
	// Once remembers a command's key within an incident (0: of those that open
	// one); false means that it was known already and nothing may be done again.
	RecordCommandKey(id incident.ID, key string) (bool, error)
	// Correlate binds a correlation key to a live incident (ErrCorrelated);
	// Release frees every key of an incident that is no longer live, and Move
	// hands them to another.
	Correlate(key string, id incident.ID) error
	ReleaseCorrelations(id incident.ID) error
	MoveCorrelations(from, to incident.ID) error

	// Hold locks an incident as Incident does, without reading it.
	LockIncident(id incident.ID) error
	// Tally counts n copies of an alert within an incident or on a shelf, with the
	// decision that put them there, and returns the row and how many there were
	// before; 0 means that it is new. Only then row.Alert is filled in: most of
	// what comes are copies, and of those the number is wanted.
	CountAlert(id incident.ID, a incident.Alert, n int64, now time.Time, d RoutingDecision) (row AlertRow, before int64, err error)
	// Recall brings an alert from whatever shelf it is on to an incident or another
	// shelf, counting nothing. known says that it was there already, row.ID 0 that
	// it is nowhere.
	MoveAlert(id incident.ID, a incident.Alert, d RoutingDecision) (row AlertRow, known bool, err error)
	// Rehome moves merged alerts to another incident; or the watched ones of its
	// correlation keys, and those that are copies of its own.
	MoveAlerts(from, to incident.ID) error
	// Split moves alerts from one incident to another, and the correlation keys
	// that no other alert of the first one has.
	Split(alerts []int64, from, to incident.ID) error
	// Claim locks the inbox rows that nobody handled yet and returns their ids;
	// Settle marks them handled.
	Claim(rows []int64) ([]int64, error)
	MarkHandled(rows []DeliveryOutcome) error

	// Sighted returns which delivery brought each event first: the one given with
	// it, unless another did and it is remembered until then.
	DedupeEvents(events map[string]int64, until time.Time) (map[string]int64, error)
	// Outcomes returns what became of deliveries, without the reasons.
	DeliveryOutcomes(rows []int64) (map[int64]DeliveryOutcome, error)

	// Windows returns the windows of correlations by their keys, locked: nil for
	// one that is new. PutWindow keeps one until it expires.
	Windows(keys []string) (map[string][]byte, error)
	PutWindow(key string, window []byte, expires time.Time) error

	// PutConfiguration keeps the rules in force under their digests and returns
	// their id, the same for the same two digests.
	PutConfiguration(c Configuration) (int64, error)
	// PutMaintenance keeps a new window and returns its id; EndMaintenance ends one
	// (CodeUnknown, CodeConflict where it has ended); Kept counts alerts for one.
	PutMaintenance(m incident.MaintenanceWindow) (int64, error)
	EndMaintenance(id int64, by incident.PersonID, at time.Time) error
	AddSuppressed(window, n int64) error
	// Opening remembers that an alert opens an incident, or would, and forgets
	// those before since.
	AddOpening(at, since time.Time) error
	// Storm returns the storm that an incident gathers, locked; PutStorm keeps it.
	Storm(id incident.ID) (Storm, error)
	PutStorm(id incident.ID, s Storm) error

	// Enqueue makes effects durable, with the jobs that will perform them. An
	// effect whose Key exists already is left alone, except that a kept-current
	// one (Kept) becomes due again: at most one pending for each incident and
	// kind, at most one run a second. Effects of one Lane run in the order they
	// were enqueued, one at a time; the next starts when the one before is
	// finished or given up.
	Enqueue(effects ...incident.Effect) error
	// Effect loads the effect of a job; done is true when its ledger row says
	// that it has been finished or given up, and nothing may be done again.
	Effect(job Job) (e incident.Effect, done bool, err error)
	// Finish completes the job and writes the ledger row: what came back, when.
	CompleteEffect(job Job, result string) error
	// GiveUp completes the job and writes why it will never be done.
	DiscardEffect(job Job, reason string) error
	// Postpone completes this job and makes the effect due again at that time
	// (a timer that was set too early).
	SnoozeEffect(job Job, until time.Time) error

	PutDirectory(d incident.Directory) error
	PutDocument(id incident.ID, d incident.Document) error
	// Erase removes texts and salts from stored events (their commitments stay)
	// and rewrites the snapshot that Save keeps.
	Erase(id incident.ID, refs []incident.TextRef) error
	Audit(a Access) error
}

// The shelves: what stands in place of an incident for alerts that have none.
const (
	WatchedAlerts     incident.ID = 0
	DroppedAlerts     incident.ID = -1
	MaintenanceAlerts incident.ID = -2
)

// Configuration is the rules that are in force together. Where either changes,
// it is another.
type Configuration struct {
	Routing, Detection Ruleset
	Since              time.Time // set by the store
}

// Ruleset is rules as they were configured, and the digest they are known by.
type Ruleset struct {
	Digest string
	Source []byte
}

// RoutingDecision is how an alert was routed.
type RoutingDecision struct {
	Rule         int         // place of the rule, from 1; 0: none fits
	Routing      int64       // the configuration's id
	Maintenance  int64       // id of the window that kept it from opening an incident
	RecurrenceOf incident.ID // it is a copy of what this incident ended with
	Storm        bool        // it was gathered into the incident of a storm
}

// Storm is a storm of alerts as the incident that gathers it knows it.
type Storm struct {
	At      time.Time // of its beginning; zero: there was none
	Ended   bool
	Round   int   // rises when it begins again
	Grouped int64 // correlations
}

// AlertRow is an alert as it is stored, with its counter.
type AlertRow struct {
	ID       int64           `json:"id"`
	Incident incident.ID     `json:"incident,omitempty"`
	Alert    incident.Alert  `json:"alert"` // the first copy
	Hash     string          `json:"hash"`  // keyed hash of the fingerprint
	Count    int64           `json:"count"`
	FirstAt  time.Time       `json:"first_at"`
	LastAt   time.Time       `json:"last_at"`
	Decision RoutingDecision `json:"decision"` // the last one
}

// DeliveryOutcome is what became of one inbox row.
type DeliveryOutcome struct {
	Row      int64
	Outcome  string      // "opened", "attached", "grouped", "counted", "recurred", "maintenance", "watched", "dropped", "command", "undecodable", "ignored"
	Incident incident.ID // 0 where there is none
	Alert    int64       // AlertRow.ID, 0 where there is none
	Rule     int         // place of the routing rule that decided, from 1
	Routing  int64       // the configuration's id
	Reason   string      // for a person, where the outcome needs one (stored encrypted)
}

// Job is one attempt at an effect. Token is the store's own.
type Job struct {
	Effect  int64
	Attempt int // 1 the first time
	Token   any
}

// Access is a line of the audit log: somebody read something.
type Access struct {
	At       time.Time
	Person   incident.PersonID
	Handle   incident.Identity
	Action   string // "show", "list", "document", "alerts", "explain", "maintenance", "export"
	Incident incident.ID
	Reason   string // stored encrypted
	Allowed  bool
}
