package slack

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"tocsin/bot/chat"
	"tocsin/bot/incident"
)

// fill inserts the arguments into the format of a text. A test ensures that
// formats contain no markup.
func (l *layouter) fill(t chat.Text) markup {
	return markup(t.Show(func(arg any) string { return string(l.arg(arg)) }).String())
}

// arg returns an argument of a text as markup.
func (l *layouter) arg(arg any) markup {
	switch v := arg.(type) {
	case chat.Text:
		return l.fill(v)
	case chat.Icon:
		return markupf(":%s:", markup(v))
	case chat.Strong:
		return markupf("*%s*", l.arg(v.Value))
	case chat.Plain:
		return l.inert(string(v))
	case chat.Code:
		return markupf("`%s`", escape(string(v), 300))
	case chat.Typed:
		return markupf("`%s`", escape(strings.TrimSpace(l.command+" "+string(v)), 300))
	case chat.Clock:
		return clockMarkup(time.Time(v))
	case chat.Link:
		return linkMarkup(v.URL, v.Label)
	case chat.Channel:
		return mentionChannel(string(v))
	case chat.Mention:
		return mention(l.directory, incident.PersonID(v))
	case chat.Group:
		if m := mentionGroup(string(v)); m != "" {
			return m
		}
		return "Responders"
	case chat.List:
		return joinLimited(l.args(v), 1200)
	case chat.Joined:
		return joinMarkup(l.args(v.Items), v.Separator)
	case chat.SharedFiles:
		return l.fileLinks()
	}
	return l.domainArg(arg)
}

func (l *layouter) args(items []any) []markup {
	out := make([]markup, len(items))
	for n, arg := range items {
		out[n] = l.arg(arg)
	}
	return out
}

// domainArg returns an argument of an event's sentence as markup.
func (l *layouter) domainArg(arg any) markup {
	switch v := arg.(type) {
	case incident.PersonID:
		return l.inert(l.directory.Name(v))
	case incident.People:
		names := make([]markup, len(v))
		for n, id := range v {
			names[n] = l.inert(l.directory.Name(id))
		}
		return joinLimited(names, 1500)
	case incident.Labels:
		parts := make([]markup, len(v))
		for n, label := range v {
			parts[n] = escape(label, 60)
		}
		return joinLimited(parts, 600)
	case incident.Quoted:
		return l.inert(string(v))
	case incident.Literal:
		return escape(string(v), 200)
	case incident.Detail:
		return escape(string(v), 200)
	case incident.Day:
		return markup(v.String())
	case time.Time:
		if incident.HasZone(v) {
			return dateMarkup(v) + " (" + escape(incident.LocalText(v), 100) + ")"
		}
		return dateMarkup(v)
	}
	return humanize(fmt.Sprint(arg))
}

// inert returns text of a person or a source for use inside a sentence. Text
// that Slack would format becomes code, which readers can also copy.
func (l *layouter) inert(text string) markup {
	short, cut := clip(text, maxInlineText)
	l.truncated = l.truncated || cut
	if isFormatted(short) {
		return markupf("`%s`", escape(short, maxInlineText))
	}
	return escape(short, maxInlineText)
}

// maxInlineText is the maximum length of a quoted text inside a sentence.
const maxInlineText = 1000

// formatted matches text that Slack formats or replaces by an emoji, or that would end the
// bold text around it. Identifiers such as missing_scope do not match.
var formatted = regexp.MustCompile(`\*|(^|[^\pL\pN])(_[^\s_].*_|~[^\s~].*~)|:[a-zA-Z0-9+-]*[a-zA-Z+-][_a-zA-Z0-9+-]*:|:100:|:1234:`)

// arn matches the name of a resource of AWS. Its parts between colons are no emoji.
var arn = regexp.MustCompile(`\barn:aws[a-z-]*(:[a-z0-9-]*){3}`)

func isFormatted(text string) bool { return formatted.MatchString(arn.ReplaceAllString(text, "arn")) }
