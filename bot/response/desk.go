package response

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/trust"
)

// Handler carries out one effect. The Desk commits the returned command with the
// ledger entry. An empty Verb means that there is no command.
//
// After an [*incident.RetryAfter] error the effect waits that long, and after an
// [*incident.Blocked] error for an administrator. An [*incident.Permanent] error
// discards it. After any other error it is tried again. The Desk commits the command of
// a handler that also returns an error: it reports the part that succeeded.
type Handler func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error)

// Redactor replaces personal data and secrets in a text.
type Redactor interface{ Text(string) string }

// Playbooks is the part of the playbook library that the Desk uses.
type Playbooks interface {
	// Pin returns a playbook as the Desk stores it when it starts, and whether it
	// exists.
	Pin(name string) (incident.Run, bool)
	// List returns the playbooks that a person can start, sorted by name.
	List() []incident.PlaybookInfo
	// Match returns the pinned playbooks that match an incident. alert is the
	// alert that opens the incident or is attached to it, or nil if a person
	// opens it.
	// failed has the playbooks whose condition could not be evaluated.
	Match(inc incident.Incident, alert *incident.Alert) (runs []incident.Run, failed map[string]error)
}

// Correlator evaluates the rules about several events.
type Correlator interface {
	// Advance adds observations of one correlation window to it. window is the
	// previous result, or nil the first time. next may be deleted after expires.
	// The Desk calls Advance again with equal arguments if it repeats a
	// transaction.
	Advance(window []byte, seen []incident.Observation, now time.Time) (next []byte, expires time.Time, fired []incident.Firing, err error)
}

// Detector evaluates detection rules on the records of some sources.
type Detector interface {
	// Rules returns the digest of the current rules and the source to restore
	// them from.
	Rules() (digest string, source []byte)
	// Evaluates reports whether deliveries of a source contain records for the
	// rules.
	Evaluates(source string) bool
	// Explain evaluates the records of a delivery with stored rules, or with the
	// current ones if rules is nil. It returns only the record of the event if
	// the body contains it, and otherwise at most limit records. more is the
	// number of records left out.
	Explain(rules, body []byte, event string, limit int) (records []incident.RecordTrace, more int, err error)
	// ExplainCorrelation names the rules and events that made an alert about
	// several events. It returns "" for any other alert.
	ExplainCorrelation(rules []byte, a incident.Alert) (string, error)
}

// PostmortemRenderer renders the postmortem of an incident for its signed digest.
type PostmortemRenderer func(Postmortem) (incident.Document, error)

// Postmortem is the input of a [PostmortemRenderer].
type Postmortem struct {
	Incident  incident.Incident // with its submission and signatures
	Timeline  []incident.Event
	Directory incident.Directory
	Revision  int
	Written   time.Time
	Alerts    incident.AlertCount // all alerts when the postmortem was written, without a kind
	// Copy marks texts that may differ from the signed ones, because they are redacted
	// or withheld from the readers.
	Copy bool
	// Withheld is the number of events whose texts the readers may not read.
	Withheld int
}

// Observer receives the Desk's metrics. Its methods must be safe for concurrent
// use.
type Observer interface {
	// EffectDone reports one attempt at an effect.
	EffectDone(EffectAttempt)
	// Ingested counts n deliveries with an outcome.
	Ingested(outcome string, n int)
	// ConditionFailed counts a failed condition of a "rule", "window" or "playbook".
	ConditionFailed(of string)
}

// EffectAttempt is the result of one attempt at an effect.
type EffectAttempt struct {
	Effect  incident.Effect // its arguments hold ids and numbers only
	System  string          // outside system that the effect calls, see [incident.Blocked], or "" for work inside Tocsin
	Outcome AttemptOutcome
	Cause   string // why the attempt failed, redacted and in one line, or "", for the log
	Fix     string // how an administrator repairs the cause, if the system refuses until then, or ""
	Err     error  // of the call of the outside system, or nil. It may quote that system
	Attempt int    // from 1
	Took    time.Duration
}

// AttemptOutcome is how one attempt at an effect ended.
type AttemptOutcome string

// Outcomes of attempts. The effect is tried again after the outcomes failed, waiting
// and snoozed.
const (
	AttemptCompleted AttemptOutcome = "completed"
	AttemptSkipped   AttemptOutcome = "skipped" // not needed
	AttemptFailed    AttemptOutcome = "failed"  // the system does not work, or the attempt was interrupted
	AttemptWaiting   AttemptOutcome = "waiting" // the system refuses until an administrator repairs the cause
	AttemptSnoozed   AttemptOutcome = "snoozed" // the system requested a pause
	AttemptDiscarded AttemptOutcome = "discarded"
)

