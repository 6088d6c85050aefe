package response

import (
	"context"
	"errors"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/pack"
	"tocsin/bot/trust"
)

// ErrCorrelated is returned by [Tx.Correlate] if another live incident has the
// key. The caller reads again and attaches to that incident.
var ErrCorrelated = errors.New("another live incident has this correlation key")

// ErrChanged is returned by [Tx.Save] if the incident changed after it was read.
// Nothing was written. The caller reads again.
var ErrChanged = errors.New("incident changed since it was read")

// Store is the database of the Desk. All writes of one Tx are committed together
// or not at all.
type Store interface {
	// Tx runs f in one read-write transaction. If f returns an error, Tx rolls
	// back and returns it. Tx repeats f after a serialization failure, so f must
	// have no other side effects.
	//
	// After an error nothing was written, unless an error in its chain has a
	// method OutcomeUnknown() bool that returns true: the connection was lost
	// during the commit.
	Tx(ctx context.Context, f func(Tx) error) error
	// View runs f in a read-only transaction on the committed state.
	View(ctx context.Context, f func(Reader) error) error
}

// Reader reads the database. For an unknown incident, configuration, document or
// maintenance window it returns an [*incident.Error] with [incident.CodeUnknown].
type Reader interface {
	IncidentReader
	AlertReader
	InboxReader
	RestoreReader
	TrustReader
	// PackProofs returns proofs of the notary with its newest checkpoint.
	PackProofs(q pack.Query) (pack.Proofs, error)
	// WaitingEffects returns the selected waiting effects.
	WaitingEffects(q WaitingQuery) ([]incident.WaitingEffect, error)
}

// Tx is a read-write transaction. RecordCommandKey, Correlate and CountAlert may
// name an incident that is saved later in the transaction, so a store must not
// require its row before the commit.
type Tx interface {
	Reader
	IncidentWriter
	AlertWriter
	InboxWriter
	Jobs
	RestoreWriter
	AuditLog
	KeyValues
	TrustWriter
}

// IncidentReader reads incidents, their documents and the directory.
type IncidentReader interface {
	Incident(id incident.ID) (incident.Incident, error) // in a Tx: locked for update
	// Timeline returns the events of an incident in order of Seq: all of them, or
	// those with the given Seq.
	Timeline(id incident.ID, seq ...int) ([]incident.Event, error)
	// Summaries returns the matching incidents, the newest first.
	Summaries(f incident.Filter) ([]incident.Summary, error)
	// Search returns the incidents that match, the last changed one first. It compares
	// everything but the words of the title.
	Search(q incident.Search) ([]incident.Summary, error)
	Directory() (incident.Directory, error)
	// IncidentsByCorrelation returns the live incidents by correlation key.
	IncidentsByCorrelation(keys ...string) (map[string]incident.ID, error)
	// EndedIncident returns the last incident with the correlation key if that
	// incident ended at or after since, or 0. known reports whether the incident
	// already has alert a. If a reports an ongoing condition, the last incident
	// with a takes precedence, no matter when that incident ended.
	EndedIncident(key string, a incident.Alert, since time.Time) (id incident.ID, known bool, err error)
	// IncidentByLink returns the incident whose Links contain the value under
	// that name, for example a Slack channel id under LinkChannel, or 0.
	IncidentByLink(name, value string) (incident.ID, error)
	// Document returns a postmortem, unredacted.
	Document(id incident.ID, revision int) (incident.Document, error)
}

