package command

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// factNameArg is the name of a fact. It begins Command.Fact.
var factNameArg = Arg{Name: "fact", Usage: "NAME", Next: names(incident.FactNames()), read: func(p *parser, w *Parsed) (bool, error) {
	word, ok := p.next()
	if !ok {
		return false, nil
	}
	name := strings.ToLower(strings.Trim(word.text, ":="))
	for _, two := range []string{"personal data", "time zone"} {
		if first, second, _ := strings.Cut(two, " "); name == first && p.take(second) {
			name = first + "_" + second
		}
	}
	name = strings.ReplaceAll(name, "-", "_")
	if full, known := map[string]incident.FactName{"timezone": incident.FactTimeZone, "personaldata": incident.FactPersonalData}[name]; known {
		name = string(full)
	}
	if !slices.Contains(incident.FactNames(), incident.FactName(name)) {
		return false, unknownWord(incident.Invalid, "fact", name, names(incident.FactNames()), "unknown fact %q. Did you mean %s?", "unknown fact %q. Use one of: %s")
	}
	w.Command.Fact = &incident.FactChange{Name: incident.FactName(name)}
	return true, nil
}, write: func(w *Parsed) string {
	if w.Command.Fact == nil {
		return ""
	}
	return string(w.Command.Fact.Name)
}}

// factValueArg is the value of the fact that was named before.
var factValueArg = Arg{Name: "value", Usage: "VALUE", read: func(p *parser, w *Parsed) (bool, error) {
	if w.Command.Fact == nil {
		return false, incident.Invalid("fact", "the name of the fact is missing. Use one of: %s", strings.Join(names(incident.FactNames()), ", "))
	}
	p.take("is", "=", "at")
	return true, p.factValue(w.Command.Fact)
}, write: writeFact}

func (p *parser) factValue(f *incident.FactChange) error {
	switch f.Name {
	case incident.FactOccurred, incident.FactDetected, incident.FactClassified:
		return p.factInstant(f)
	case incident.FactAware:
		if _, ok, err := p.when(past); !ok && err == nil {
			regime, ok := p.next()
			if !ok {
				return p.missing("regime", "%s aware needs the name of a law. Type %s")
			}
			f.Regime = strings.ToLower(strings.Trim(regime.text, ",:"))
			return p.factInstant(f)
		}
		return incident.Invalid("regime", "the law is missing. Type fact aware gdpr 02:31")
	case incident.FactAffected:
		return p.factAffected(f)
	}
	word, ok := p.next()
	if !ok {
		return p.missing("value", "%s needs a value. Type %s")
	}
	f.Value = word.text
	switch f.Name {
	case incident.FactPersonalData:
		f.Value = strings.ToLower(strings.Trim(f.Value, ",."))
		known := []incident.PersonalData{incident.PersonalUnknown, incident.PersonalNo, incident.PersonalSuspected, incident.PersonalConfirmed}
		if !slices.Contains(known, incident.PersonalData(f.Value)) {
			return unknownWord(incident.Invalid, "value", f.Value, names(known), "unknown value %q of personal_data. Did you mean %s?", "unknown value %q of personal_data. Use one of: %s")
		}
	case incident.FactTimeZone:
		zone, err := loadZone(f.Value)
		if err != nil {
			return inField(err, "value")
		}
		f.Value = zone.String()
	}
	return nil
}

func (p *parser) factInstant(f *incident.FactChange) error {
	at, err := p.needTime("value", past)
	f.Value = at.UTC().Format(time.RFC3339)
	return err
}

