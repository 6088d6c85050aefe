package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of a draft, in runes and elements.
const (
	maxDraft      = 1400 // of one part. It fits into an input of every provider
	maxDraftQuote = 160  // of a text that people or senders wrote
	maxDraftItems = 8    // of a list
)

// PartDraft is what Tocsin proposes for a part of the closing record.
type PartDraft struct {
	Name    string `json:"name"`              // of the field
	Text    string `json:"text,omitempty"`    // or "" if the timeline has nothing for the part
	Missing string `json:"missing,omitempty"` // what is missing, if Text is empty
}

// RecordParts returns the fields of the closing record that people write, in display
// order.
func RecordParts() []RecordField {
	return slices.DeleteFunc(RecordFields(), func(f RecordField) bool { return f.Name == "audience" || f.Name == "language" })
}

// ConfirmedParts returns the number of parts of the record that a person wrote or
// confirmed.
func (r ClosingRecord) ConfirmedParts() int {
	n := 0
	for _, f := range RecordParts() {
		if strings.TrimSpace(r.Get(f.Name)) != "" {
			n++
		}
	}
	return n
}

// DraftRecord returns a draft of each part of the closing record. The text of a draft
// repeats what the timeline has, and nothing else: it has no cause, because no fact has
// one. It contains no text that only legal and security may read, and it does not depend
// on the reader or on the time. inc is the fold of the timeline.
//
// A draft is no part of the record. It becomes one when a person confirms it, see
// [Command.Confirm].
func DraftRecord(inc Incident, timeline []Event, dir Directory) []PartDraft {
	s := draftSource{inc: inc, events: timeline, dir: dir}
	if inc.MayHavePrivileged() {
		s.inc, s.events, _ = WithholdPrivileged(inc.ID, timeline)
	}
	return []PartDraft{
		s.part("summary", "Write in two or three sentences what happened", s.summary),
		s.part("impact", "No fact has personal data, the beginning or an affected party. Set these facts, or write what was harmed", s.impact),
		s.part("root_cause", "Nobody recorded a cause, and Tocsin does not guess one. Write what made the incident possible", nil),
		s.part("contributing_factors", "Nobody recorded contributing factors. Leave this empty if there are none", nil),
		s.part("what_was_done", "The timeline has no acknowledgement, step or containment. Write what the responders did", s.response),
		s.part("what_detected_it", "The incident has no alert and no reporter. Write how it was noticed", s.detection),
		s.part("what_will_detect_it", "There is no action item for detection. Add one, or write what will detect the next one", s.actions(ActionDetection)),
		s.part("what_will_prevent_it", "There is no action item for prevention. Add one, or write what will prevent the next one", s.actions(ActionPrevention)),
	}
}

// draftSource is the material of drafts, without texts for legal and security only.
type draftSource struct {
	inc    Incident
	events []Event
	dir    Directory
}

// draftText collects sentences up to [maxDraft].
type draftText struct {
	strings.Builder
	cut bool
}

func (s draftSource) part(name, missing string, write func(*draftText)) PartDraft {
	var t draftText
	if write != nil {
		write(&t)
	}
	if t.Len() == 0 {
		return PartDraft{Name: name, Missing: missing}
	}
	return PartDraft{Name: name, Text: t.String()}
}

// say adds a sentence. A sentence that no longer fits ends the draft.
func (t *draftText) say(format string, args ...any) {
	const more = " The timeline has the rest."
	sentence := fmt.Sprintf(format, args...)
	switch {
	case t.cut:
		return
	case utf8.RuneCountInString(t.String())+1+utf8.RuneCountInString(sentence) > maxDraft-len(more):
		t.cut = true
		t.WriteString(more)
		return
	case t.Len() > 0:
		t.WriteByte(' ')
	}
	t.WriteString(sentence)
}

