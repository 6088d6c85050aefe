package response

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// maxAttempts is how often a transaction runs if other transactions change its
// incidents.
const maxAttempts = 10

// session is one transaction: the incidents that it has read, the decisions about
// them and their effects. Nothing is written before flush, so a rejected command
// changes nothing.
type session struct {
	d      *Desk
	tx     Tx
	now    time.Time
	dir    incident.Directory
	drafts map[incident.ID]*draft
	order  []incident.ID // of the drafts, in the order of reading
}

// draft is an incident with the events of this transaction.
type draft struct {
	inc     incident.Incident
	wasLive bool // when it was read
	merged  bool // its correlation keys move to another incident
	events  []incident.Event
	effects []incident.Effect
	erase   []incident.TextRef
}

// write runs f in a transaction and commits its decisions. If another transaction
// was faster, it repeats f with new reads, at most maxAttempts times.
func (d *Desk) write(ctx context.Context, f func(*session) error) error {
	var err error
	var s *session
	for range maxAttempts {
		err = d.Store.Tx(ctx, func(tx Tx) error {
			dir, err := tx.Directory()
			if err != nil {
				return fmt.Errorf("read directory: %w", err)
			}
			s = &session{d: d, tx: tx, now: d.Now(), dir: dir, drafts: map[incident.ID]*draft{}}
			if err := f(s); err != nil {
				return err
			}
			return s.flush()
		})
		if err == nil && d.Changed != nil && s.hasEvents() {
			d.Changed()
		}
		if !errors.Is(err, ErrChanged) && !errors.Is(err, ErrCorrelated) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// hasEvents reports whether the session recorded events.
func (s *session) hasEvents() bool {
	return slices.ContainsFunc(s.order, func(id incident.ID) bool { return len(s.drafts[id].events) > 0 })
}

// draft returns the draft of an incident and reads the incident the first time.
func (s *session) draft(id incident.ID) (*draft, error) {
	if dr := s.drafts[id]; dr != nil {
		return dr, nil
	}
	inc, err := s.tx.Incident(id)
	if err != nil {
		return nil, err
	}
	return s.addDraft(inc), nil
}

func (s *session) addDraft(inc incident.Incident) *draft {
	dr := &draft{inc: inc, wasLive: inc.Status.Live()}
	s.drafts[inc.ID] = dr
	s.order = append(s.order, inc.ID)
	return dr
}

// do decides about a command, unless the store has its key.
func (s *session) do(cmd incident.Command) (incident.Result, error) {
	if err := incident.Admit(cmd, s.env(cmd)); err != nil {
		return incident.Result{}, err
	}
	switch cmd.Verb {
	case incident.VerbOpen:
		return s.open(cmd)
	case incident.VerbPromote:
		return s.promote(cmd)
	case incident.VerbRequestAccess:
		return s.requestAccess(cmd)
	}
	dr, err := s.draft(cmd.For)
	if err != nil {
		return incident.Result{}, err
	}
	if !s.mayRead(cmd, dr.inc) {
		return incident.Result{}, incident.NoAccess(cmd.For)
	}
	if cmd.Key != "" {
		fresh, err := s.tx.RecordCommandKey(cmd.For, authorKey(cmd))
		if err != nil {
			return incident.Result{}, fmt.Errorf("store command key: %w", err)
		}
		if !fresh {
			return incident.Result{Incident: dr.inc, Unchanged: true}, nil
		}
	}
	result, err := s.decide(cmd)
	if !incident.MayBeLate(err) && !result.Unchanged {
		return result, err
	}
	earlier, readErr := s.earlier(cmd)
	if readErr != nil {
		return incident.Result{}, readErr
	}
	result.Earlier = earlier
	if dr := s.drafts[cmd.For]; result.Unchanged && dr != nil {
		result.Next = incident.Suggestions(cmd, dr.inc, s.env(cmd))
	}
	return result, withEarlier(err, earlier)
}

// earlier describes the event of another person because of which a command has no effect,
// or returns "".
func (s *session) earlier(cmd incident.Command) (string, error) {
	env := s.env(cmd)
	dr, err := s.draft(cmd.For)
	if err != nil || !dr.inc.MayRead(s.dir, env.Actor, s.now) {
		return "", err
	}
	timeline, err := s.tx.Timeline(cmd.For)
	if err != nil {
		return "", fmt.Errorf("read timeline of %s: %w", cmd.For, err)
	}
	if e, ok := incident.Earlier(cmd, cmd.For, timeline, env); ok {
		return incident.EarlierText(e, env), nil
	}
	return "", nil
}

// withEarlier adds the event that came first to the error of a command.
func withEarlier(err error, earlier string) error {
	refused := new(incident.Error)
	if earlier == "" || !errors.As(err, &refused) {
		return err
	}
	return &incident.Error{Code: refused.Code, Field: refused.Field, Sentence: incident.Say("%s. %s", incident.Quoted(earlier), incident.Quoted(text.Capital(refused.String())))}
}

// mayRead reports whether the author of a command may read an incident. Authors who
// may not get no other answer, whether they repeat a command or not.
func (s *session) mayRead(cmd incident.Command, inc incident.Incident) bool {
	return incident.MayAddress(cmd, inc, s.env(cmd))
}

// denied returns the entry of the audit log for a command that was denied, with the reason
// if its proof was.
func (s *session) denied(cmd incident.Command, err error) Access {
	access := Access{At: s.now, Person: s.env(cmd).Actor, Handle: cmd.By, Action: "command " + string(cmd.Verb), Incident: cmd.For}
	if refused := new(incident.Error); cmd.Proof != nil && errors.As(err, &refused) {
		access.Reason = refused.Error()
	}
	return access
}

// decide decides about a command for an existing incident and records the events.
func (s *session) decide(cmd incident.Command) (incident.Result, error) {
	switch cmd.Verb {
	case incident.VerbMerge:
		return s.merge(cmd)
	case incident.VerbSplit:
		return s.split(cmd)
	case incident.VerbStartPlaybook:
		if err := s.pinPlaybook(&cmd); err != nil {
			return incident.Result{}, err
		}
	case incident.VerbRetry:
		released, err := s.tx.ReleaseEffects(WaitingQuery{Incident: cmd.For})
		if err != nil {
			return incident.Result{}, fmt.Errorf("release effects of %s: %w", cmd.For, err)
		}
		cmd.Count = int64(released)
	case incident.VerbStormTimeout:
		grouped, err := s.endStorm(cmd)
		if err != nil {
			return incident.Result{}, err
		}
		cmd.Count = grouped
	}
	dr, err := s.draft(cmd.For)
	if err != nil {
		return incident.Result{}, err
	}
	if p := s.d.Playbooks; dr.inc.Reporter != nil && p != nil && (cmd.Verb == incident.VerbAcknowledge || cmd.Verb == incident.VerbContain) {
		cmd.Runs, _ = p.Match(dr.inc, nil) // the report of an outsider started none
	}
	env := s.env(cmd)
	if cmd.NeedsTimeline() {
		if env.Timeline, err = s.tx.Timeline(cmd.For); err != nil {
			return incident.Result{}, fmt.Errorf("read timeline of %s: %w", cmd.For, err)
		}
	}
	if err := s.addTrust(cmd, &env); err != nil {
		return incident.Result{}, err
	}
	events, err := incident.Decide(cmd, dr.inc, env)
	if err != nil {
		return incident.Result{}, err
	}
	if err := s.countProof(cmd, events); err != nil {
		return incident.Result{}, err
	}
	if err := s.auditAccess(cmd, events); err != nil {
		return incident.Result{}, err
	}
	if cmd.Verb == incident.VerbBreakGlass && len(events) > 0 {
		if err := s.noteBreakGlass(cmd.For); err != nil {
			return incident.Result{}, err
		}
	}
	return s.record(dr, events), nil
}

// maxFillAlerts is the maximum number of alerts whose values fill the playbook that a
// person starts.
const maxFillAlerts = 10

// pinPlaybook sets the plan of the playbook that a person names. Nothing that a person
// sends sets the plan.
func (s *session) pinPlaybook(cmd *incident.Command) error {
	env := s.env(*cmd)
	if env.System {
		return nil
	}
	dr, err := s.draft(cmd.For)
	if err != nil {
		return err
	}
	cmd.Runs = nil
	if incident.Authorize(*cmd, dr.inc, env) != nil || s.d.Playbooks == nil || cmd.Playbook == "" {
		return nil // Decide refuses
	}
	run, ok := s.d.Playbooks.Pin(cmd.Playbook)
	if !ok {
		return incident.NoPlaybook(cmd.Playbook, s.d.Playbooks.List())
	}
	alerts, err := s.tx.Alerts(AlertQuery{Incident: cmd.For, Limit: maxFillAlerts})
	if err != nil {
		return fmt.Errorf("read alerts of %s: %w", cmd.For, err)
	}
	for _, a := range alerts {
		run = run.Fill(cmd.For, a.Alert)
	}
	cmd.Runs = []incident.Run{run}
	return nil
}

// auditAccess writes a command about access to the audit log.
func (s *session) auditAccess(cmd incident.Command, events []incident.Event) error {
	if len(events) == 0 || !cmd.Verb.ChangesAccess() {
		return nil
	}
	reason := cmd.Text
	if cmd.Person != "" {
		reason = fmt.Sprintf("%s: %s", s.dir.Name(cmd.Person), cmd.Text)
	}
	err := s.tx.Audit(Access{At: s.now, Person: s.env(cmd).Actor, Handle: cmd.By, Action: strings.ReplaceAll(string(cmd.Verb), "_", " "), Incident: cmd.For, Reason: reason, Allowed: true})
	if err != nil {
		return fmt.Errorf("audit %s: %w", cmd.Verb, err)
	}
	return nil
}

// doAsBot decides about a command of Tocsin itself.
func (s *session) doAsBot(id incident.ID, cmd incident.Command) error {
	cmd.For, cmd.By, cmd.Via = id, incident.System, incident.ViaSystem
	_, err := s.decide(cmd)
	return err
}

// env returns the environment of a decision, with the person who gave the
// command.
func (s *session) env(cmd incident.Command) incident.Env {
	env := incident.Env{Now: s.now, Directory: s.dir, Policy: s.d.Policy, Restores: s.d.Restores,
		System:        cmd.By.Provider == incident.ProviderSystem || cmd.By.Provider == incident.ProviderSource,
		Administrator: s.d.Administers(cmd.By)}
	if person, ok := s.dir.Resolve(cmd.By); ok && !env.System {
		env.Actor = person.ID
	}
	return env
}

// record seals and applies events, and adds their effects to the draft.
func (s *session) record(dr *draft, events []incident.Event) incident.Result {
	result, before := incident.Result{Unchanged: len(events) == 0}, dr.inc
	for _, e := range events {
		sealed, _ := incident.Seal(dr.inc.Head, e, s.d.Salt)
		dr.inc = incident.Apply(dr.inc, sealed)
		dr.events = append(dr.events, sealed)
		result.Events, result.Paged = append(result.Events, sealed), append(result.Paged, sealed.PagedPeople(s.dir)...)
		dr.erase = append(dr.erase, sealed.ErasedTexts()...)
	}
	for _, e := range result.Events {
		var takenFrom incident.Incident
		if from := s.drafts[e.TakenFrom()]; from != nil {
			takenFrom = from.inc
		}
		dr.effects = append(dr.effects, e.Effects(dr.inc, takenFrom, incident.Env{Now: s.now, Directory: s.dir, Policy: s.d.Policy})...)
	}
	dr.effects = append(dr.effects, incident.Retractions(before, dr.inc)...)
	result.Incident = dr.inc
	return result
}

// merge merges one incident into another. It locks both in the order of their
// numbers, which prevents deadlocks between merges. The error about a target that
// does not exist is the one about a target that the author may not read.
func (s *session) merge(cmd incident.Command) (incident.Result, error) {
	missing := map[incident.ID]error{}
	for _, id := range slices.Sorted(slices.Values([]incident.ID{cmd.For, cmd.Target})) {
		if _, err := s.draft(id); incident.CodeOf(err) == incident.CodeUnknown {
			missing[id] = err
		} else if err != nil {
			return incident.Result{}, err
		}
	}
	if err := missing[cmd.For]; err != nil {
		return incident.Result{}, err
	}
	source, target := s.drafts[cmd.For], s.drafts[cmd.Target]
	if target == nil {
		target = &draft{inc: incident.New(cmd.Target)}
	}
	ofSource, ofTarget, err := incident.DecideMerge(cmd, source.inc, target.inc, s.env(cmd))
	if err != nil {
		return incident.Result{}, err
	}
	result := s.record(source, ofSource)
	s.record(target, ofTarget)
	source.merged = source.merged || len(ofSource) > 0
	return result, nil
}
