package command

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// signFields are the fields of the form to sign. The statements of the departments are
// added when the form opens.
var signFields = []Field{
	{Kind: KindRule},
	departmentArg.choice("Department"),
	tick("attest", "Your signature", "I confirm this statement", func(*incident.Command) {}),
}

// showSignature shows the record and the statements to sign, or the people who can sign.
func showSignature(f *Form, c FormContext) {
	showSubmission(f, c)
	if c.Incident.Submission == nil {
		return
	}
	able, refusal := c.departments()
	if len(able) == 0 {
		f.Document, f.Fields = refusal, nil
		return
	}
	menu := f.field(departmentArg.Name)
	for _, team := range able {
		menu.offer(string(team))
	}
	statements := make([]Field, 0, 2*len(able))
	for _, team := range able {
		statements = append(statements, Field{Kind: KindHeading, Label: "Statement of " + string(team)}, Field{Kind: KindPlain, Label: c.Env.Policy.Attestation(team).Text},
			Field{Kind: KindNote, Label: "version " + c.Env.Policy.Attestation(team).Version})
	}
	at := slices.IndexFunc(f.Fields, func(field Field) bool { return field.Name == departmentArg.Name })
	if len(able) == 1 {
		f.State.Department, f.State.Statement = able[0], c.Env.Policy.Attestation(able[0]).ID()
		f.Fields = slices.Delete(f.Fields, at, at+1)
	}
	f.Fields = slices.Insert(f.Fields, at, statements...)
}

// ShowsRecord reports whether the form to sign or to object shows the person the
// submitted record.
func ShowsRecord(c FormContext) bool {
	able, _ := c.departments()
	return c.Incident.Submission != nil && (c.Given.Verb != incident.VerbSign || len(able) > 0)
}

// departments returns the departments that the person can sign for. If there is none, it
// returns the reason and the people who can sign.
func (c FormContext) departments() (able []incident.Department, refusal []Paragraph) {
	wanted := incident.RequiredDepartments()
	if c.Given.Department != "" {
		wanted = []incident.Department{c.Given.Department}
	}
	var reason string
	for _, team := range wanted {
		if sig := c.Incident.SignedBy(team); sig != nil && sig.By == c.Env.Actor {
			return nil, []Paragraph{{KindPlain, fmt.Sprintf("You signed %s for %s on %s. There is nothing left to do.", c.Incident.ID, team, shownTime(sig.At))}}
		}
		err := c.Incident.MaySign(team, c.Env)
		var refused *incident.Error
		if err == nil {
			able = append(able, team)
		} else if errors.As(err, &refused) && (reason == "" || c.Incident.Represents(c.Directory, c.Env.Actor, team, c.Env.Now)) {
			reason = refused.Error()
		}
	}
	if len(able) > 0 {
		return able, nil
	}
	refusal = []Paragraph{{KindPlain, "You cannot sign: " + reason + "."}}
	for _, team := range wanted {
		var names []string
		for _, p := range c.Incident.Signers(team, c.Env) {
			names = append(names, c.Directory.Name(p))
		}
		switch sig := c.Incident.SignedBy(team); {
		case sig != nil:
			refusal = append(refusal, Paragraph{KindPlain, fmt.Sprintf("%s signed for %s.", c.Directory.Name(sig.By), team)})
		case len(names) == 0:
			refusal = append(refusal, Paragraph{KindPlain, fmt.Sprintf("No person can sign for %s. Ask the head of the department to find one.", team)})
		default:
			refusal = append(refusal, Paragraph{KindPlain, fmt.Sprintf("These people can sign for %s: %s.", team, strings.Join(names, ", "))})
		}
	}
	return nil, refusal
}

// showSubmission shows the submitted record with its digest. The command contains
// the digest from the form, so people sign or object to exactly the record that they
// saw.
func showSubmission(f *Form, c FormContext) {
	sub := c.Incident.Submission
	if sub == nil {
		f.Document, f.Fields = []Paragraph{{KindPlain, c.Incident.ID.String() + " has no submitted record."}}, nil
		return
	}
	f.State.Expect = sub.Digest
	f.Document = []Paragraph{{KindNote, "revision " + strconv.Itoa(sub.Document.Revision) + " · " + sub.Digest}}
	f.Document = append(f.Document, amended(c)...)
	f.Document = append(f.Document, changed(c)...)
	for _, field := range incident.RecordFields() {
		if text := strings.TrimSpace(sub.Document.Record.Get(field.Name)); text != "" {
			f.Document = append(f.Document, Paragraph{KindHeading, field.Label}, Paragraph{KindPlain, text})
		}
	}
	section := func(heading string, lines []string) {
		if len(lines) > 0 {
			f.Document = append(f.Document, Paragraph{KindHeading, heading}, Paragraph{KindPlain, strings.Join(lines, "\n")})
		}
	}
	section("Facts", factLines(sub.Document.Facts))
	if open := sub.Document.Unfinished; open != nil {
		section(OpenStepsHeading, []string{open.Titled(c.Incident).Text()})
	}
	var steps []string
	for _, id := range c.Incident.OpenSteps() {
		if _, step := c.Incident.Step(id); step != nil {
			steps = append(steps, step.Title)
		}
	}
	section("Steps that are open now", steps)
	var objections []string
	for _, o := range c.Incident.Objections {
		if o.Open() {
			objections = append(objections, fmt.Sprintf("%s of %s, by %s: %s", o.ID, o.Department, c.Directory.Name(o.By), o.Reason))
		}
	}
	section("Open objections", objections)
}

