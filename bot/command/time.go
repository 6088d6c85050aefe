package command

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// tense selects the day of a time without a date.
type tense int

const (
	past   tense = iota // the most recent such time
	future              // the next such time
)

// when consumes a time: "02:31", "yesterday 23:10", "tomorrow 10:00",
// "2026-11-24 10:00", RFC 3339, "5m ago", "in 2h", "monday 10:00" or "now". "UTC"
// after it selects that zone. Without a time it returns false and consumes nothing.
func (p *parser) when(t tense) (time.Time, bool) {
	at := p.pos
	if v, ok := p.instant(t); ok {
		return v, true
	}
	p.pos = at
	return time.Time{}, false
}

func (p *parser) instant(t tense) (time.Time, bool) {
	w, ok := p.next()
	if !ok {
		return time.Time{}, false
	}
	if w.quoted {
		inner := p.inner(w.text)
		v, ok := inner.when(t)
		return v, ok && inner.rest() == ""
	}
	first := strings.Trim(strings.ToLower(w.text), ",;")
	if v, err := time.Parse(time.RFC3339, strings.ToUpper(first)); err == nil && v.Year() > 0 {
		return v, true
	}
	switch first {
	case "now":
		return p.Now, true
	case "in":
		if span, ok := p.length(); ok {
			return p.Now.Add(span), true
		}
		return time.Time{}, false
	}
	if span, ok := duration(first); ok && p.take("ago") {
		return p.Now.Add(-span), true
	}
	if day, ok := p.day(first, t); ok {
		p.take("at")
		clock, ok := p.next()
		if !ok {
			return time.Time{}, false
		}
		return p.clock(day, clock.text)
	}
	if day, clock, ok := strings.Cut(first, "t"); ok {
		if d, ok := dateOnly(day); ok {
			return p.clock(d, clock)
		}
	}
	now := p.Now.In(p.zoneAhead())
	v, ok := p.clock(time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC), first)
	switch {
	case ok && t == past && v.After(p.Now.Add(time.Minute)):
		v = v.AddDate(0, 0, -1)
	case ok && t == future && v.Before(p.Now):
		v = v.AddDate(0, 0, 1)
	}
	return v, ok
}

// clock returns the time of day s on a day. It consumes a following zone.
func (p *parser) clock(day time.Time, s string) (time.Time, bool) {
	s = strings.Trim(strings.ToLower(s), ",;:")
	zone := p.Zone
	if bare, ok := strings.CutSuffix(s, "z"); ok {
		s, zone = bare, time.UTC
	} else if p.take("utc", "gmt", "z") {
		zone = time.UTC
	}
	for _, layout := range []string{"15:04", "15:04:05", "15h04"} {
		if c, err := time.Parse(layout, s); err == nil {
			return time.Date(day.Year(), day.Month(), day.Day(), c.Hour(), c.Minute(), c.Second(), 0, zone), true
		}
	}
	return time.Time{}, false
}

// zoneAhead returns UTC if the next word is UTC or GMT, otherwise p.Zone.
func (p *parser) zoneAhead() *time.Location {
	if w, ok := p.peek(); ok && (strings.EqualFold(w.text, "utc") || strings.EqualFold(w.text, "gmt")) {
		return time.UTC
	}
	return p.Zone
}

// day parses the name or date of a day and returns its midnight in UTC.
func (p *parser) day(s string, t tense) (time.Time, bool) {
	if d, ok := dateOnly(s); ok {
		return d, true
	}
	now := p.Now.In(p.Zone)
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC)
	switch s {
	case "today":
		return today, true
	case "yesterday":
		return today.AddDate(0, 0, -1), true
	case "tomorrow":
		return today.AddDate(0, 0, 1), true
	}
	for n := 1; n <= 7; n++ {
		d := today.AddDate(0, 0, n)
		if t == past {
			d = today.AddDate(0, 0, -n)
		}
		if name := strings.ToLower(d.Weekday().String()); s == name {
			return d, true
		}
	}
	return time.Time{}, false
}

func dateOnly(s string) (time.Time, bool) {
	d, err := time.Parse(time.DateOnly, s)
	return d, err == nil && d.Year() > 0
}

