package command

import (
	"strconv"
	"strings"

	"tocsin/bot/incident"
)

// unread returns the error for the remaining text, which belongs to no argument. The
// error names the text, where it stands and a command that works.
func (p *parser) unread() *incident.Error {
	before := strings.TrimFunc(p.text[:p.pos], isSpace)
	rest := p.rest()
	text, more := p.inner(rest).cutFirst("because")
	where := "at the end"
	switch {
	case text == "":
		text = rest
	case more:
		where = `before "because"`
	case len(strings.Fields(text)) > 1:
		where = "after " + strconv.Quote(truncateLeft(before))
	}
	example := p.spec.Name
	if len(p.spec.Examples) > 0 {
		example = p.spec.Examples[0]
		for _, e := range p.spec.Examples {
			if commonWords(e, p.text) > commonWords(example, p.text) {
				example = e
			}
		}
	}
	if incidentWord.MatchString(text) && p.named == 0 && p.spec.NeedsIncident {
		return incident.Invalid("arguments", "%s stands %s. Type it after %s, as in %s %s", strings.ToUpper(text), where, p.spec.Name, p.spec.Name, strings.ToUpper(text))
	}
	return incident.Invalid("arguments", "Tocsin does not understand %q %s. Type %s, for example: %s", truncate(text), where,
		strings.TrimSpace(p.spec.Name+" "+p.spec.Usage()), example)
}

// misplaced returns an error if the remaining text is an incident alone, or if it ends
// with a flag of the command. Both would silently become prose.
func (p *parser) misplaced() error {
	if p.field || p.spec == nil {
		return nil
	}
	at := p.pos
	defer func() { p.pos = at }()
	if _, ok := p.incident(); ok && p.atEnd() {
		p.pos = at
		return p.unread()
	}
	p.pos = at
	words := strings.Fields(p.rest())
	if len(words) == 0 {
		return nil
	}
	last := words[len(words)-1]
	for _, flags := range p.spec.Flags() {
		for _, flag := range flags {
			if last == "--"+flag.Name || last == "—"+flag.Name {
				return incident.Invalid("flag", "%q stands at the end. Type it before the text, as in %s --%s TEXT", last, p.spec.Name, flag.Name)
			}
		}
	}
	return nil
}

// commonWords returns the number of words at the beginning of two texts that are equal.
func commonWords(a, b string) int {
	x, y := strings.Fields(strings.ToLower(a)), strings.Fields(strings.ToLower(b))
	n := 0
	for n < min(len(x), len(y)) && x[n] == y[n] {
		n++
	}
	return n
}

// truncateLeft shortens a text to its end.
func truncateLeft(s string) string {
	if r := []rune(Readable(s)); len(r) > 40 {
		return "…" + string(r[len(r)-40:])
	}
	return Readable(s)
}
