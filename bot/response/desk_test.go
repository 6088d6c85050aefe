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

func TestDo_RepeatedKeyChangesNothing(t *testing.T) {
	fx := newFixture(t, nil)
	open := incident.Command{Key: "view1", Verb: incident.VerbOpen, Title: "a key leaked"}
	id := fx.do(t, "p1", open).Incident.ID
	if again := fx.do(t, "p1", open); again.Incident.ID != id || !again.Unchanged || len(fx.store.incidents) != 1 {
		t.Errorf("repeated open: got %v", again.Incident.ID)
	}
	note := incident.Command{Key: "view2", For: id, Verb: incident.VerbNote, Text: "once"}
	fx.do(t, "p1", note)
	if again := fx.do(t, "p1", note); !again.Unchanged || countOf(fx.eventKinds(id), incident.EventNoted) != 1 {
		t.Error("repeated note: got a second note")
	}
}

func TestDo_RepeatedKeyGrantsNoAccess(t *testing.T) {
	fx := newFixture(t, nil)
	open := incident.Command{Key: "view1", Verb: incident.VerbOpen, Title: "a key leaked"}
	id := fx.do(t, "p1", open).Incident.ID
	note := incident.Command{Key: "view2", For: id, Verb: incident.VerbNote, Text: "once"}
	fx.do(t, "p1", note)
	for _, cmd := range []incident.Command{open, note} {
		cmd.Via = incident.ViaCLI
		for _, who := range []string{"p5", "nobody"} { // legal is not involved
			cmd.By = incident.Identity{Provider: incident.ProviderLocal, ID: who}
			again, err := fx.Do(context.Background(), cmd)
			if again.Unchanged || again.Incident.ID == id || (err == nil) != (cmd.Verb == incident.VerbOpen) {
				t.Errorf("%s, %s: got incident %+v, %v, want the answer to an unused key", who, cmd.Verb, again.Incident, err)
			}
		}
	}
}

func TestDo_RejectedCommandChangesNothing(t *testing.T) {
	fx := newFixture(t, nil)
	_, err := fx.Do(context.Background(), incident.Command{Key: "k", Verb: incident.VerbOpen, By: slackIdentity("p1"), Via: incident.ViaSlack})
	if incident.CodeOf(err) != incident.CodeInvalid || fx.store.next != 0 {
		t.Fatalf("got %v, incident number %d", err, fx.store.next)
	}
	id := fx.open(t, incident.Sev2)
	cmd := incident.Command{Key: "k", For: id, Verb: incident.VerbResolve, By: slackIdentity("p1"), Via: incident.ViaSlack, Text: "done"}
	before := len(fx.store.effects)
	if _, err := fx.Do(context.Background(), cmd); incident.CodeOf(err) != incident.CodeConflict {
		t.Fatalf("got %v", err)
	}
	if len(fx.store.effects) != before || fx.store.keys["INC-1 k"] {
		t.Error("rejected command changed the store")
	}
	cmd.By = incident.Identity{Provider: incident.ProviderSlack, ID: "Unobody"}
	if _, err := fx.Do(context.Background(), cmd); incident.CodeOf(err) != incident.CodeForbidden {
		t.Errorf("unknown person: got %v, want forbidden", err)
	}
}

func TestDo_RetriesOnConflict(t *testing.T) {
	conflicts := 3
	fx := newFixture(t, func(o *Options) { o.Store = conflictingStore{o.Store.(*memory), &conflicts} })
	id := fx.open(t, incident.Sev2)
	if conflicts != 0 || len(fx.store.events[id]) == 0 {
		t.Errorf("got %d conflicts left, want 0", conflicts)
	}
}

// conflictingStore returns ErrChanged for a number of transactions.
type conflictingStore struct {
	*memory
	conflicts *int
}

func (r conflictingStore) Tx(ctx context.Context, f func(Tx) error) error {
	return r.memory.Tx(ctx, func(tx Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		if *r.conflicts > 0 {
			*r.conflicts--
			return ErrChanged
		}
		return nil
	})
}

func TestDo_RedactsErrorsForSlack(t *testing.T) {
	fx := newFixture(t, func(o *Options) { o.Redact = redact.New(redact.Options{}) })
	id := fx.open(t, incident.Sev2)
	cmd := incident.Command{For: id, Verb: incident.VerbAssignRole, Role: "jane.doe@example.com", Person: "p1", By: slackIdentity("p1"), Via: incident.ViaSlack}
	_, err := fx.Do(context.Background(), cmd)
	if incident.CodeOf(err) != incident.CodeInvalid || strings.Contains(err.Error(), "jane.doe") {
		t.Errorf("Slack: got %v, want it redacted", err)
	}
	cmd.By = incident.Identity{Provider: incident.ProviderLocal, ID: "p1"}
	if _, err := fx.Do(context.Background(), cmd); err == nil || !strings.Contains(err.Error(), "jane.doe") {
		t.Errorf("command line: got %v, want it unredacted", err)
	}
}

