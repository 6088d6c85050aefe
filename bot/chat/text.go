package chat

import (
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// page matches an http or https URL without characters that would end a link
// early or deceive a reader.
var page = regexp.MustCompile(`^https?://[A-Za-z0-9][^\s<>|"\x00-\x1f\x7f-\x9f\x{2028}-\x{202e}\x{2066}-\x{2069}]*$`)

// IsPage reports whether a message may link to an address.
func IsPage(address string) bool {
	return len(address) <= 1000 && utf8.ValidString(address) && page.MatchString(address)
}

// digest returns the first 12 digits of a digest.
func digest(d string) incident.Literal {
	name, hex, found := strings.Cut(d, ":")
	if !found {
		name, hex = "sha256", d
	}
	return incident.Literal(name + ":" + hex[:min(12, len(hex))])
}

// resolve replaces the arguments of an event's sentence that need the incident:
// a step becomes its title, and departments are marked. It
// emphasises severities, steps and playbooks. It
// withholds texts for legal and security, because others read the channel.
func (m *builder) resolve(sentence Text) Text {
	out := Text{Format: sentence.Format, Args: make([]any, len(sentence.Args))}
	for n, arg := range sentence.Args {
		out.Args[n] = m.resolveArg(arg)
	}
	return out
}

// maxNamedSteps is the number of steps that a sentence names.
const maxNamedSteps = 10

func (m *builder) resolveArg(arg any) any {
	switch v := arg.(type) {
	case incident.Severity:
		return Strong{string(v)}
	case incident.Departments:
		return m.teams(v)
	case incident.StepRef:
		return Strong{Plain(text.Truncate(m.stepTitle(v), 300))}
	case incident.Steps:
		var titles []any
		for _, title := range m.inc.StepTitles(v[:min(len(v), maxNamedSteps)]) {
			titles = append(titles, Plain(text.Truncate(title, 150)))
		}
		if more := len(v) - maxNamedSteps; more > 0 {
			titles = append(titles, textf("%d more", more))
		}
		return Joined{"; ", titles}
	case incident.PlaybookRef:
		return Strong{Plain(text.Truncate(m.playbookTitle(string(v)), 200))}
	case incident.Quoted:
		if m.event.Audience == incident.AudienceLegalSecurity {
			return Plain("…")
		}
	case time.Time:
		if v.IsZero() {
			return "not set"
		}
	}
	return arg
}

// involvedNow returns the departments of an event about them.
func (m *builder) involvedNow() (out []incident.Department) {
	for _, name := range strings.Split(m.event.Field("departments"), ",") {
		if name != "" {
			out = append(out, incident.Department(name))
		}
	}
	return out
}

func (m *builder) hasNoMembers(name incident.Department) bool {
	t, _ := m.brief.Directory.Team(name)
	return len(t.Members) == 0 && t.Group == ""
}

// teams names departments. It marks those without members.
func (m *builder) teams(names incident.Departments) List {
	var items List
	for _, name := range names {
		if m.hasNoMembers(name) {
			items = append(items, textf("%s (no members configured)", string(name)))
		} else {
			items = append(items, string(name))
		}
	}
	return items
}