func (s draftSource) summary(t *draftText) {
	inc := s.inc
	by := ""
	switch {
	case inc.OpenedBy != "":
		by = " by " + s.dir.Name(inc.OpenedBy)
	case inc.Reporter != nil:
		by = " after the report of " + quoteDraft(inc.Reporter.Name+" ("+inc.Reporter.User+")")
	case len(inc.Alerts) > 0:
		by = " by an alert from " + quoteDraft(SystemName(inc.Alerts[0].Source))
	}
	t.say("%s (%s) was opened on %s%s.", inc.ID, known(inc.Title, "without a title"), draftTime(inc.OpenedAt), by)
	if inc.PeakSeverity != "" && inc.PeakSeverity != inc.Severity {
		t.say("Its severity is %s, and was %s at its highest.", inc.Severity, inc.PeakSeverity)
	} else if inc.Severity != "" {
		t.say("Its severity is %s.", inc.Severity)
	}
	if e, ok := s.last(EventContained); ok {
		t.say("It was contained on %s.", draftTime(e.HappenedAt))
	}
	if e, ok := s.last(EventResolved); ok {
		t.say("It was resolved on %s.", draftTime(e.HappenedAt))
	}
}

func (s draftSource) impact(t *draftText) {
	f := s.inc.Facts
	if f.Occurred != nil {
		t.say("The incident began on %s%s.", draftTime(f.Occurred.At), reason(f.Occurred.Reason))
	}
	switch f.PersonalData {
	case PersonalNo:
		t.say("No personal data is involved.")
	case PersonalSuspected:
		t.say("It is suspected that personal data is involved.")
	case PersonalConfirmed:
		t.say("Personal data is involved.")
	}
	s.items(t, len(f.Affected), func(n int) string {
		a := f.Affected[n]
		count, told := "number of people unknown", "not notified"
		if a.Count > 0 {
			count = PeopleCount(a.Count)
		}
		if !a.NotifiedAt.IsZero() {
			told = "notified on " + draftTime(a.NotifiedAt)
		}
		return fmt.Sprintf("Affected: %s, %s, we are %s, %s", known(a.Who, "a party"), count, a.Capacity, told)
	})
}

func (s draftSource) response(t *draftText) {
	if e, ok := s.first(EventAcknowledged); ok && e.By != "" {
		t.say("%s acknowledged the incident on %s.", s.dir.Name(e.By), draftTime(e.HappenedAt))
	}
	if s.inc.Commander != "" {
		t.say("%s commanded the response.", s.dir.Name(s.inc.Commander))
	}
	for _, role := range s.inc.RoleNames() {
		if p := s.inc.Roles[Role(role)]; p != "" && Role(role) != Commander {
			t.say("%s had the role %s.", s.dir.Name(p), quoteDraft(role))
		}
	}
	if e, ok := s.last(EventContained); ok {
		t.say("%s contained the incident on %s%s.", s.dir.Name(e.By), draftTime(e.HappenedAt), reason(e.Text("text")))
	}
	var done []Step
	for _, run := range s.inc.Runs {
		for _, step := range run.Plan {
			if step.Status == StepDone && step.Action == "" && step.By != "" {
				done = append(done, step)
			}
		}
	}
	slices.SortStableFunc(done, func(a, b Step) int { return a.At.Compare(b.At) })
	s.items(t, len(done), func(n int) string {
		return fmt.Sprintf("%s finished the step %s%s", s.dir.Name(done[n].By), known(done[n].Title, done[n].ID), reason(done[n].Outcome))
	})
	if n := len(s.inc.Evidence); n > 0 {
		t.say("Pieces of evidence kept: %d.", n)
	}
	if e, ok := s.last(EventResolved); ok {
		t.say("%s resolved the incident on %s%s.", s.dir.Name(e.By), draftTime(e.HappenedAt), reason(e.Text("text")))
	}
	if u := s.inc.Unfinished; u != nil && len(u.Steps) > 0 {
		t.say("Steps left open: %d.", len(u.Steps))
	}
}

