package command

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// readOpen parses "[sev2] [--public] TITLE".
func readOpen(p *argParser, w *Parsed) error {
	w.Command = incident.Command{Verb: incident.VerbOpen}
	for {
		switch {
		case p.take("--public", "-public", "—public", "–public"):
			w.Command.Public = true
			continue
		}
		found, err := p.severity(&w.Command)
		if err != nil {
			return err
		}
		if !found {
			break
		}
	}
	if err := p.noFlag("--public"); err != nil {
		return err
	}
	title, err := p.title(&w.Command)
	if w.Command.Title = title; title == "" {
		w.Form = incident.VerbOpen
	}
	return err
}

// noFlag returns an error if the next word is a misspelt flag. Parsed as text, it
// would silently publish or restrict the wrong way.
func (p *argParser) noFlag(flag string) error {
	if word, _ := p.peek(); !word.quoted && strings.HasPrefix(word.text, "--") && incident.Nearest(word.text, []string{flag}) != "" {
		return incident.Invalid("flag", "unknown flag %q. Did you mean %q?", truncate(word.text), flag)
	}
	return nil
}

func readList(p *argParser, w *Parsed) error {
	w.Query = QueryList
	for {
		word, ok := p.next()
		if !ok {
			return nil
		}
		name := incident.Status(strings.ReplaceAll(strings.ToLower(strings.Trim(word.text, ",")), "-", "_"))
		switch {
		case name == "all" || name == "--all":
			w.Filter.All = true
		case slices.Contains(incident.Statuses(), name):
			w.Filter.Statuses = append(w.Filter.Statuses, name)
		default:
			return unknownWord(incident.Invalid, "status", word.text, append(names(incident.Statuses()), "all"), "unknown status %q. Did you mean %q?", "unknown status %q. Use one of: %s")
		}
	}
}

func readStatus(p *argParser, w *Parsed) error {
	w.Query = QueryStatus
	if rest := p.rest(); rest != "" {
		id, err := incident.ParseID(rest)
		if err != nil {
			return err
		}
		w.Command.For = id
	}
	return nil
}

func readHelp(p *argParser, w *Parsed) error {
	w.Query = QueryHelp
	if topic, ok := p.next(); ok {
		name := strings.ToLower(topic.text)
		verb, known := findVerb(name)
		if !known {
			return unknownCommand(name)
		}
		w.Topic = verb.Name
	}
	return nil
}

func readPage(p *argParser, w *Parsed) error {
	w.Command.Verb, w.Command.Text = incident.VerbPageAgain, p.reason()
	return nil
}

func readRole(p *argParser, w *Parsed) error {
	w.Command.Verb = incident.VerbAssignRole
	word, ok := p.next()
	if !ok {
		w.Form = incident.VerbAssignRole
		return nil
	}
	w.Command.Role = incident.Role(strings.ToLower(strings.Trim(word.text, ":=")))
	p.take("to", "is", "=")
	person, err := p.person("person")
	if err != nil {
		return err
	}
	if next, ok := p.peek(); ok && !p.take("because") {
		return incident.Invalid("person", "unexpected word %q. Type role %s PERSON because REASON", truncate(next.text), w.Command.Role)
	}
	w.Command.Person, w.Command.Text = person, p.freeText()
	return nil
}

func readStep(p *argParser, w *Parsed) error {
	switch {
	case p.take("done", "finish", "finished"):
		w.Command.Verb = incident.VerbStepDone
	case p.take("skip", "skipped"):
		w.Command.Verb = incident.VerbStepSkip
	default:
		word, ok := p.next()
		if !ok {
			return p.missing("step", "%s needs done or skip. Type %s")
		}
		if near := incident.Nearest(word.text, []string{"done", "skip"}); near != "" {
			return incident.Invalid("step", "unknown word %q after step. Did you mean %q?", truncate(word.text), near)
		}
		return incident.Invalid("step", "unknown word %q after step. Type step done STEP or step skip STEP", truncate(word.text))
	}
	p.trailingIncident(w)
	word, ok := p.next()
	if !ok {
		return p.missing("step", "%s needs the name of a step. Type %s")
	}
	w.Command.Step, w.Command.Text = word.text, p.reason()
	if w.Command.Verb == incident.VerbStepSkip && w.Command.Text == "" {
		w.Form = incident.VerbStepSkip
	}
	return nil
}

