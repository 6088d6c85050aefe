package command

import (
	"slices"
	"strings"

	"tocsin/bot/incident"
)

// confirmArg is the list of the parts of the record whose drafts the person confirms.
var confirmArg = Arg{Name: "confirm", Usage: "PART …", Next: partNames(), read: readConfirmed, write: writeConfirmed}

// confirmField is confirmArg in a form, which offers the parts that have a draft.
var confirmField = confirmArg.input(KindTicks, "I read these drafts and confirm them").optional()

func partNames() (out []string) {
	for _, f := range incident.RecordParts() {
		out = append(out, f.Name)
	}
	return out
}

// readConfirmed consumes the names or labels of one part or more.
func readConfirmed(p *parser, w *Parsed) (bool, error) {
	for {
		name, err := p.recordField()
		if err != nil {
			return false, err
		}
		if !slices.Contains(w.Command.Confirm, name) {
			w.Command.Confirm = append(w.Command.Confirm, name)
		}
		p.take("and")
		if p.atEnd() {
			return true, nil
		}
	}
}

func writeConfirmed(w *Parsed) string { return strings.Join(w.Command.Confirm, " ") }

// showDraft puts the drafts into the empty fields of the record, offers to confirm them,
// and shows who confirmed the other parts.
func showDraft(f *Form, c FormContext) {
	f.State.Seen = c.Incident.Head.Seq
	ticks := f.field("confirm")
	for n, part := range incident.RecordParts() {
		field := f.field(part.Name)
		by, at, edited := incident.PartEdit(c.Timeline, part.Name)
		switch {
		case c.Incident.Record.Get(part.Name) != "" && edited:
			field.Hint = "Confirmed by " + c.Directory.Name(by) + ", " + shownTime(at) + "."
		case c.Incident.Record.Get(part.Name) != "" || n >= len(c.Draft):
		case c.Draft[n].Text == "":
			field.Hint = c.Draft[n].Missing + "."
		default:
			field.Value, field.Label = c.Draft[n].Text, "Draft: "+part.Label
			field.Hint = "Tocsin wrote this from the timeline. Tick it at the end of the form, or change it: your text is confirmed when you save."
			ticks.list(part.Name, part.Label)
		}
	}
	if len(ticks.Options) == 0 {
		f.Fields = slices.DeleteFunc(f.Fields, func(field Field) bool { return field.Name == "confirm" })
		return
	}
	ticks.Hint = "A part that you do not tick stays a draft. Drafts are not submitted and not signed."
}

// keepRecord makes a submitted form without changes an empty record.
func keepRecord(c *incident.Command) error {
	if c.Record == nil {
		c.Record = map[string]string{}
	}
	return nil
}
