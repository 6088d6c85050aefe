package command

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
)

var incidentWord = regexp.MustCompile(`(?i)^inc-\d+[,:]?$`)

// incident consumes the next word if it is an incident, such as "INC-42".
func (p *argParser) incident() (incident.ID, bool) {
	word, ok := p.peek()
	if !ok || word.quoted || !incidentWord.MatchString(word.text) {
		return 0, false
	}
	id, err := incident.ParseID(strings.TrimRight(word.text, ",:"))
	if err != nil {
		return 0, false
	}
	p.next()
	return id, true
}

// trailingIncident consumes an incident that is named after a subcommand.
func (p *argParser) trailingIncident(w *Parsed) {
	if id, ok := p.incident(); ok {
		w.Command.For = id
	}
}

// department consumes the name of a department or team, or a mention of its user
// group.
func (p *argParser) department() (incident.Department, error) {
	word, ok := p.next()
	if !ok {
		return "", p.missing("department", "%s needs a department or team. Type %s")
	}
	name := strings.TrimRight(word.text, ",:")
	if m := wrapped.FindStringSubmatch(name); m != nil && strings.HasPrefix(m[2], "subteam^") {
		for _, t := range p.Directory.Teams {
			if t.Group == strings.TrimPrefix(m[2], "subteam^") {
				return t.Name, nil
			}
		}
		name = cmp.Or(strings.TrimPrefix(m[3], "@"), m[2])
	}
	name = strings.TrimPrefix(name, "@")
	known := names(incident.RequiredDepartments())
	for _, t := range p.Directory.Teams {
		if !slices.Contains(known, string(t.Name)) {
			known = append(known, string(t.Name))
		}
	}
	for _, k := range known {
		if strings.EqualFold(k, name) || strings.EqualFold(map[string]string{"eng": "engineering", "sec": "security", "comms": "communications"}[strings.ToLower(name)], k) {
			return incident.Department(k), nil
		}
	}
	return "", unknownWord(incident.Unknown, "department", name, known, "unknown department %q. Did you mean %q?", "unknown department %q. Use one of: %s")
}

// maxNameWords is the maximum number of words in the name of a person.
const maxNameWords = 5

// person consumes a person: a mention, "@name", a mail address, a name of one or
// more words, or "me". field names the argument in errors.
func (p *argParser) person(field string) (incident.PersonID, error) {
	word, ok := p.peek()
	if !ok {
		return "", p.missing(field, "%s needs a person. Type %s")
	}
	if !word.quoted && p.Who != "" && strings.EqualFold(strings.Trim(word.text, ",."), "me") {
		p.next()
		return p.Who, nil
	}
	if m := wrapped.FindStringSubmatch(word.text); m != nil && m[1] == "@" {
		p.next()
		if person, ok := p.Directory.Resolve(incident.Identity{Provider: incident.ProviderSlack, ID: m[2]}); ok {
			return person.ID, nil
		}
		return "", incident.Unknown(field, "%s is not linked to a person. Ask an administrator to add them under people", cmp.Or(m[3], m[2]))
	}
	at, end := p.pos, 0
	var found []incident.Person
	for n := 0; n < maxNameWords; n++ {
		if _, ok := p.next(); !ok {
			break
		}
		name := strings.Trim(strings.TrimFunc(p.text[at:p.pos], isSpace), quotes+",;:@")
		if hits := p.peopleNamed(name); len(hits) > 0 {
			found, end = hits, p.pos
		}
		if word.quoted {
			break
		}
	}
	p.pos = at
	switch len(found) {
	case 1:
		p.pos = end
		return found[0].ID, nil
	case 0:
		p.next()
		var known []string
		for _, person := range p.Directory.People {
			known = append(known, person.Name)
			if given, _, more := strings.Cut(person.Name, " "); more {
				known = append(known, given)
			}
		}
		name := truncate(strings.Trim(word.text, "@,;:"))
		if near := incident.Nearest(name, known); near != "" {
			return "", incident.Unknown(field, "unknown person %q. Did you mean %q?", name, near)
		}
		return "", incident.Unknown(field, "unknown person %q. Mention them with @, or type their mail address", name)
	}
	var matches []string
	for _, person := range found {
		matches = append(matches, person.Name+" ("+cmp.Or(person.IDAt(incident.ProviderMail), string(person.ID))+")")
	}
	return "", incident.Invalid(field, "%q matches several people. Type the mail address of one of: %s", strings.TrimFunc(p.text[at:end], isSpace), strings.Join(matches, ", "))
}

// peopleNamed returns the people with a full name, mail address or id equal to name.
// If there are none, it returns the people with that given name or mailbox.
func (p *argParser) peopleNamed(name string) []incident.Person {
	if m := wrapped.FindStringSubmatch(name); m != nil && strings.HasPrefix(m[2], "mailto:") {
		name = strings.TrimPrefix(m[2], "mailto:")
	}
	var exact, partial []incident.Person
	if name == "" {
		return nil
	}
	for _, person := range p.Directory.People {
		given, _, _ := strings.Cut(person.Name, " ")
		local, _, _ := strings.Cut(person.IDAt(incident.ProviderMail), "@")
		switch {
		case strings.EqualFold(person.Name, name), strings.EqualFold(person.IDAt(incident.ProviderMail), name),
			person.IDAt(incident.ProviderSlack) == name, person.IDAt(incident.ProviderLocal) == name, string(person.ID) == name:
			exact = append(exact, person)
		case strings.EqualFold(given, name), strings.EqualFold(local, name):
			partial = append(partial, person)
		}
	}
	if len(exact) > 0 {
		return exact
	}
	return partial
}

// readFact parses "NAME VALUE [because REASON]".
func readFact(p *argParser, w *Parsed) error {
	w.Command.Verb = incident.VerbSetFact
	word, ok := p.next()
	if !ok {
		w.Form = incident.VerbSetFact
		return nil
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
		return unknownWord(incident.Invalid, "fact", name, names(incident.FactNames()), "unknown fact %q. Did you mean %q?", "unknown fact %q. Use one of: %s")
	}
	p.take("is", "=", "at")
	f := &incident.FactChange{Name: incident.FactName(name)}
	w.Command.Fact = f
	if err := p.factValue(f); err != nil {
		return err
	}
	w.Command.Text = p.reason()
	return nil
}

func (p *argParser) factValue(f *incident.FactChange) error {
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

func (p *argParser) factInstant(f *incident.FactChange) error {
	at, ok := p.when(past)
	if !ok {
		return p.notTime("value")
	}
	f.Value = at.UTC().Format(time.RFC3339)
	return nil
}

// factAffected parses "WHO controller|processor [COUNT] [notified TIME]".
func (p *argParser) factAffected(f *incident.FactChange) error {
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
			who = append(who, p.readable(word.text))
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
