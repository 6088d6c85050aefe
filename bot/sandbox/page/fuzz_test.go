package page

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"tocsin/bot/sandbox/chat"
)

func FuzzInvitation(f *testing.F) {
	f.Add("BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nSUMMARY:a\\, b\r\nDTSTART;TZID=Europe/Paris:20261124T100000\r\nATTENDEE;CN=\"x:y\":mailto:z\r\nEND:VEVENT\r\n")
	f.Add("END:VEVENT\nEND:\nBEGIN:\n:\n;:\nSUMMARY")
	f.Fuzz(func(t *testing.T, raw string) {
		in := readInvitation([]byte(raw))
		if in == nil {
			t.Fatal("got nil")
		}
		if !strings.Contains(strings.ToUpper(raw), "VEVENT") && in.Summary != "" {
			t.Errorf("got summary %q without an event", in.Summary)
		}
	})
}

// FuzzMentions checks that a typed text can mention only existing people,
// groups and channels, and that all other markup is escaped.
func FuzzMentions(f *testing.F) {
	ws := chat.New(chat.Config{People: []chat.Person{{ID: "U1", Name: "ada"}}, Groups: []chat.Group{{ID: "S1", Handle: "sec"}}, Channels: []chat.SeedChannel{{ID: "C1", Name: "general"}}, Bot: chat.Bot{UserID: "U0", Name: "tocsin"}})
	f.Cleanup(func() { _ = ws.Close() })
	p := &Page{cfg: Config{Workspace: ws}}
	wire := regexp.MustCompile(`<(@U[01]|#C1|!subteam\^S1)(\|[^<>]*)?>`)
	for _, s := range []string{"@ada @sec. #general", "<@U1|x> <@U2> <!here> &amp;", "@ada-.-", "a@ada <<@U1>>"} {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, typed string, named bool) {
		got := p.mentions("U1", typed, named)
		if rest := wire.ReplaceAllString(got, ""); strings.ContainsAny(rest, "<>") {
			t.Errorf("got %q for %q, want no other markup", got, typed)
		}
		if utf8.ValidString(typed) && !utf8.ValidString(got) {
			t.Errorf("got invalid UTF-8 for %q", typed)
		}
	})
}
