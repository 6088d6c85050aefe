package slack

import (
	"strings"
	"testing"
	"time"

	"github.com/slack-go/slack"
	"pgregory.net/rapid"

	neutral "tocsin/bot/chat"
	"tocsin/bot/command"
	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
)

// cardIncident returns INC-42 in a status, with everything that the card of any status
// shows. text replaces the texts of people and sources, unless it is nil.
func cardIncident(status incident.Status, text func(name, value string) string) incident.Brief {
	if text == nil {
		text = func(_, value string) string { return value }
	}
	inc := openedIncident()
	inc.Status, inc.Severity, inc.Title = status, incident.Sev1, text("title", "One employer's documents shown to another")
	inc.OpenedAt, inc.StatusSince, inc.ContainedAt, inc.ResolvedAt = noon.Add(-40*time.Minute), noon.Add(-6*time.Minute), noon.Add(-31*time.Minute), noon.Add(-time.Hour)
	inc.Paging = incident.Paging{Round: 1, StartedAt: noon.Add(-40 * time.Second)}
	inc.Facts = incident.Facts{PersonalData: incident.PersonalUnknown}
	step := func(id string, role incident.Role, started time.Time, deadline time.Duration, state incident.StepStatus) incident.Step {
		return incident.Step{ID: id, Title: text("step", id), Role: role, Started: started, Deadline: deadline, Status: state}
	}
	inc.Runs = []incident.Run{{Playbook: "data-exposure", Plan: []incident.Step{step("confirm-exposure", incident.SecurityLead, noon.Add(-time.Minute), 15*time.Minute, incident.StepOpen),
		step("save-state", incident.SecurityLead, noon.Add(-time.Minute), 20*time.Minute, incident.StepOpen), step("stop-exposure", incident.OperationLead, time.Time{}, 30*time.Minute, incident.StepOpen)}}}
	if !inc.Status.Responding() || status != incident.Triage {
		inc.Commander, inc.Paging.AcknowledgedBy = "p1", "p1"
		inc.Roles = map[incident.Role]incident.PersonID{incident.Commander: "p1", incident.OperationLead: "p2", incident.Communicator: "p5", incident.Scribe: "p4", incident.LegalLead: "p3"}
		inc.Runs[0].Plan[0].Status, inc.Runs[0].Plan[1].Status, inc.Runs[0].Plan[2].Started = incident.StepDone, incident.StepDone, noon.Add(-5*time.Minute)
		inc.Facts.PersonalData = incident.PersonalSuspected
	}
	if !inc.Status.Responding() {
		inc.Facts.Affected = []incident.Affected{{Who: text("affected", "Example SA"), Capacity: incident.Processor, Count: 3964}}
		inc.Facts.Aware = map[string]incident.Instant{"gdpr": {At: noon.Add(-5 * time.Hour)}}
		inc.Record = incident.ClosingRecord{Summary: text("summary", "Documents were shown."), Impact: "3,964 people", RootCause: "A cache"}
		inc.Consultations = []incident.Consultation{{Team: incident.Department(text("team", "payroll")), Blocking: true, AskedAt: noon}}
		inc.Actions = []incident.Action{{ID: "A1", Kind: incident.ActionDetection, Title: text("action", "Alarm"), Owner: "p2", Due: noon.AddDate(0, 1, 0)}}
		inc.Dismissal = &incident.Dismissal{By: "p1", Second: "p2", Reason: text("reason", "A drill of the platform team")}
		inc.Revision, inc.MergedInto = 1, 41
	}
	if inc.Status.Closing() && status != incident.Resolved {
		inc.Submission = &incident.Submission{By: "p4", At: noon.Add(-7 * time.Hour), Digest: "sha256:" + strings.Repeat("ab", 32)}
		inc.Submission.Document = incident.SignedDocument{Kind: incident.DocumentKind, Schema: incident.DocumentSchema, Incident: "INC-42", Revision: 1,
			Record: inc.Record, Facts: inc.Facts, Severity: inc.Severity, Evidence: []string{}}
		inc.Signatures = []incident.Signature{{Department: incident.Security, By: "p2", Digest: inc.Submission.Digest}, {Department: incident.Engineering, By: "p1", Digest: inc.Submission.Digest}}
		inc.Objections = []incident.Objection{{ID: "O1", Department: incident.Legal, By: "p3", Reason: text("objection", "Too vague"), Digest: inc.Submission.Digest}}
		inc.Review.At = noon.AddDate(0, 0, 4)
	}
	b := brief(inc)
	b.Page.Links.Call = "https://meet.example.com/INC-42"
	b.Directory.Teams[2].Members = []incident.Membership{{Person: "p3"}, {Person: "p4", Deputy: true, From: noon.AddDate(0, 0, -1), Until: noon.AddDate(0, 0, 1)}}
	for n := range b.Directory.People {
		b.Directory.People[n].Name = text("name", b.Directory.People[n].Name)
	}
	return b
}

// longText returns a text that is much longer than a card may be, with markup, mentions,
// line breaks and characters that need two units.
func longText(name, _ string) string {
	return "<!channel> *" + name + "*\n`rm -rf` <https://evil.example|bank> & 🔥 " + strings.Repeat("very long ", 400)
}

func TestCard_EachStatus(t *testing.T) {
	for _, status := range incident.Statuses() {
		t.Run(string(status), func(t *testing.T) {
			checkGolden(t, "card_"+string(status), card(cardIncident(status, nil)))
			checkGolden(t, "card_"+string(status)+"_long", card(cardIncident(status, longText)))
		})
	}
}

