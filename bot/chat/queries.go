package chat

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tocsin/bot/command"
	"tocsin/bot/incident"
	"tocsin/templates"
)

// Status returns the present state of an incident for a person who asked: the card with
// all details. Legal and security also see the excluded people.
func Status(b incident.Brief) Message {
	m, card := newBuilder(b), Card(b)
	m.exclusions()
	m.Notice, m.Blocks = card.Notice, append(m.Blocks, card.Blocks...)
	m.details()
	return m.Message
}

// exclusions lists the people who are excluded from the incident.
func (m *builder) exclusions() {
	d := m.brief.Directory
	var lines []string
	for _, x := range m.inc.Exclusions {
		lines = append(lines, fmt.Sprintf("%s: %s", d.Name(x.Person), x.Reason))
	}
	if x := m.inc.ExclusionProposed; x != nil {
		lines = append(lines, fmt.Sprintf("%s (proposed by %s, the other one of legal and security must confirm): %s", d.Name(x.Person), d.Name(x.By), x.Reason))
	}
	if len(lines) > 0 {
		m.iconLine("lock", "%s Only legal and security see this.", Strong{"Excluded people."})
		m.bullets(lines)
	}
}

// Record returns the present closing record, and the drafts of the other parts.
func Record(v incident.View, now time.Time) Message {
	m := newBuilder(briefOf(v, now))
	m.line("Closing record of %s", Strong{m.inc.ID})
	m.record(m.inc.Record)
	m.drafts(v.Draft)
	if sub := m.inc.Submission; sub != nil {
		m.small(textf("revision %d, frozen", sub.Document.Revision), textf("%s", Plain(sub.Digest)))
	}
	if isAllowed(m.inc, incident.VerbSubmit) {
		m.buttons(m.action("Edit the record", incident.Command{Verb: incident.VerbEditRecord}), m.action("Submit the record", incident.Command{Verb: incident.VerbSubmit}))
	}
	return m.message()
}

// Incidents returns a list of incidents.
func Incidents(found []incident.Summary) Message {
	m := &builder{}
	if len(found) == 0 {
		m.line("No incident matches.")
		return m.Message
	}
	m.line("%s", CountIncidents(len(found), ""))
	for chunk := range slices.Chunk(found, 12) {
		lines := make([]string, len(chunk))
		for n, i := range chunk {
			lines[n] = SummaryLine(i)
		}
		m.bullets(lines)
	}
	return m.Message
}

// CountIncidents returns a number of incidents with an adjective and a space
// before the noun, such as "1 open incident".
func CountIncidents(n int, adjective string) string {
	if n == 1 {
		return "1 " + adjective + "incident"
	}
	return fmt.Sprintf("%d %sincidents", n, adjective)
}

// SummaryLine returns an incident as a line of a list.
func SummaryLine(i incident.Summary) string {
	title := i.Title
	if title == "" {
		title = "(restricted)"
	}
	return i.Origin.Marked(fmt.Sprintf("%s · %s · %s · %s", i.ID, i.Severity, humanize(i.Status), title))
}

// Alerts returns the reply to a request about alerts or maintenance windows.
func Alerts(a incident.AlertResult, d incident.Directory, now time.Time) Message {
	m := &builder{}
	lines := templates.AlertResult(a, d, now)
	m.line("%s", Plain(lines[0]))
	for chunk := range slices.Chunk(lines[1:], 12) {
		m.bullets(chunk)
	}
	return m.Message
}

// Help returns the help about one command, or about all commands if topic is not
// one.
func Help(topic string) Message {
	m := &builder{}
	if spec, ok := command.Find(topic); ok {
		m.line("%s\n%s", usage(spec), Plain(spec.Help))
		for _, example := range spec.Examples {
			m.line("%s", Typed(example))
		}
		return m.Message
	}
	m.line("%s In the channel of an incident, a command applies to that incident. Elsewhere, add its ID after the verb: %s.", Strong{"Commands."}, Typed("status INC-42"))
	var common, rest []any
	for _, spec := range command.Specs() {
		if spec.Common {
			common = append(common, textf("%s – %s", usage(&spec), Plain(spec.Help)))
		} else {
			rest = append(rest, Code(humanize(spec.Name)))
		}
	}
	for chunk := range slices.Chunk(common, 8) {
		m.line("%s", Joined{"\n", chunk})
	}
	m.line("More commands: %s.\nType %s to see one command with examples.", Joined{" ", rest}, Typed("help severity"))
	return m.Message
}

func usage(spec *command.Spec) Typed { return Typed(strings.TrimSpace(spec.Name + " " + spec.Usage())) }
