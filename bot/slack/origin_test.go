package slack

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	neutral "tocsin/bot/chat"
	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
)

// Every message about a drill begins with its mark, after the icon, and so does its
// notification.
func TestMessages_BeginWithMarkOfOrigin(t *testing.T) {
	check := func(name string, m neutral.Message) {
		t.Helper()
		if len(m.Blocks) == 0 {
			t.Fatalf("%s: got no blocks", name)
		}
		for where, text := range map[string]string{"message": firstText(t, m), "notification": laidOut(m).text} {
			if _, rest, icon := strings.Cut(strings.TrimPrefix(text, ":"), ": "); icon && strings.HasPrefix(text, ":") {
				text = rest
			}
			if !strings.HasPrefix(text, "[DRILL] ") || strings.Count(text, "[DRILL]") != 1 {
				t.Errorf("%s: got %s %q, want the mark once, at the beginning", name, where, text)
			}
		}
	}
	cases := fixtures()
	for _, kind := range incident.EventKinds() {
		b := cases[kind].brief(kind)
		b.Incident.Origin = incident.OriginDrill
		if m, ok := neutral.EventMessage(b, incident.ViaSlack); ok {
			check(string(kind), m)
		}
	}
	for _, restricted := range []bool{true, false} {
		b := brief(fullIncident())
		b.Incident.Origin, b.Incident.Restricted, b.Event.Kind = incident.OriginDrill, restricted, incident.EventOpened
		check("card", neutral.Card(b))
		check("announcement", neutral.Announcement(b))
		check("postmortem", neutral.PostmortemAnnouncement(b, b.Incident.Record))
		check("page", neutral.GroupPage(b, "S0"))
		check("result", neutral.Result(incident.Command{Verb: incident.VerbAcknowledge}, incident.Result{Incident: b.Incident}))
		summary := b.Incident.Summary()
		if got := neutral.SummaryLine(summary); !strings.HasPrefix(got, "[DRILL] INC-42 · ") {
			t.Errorf("got line %q in a list", got)
		}
		agenda := laidOut(neutral.AgendaMessage(incident.Brief{Agenda: []incident.Summary{summary}}))
		if text := visibleText(t, agenda); !strings.Contains(text, "[DRILL] INC-42 · ") || strings.Count(text, "[DRILL]") != 1 {
			t.Errorf("got agenda %s", text)
		}
	}
}

// firstText returns the text of the first block.
func firstText(t *testing.T, m neutral.Message) string {
	t.Helper()
	m.Blocks = m.Blocks[:1]
	return strings.TrimLeft(visibleText(t, laidOut(m)), " *_")
}

// visibleText returns the texts of the blocks in their order.
func visibleText(t *testing.T, m message) string {
	t.Helper()
	raw, err := json.Marshal(m.blocks)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, found := range regexp.MustCompile(`"text":("(?:[^"\\]|\\.)*")`).FindAllSubmatch(raw, -1) {
		var text string
		if err := json.Unmarshal(found[1], &text); err != nil {
			t.Fatal(err)
		}
		out = append(out, text)
	}
	return strings.Join(out, "\n")
}

func TestChannel_NameAndTopicOfDrill(t *testing.T) {
	f := newOutboundTest(t)
	b := brief(openedIncident())
	b.Incident.Origin = incident.OriginDrill
	cmd := f.must(f.effects.OpenChannel, b)
	again := f.must(f.effects.OpenChannel, b)
	b.Incident.Links = map[string]string{incident.LinkChannel: cmd.Links[incident.LinkChannel]}
	f.must(f.effects.Topic, b)
	channels := slices.DeleteFunc(f.ws.Channels(""), func(c chat.Channel) bool { return !strings.Contains(c.Name, "inc-") })
	if len(channels) != 1 || channels[0].Name != "drill-inc-42" || channels[0].Topic != "[DRILL] INC-42" {
		t.Errorf("got channels %+v, want one with name and topic of a drill", channels)
	}
	if again.Links[incident.LinkChannel] != cmd.Links[incident.LinkChannel] {
		t.Errorf("got channel %s at the second attempt, want %s", again.Links[incident.LinkChannel], cmd.Links[incident.LinkChannel])
	}
}
