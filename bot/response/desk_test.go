package response

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"tocsin/bot/incident"
	"tocsin/bot/redact"
	"tocsin/playbooks"
)

func TestACommandIsDoneOnce(t *testing.T) {
	w := newWorld(t, nil)
	open := incident.Command{Key: "view1", Verb: incident.VerbOpen, Title: "a key leaked"}
	id := w.say(t, "p1", open).Incident.ID
	if again := w.say(t, "p1", open); again.Incident.ID != id || !again.Unchanged || len(w.store.incidents) != 1 {
		t.Errorf("a second click opened %v", again.Incident.ID)
	}
	note := incident.Command{Key: "view2", For: id, Verb: incident.VerbNote, Text: "once"}
	w.say(t, "p1", note)
	if again := w.say(t, "p1", note); !again.Unchanged || count(w.kinds(id), incident.EventNoted) != 1 {
		t.Error("a second click noted it twice")
	}
}

func TestAKnownKeyIsNoPass(t *testing.T) {
	w := newWorld(t, nil)
	open := incident.Command{Key: "view1", Verb: incident.VerbOpen, Title: "a key leaked"}
	id := w.say(t, "p1", open).Incident.ID
	note := incident.Command{Key: "view2", For: id, Verb: incident.VerbNote, Text: "once"}
	w.say(t, "p1", note)
	for _, cmd := range []incident.Command{open, note} {
		cmd.Via = incident.ViaCLI
		for _, who := range []string{"p5", "nobody"} { // legal was not called in
			cmd.By = incident.Identity{Provider: incident.ProviderLocal, ID: who}
			again, err := w.Do(context.Background(), cmd)
			if err != nil || !again.Unchanged || again.Incident.ID != id || again.Incident.Title != "" {
				t.Errorf("%s hears of %s: %+v, %v", who, cmd.Verb, again.Incident, err)
			}
		}
	}
}

func TestARefusedCommandLeavesNoTrace(t *testing.T) {
	w := newWorld(t, nil)
	_, err := w.Do(context.Background(), incident.Command{Key: "k", Verb: incident.VerbOpen, By: slack("p1"), Via: incident.ViaSlack})
	if incident.CodeOf(err) != incident.CodeInvalid || w.store.next != 0 {
		t.Fatalf("got %v, number %d", err, w.store.next)
	}
	id := w.open(t, incident.Sev2)
	cmd := incident.Command{Key: "k", For: id, Verb: incident.VerbResolve, By: slack("p1"), Via: incident.ViaSlack, Text: "done"}
	before := len(w.store.effects)
	if _, err := w.Do(context.Background(), cmd); incident.CodeOf(err) != incident.CodeConflict {
		t.Fatalf("got %v", err)
	}
	if len(w.store.effects) != before || w.store.keys["INC-1 k"] {
		t.Error("a refused command left something behind")
	}
	cmd.By = incident.Identity{Provider: incident.ProviderSlack, ID: "Unobody"}
	if _, err := w.Do(context.Background(), cmd); incident.CodeOf(err) != incident.CodeForbidden {
		t.Errorf("nobody may: %v", err)
	}
}

func TestALostRaceIsJudgedAgain(t *testing.T) {
	races := 3
	w := newWorld(t, func(o *Options) { o.Store = racing{o.Store.(*memory), &races} })
	id := w.open(t, incident.Sev2)
	if races != 0 || len(w.store.events[id]) == 0 {
		t.Errorf("%d races left", races)
	}
}

// racing loses some races before it lets a Save pass.
type racing struct {
	*memory
	left *int
}

func (r racing) Tx(ctx context.Context, f func(Tx) error) error {
	return r.memory.Tx(ctx, func(tx Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		if *r.left > 0 {
			*r.left--
			return ErrChanged
		}
		return nil
	})
}

// What a refusal quotes leaves the house through a door like any other text.
func TestRefusalsAreRedacted(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Redact = redact.New(redact.Options{}) })
	id := w.open(t, incident.Sev2)
	cmd := incident.Command{For: id, Verb: incident.VerbAssignRole, Role: "jane.doe@example.com", Person: "p1", By: slack("p1"), Via: incident.ViaSlack}
	_, err := w.Do(context.Background(), cmd)
	if incident.CodeOf(err) != incident.CodeInvalid || strings.Contains(err.Error(), "jane.doe") {
		t.Errorf("Slack hears %v", err)
	}
	cmd.By = incident.Identity{Provider: incident.ProviderLocal, ID: "p1"}
	if _, err := w.Do(context.Background(), cmd); err == nil || !strings.Contains(err.Error(), "jane.doe") {
		t.Errorf("the command line hears %v", err)
	}
}

