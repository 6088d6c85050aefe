package command

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
)

var (
	isoTime    = regexp.MustCompile(`^(\d{4}-\d{1,2}-\d{1,2})[t_](\d.*)$`)
	basicTime  = regexp.MustCompile(`^(\d{4})(\d{2})(\d{2})t(\d{2})(\d{2})(\d{2})?(z|[+-]\d{4})?$`)
	yearFirst  = regexp.MustCompile(`^(\d{4})([-/.])(\d{1,2})([-/.])(\d{1,2})$`)
	yearLast   = regexp.MustCompile(`^(\d{1,2})([-/.])(\d{1,2})([-/.])(\d{4})?$`)
	shortYear  = regexp.MustCompile(`^\d{1,2}[-/.]\d{1,2}[-/.]\d{2}$`)
	dayOfMonth = regexp.MustCompile(`^(\d{1,2})(?:st|nd|rd|th|\.)?$`)
	yearWord   = regexp.MustCompile(`^\d{4}$`)
)

// dayForms are the forms of a day. Each one consumes its words and sets the day of m,
// or consumes nothing.
var dayForms = []func(p *parser, m *moment, t tense) (bool, error){
	namedDay, weekday, numericDate, monthDate,
}

// day consumes a day: "yesterday", "last friday", "2026-11-28", "28.11.2026" or "28
// Nov". A date in ISO 8601 may contain the time of day, which day consumes, too.
func (p *parser) day(m *moment, t tense) (bool, error) {
	for _, form := range dayForms {
		at := p.pos
		found, err := form(p, m, t)
		if found || err != nil {
			return found, err
		}
		p.pos = at
	}
	return false, nil
}

// dateWord consumes the next word, in lower case and without punctuation.
func (p *parser) dateWord() string {
	w, _ := p.next()
	if w.quoted {
		return ""
	}
	return strings.Trim(strings.ToLower(w.text), ",;:()[]")
}

// namedDay consumes "today", "yesterday" or "tomorrow".
func namedDay(p *parser, m *moment, _ tense) (bool, error) {
	shift, ok := map[string]int{"today": 0, "tonight": 0, "yesterday": -1, "tomorrow": 1}[p.dateWord()]
	if ok {
		m.day = func(today time.Time) (time.Time, error) { return today.AddDate(0, 0, shift), nil }
	}
	return ok, nil
}

// weekday consumes "friday", "fri" or "last friday". "next friday" has two meanings.
func weekday(p *parser, m *moment, t tense) (bool, error) {
	word := p.dateWord()
	which := ""
	if slices.Contains([]string{"last", "next", "this", "coming"}, word) {
		which, word = word, p.dateWord()
	}
	day := slices.IndexFunc([]string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}, func(name string) bool {
		short := len(word) >= 3 && len(word) <= 5 && strings.HasPrefix(name, word) && word != "satu" && word != "sund" && word != "mond" && word != "frid"
		return word == name || short && (m.clock == nil || !p.prose)
	})
	if day < 0 {
		return false, nil
	}
	m.day = func(today time.Time) (time.Time, error) {
		ahead := (day - int(today.Weekday()) + 7) % 7
		coming := today.AddDate(0, 0, ahead)
		switch {
		case which == "next":
			if ahead == 0 {
				coming = coming.AddDate(0, 0, 7)
			}
			later := coming.AddDate(0, 0, 7)
			return coming, incident.Invalid("time", "next %s can be %s or %s. Type the date", word, coming.Format(time.DateOnly), later.Format(time.DateOnly))
		case which == "last" || t == past && which == "" && ahead > 0:
			return today.AddDate(0, 0, ahead-7), nil
		case ahead == 0:
			other := today.AddDate(0, 0, 7)
			if t == past {
				other = today.AddDate(0, 0, -7)
			}
			return today, incident.Invalid("time", "today is %s. Type today, or the date %s", today.Weekday(), other.Format(time.DateOnly))
		}
		return coming, nil
	}
	return true, nil
}

