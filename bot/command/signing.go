package command

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// signerArg is the department that signs or objects.
var signerArg = Arg{Name: "department", Usage: "[DEPARTMENT]", Next: departmentArg.Next, read: func(p *parser, w *Parsed) (bool, error) {
	p.take("as", "for")
	if word, ok := p.peek(); !ok || !word.quoted && strings.EqualFold(word.text, "because") {
		return false, nil
	}
	return departmentArg.read(p, w)
}, write: writeDepartment}

var digestWord = regexp.MustCompile(`(?i)^(?:sha256:)?[0-9a-f]{12,64}$`) // may be shortened

// digestArg is the digest of the record. Without it, a form shows the record first,
// because people must read it before they sign or object.
var digestArg = Arg{Name: "digest", Usage: "[DIGEST]", read: func(p *parser, w *Parsed) (bool, error) {
	word, ok := p.peek()
	if !ok || !digestWord.MatchString(word.text) {
		return false, nil
	}
	p.next()
	w.Command.Expect = "sha256:" + strings.TrimPrefix(strings.ToLower(word.text), "sha256:")
	return true, nil
}, write: func(w *Parsed) string { return w.Command.Expect }}

// noTextArg rejects a text after the digest.
var noTextArg = Arg{read: func(p *parser, _ *Parsed) (bool, error) {
	if rest := p.rest(); rest != "" {
		return false, incident.Invalid("digest", "%q is not a digest. Type sha256: and the 64 hexadecimal digits shown in the record", truncate(rest))
	}
	return true, nil
}}

// OpenStepsHeading is the heading of the steps that were open at the resolution.
const OpenStepsHeading = "Steps left open at the resolution"

// showSubmissionToTeams is showSubmission for an objection, which consulted teams
// may raise, too.
func showSubmissionToTeams(f *Form, c FormContext) {
	showSubmission(f, c)
	for n := range f.Fields {
		if f.Fields[n].Name != departmentArg.Name {
			continue
		}
		for _, consulted := range c.Incident.Consultations {
			if name := string(consulted.Team); !slices.Contains(f.Fields[n].Options, name) {
				f.Fields[n].Options = append(slices.Clip(f.Fields[n].Options), name)
			}
		}
	}
}

var objectionID = regexp.MustCompile(`(?i)^o\d+$`)

// readWithdrawn reads an objection or the department of a signature.
func readWithdrawn(p *parser, w *Parsed) (bool, error) {
	word, ok := p.peek()
	switch {
	case !ok || strings.EqualFold(word.text, "because"):
		return false, nil
	case objectionID.MatchString(word.text):
		p.next()
		w.Command.Item = strings.ToUpper(word.text)
		return true, nil
	}
	return departmentArg.read(p, w)
}

// withdrawnArg is an objection or the department of a signature, in a form.
var withdrawnArg = Arg{Name: "item", read: readWithdrawn, value: func(c FormContext) string { return cmp.Or(c.Given.Item, string(c.Given.Department)) }}

// teamArg is a consulted team.
var teamArg = Arg{Name: "department", Usage: "TEAM", part: departmentPart, read: departmentArg.read, write: writeDepartment}

func writeBlocking(w *Parsed) string {
	if w.Command.Blocking {
		return "blocking"
	}
	return ""
}

func writeUntil(w *Parsed) string { return "until " + writeTime(w.Command.Until, w.Command.Zone) }

func writeWithdrawn(w *Parsed) string { return strings.TrimSpace(w.Command.Item + writeDepartment(w)) }

func writeRevision(w *Parsed) string { return strings.TrimSpace(writeEdits(w) + " " + writeBecause(w)) }

func readBlocking(p *parser, w *Parsed) (bool, error) {
	w.Command.Blocking = p.take("blocking", "--blocking")
	return true, nil
}

// untilArg is the end of a delegation.
var untilArg = Arg{Name: "until", Usage: "until DATE", read: readUntil, write: writeUntil, value: func(c FormContext) string {
	if c.Given.Until.IsZero() {
		return ""
	}
	return c.Given.Until.UTC().Format(time.RFC3339)
}}

// readUntil reads the end of a delegation. A day is included.
func readUntil(p *parser, w *Parsed) (bool, error) {
	if p.take("for") {
		s, ok := p.span()
		if !ok {
			return false, p.notDate("until")
		}
		w.Command.Until = s.after(p.Now.In(p.Zone))
		return true, nil
	}
	if !p.take("until", "till", "to") && p.atEnd() {
		return false, incident.Invalid("until", "the end date is missing. Type delegate %s PERSON until 2026-12-01", w.Command.Department)
	}
	day, ok, err := p.date()
	if err != nil {
		return false, inField(err, "until")
	}
	if ok {
		w.Command.Until = time.Date(day.Year(), day.Month(), day.Day()+1, 0, 0, 0, 0, p.Zone)
		return true, nil
	}
	w.Command.Until, err = p.needTime("until", future)
	return err == nil, err
}

// readRevision reads "[set FIELD TEXT …] because WHY". It includes the edits,
// because an approved record cannot be edited before it is revised.
func readRevision(p *parser, w *Parsed) (bool, error) {
	edits := map[string]string{}
	add := func(field, text string) error {
		if _, twice := edits[field]; twice {
			return incident.Invalid("record", "the field %s is set twice. Type it once", field)
		}
		edits[field] = Readable(text)
		return nil
	}
	for p.take("set") {
		field, err := p.recordField()
		if err != nil {
			return false, err
		}
		if word, ok := p.peek(); ok && word.quoted {
			p.next()
			if err := add(field, word.text); err != nil {
				return false, err
			}
			continue
		}
		text, ok := p.cut("because") // the last text needs no quotes
		if !ok {
			return false, incident.Invalid("text", "the reason is missing. Type revise set %s TEXT because WHY", field)
		}
		if err := add(field, text); err != nil {
			return false, err
		}
		w.Command.Record, w.Command.Text = edits, p.freeText()
		return w.Command.Text != "", nil
	}
	if len(edits) > 0 && !p.introduced() {
		return false, p.unread()
	}
	w.Command.Text = p.reason()
	if len(edits) > 0 {
		w.Command.Record = edits
	}
	return len(edits) > 0 && w.Command.Text != "", nil
}