// A lost answer to the commit is no refusal and no failure: whoever asked hears
// that it may have been done, and the same key finds out.
func TestALostAnswerIsSaid(t *testing.T) {
	lose := false
	w := newWorld(t, func(o *Options) { o.Store = unanswered{o.Store.(*memory), &lose} })
	id := w.open(t, incident.Sev2)
	cmd := incident.Command{Key: "view", For: id, Verb: incident.VerbNote, Text: "once", By: slack("p1"), Via: incident.ViaSlack}
	lose = true
	_, err := w.Do(context.Background(), cmd)
	var open interface{ OutcomeUnknown() bool }
	if !errors.As(err, &open) || !open.OutcomeUnknown() {
		t.Fatalf("got %v", err)
	}
	lose = false
	if again, err := w.Do(context.Background(), cmd); err != nil || !again.Unchanged || count(w.kinds(id), incident.EventNoted) != 1 {
		t.Errorf("the second try: %+v, %v", again, err)
	}
}

// unanswered commits, and may lose the answer.
type unanswered struct {
	*memory
	lose *bool
}

func (u unanswered) Tx(ctx context.Context, f func(Tx) error) error {
	if err := u.memory.Tx(ctx, f); err != nil || !*u.lose {
		return err
	}
	return lostAnswer{errors.New("the connection broke")}
}

type lostAnswer struct{ error }

func (lostAnswer) OutcomeUnknown() bool { return true }

func TestMergeTakesEverythingAlong(t *testing.T) {
	w := routed(t, nil)
	w.report(t, reported(1, alert("A", "f1", "k1")), reported(2, alert("B", "f2", "k2")))
	w.settle(t)
	w.say(t, "p1", incident.Command{For: 1, Verb: incident.VerbGrant, Person: "p7", Text: "knows the customer"})
	w.say(t, "p1", incident.Command{For: 1, Verb: incident.VerbMerge, Target: 2, Text: "the same thing"})
	if w.store.correlate["k1"] != 2 || w.store.alerts[0].Incident != 2 {
		t.Errorf("keys %v, alerts %v", w.store.correlate, w.store.alerts)
	}
	w.report(t, reported(3, alert("A", "f1", "k1")))
	if len(w.store.incidents) != 2 || w.store.alerts[0].Count != 2 {
		t.Error("a later copy did not find the target")
	}
	if !slices.Contains(w.store.kinds(2), "invite p7") {
		t.Errorf("who worked on the source was not brought along: %v", w.store.kinds(2))
	}
	if !slices.Contains(w.store.kinds(1), "page_resolve 1") || !slices.Contains(w.store.kinds(1), "archive") {
		t.Errorf("the source was not closed outside: %v", w.store.kinds(1))
	}
}

func TestReadersSeeWhatTheyMay(t *testing.T) {
	w := newWorld(t, nil)
	id := w.open(t, incident.Sev2)
	cmd := incident.Command{For: id, Verb: incident.VerbNote, Text: "privileged", Audience: incident.AudienceLegalSecurity}
	w.say(t, "p3", cmd)
	ctx := context.Background()
	show := func(person string) (incident.View, error) {
		return w.Show(ctx, incident.Identity{Provider: incident.ProviderLocal, ID: person}, id, "on call")
	}
	if _, err := show("p5"); incident.CodeOf(err) != incident.CodeForbidden { // legal was not called in
		t.Errorf("legal reads along: %v", err)
	}
	if _, err := show("nobody"); incident.CodeOf(err) != incident.CodeForbidden {
		t.Errorf("a stranger reads along: %v", err)
	}
	privileged := func(v incident.View) bool {
		return slices.ContainsFunc(v.Timeline, func(e incident.Event) bool { return e.Text("text") == "privileged" })
	}
	if v, err := show("p1"); err != nil || privileged(v) { // engineering, a responder
		t.Errorf("engineering reads what was said to legal and security: %v", err)
	}
	if v, err := show("p3"); err != nil || !privileged(v) {
		t.Errorf("security does not read its own: %v", err)
	}
	list, err := w.List(ctx, incident.Identity{Provider: incident.ProviderLocal, ID: "p5"}, incident.Filter{})
	if err != nil || len(list) != 1 || list[0].Title != "" {
		t.Errorf("the list shows the title of a restricted incident: %+v, %v", list, err)
	}
	var allowed []bool
	for _, a := range w.store.audit {
		allowed = append(allowed, a.Allowed)
	}
	if !slices.Equal(allowed, []bool{false, false, true, true, true}) {
		t.Errorf("audited %+v", w.store.audit)
	}
}

func TestPlaybooksRun(t *testing.T) {
	lib, err := playbooks.Load()
	if err != nil {
		t.Fatal(err)
	}
	w := routed(t, func(o *Options) { o.Playbooks = lib })
	a := alert("GetObject", "f1", "k")
	a.Level = incident.LevelCritical
	w.report(t, reported(1, a))
	w.settle(t)
	inc := w.store.incidents[1]
	started := 0
	for _, s := range inc.Run("data-exposure").Plan {
		if !s.Started.IsZero() {
			started++
		}
		if !s.Started.IsZero() && s.Action != "" && !s.Finished() {
			t.Errorf("the bot did not do its step %s", s.ID)
		}
	}
	if started == 0 {
		t.Fatal("no step was started")
	}
	timers := 0
	for _, e := range w.store.effects {
		if e.Kind == incident.EffectStepTimer && !e.done {
			timers++
			w.now = e.After
		}
	}
	if timers == 0 {
		t.Fatal("no deadline is watched over")
	}
	w.settle(t)
	if count(w.kinds(1), incident.EventStepLate) == 0 {
		t.Errorf("nobody said that a step is late: %v", w.kinds(1))
	}
}