// numericDate consumes a date in digits. A date whose month can be its day is an error.
func numericDate(p *parser, m *moment, _ tense) (bool, error) {
	word := p.dateWord()
	if f := basicTime.FindStringSubmatch(word); f != nil {
		word = f[1] + "-" + f[2] + "-" + f[3] + "t" + f[4] + ":" + f[5]
		if f[6] != "" {
			word += ":" + f[6]
		}
		word += f[7]
	}
	rest := ""
	if f := isoTime.FindStringSubmatch(word); f != nil {
		word, rest = f[1], f[2]
	}
	first, second := "", ""
	year := ""
	switch f, l := yearFirst.FindStringSubmatch(word), yearLast.FindStringSubmatch(word); {
	case f != nil && f[2] == f[4]:
		return p.setDate(m, word, f[1], f[3], f[5], rest)
	case shortYear.MatchString(word):
		return false, incident.Invalid("time", "%q is not clear as a date. Type the year with four digits, as in 2026-11-24", word)
	case l == nil || l[2] != l[4] || l[5] == "" && l[2] != ".":
		return false, nil
	default:
		first, second, year = l[1], l[3], l[5]
		switch {
		case l[2] == ".":
			return p.setDate(m, word, year, second, first, "")
		case atoi(first) <= 12 && atoi(second) <= 12 && first != second:
			return false, incident.Invalid("time", "%q can be two dates. Type %s-%02d-%02d or %s-%02d-%02d", word, year, atoi(first), atoi(second), year, atoi(second), atoi(first))
		case atoi(first) <= 12:
			return p.setDate(m, word, year, first, second, "")
		}
		return p.setDate(m, word, year, second, first, "")
	}
}

// setDate sets the day of m. Without a year it is the nearest such day. rest is the
// time of day of a date in ISO 8601.
func (p *parser) setDate(m *moment, typed, year, month, day, rest string) (bool, error) {
	y, mon, d := atoi(year), atoi(month), atoi(day)
	check := y
	if year == "" {
		check = 2024 // has a 29 February
	}
	if v := time.Date(check, time.Month(mon), d, 0, 0, 0, 0, time.UTC); v.Day() != d || int(v.Month()) != mon || check < 1 {
		return false, incident.Invalid("time", "%q is not a date. Type it as 2026-11-24", truncate(typed))
	}
	m.day = func(today time.Time) (time.Time, error) {
		if year != "" {
			return time.Date(y, time.Month(mon), d, 0, 0, 0, 0, time.UTC), nil
		}
		return nearestDate(today, time.Month(mon), d, typed)
	}
	if rest == "" {
		return true, nil
	}
	inner := p.inner(rest)
	inner.prose, inner.iso = p.prose, true
	found, err := inner.clock(m)
	if err != nil {
		return false, err
	}
	if !found || !inner.atEnd() {
		return false, incident.Invalid("time", "%q is not a time. Type %s 10:00", truncate(rest), typed)
	}
	if m.zone == nil {
		_, err = p.zone(m)
	}
	return err == nil, err
}

// nearestDate returns the day of a date without a year that is within half a year of
// today.
func nearestDate(today time.Time, month time.Month, day int, typed string) (time.Time, error) {
	for _, year := range []int{today.Year(), today.Year() - 1, today.Year() + 1} {
		d := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
		if away := d.Sub(today).Abs(); d.Day() == day && away <= 183*24*time.Hour {
			return d, nil
		}
	}
	return today, incident.Invalid("time", "%q is not clear as a date. Type it with its year, as in 2026-11-24", truncate(typed))
}

// monthDate consumes "28 Nov", "November 28th" or "Nov 28, 2026".
func monthDate(p *parser, m *moment, _ tense) (bool, error) {
	at := p.pos
	first, second := p.dateWord(), p.dateWord()
	if second == "of" {
		second = p.dateWord()
	}
	day, month := dayOfMonth.FindStringSubmatch(first), monthNamed(second)
	if month == 0 {
		day, month = dayOfMonth.FindStringSubmatch(second), monthNamed(first)
	}
	if day == nil || month == 0 {
		return false, nil
	}
	year, end := "", p.pos
	if w := p.dateWord(); yearWord.MatchString(w) {
		year = w
	} else {
		p.pos = end
	}
	typed := strings.TrimFunc(p.text[at:p.pos], isSpace)
	return p.setDate(m, typed, year, strconv.Itoa(int(month)), day[1], "")
}

// monthNamed returns the month with an English name of three or more letters.
func monthNamed(s string) time.Month {
	s = strings.TrimSuffix(s, ".")
	for month := time.January; month <= time.December; month++ {
		if name := strings.ToLower(month.String()); s == name || len(s) >= 3 && len(s) <= 4 && strings.HasPrefix(name, s) {
			return month
		}
	}
	return 0
}
