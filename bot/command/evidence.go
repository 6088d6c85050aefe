package command

import (
	"regexp"
	"strings"

	"tocsin/bot/incident"
)

var hash64 = regexp.MustCompile(`(?i)^(?:sha-?256[:=])?([0-9a-f]{64})$`)

// parseHash returns the digits of a SHA-256.
func parseHash(text string) (string, error) {
	m := hash64.FindStringSubmatch(text)
	if m == nil {
		return "", incident.Invalid("sha256", "%q is not a SHA-256. Use 64 hexadecimal digits", truncate(text))
	}
	return strings.ToLower(m[1]), nil
}

// evidenceArg is "NAME [in PLACE] [sha256:HEX]", in any order.
var evidenceArg = Arg{Name: "evidence", Usage: "NAME [in PLACE] [sha256:HEX]", read: func(p *parser, w *Parsed) (bool, error) {
	e := evidenceOf(&w.Command)
	var name, where []string
	into := &name
	for {
		if follows, err := p.hashFollows(); err != nil {
			return false, err
		} else if follows {
			p.next()
		}
		if len(name) > 0 && w.Command.HappenedAt.IsZero() {
			if found, err := readHappenedAt(p, w); found || err != nil {
				if err != nil {
					return false, err
				}
				continue
			}
		}
		if into == &name && p.take("in", "where") {
			into = &where
			continue
		}
		word, ok := p.next()
		if !ok {
			break
		}
		sum, err := parseHash(word.text)
		if err == nil && !word.quoted {
			if e.SHA256 != "" && e.SHA256 != sum {
				return false, incident.Invalid("sha256", "two different hashes are given. Type one SHA-256")
			}
			e.SHA256 = sum
			continue
		}
		if strings.HasPrefix(strings.ToLower(word.text), "sha256:") {
			return false, err
		}
		if unclosed(word) {
			return false, incident.Invalid("evidence", "the quote at %q is not closed. Type a quote at the end, too", truncate(word.raw))
		}
		*into = append(*into, Readable(word.raw))
	}
	e.Name, e.Where = joinWords(name), joinWords(where)
	return e.Name != "", nil
}, write: writeEvidence}

// hexWord matches digits of a hash, which may be incomplete.
var hexWord = regexp.MustCompile(`(?i)^[0-9a-f]{3,}$`)

// hashFollows reports whether the next word is sha256 and its digits follow.
func (p *parser) hashFollows() (bool, error) {
	at := p.pos
	defer func() { p.pos = at }()
	if !p.take("sha256") {
		return false, nil
	}
	word, _ := p.next()
	_, err := parseHash(word.text)
	if err != nil && !hexWord.MatchString(word.text) {
		return false, nil // a word of the name
	}
	return err == nil, err
}

// The parts of evidenceArg, for the fields of a form.
var (
	evidenceNameArg  = Arg{Name: "name", part: func(c *incident.Command) *string { return &evidenceOf(c).Name }}
	evidenceWhereArg = Arg{Name: "where", part: func(c *incident.Command) *string { return &evidenceOf(c).Where }}
	evidenceHashArg  = Arg{Name: "sha256", part: func(c *incident.Command) *string { return &evidenceOf(c).SHA256 }, read: func(p *parser, w *Parsed) (bool, error) {
		sum, err := parseHash(p.rest())
		evidenceOf(&w.Command).SHA256 = sum
		return err == nil, err
	}}
)

// evidenceOf returns the evidence of the command, which it begins if necessary.
func evidenceOf(c *incident.Command) *incident.Evidence {
	if c.Evidence == nil {
		c.Evidence = &incident.Evidence{}
	}
	return c.Evidence
}
