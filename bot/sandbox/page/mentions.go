package page

import (
	"regexp"
	"strings"
)

// marks are what becomes a mention while typing: <@U1> as it stands, @name, #channel.
var marks = regexp.MustCompile(`<(@|#|!subteam\^)([A-Z0-9]+)(?:\|[^<>]*)?>|(^|[^\w@#/&.-])([@#])([\p{Ll}\p{Nd}._-]+)`)

var wireEscape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// mentions turns what a person types into Slack's wire form, as its client
// does: names become mentions, the three special characters are escaped. A
// command's mentions carry the name as well, as Slack sends them.
func (p *Page) mentions(user, text string, named bool) string {
	book := p.names(user)
	var b strings.Builder
	rest := 0
	for _, m := range marks.FindAllStringSubmatchIndex(text, -1) {
		part := func(i int) string {
			if m[2*i] < 0 {
				return ""
			}
			return text[m[2*i]:m[2*i+1]]
		}
		sign, id, tail := part(1), part(2), ""
		if sign == "" {
			name := part(5)
			for sign, id = part(4), book.ids[part(4)+name]; id == "" && strings.HasSuffix(name, ".") || id == "" && strings.HasSuffix(name, "-"); {
				tail, name = name[len(name)-1:]+tail, name[:len(name)-1]
				id = book.ids[sign+name]
			}
			if book.labels["!subteam^"+id] != "" {
				sign = "!subteam^"
			}
		}
		label, known := book.labels[sign+id]
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

// phonebook knows by which names people, groups and channels are mentioned.
type phonebook struct {
	ids    map[string]string // "@ada", "#general" → id
	labels map[string]string // "@U1", "#C1", "!subteam^S1" → the name in a mention
}

func (p *Page) names(user string) phonebook {
	ws := p.cfg.Workspace
	book := phonebook{map[string]string{}, map[string]string{}}
	add := func(typed, sign, id, name string) {
		book.ids[typed+strings.ToLower(name)], book.labels[sign+id] = id, name
	}
	for _, g := range ws.Groups() {
		if !g.Disabled {
			add("@", "!subteam^", g.ID, g.Handle)
			book.labels["!subteam^"+g.ID] = "@" + g.Handle
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
	return book
}