// A lost reply to the commit is neither success nor failure. A repeat with the
// key finds out.
func TestDo_OutcomeUnknownAfterLostReply(t *testing.T) {
	lose := false
	fx := newFixture(t, func(o *Options) { o.Store = lostReplyStore{o.Store.(*memory), &lose} })
	id := fx.open(t, incident.Sev2)
	cmd := incident.Command{Key: "view", For: id, Verb: incident.VerbNote, Text: "once", By: slackIdentity("p1"), Via: incident.ViaSlack}
	lose = true
	_, err := fx.Do(context.Background(), cmd)
	var unknown interface{ OutcomeUnknown() bool }
	if !errors.As(err, &unknown) || !unknown.OutcomeUnknown() {
		t.Fatalf("got %v", err)
	}
	lose = false
	if again, err := fx.Do(context.Background(), cmd); err != nil || !again.Unchanged || countOf(fx.eventKinds(id), incident.EventNoted) != 1 {
		t.Errorf("repeated command: got %+v, %v", again, err)
	}
}

// lostReplyStore commits and loses the reply if *lost is true.
type lostReplyStore struct {
	*memory
	lost *bool
}

func (u lostReplyStore) Tx(ctx context.Context, f func(Tx) error) error {
	if err := u.memory.Tx(ctx, f); err != nil || !*u.lost {
		return err
	}
	return lostReplyError{errors.New("connection lost")}
}

type lostReplyError struct{ error }

func (lostReplyError) OutcomeUnknown() bool { return true }

func TestMerge_MovesAlertsKeysAndPeople(t *testing.T) {
	fx := newRoutedFixture(t, nil)
	fx.ingest(t, delivery(1, testAlert("A", "f1", "k1")), delivery(2, testAlert("B", "f2", "k2")))
	fx.runQueue(t)
	fx.do(t, "p1", incident.Command{For: 1, Verb: incident.VerbGrant, Person: "p7", Text: "knows the customer"})
	fx.do(t, "p1", incident.Command{For: 1, Verb: incident.VerbMerge, Target: 2, Text: "the same thing"})
	if fx.store.correlate["k1"] != 2 || fx.store.alerts[0].Incident != 2 {
		t.Errorf("got keys %v, alerts %v", fx.store.correlate, fx.store.alerts)
	}
	fx.ingest(t, delivery(3, testAlert("A", "f1", "k1")))
	if len(fx.store.incidents) != 2 || fx.store.alerts[0].Count != 2 {
		t.Error("later occurrence was not attached to the target")
	}
	if !slices.Contains(fx.store.effectNames(2), "invite p7") {
		t.Errorf("participants of the source were not invited: %v", fx.store.effectNames(2))
	}
	if !slices.Contains(fx.store.effectNames(1), "page_resolve 1 0") || !slices.Contains(fx.store.effectNames(1), "archive") {
		t.Errorf("pages and channel of the source were not closed: %v", fx.store.effectNames(1))
	}
}

func TestShow_HonoursRestrictionAndAudience(t *testing.T) {
	fx := newFixture(t, nil)
	id := fx.open(t, incident.Sev2)
	cmd := incident.Command{For: id, Verb: incident.VerbNote, Text: "privileged", Audience: incident.AudienceLegalSecurity}
	fx.do(t, "p3", cmd)
	ctx := context.Background()
	show := func(person string) (incident.View, error) {
		return fx.Show(ctx, incident.Identity{Provider: incident.ProviderLocal, ID: person}, id, "on call")
	}
	if _, err := show("p5"); incident.CodeOf(err) != incident.CodeUnknown { // legal is not involved
		t.Errorf("legal: got %v, want unknown", err)
	}
	if _, err := show("nobody"); incident.CodeOf(err) != incident.CodeForbidden {
		t.Errorf("unknown person: got %v, want forbidden", err)
	}
	privileged := func(v incident.View) bool {
		return slices.ContainsFunc(v.Timeline, func(e incident.Event) bool { return e.Text("text") == "privileged" })
	}
	if v, err := show("p1"); err != nil || privileged(v) { // engineering, a responder
		t.Errorf("engineering reads a privileged note: %v", err)
	}
	if v, err := show("p3"); err != nil || !privileged(v) {
		t.Errorf("security cannot read its note: %v", err)
	}
	list, err := fx.List(ctx, incident.Identity{Provider: incident.ProviderLocal, ID: "p5"}, incident.Filter{})
	if err != nil || len(list) != 1 || list[0].Title != "" {
		t.Errorf("got list %+v, %v, want no title", list, err)
	}
	var allowed []bool
	for _, a := range fx.store.audit {
		allowed = append(allowed, a.Allowed)
	}
	if !slices.Equal(allowed, []bool{false, false, true, true, true}) {
		t.Errorf("got audit log %+v", fx.store.audit)
	}
}

