package command

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// clock is a time of day. The hour 24 is the end of the day.
type clock struct {
	hour, minute, second, nanos int
	midnight                    bool // typed as a word
}

var (
	clockWord  = regexp.MustCompile(`^(\d{1,2})(?:[:h](\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?\s*(h|a|p|am|pm|a\.m\.?|p\.m\.?)?([+-]\d{1,2}(?::?\d{2})?|z|utc|gmt)?$`)
	clockWords = []string{"o'clock", "oclock", "h", "hrs", "uhr"} // after a time of day
	halfWord   = regexp.MustCompile(`^(?:a|p|am|pm|a\.m\.?|p\.m\.?)$`)
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
	if next, _ := p.peek(); f[2] == "" && half == "" && !slices.Contains(clockWords, strings.Trim(strings.ToLower(next.text), ",;:")) {
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
		p.take(clockWords...)
	}
	if f[6] != "" {
		return p.attachedZone(m, text, f)
	}
	if ended {
		return true, nil
	}
	_, err := p.zone(m)
	return err == nil, err
}

// attachedZone sets the zone of a clock such as "10:00:00+02:00". Without seconds, a
// hyphen can also begin the end of a range.
func (p *parser) attachedZone(m *moment, text string, f []string) (bool, error) {
	if slices.Contains([]string{"z", "utc", "gmt"}, f[6]) {
		m.zone = time.UTC
		return true, nil
	}
	zone, ok := offsetZone(f[6])
	if !ok && (f[3] != "" || f[6][0] == '+' || !offsetWord.MatchString(f[6])) {
		return false, incident.Invalid("time", "%q is not an offset from UTC in %q. Type one between -14:00 and +14:00, such as %s+02:00", truncate(f[6]), truncate(text), truncate(strings.TrimSuffix(text, f[6])))
	}
	if !ok || strings.HasPrefix(f[6], "-") && f[3] == "" && !p.iso {
		from, _, _ := strings.Cut(text, "-")
		if !ok {
			return false, incident.Invalid("time", "%q is a range. Type one time, such as %s", truncate(text), from)
		}
		return false, incident.Invalid("time", "%q can be a range or a time with an offset. Type %s for the beginning, or %s UTC%s", truncate(text), from, from, f[6])
	}
	m.zone = zone
	return true, nil
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
