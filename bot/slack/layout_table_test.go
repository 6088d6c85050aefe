package slack

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	neutral "tocsin/bot/chat"
	"tocsin/bot/incident"
)

// messageTable holds every function of bot/chat that returns a message, with everything
// that the message can show.
var messageTable = map[string]func(hostileView) []neutral.Message{
	"ActionItems": func(v hostileView) []neutral.Message {
		return []neutral.Message{neutral.ActionItems(v.overview, "all", 0, noon), neutral.ActionItems(v.overview, "", 42, noon)}
	},
	"ActionReminder": func(v hostileView) []neutral.Message {
		items := strings.TrimSuffix(strings.Repeat("INC-42 A1 2026-12-30 -7 p3; ", 1+len(v.Timeline)), "; ")
		return one(neutral.ActionReminder(v.brief, map[string]string{"items": items, "person": "p1"}))
	},
	"AgendaMessage": func(v hostileView) []neutral.Message { return one(neutral.AgendaMessage(v.brief)) },
	"Alerts": func(v hostileView) []neutral.Message {
		return one(neutral.Alerts(incident.AlertResult{Disposition: incident.DispositionWatched, Alerts: v.alerts, Kinds: int64(len(v.alerts))}, v.Directory, noon))
	},
	"Announcement": func(v hostileView) []neutral.Message { return one(neutral.Announcement(v.brief)) },
	"AnswerRequest": func(v hostileView) []neutral.Message {
		return one(neutral.AnswerRequest(v.brief, v.brief.Incident.Consultations[0]))
	},
	"ApprovalRequest": func(v hostileView) []neutral.Message {
		return one(neutral.ApprovalRequest(v.brief, v.brief.Incident.Updates[len(v.brief.Incident.Updates)-1]))
	},
	"BriefingMessage": func(v hostileView) []neutral.Message { return one(neutral.BriefingMessage(v.brief)) },
	"Card":            func(v hostileView) []neutral.Message { return one(neutral.Card(v.brief)) },
	"Checklist":       func(v hostileView) []neutral.Message { return one(neutral.Checklist(v.brief)) },
	"CheckpointMessage": func(v hostileView) []neutral.Message {
		return []neutral.Message{neutral.CheckpointMessage(neutral.Checkpoint{Size: 7, At: noon, Note: v.text}), neutral.CheckpointMessage(neutral.Checkpoint{Size: 7, At: noon, Note: strings.Repeat("x", 4000)})}
	},
	"CheckpointThread": func(hostileView) []neutral.Message { return one(neutral.CheckpointThread(noon)) },
	"EndedTestPage": func(v hostileView) []neutral.Message {
		return []neutral.Message{neutral.EndedTestPage(v.Directory, "p1"), neutral.EndedTestPage(v.Directory, "")}
	},
	"EventDetails": func(v hostileView) []neutral.Message { return one(neutral.EventDetails(v.brief)) },
	"EventMessage": func(v hostileView) []neutral.Message { return some(neutral.EventMessage(v.brief, incident.ViaSlack)) },
	"FinalMessage": func(v hostileView) []neutral.Message { return one(neutral.FinalMessage(v.brief)) },
	"FormNeeded": func(v hostileView) []neutral.Message {
		return one(neutral.FormNeeded(incident.Command{Verb: incident.VerbContain, For: 42, Text: v.text}))
	},
	"GroupPage": func(v hostileView) []neutral.Message { return one(neutral.GroupPage(v.brief, "S0SEC")) },
	"Help": func(v hostileView) []neutral.Message {
		return []neutral.Message{neutral.Help(""), neutral.Help("severity"), neutral.Help(v.text)}
	},
	"Incidents": func(v hostileView) []neutral.Message {
		return []neutral.Message{neutral.Incidents(v.overview.Mine), neutral.Incidents(nil)}
	},
	"Menu": func(v hostileView) []neutral.Message { return one(neutral.Menu(v.View, noon)) },
	"MessageUsed": func(v hostileView) []neutral.Message {
		cmd := incident.Command{Verb: incident.VerbAddAction, For: 42, Action: &incident.Action{Due: noon}}
		out := []neutral.Message{neutral.MessageUsed(cmd, incident.Result{Incident: v.Incident, Unchanged: true})}
		for _, e := range v.Timeline {
			if slices.Contains([]incident.EventKind{incident.EventNoted, incident.EventActionAdded, incident.EventEvidence}, e.Kind) {
				out = append(out, neutral.MessageUsed(cmd, incident.Result{Incident: v.Incident, Events: []incident.Event{e}}))
			}
		}
		return out
	},
	"MissedSummary": func(v hostileView) []neutral.Message { return some(neutral.MissedSummary(v.brief, incident.ViaSlack)) },
	"Overview":      func(v hostileView) []neutral.Message { return one(neutral.Overview(v.overview, true)) },
	"PersonalPage":  func(v hostileView) []neutral.Message { return one(neutral.PersonalPage(v.brief)) },
	"Playbooks":     func(v hostileView) []neutral.Message { return one(neutral.Playbooks(v.View, noon)) },
	"PostmortemAnnouncement": func(v hostileView) []neutral.Message {
		return one(neutral.PostmortemAnnouncement(v.brief, v.Incident.Record))
	},
	"PostmortemWithdrawal": func(v hostileView) []neutral.Message { return one(neutral.PostmortemWithdrawal(v.brief)) },
	"ReactionRemoved":      func(hostileView) []neutral.Message { return one(neutral.ReactionRemoved(42)) },
	"Record":               func(v hostileView) []neutral.Message { return one(neutral.Record(v.View, noon)) },
	"Result": func(v hostileView) (out []neutral.Message) {
		for _, t := range incident.Transitions {
			out = append(out, neutral.Result(incident.Command{Verb: t.Verb, For: 42, Text: v.text}, incident.Result{Incident: v.Incident, Directory: v.Directory, Events: []incident.Event{v.brief.Event}}))
		}
		return out
	},
	"RetractedDirect": func(v hostileView) (out []neutral.Message) {
		for _, kind := range []incident.EffectKind{incident.EffectMessageSigners, incident.EffectPagePerson, incident.EffectAskUpdate, incident.EffectAskApproval} {
			out = append(out, some(neutral.RetractedDirect(v.brief, requestEffect(kind)))...)
		}
		return out
	},
	"RetractedRequest": func(v hostileView) (out []neutral.Message) {
		for _, kind := range []incident.EffectKind{incident.EffectAskSign, incident.EffectAskConsult} {
			out = append(out, neutral.RetractedRequest(v.brief, requestEffect(kind)))
		}
		return out
	},
	"SharedUpdate": func(v hostileView) []neutral.Message { return one(neutral.SharedUpdate(v.brief)) },
	"ShortHelp":    func(hostileView) []neutral.Message { return one(neutral.ShortHelp()) },
	"SignatureRequest": func(v hostileView) []neutral.Message {
		return one(neutral.SignatureRequest(v.brief, incident.Security))
	},
	"SignerMessage": func(v hostileView) []neutral.Message {
		return one(neutral.SignerMessage(v.brief, map[string]string{"department": "legal", "people": "p3", "request": "7"}))
	},
	"Signoff":  func(v hostileView) []neutral.Message { return one(neutral.Signoff(v.brief)) },
	"Status":   func(v hostileView) []neutral.Message { return one(neutral.Status(v.brief)) },
	"TestPage": func(hostileView) []neutral.Message { return one(neutral.TestPage("S0SEC", incident.TestPageText{})) },
	"Timeline": func(v hostileView) []neutral.Message {
		out := []neutral.Message{neutral.Timeline(v.View, incident.TimelineFilter{}, noon)}
		for _, e := range v.Timeline {
			out = append(out, neutral.Timeline(v.View, incident.TimelineFilter{Entry: e.Seq}, noon))
		}
		return out
	},
	"UpdateReminder":     func(v hostileView) []neutral.Message { return one(neutral.UpdateReminder(v.brief)) },
	"Updates":            func(v hostileView) []neutral.Message { return one(neutral.Updates(v.brief, v.Timeline)) },
	"Welcome":            func(hostileView) []neutral.Message { return one(neutral.Welcome()) },
	"Who":                func(v hostileView) []neutral.Message { return one(neutral.Who(v.brief)) },
	"WithdrawnGroupPage": func(v hostileView) []neutral.Message { return one(neutral.WithdrawnGroupPage(v.brief)) },
}

