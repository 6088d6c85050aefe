package command

import (
	"slices"
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

// moment is a day and a time as a person typed them. The zone stands at the end, so
// the day is resolved after all parts are read.
type moment struct {
	at    time.Time // of a complete time, such as "5m ago"
	day   func(today time.Time) (time.Time, error)
	clock *clock
	zone  *time.Location // nil means the zone of the context
	home  string         // the zone to which the abbreviation in zone belongs, or ""
}

// Examples of the forms that [parser.when] reads, for help and errors.
const (
	pastForms   = "02:31, 2:31 pm, yesterday 23:10, 2026-11-24 10:00 CET or 20 min ago"
	futureForms = "14:30, 2:30 pm, tomorrow 10:00, 2026-11-24 10:00 CET or in 2 hours"
)

func (t tense) forms() string {
	if t == future {
		return futureForms
	}
	return pastForms
}

// when consumes a time, such as "02:31", "yesterday 10 pm EST", "28 Nov 10:00",
// "2026-11-24T10:00:00Z", "20 min ago" or "in 2 hours". Without a time it returns
// false and consumes nothing. A time with two meanings is an error.
func (p *parser) when(t tense) (time.Time, bool, error) {
	at := p.pos
	m, ok, err := p.moment(t)
	if err != nil || !ok {
		p.pos = at
		return time.Time{}, false, err
	}
	if m.at.IsZero() && m.clock == nil {
		day := strings.TrimFunc(p.text[at:p.pos], isSpace)
		return time.Time{}, false, incident.Invalid("time", "the time of day is missing. Type %s 10:00", truncate(day))
	}
	v, err := p.resolve(m, t)
	if err == nil && m.zone != nil {
		p.typed = m.zone
	}
	return v, err == nil, err
}

// date consumes a future day, such as "2026-12-24", "24.12.2026", "friday" or "in 14
// days", and returns its midnight in UTC. Without a day it consumes nothing.
func (p *parser) date() (time.Time, bool, error) {
	at := p.pos
	m, ok, err := p.moment(future)
	if err != nil || !ok || m.clock != nil {
		p.pos = at
		return time.Time{}, false, err
	}
	if !m.at.IsZero() {
		d := m.at.In(p.Zone)
		return time.Date(d.Year(), d.Month(), d.Day(), 0, 0, 0, 0, time.UTC), true, nil
	}
	now := p.Now.In(p.Zone)
	day, err := m.day(midnight(now))
	return day, err == nil, err
}

// ParsePast parses a time that has passed, in any form of [Parse], for flags of the
// command line.
func ParsePast(text string, c Context) (time.Time, error) {
	p := newParser(text, c)
	p.spec = &Spec{Name: "time"}
	at, err := p.needTime("time", past)
	if err != nil {
		return at, err
	}
	if rest := p.rest(); rest != "" {
		return at, incident.Invalid("time", "Tocsin does not understand %q after the time. Type %s", truncate(rest), pastForms)
	}
	return at, nil
}

// moment consumes the parts of a time in any order: a day, a time of day and a zone.
func (p *parser) moment(t tense) (m moment, ok bool, err error) {
	if w, quoted := p.peek(); quoted && w.quoted {
		p.next()
		inner := p.inner(w.text)
		if m, ok, err = inner.moment(t); err == nil && !inner.atEnd() {
			ok = false
		}
		return m, ok, err
	}
	if ok = p.relative(&m); ok {
		if m.clock == nil || m.zone != nil {
			return m, true, nil
		}
		_, err = p.zone(&m)
		return m, err == nil, err
	}
	for found := true; found; {
		if found, err = p.timePart(&m, t); err != nil {
			return m, false, err
		}
	}
	return m, m.day != nil || m.clock != nil, nil
}

// timePart consumes one part of a time that m does not have yet.
func (p *parser) timePart(m *moment, t tense) (bool, error) {
	at := p.pos
	if m.day == nil || m.clock == nil {
		p.take("at", "on", "@")
	}
	if m.day == nil {
		if found, err := p.day(m, t); found || err != nil {
			return found, err
		}
	}
	if m.clock == nil {
		if found, err := p.clock(m); found || err != nil {
			return found, err
		}
	}
	p.pos = at
	return false, nil
}

// resolve returns the instant of a moment with a clock. Without a day it is the
// nearest one in the tense.
func (p *parser) resolve(m moment, t tense) (time.Time, error) {
	zone := m.zone
	if zone == nil {
		zone = p.Zone
	}
	if !m.at.IsZero() {
		return m.at.In(zone), nil
	}
	now := p.Now.In(zone)
	today := midnight(now)
	if m.day != nil {
		day, err := m.day(today)
		if err != nil {
			return time.Time{}, err
		}
		if m.clock.midnight {
			return time.Time{}, incident.Invalid("time", "midnight can be the beginning or the end of the day. Type %s 00:00 or %s 00:00", day.Format(time.DateOnly), day.AddDate(0, 0, 1).Format(time.DateOnly))
		}
		return m.place(day, zone)
	}
	c := m.clock
	v := time.Date(now.Year(), now.Month(), now.Day(), c.hour, c.minute, c.second, c.nanos, zone)
	switch {
	case t == past && v.After(p.Now.Add(time.Minute)):
		today = today.AddDate(0, 0, -1)
	case t == future && v.Before(p.Now):
		today = today.AddDate(0, 0, 1)
	}
	return m.place(today, zone)
}

func midnight(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
}

// relative consumes "now", "in 2 hours", "20 min ago" or "2 days ago at 10:00".
func (p *parser) relative(m *moment) bool {
	at := p.pos
	switch {
	case p.take("now"):
		m.at = p.Now.In(p.Zone)
		return true
	case p.take("in"):
		if s, ok := p.span(); ok {
			m.at = s.after(p.Now.In(p.Zone))
			if s.clock == 0 {
				p.clockOf(m)
			}
			return true
		}
	default:
		if s, ok := p.span(); ok && p.take("ago") {
			m.at = s.before(p.Now.In(p.Zone))
			if s.clock == 0 {
				p.clockOf(m)
			}
			return true
		}
	}
	p.pos = at
	return false
}

// clockOf consumes the time of day after a number of days.
func (p *parser) clockOf(m *moment) {
	at := p.pos
	p.take("at")
	if found, err := p.clock(m); !found || err != nil {
		p.pos = at
		return
	}
	day := midnight(m.at)
	m.at, m.day = time.Time{}, func(time.Time) (time.Time, error) { return day, nil }
}

// notTime returns the error for a text that is not a date or time.
func (p *parser) notTime(field string, t tense) *incident.Error {
	rest := p.rest()
	if rest == "" {
		return p.missing(field, "%s needs a date or time. Type %s")
	}
	before, _, _ := strings.Cut(rest, " because ")
	return incident.Invalid(field, "%q is not a date or time. Type %s", truncate(before), t.forms())
}

// notDate returns the error for a text that is not a day.
func (p *parser) notDate(field string) *incident.Error {
	rest := p.rest()
	if rest == "" {
		return p.missing(field, "%s needs a date. Type %s")
	}
	before, _, _ := strings.Cut(rest, " because ")
	return incident.Invalid(field, "%q is not a date. Type 2026-12-24, friday or in 14 days", truncate(before))
}

// needTime consumes a time that must be there and names the field in errors. A word
// after it that has the form of a zone is an unknown zone.
func (p *parser) needTime(field string, t tense) (time.Time, error) {
	v, ok, err := p.when(t)
	if err != nil {
		return v, inField(err, field)
	}
	if !ok {
		return v, p.notTime(field, t)
	}
	if w, more := p.peek(); more && !w.quoted && zoneShaped.MatchString(w.text) && !slices.Contains([]string{"BECAUSE", "TO", "UNTIL", "TILL", "WHEN", "NOTIFIED"}, w.text) {
		if known, _ := p.zone(&moment{}); known { // "20 min ago EST"
			return v, incident.Invalid(field, "the time zone %q does not belong to this time. Leave it out", truncate(w.text))
		}
		return v, incident.Invalid(field, "unknown time zone %q after the time. Type a zone such as UTC, CET, +02:00 or Europe/Paris", truncate(w.text))
	}
	return v, nil
}

// inField returns the error of a time or zone under the name of its argument.
func inField(err error, field string) error {
	if e, ok := err.(*incident.Error); ok { //nolint:errorlint // the functions above return it unwrapped
		named := *e
		named.Field = field
		return &named
	}
	return err
}