// factAffected parses "WHO controller|processor [COUNT] [notified TIME]".
func (p *parser) factAffected(f *incident.FactChange) error {
	a := &incident.Affected{}
	f.Affected = a
	var who []string
	for a.Capacity == "" {
		word, ok := p.next()
		if !ok {
			return incident.Invalid("value", `the capacity of the company is missing. After the party, type controller or processor of the personal data: fact affected "Example SA" processor 1200`)
		}
		if unclosed(word) {
			return incident.Invalid("value", "the quote at %q is not closed. Type a quote at the end, too", truncate(word.raw))
		}
		switch c := incident.Capacity(strings.ToLower(strings.Trim(word.text, ","))); {
		case !word.quoted && len(who) > 0 && (c == incident.Controller || c == incident.Processor):
			a.Capacity = c
		case !word.quoted && len(who) > 0 && word.text == "as" && p.capacityFollows(): // as in "Example SA as processor"
		default:
			who = append(who, Readable(word.raw))
		}
	}
	a.Who = joinWords(who)
	if err := p.affectedCount(a); err != nil {
		return err
	}
	if p.take("notified") {
		p.take("at", "on")
		at, err := p.needTime("value", past)
		a.NotifiedAt = at.UTC()
		return err
	}
	return nil
}

// capacityFollows reports whether the next word is a capacity.
func (p *parser) capacityFollows() bool {
	word, _ := p.peek()
	c := incident.Capacity(strings.ToLower(strings.Trim(word.text, ",")))
	return !word.quoted && (c == incident.Controller || c == incident.Processor)
}

var (
	wholeNumber = regexp.MustCompile(`^-?(?:\d+|\d{1,3}(?:[,.'_]\d{3})+)$`)
	thousands   = regexp.MustCompile(`^(\d+)(?:[.,](\d))?(k|thousand|m|million)$`)
	threeDigits = regexp.MustCompile(`^\d{3}$`)
)

// affectedCount consumes a number of people: "1200", "1,200", "1 200", "1.2k" or
// "unknown". Another word before the end, "notified" or "because" is an error.
func (p *parser) affectedCount(a *incident.Affected) error {
	at := p.pos
	word, ok := p.next()
	if !ok || strings.EqualFold(strings.TrimSuffix(word.text, ":"), "because") || strings.EqualFold(word.text, "notified") || word.text == ":" || word.text == "-" {
		p.pos = at
		return nil
	}
	digits := strings.ToLower(strings.Trim(word.text, ",;:"))
	if strings.Trim(digits, "0123456789") == "" && len(digits) <= 3 || thousands.MatchString(digits) {
		for next, more := p.peek(); more && !next.quoted && threeDigits.MatchString(strings.Trim(next.text, ",;:")) && !strings.ContainsAny(lastOf(word.text), ",;:"); next, more = p.peek() {
			p.next()
			word, digits = next, digits+strings.Trim(next.text, ",;:")
		}
	}
	if next, more := p.peek(); more && strings.Trim(digits, "0123456789.,") == "" && slices.Contains([]string{"thousand", "million"}, strings.ToLower(next.text)) {
		p.next()
		digits += strings.ToLower(next.text)
	}
	var n int
	var err error
	switch f := thousands.FindStringSubmatch(digits); {
	case digits == "unknown":
	case f != nil:
		factor := map[string]int{"k": 1000, "thousand": 1000}[f[3]]
		if factor == 0 {
			factor = 1_000_000
		}
		if n, err = strconv.Atoi(f[1]); err == nil && n <= incident.MaxAffected {
			n = n*factor + atoi(f[2])*factor/10
		}
	case wholeNumber.MatchString(digits):
		n, err = strconv.Atoi(strings.NewReplacer(",", "", ".", "", "'", "", "_", "").Replace(digits))
	default:
		return incident.Invalid("value", "%q is not a number of people. Type a number such as 1200, or leave it out if it is unknown", truncate(word.text))
	}
	if n < 0 || n > incident.MaxAffected || err != nil {
		return incident.Invalid("value", "%s is not a number of people. Use 0 to %d", truncate(digits), int64(incident.MaxAffected))
	}
	p.take("people", "persons", "customers", "users")
	a.Count = n
	return nil
}
