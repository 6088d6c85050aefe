package command

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// span is a length of time. Months and days are those of the calendar.
type span struct {
	months, days int
	clock        time.Duration
}

func (s span) after(t time.Time) time.Time  { return t.AddDate(0, s.months, s.days).Add(s.clock) }
func (s span) before(t time.Time) time.Time { return t.AddDate(0, -s.months, -s.days).Add(-s.clock) }

var (
	spanWord = regexp.MustCompile(`^(?:\d+(?:[.,]\d)?[a-z]+)+$`)
	// hoursWord matches "2h30", whose minutes have no unit.
	hoursWord = regexp.MustCompile(`^((?:\d+(?:[.,]\d)?[a-z]+)*\d+(?:h|hr|hrs|hours?))([0-5]?\d)$`)
	spanPart  = regexp.MustCompile(`(\d+)(?:[.,](\d))?([a-z]+)`)
	counts    = map[string]string{"a": "1", "an": "1", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8",
		"nine": "9", "ten": "10", "eleven": "11", "twelve": "12", "half": "0.5"}
	units = map[string]span{"s": {clock: time.Second}, "sec": {clock: time.Second}, "second": {clock: time.Second}, "m": {clock: time.Minute}, "min": {clock: time.Minute},
		"minute": {clock: time.Minute}, "h": {clock: time.Hour}, "hr": {clock: time.Hour}, "hour": {clock: time.Hour},
		"d": {days: 1}, "day": {days: 1}, "w": {days: 7}, "week": {days: 7}, "month": {months: 1}}
)

// maxSpan is the maximum of each part of a length of time.
const maxSpan = 10 * 365 * 24 * time.Hour

// span consumes a length of time: "2h", "1h30m", "2h30", "14 days", "an hour", "half an hour".
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
		total, ok = span{total.months + s.months, total.days + s.days, total.clock + s.clock}, true
	}
}

func (p *parser) spanPart() (span, bool) {
	w, more := p.next()
	text := strings.Trim(strings.ToLower(w.text), ",;")
	if !more || w.quoted {
		return span{}, false
	}
	if hoursWord.MatchString(text) {
		text = hoursWord.ReplaceAllString(text, "${1}${2}m")
		p.take("m", "min", "mins", "minutes")
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
		one := unit.clock + time.Duration(unit.days+31*unit.months)*24*time.Hour
		if n > int(maxSpan/one) || f[2] != "" && unit.days+unit.months > 0 {
			return span{}, false
		}
		total.months += n * unit.months
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
