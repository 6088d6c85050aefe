package web

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"tocsin/bot/command"
	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// formField is a field of a form as HTML shows it.
type formField struct {
	command.Field
	ID      string
	Control string // of the template: "line", "prose", "choice", "radio", "ticks", "check", "day", "number", or a text without input
	Value   string
	Chosen  []option
	Was     string // fingerprint of a sparse value
	Error   string
	Empty   bool // a choice offers to select nothing
}

// paragraph is a part of the text above a form.
type paragraph struct{ Control, Text string }

// option is one value of a choice.
type option struct {
	Value, Title string
	Selected     bool
}

// controls are the controls by the kind of a field.
var controls = map[command.FieldKind]string{
	command.KindLine: "line", command.KindProse: "prose", command.KindChoice: "choice", command.KindRadio: "radio", command.KindMany: "ticks",
	command.KindTicks: "ticks", command.KindCheck: "check", command.KindPerson: "choice", command.KindPeople: "ticks", command.KindDay: "day",
	command.KindMoment: "line", command.KindNumber: "number",
	command.KindNote: "note", command.KindPlain: "plain", command.KindHeading: "heading", command.KindRule: "rule",
}

// fill adds the fields of a form, with the values of a rejected submission.
func (d *formData) fill(f command.Form, dir incident.Directory, back *rejected) {
	for _, p := range f.Document {
		d.Document = append(d.Document, paragraph{controls[p.Kind], p.Text})
	}
	var shown []string
	for _, field := range f.Fields {
		if field.Kind.IsInput() {
			shown = append(shown, field.Name)
		}
	}
	d.Shown = strings.Join(shown, " ")
	var wrong, message string
	if back != nil {
		if refused := new(incident.Error); errors.As(back.err, &refused) {
			message = text.Capital(refused.String()) + "."
			if len(shown) > 0 {
				wrong = command.ErrorField(refused, shown)
			}
			d.Problem = message
		}
	}
	for _, field := range f.Fields {
		out := formField{Field: field, ID: "f-" + field.Name, Control: controls[field.Kind], Value: cmp.Or(field.Draft, field.Value)}
		if field.Kind == command.KindMoment {
			out.Value, out.Hint = readableTime(out.Value), strings.TrimSpace(field.Hint+" "+timeHint(field.Name))
		}
		if field.Sparse {
			out.Was = fingerprint(field.Value)
		}
		chosen := []string{field.Value}
		if field.Kind == command.KindMany || field.Kind == command.KindPeople || field.Kind == command.KindTicks {
			chosen = strings.Fields(field.Value)
		}
		if back != nil && field.Kind.IsInput() {
			if typed, ok := back.values[field.Name]; ok && keepsTyped(field, typed, back.was[field.Name]) {
				out.Value, chosen = strings.Join(typed, ""), typed
			}
		}
		out.options(dir, chosen)
		if field.Name == wrong && field.Kind.IsInput() {
			out.Error = message
		}
		d.Fields = append(d.Fields, out)
	}
}

// keepsTyped reports whether a rejected form shows the submitted values. A text that the
// person did not change could be older than the present one.
func keepsTyped(f command.Field, typed []string, was string) bool {
	if f.Kind == command.KindCheck {
		return false // people confirm the present text
	}
	return was == "" || len(typed) > 0 && fingerprint(typed[0]) != was
}

// options lists the values of a choice.
func (f *formField) options(dir incident.Directory, chosen []string) {
	switch f.Kind {
	case command.KindPerson, command.KindPeople:
		people := slices.Clone(dir.People)
		slices.SortFunc(people, func(a, b incident.Person) int { return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
		for _, p := range people {
			f.Chosen = append(f.Chosen, option{string(p.ID), p.Name, slices.Contains(chosen, string(p.ID))})
		}
	default:
		for _, value := range f.Options {
			f.Chosen = append(f.Chosen, option{value, cmp.Or(f.Titles[value], strings.ReplaceAll(value, "_", " ")), slices.Contains(chosen, value)})
		}
	}
	f.Empty = f.Optional || !slices.ContainsFunc(f.Chosen, func(o option) bool { return o.Selected })
}

// readableTime returns a time as the grammar of commands reads it.
func readableTime(value string) string {
	at, err := time.Parse(time.RFC3339, value)
	if err != nil || at.IsZero() {
		return value
	}
	if at.Second() != 0 {
		return at.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	return at.UTC().Format("2006-01-02 15:04 UTC")
}

// timeHint explains how a time is typed.
func timeHint(field string) string {
	if field == "when" || field == "until" {
		return "Such as tomorrow 10:00 CET, 2026-11-24 14:30 or in 2 hours. A time without a zone is in UTC."
	}
	return "Such as 02:31, yesterday 23:10 CET, 2026-11-24 10:00 or 20 min ago. A time without a zone is in UTC."
}
