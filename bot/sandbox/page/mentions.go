package page

import (
	"regexp"
	"strings"
)

// mentionPattern matches possible mentions in a text: <@U1>, @name and #channel.
var mentionPattern = regexp.MustCompile(`<(@|#|!subteam\^)([A-Z0-9]+)(?:\|[^<>]*)?>|(^|[^\w@#/&.-])([@#])([\p{Ll}\p{Nd}._-]+)`)

var wireEscape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// mentions converts a typed text to Slack's wire form, as Slack's client does. It
// replaces names that user can see with mentions and escapes &, < and >. If named
// is set, mentions contain the name, as in the text of a command.
func (p *Page) mentions(user, text string, named bool) string {
	dir := p.directoryOf(user)
	var b strings.Builder
	rest := 0
	for _, m := range mentionPattern.FindAllStringSubmatchIndex(text, -1) {
		part := func(i int) string {
			if m[2*i] < 0 {
				return ""
			}
			return text[m[2*i]:m[2*i+1]]
		}
		sign, id, tail := part(1), part(2), ""
		if sign == "" {
			name := part(5)
			for sign, id = part(4), dir.ids[part(4)+name]; id == "" && strings.HasSuffix(name, ".") || id == "" && strings.HasSuffix(name, "-"); {
				tail, name = name[len(name)-1:]+tail, name[:len(name)-1]
				id = dir.ids[sign+name]
			}
			if dir.labels["!subteam^"+id] != "" {
				sign = "!subteam^"
			}
		}
		label, known := dir.labels[sign+id]
		if !known {
			continue
		}
		b.WriteString(wireEscape.Replace(text[rest:m[0]]) + wireEscape.Replace(part(3)) + "<" + sign + id)
		if named {
			b.WriteString("|" + label)
		}
		b.WriteString(">" + tail)
		rest = m[1]
	}
	return b.String() + wireEscape.Replace(text[rest:])
}

// directory contains the people, groups and channels that can be mentioned.
type directory struct {
	ids    map[string]string // id by typed name, such as "@ada" or "#general"
	labels map[string]string // name in a mention by id, such as "@U1", "#C1" or "!subteam^S1"
}

func (p *Page) directoryOf(user string) directory {
	ws := p.cfg.Workspace
	dir := directory{map[string]string{}, map[string]string{}}
	add := func(typed, sign, id, name string) {
		dir.ids[typed+strings.ToLower(name)], dir.labels[sign+id] = id, name
	}
	for _, g := range ws.Groups() {
		if !g.Disabled {
			add("@", "!subteam^", g.ID, g.Handle)
			dir.labels["!subteam^"+g.ID] = "@" + g.Handle
		}
	}
	bot := ws.Config().Bot
	add("@", "@", bot.UserID, bot.Name)
	for _, x := range ws.People() {
		add("@", "@", x.ID, x.Name)
	}
	for _, ch := range ws.Channels(user) {
		if ch.Name != "" {
			add("#", "#", ch.ID, ch.Name)
		}
	}
	return dir
}
