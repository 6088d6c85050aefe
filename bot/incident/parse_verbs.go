package incident

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// readOpen reads "[sev2] [--public] TITLE".
func readOpen(p *argParser, w *ParsedCommand) error {
	w.Command = Command{Verb: VerbOpen}
	for {
		switch {
		case p.take("--public", "-public", "—public", "–public"):
			w.Command.Public = true
			continue
		case p.severity(&w.Command):
			continue
		}
		break
	}
	if err := p.noFlag("--public"); err != nil {
		return err
	}
	if w.Command.Title = p.freeText(); w.Command.Title == "" {
		w.Form = VerbOpen
	}
	return nil
}

// noFlag refuses a slip of a flag: taken for text, it would do the opposite of
// what was meant, unnoticed.
func (p *argParser) noFlag(flag string) error {
	if word, _ := p.peek(); !word.quoted && strings.HasPrefix(word.text, "--") && Nearest(word.text, []string{flag}) != "" {
		return Invalid("flag", "%s", unknownWord("a flag", word.text, []string{flag}, ""))
	}
	return nil
}

func readList(p *argParser, w *ParsedCommand) error {
	w.Query = QueryList
	for {
		word, ok := p.next()
		if !ok {
			return nil
		}
		name := Status(strings.ReplaceAll(strings.ToLower(strings.Trim(word.text, ",")), "-", "_"))
		switch {
		case name == "all" || name == "--all":
			w.Filter.All = true
		case slices.Contains(Statuses(), name):
			w.Filter.Statuses = append(w.Filter.Statuses, name)
		default:
			return Invalid("status", "%s", unknownWord("a status", word.text, append(names(Statuses()), "all"), ""))
		}
	}
}

func readStatus(p *argParser, w *ParsedCommand) error {
	w.Query = QueryStatus
	if rest := p.rest(); rest != "" {
		id, err := ParseID(rest)
		if err != nil {
			return err
		}
		w.Command.For = id
	}
	return nil
}

func readHelp(p *argParser, w *ParsedCommand) error {
	w.Query = QueryHelp
	if topic, ok := p.next(); ok {
		name := strings.ToLower(topic.text)
		verb, known := findVerb(name)
		if !known {
			return Invalid("verb", "%s", unknownWord("a command", name, verbNames(), "help shows them all"))
		}
		w.Topic = verb.Name
	}
	return nil
}

func readAck(p *argParser, w *ParsedCommand) error {
	w.Command.Verb = VerbAcknowledge
	if !p.severity(&w.Command) {
		if word, ok := p.peek(); ok && strings.HasPrefix(strings.ToLower(word.text), "sev") {
			_, err := ParseSeverity(word.text)
			return err
		}
	}
	w.Command.Text = p.freeText()
	return nil
}

// severity takes a severity, if one comes.
func (p *argParser) severity(c *Command) bool {
	word, ok := p.peek()
	if !ok || !severityWord.MatchString(word.text) {
		return false
	}
	s, err := ParseSeverity(word.text)
	if err != nil {
		return false
	}
	p.next()
	c.Severity = s
	return true
}

var severityWord = regexp.MustCompile(`(?i)^(sev-?[1-4]|p[1-4])$`)

func readSeverity(p *argParser, w *ParsedCommand) error {
	w.Command.Verb = VerbSetSeverity
	word, ok := p.next()
	if !ok {
		w.Form = VerbSetSeverity
		return nil
	}
	s, err := ParseSeverity(word.text)
	if err != nil {
		return err
	}
	w.Command.Severity, w.Command.Text = s, p.reason()
	return nil
}

func readRole(p *argParser, w *ParsedCommand) error {
	w.Command.Verb = VerbAssignRole
	word, ok := p.next()
	if !ok {
		w.Form = VerbAssignRole
		return nil
	}
	w.Command.Role = Role(strings.ToLower(strings.Trim(word.text, ":=")))
	p.take("to", "is", "=")
	person, err := p.person("person")
	if err != nil {
		return err
	}
	if next, ok := p.peek(); ok && !p.take("because") {
		return Invalid("person", "what is %q? write role %s PERSON because REASON", truncate(next.text), w.Command.Role)
	}
	w.Command.Person, w.Command.Text = person, p.freeText()
	return nil
}

