package command

import (
	"regexp"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// happenedAtArg is the time at which the described action took place.
var happenedAtArg = Arg{Name: "happened_at", Usage: "[at TIME]", Next: []string{"at"}, read: readHappenedAt, value: func(c FormContext) string {
	if c.Given.HappenedAt.IsZero() {
		return ""
	}
	return c.Given.HappenedAt.UTC().Format(time.RFC3339)
}, write: writeHappenedAt}

// whenField returns the field for the time of an action.
func whenField() Field {
	return happenedAtArg.input(KindMoment, "When did this happen?").optional().hint("Empty means now.")
}

// timeLike matches a word that is meant as a time, valid or not.
var timeLike = regexp.MustCompile(`^(\d{1,2}:\d{2}|\d{4}-\d{1,2}-\d|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}$|\d{1,2}[ap]\.?m|[~≈]\d{1,2}:\d{2}|\d{1,2}\.\d{2}$|[0-2]\d[0-5]\d[hz]?$)`)

// vague are words before a time that is not exact.
var vague = []string{"about", "around", "approximately", "approx", "roughly", "circa", "ca."}

// readHappenedAt consumes "at TIME", if present. If the word after "at" does not look like
// a time, it consumes nothing. A field of a form needs no "at" and must be a time.
func readHappenedAt(p *parser, w *Parsed) (bool, error) {
	start := p.pos
	if !p.take("at", "@") && !p.field {
		return false, nil
	}
	p.prose = !p.field
	v, ok, err := p.when(past)
	p.prose = false
	switch {
	case err != nil && (p.field || !ok):
		return false, inField(err, "happened_at")
	case p.field && (!ok || !p.atEnd()):
		p.pos = start
		return false, p.notTime("happened_at", past)
	case !ok:
		vaguely := p.take(vague...)
		word, _ := p.peek()
		if exact := strings.TrimLeft(word.text, "~≈"); timeLike.MatchString(word.text) && (vaguely || exact != word.text) {
			return false, incident.Invalid("happened_at", "%q is not an exact time. Type at %s, and say in the text that it is an estimate", truncate(strings.TrimFunc(p.text[start:p.pos]+" "+word.raw, isSpace)), exact)
		}
		if timeLike.MatchString(strings.ToLower(word.text)) {
			return false, incident.Invalid("happened_at", "%q is not a date or time. Type %s", truncate(word.text), pastForms)
		}
		p.pos = start
		return false, nil
	case v.After(p.Now.Add(time.Minute)):
		return false, incident.Invalid("happened_at", "%s is in the future. Give a time that has passed", incident.TimeText(v))
	}
	p.take("-", "–", "—", ":")
	w.Command.HappenedAt = v
	return true, nil
}
