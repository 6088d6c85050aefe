package response

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/redact"
)

const privilegedText = "Qzprivilegedzq"

// privilegedTest is an incident whose every command that has a text is for legal and
// security only.
type privilegedTest struct {
	*fixture
	id     incident.ID
	briefs []incident.Brief
	kinds  []incident.EffectKind
}

func (p *privilegedTest) do(t *testing.T, person string, cmd incident.Command) {
	t.Helper()
	cmd.For, cmd.Audience = p.id, incident.AudienceLegalSecurity
	p.fixture.do(t, person, cmd)
}

// newPrivilegedTest takes an incident to its last event. audience is the audience of the
// closing record.
func newPrivilegedTest(t *testing.T, audience incident.Audience) *privilegedTest {
	t.Helper()
	p := &privilegedTest{}
	p.fixture = newFixture(t, func(o *Options) {
		o.RenderPostmortem = renderTemplates
		for kind, handle := range o.Handlers {
			o.Handlers[kind] = func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
				p.briefs, p.kinds = append(p.briefs, b), append(p.kinds, kind)
				return handle(ctx, b, e)
			}
		}
	})
	p.id = p.open(t, incident.Sev3)
	text := privilegedText + " note"
	record := map[string]string{"audience": string(audience)}
	for _, f := range incident.RecordFields() {
		if f.Name != "audience" && f.Name != "language" {
			record[f.Name] = privilegedText + " " + f.Name
		}
	}
	p.do(t, "p1", incident.Command{Verb: incident.VerbAcknowledge})
	p.do(t, "p3", incident.Command{Verb: incident.VerbNote, Text: text})
	p.do(t, "p3", incident.Command{Verb: incident.VerbEvidence, Evidence: &incident.Evidence{Name: text, Where: text}})
	p.do(t, "p3", incident.Command{Verb: incident.VerbSetFact, Fact: &incident.FactChange{Name: incident.FactPersonalData, Value: "suspected"}, Text: text})
	p.do(t, "p3", incident.Command{Verb: incident.VerbSetFact, Fact: &incident.FactChange{Name: incident.FactOccurred, Value: startTime.Format(time.RFC3339)}, Text: text})
	p.do(t, "p3", incident.Command{Verb: incident.VerbSetFact, Fact: &incident.FactChange{Name: incident.FactAffected, Affected: &incident.Affected{Who: text, Capacity: "processor", Count: 3}}, Text: text})
	p.do(t, "p3", incident.Command{Verb: incident.VerbUpdate, Text: text})
	p.do(t, "p3", incident.Command{Verb: incident.VerbAddAction, Action: &incident.Action{Kind: incident.ActionProcess, Title: text, Owner: "p2", Due: startTime.AddDate(0, 0, 9)}})
	p.do(t, "p3", incident.Command{Verb: incident.VerbSetSeverity, Severity: incident.Sev4, Text: text})
	p.do(t, "p1", incident.Command{Verb: incident.VerbContain, Text: text})
	p.do(t, "p1", incident.Command{Verb: incident.VerbResolve, Text: text})
	p.do(t, "p1", incident.Command{Verb: incident.VerbSubmit, Record: record})
	digest := p.store.incidents[p.id].Submission.Digest
	p.do(t, "p5", incident.Command{Verb: incident.VerbObject, Department: incident.Legal, Expect: digest, Text: text})
	p.do(t, "p5", incident.Command{Verb: incident.VerbWithdraw, Item: "O1", Text: text})
	for n, team := range incident.RequiredDepartments() {
		p.do(t, []string{"p2", "p3", "p5", "p7"}[n], incident.Command{Verb: incident.VerbSign, Department: team, Expect: digest})
	}
	p.runQueue(t)
	p.do(t, "p3", incident.Command{Verb: incident.VerbScheduleReview, When: startTime.Add(24 * time.Hour), Text: text})
	p.do(t, "p3", incident.Command{Verb: incident.VerbAddAction, Action: &incident.Action{Kind: "detection", Title: text, Owner: "p3", Due: startTime.Add(48 * time.Hour)}})
	p.runQueue(t)
	return p
}

func local(person string) incident.Identity {
	return incident.Identity{Provider: incident.ProviderLocal, ID: person}
}