// IncidentWriter writes incidents, their documents and the directory.
type IncidentWriter interface {
	// NewID returns the next incident number. Committed numbers have no gaps.
	NewID() (incident.ID, error)
	// Save appends sealed events and stores the incident after them, with the MAC
	// of its new head. It returns ErrChanged unless the first event follows the
	// stored state. Save then removes the erased texts and their salts from the
	// stored events and from the stored incident. The commitments of the events
	// stay.
	Save(inc incident.Incident, events []incident.Event, erased ...incident.TextRef) error
	// RecordCommandKey stores the key of a command for an incident, or for id 0
	// of a command that opens one. It returns false if the key was stored
	// already. In that case the command must not be carried out again.
	RecordCommandKey(id incident.ID, key string) (bool, error)
	// Correlate binds a correlation key to a live incident, or returns
	// ErrCorrelated. MoveCorrelations moves the keys of an incident to another,
	// or releases the keys of an ended incident if to is 0.
	Correlate(key string, id incident.ID) error
	MoveCorrelations(from, to incident.ID) error
	PutDirectory(d incident.Directory) error
	PutDocument(id incident.ID, d incident.Document) error
}

// AlertReader reads alerts, and the rules and maintenance windows that route them.
type AlertReader interface {
	Alerts(q AlertQuery) ([]AlertRow, error)
	// AlertIncidents returns the incidents that have one of the given alerts: by
	// id, also after a move, and for each element of alerts by its fingerprint.
	AlertIncidents(ids []int64, alerts []incident.Alert) (byID map[int64]incident.ID, byAlert [][]incident.ID, err error)
	// CountAlerts counts the alerts of an incident, or the live ones of a disposition,
	// that occurred since a time, sorted by kind.
	CountAlerts(id incident.ID, since time.Time) ([]incident.AlertCount, error)
	// Configuration returns the rules of one configuration.
	Configuration(id int64) (Configuration, error)
	// MaintenanceWindows returns the windows that end after a time, in the order
	// of their ends. MaintenanceWindow returns one window, in a Tx locked for
	// update.
	MaintenanceWindows(endAfter time.Time) ([]incident.MaintenanceWindow, error)
	MaintenanceWindow(id int64) (incident.MaintenanceWindow, error)
}

// AlertQuery selects alerts with their occurrence counts: the one with ID, also
// after a move, or those of an incident or a disposition.
type AlertQuery struct {
	ID       int64
	Incident incident.ID     // for a disposition, the newest alerts are first
	Same     *incident.Alert // only the row that counts the occurrences of this alert
	After    int64           // only alerts with a greater id
	Limit    int             // 0: no limit
}

// AlertWriter writes alerts, and the rules and maintenance windows that route them.
type AlertWriter interface {
	// CountAlert adds n occurrences of an alert to an incident or a disposition,
	// with the decision about them. It returns the row and the count before, 0
	// for a new alert. row.Alert is set only for a new alert, because repeats are
	// frequent and need only the count.
	CountAlert(id incident.ID, a incident.Alert, n int64, now time.Time, d RoutingDecision) (row AlertRow, before int64, err error)
	// MoveAlert moves a suppressed alert to an incident or another disposition
	// and counts nothing. known reports whether the alert was there before.
	// row.ID is 0 if the alert is stored nowhere.
	MoveAlert(id incident.ID, a incident.Alert, d RoutingDecision) (row AlertRow, known bool, err error)
	// MoveAlerts moves alerts of an incident to another, with the correlation
	// keys that no remaining alert has. Without ids it moves all alerts and no
	// keys. From WatchedAlerts it moves only alerts with a correlation key of the
	// target and repeats of its alerts.
	MoveAlerts(from, to incident.ID, ids ...int64) error
	// PutConfiguration stores the current rules and returns their id. The id is
	// equal for equal digests.
	PutConfiguration(c Configuration) (int64, error)
	// PutMaintenance stores a new maintenance window, or the end and the
	// confirmation of a stored one, and returns its id. AddSuppressed adds n
	// alerts to the count of a window, severe of them at sev1 or sev2.
	PutMaintenance(m incident.MaintenanceWindow) (int64, error)
	AddSuppressed(window, n, severe int64) error
}

// InboxReader reads stored deliveries.
type InboxReader interface {
	Deliveries(q DeliveryQuery) ([]Delivery, error)
}