func one(m neutral.Message) []neutral.Message { return []neutral.Message{m} }

func some(m neutral.Message, ok bool) []neutral.Message {
	if !ok {
		return nil
	}
	return one(m)
}

// requestEffect returns the effect that edits a request to legal.
func requestEffect(kind incident.EffectKind) incident.Effect {
	return incident.Effect{Args: map[string]string{"request": string(kind), "department": "legal", "people": "p3"}}
}

// hostileView is an incident with the same texts of people and sources everywhere.
type hostileView struct {
	incident.View
	brief    incident.Brief
	overview incident.Overview
	alerts   []incident.AlertLine
	text     string
}

// newHostileView returns a brief about an event, with many entries of everything that a
// message lists. text returns the text of a person or a source.
func newHostileView(kind incident.EventKind, x fixture, many int, text func(name string) string) hostileView {
	b := x.brief(kind)
	b.Incident.Title = text("title")
	b.Incident.Record.Summary, b.Incident.Record.RootCause = text("summary"), text("cause")
	b.Incident.Updates = append(b.Incident.Updates, incident.Update{ID: "U9", Seq: 1, By: "p1", At: noon, Audiences: []string{text("audience")}})
	for n := range b.Directory.People {
		b.Directory.People[n].Name = text("name")
	}
	b.Event.Texts = map[string]incident.Text{}
	for name := range x.texts {
		b.Event.Texts[name] = incident.Text{Value: text(name)}
	}
	v := hostileView{brief: b, text: text("typed"), View: incident.View{Incident: b.Incident, Directory: b.Directory, Possible: incident.AllowedVerbs(b.Incident.Status)}}
	kinds := incident.EventKinds()
	for n := range many {
		v.Timeline = append(v.Timeline, incident.Event{Seq: n + 1, Kind: kinds[n%len(kinds)], By: "p1", HappenedAt: noon, RecordedAt: noon,
			Texts: map[string]incident.Text{"text": {Value: text("text")}, "reason": {Value: text("reason")}, "title": {Value: text("title")}, "name": {Value: text("name")}}})
		v.Playbooks = append(v.Playbooks, incident.PlaybookInfo{Name: text("playbook"), Title: text("title")})
		v.Tasks = append(v.Tasks, incident.Task{Incident: 42, Due: noon, Title: text("task"), Typed: "step done " + text("step"), Command: incident.Command{For: 42, Verb: incident.VerbStepDone, Step: text("step")}})
		summary := incident.Summary{ID: 42, Status: incident.Active, Severity: incident.Sev1, Title: text("title")}
		v.overview.Mine, v.brief.Agenda = append(v.overview.Mine, summary), append(v.brief.Agenda, summary)
		v.overview.Actions = append(v.overview.Actions, incident.ActionItem{Incident: 42, MayFinish: n%2 == 0, Action: incident.Action{ID: "A1", Title: text("action"), Owner: "p1", Due: noon}})
		v.alerts = append(v.alerts, incident.AlertLine{ID: int64(n + 1), Title: text("alert"), Source: text("source")})
		v.brief.Incident.Runs[0].Plan = append(v.brief.Incident.Runs[0].Plan, incident.Step{ID: "x", Title: text("step"), Role: incident.Scribe, Started: noon})
	}
	v.brief.Missed, v.Draft = v.Timeline, incident.DraftRecord(v.Incident, v.Timeline, v.Directory)
	v.overview.Tasks, v.overview.Others, v.overview.Ended, v.overview.Directory = v.Tasks, v.overview.Mine, v.overview.Mine, b.Directory
	return v
}