// TestCard_StaysShort gives every card hostile texts. It has at most six lines, one row of
// buttons with a menu, and a size that Slack accepts.
func TestCard_StaysShort(t *testing.T) {
	f := newOutboundTest(t)
	channel := f.openChannel().Incident.Links[incident.LinkChannel]
	rapid.Check(t, func(t *rapid.T) {
		b := cardIncident(rapid.SampledFrom(incident.Statuses()).Draw(t, "status"), func(name, _ string) string { return hostileText().Draw(t, name) })
		if rapid.Bool().Draw(t, "unacknowledged") {
			b.Incident.Paging.AcknowledgedBy, b.Incident.Commander = "", ""
		}
		for range rapid.IntRange(0, 30).Draw(t, "more") {
			b.Incident.Facts.Affected = append(b.Incident.Facts.Affected, b.Incident.Facts.Affected...)
			b.Incident.Facts.Affected = b.Incident.Facts.Affected[:min(len(b.Incident.Facts.Affected), 50)]
			b.Incident.Consultations = append(b.Incident.Consultations, incident.Consultation{Team: incident.Department(hostileText().Draw(t, "team")), Blocking: true})
			if b.Incident.Roles == nil {
				b.Incident.Roles = map[incident.Role]incident.PersonID{}
			}
			b.Incident.Roles[incident.Role(hostileText().Draw(t, "role"))] = "p2"
		}
		m := neutral.Card(b)
		out := laidOut(m)
		checkMessage(t, out)
		if len(out.blocks) != 2 {
			t.Fatalf("got %d blocks, want a text and a row of buttons", len(out.blocks))
		}
		text := out.blocks[0].(*slack.SectionBlock).Text.Text
		if n := strings.Count(text, "\n") + 1; n > 6 {
			t.Fatalf("got %d lines, want at most 6:\n%s", n, text)
		}
		if units(text) > 2000 {
			t.Fatalf("got %d units, want a short card:\n%s", units(text), text)
		}
		row := out.blocks[1].(*slack.ActionBlock).Elements.ElementSet
		if _, menu := row[len(row)-1].(*slack.OverflowBlockElement); len(row) > 4 || len(row) == 4 && !menu {
			t.Fatalf("got %d elements, want at most three buttons and a menu", len(row))
		}
		if _, err := f.slack.Post(f.ctx, channel, m, neutral.Mark{Key: "m"}); err != nil {
			t.Fatalf("post: got error %v, want nil", err)
		}
	})
}

// TestCard_MenuGivesItsCommands chooses every option of the menu of every card in the
// double. Each opens the form of its verb or shows the status.
func TestCard_MenuGivesItsCommands(t *testing.T) {
	for _, status := range incident.Statuses() {
		t.Run(string(status), func(t *testing.T) {
			bothModes(t, func(t *testing.T, e *inboundTest) {
				b := cardIncident(status, nil)
				e.desk.change(func(inc *incident.Incident) {
					channel := inc.Links
					*inc = b.Incident
					inc.Links = channel
				})
				out := laidOut(neutral.Card(b))
				row := out.blocks[1].(*slack.ActionBlock).Elements.ElementSet
				menu, ok := row[len(row)-1].(*slack.OverflowBlockElement)
				if !ok { // few enough for the row
					return
				}
				ts := e.postBlocks(out.blocks...)
				for _, option := range menu.Options {
					id, _, _ := strings.Cut(option.Value, "|")
					if id == ActLink { // Slack opens the page
						continue
					}
					title := "INC-42"
					if verb, ok := actionVerb(id); ok {
						form, ok := command.FormOf(verb)
						if !ok {
							t.Errorf("%s: got no form, want one", option.Value)
							continue
						}
						title = form.Title
					}
					if err := e.ws.Act("U0ADA").Click(e.channel, ts, chat.Action{ID: ActMore, Value: option.Value}); err != nil {
						t.Fatalf("%s: %v", option.Value, err)
					}
					v := e.currentForm("U0ADA")
					if v.Title != title {
						t.Errorf("%s: got the form %q, want %q", option.Value, v.Title, title)
					}
					if err := e.ws.Act("U0ADA").CloseView(v.ID, true); err != nil {
						t.Fatal(err)
					}
				}
			})
		})
	}
}

// TestCard_OutdatedButton presses the buttons of a card that shows an earlier status. The
// answer names the status and what is possible, and no form opens.
func TestCard_OutdatedButton(t *testing.T) {
	bothModes(t, func(t *testing.T, e *inboundTest) {
		ts := e.postBlocks(laidOut(neutral.Card(cardIncident(incident.Active, nil))).blocks...)
		e.desk.change(func(inc *incident.Incident) { inc.Status = incident.Resolved })
		for _, action := range []chat.Action{{ID: "contain"}, {ID: "page_again"}} {
			if err := e.ws.Act("U0ADA").Click(e.channel, ts, action); err != nil {
				t.Fatal(err)
			}
			if got := e.lastEphemeral("U0ADA").Text; !strings.Contains(got, "INC-42 is resolved, so ") || !strings.Contains(got, "You can use ") {
				t.Errorf("%s: got reply %q, want the status and what is possible", action.ID, got)
			}
			if views := e.ws.OpenViews("U0ADA"); len(views) != 0 {
				t.Errorf("%s: got a form %q, want none", action.ID, views[0].Title)
			}
		}
	})
}
