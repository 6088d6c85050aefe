package command

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
)

func readRecord(p *argParser, w *Parsed) error {
	switch {
	case p.take("show", "read"):
		w.Query = QueryRecord
		p.trailingIncident(w)
		return nil
	case p.take("submit"):
		w.Command.Verb = incident.VerbSubmit
		p.trailingIncident(w)
		return nil
	case p.take("set"):
		p.trailingIncident(w)
		w.Command.Verb = incident.VerbEditRecord
		field, err := p.recordField()
		if err != nil {
			return err
		}
		w.Command.Record = map[string]string{field: p.freeText()}
		return nil
	}
	if word, ok := p.next(); ok && word.text != "edit" {
		return unknownWord(incident.Invalid, "record", word.text, []string{"show", "set", "submit", "edit"},
			"unknown word %q after record. Did you mean %q?", "unknown word %q after record. Use one of: %s")
	}
	w.Command.Verb, w.Form = incident.VerbEditRecord, incident.VerbEditRecord
	return nil
}

// recordField consumes the name or label of a field of the record.
func (p *argParser) recordField() (string, error) {
	known := []string{}
	rest := strings.ToLower(p.text[p.pos:])
	best, size := "", 0
	for _, f := range incident.RecordFields() {
		known = append(known, f.Name)
		trimmed := strings.TrimLeftFunc(rest, isSpace)
		for _, spelling := range []string{f.Name, strings.ReplaceAll(f.Name, "_", " "), strings.ReplaceAll(f.Name, "_", "-"), strings.ToLower(f.Label), strings.ReplaceAll(strings.ToLower(f.Label), " ", "_")} {
			after, ok := strings.CutPrefix(trimmed, spelling)
			if ok && len(spelling) > size && (after == "" || strings.IndexFunc(after, func(r rune) bool { return isSpace(r) || r == ':' || r == '=' }) == 0) {
				best, size = f.Name, len(spelling)
			}
		}
	}
	if best == "" {
		word, ok := p.next()
		if !ok {
			return "", p.missing("field", "%s needs a field. Type %s")
		}
		return "", unknownWord(incident.Invalid, "field", word.text, known, "unknown field %q. Did you mean %q?", "unknown field %q. Use one of: %s")
	}
	p.skip()
	p.pos += size
	p.pos += len(p.text[p.pos:]) - len(strings.TrimLeft(p.text[p.pos:], ":="))
	return best, nil
}

var digestWord = regexp.MustCompile(`(?i)^(?:sha256:)?[0-9a-f]{12,64}$`) // may be shortened

// readSign parses "[DEPARTMENT] [DIGEST] [REASON]". Without a digest, a form shows
// the record first, because people must read it before they sign or object.
func readSign(verb incident.Verb) func(*argParser, *Parsed) error {
	return func(p *argParser, w *Parsed) error {
		w.Command.Verb = verb
		if _, ok := p.peek(); ok {
			team, err := p.department()
			if err != nil {
				return err
			}
			w.Command.Department = team
		}
		if word, ok := p.peek(); ok && digestWord.MatchString(word.text) {
			p.next()
			w.Command.Expect = "sha256:" + strings.TrimPrefix(strings.ToLower(word.text), "sha256:")
		}
		if verb == incident.VerbObject {
			w.Command.Text = p.reason()
		} else if rest := p.rest(); rest != "" {
			return incident.Invalid("digest", "%q is not a digest. Type sha256: and the 64 hexadecimal digits shown in the record", truncate(rest))
		}
		if w.Command.Department == "" || w.Command.Expect == "" || verb == incident.VerbObject && w.Command.Text == "" {
			w.Form = verb
		}
		return nil
	}
}

var objectionID = regexp.MustCompile(`(?i)^o\d+$`)

func readWithdraw(p *argParser, w *Parsed) error {
	w.Command.Verb = incident.VerbWithdraw
	word, ok := p.peek()
	switch {
	case !ok || strings.EqualFold(word.text, "because"):
	case objectionID.MatchString(word.text):
		p.next()
		w.Command.Item = strings.ToUpper(word.text)
	default:
		team, err := p.department()
		if err != nil {
			return err
		}
		w.Command.Department = team
	}
	w.Command.Text = p.reason()
	return nil
}