func readStep(p *argParser, w *ParsedCommand) error {
	switch {
	case p.take("done", "finish", "finished"):
		w.Command.Verb = VerbStepDone
	case p.take("skip", "skipped"):
		w.Command.Verb = VerbStepSkip
	default:
		word, _ := p.next()
		return Invalid("step", "%s", unknownWord("what a step can be", word.text, []string{"done", "skip"}, "write step done STEP or step skip STEP"))
	}
	p.trailingIncident(w)
	word, ok := p.next()
	if !ok {
		return p.missing("step")
	}
	w.Command.Step, w.Command.Text = word.text, p.reason()
	if w.Command.Verb == VerbStepSkip && w.Command.Text == "" {
		w.Form = VerbStepSkip
	}
	return nil
}

func readNote(p *argParser, w *ParsedCommand) error {
	w.Command.Verb = VerbNote
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
		w.Form = VerbNote
	}
	return nil
}

func parseAudience(s string) (Audience, error) {
	a := Audience(strings.ReplaceAll(strings.ToLower(s), "-", "_"))
	known := []Audience{AudienceAll, AudienceResponders, AudienceLegalSecurity}
	if !slices.Contains(known, a) {
		return "", Invalid("audience", "%s", unknownWord("an audience", s, names(known), ""))
	}
	return a, nil
}

// timeLike is what is meant as a time, right or not.
var timeLike = regexp.MustCompile(`^(\d{1,2}:\d{2}|\d{4}-\d{1,2}-\d)`)

// happenedAt takes "at TIME", if it comes. An "at" that nothing like a time
// follows is a word like any other.
func (p *argParser) happenedAt(c *Command) error {
	at := p.pos
	if !p.take("at", "@") {
		return nil
	}
	v, ok := p.when(past)
	if !ok {
		if word, _ := p.peek(); timeLike.MatchString(word.text) {
			return Invalid("happened_at", "%q is no date or time; write 02:31, yesterday 23:10, or 2026-11-24 10:00", truncate(word.text))
		}
		p.pos = at
		return nil
	}
	if v.After(p.Now.Add(time.Minute)) {
		return Invalid("happened_at", "%s has not been yet", v.Format("2006-01-02 15:04 MST"))
	}
	p.take("-", "–", "—", ":")
	c.HappenedAt = v
	return nil
}

// readText reads the verbs that say something in free words.
func readText(verb Verb) func(*argParser, *ParsedCommand) error {
	return func(p *argParser, w *ParsedCommand) error {
		w.Command.Verb = verb
		if err := p.happenedAt(&w.Command); err != nil {
			return err
		}
		if w.Command.Text = p.reason(); w.Command.Text == "" {
			w.Form = verb
		}
		return nil
	}
}

var hash64 = regexp.MustCompile(`(?i)^(?:sha-?256[:=])?([0-9a-f]{64})$`)

// readEvidence reads "NAME [in PLACE] [sha256:HEX]".
func readEvidence(p *argParser, w *ParsedCommand) error {
	w.Command.Verb = VerbEvidence
	if err := p.happenedAt(&w.Command); err != nil {
		return err
	}
	e := &Evidence{}
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
			return Invalid("sha256", "a SHA-256 has 64 hexadecimal digits")
		}
		*into = append(*into, p.readable(word.text))
	}
	e.Name, e.Where = strings.Join(name, " "), strings.Join(where, " ")
	w.Command.Evidence = e
	if e.Name == "" {
		w.Form = VerbEvidence
	}
	return nil
}

// commandNames are the words of verbs that people type otherwise than they are called.
var commandNames = map[Verb]string{
	VerbAcknowledge: "ack", VerbEditRecord: "record", VerbSetSeverity: "severity", VerbAssignRole: "role", VerbSetFact: "fact",
	VerbStepDone: "step", VerbStepSkip: "step", VerbAddAction: "action", VerbFinishAction: "action", VerbGrant: "grant",
	VerbScheduleReview: "review", VerbConclude: "review conclude", VerbWaiveActions: "review waive", VerbPromote: "alerts promote",
	VerbSetLegalHold: "legal-hold", VerbReleaseLegalHold: "legal-hold release",
}

// CommandName is what people type for a verb, at every door.
func (v Verb) CommandName() string {
	if word, ok := commandNames[v]; ok {
		return word
	}
	return string(v)
}
