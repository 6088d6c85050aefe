package command

import (
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// askSpec is the command that searches the stored records.
var askSpec = Spec{Name: "ask", Help: "show the activity of a principal, access key, address or account in the stored records and alerts",
	Examples: []string{"ask AKIAIOSFODNN7EXAMPLE", "ask principal arn:aws:iam::123456789012:user/ada from 2026-11-29 10:00 to 11:30", "ask address 198.51.100.7 last 24h", "ask account 123456789012 since 02:31", "ask principal ada last 2h page 2"},
	Syntaxes: []Syntax{{Query: incident.QueryAsk, Args: []Arg{
		{Name: "subject", Usage: "[principal | key | address | account] VALUE", Next: names(incident.SubjectKinds()), read: readSubject, write: writeSubject},
		{Name: "period", Usage: "[from TIME] [to TIME] [last 24h] [page NUMBER]", Next: []string{"from", "to", "last", "page"}, read: readPeriod, write: writePeriod},
	}}}}

// subjectWords are other words for the kinds of subjects.
var subjectWords = map[string]incident.SubjectKind{"user": incident.SubjectPrincipal, "role": incident.SubjectPrincipal, "access-key": incident.SubjectKey, "ip": incident.SubjectAddress}

// readSubject reads the kind and the value of a subject.
func readSubject(p *parser, w *Parsed) (bool, error) {
	q := &incident.Question{Incident: w.Command.For}
	w.AlertRequest = &incident.AlertRequest{Query: incident.QueryAsk, Ask: q}
	word, ok := p.next()
	if !ok {
		return false, p.missing("subject", "%s needs a principal, an access key, an address or an account. Type %s")
	}
	if kind := subjectKind(word); kind != "" {
		if q.Kind = kind; kind == incident.SubjectKey {
			p.take("id")
		}
		if word, ok = p.next(); !ok {
			return false, incident.Invalid("subject", "the %s is missing. Type %s", kind, p.spec.Examples[0])
		}
	}
	q.Value = strings.TrimRight(Readable(word.text), ",;")
	if q.Kind == "" {
		if q.Kind, ok = incident.GuessSubject(q.Value); !ok {
			return false, incident.Invalid("subject", "%q can be of several kinds. Type principal, key, address or account before it", truncate(q.Value))
		}
	}
	return true, nil
}

// subjectKind returns the kind that a word names, or "".
func subjectKind(w word) incident.SubjectKind {
	name := strings.ToLower(strings.TrimSuffix(w.text, ":"))
	if w.quoted {
		return ""
	}
	for _, kind := range incident.SubjectKinds() {
		if name == string(kind) {
			return kind
		}
	}
	return subjectWords[name]
}

func writeSubject(w *Parsed) string {
	q := w.AlertRequest.Ask
	return string(q.Kind) + " " + quoteText(q.Value)
}

// readPeriod reads the period and the page in any order.
func readPeriod(p *parser, w *Parsed) (bool, error) {
	q := w.AlertRequest.Ask
	given := map[string]bool{}
	for !p.atEnd() {
		word, _ := p.peek()
		name := strings.ToLower(strings.TrimSuffix(word.text, ":"))
		if name == "since" {
			name = "from"
		}
		if given[name] || name == "last" && given["from"] || name == "from" && given["last"] {
			return false, incident.Invalid("period", "the period has two times for %q. Type one of them", truncate(word.text))
		}
		given[name] = true
		if err := p.readPeriodWord(q, name); err != nil {
			return false, err
		}
	}
	if !q.From.IsZero() && !q.To.IsZero() && !q.From.Before(q.To) {
		return false, incident.Invalid("period", "the period ends before it begins. Type %s", p.spec.Examples[1])
	}
	return true, nil
}

func (p *parser) readPeriodWord(q *incident.Question, name string) (err error) {
	word, _ := p.next()
	switch name {
	case "from":
		q.From, err = p.needTime("from", past)
		return err
	case "to", "until", "till":
		q.To, err = p.periodEnd(q.From)
		return err
	case "last", "past":
		length, ok := p.span()
		if unit, _ := p.peek(); !ok {
			if length, ok = units[strings.ToLower(unit.text)]; !ok {
				return incident.Invalid("last", "%q is not a length of time. Type last 24h or last 3 days", truncate(unit.text))
			}
			p.next()
		}
		q.From = length.before(p.Now)
		return nil
	case "page":
		q.Page, err = p.number("page", 1_000_000)
		return err
	case "limit":
		q.Limit, err = p.number("limit", incident.MaxTrailEvents)
		return err
	case "after":
		after, _ := p.next()
		m := deliveryWord.FindStringSubmatch(after.text)
		if m == nil {
			return incident.Invalid("after", "%q is not a delivery. Type its number, such as D2041", truncate(after.text))
		}
		q.After, _ = strconv.ParseInt(m[1], 10, 64) // at most 18 digits
		return nil
	}
	return unknownWord(incident.Invalid, "period", word.text, []string{"from", "since", "to", "last", "page"},
		"unknown word %q in the question. Did you mean %s?", "unknown word %q in the question. Use one of: %s")
}

// number consumes a number from 1 to limit.
func (p *parser) number(field string, limit int) (int, error) {
	word, _ := p.next()
	n, err := strconv.Atoi(word.text)
	if err != nil || n < 1 || n > limit {
		return 0, incident.Invalid(field, "%q is not a number from 1 to %d. Type %s 2", truncate(word.text), limit, field)
	}
	return n, nil
}

// periodEnd consumes the end of a period. A time of day alone is the first one after the
// beginning.
func (p *parser) periodEnd(from time.Time) (time.Time, error) {
	at := p.pos
	m, ok, err := p.moment(past)
	if err != nil || !ok || from.IsZero() || !m.at.IsZero() || m.day != nil || m.clock == nil {
		p.pos = at
		return p.needTime("to", past)
	}
	zone := m.zone
	if zone == nil {
		zone = from.Location()
	} else {
		p.typed = zone
	}
	day := midnight(from.In(zone))
	end, err := m.place(day, zone)
	if err == nil && !end.After(from) {
		end, err = m.place(day.AddDate(0, 0, 1), zone)
	}
	if err != nil {
		return end, inField(err, "to")
	}
	return end, nil
}

func writePeriod(w *Parsed) string {
	q := w.AlertRequest.Ask
	var out []string
	if !q.From.IsZero() {
		out = append(out, "from "+writeTime(q.From, w.Command.Zone))
	}
	if !q.To.IsZero() {
		out = append(out, "to "+writeTime(q.To, w.Command.Zone))
	}
	if q.Page > 0 {
		out = append(out, "page "+strconv.Itoa(q.Page))
	}
	if q.Limit > 0 {
		out = append(out, "limit "+strconv.Itoa(q.Limit))
	}
	if q.After > 0 {
		out = append(out, "after D"+strconv.FormatInt(q.After, 10))
	}
	return strings.Join(out, " ")
}