// readRevise parses "[set FIELD TEXT …] because WHY". It includes the edits, because
// an approved record cannot be edited before it is revised.
func readRevise(p *argParser, w *Parsed) error {
	w.Command.Verb = incident.VerbRevise
	edits := map[string]string{}
	for p.take("set") {
		field, err := p.recordField()
		if err != nil {
			return err
		}
		if word, ok := p.peek(); ok && word.quoted {
			p.next()
			edits[field] = p.readable(word.text)
			continue
		}
		text, ok := p.cut("because") // the last text needs no quotes
		if !ok {
			return incident.Invalid("text", "the reason is missing. Type revise set %s TEXT because WHY", field)
		}
		edits[field], w.Command.Record, w.Command.Text = p.readable(text), edits, p.freeText()
		return nil
	}
	w.Command.Text = p.reason()
	if len(edits) == 0 || w.Command.Text == "" {
		w.Form = incident.VerbRevise
	}
	if len(edits) > 0 {
		w.Command.Record = edits
	}
	return nil
}

func readDelegate(p *argParser, w *Parsed) error {
	w.Command.Verb = incident.VerbDelegate
	team, err := p.department()
	if err != nil {
		return err
	}
	p.take("to")
	person, err := p.person("person")
	if err != nil {
		return err
	}
	w.Command.Department, w.Command.Person = team, person
	if !p.take("until", "till", "to") {
		return incident.Invalid("until", "the end date is missing. Type delegate %s PERSON until 2026-12-01", team)
	}
	if at, ok := p.when(future); ok {
		w.Command.Until = at
	} else if day, ok := p.date(); ok {
		w.Command.Until = time.Date(day.Year(), day.Month(), day.Day()+1, 0, 0, 0, 0, p.Zone) // the day is included
	} else {
		return p.notTime("until")
	}
	return nil
}

// notTime returns the error for a word that is not a date or time.
func (p *argParser) notTime(field string) *incident.Error {
	rest := p.rest()
	if rest == "" {
		return p.missing(field, "%s needs a date or time. Type %s")
	}
	return incident.Invalid(field, "%q is not a date or time. Type 02:31, tomorrow 10:00 or 2026-11-24 10:00", truncate(rest))
}

func readConsult(p *argParser, w *Parsed) error {
	w.Command.Verb = incident.VerbConsult
	team, err := p.department()
	if err != nil {
		return err
	}
	w.Command.Department = team
	w.Command.Blocking = p.take("blocking", "--blocking")
	w.Command.Text = p.reason()
	return nil
}

func readInvolve(p *argParser, w *Parsed) error {
	w.Command.Verb = incident.VerbInvolve
	team, err := p.department()
	w.Command.Department, w.Command.Text = team, p.reason()
	return err
}

func readAnswer(p *argParser, w *Parsed) error {
	w.Command.Verb = incident.VerbAnswer
	team, err := p.department()
	if err != nil {
		return err
	}
	if w.Command.Department, w.Command.Text = team, p.reason(); w.Command.Text == "" {
		w.Form = incident.VerbAnswer
	}
	return nil
}

func readMerge(p *argParser, w *Parsed) error {
	w.Command.Verb = incident.VerbMerge
	p.take("into", "in", "with", "to")
	id, ok := p.incident()
	switch {
	case ok:
		w.Command.Target = id
	case p.Context.Incident != 0 && w.Command.For != p.Context.Incident && w.Command.For != 0:
		// For "merge INC-41" in the channel of INC-42, INC-41 is the target.
		w.Command.Target, w.Command.For = w.Command.For, p.Context.Incident
	default:
		return incident.Invalid("target", "the target is missing. Type merge into INC-41")
	}
	w.Command.Text = p.reason()
	return nil
}

func readReview(p *argParser, w *Parsed) error {
	switch {
	case p.take("conclude", "concluded"):
		p.trailingIncident(w)
		return readConclude(p, w)
	case p.take("waive"):
		p.trailingIncident(w)
		w.Command.Verb, w.Command.Text = incident.VerbWaiveActions, p.reason()
		return nil
	}
	w.Command.Verb = incident.VerbScheduleReview
	if _, ok := p.peek(); !ok {
		w.Form = incident.VerbScheduleReview
		return nil
	}
	p.take("on", "at")
	at, ok := p.when(future)
	if !ok {
		word, _ := p.peek()
		if near := incident.Nearest(word.text, []string{"conclude", "waive"}); near != "" {
			return incident.Invalid("when", "unknown word %q after review. Did you mean %q?", truncate(word.text), near)
		}
		return p.notTime("when")
	}
	w.Command.When = at
	return nil
}

