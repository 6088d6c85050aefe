package slack

import (
	"fmt"
	"strings"
	"testing"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
)

// openHome opens the home tab of a person and returns it when it was published.
func (e *inboundTest) openHome(user string) chat.View {
	e.Helper()
	if _, err := e.ws.Act(user).OpenHome(); err != nil {
		e.Fatal(err)
	}
	e.waitUntil(func() bool { _, ok := e.ws.Home(user); return ok })
	home, _ := e.ws.Home(user)
	return home
}

// typeElsewhere types a slash command outside of the channel of INC-42.
func (e *inboundTest) typeElsewhere(user, text string) string {
	e.Helper()
	channel, err := e.ws.Act(user).OpenDM()
	if err != nil {
		e.Fatal(err)
	}
	m, err := e.ws.Act(user).Command(channel, "/incident", text)
	if err != nil {
		e.Fatalf("%s typed %q: %v", user, text, err)
	}
	if m == nil {
		return ""
	}
	return m.Text + string(m.Blocks)
}

// requireParts fails for each part that text does not contain, and for each part after a
// "!" that it contains.
func requireParts(t *testing.T, name, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if absent, not := strings.CutPrefix(part, "!"); not && strings.Contains(text, absent) || !not && !strings.Contains(text, part) {
			t.Errorf("%s: want %s in %s", name, part, text)
		}
	}
}

// TestMenu types the bare command as a responder, a department member, a person without a
// part and an unknown account, in the channel of an incident and elsewhere.
func TestMenu(t *testing.T) {
	bothModes(t, func(t *testing.T, e *inboundTest) {
		inc := e.desk.incidents[42]
		inc.Restricted = true
		e.desk.incidents[42] = inc
		requireParts(t, "responder", e.typeCommand("U0ADA", ""), "Waiting for you", "acknowledge the page", `"action_id":"ack"`, `"text":"Contained"`, `"text":"False alarm"`, "timeline INC-42", "!Report an incident")
		requireParts(t, "outsider", e.typeCommand("U0EVE", ""), "Report an incident", "Nothing waits for you", "!INC-42", "!Root key")
		requireParts(t, "unknown", e.typeCommand("U0ZOE", ""), "Report an incident", "is not linked to a person", "!INC-42", "!Root key")
		requireParts(t, "elsewhere", e.typeElsewhere("U0ADA", ""), "Report an incident", "Waiting for you", "Your incidents", "INC-42 · sev2 · triage · Root key used", `"value":"status INC-42"`)
		requireParts(t, "my", e.typeElsewhere("U0BEN", "my"), "INC-42", "acknowledge the page", "!Report an incident")
		requireParts(t, "mine", e.typeCommand("U0ADA", "mine"), "Use ack to take the incident, or my to see what waits for you")
	})
}

// The buttons of the menu do what they say.
func TestMenu_Buttons(t *testing.T) {
	bothModes(t, func(t *testing.T, e *inboundTest) {
		e.click("U0EVE", askID(0), "open")
		if v := e.currentForm("U0EVE"); v.Title != "Open an incident" {
			t.Errorf("report: got the form %q", v.Title)
		}
		e.click("U0ADA", askID(1), "timeline INC-42")
		e.slack.Wait()
		requireParts(t, "timeline", string(e.lastEphemeral("U0ADA").Blocks), "No entry of the timeline")
		before := e.desk.count()
		for _, forged := range []string{"contain INC-42 it is over", "alerts promote A17 sev1", "maintenance end 3"} {
			e.click("U0ADA", askID(0), forged)
			e.slack.Wait()
			requireParts(t, forged, string(e.lastEphemeral("U0ADA").Blocks), "This button gives no command")
		}
		if e.desk.count() != before {
			t.Error("a forged button gave a command")
		}
	})
}

