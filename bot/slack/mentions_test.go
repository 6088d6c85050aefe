package slack

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tocsin/bot/command"
	"tocsin/bot/incident"
)

func mentionDirectory() incident.Directory {
	return incident.Directory{
		People: []incident.Person{{ID: "p-ada", Name: "Ada Lovelace", Identities: []incident.Identity{{Provider: incident.ProviderSlack, ID: "U01"}, {Provider: incident.ProviderMail, ID: "ada@example.com"}}}},
		Teams:  []incident.Team{{Name: "payroll", Group: "S07"}},
	}
}

// People see the mentions of a message by name.
func TestNeutralText_Prose(t *testing.T) {
	for text, want := range map[string]string{
		"the insurer <@U01> called <!subteam^S07|@payroll> <#C1|ops> <https://x.example/a|here>": "the insurer @Ada Lovelace called @payroll #ops https://x.example/a",
		"<@U01|ada>, <@U99|zoe> and <@U98>":                                    "@Ada Lovelace, @zoe and @U98",
		"<!subteam^S07> <!subteam^S08|@ops> <!here> <!channel|@channel>":       "@S07 @ops @here @channel",
		"<#C1> <mailto:okri@example.com|okri@example.com> <https://x.example>": "#C1 okri@example.com https://x.example",
		"5 &lt; 6 &amp;&amp; 7 > 6":                                            "5 < 6 && 7 > 6",
		"typed &lt;@U01&gt; and &lt;https://x&gt;":                             "typed <@U01> and <https://x>",
		"a <b> and <@U01|a\nb> stay, <@U01|> does not":                         "a <b> and <@U01|a\nb> stay, @Ada Lovelace does not",
	} {
		if got := command.Readable(neutralText(text, mentionDirectory())); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", text, got, want)
		}
	}
}

