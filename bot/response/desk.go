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

// Handler carries out one effect. The command it returns (Verb "" for none) is
// committed together with the ledger. *incident.RetryAfter waits,
// *incident.Permanent gives up, any other error is tried again.
type Handler func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error)

// Redactor takes personal data and secrets out of a text.
type Redactor interface{ Text(string) string }

// Playbooks is what the desk needs of the playbook library.
type Playbooks interface {
	// Pin returns a playbook as it is pinned when it starts.
	Pin(name string) (incident.Run, bool)
	// Match returns the playbooks that fit an incident that alert opens or joins
	// (nil: a person opens it), pinned.
	Match(inc incident.Incident, alert *incident.Alert) []incident.Run
}

// Correlator knows the rules about several events.
type Correlator interface {
	// Advance takes observations, all of one window, into it. The window is what
	// was returned the last time, nil for the first, and nobody needs it after
	// expires. It may be called again with the same if a transaction is repeated.
	Advance(window []byte, seen []incident.Observation, now time.Time) (next []byte, expires time.Time, fired []incident.Firing, err error)
}

// Detector knows the rules that judge the records of some sources.
type Detector interface {
	// Rules returns what the rules in force are known by, and what they can be
	// restored from.
	Rules() (digest string, source []byte)
	// Judges reports whether the alerts and deliveries of a source hold records for
	// the rules.
	Evaluates(source string) bool
	// Explain holds records of a delivery against rules that were kept (nil: those
	// in force): that of the event alone where it is among them, else the first
	// most of them. more counts the rest, which no rule was held against.
	Explain(rules, body []byte, event string, most int) (records []incident.RecordTrace, more int, err error)
	// Counted says by which of these rules, and of which events, an alert about
	// several events was made; "" for any other.
	ExplainCorrelation(rules []byte, a incident.Alert) (string, error)
}

// PostmortemRenderer renders the postmortem of an incident as it stands under its signed digest.
type PostmortemRenderer func(inc incident.Incident, timeline []incident.Event, d incident.Directory, revision int, written time.Time) (incident.Document, error)

// Observer is told what the desk did, for metrics.
type Observer interface {
	// EffectDone counts one attempt at an effect: "completed", "skipped",
	// "failed", "snoozed" or "discarded".
	EffectDone(kind, outcome string, took time.Duration)
	// Reported says what became of n deliveries.
	Ingested(outcome string, n int)
}

// DiscardedEffect is an effect that will never be done.
type DiscardedEffect struct {
	Effect incident.Effect
	Err    error // may quote an outside system: redact before it leaves the house
}

// Options are the desk's settings and what it works with.
type Options struct {
	Store            Store
	Policy           incident.Policy // Routes is taken from Pages where there are any; English and UTC unless said otherwise
	Routing          *Routing        // nil: everything is only watched
	Storm            StormLimit      // the zero value: every correlation opens its own incident
	Playbooks        Playbooks       // nil: none
	Correlate        Correlator      // nil: nobody counts observations
	Detect           Detector        // nil: no rules judge records
	Sources          []string        // the names that conditions may compare an alert's source with; nil: any
	Redact           Redactor
	RenderPostmortem PostmortemRenderer

	Handlers map[incident.EffectKind]Handler // a kind without one is skipped: nobody is connected to do it
	Pages    []Handler                       // the routes of the emergency alias, in their order

	DiscardAfter  time.Duration // how long an effect is tried; 24 h if zero
	PageTimeout   time.Duration // how long one call to a pager may take before the next route goes; 10 s if zero
	EffectTimeout time.Duration // how long any other call may take; 40 s if zero

	OnDiscard func(DiscardedEffect) // may be nil
	Observer  Observer              // may be nil
	Now       func() time.Time
	Salt      func() []byte // 32 fresh random bytes
	Log       *slog.Logger
}

// Desk is the one place where incidents change. It is safe for concurrent use.
type Desk struct {
	Options
	routing    atomic.Int64 // id under which the store keeps the rules in force
	conditions sync.Map     // of maintenance windows, compiled, by their ids
}