// readConclude parses "with PERSON, PERSON: DECISIONS".
func readConclude(p *argParser, w *Parsed) error {
	w.Command.Verb = incident.VerbConclude
	if !p.take("with") {
		if w.Command.Text = p.freeText(); w.Command.Text != "" {
			return incident.Invalid("attendance", "the people who attended are missing. Type review conclude with @ada, @ben: DECISIONS")
		}
		w.Form = incident.VerbConclude
		return nil
	}
	list, decisions, ok := strings.Cut(p.rest(), ":")
	if !ok {
		return incident.Invalid("text", "the decisions are missing. Type them after a colon: review conclude with @ada, @ben: DECISIONS")
	}
	for name := range strings.SplitSeq(list, ",") {
		one := &argParser{scanner: scanner{text: name}, Context: p.Context, verb: p.verb}
		person, err := one.person("attendance")
		if err != nil {
			return err
		}
		w.Command.Attendance = append(w.Command.Attendance, person)
	}
	w.Command.Text = p.readable(strings.TrimFunc(decisions, isSpace))
	return nil
}

func readAction(p *argParser, w *Parsed) error {
	switch {
	case p.take("done", "finish", "finished"):
		p.trailingIncident(w)
		word, ok := p.next()
		if !ok {
			return p.missing("item", "%s done needs the number of an action item. Type %s")
		}
		w.Command.Verb, w.Command.Item, w.Command.Text = incident.VerbFinishAction, strings.ToUpper(word.text), p.reason()
		return nil
	case p.take("add"):
		p.trailingIncident(w)
	default:
		if word, ok := p.next(); ok {
			return unknownWord(incident.Invalid, "action", word.text, []string{"add", "done"},
				"unknown word %q after action. Did you mean %q?", "unknown word %q after action. Use one of: %s")
		}
	}
	w.Command.Verb = incident.VerbAddAction
	word, ok := p.next()
	if !ok {
		w.Form = incident.VerbAddAction
		return nil
	}
	kind := incident.ActionKind(strings.ToLower(strings.TrimSuffix(word.text, ":")))
	if !slices.Contains(incident.ActionKinds(), kind) {
		return unknownWord(incident.Invalid, "kind", word.text, names(incident.ActionKinds()),
			"unknown kind of action item %q. Did you mean %q?", "unknown kind of action item %q. Use one of: %s")
	}
	title, ok := p.cut("owner")
	if !ok {
		return incident.Invalid("owner", "the owner is missing. Type action add %s TITLE owner PERSON due DATE", kind)
	}
	owner, err := p.person("owner")
	if err != nil {
		return err
	}
	if !p.take("due", "by", "until") {
		return incident.Invalid("due", "the due date is missing. Type action add %s TITLE owner PERSON due DATE", kind)
	}
	due, ok := p.date()
	if !ok {
		return p.notTime("due")
	}
	inner := &argParser{scanner: scanner{text: title}, Context: p.Context}
	w.Command.Action = &incident.Action{Kind: kind, Title: inner.freeText(), Owner: owner, Due: due}
	return nil
}

// readErase parses "17/text, 18/text because REASON".
func readErase(p *argParser, w *Parsed) error {
	w.Command.Verb = incident.VerbErase
	for {
		word, ok := p.peek()
		if !ok || word.quoted || strings.EqualFold(word.text, "because") {
			break
		}
		seq, name, ok := strings.Cut(strings.Trim(word.text, ",;"), "/")
		n, err := strconv.Atoi(seq)
		if !ok || err != nil || n < 1 || name == "" {
			return incident.Invalid("erase", "%q is not a text. Type the number of its event and its field, as in 17/text", truncate(word.text))
		}
		p.next()
		w.Command.Erase = append(w.Command.Erase, incident.TextRef{Seq: n, Name: name})
	}
	if len(w.Command.Erase) == 0 {
		return p.missing("erase", "%s needs the texts to erase. Type %s")
	}
	w.Command.Text = p.reason()
	return nil
}
