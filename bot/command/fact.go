package command

import (
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
	if name == "timezone" {
		name = string(incident.FactTimeZone)
	}
	if !slices.Contains(incident.FactNames(), incident.FactName(name)) {
		return false, unknownWord(incident.Invalid, "fact", name, names(incident.FactNames()), "unknown fact %q. Did you mean %q?", "unknown fact %q. Use one of: %s")
	}
	w.Command.Fact = &incident.FactChange{Name: incident.FactName(name)}
	return true, nil
}}

// factValueArg is the value of the fact that was named before.
var factValueArg = Arg{Name: "value", Usage: "VALUE", read: func(p *parser, w *Parsed) (bool, error) {
	if w.Command.Fact == nil {
		return false, incident.Invalid("fact", "the name of the fact is missing. Use one of: %s", strings.Join(names(incident.FactNames()), ", "))
	}
	p.take("is", "=", "at")
	return true, p.factValue(w.Command.Fact)
}}

func (p *parser) factValue(f *incident.FactChange) error {
	switch f.Name {
	case incident.FactOccurred, incident.FactDetected, incident.FactClassified:
		return p.factInstant(f)
	case incident.FactAware:
		if _, ok := p.when(past); !ok {
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
			return unknownWord(incident.Invalid, "value", f.Value, names(known), "unknown value %q of personal_data. Did you mean %q?", "unknown value %q of personal_data. Use one of: %s")
		}
	case incident.FactTimeZone:
		if _, err := time.LoadLocation(f.Value); err != nil || f.Value == "Local" {
			return incident.Invalid("value", "unknown time zone %q. Use a name such as Europe/Paris", truncate(f.Value))
		}
	}
	return nil
}

func (p *parser) factInstant(f *incident.FactChange) error {
	at, ok := p.when(past)
	if !ok {
		return p.notTime("value")
	}
	f.Value = at.UTC().Format(time.RFC3339)
	return nil
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
		switch c := incident.Capacity(strings.ToLower(strings.Trim(word.text, ","))); {
		case !word.quoted && len(who) > 0 && (c == incident.Controller || c == incident.Processor):
			a.Capacity = c
		case !word.quoted && len(who) > 0 && word.text == "as": // as in "Example SA as processor"
		default:
			who = append(who, Readable(word.text))
		}
	}
	a.Who = strings.Join(who, " ")
	if word, ok := p.peek(); ok {
		if n, err := strconv.Atoi(strings.ReplaceAll(strings.Trim(word.text, ","), ",", "")); err == nil {
			if n < 0 {
				return incident.Invalid("value", "%d is not a number of people. Use 0 to %d", n, int64(incident.MaxAffected))
			}
			p.next()
			p.take("people", "persons")
			a.Count = n
		}
	}
	if p.take("notified") {
		at, ok := p.when(past)
		if !ok {
			return p.notTime("value")
		}
		a.NotifiedAt = at.UTC()
	}
	return nil
}