// New checks the options and returns a Desk.
func New(o Options) (*Desk, error) {
	switch {
	case o.Store == nil:
		return nil, errors.New("make desk: a store is missing")
	case o.Redact == nil:
		return nil, errors.New("make desk: a redactor is missing")
	case o.RenderPostmortem == nil:
		return nil, errors.New("make desk: a writer of postmortems is missing")
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

// Do judges one command and commits what it leads to. The error is an
// *incident.Error where the lifecycle refuses it. After an error nothing was
// written, unless one in its chain has a method OutcomeUnknown() bool that says
// so: then the same command under the same key finds out, and counts once.
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
	if isExternal(cmd.By.Provider) {
		result = redacted(d.Redact, result)
	}
	return result, nil
}

// isExternal reports whether what is answered behind the door leaves the house.
func isExternal(door incident.Provider) bool {
	return door == incident.ProviderSlack || door == incident.ProviderPagerDuty || door == incident.ProviderMail
}

// redactError is an error as it may be told behind the door: what a refusal quotes is
// redacted as everything else that leaves the house.
func (d *Desk) redactError(door incident.Provider, err error) error {
	var refused *incident.Error
	if !isExternal(door) || !errors.As(err, &refused) {
		return err
	}
	out := *refused
	out.Sentence = redactSentence(d.Redact, out.Sentence)
	return &out
}

// Show returns everything about an incident that the reader may see, and
// writes the access to the audit log, refused ones too.
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
		v.Timeline = withoutPrivileged(v.Timeline)
	}
	if isExternal(who.Provider) {
		v = redacted(d.Redact, v)
	}
	return v, nil
}

// authorizeRead applies the restriction of an incident and audits the access.
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
		return "", incident.Forbidden("%s is restricted; ask its commander for access", inc.ID)
	}
	return person.ID, nil
}

// errUnknownIdentity refuses somebody whom the configuration does not know.
func errUnknownIdentity(who incident.Identity) error {
	return incident.Forbidden("nobody the configuration knows stands behind %s; have an administrator add it under people", who)
}

// mayReadPrivileged reports whether the reader sees what was said to legal and security alone.
func mayReadPrivileged(who incident.Identity, reader incident.PersonID, dir incident.Directory, now time.Time) bool {
	return who.Provider == incident.ProviderSystem || dir.Represents(reader, incident.Legal, now) || dir.Represents(reader, incident.Security, now)
}

// withoutPrivileged returns a timeline in which what was said to legal and
// security alone has lost its texts, unless legal and security is the reader.
func withoutPrivileged(timeline []incident.Event) []incident.Event {
	out := slices.Clone(timeline)
	for n := range out {
		if out[n].Audience == incident.AudienceLegalSecurity {
			out[n].Texts = nil
		}
	}
	return out
}

// alertRefs shows stored alerts as an incident refers to them, with their counters.
func alertRefs(rows []AlertRow) []incident.AlertRef {
	out := make([]incident.AlertRef, len(rows))
	for n, row := range rows {
		out[n] = alertRef(row)
		out[n].Count = row.Count
	}
	return out
}

func alertRef(row AlertRow) incident.AlertRef {
	a := row.Alert
	return incident.AlertRef{Alert: row.ID, Source: a.Source, Kind: a.Kind, Level: a.Level, Title: alertTitle(a), URL: a.URL,
		Rule: a.Rule, Fingerprint: row.Hash, At: a.At}
}

// List returns the incidents of a filter, one line each. Of a restricted one
// that the reader may not see there is no title.
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
			if !s.Restricted && known || reader.Responder {
				continue
			}
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
		out = redacted(d.Redact, out)
	}
	return out, nil
}

// Document returns a written postmortem to a reader who may see the incident.
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
		doc = redacted(d.Redact, doc)
	}
	return doc, nil
}

// Directory returns everybody the bot knows.
func (d *Desk) Directory(ctx context.Context) (dir incident.Directory, err error) {
	err = d.Store.View(ctx, func(r Reader) error {
		dir, err = r.Directory()
		return err
	})
	return dir, err
}

// PutDirectory replaces everybody the bot knows.
func (d *Desk) PutDirectory(ctx context.Context, dir incident.Directory) error {
	if err := d.Store.Tx(ctx, func(tx Tx) error { return tx.PutDirectory(dir) }); err != nil {
		return fmt.Errorf("put directory: %w", err)
	}
	return nil
}

// IncidentByLink returns the incident whose half in an outside system has that name,
// such as the one of a Slack channel, or 0.
func (d *Desk) IncidentByLink(ctx context.Context, name, value string) (id incident.ID, err error) {
	err = d.Store.View(ctx, func(r Reader) error {
		id, err = r.IncidentByLink(name, value)
		return err
	})
	return id, err
}