// date consumes a future day: "2026-12-24", "tomorrow", "friday" or "in 14 days".
func (p *parser) date() (time.Time, bool) {
	at := p.pos
	w, ok := p.next()
	first := strings.Trim(strings.ToLower(w.text), ",;.")
	if ok && first == "in" {
		if span, ok := p.length(); ok {
			d := p.Now.In(p.Zone).Add(span)
			return time.Date(d.Year(), d.Month(), d.Day(), 0, 0, 0, 0, time.UTC), true
		}
	} else if d, known := p.day(first, future); ok && known {
		return d, true
	}
	p.pos = at
	return time.Time{}, false
}

// length consumes a duration: "2h", "90m" or "14 days".
func (p *parser) length() (time.Duration, bool) {
	w, ok := p.next()
	if !ok {
		return 0, false
	}
	if d, ok := duration(w.text); ok {
		return d, true
	}
	unit, ok := p.peek()
	if !ok {
		return 0, false
	}
	d, ok := duration(w.text + strings.TrimSuffix(strings.ToLower(unit.text), "s"))
	if ok {
		p.next()
	}
	return d, ok
}

// duration parses "5m", "2h", "3d" and "2week", up to ten years.
func duration(s string) (time.Duration, bool) {
	s = strings.ToLower(s)
	digits := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyz")
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 {
		return 0, false
	}
	unit := map[string]time.Duration{"s": time.Second, "m": time.Minute, "min": time.Minute, "minute": time.Minute, "h": time.Hour, "hour": time.Hour,
		"d": 24 * time.Hour, "day": 24 * time.Hour, "w": 7 * 24 * time.Hour, "week": 7 * 24 * time.Hour}[s[len(digits):]]
	if unit == 0 || n > int(10*365*24*time.Hour/unit) {
		return 0, false
	}
	return time.Duration(n) * unit, true
}

// notTime returns the error for a word that is not a date or time.
func (p *parser) notTime(field string) *incident.Error {
	rest := p.rest()
	if rest == "" {
		return p.missing(field, "%s needs a date or time. Type %s")
	}
	return incident.Invalid(field, "%q is not a date or time. Type 02:31, tomorrow 10:00 or 2026-11-24 10:00", truncate(rest))
}

// happenedAtArg is the time at which the described action took place.
var happenedAtArg = Arg{Name: "happened_at", Usage: "[at TIME]", Next: []string{"at"}, read: readHappenedAt, value: func(c FormContext) string {
	if c.Given.HappenedAt.IsZero() {
		return ""
	}
	return c.Given.HappenedAt.In(c.Zone).Format(time.RFC3339)
}}

// whenField returns the field for the time of an action.
func whenField() Field {
	f := happenedAtArg.input(KindLine, "When did this happen?").optional()
	f.Hint, f.zoned = "Empty means the current time. Examples: 02:31, yesterday 23:10, 2026-11-24 10:00.", true
	return f
}

// timeLike matches a word that is meant as a time, valid or not.
var timeLike = regexp.MustCompile(`^(\d{1,2}:\d{2}|\d{4}-\d{1,2}-\d)`)

// readHappenedAt consumes "at TIME", if present. If the word after "at" does not look like
// a time, it consumes nothing. A field of a form needs no "at" and must be a time.
func readHappenedAt(p *parser, w *Parsed) (bool, error) {
	start := p.pos
	if !p.take("at", "@") && !p.field {
		return false, nil
	}
	v, ok := p.when(past)
	switch {
	case p.field && (!ok || !p.atEnd()):
		p.pos = start
		return false, p.notTime("happened_at")
	case p.field:
		w.Command.HappenedAt = v
		return true, nil
	case !ok:
		if word, _ := p.peek(); timeLike.MatchString(word.text) {
			return false, incident.Invalid("happened_at", "%q is not a date or time. Type 02:31, yesterday 23:10 or 2026-11-24 10:00", truncate(word.text))
		}
		p.pos = start
		return false, nil
	case v.After(p.Now.Add(time.Minute)):
		return false, incident.Invalid("happened_at", "%s is in the future. Give a time that has passed", v.Format("2006-01-02 15:04 MST"))
	}
	p.take("-", "–", "—", ":")
	w.Command.HappenedAt = v
	return true, nil
}