// Options configure a [Desk]. Store, Redact and RenderPostmortem are required.
type Options struct {
	Store   Store
	Policy  incident.Policy // len(Pages) overrides EscalationSteps, Language is "en" and TimeZone "UTC" by default
	Routing *Routing        // nil: every alert is only watched
	Storm   StormLimit      // zero: no limit
	// UsualSeverity is the severity of an incident about unread deliveries, by source,
	// sev3 by default.
	UsualSeverity map[string]incident.Severity
	Playbooks     Playbooks  // nil: no playbooks
	Correlate     Correlator // nil: observations are ignored
	Detect        Detector   // nil: explanations contain no detection rules
	// Decode returns the signals of a stored delivery. It may be nil.
	Decode         func(incident.StoredDelivery) ([]incident.Signal, error)
	Administrators []string // local users who operate the instance
	// Restores are the restores of the instance from a backup, in order.
	Restores         []incident.Restore
	Sources          []string // valid values of source in conditions, nil for any
	Redact           Redactor
	RenderPostmortem PostmortemRenderer

	Handlers map[incident.EffectKind]Handler // effects of other kinds are skipped
	Pages    []Handler                       // the steps of the escalation policy, in order
	// Shows returns a fingerprint of the message that a refresh effect edits, or "" if it is
	// not known. A message with the same fingerprint is not edited again. It may be nil.
	Shows    func(incident.Brief, incident.Effect) string
	SystemOf func(incident.Effect) string // the outside system that the handler of an effect calls, may be nil
	// Explain returns for people why a call of an outside system failed and what to do,
	// without texts of the system. It may be nil.
	Explain func(system string, err error) (cause, fix string)
	// Targets describe the steps in Pages for Withdraw. The store keeps the target of
	// each page, because a page must be withdrawn where it was sent, even if its step
	// was removed from the configuration. Without targets, Handlers withdraw pages.
	Targets [][]byte
	// Withdraw returns the handler that ends a page of a target: an
	// [incident.EffectPageAck] or [incident.EffectPageResolve].
	Withdraw func(target []byte) Handler

	// PageLinks returns the addresses in a page about an incident. It may be nil.
	PageLinks func(incident.Incident) incident.PageLinks

	// NextTestPage returns the time of the next weekly test page, or the zero time. It may be
	// nil.
	NextTestPage func(now time.Time) time.Time

	// Changed is called after a commit with events. It must return at once. It may be nil.
	Changed func()

	// RecordChanges makes the notary sign a checkpoint that has every change until now. It may be nil.
	RecordChanges func(context.Context) error

	MissedAfter   time.Duration // age at which a post counts as missed and joins a summary, 1 min if zero
	PageTimeout   time.Duration // limit of one page call before the next escalation step is paged, 10 s if zero
	EffectTimeout time.Duration // limit of any other handler call, 40 s if zero

	Observer Observer // may be nil
	Now      func() time.Time
	Salt     func() []byte // 32 fresh random bytes
	Log      *slog.Logger
}

// Desk is the only writer of incidents. It is safe for concurrent use.
type Desk struct {
	Options
	routing    atomic.Int64 // id of the current configuration in the store, 0 until it is stored
	conditions sync.Map     // compiledWindow by id of the maintenance window
	failures   sync.Map     // failureKey of conditions whose failure was logged
}