func (s draftSource) detection(t *draftText) {
	inc := s.inc
	if inc.Facts.Detected != nil {
		t.say("The incident was detected on %s%s.", draftTime(inc.Facts.Detected.At), reason(inc.Facts.Detected.Reason))
	}
	if len(inc.Alerts) > 0 {
		first := inc.Alerts[0]
		t.say("The first alert came from %s on %s: %s.", quoteDraft(SystemName(first.Source)), draftTime(first.At), known(first.Title, first.Kind))
		if first.Rule != "" {
			t.say("The rule was %s.", quoteDraft(first.Rule))
		}
	}
	if n := len(inc.Alerts); n > 1 {
		t.say("Alerts of the incident: %d.", n)
	}
	switch {
	case inc.OpenedBy != "":
		t.say("%s reported the incident on %s.", s.dir.Name(inc.OpenedBy), draftTime(inc.OpenedAt))
	case inc.Reporter != nil:
		t.say("A person outside the configuration reported the incident on %s.", draftTime(inc.OpenedAt))
	}
}

// actions returns a function that writes the action items of a kind.
func (s draftSource) actions(kind ActionKind) func(*draftText) {
	return func(t *draftText) {
		items := slices.DeleteFunc(slices.Clone(s.inc.Actions), func(a Action) bool { return a.Kind != kind })
		s.items(t, len(items), func(n int) string {
			a := items[n]
			state := "due on " + a.Due.UTC().Format(time.DateOnly)
			if !a.Done.IsZero() {
				state = "done on " + a.Done.UTC().Format(time.DateOnly)
			}
			return fmt.Sprintf("Action item %s, %s: %s, %s", a.ID, s.dir.Name(a.Owner), known(a.Title, "without a title"), state)
		})
	}
}

// items adds a sentence for each of count elements, and the number of those left out.
func (s draftSource) items(t *draftText, count int, sentence func(int) string) {
	for n := range min(count, maxDraftItems) {
		t.say("%s.", sentence(n))
	}
	if count > maxDraftItems {
		t.say("The timeline has %d more of these.", count-maxDraftItems)
	}
}

func (s draftSource) first(kind EventKind) (Event, bool) {
	n := slices.IndexFunc(s.events, func(e Event) bool { return e.Kind == kind })
	if n < 0 {
		return Event{}, false
	}
	return s.events[n], true
}

func (s draftSource) last(kind EventKind) (out Event, found bool) {
	for _, e := range s.events {
		if e.Kind == kind {
			out, found = e, true
		}
	}
	return out, found
}

func draftTime(at time.Time) string { return at.UTC().Format("2006-01-02 15:04") + " UTC" }

// known returns a text as a quotation, or else if nobody may read it.
func known(text, otherwise string) string {
	if q := quoteDraft(text); q != "" {
		return "“" + q + "”"
	}
	return otherwise
}

// reason returns the text that a person gave, after a comma, or "".
func reason(text string) string {
	if q := known(text, ""); q != "" {
		return ", " + q
	}
	return ""
}

// quoteDraft returns a text in one line, or "" if it is for legal and security only.
func quoteDraft(text string) string {
	if text == Withheld {
		return ""
	}
	line := strings.Join(strings.Fields(text), " ")
	if r := []rune(line); len(r) > maxDraftQuote {
		return strings.TrimSpace(string(r[:maxDraftQuote-1])) + "…"
	}
	return line
}

// partEdits returns the last edit of each part of the record, by its name.
func partEdits(timeline []Event) map[string]Event {
	out := map[string]Event{}
	for _, e := range timeline {
		if e.Kind != EventRecordEdited {
			continue
		}
		for _, f := range RecordFields() {
			if _, ok := e.Texts[f.Name]; ok || e.Field(f.Name) != "" {
				out[f.Name] = e
			}
		}
	}
	return out
}

// PartEdit returns who wrote or confirmed a part of the record last, and when. It returns
// false if the timeline has no edit of the part.
func PartEdit(timeline []Event, name string) (by PersonID, at time.Time, ok bool) {
	e, ok := partEdits(timeline)[name]
	return e.By, e.RecordedAt, ok
}
