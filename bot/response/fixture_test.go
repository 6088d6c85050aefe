package response

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"tocsin/bot/incident"
)

var startTime = time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC)

var testPolicy = incident.Policy{EscalateAfter: 5 * time.Minute, AckTimeout: 30 * time.Minute, EscalationSteps: 3, TimeZone: "Europe/Paris", Language: "en"}

// testDirectory has two people in each department. Engineers and security are
// responders.
func testDirectory() incident.Directory {
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

// redactEverything replaces every text, which reveals texts that are not
// redacted.
type redactEverything struct{}

func (redactEverything) Text(s string) string {
	if s == "" {
		return ""
	}
	return "[gone]"
}

// redactNothing returns texts unchanged, for tests that read them.
type redactNothing struct{}

func (redactNothing) Text(s string) string { return s }

// sequentialSalts returns a source of distinct, reproducible salts.
func sequentialSalts() func() []byte {
	n := uint64(0)
	return func() []byte {
		n++
		return binary.BigEndian.AppendUint64(make([]byte, 24), n)
	}
}

// testingT is implemented by *testing.T and *rapid.T.
type testingT interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// fixture is a desk on an in-memory store with a clock.
type fixture struct {
	*Desk
	store *memory
	now   time.Time
	calls []string // of handlers: "kind" or "page round/step"
}

// newFixture returns a desk whose handlers succeed and record their calls.
func newFixture(t testingT, change func(*Options)) *fixture {
	t.Helper()
	fx := &fixture{store: newMemory(testDirectory()), now: startTime}
	fx.store.clock = func() time.Time { return fx.now }
	record := func(result incident.Command) Handler {
		return func(_ context.Context, _ incident.Brief, e incident.Effect) (incident.Command, error) {
			fx.calls = append(fx.calls, string(e.Kind))
			return result, nil
		}
	}
	o := Options{Store: fx.store, Policy: testPolicy, Redact: redactNothing{}, Now: func() time.Time { return fx.now }, Salt: sequentialSalts(),
		RenderPostmortem: func(p Postmortem) (incident.Document, error) {
			return incident.Document{Files: []incident.File{{MediaType: "text/markdown", Content: "# " + p.Incident.Title}}}, nil
		},
		MissedAfter: 1000 * time.Hour, Handlers: map[incident.EffectKind]Handler{}}
	for _, kind := range handledKinds() {
		o.Handlers[kind] = record(incident.Command{})
	}
	o.Handlers[incident.EffectOpenChannel] = record(incident.Command{Verb: incident.VerbLink, Links: map[string]string{incident.LinkChannel: "C1", incident.LinkCard: "1.1"}})
	page := func(_ context.Context, _ incident.Brief, e incident.Effect) (incident.Command, error) {
		fx.calls = append(fx.calls, "page "+e.Args["round"]+"/"+e.Args["escalation_step"])
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
	fx.Desk = d
	return fx
}

// handledKinds returns the kinds of effects that need a handler.
func handledKinds() []incident.EffectKind {
	return []incident.EffectKind{incident.EffectOpenChannel, incident.EffectInvite, incident.EffectPost, incident.EffectAskSign, incident.EffectAskConsult,
		incident.EffectUpload, incident.EffectArchive, incident.EffectAnnounce, incident.EffectAnnouncePostmortem, incident.EffectAgenda, incident.EffectCard,
		incident.EffectTopic, incident.EffectPageAck, incident.EffectPageResolve, incident.EffectMailPostmortem, incident.EffectMailInvitation,
		incident.EffectAcknowledgeReport, incident.EffectNotice, incident.EffectMailNotice, incident.EffectPageNotice, incident.EffectTestPage, incident.EffectTestPageEnd, incident.EffectAnnounceMaintenance, incident.EffectHandover, incident.EffectMailHandover, incident.EffectRemindActions, incident.EffectMailRemindActions, incident.EffectMessageSigners, incident.EffectMailSigners}
}

// slackIdentity returns the Slack identity of a person.
func slackIdentity(person string) incident.Identity {
	return incident.Identity{Provider: incident.ProviderSlack, ID: "U" + person}
}

// do carries out a command of a person and fails the test on an error.
func (fx *fixture) do(t testingT, person string, cmd incident.Command) incident.Result {
	t.Helper()
	cmd.By, cmd.Via, cmd.Auth = slackIdentity(person), incident.ViaSlack, "slack"
	result, err := fx.Do(context.Background(), cmd)
	if err != nil {
		t.Fatalf("%s: %v", cmd.Verb, err)
	}
	return result
}

// open opens an incident as p1.
func (fx *fixture) open(t testingT, severity incident.Severity) incident.ID {
	t.Helper()
	return fx.do(t, "p1", incident.Command{Verb: incident.VerbOpen, Title: "a key leaked", Severity: severity}).Incident.ID
}

// runQueue performs effects until none is due.
func (fx *fixture) runQueue(t testingT) {
	t.Helper()
	for range 10000 {
		due := fx.store.runnable(fx.now)
		if len(due) == 0 {
			return
		}
		if err := fx.Perform(context.Background(), fx.store.start(due[0])); err != nil {
			t.Fatalf("perform: %v", err)
		}
	}
	t.Fatal("queue is not empty after 10,000 effects")
}

// eventKinds returns the kinds of the events of an incident.
func (fx *fixture) eventKinds(id incident.ID) []incident.EventKind {
	var out []incident.EventKind
	for _, e := range fx.store.events[id] {
		out = append(out, e.Kind)
	}
	return out
}

// contentOf returns the content of a document's file with a media type.
func contentOf(d incident.Document, mediaType string) string {
	for _, f := range d.Files {
		if f.MediaType == mediaType {
			return f.Content
		}
	}
	return ""
}
