package response

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tocsin/bot/incident"
)

// Handler carries out one effect. The Desk commits the returned command with the
// ledger entry. An empty Verb means that there is no command.
//
// An [*incident.RetryAfter] error snoozes the effect, an [*incident.Permanent]
// error discards it, and any other error is retried.
type Handler func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error)

// Redactor replaces personal data and secrets in a text.
type Redactor interface{ Text(string) string }

// Playbooks is the part of the playbook library that the Desk uses.
type Playbooks interface {
	// Pin returns a playbook as the Desk stores it when it starts, and whether it
	// exists.
	Pin(name string) (incident.Run, bool)
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
type PostmortemRenderer func(inc incident.Incident, timeline []incident.Event, d incident.Directory, revision int, written time.Time) (incident.Document, error)

// Observer receives the Desk's metrics. Its methods must be safe for concurrent
// use.
type Observer interface {
	// EffectDone counts one attempt at an effect. outcome is "completed",
	// "skipped", "failed", "snoozed" or "discarded".
	EffectDone(kind, outcome string, took time.Duration)
	// Ingested counts n deliveries with an outcome.
	Ingested(outcome string, n int)
	// ConditionFailed counts a failed condition of a "rule", "window" or "playbook".
	ConditionFailed(of string)
}

// DiscardedEffect is an effect that failed and will not be retried.
type DiscardedEffect struct {
	Effect incident.Effect
	Err    error // may quote an outside system: redact it before sending it out of Tocsin
}

// Options configure a [Desk]. Store, Redact and RenderPostmortem are required.
type Options struct {
	Store            Store
	Policy           incident.Policy // len(Pages) overrides EscalationSteps, Language is "en" and TimeZone "UTC" by default
	Routing          *Routing        // nil: every alert is only watched
	Storm            StormLimit      // zero: no limit
	Playbooks        Playbooks       // nil: no playbooks
	Correlate        Correlator      // nil: observations are ignored
	Detect           Detector        // nil: explanations contain no detection rules
	Administrators   []string        // local users who operate the instance
	Sources          []string        // valid values of source in conditions, nil for any
	Redact           Redactor
	RenderPostmortem PostmortemRenderer

	Handlers map[incident.EffectKind]Handler // effects of other kinds are skipped
	Pages    []Handler                       // the steps of the escalation policy, in order

	DiscardAfter  time.Duration // age at which a failing effect is discarded, 24 h if zero
	PageTimeout   time.Duration // limit of one page call before the next escalation step is paged, 10 s if zero
	EffectTimeout time.Duration // limit of any other handler call, 40 s if zero

	OnDiscard func(DiscardedEffect) // may be nil
	Observer  Observer              // may be nil
	Now       func() time.Time
	Salt      func() []byte // 32 fresh random bytes
	Log       *slog.Logger
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
	o.Policy.Language, o.Policy.TimeZone = cmp.Or(o.Policy.Language, "en"), cmp.Or(o.Policy.TimeZone, "UTC")
	setDefault(&o.DiscardAfter, 24*time.Hour)
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
		return incident.Result{}, fmt.Errorf("do %s: %w", cmd.Verb, d.redactError(cmd.By.Provider, err))
	}
	if dr := last.drafts[result.Incident.ID]; dr != nil && !result.Unchanged {
		result.Incident = dr.inc // with the steps that became due
	}
	if person, _ := last.dir.Resolve(cmd.By); !mayReadPrivileged(cmd.By, person.ID, last.dir, last.now) {
		result.Incident, result.Events = result.Incident.WithoutExclusions(), withoutSecret(result.Events)
	}
	if isExternal(cmd.By.Provider) {
		result = redactedCopy(d.Redact, result)
	}
	return result, nil
}

// isExternal reports whether answers to a provider leave Tocsin and must be
// redacted.
func isExternal(p incident.Provider) bool {
	return p == incident.ProviderSlack || p == incident.ProviderPagerDuty || p == incident.ProviderMail
}

// redactError returns err for a caller at a provider. The text of an
// [*incident.Error] may quote input, so it is redacted for an external provider.
func (d *Desk) redactError(p incident.Provider, err error) error {
	var rejection *incident.Error
	if !isExternal(p) || !errors.As(err, &rejection) {
		return err
	}
	out := *rejection
	out.Sentence = redactSentence(d.Redact, out.Sentence)
	return &out
}

// Show returns the parts of an incident that the reader may see. Every attempt
// to read an existing incident, rejected or not, is written to the audit log.
func (d *Desk) Show(ctx context.Context, who incident.Identity, id incident.ID, reason string) (incident.View, error) {
	var v incident.View
	err := d.Store.View(ctx, func(r Reader) error {
		inc, err := r.Incident(id)
		if err != nil {
			return err
		}
		timeline, err := r.Timeline(id)
		if err != nil {
			return err
		}
		alerts, err := r.Alerts(id, 1000)
		if err != nil {
			return err
		}
		dir, err := r.Directory()
		v = incident.View{Incident: inc, Timeline: timeline, Alerts: alertRefs(alerts), Directory: dir}
		return err
	})
	if err != nil {
		return incident.View{}, fmt.Errorf("show %s: %w", id, err)
	}
	reader, err := d.authorizeRead(ctx, who, v.Incident, v.Directory, "show", reason)
	if err != nil {
		return incident.View{}, err
	}
	if !mayReadPrivileged(who, reader, v.Directory, d.Now()) {
		v.Timeline, v.Incident = withoutPrivileged(v.Timeline), v.Incident.WithoutExclusions()
	}
	if isExternal(who.Provider) {
		v = redactedCopy(d.Redact, v)
	}
	return v, nil
}

