package command

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
)

var windowWord = regexp.MustCompile(`(?i)^[m#]?(\d{1,18})$`)

// windowIDArg is the number of a maintenance window that a command confirms or ends.
func windowIDArg(command string, field func(*incident.AlertRequest) *int64) Arg {
	return Arg{Name: "id", read: func(p *parser, w *Parsed) (bool, error) {
		w.AlertRequest = &incident.AlertRequest{Query: incident.QueryMaintenance}
		word, _ := p.next()
		m := windowWord.FindStringSubmatch(word.text)
		if m == nil {
			return false, incident.Invalid("id", "no maintenance window given. Type its number, such as maintenance %s M3, or type maintenance for a list", command)
		}
		id, _ := strconv.ParseInt(m[1], 10, 64) // at most 18 digits
		if id == 0 {
			return false, incident.Invalid("id", "there is no maintenance window M0. Type maintenance for a list")
		}
		*field(w.AlertRequest) = id
		return true, nil
	}, write: func(w *Parsed) string { return "M" + strconv.FormatInt(*field(w.AlertRequest), 10) }}
}

// readNoWindow reads nothing: the windows are listed.
func readNoWindow(p *parser, w *Parsed) (bool, error) {
	w.AlertRequest = &incident.AlertRequest{Query: incident.QueryMaintenance}
	if !p.atEnd() {
		return false, p.spec.unknownWord(p)
	}
	return true, nil
}

func readWindow(p *parser, w *Parsed) (bool, error) {
	window, err := p.maintenanceWindow()
	w.AlertRequest = &incident.AlertRequest{Query: incident.QueryMaintenance, Add: window}
	return err == nil, err
}

// maintenanceWindow parses "WHEN CONDITION because REASON". WHEN is "2h", "until
// 18:00" or "22:00 to 23:30".
func (p *parser) maintenanceWindow() (*incident.MaintenanceWindow, error) {
	m := &incident.MaintenanceWindow{From: p.Now, Owner: p.Who}
	if err := p.windowTimes(m); err != nil {
		return nil, err
	}
	p.take("when", ":", "-")
	condition, ok := p.cut("because")
	if !ok {
		return nil, incident.Invalid("reason", "the reason is missing. Type %s", p.spec.Examples[1])
	}
	if condition == "" {
		return nil, incident.Invalid("when", "the condition is missing. Type %s", p.spec.Examples[1])
	}
	m.When, m.Reason = straightenQuotes(p.inner(condition).freeText()), p.freeText()
	return m, nil
}

// windowTimes consumes WHEN of a maintenance window. "2h30" is a length of time, and
// "2h30 to 4h" are two times.
func (p *parser) windowTimes(m *incident.MaintenanceWindow) (err error) {
	at := p.pos
	p.take("for")
	if span, ok := p.span(); ok {
		m.To = span.after(p.Now)
		next, _ := p.peek()
		switch {
		case wholeNumber.MatchString(next.text) && !next.quoted:
			return incident.Invalid("when", "%q has no unit. Type a length of time such as 2h30m", truncate(next.text))
		case next.quoted || !slices.Contains(untilWords, strings.ToLower(next.text)):
			return nil
		}
	}
	if p.pos = at; p.take("until", "till") {
		m.To, err = p.windowTime()
		return err
	}
	p.take("from")
	start := p.pos
	if m.From, err = p.windowTime(); err != nil {
		return err
	}
	begin := strings.TrimFunc(p.text[start:p.pos], isSpace)
	given, end := p.take(untilWords...), p.pos
	if m.To, err = p.windowTime(); err != nil {
		if p.pos = end; !given {
			return incident.Invalid("when", "the end after %q is missing. Type %s to 23:30, or a length of time such as 2h30m", truncate(begin), truncate(begin))
		}
		return err
	}
	for m.To.Before(m.From) && m.From.Sub(m.To) < 24*time.Hour {
		m.To = m.To.AddDate(0, 0, 1) // past midnight
	}
	return nil
}

// untilWords stand before the end of a maintenance window.
var untilWords = []string{"to", "until", "till", "-", "—"}

// windowTime consumes a time of a maintenance window.
func (p *parser) windowTime() (time.Time, error) {
	v, ok, err := p.when(future)
	switch {
	case err != nil:
		return v, inField(err, "when")
	case !ok:
		return v, p.notTime("when", future)
	}
	return v, nil
}

// straightenQuotes replaces the typographic quotes that phones insert.
func straightenQuotes(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '‘' || r == '’' || r == '‚':
			return '\''
		case isQuote(r):
			return '"'
		}
		return r
	}, s)
}