func TestPlaybook_RunsStepsAndTimers(t *testing.T) {
	lib, err := playbooks.Load()
	if err != nil {
		t.Fatal(err)
	}
	fx := newRoutedFixture(t, func(o *Options) { o.Playbooks = lib })
	a := testAlert("GetObject", "f1", "k")
	a.Level = incident.LevelCritical
	fx.ingest(t, delivery(1, a))
	fx.runQueue(t)
	inc := fx.store.incidents[1]
	started := 0
	for _, s := range inc.Run("data-exposure").Plan {
		if !s.Started.IsZero() {
			started++
		}
		if !s.Started.IsZero() && s.Action != "" && !s.Finished() {
			t.Errorf("automated step %s is not finished", s.ID)
		}
	}
	if started == 0 {
		t.Fatal("got no started step")
	}
	timers := 0
	for _, e := range fx.store.effects {
		if e.Deadline().Command.Verb == incident.VerbStepLate && !e.done {
			timers++
			fx.now = e.After
		}
	}
	if timers == 0 {
		t.Fatal("got no step timer")
	}
	fx.runQueue(t)
	if countOf(fx.eventKinds(1), incident.EventStepLate) == 0 {
		t.Errorf("got events %v, want a late step", fx.eventKinds(1))
	}
}

func TestLifecycle_OpenToPostmortem(t *testing.T) {
	var files []string
	fx := newFixture(t, func(o *Options) {
		upload := o.Handlers[incident.EffectUpload]
		o.Handlers[incident.EffectUpload] = func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
			files = append(files, b.Document.Files[0].Content)
			if _, err := upload(ctx, b, e); err != nil {
				return incident.Command{}, err
			}
			return incident.Command{Verb: incident.VerbPostmortemShared, Revision: b.Document.Revision, Item: "F1"}, nil
		}
	})
	id := fx.open(t, incident.Sev3)
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbAcknowledge})
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbResolve, Text: "rotated"})
	record := map[string]string{}
	for _, f := range incident.RecordFields() {
		if f.Name != "audience" && f.Name != "language" {
			record[f.Name] = "the " + f.Label
		}
	}
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbSubmit, Record: record})
	fx.runQueue(t)
	if n := countOf(fx.calls, "ask_sign"); n != 4 {
		t.Errorf("got %d sign requests, want 4", n)
	}
	digest := fx.store.incidents[id].Submission.Digest
	for n, team := range incident.RequiredDepartments() {
		fx.do(t, []string{"p2", "p3", "p5", "p7"}[n], incident.Command{For: id, Verb: incident.VerbSign, Department: team, Expect: digest})
	}
	fx.runQueue(t)
	if got := fx.store.incidents[id].Status; got != incident.Approved {
		t.Fatalf("got status %s, want approved", got)
	}
	if !slices.Equal(files, []string{"# a key leaked"}) || !fx.store.incidents[id].Postmortems[0].Shared {
		t.Errorf("got files %v, postmortems %+v", files, fx.store.incidents[id].Postmortems)
	}
	for _, kind := range []string{"announce_postmortem", "mail_postmortem", "upload"} {
		if countOf(fx.calls, kind) != 1 {
			t.Errorf("%s: got %d calls, want 1", kind, countOf(fx.calls, kind))
		}
	}
	doc, err := fx.Document(context.Background(), incident.Identity{Provider: incident.ProviderLocal, ID: "p5"}, id, 1, "")
	if err != nil || doc.Digest != digest || doc.Revision != 1 {
		t.Errorf("got document %+v, %v", doc, err)
	}
	if problems := incident.Verify(id, fx.store.events[id], fx.store.incidents[id].Head); len(problems) > 0 {
		t.Errorf("verify chain: %v", problems)
	}
}

func TestWritePostmortem_SkipsChangedRecord(t *testing.T) {
	fx := newFixture(t, nil)
	id := fx.open(t, incident.Sev3)
	err := fx.store.Enqueue(incident.Effect{Key: "x", Kind: incident.EffectWritePostmortem, Incident: id, Seq: 1, Args: map[string]string{"revision": "1", "digest": "sha256:old"}})
	if err != nil {
		t.Fatal(err)
	}
	fx.runQueue(t)
	if len(fx.store.documents) != 0 || countOf(fx.eventKinds(id), incident.EventPostmortemWritten) != 0 {
		t.Error("wrote a postmortem for an unsigned record")
	}
}

func TestSweep_PostsReviewAgenda(t *testing.T) {
	var agenda []incident.Summary
	fx := newFixture(t, func(o *Options) {
		o.Handlers[incident.EffectAgenda] = func(_ context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
			agenda = append(agenda, b.Agenda...)
			return incident.Command{}, nil
		}
	})
	id := fx.open(t, incident.Sev4)
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbDismiss, Text: "a drill", NoPersonalData: true})
	for range 2 {
		if err := fx.Sweep(context.Background(), ScheduleAgenda, fx.now); err != nil {
			t.Fatal(err)
		}
	}
	fx.runQueue(t)
	if len(agenda) != 1 || agenda[0].ID != id || agenda[0].Title != "" {
		t.Errorf("got agenda %+v", agenda)
	}
	if err := fx.Sweep(context.Background(), "tea", fx.now); err == nil {
		t.Error("got no error for an unknown schedule")
	}
}

var errUnavailable = errors.New("service unavailable")
