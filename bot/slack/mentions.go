package slack

import (
	"cmp"
	"regexp"
	"strings"

	"tocsin/bot/command"
	"tocsin/bot/incident"
)

// reference matches the references that Slack wraps in angle brackets, as in
// <@U01|ada>, <#C01|ops>, <!subteam^S01|@security> and <https://example.com|here>.
// Slack escapes the brackets that people type.
var reference = regexp.MustCompile(`<([@#!]?)([^<>|\n]+)(?:\|([^<>\n]*))?>`)

// userLabel matches the reference to a user with a label.
var userLabel = regexp.MustCompile(`(<@[^<>|\n]+)\|[^<>\n]*>`)

// neutralText translates a text of Slack into the text that package command reads.
func neutralText(text string, d incident.Directory) string {
	return unescape(reference.ReplaceAllStringFunc(text, func(m string) string {
		part := reference.FindStringSubmatch(m)
		kind, ref, label := part[1], part[2], strings.TrimPrefix(part[3], "@")
		switch {
		case kind == "@":
			person, ok := d.Resolve(identity(ref))
			if !ok {
				return command.Mention("", cmp.Or(label, ref))
			}
			return command.Mention(person.ID, person.Name)
		case kind == "#":
			return "#" + cmp.Or(strings.TrimPrefix(label, "#"), ref)
		case kind == "!":
			group, isGroup := strings.CutPrefix(ref, "subteam^")
			for _, t := range d.Teams {
				if isGroup && t.Group == group {
					return command.MentionTeam(t.Name, cmp.Or(label, group))
				}
			}
			return "@" + cmp.Or(label, group)
		case strings.Contains(ref, "://"):
			return ref
		case strings.HasPrefix(ref, "mailto:"):
			return strings.TrimPrefix(ref, "mailto:")
		}
		return m // not a reference
	}))
}