func TestTimeline(t *testing.T) {
	bothModes(t, func(t *testing.T, e *inboundTest) {
		for n := range 45 {
			ev := incident.Event{Seq: n + 1, Kind: incident.EventNoted, By: "p1", HappenedAt: noon, RecordedAt: noon, Texts: map[string]incident.Text{"text": {Value: fmt.Sprintf("note <!channel> %d *bold*", n+1)}}}
			if n%2 == 0 {
				ev.Kind, ev.By, ev.Texts = incident.EventContained, "p2", map[string]incident.Text{"text": {Value: fmt.Sprintf("way %d", n+1)}}
			}
			e.desk.timeline = append(e.desk.timeline, ev)
		}
		requireParts(t, "last", e.typeCommand("U0ADA", "timeline"), "entries 26 to 45 of 45", "`#45`", "way 45", `note \u0026lt;!channel\u0026gt; 44`, "!`#25`", `"value":"timeline INC-42 before 26"`, `"value":"timeline INC-42 notes"`, "!<!channel>")
		e.click("U0ADA", askID(0), "timeline INC-42 before 26")
		e.slack.Wait()
		requireParts(t, "more", string(e.lastEphemeral("U0ADA").Blocks), "entries 6 to 25 of 45", `"value":"timeline INC-42 before 6"`)
		requireParts(t, "filter", e.typeCommand("U0ADA", "timeline notes by <@U0ADA> before 9"), "`#8`", "`#2`", "!`#7`", "!More")
		requireParts(t, "nothing", e.typeCommand("U0ADA", "timeline alerts"), "No entry of the timeline of *INC-42* matches")
		requireParts(t, "unknown filter", e.typeCommand("U0ADA", "timeline nots"), `Did you mean \"notes\"`)
	})
}

// TestHome_FollowsChanges publishes the home tab again only if its content changed.
func TestHome_FollowsChanges(t *testing.T) {
	bothModes(t, func(t *testing.T, e *inboundTest) {
		first := e.openHome("U0ADA")
		requireParts(t, "home", string(first.Blocks), "Report an incident", "acknowledge the page", "Your incidents")
		e.slack.RefreshHomes()
		e.slack.Wait()
		if same, _ := e.ws.Home("U0ADA"); same.Hash != first.Hash {
			t.Error("the home tab was published without a change")
		}
		if got := e.typeCommand("U0BEN", "ack"); !strings.Contains(got, "You acknowledged") {
			t.Fatal(got)
		}
		e.slack.RefreshHomes() // as the desk does
		e.slack.Wait()
		second, _ := e.ws.Home("U0ADA")
		requireParts(t, "after ack", string(second.Blocks), "!acknowledge the page", "Your incidents")
		requireParts(t, "unknown account", string(e.openHome("U0ZOE").Blocks), "Report an incident", "!INC-42")
	})
}

func TestHandover(t *testing.T) {
	bothModes(t, func(t *testing.T, e *inboundTest) {
		e.typeCommand("U0ADA", "ack")
		requireParts(t, "to nobody", e.typeCommand("U0ADA", "handover @nobody"), "Unknown person")
		requireParts(t, "to oneself", e.typeCommand("U0ADA", "handover me"), "You cannot hand the command over to yourself")
		requireParts(t, "typed", e.typeCommand("U0ADA", "handover <@U0BEN> the customer calls at four"), "commands *INC-42* now", "briefing")
		if got := e.desk.last(); got.Verb != incident.VerbHandover || got.Person != "p2" || got.Text != "the customer calls at four" || e.desk.incidents[42].Commander != "p2" {
			t.Errorf("got %+v", got)
		}
		e.typeCommand("U0BEN", "handover")
		e.submit("U0BEN", map[string]any{"person": "U0ADA", "text": "back to you"})
		if got := e.desk.last(); got.Person != "p1" || got.Text != "back to you" || e.desk.incidents[42].Commander != "p1" {
			t.Errorf("form: got %+v", got)
		}
		requireParts(t, "refused", e.typeCommand("U0CLEO", "handover me"), "INC-42 does not exist, or you may not read it")
		inc := e.desk.incidents[42]
		inc.Restricted = false
		e.desk.incidents[42] = inc
		requireParts(t, "refused reader", e.typeCommand("U0CLEO", "handover <@U0BEN>"), "is for responders or the commander", "You can use")
	})
}

func TestPlaybook(t *testing.T) {
	bothModes(t, func(t *testing.T, e *inboundTest) {
		inc := e.desk.incidents[42]
		inc.Restricted = false
		e.desk.incidents[42] = inc
		requireParts(t, "list", e.typeCommand("U0ADA", "playbook list"), "No playbook runs", "data-exposure", "Start data-exposure", `"value":"INC-42|data-exposure"`)
		if reply := e.typeCommand("U0ADA", "playbook start"); reply != "" {
			t.Errorf("got %s, want a form", reply)
		}
		requireParts(t, "form", string(e.currentForm("U0ADA").Blocks), "Which playbook?", "Data exposure")
		e.closeForm("U0ADA")
		requireParts(t, "not allowed", e.typeCommand("U0CLEO", "playbook"), "Responders and the commander can start", "!Start data")
		e.click("U0ADA", string(incident.VerbStartPlaybook), "INC-42|data-exposure")
		e.slack.Wait()
		requireParts(t, "start", string(e.lastEphemeral("U0ADA").Blocks), "No playbook given") // the fake desk has no library
	})
}