// authorizeRead returns an error unless who may read an incident. It writes the
// attempt to the audit log and returns the reader, "" for [incident.System].
func (d *Desk) authorizeRead(ctx context.Context, who incident.Identity, inc incident.Incident, dir incident.Directory, action, reason string) (incident.PersonID, error) {
	person, _ := dir.Resolve(who)
	allowed := who.Provider == incident.ProviderSystem || inc.MayRead(dir, person.ID, d.Now())
	err := d.Store.Tx(ctx, func(tx Tx) error {
		return tx.Audit(Access{At: d.Now(), Person: person.ID, Handle: who, Action: action, Incident: inc.ID, Reason: reason, Allowed: allowed})
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("audit %s of %s: %w", action, inc.ID, err)
	case !allowed && person.ID == "":
		return "", errUnknownIdentity(who)
	case !allowed:
		return "", incident.NoAccess(inc.ID)
	}
	return person.ID, nil
}

// errUnknownIdentity returns the error for an identity that belongs to no known
// person.
func errUnknownIdentity(who incident.Identity) error {
	return incident.Forbidden("%s is not linked to a person. Ask an administrator to add it under people", who)
}

// mayReadPrivileged reports whether the reader may see notes for legal and
// security only.
func mayReadPrivileged(who incident.Identity, reader incident.PersonID, dir incident.Directory, now time.Time) bool {
	return who.Provider == incident.ProviderSystem || dir.Represents(reader, incident.Legal, now) || dir.Represents(reader, incident.Security, now)
}

// withoutPrivileged returns a copy of the timeline without the texts of events
// for legal and security only, and without the events that only they may know.
func withoutPrivileged(timeline []incident.Event) []incident.Event {
	out := withoutSecret(timeline)
	for n := range out {
		if out[n].Audience == incident.AudienceLegalSecurity {
			out[n].Texts = nil
		}
	}
	return out
}

// withoutSecret returns a copy of the timeline without the events that only legal
// and security may know.
func withoutSecret(timeline []incident.Event) []incident.Event {
	return slices.DeleteFunc(slices.Clone(timeline), func(e incident.Event) bool { return e.Kind.Secret() })
}

// alertRefs returns references to stored alerts, with their occurrence counts.
func alertRefs(rows []AlertRow) []incident.AlertRef {
	out := make([]incident.AlertRef, len(rows))
	for n, row := range rows {
		out[n] = alertRef(row)
		out[n].Count = row.Count
	}
	return out
}

// alertRef returns a reference to a stored alert, without its count.
func alertRef(row AlertRow) incident.AlertRef {
	a := row.Alert
	return incident.AlertRef{Alert: row.ID, Source: a.Source, Kind: a.Kind, Level: a.Level, Title: alertTitle(a), URL: a.URL,
		Rule: a.Rule, Fingerprint: row.Hash, At: a.At}
}

// List returns one summary for each incident that matches f. Title and commander
// of an incident that the reader may not see are empty.
func (d *Desk) List(ctx context.Context, who incident.Identity, f incident.Filter) ([]incident.Summary, error) {
	var out []incident.Summary
	var reader incident.Person
	var known bool
	err := d.Store.View(ctx, func(r Reader) error {
		dir, err := r.Directory()
		if err != nil {
			return err
		}
		reader, known = dir.Resolve(who)
		if out, err = r.Summaries(f); err != nil || who.Provider == incident.ProviderSystem {
			return err
		}
		for n, s := range out {
			inc, err := r.Incident(s.ID)
			if err != nil {
				return err
			}
			if !inc.MayRead(dir, reader.ID, d.Now()) {
				out[n].Title, out[n].Commander = "", ""
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list incidents: %w", err)
	}
	err = d.Store.Tx(ctx, func(tx Tx) error {
		return tx.Audit(Access{At: d.Now(), Person: reader.ID, Handle: who, Action: "list", Allowed: known || who.Provider == incident.ProviderSystem})
	})
	if err != nil {
		return nil, fmt.Errorf("audit list: %w", err)
	}
	if isExternal(who.Provider) {
		out = redactedCopy(d.Redact, out)
	}
	return out, nil
}

// Document returns a revision of the postmortem if the reader may see the
// incident. It writes the attempt to the audit log.
func (d *Desk) Document(ctx context.Context, who incident.Identity, id incident.ID, revision int, reason string) (incident.Document, error) {
	var doc incident.Document
	var inc incident.Incident
	var dir incident.Directory
	err := d.Store.View(ctx, func(r Reader) (err error) {
		if inc, err = r.Incident(id); err != nil {
			return err
		}
		if dir, err = r.Directory(); err != nil {
			return err
		}
		doc, err = r.Document(id, revision)
		return err
	})
	if err != nil {
		return incident.Document{}, fmt.Errorf("read postmortem of %s: %w", id, err)
	}
	if _, err := d.authorizeRead(ctx, who, inc, dir, "document", reason); err != nil {
		return incident.Document{}, err
	}
	if isExternal(who.Provider) {
		doc = redactedCopy(d.Redact, doc)
	}
	return doc, nil
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
