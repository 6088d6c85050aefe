package response

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"tocsin/bot/incident"
)

var at = time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC)

var policy = incident.Policy{EscalateAfter: 5 * time.Minute, AckTimeout: 30 * time.Minute, EscalationSteps: 3, TimeZone: "Europe/Paris", Language: "en"}

// people are two in each department; those of engineering and security respond.
func people() incident.Directory {
	var d incident.Directory
	for n, team := range incident.RequiredDepartments() {
		members := []incident.Membership{}
		for k := range 2 {
			id := incident.PersonID(fmt.Sprintf("p%d", 2*n+k+1))
			d.People = append(d.People, incident.Person{ID: id, Name: "Person " + string(id), Responder: n < 2, Identities: []incident.Identity{
				{Provider: incident.ProviderSlack, ID: "U" + string(id)}, {Provider: incident.ProviderPagerDuty, ID: "P" + string(id)}, {Provider: incident.ProviderLocal, ID: string(id)}}})
			members = append(members, incident.Membership{Person: id})
		}
		d.Teams = append(d.Teams, incident.Team{Name: team, Head: members[0].Person, Members: members})
	}
	return d
}

// blots replaces every text, so that one that slipped through is seen.
type blots struct{}

func (blots) Text(s string) string {
	if s == "" {
		return ""
	}
	return "[gone]"
}

// clear lets texts through, for tests that read them.
type clear struct{}

func (clear) Text(s string) string { return s }

// salts is a source of salts that differ and are the same in each run.
func salts() func() []byte {
	n := uint64(0)
	return func() []byte {
		n++
		return binary.BigEndian.AppendUint64(make([]byte, 24), n)
	}
}

// tester is what *testing.T and *rapid.T have in common.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// world is a desk on a memory store, with a clock.
type world struct {
	*Desk
	store *memory
	now   time.Time
	calls []string // of handlers: "kind" or "page round/route"
}

// newWorld makes a desk whose handlers succeed and write down that they were called.
func newWorld(t tester, change func(*Options)) *world {
	t.Helper()
	w := &world{store: newMemory(people()), now: at}
	note := func(result incident.Command) Handler {
		return func(_ context.Context, _ incident.Brief, e incident.Effect) (incident.Command, error) {
			w.calls = append(w.calls, string(e.Kind))
			return result, nil
		}
	}
	o := Options{Store: w.store, Policy: policy, Redact: clear{}, Now: func() time.Time { return w.now }, Salt: salts(),
		RenderPostmortem: func(inc incident.Incident, _ []incident.Event, _ incident.Directory, _ int, _ time.Time) (incident.Document, error) {
			return incident.Document{Markdown: "# " + inc.Title}, nil
		},
		Handlers: map[incident.EffectKind]Handler{}}
	for _, kind := range outsideKinds() {
		o.Handlers[kind] = note(incident.Command{})
	}
	o.Handlers[incident.EffectOpenChannel] = note(incident.Command{Verb: incident.VerbLink, Links: map[string]string{incident.LinkChannel: "C1", incident.LinkCard: "1.1"}})
	page := func(_ context.Context, _ incident.Brief, e incident.Effect) (incident.Command, error) {
		w.calls = append(w.calls, "page "+e.Args["round"]+"/"+e.Args["escalation_step"])
		return incident.Command{}, nil
	}
	o.Pages = []Handler{page, page, page}
	if change != nil {
		change(&o)
	}
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	w.Desk = d
	return w
}

// outsideKinds lists the effects that somebody outside carries out.
func outsideKinds() []incident.EffectKind {
	return []incident.EffectKind{incident.EffectOpenChannel, incident.EffectInvite, incident.EffectPost, incident.EffectAskSign, incident.EffectAskConsult,
		incident.EffectUpload, incident.EffectArchive, incident.EffectAnnounce, incident.EffectAnnouncePostmortem, incident.EffectAgenda, incident.EffectCard,
		incident.EffectTopic, incident.EffectPageAck, incident.EffectPageResolve, incident.EffectMailPostmortem, incident.EffectMailInvitation,
		incident.EffectAcknowledge, incident.EffectNotice, incident.EffectMailNotice}
}

// slack is how a person speaks in these tests.
func slack(person string) incident.Identity {
	return incident.Identity{Provider: incident.ProviderSlack, ID: "U" + person}
}

// say has a person say something about an incident and fails the test when it is refused.
func (w *world) say(t tester, person string, cmd incident.Command) incident.Result {
	t.Helper()
	cmd.By, cmd.Via, cmd.Auth = slack(person), incident.ViaSlack, "slack"
	result, err := w.Do(context.Background(), cmd)
	if err != nil {
		t.Fatalf("%s: %v", cmd.Verb, err)
	}
	return result
}

// open opens an incident by a person.
func (w *world) open(t tester, severity incident.Severity) incident.ID {
	t.Helper()
	return w.say(t, "p1", incident.Command{Verb: incident.VerbOpen, Title: "a key leaked", Severity: severity}).Incident.ID
}

// settle works the queue until nothing is due at this time.
func (w *world) settle(t tester) {
	t.Helper()
	for range 10000 {
		due := w.store.runnable(w.now)
		if len(due) == 0 {
			return
		}
		if err := w.Perform(context.Background(), w.store.start(due[0])); err != nil {
			t.Fatalf("perform: %v", err)
		}
	}
	t.Fatal("the queue does not come to rest")
}

// kinds lists the events of an incident.
func (w *world) kinds(id incident.ID) []incident.EventKind {
	var out []incident.EventKind
	for _, e := range w.store.events[id] {
		out = append(out, e.Kind)
	}
	return out
}