// New returns a Desk, or an error if a required option is missing.
func New(o Options) (*Desk, error) {
	switch {
	case o.Store == nil:
		return nil, errors.New("create desk: store is missing")
	case o.Redact == nil:
		return nil, errors.New("create desk: redactor is missing")
	case o.RenderPostmortem == nil:
		return nil, errors.New("create desk: postmortem renderer is missing")
	}
	if len(o.Pages) > 0 {
		o.Policy.EscalationSteps = len(o.Pages)
	}
	o.Policy.EscalationSteps = max(o.Policy.EscalationSteps, 1)
	setDefault(&o.Policy.EscalateAfter, 5*time.Minute)
	setDefault(&o.Policy.SignDeputyAfter, incident.DefaultSignDeputyAfter)
	setDefault(&o.Policy.SignHeadAfter, incident.DefaultSignHeadAfter)
	if o.Decode == nil {
		o.Decode = func(incident.StoredDelivery) ([]incident.Signal, error) { return nil, nil }
	}
	o.Policy.Language, o.Policy.TimeZone = cmp.Or(o.Policy.Language, "en"), cmp.Or(o.Policy.TimeZone, "UTC")
	setDefault(&o.MissedAfter, time.Minute)
	setDefault(&o.PageTimeout, 10*time.Second)
	setDefault(&o.EffectTimeout, 40*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Salt == nil {
		o.Salt = func() []byte { return []byte(rand.Text() + rand.Text())[:32] }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Redact = newMemo(o.Redact)
	o.Log = o.Log.With("component", "desk")
	return &Desk{Options: o}, nil
}

func setDefault(d *time.Duration, standard time.Duration) {
	if *d <= 0 {
		*d = standard
	}
}

// Do decides about one command and commits the result. It returns an
// [*incident.Error] if the command is malformed, not allowed or not possible in
// the present status.
//
// After an error nothing was written, unless an error in its chain has a method
// OutcomeUnknown() bool that returns true. In that case repeat the command with
// its key: Do then reports the state, and the command takes effect only once.
func (d *Desk) Do(ctx context.Context, cmd incident.Command) (incident.Result, error) {
	var result incident.Result
	var last *session
	err := d.write(ctx, func(s *session) (err error) {
		last = s
		result, err = s.do(cmd)
		return err
	})
	if err != nil {
		if audit := d.auditDenied(ctx, last, cmd, err); audit != nil {
			err = audit
		}
		return answer(d, cmd.By, incident.Result{}, fmt.Errorf("do %s: %w", cmd.Verb, err))
	}
	if result.Reported || result.Requested {
		return answer(d, cmd.By, result, nil) // without an incident
	}
	result.Directory = last.dir
	if dr := last.drafts[result.Incident.ID]; dr != nil && !result.Unchanged {
		result.Incident = dr.inc // with the steps that became due
	}
	if env := last.env(cmd); !env.System && !result.Incident.MayRead(last.dir, env.Actor, last.now) { // an administrator
		result.Incident, result.Events = publicView(result.Incident), incident.WithoutSecret(result.Events)
		return answer(d, cmd.By, result, nil)
	}
	if person, _ := last.dir.Resolve(cmd.By); !mayReadPrivileged(cmd.By, person.ID, result.Incident, last.dir, last.now) {
		if result.Incident.MayHavePrivileged() {
			if result.Incident, err = d.withheldState(ctx, result.Incident); err != nil {
				return answer(d, cmd.By, incident.Result{}, fmt.Errorf("do %s: %w", cmd.Verb, recordedError{err}))
			}
		}
		result.Incident, result.Events = result.Incident.WithoutExclusions(), incident.WithoutSecret(result.Events)
	}
	return answer(d, cmd.By, result, nil)
}

// auditDenied writes a command that was denied to the audit log.
func (d *Desk) auditDenied(ctx context.Context, s *session, cmd incident.Command, err error) error {
	if s == nil || !incident.IsDenied(err) {
		return nil
	}
	if copied := new(counterError); errors.As(err, &copied) {
		if err := d.RefusePasskey(ctx, trust.Actor{Person: copied.key.Person, Handle: cmd.By}, "command "+string(cmd.Verb), err); incident.CodeOf(err) == "" {
			return err
		}
		return nil
	}
	if err := d.Store.Tx(ctx, func(tx Tx) error { return tx.Audit(s.denied(cmd, err)) }); err != nil {
		return fmt.Errorf("audit %s of %s: %w", cmd.Verb, cmd.For, err)
	}
	return nil
}

// recordedError is the error of a read after the commit of a command. The command may
// be repeated with its key.
type recordedError struct{ error }

func (e recordedError) Unwrap() error        { return e.error }
func (e recordedError) OutcomeUnknown() bool { return true }

// withheldState returns the state of an incident for readers outside legal and
// security.
func (d *Desk) withheldState(ctx context.Context, inc incident.Incident) (out incident.Incident, err error) {
	err = d.Store.View(ctx, func(r Reader) error {
		timeline, err := r.Timeline(inc.ID)
		if err != nil {
			return err
		}
		out, _, _ = incident.WithholdPrivileged(inc.ID, timeline[:min(len(timeline), inc.Head.Seq)])
		return nil
	})
	return out, err
}

// IncidentByLink returns the incident with a link of that name and value, or 0. A
// Slack channel is linked under [incident.LinkChannel].
func (d *Desk) IncidentByLink(ctx context.Context, name, value string) (id incident.ID, err error) {
	err = d.Store.View(ctx, func(r Reader) error {
		id, err = r.IncidentByLink(name, value)
		return err
	})
	return id, err
}
