package command

import (
	"regexp"
	"slices"
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

// moment is a day and a time as a person typed them. The zone stands at the end, so
// the day is resolved after all parts are read.
type moment struct {
	at    time.Time // of a complete time, such as "5m ago"
	day   func(today time.Time) (time.Time, error)
	clock *clock
	zone  *time.Location // nil means the zone of the context
	home  string         // the zone to which the abbreviation in zone belongs, or ""
}

// clock is a time of day. The hour 24 is the end of the day.
type clock struct {
	hour, minute, second, nanos int
	midnight                    bool // typed as a word
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

var (
	clockWord = regexp.MustCompile(`^(\d{1,2})(?:[:h](\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?\s*(h|a|p|am|pm|a\.m\.?|p\.m\.?)?([+-]\d{2}:?\d{2}|z|utc|gmt)?$`)
	halfWord  = regexp.MustCompile(`^(?:a|p|am|pm|a\.m\.?|p\.m\.?)$`)
	// timeLike matches a word that is meant as a time, valid or not.
	timeLike = regexp.MustCompile(`^(\d{1,2}:\d{2}|\d{4}-\d{1,2}-\d|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}$|\d{1,2}[ap]\.?m)`)
)

// clock consumes a time of day and its zone: "02:31", "9:30 p.m. EST", "22h", "noon".
func (p *parser) clock(m *moment) (bool, error) {
	at := p.pos
	w, ok := p.next()
	text := strings.Trim(strings.ToLower(w.text), ",;()[]")
	if !ok || w.quoted {
		p.pos = at
		return false, nil
	}
	if named, known := map[string]clock{"noon": {hour: 12}, "midday": {hour: 12}, "midnight": {midnight: true}}[strings.TrimSuffix(text, ":")]; known {
		m.clock = &named
		_, err := p.zone(m)
		return err == nil, err
	}
	f := clockWord.FindStringSubmatch(strings.TrimSuffix(text, ":"))
	if f == nil {
		p.pos = at
		return false, nil
	}
	half := strings.ReplaceAll(f[5], ".", "")
	ended := strings.ContainsAny(w.text[len(w.text)-1:], ",;:")
	if next, more := p.peek(); more && !ended && half == "" && f[6] == "" && halfWord.MatchString(strings.Trim(strings.ToLower(next.text), ",;:")) &&
		(len(next.text) > 1 || !p.prose) {
		p.next()
		half, ended = strings.Trim(strings.ReplaceAll(strings.ToLower(next.text), ".", ""), ",;:"), strings.ContainsAny(next.text, ",;:")
	}
	if f[2] == "" && half == "" {
		p.pos = at // a number
		return false, nil
	}
	c, valid := newClock(f, half)
	if !valid {
		shown := strings.TrimFunc(p.text[at:p.pos], isSpace)
		p.pos = at
		return false, incident.Invalid("time", "%q is not a date or time. Type %s", truncate(shown), pastForms)
	}
	m.clock = &c
	if !ended && half != "h" {
		p.take("o'clock", "o’clock", "h", "hrs", "uhr")
	}
	if f[6] != "" {
		if m.zone, ok = offsetZone(f[6]); !ok {
			m.zone = time.UTC
		}
		return true, nil
	}
	if ended {
		return true, nil
	}
	_, err := p.zone(m)
	return err == nil, err
}

// newClock returns the clock of a match of clockWord. half is am, pm or empty.
func newClock(f []string, half string) (clock, bool) {
	c := clock{hour: atoi(f[1]), minute: atoi(f[2]), second: atoi(f[3])}
	if f[4] != "" {
		c.nanos = atoi((f[4] + "00000000")[:9])
	}
	switch half {
	case "a", "am":
		if c.hour == 12 {
			c.hour = 0
		} else if c.hour > 12 {
			return c, false
		}
	case "p", "pm":
		if c.hour == 0 {
			return c, false
		}
		if c.hour < 12 {
			c.hour += 12
		}
	}
	if c.hour == 24 && c.minute+c.second+c.nanos == 0 {
		return c, true
	}
	return c, c.hour < 24 && c.minute < 60 && c.second < 60
}

// span is a length of time. Days are calendar days.
type span struct {
	days  int
	clock time.Duration
}

func (s span) after(t time.Time) time.Time  { return t.AddDate(0, 0, s.days).Add(s.clock) }
func (s span) before(t time.Time) time.Time { return t.AddDate(0, 0, -s.days).Add(-s.clock) }

var (
	spanWord = regexp.MustCompile(`^(?:\d+(?:[.,]\d)?[a-z]+)+$`)
	spanPart = regexp.MustCompile(`(\d+)(?:[.,](\d))?([a-z]+)`)
	counts   = map[string]string{"a": "1", "an": "1", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8",
		"nine": "9", "ten": "10", "eleven": "11", "twelve": "12", "half": "0.5"}
	units = map[string]span{"s": {clock: time.Second}, "sec": {clock: time.Second}, "second": {clock: time.Second}, "m": {clock: time.Minute}, "min": {clock: time.Minute},
		"minute": {clock: time.Minute}, "h": {clock: time.Hour}, "hr": {clock: time.Hour}, "hour": {clock: time.Hour},
		"d": {days: 1}, "day": {days: 1}, "w": {days: 7}, "week": {days: 7}}
)

// maxSpan is the maximum of each part of a length of time.
const maxSpan = 10 * 365 * 24 * time.Hour

// span consumes a length of time: "2h", "1h30m", "14 days", "an hour", "half an hour".
func (p *parser) span() (total span, ok bool) {
	for {
		at := p.pos
		if ok {
			p.take("and")
		}
		s, found := p.spanPart()
		if !found {
			p.pos = at
			return total, ok
		}
		total.days, total.clock, ok = total.days+s.days, total.clock+s.clock, true
	}
}

func (p *parser) spanPart() (span, bool) {
	w, more := p.next()
	text := strings.Trim(strings.ToLower(w.text), ",;")
	if !more || w.quoted {
		return span{}, false
	}
	if spanWord.MatchString(text) {
		return parseSpan(text)
	}
	if digits, named := counts[text]; named {
		text = digits
		if digits == "0.5" {
			p.take("a", "an")
		}
	}
	unit, more := p.next()
	if !more || unit.quoted || text == "" || strings.Trim(text, "0123456789.,") != "" {
		return span{}, false
	}
	return parseSpan(text + strings.Trim(strings.ToLower(unit.text), ",;:"))
}

// parseSpan parses "1h30m" and "2weeks".
func parseSpan(s string) (total span, ok bool) {
	if !spanWord.MatchString(s) {
		return span{}, false
	}
	for _, f := range spanPart.FindAllStringSubmatch(s, -1) {
		unit, known := units[f[3]]
		if !known {
			unit, known = units[strings.TrimSuffix(f[3], "s")]
		}
		n, err := strconv.Atoi(f[1])
		if err != nil || !known {
			return span{}, false
		}
		one := unit.clock + time.Duration(unit.days)*24*time.Hour
		if n > int(maxSpan/one) || f[2] != "" && unit.days > 0 {
			return span{}, false
		}
		total.days += n * unit.days
		total.clock += time.Duration(n)*unit.clock + time.Duration(atoi(f[2]))*unit.clock/10
	}
	return total, true
}

// atoi parses digits that a regular expression matched, at most nine.
func atoi(s string) int {
	n, _ := strconv.Atoi(s) // "" yields 0
	return n
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
	f.Hint, f.zoned = "Empty means the current time. Examples: "+pastForms+".", true
	return f
}

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
		if word, _ := p.peek(); timeLike.MatchString(strings.ToLower(word.text)) {
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