// DeliveryQuery selects stored deliveries: those with the given rows, those of an
// alert in the order of arrival, the undecodable ones of a source, the newest
// first, or those received in a period in the order of their rows.
type DeliveryQuery struct {
	Rows        []int64
	Alert       int64
	Undecodable string // name of a source
	// From and To are the period, To exclusive. A query returns a batch of the deliveries
	// after a row, of which it reads the bodies too.
	From, To time.Time
	After    int64
	Limit    int  // 0: no limit
	Bodies   bool // read the bodies, headers, senders and verifications too
}

// InboxWriter marks deliveries as handled.
type InboxWriter interface {
	// Claim locks the given inbox rows that are not handled and returns their
	// ids. MarkHandled marks rows as handled.
	Claim(rows []int64) ([]int64, error)
	MarkHandled(rows []DeliveryOutcome) error
	// DedupeEvents returns the first delivery of each event: the given one,
	// unless another is stored for the event. New events are stored until a time.
	DedupeEvents(events map[string]int64, until time.Time) (map[string]int64, error)
}

// Jobs are the effects of incidents and the jobs to perform them.
type Jobs interface {
	// Enqueue stores effects and the jobs to perform them. It ignores an effect
	// whose key exists, except that a refresh effect becomes due again: at most
	// one is pending for each incident and kind, and it runs at most once per
	// second.
	//
	// Effects of one lane run one at a time, in the order of their enqueueing.
	// The next one starts when the one before is completed or discarded. An effect
	// with Ahead starts at once, also beside the one that has started, and those that
	// have not started run after it.
	Enqueue(effects ...incident.Effect) error
	// Effect returns the effect of a job. done reports whether the ledger has it
	// as completed or discarded. In that case it must not be carried out again.
	Effect(job Job) (e incident.Effect, done bool, err error)
	// FinishEffect completes the job and writes outcome, result and time to the
	// ledger. It ends the effects in covered likewise, which are ids from
	// [WaitingQuery.Behind]: they have no job yet.
	FinishEffect(job Job, outcome EffectOutcome, result string, covered ...int64) error
	// SnoozeEffect completes the job and makes the effect due again at a time,
	// for a deadline that has moved.
	SnoozeEffect(job Job, until time.Time) error
	// PostponeEffect completes the job of a failed attempt and makes the effect due
	// again at a time. The effect waits until then or until ReleaseEffects, and its
	// lane waits with it unless it steps aside.
	PostponeEffect(job Job, until time.Time, f Failure) error
	// DropEffect ends a waiting effect as discarded, with a result. It returns false and
	// changes nothing if an attempt at it is in progress.
	DropEffect(effect int64, result string) (bool, error)
	// ReleaseEffects makes the selected waiting effects due now and returns their
	// number. An effect with an attempt in progress is left out.
	ReleaseEffects(q WaitingQuery) (int, error)
}

// Failure is a failed attempt at an effect.
type Failure struct {
	System     string   // outside system of the effect, or ""
	Blocked    bool     // the system refuses until an administrator repairs the cause
	Paused     bool     // the system requested the pause
	Cause      string   // redacted, stored encrypted
	Fix        string   // how to repair the cause, or ""
	Reached    []string // see [incident.Partial], stored encrypted
	StepsAside bool     // the effect leaves its lane, and later effects go on
}

// WaitingQuery selects waiting effects: those that match every field that is set, in
// the order in which they began to wait.
type WaitingQuery struct {
	// Behind selects, in place of waiting effects, those that have not started and come
	// after an effect in its lane, in their order. They have no failure. There are none
	// while an effect with Ahead is unfinished, because they run after that one.
	Behind int64 `json:"-"`
	// Started selects, in place of waiting effects, the effect with a key that has started
	// and has not ended. Without a failure it has no system.
	Started  string      `json:"-"`
	Effect   int64       `json:"effect,omitempty"`
	Incident incident.ID `json:"incident,omitempty"`
	System   string      `json:"system,omitempty"`
	// Release is only for ReleaseEffects.
	Release ReleaseRule `json:"-"`
	Limit   int         `json:"-"` // 0: no limit
}

