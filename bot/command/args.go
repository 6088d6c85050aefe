package command

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"tocsin/bot/incident"
)

var (
	incidentWord   = regexp.MustCompile(`(?i)^inc-?\d+[,:]?$`)
	incidentPrefix = regexp.MustCompile(`(?i)^inc-?$`)
	incidentNumber = regexp.MustCompile(`^#?\d+[,:]?$`)
)

// incident consumes the next word if it is an incident, such as "INC-42".
func (p *parser) incident() (incident.ID, bool) {
	at := p.pos
	word, _ := p.next()
	if !word.quoted && incidentPrefix.MatchString(word.text) {
		if number, ok := p.next(); ok && incidentNumber.MatchString(number.text) {
			word.text = "INC-" + strings.TrimPrefix(number.text, "#")
		}
	}
	if !word.quoted && incidentWord.MatchString(word.text) {
		digits := strings.Trim(word.text, "incINC-,:")
		if id, err := incident.ParseID("INC-" + digits); err == nil {
			return id, true
		}
	}
	p.pos = at
	return 0, false
}

// takeIncident consumes the incident of the command, if it is named. A second one is an
// error.
func (p *parser) takeIncident(w *Parsed) error {
	id, ok := p.incident()
	if !ok {
		return nil
	}
	return p.nameIncident(w, id)
}

// nameIncident sets the incident of the command.
func (p *parser) nameIncident(w *Parsed, id incident.ID) error {
	if p.named != 0 && p.named != id {
		return incident.Invalid("incident", "two incidents: %s and %s. Type one of them", p.named, id)
	}
	p.named, w.Command.For = id, id
	return nil
}

// department consumes the name of a department or team, or a mention of it.
func (p *parser) department() (incident.Department, error) {
	word, ok := p.next()
	if !ok {
		return "", p.missing("department", "%s needs a department or team. Type %s")
	}
	name := strings.TrimRight(word.text, ",:")
	shown := strings.TrimPrefix(Readable(name), "@")
	if id, _, ok := mentioned("team", name); ok {
		name = id
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
	return "", unknownWord(incident.Unknown, "department", shown, known, "unknown department %q. Did you mean %s?", "unknown department %q. Use one of: %s")
}

// maxNameWords is the maximum number of words in the name of a person.
const maxNameWords = 5

// person consumes a person: a mention, "@name", a mail address, a name of one or
// more words, or "me". field names the argument in errors.
func (p *parser) person(field string) (incident.PersonID, error) {
	word, ok := p.peek()
	if !ok {
		return "", p.missing(field, "%s needs a person. Type %s")
	}
	if !word.quoted && p.Who != "" && strings.EqualFold(strings.Trim(word.text, ",."), "me") {
		p.next()
		return p.Who, nil
	}
	if id, name, ok := mentioned("person", word.text); ok {
		p.next()
		if person, ok := p.Directory.Person(incident.PersonID(id)); ok {
			return person.ID, nil
		}
		return "", incident.Unknown(field, "%s is not linked to a person. Ask an administrator to add them under people", name)
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
		name := truncate(strings.Trim(Readable(word.text), "@,;:"))
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
func (p *parser) peopleNamed(name string) []incident.Person {
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

// departmentArg is a department that signs, or another team.
var departmentArg = Arg{Name: "department", Usage: "DEPARTMENT", Next: names(incident.RequiredDepartments()), part: departmentPart,
	read: func(p *parser, w *Parsed) (bool, error) {
		team, err := p.department()
		w.Command.Department = team
		return err == nil, err
	}, write: writeDepartment}

// personArg is a person.
var personArg = Arg{Name: "person", Usage: "PERSON", read: func(p *parser, w *Parsed) (bool, error) {
	person, err := p.person("person")
	w.Command.Person = person
	return err == nil, err
}, write: func(w *Parsed) string { return writePerson(w.Command.Person) }}

// textArg is the text of a command, with or without an introducing "because".
var textArg = Arg{Name: "text", Usage: "TEXT", part: textPart}

// becauseArg and mayBecauseArg are textArg as the reason of a command whose last
// argument could take a word of the reason for a part of itself. The reason needs its
// "because", a colon or a comma, so that no word of the argument is left in it.
var (
	becauseArg    = Arg{Name: "text", Usage: "because REASON", part: textPart, read: readIntroduced, write: writeBecause}
	mayBecauseArg = becauseArg.named("[because REASON]")
)

func readIntroduced(p *parser, w *Parsed) (bool, error) {
	if !p.introduced() {
		return false, p.unread()
	}
	w.Command.Text = p.reason()
	return w.Command.Text != "", nil
}

// proseReasonArg is a reason that needs no "because". It cannot begin with a severity
// or consist of an incident.
var proseReasonArg = Arg{Name: "text", Usage: "[because REASON]", part: textPart, read: func(p *parser, w *Parsed) (bool, error) {
	if word, ok := p.peek(); ok && !p.field && !word.quoted && severityWord.MatchString(word.text) && w.Command.Severity != "" {
		return false, incident.Invalid("severity", "two severities: %s and %s. Type one of them", w.Command.Severity, truncate(word.text))
	}
	return textArg.consume(p, w)
}, write: writeBecause}

// incidentArg is the incident of a command, named after the word of its syntax.
var incidentArg = Arg{Name: "incident", read: func(p *parser, w *Parsed) (bool, error) {
	return true, p.takeIncident(w)
}}

// pagedArg is the person, the team or both of a page. A mention or a mail address is always
// one. A plain name is one if the reason, another one or nothing follows, because a reason
// needs no "because".
var pagedArg = Arg{Name: "person", Usage: "[PERSON] [TEAM]", Next: names(incident.RequiredDepartments()), read: func(p *parser, w *Parsed) (bool, error) {
	at := p.pos
	for range 2 {
		if err := p.paged(w); err != nil {
			return false, err
		}
	}
	return p.pos > at, nil
}, write: func(w *Parsed) string {
	return strings.TrimSpace(writePerson(w.Command.Person) + " " + writeDepartment(w))
}}

// paged consumes one person or team of a page, if it is next.
func (p *parser) paged(w *Parsed) error {
	at := p.pos
	word, ok := p.peek()
	if !ok || word.quoted || p.introduced() {
		return nil
	}
	isNamed := strings.Contains(word.text, "@") || isMention(word.text)
	team, err := p.department()
	if err == nil && w.Command.Department == "" && (isNamed || p.introduced()) {
		w.Command.Department = team
		return nil
	}
	p.pos = at
	person, err := p.person("person")
	if err == nil && w.Command.Person == "" && (isNamed || p.introduced()) {
		w.Command.Person = person
		return nil
	}
	p.pos = at
	if isNamed {
		return err
	}
	return nil
}

// isMention reports whether a word mentions a person or a team.
func isMention(word string) bool {
	_, _, isPerson := mentioned("person", word)
	_, _, isTeam := mentioned("team", word)
	return isPerson || isTeam
}