// amended returns who amended the record before this submission, when, why, and the
// parts that changed since.
func amended(c FormContext) []Paragraph {
	var lines []string
	parts := map[string]string{}
	for _, e := range c.Timeline {
		switch e.Kind {
		case incident.EventSubmitted:
			if len(parts) == 0 && len(lines) == 0 {
				continue
			}
			if e.Field("digest") != c.Incident.Submission.Digest {
				lines = nil
				clear(parts)
			}
		case incident.EventAmended, incident.EventRevised, incident.EventSignaturesVoided:
			clear(parts)
			lines = []string{fmt.Sprintf("%s, %s: %s", c.Directory.Name(e.By), shownTime(e.RecordedAt), e.Text("reason"))}
		case incident.EventRecordEdited:
			for _, f := range incident.RecordFields() {
				if _, text := e.Texts[f.Name]; len(lines) > 0 && (text || e.Field(f.Name) != "") {
					parts[f.Label] = fmt.Sprintf("%s: changed by %s, %s", f.Label, c.Directory.Name(e.By), shownTime(e.RecordedAt))
				}
			}
		}
	}
	if len(lines) == 0 {
		return nil
	}
	for _, label := range slices.Sorted(maps.Keys(parts)) {
		lines = append(lines, parts[label])
	}
	return []Paragraph{{KindHeading, "The record was amended"}, {KindPlain, strings.Join(lines, "\n")}}
}

// changed returns the difference to the record that the person saw last.
func changed(c FormContext) []Paragraph {
	seen := c.Memory.Seen
	if seen == nil {
		return []Paragraph{{KindNote, "You have not read this record before."}}
	}
	diff := c.Incident.Submission.Document.ChangesSince(seen.Document, factLines)
	if len(diff) == 0 {
		return []Paragraph{{KindNote, "Unchanged since you read it on " + shownTime(seen.At) + "."}}
	}
	var lines []string
	for _, part := range diff {
		lines = append(lines, part.Label)
		for _, s := range part.Removed {
			lines = append(lines, "− "+s)
		}
		for _, s := range part.Added {
			lines = append(lines, "+ "+s)
		}
	}
	return []Paragraph{{KindHeading, "Changed since you read it on " + shownTime(seen.At)}, {KindPlain, strings.Join(lines, "\n")}}
}

// FactLine is a fact with its label.
type FactLine struct{ Label, Value string }

// FactLines returns the known facts as people read them.
func FactLines(f incident.Facts) []FactLine {
	var out []FactLine
	instant := func(label string, at *incident.Instant) {
		if at != nil {
			out = append(out, FactLine{label, shownTime(at.At) + " (" + at.Reason + ")"})
		}
	}
	instant("Began", f.Occurred)
	instant("Detected", f.Detected)
	for _, law := range slices.Sorted(maps.Keys(f.Aware)) {
		at := f.Aware[law]
		instant("Aware under "+strings.ToUpper(law), &at)
	}
	instant("Classified as major", f.Classified)
	if f.PersonalData != "" {
		out = append(out, FactLine{"Personal data", string(f.PersonalData)})
	}
	for _, a := range f.Affected {
		count, notified := "number of people unknown", "not notified"
		if a.Count > 0 {
			count = incident.PeopleCount(a.Count)
		}
		if !a.NotifiedAt.IsZero() {
			notified = "notified " + shownTime(a.NotifiedAt)
		}
		out = append(out, FactLine{"Affected", fmt.Sprintf("%s, %s, we are %s, %s", a.Who, count, a.Capacity, notified)})
	}
	return out
}

// factLines returns the known facts, one in each line.
func factLines(f incident.Facts) []string {
	var out []string
	for _, line := range FactLines(f) {
		out = append(out, line.Label+": "+line.Value)
	}
	return out
}

func shownTime(at time.Time) string { return at.UTC().Format("2006-01-02 15:04") + " UTC" }