// ReleaseRule limits a release that no person requested. Of several effects, the one
// whose last attempt is oldest is released first.
type ReleaseRule struct {
	KeepPauses bool // leave out effects for which the system requested a pause
	// RestedSince leaves out effects that were tried after this time.
	RestedSince time.Time
	// IfQuiet releases nothing if any effect of the system was tried or released after
	// RestedSince. Otherwise one effect of each kind is released before the second one of
	// any kind.
	IfQuiet bool
	// Like releases only effects of the same kind that are blocked if it is, and not
	// blocked if it is not.
	Like *incident.WaitingEffect
}

// EffectOutcome is how an effect ended. The result of a discarded effect is why it
// was discarded.
type EffectOutcome string

// Outcomes of effects.
const (
	EffectCompleted EffectOutcome = "completed"
	EffectDiscarded EffectOutcome = "discarded"
)

// AuditLog records who read data, and which commands were denied.
type AuditLog interface {
	Audit(a Access) error
}

// TrustReader reads the log of keys and providers.
type TrustReader interface {
	// TrustEvents returns all events in order. A Tx locks the log until its end.
	TrustEvents() ([]trust.Event, error)
}

// TrustWriter writes the log of keys and providers.
type TrustWriter interface {
	// AppendTrust adds an event and returns its id.
	AppendTrust(e trust.Event) (int64, error)
}

// KeyValues holds small states that belong to no incident, for example quotas. Keys
// are stored as hashes, and values are encrypted.
type KeyValues interface {
	// Values locks keys of a namespace and returns their values, nil for a new
	// key. PutValue stores the value of a locked key until it expires, or forever
	// if expires is zero. An expired value may still be returned.
	Values(n Namespace, keys ...string) (map[string][]byte, error)
	PutValue(n Namespace, key string, value []byte, expires time.Time) error
}

// Namespace names one kind of small state.
type Namespace string

// Namespaces of [KeyValues]. A name must not change, because stored keys contain it.
const (
	NamespaceCorrelation Namespace = "correlation" // windows of correlation rules
	NamespaceReporter    Namespace = "reporter"    // quotas of one account that reports incidents
	NamespaceReporters   Namespace = "reporters"   // quotas of all accounts of a workspace
	NamespaceAck         Namespace = "ack"         // quotas of acknowledgements of reports
	NamespaceDuplicate   Namespace = "alike"       // first incident with a duplicate key
	NamespaceStorm       Namespace = "storm"       // alert storms and the rate of openings
	NamespacePage        Namespace = "page"        // target of a page that started
	NamespaceBreakGlass  Namespace = "break_glass" // uses of break-glass for the next agenda
	NamespaceFault       Namespace = "fault"       // parts of Tocsin that do not work
	NamespaceRestore     Namespace = "restore"     // when the bot first started after a restore
	NamespaceTestPage    Namespace = "test_page"   // the last test pages
	NamespaceSeen        Namespace = "seen"        // the submitted record that a person saw last
	NamespaceShown       Namespace = "shown"       // fingerprint of the message that a refresh effect edited last
	NamespaceDraft       Namespace = "draft"       // the text that a person typed into a form
	NamespaceEditors     Namespace = "editors"     // people who edit the closing record
	NamespacePasskey     Namespace = "passkey"     // counter and last use of a passkey

	NamespaceActionReminder Namespace = "action_reminder" // the last reminder of an action item
	NamespaceBackupProof    Namespace = "backup_proof"    // reports about backups that the audit log has
)

// These ids stand for the dispositions of suppressed alerts, in place of an incident.
const (
	WatchedAlerts     incident.ID = 0
	DroppedAlerts     incident.ID = -1
	MaintenanceAlerts incident.ID = -2
)