func readNote(p *argParser, w *Parsed) error {
	w.Command.Verb = incident.VerbNote
	if err := p.happenedAt(&w.Command); err != nil {
		return err
	}
	if p.take("--audience", "-audience", "—audience", "–audience") {
		word, _ := p.next()
		audience, err := parseAudience(word.text)
		if err != nil {
			return err
		}
		w.Command.Audience = audience
		if err := p.happenedAt(&w.Command); err != nil {
			return err
		}
	}
	if err := p.noFlag("--audience"); err != nil {
		return err
	}
	if w.Command.Text = p.freeText(); w.Command.Text == "" {
		w.Form = incident.VerbNote
	}
	return nil
}

func parseAudience(s string) (incident.Audience, error) {
	a := incident.Audience(strings.ReplaceAll(strings.ToLower(s), "-", "_"))
	known := []incident.Audience{incident.AudienceAll, incident.AudienceResponders, incident.AudienceLegalSecurity}
	if !slices.Contains(known, a) {
		return "", unknownWord(incident.Invalid, "audience", s, names(known), "unknown audience %q. Did you mean %q?", "unknown audience %q. Use one of: %s")
	}
	return a, nil
}

// timeLike matches a word that is meant as a time, valid or not.
var timeLike = regexp.MustCompile(`^(\d{1,2}:\d{2}|\d{4}-\d{1,2}-\d)`)

// happenedAt consumes "at TIME", if present. If the word after "at" does not look
// like a time, it consumes nothing.
func (p *argParser) happenedAt(c *incident.Command) error {
	at := p.pos
	if !p.take("at", "@") {
		return nil
	}
	v, ok := p.when(past)
	if !ok {
		if word, _ := p.peek(); timeLike.MatchString(word.text) {
			return incident.Invalid("happened_at", "%q is not a date or time. Type 02:31, yesterday 23:10 or 2026-11-24 10:00", truncate(word.text))
		}
		p.pos = at
		return nil
	}
	if v.After(p.Now.Add(time.Minute)) {
		return incident.Invalid("happened_at", "%s is in the future. Give a time that has passed", v.Format("2006-01-02 15:04 MST"))
	}
	p.take("-", "–", "—", ":")
	c.HappenedAt = v
	return nil
}

// readText returns the parser of a verb with a free text and an optional time.
func readText(verb incident.Verb) func(*argParser, *Parsed) error {
	return func(p *argParser, w *Parsed) error {
		w.Command.Verb = verb
		if err := p.happenedAt(&w.Command); err != nil {
			return err
		}
		if w.Command.Text = p.reason(); w.Command.Text == "" {
			w.Form = verb
		}
		if how, why, ok := cutLast(w.Command.Text, " because "); ok && verb == incident.VerbResolve {
			w.Command.Text, w.Command.Reason = how, why
		}
		return nil
	}
}

// cutLast cuts s around the last occurrence of sep.
func cutLast(s, sep string) (before, after string, found bool) {
	n := strings.LastIndex(s, sep)
	if n < 0 {
		return s, "", false
	}
	return strings.TrimSpace(s[:n]), strings.TrimSpace(s[n+len(sep):]), true
}

var hash64 = regexp.MustCompile(`(?i)^(?:sha-?256[:=])?([0-9a-f]{64})$`)

// readEvidence parses "NAME [in PLACE] [sha256:HEX]".
func readEvidence(p *argParser, w *Parsed) error {
	w.Command.Verb = incident.VerbEvidence
	if err := p.happenedAt(&w.Command); err != nil {
		return err
	}
	e := &incident.Evidence{}
	var name, where []string
	into := &name
	for {
		if p.take("sha256") {
			continue // the digits follow
		}
		if p.take("in", "where") {
			into = &where
			continue
		}
		word, ok := p.next()
		if !ok {
			break
		}
		if m := hash64.FindStringSubmatch(word.text); m != nil {
			e.SHA256 = strings.ToLower(m[1])
			continue
		}
		if strings.HasPrefix(strings.ToLower(word.text), "sha256:") {
			return incident.Invalid("sha256", "%q is not a SHA-256. Use 64 hexadecimal digits", truncate(word.text))
		}
		*into = append(*into, p.readable(word.text))
	}
	e.Name, e.Where = strings.Join(name, " "), strings.Join(where, " ")
	w.Command.Evidence = e
	if e.Name == "" {
		w.Form = incident.VerbEvidence
	}
	return nil
}