// TestMessageTable_IsComplete compares the table with the functions of bot/chat.
func TestMessageTable_IsComplete(t *testing.T) {
	files, err := filepath.Glob("../chat/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d files, %v", len(files), err)
	}
	var want []string
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, source, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || !fn.Name.IsExported() || fn.Type.Results == nil {
				continue
			}
			if first, ok := fn.Type.Results.List[0].Type.(*ast.Ident); ok && first.Name == "Message" {
				want = append(want, fn.Name.Name)
			}
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(messageTable))); diff != "" {
		t.Errorf("the functions of bot/chat that return a message (-want +got in messageTable):\n%s", diff)
	}
}

// TestMessageTable_WithinSlackLimits posts every message about every kind of event with
// the longest texts.
func TestMessageTable_WithinSlackLimits(t *testing.T) {
	f := newOutboundTest(t)
	channel := f.openChannel().Incident.Links[incident.LinkChannel]
	long := strings.Repeat("\"界<&> ", 4000)
	for kind, x := range fixtures() {
		many := 2
		if kind == incident.EventUpdated {
			many = 60 // long lists, once
		}
		v := newHostileView(kind, x, many, func(string) string { return long })
		for _, name := range slices.Sorted(maps.Keys(messageTable)) {
			for _, m := range messageTable[name](v) {
				checkMessage(t, laidOut(m))
				if many == 2 {
					continue
				}
				if _, err := f.slack.Post(f.ctx, channel, m, neutral.Mark{Key: "m"}); err != nil {
					t.Fatalf("%s: post: got error %v, want nil", name, err)
				}
			}
		}
	}
}

// TestMessageTable_HostileTexts lays every message out with texts that attack the markup
// and the limits of Slack.
func TestMessageTable_HostileTexts(t *testing.T) {
	cases := fixtures()
	kinds, names := slices.Sorted(maps.Keys(cases)), slices.Sorted(maps.Keys(messageTable))
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom(kinds).Draw(t, "kind")
		v := newHostileView(kind, cases[kind], rapid.IntRange(0, 40).Draw(t, "many"), func(name string) string { return hostileText().Draw(t, name) })
		for _, m := range messageTable[rapid.SampledFrom(names).Draw(t, "message")](v) {
			checkMessage(t, laidOut(m))
		}
	})
}