// No command sends a text for legal and security to a channel, to the mails of others, or
// to a reader of another department. The messages name the number of texts left out.
func TestPrivileged_OnlyLegalAndSecurityRead(t *testing.T) {
	p := newPrivilegedTest(t, incident.AudienceAll)
	seen := map[incident.EffectKind]bool{}
	for n, b := range p.briefs {
		seen[p.kinds[n]] = true
		if text := fmt.Sprintf("%+v %+v", b, b.Document); strings.Contains(text, privilegedText) || b.Document != nil && strings.Contains(contentOf(*b.Document, "text/html")+contentOf(*b.Document, "text/markdown"), privilegedText) {
			at := strings.Index(text, privilegedText)
			t.Errorf("%s of %s: got a text for legal and security: …%s…", p.kinds[n], b.Event.Kind, text[max(0, at-200):min(len(text), at+30)])
		}
		if b.Document != nil && (b.Withheld < 10 || !strings.Contains(contentOf(*b.Document, "text/markdown"), fmt.Sprintf("%d notes for legal and security were left out.", b.Withheld))) {
			t.Errorf("%s: the document does not say that %d notes were left out", p.kinds[n], b.Withheld)
		}
	}
	for _, kind := range []incident.EffectKind{incident.EffectPost, incident.EffectCard, incident.EffectTopic, incident.EffectAskSign, incident.EffectUpload,
		incident.EffectMailPostmortem, incident.EffectAnnouncePostmortem, incident.EffectMailInvitation} {
		if !seen[kind] {
			t.Errorf("got no effect %s", kind)
		}
	}
	for person, may := range map[string]bool{"p1": false, "p2": false, "p3": true, "p5": true, "p7": false} {
		view, err := p.Show(t.Context(), local(person), p.id, "")
		if err != nil {
			t.Fatal(err)
		}
		doc, err := p.Document(t.Context(), local(person), p.id, 1, "")
		if err != nil {
			t.Fatal(err)
		}
		result, err := p.Do(t.Context(), incident.Command{By: local(person), For: p.id, Verb: incident.VerbNote, Text: "a note"})
		if err != nil {
			t.Fatal(err)
		}
		overview, err := p.Overview(t.Context(), local(person))
		if err != nil || len(overview.Actions) != 2 || person == "p2" && len(overview.Tasks) == 0 {
			t.Fatalf("%s: got %+v, %v", person, overview, err)
		}
		seen := new(incident.SeenRecord)
		for range 2 {
			memory, err := p.OpenForm(t.Context(), local(person), incident.FormKey{Incident: p.id, Form: "sign"}, true)
			if err != nil {
				t.Fatal(err)
			}
			seen = memory.Seen
		}
		if seen == nil || seen.Document.Record.Summary == "" {
			t.Errorf("%s: got %+v, want the record that the person saw", person, seen)
		}
		for what, v := range map[string]any{"view": view, "result": result, "overview": overview, "seen record": fmt.Sprintf("%+v", seen)} {
			if got := strings.Contains(fmt.Sprintf("%+v", v), privilegedText); got != may {
				t.Errorf("%s: %s: got the texts %v, want %v", person, what, got, may)
			}
		}
		if (view.Withheld == 0) != may || strings.Contains(contentOf(doc, "text/html"), privilegedText) && !may {
			t.Errorf("%s: got %d withheld", person, view.Withheld)
		}
	}
}

// The postmortem for legal and security is mailed to these departments with its texts.
// The channel has other members, and gets a copy without them.
func TestPrivileged_DocumentForItsReaders(t *testing.T) {
	p := newPrivilegedTest(t, incident.AudienceLegalSecurity)
	found := map[incident.EffectKind]bool{}
	for n, b := range p.briefs {
		if b.Document != nil {
			found[p.kinds[n]] = strings.Contains(contentOf(*b.Document, "text/html"), privilegedText) && strings.Contains(contentOf(*b.Document, "text/markdown"), privilegedText)
		}
	}
	want := map[incident.EffectKind]bool{incident.EffectMailPostmortem: true, incident.EffectUpload: false, incident.EffectAnnouncePostmortem: false}
	for kind, may := range want {
		if got, ok := found[kind]; !ok || got != may {
			t.Errorf("%s: got the texts %v, want %v", kind, got, may)
		}
	}
}

// A state that an earlier version stored does not list its privileged events. The desk
// still withholds its texts.
func TestPrivileged_StateOfAnEarlierVersion(t *testing.T) {
	p := newPrivilegedTest(t, incident.AudienceAll)
	inc := p.store.incidents[p.id]
	inc.Privileged = nil
	p.store.incidents[p.id] = inc
	view, err := p.Show(t.Context(), local("p1"), p.id, "")
	if err != nil || strings.Contains(fmt.Sprintf("%+v", view), privilegedText) {
		t.Errorf("got view %+v, %v", view.Incident, err)
	}
}

func TestPrivileged_TitleIsRefused(t *testing.T) {
	fx := newFixture(t, nil)
	_, err := fx.Do(t.Context(), incident.Command{By: slackIdentity("p1"), Verb: incident.VerbOpen, Title: "x", Severity: incident.Sev3, Audience: incident.AudienceLegalSecurity})
	if incident.CodeOf(err) != incident.CodeInvalid {
		t.Errorf("got %v, want invalid", err)
	}
}

// The stored document is complete. A reader at a provider outside gets one from redacted
// values, whose escapes could not have hidden anything.
func TestDocument_OutsideIsRenderedFromRedactedValues(t *testing.T) {
	const needle = "b_c@corp"
	p := newPrivilegedTest(t, incident.AudienceAll)
	fx := newFixture(t, func(o *Options) { o.Redact, o.RenderPostmortem = redact.New(redact.Options{}), renderTemplates })
	fx.store.incidents, fx.store.documents = p.store.incidents, p.store.documents
	fx.store.events = map[incident.ID][]incident.Event{}
	for id, events := range p.store.events {
		for _, e := range events {
			if text, ok := e.Texts["text"]; ok {
				text.Value = "ask ada.b_c@corp.example"
				e.Texts = map[string]incident.Text{"text": text}
				e.Audience = incident.AudienceResponders
			}
			fx.store.events[id] = append(fx.store.events[id], e)
		}
	}
	for _, person := range []string{"p1", "p3"} { // engineering, and security, who may read everything
		outside, err := fx.Document(t.Context(), slackIdentity(person), p.id, 1, "")
		if err != nil {
			t.Fatal(err)
		}
		if text := strings.ReplaceAll(contentOf(outside, "text/markdown"), `\`, ""); strings.Contains(text, needle) || !strings.Contains(text, "ask [email]") {
			t.Errorf("%s: the document for a reader at Slack contains the address, or nothing of the note", person)
		}
	}
	inside, err := fx.Document(t.Context(), local("p1"), p.id, 1, "")
	if err != nil || !strings.Contains(strings.ReplaceAll(contentOf(inside, "text/markdown"), `\`, ""), needle) {
		t.Errorf("the document for a reader inside is redacted: %v", err)
	}
}
