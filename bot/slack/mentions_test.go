package slack

import (
	"reflect"
	"strings"
	"testing"
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
