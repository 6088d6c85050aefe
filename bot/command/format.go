package command

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// writer returns an argument as people type it, or "" if the command does not have it.
type writer func(*Parsed) string

// Format returns the canonical text of a parsed line: [Parse] of the text yields the
// same line, also later and in another channel. People are named by their mail address,
// or by their account in Slack. It returns false for a command that only a form can give,
// because a line has no place for all of its fields.
func Format(w Parsed, d incident.Directory) (string, bool) {
	for n := range specs {
		for m := range specs[n].Syntaxes {
			if y := &specs[n].Syntaxes[m]; y.gives(&w) {
				return nameAccounts(specs[n].format(y, &w), d), true
			}
		}
	}
	return "", false
}

// nameAccounts replaces the mention of each person by an account that people can type.
func nameAccounts(text string, d incident.Directory) string {
	return mention.ReplaceAllStringFunc(text, func(m string) string {
		id, _, _ := mentioned("person", m)
		person, _ := d.Person(incident.PersonID(id))
		return cmp.Or(person.IDAt(incident.ProviderMail), person.IDAt(incident.ProviderSlack), m)
	})
}

// gives reports whether the syntax gives a parsed line.
func (y *Syntax) gives(w *Parsed) bool {
	if y.Query != w.Query || y.Verb != w.Command.Verb {
		return false
	}
	return y.canonical == nil || y.canonical(w)
}

func (s *Spec) format(y *Syntax, w *Parsed) string {
	words := []string{s.Name}
	if s.NeedsIncident && w.Command.For != 0 {
		words = append(words, w.Command.For.String())
	}
	words = append(words, y.Words[:min(1, len(y.Words))]...)
	for _, a := range y.Args {
		if text := a.format(w); text != "" {
			words = append(words, text)
		}
	}
	return strings.Join(words, " ")
}

func (a Arg) format(w *Parsed) string {
	switch {
	case a.write != nil:
		return a.write(w)
	case a.part != nil:
		return introduce("", *a.part(&w.Command))
	}
	return ""
}

// writes returns the argument with its writer.
func (a Arg) writes(write writer) Arg {
	a.write = write
	return a
}

// nothing is the writer of an argument that another one writes, or the line does not need.
func nothing(*Parsed) string { return "" }

// introduce returns a quoted text after its introducing words, or "" without a text.
func introduce(words, text string) string {
	if text == "" {
		return ""
	}
	return strings.TrimSpace(words + " " + quoteText(text))
}

// bareWord matches a word that needs no quotes.
var bareWord = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_./+-]*$`)

// quoteWord returns one word, in quotes if the grammar would read it otherwise.
func quoteWord(s string) string {
	if bareWord.MatchString(s) && !incidentWord.MatchString(s) && !incidentPrefix.MatchString(s) {
		return s
	}
	return quoteText(s)
}

func writeBecause(w *Parsed) string { return introduce("because", w.Command.Text) }

func writePerson(p incident.PersonID) string {
	if p == "" {
		return ""
	}
	return Mention(p, string(p))
}

func writeDepartment(w *Parsed) string {
	if name := string(w.Command.Department); name != "" && !bareWord.MatchString(name) {
		return MentionTeam(w.Command.Department, name)
	}
	return string(w.Command.Department)
}

// writeTime returns a time in the zone that the person typed. Without one, or if the
// clocks show the time twice, it has the offset.
func writeTime(at time.Time, zone string) string {
	typed, err := incident.ParseZone(zone)
	if err != nil {
		return at.Format(time.RFC3339Nano)
	}
	at = at.In(typed)
	for _, shift := range []time.Duration{-time.Hour, -30 * time.Minute, 30 * time.Minute, time.Hour} {
		if onWall(at.Add(shift)) == onWall(at) {
			return at.Format(time.RFC3339Nano)
		}
	}
	return at.Format("2006-01-02T15:04:05.999999999 ") + typed.String()
}

func writeHappenedAt(w *Parsed) string {
	if w.Command.HappenedAt.IsZero() {
		return ""
	}
	return "at " + writeTime(w.Command.HappenedAt, w.Command.Zone)
}

// writeInstant returns a time that the command holds in UTC.
func writeInstant(at time.Time, zone string) string {
	if zone == "" {
		zone = "UTC"
	}
	return writeTime(at, zone)
}

func writeFact(w *Parsed) string {
	f := w.Command.Fact
	if f == nil {
		return ""
	}
	switch f.Name {
	case incident.FactAffected:
		return writeAffected(w)
	case incident.FactOccurred, incident.FactDetected, incident.FactClassified, incident.FactAware:
		at, err := time.Parse(time.RFC3339, f.Value)
		if err != nil {
			return f.Value
		}
		return strings.TrimSpace(writeRegime(f.Regime) + " " + writeInstant(at, w.Command.Zone))
	}
	return quoteWord(f.Value)
}

func writeRegime(regime string) string {
	if regime == "" {
		return ""
	}
	return quoteWord(regime)
}

func writeAffected(w *Parsed) string {
	a := w.Command.Fact.Affected
	if a == nil {
		return ""
	}
	out := quoteText(a.Who) + " " + string(a.Capacity)
	if a.Count > 0 {
		out += " " + strconv.Itoa(a.Count)
	}
	if !a.NotifiedAt.IsZero() {
		out += " notified " + writeInstant(a.NotifiedAt, w.Command.Zone)
	}
	return out
}

func writeEvidence(w *Parsed) string {
	e := w.Command.Evidence
	if e == nil {
		return ""
	}
	out := []string{}
	if e.Name != "" {
		out = append(out, quoteText(e.Name))
	}
	if e.Where != "" {
		out = append(out, introduce("in", e.Where))
	}
	if e.SHA256 != "" {
		out = append(out, "sha256:"+e.SHA256)
	}
	return strings.Join(out, " ")
}

func writeAlerts(w *Parsed) string {
	ids := make([]string, len(w.Command.Alerts))
	for n, id := range w.Command.Alerts {
		ids[n] = "A" + strconv.FormatInt(id, 10)
	}
	return strings.Join(ids, ",")
}

// writeEdits returns "set FIELD TEXT …".
func writeEdits(w *Parsed) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(w.Command.Record)) {
		out = append(out, "set "+name+" "+quoteText(w.Command.Record[name]))
	}
	return strings.Join(out, " ")
}

func writeWindow(w *Parsed) string {
	m := w.AlertRequest.Add
	return "from " + writeWindowTime(m.From) + " to " + writeWindowTime(m.To) + " when " + quoteText(m.When) + " because " + quoteText(m.Reason)
}

func writeWindowTime(at time.Time) string { return writeTime(at, incident.ZoneName(at.Location())) }