// TestTheWholeLife lives one incident to its postmortem and counts what left.
func TestTheWholeLife(t *testing.T) {
	var files []string
	w := newWorld(t, func(o *Options) {
		upload := o.Handlers[incident.EffectUpload]
		o.Handlers[incident.EffectUpload] = func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
			files = append(files, b.Document.Markdown)
			if _, err := upload(ctx, b, e); err != nil {
				return incident.Command{}, err
			}
			return incident.Command{Verb: incident.VerbPostmortemShared, Revision: b.Document.Revision, Item: "F1"}, nil
		}
	})
	id := w.open(t, incident.Sev3)
	w.say(t, "p1", incident.Command{For: id, Verb: incident.VerbAcknowledge})
	w.say(t, "p1", incident.Command{For: id, Verb: incident.VerbResolve, Text: "rotated"})
	record := map[string]string{}
	for _, f := range incident.RecordFields() {
		if f.Name != "audience" && f.Name != "language" {
			record[f.Name] = "the " + f.Label
		}
	}
	w.say(t, "p1", incident.Command{For: id, Verb: incident.VerbSubmit, Record: record})
	w.settle(t)
	if n := count(w.calls, "ask_sign"); n != 4 {
		t.Errorf("%d departments were asked", n)
	}
	digest := w.store.incidents[id].Submission.Digest
	for n, team := range incident.RequiredDepartments() {
		w.say(t, []string{"p2", "p3", "p5", "p7"}[n], incident.Command{For: id, Verb: incident.VerbSign, Department: team, Expect: digest})
	}
	w.settle(t)
	if got := w.store.incidents[id].Status; got != incident.Approved {
		t.Fatalf("it is %s", got)
	}
	if !slices.Equal(files, []string{"# a key leaked"}) || !w.store.incidents[id].Postmortems[0].Shared {
		t.Errorf("shared %v, %+v", files, w.store.incidents[id].Postmortems)
	}
	for _, kind := range []string{"announce_postmortem", "mail_postmortem", "upload"} {
		if count(w.calls, kind) != 1 {
			t.Errorf("%s: %d times", kind, count(w.calls, kind))
		}
	}
	doc, err := w.Document(context.Background(), incident.Identity{Provider: incident.ProviderLocal, ID: "p5"}, id, 1, "")
	if err != nil || doc.Digest != digest || doc.Revision != 1 {
		t.Errorf("the document: %+v, %v", doc, err)
	}
	if faults := incident.Verify(id, w.store.events[id], w.store.incidents[id].Head); len(faults) > 0 {
		t.Errorf("the chain: %v", faults)
	}
}

func TestAStalePostmortemIsNotWritten(t *testing.T) {
	w := newWorld(t, nil)
	id := w.open(t, incident.Sev3)
	err := w.store.Enqueue(incident.Effect{Key: "x", Kind: incident.EffectWritePostmortem, Incident: id, Seq: 1, Args: map[string]string{"revision": "1", "digest": "sha256:old"}})
	if err != nil {
		t.Fatal(err)
	}
	w.settle(t)
	if len(w.store.documents) != 0 || count(w.kinds(id), incident.EventPostmortemWritten) != 0 {
		t.Error("a postmortem was written for a record nobody signed")
	}
}

func TestAgenda(t *testing.T) {
	var agenda []incident.Summary
	w := newWorld(t, func(o *Options) {
		o.Handlers[incident.EffectAgenda] = func(_ context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
			agenda = append(agenda, b.Agenda...)
			return incident.Command{}, nil
		}
	})
	id := w.open(t, incident.Sev4)
	w.say(t, "p1", incident.Command{For: id, Verb: incident.VerbSetFact, Fact: &incident.FactChange{Name: incident.FactPersonalData, Value: "no"}, Text: "looked"})
	w.say(t, "p1", incident.Command{For: id, Verb: incident.VerbDismiss, Text: "a drill"})
	for range 2 {
		if err := w.Sweep(context.Background(), ScheduleAgenda, w.now); err != nil {
			t.Fatal(err)
		}
	}
	w.settle(t)
	if len(agenda) != 1 || agenda[0].ID != id || agenda[0].Title != "" {
		t.Errorf("agenda %+v", agenda)
	}
	if err := w.Sweep(context.Background(), "tea", w.now); err == nil {
		t.Error("an unknown schedule is swept")
	}
}

var errDown = errors.New("the other side is down")