// Mentions are the arguments of commands.
func TestNeutralText_Arguments(t *testing.T) {
	d := mentionDirectory()
	for text, want := range map[string]incident.Command{
		"role scribe <@U01|ada>":                                  {Verb: incident.VerbAssignRole, Role: incident.Scribe, Person: "p-ada"},
		"role scribe <mailto:ADA@example.com|ADA@example.com>":    {Verb: incident.VerbAssignRole, Role: incident.Scribe, Person: "p-ada"},
		"consult <!subteam^S07|payroll> blocking":                 {Verb: incident.VerbConsult, Department: "payroll", Blocking: true},
		"review conclude with <@U01|lovelace, ada>: rotate: keys": {Verb: incident.VerbConclude, Attendance: []incident.PersonID{"p-ada"}, Text: "rotate: keys"},
		"grant <@U01|ada> because <@U01|ada> asked":               {Verb: incident.VerbGrant, Person: "p-ada", Text: "@Ada Lovelace asked"},
		`evidence "mail of <@U01>" in <https://x.example/1|x>`:    {Verb: incident.VerbEvidence, Evidence: &incident.Evidence{Name: "mail of @Ada Lovelace", Where: "https://x.example/1"}},
	} {
		want.For = 42
		got, err := command.Parse(neutralText(text, d), command.Context{Incident: 42, Directory: d, Now: noon})
		if err != nil || !reflect.DeepEqual(got.Command, want) {
			t.Errorf("%s:\ngot  %+v, %v\nwant %+v", text, got.Command, err, want)
		}
	}
	for text, want := range map[string]string{
		"role scribe <@U99|zoe>":     "zoe is not linked to a person",
		"role scribe <@U99>":         "U99 is not linked to a person",
		"consult <!subteam^S8|@ops>": `unknown department "ops"`,
		"list <@U01|ada>":            `unknown status "@Ada Lovelace"`,
	} {
		if _, err := command.Parse(neutralText(text, d), command.Context{Incident: 42, Directory: d, Now: noon}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

// The text that a failed command gives back means the same when it is sent again, an hour
// later and in another channel. Slack escapes it.
func TestTypedCommand_AgainMeansTheSame(t *testing.T) {
	d := mentionDirectory()
	d.People = append(d.People, incident.Person{ID: "p-ben", Name: "Ben Okri", Identities: []incident.Identity{{Provider: incident.ProviderSlack, ID: "U02"}}})
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace
	texts := []string{"role scribe <@U01|ada>", "role scribe <@U02>", "consult <!subteam^S07|payroll> blocking", "grant <@U01|ada> because <@U02|ben> asked: 1 &lt; 2 &amp;&amp; 3",
		"note at 10m ago “logins” were back", "review conclude with <@U01|ada>, <@U02>: rotate: keys", "delegate legal to <@U02> until tomorrow 10:00", "evidence \"mail of <@U01>\" in <https://x.example/1|x>", "ack sev2"}
	for _, s := range command.Specs() {
		texts = append(texts, s.Examples...)
	}
	for _, text := range texts {
		c := command.Context{Incident: 42, Who: "p-ada", Directory: d, Now: noon}
		first, err := command.Parse(neutralText(text, d), c)
		if err != nil || first.Form != "" {
			continue
		}
		again, ok := command.Format(first, d)
		if !ok || strings.Contains(again, "@{") {
			t.Errorf("%s: got %q, want a text that people can type", text, again)
		}
		c.Incident, c.Now = 7, noon.Add(time.Hour)
		second, err := command.Parse(neutralText(escape(again), d), c)
		second.Command.Zone = first.Command.Zone
		if first.Query != "" { // in most cases about no incident
			second.Command.For = first.Command.For
		}
		if err != nil || !sameInstants(t, first, second) {
			t.Errorf("%s: got %q, which means %+v, %v, want %+v", text, again, second, err, first)
		}
	}
}

// sameInstants compares parsed lines. Their times may be in different zones.
func sameInstants(t *testing.T, a, b command.Parsed) bool {
	t.Helper()
	var out [2]string
	for n, w := range []command.Parsed{a, b} {
		for _, at := range []*time.Time{&w.Command.HappenedAt, &w.Command.When, &w.Command.Until} {
			*at = at.UTC()
		}
		if w.AlertRequest != nil && w.AlertRequest.Add != nil {
			request, add := *w.AlertRequest, *w.AlertRequest.Add
			add.From, add.To = add.From.UTC(), add.To.UTC()
			request.Add, w.AlertRequest = &add, &request
		}
		data, err := json.Marshal(w)
		if err != nil {
			t.Fatal(err)
		}
		out[n] = string(data)
	}
	return out[0] == out[1]
}

// FuzzNeutralText checks that no reference to a known person or team is left, that
// the text of a command parses or is refused, and that the translation of a text
// without references is the unescaped text.
func FuzzNeutralText(f *testing.F) {
	for _, text := range []string{"role scribe <@U01|ada>", "note <!subteam^S07|@payroll> &lt;@U01&gt;", "<https://x|<@U01>>", "<@U01|a|b>", "<@<@U01>>", "@{person p-ada|x}", "<@U01|@{person p|x}>"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d := mentionDirectory()
		got := neutralText(text, d)
		if !strings.Contains(text, "<") && got != unescape(text) {
			t.Fatalf("%q: got %q, want it unescaped", text, got)
		}
		if !strings.Contains(text, "&") && strings.Contains(command.Readable(got), "<@U01>") {
			t.Fatalf("%q: got %q, want the person", text, command.Readable(got))
		}
		if utf8.ValidString(text) != utf8.ValidString(got) && utf8.ValidString(text) {
			t.Fatalf("%q: got invalid UTF-8", text)
		}
		if _, err := command.Parse(got, command.Context{Incident: 42, Directory: d, Now: noon}); err != nil && incident.CodeOf(err) == "" {
			t.Fatalf("%q: got %v, want an incident.Error", got, err)
		}
	})
}
