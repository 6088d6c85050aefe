package incident

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// draftOf returns the draft of a part of the fixture's record.
func (w *fixture) draftOf(name string) PartDraft {
	all := DraftRecord(w.inc, w.events, w.dir)
	return all[slices.IndexFunc(all, func(p PartDraft) bool { return p.Name == name })]
}

// editRecord gives a command about the record.
func (w *fixture) editRecord(p PersonID, c Command) ([]Event, error) {
	if c.Verb == "" {
		c.Verb = VerbEditRecord
	}
	return w.decideAs(p, c)
}

func TestDraftRecord_RepeatsTheTimeline(t *testing.T) {
	w := newFixture(t)
	w.must("eng1", Command{Verb: VerbOpen, Title: "a key leaked", Severity: Sev2})
	for _, name := range []string{"root_cause", "contributing_factors", "what_was_done", "impact", "what_will_detect_it", "what_will_prevent_it"} {
		if d := w.draftOf(name); d.Text != "" || d.Missing == "" {
			t.Errorf("%s without material: got %+v, want only what is missing", name, d)
		}
	}
	w.must("", Command{Verb: VerbAttach, Alert: &AlertRef{Alert: 1, Source: "sentry", Kind: "sentry.issue", Title: "AccessDenied", At: start}})
	w.must("eng1", Command{Verb: VerbAcknowledge})
	w.must("eng1", Command{Verb: VerbSetFact, Fact: &FactChange{Name: FactPersonalData, Value: "confirmed"}, Text: "names in the log"})
	w.must("eng1", Command{Verb: VerbSetFact, Fact: &FactChange{Name: FactAffected, Affected: &Affected{Who: "Example SA", Capacity: Processor, Count: 12}}, Text: "the log"})
	w.must("eng1", Command{Verb: VerbContain, Text: "the key is inactive"})
	w.must("eng1", Command{Verb: VerbAddAction, Action: &Action{Kind: ActionDetection, Title: "alarm on old keys", Owner: "sec1", Due: start.AddDate(0, 0, 9)}})
	for name, want := range map[string][]string{
		"summary":             {"INC-7 (“a key leaked”) was opened on 2026-11-24", "by Name of eng1", "severity is sev2", "contained on"},
		"impact":              {"Personal data is involved.", "Affected: “Example SA”, 12 people, we are processor, not notified."},
		"what_was_done":       {"Name of eng1 acknowledged the incident", "commanded the response", "contained the incident on", "“the key is inactive”"},
		"what_detected_it":    {"The first alert came from Sentry", "“AccessDenied”", "Name of eng1 reported the incident"},
		"what_will_detect_it": {"Name of sec1: “alarm on old keys”, due on 2026-12-03"},
	} {
		for _, part := range want {
			if got := w.draftOf(name).Text; !strings.Contains(got, part) {
				t.Errorf("%s: got %q, want it to contain %q", name, got, part)
			}
		}
	}
	for _, name := range []string{"root_cause", "contributing_factors", "what_will_prevent_it"} {
		if d := w.draftOf(name); d.Text != "" {
			t.Errorf("%s: got the draft %q, want none", name, d.Text)
		}
	}
}

// A draft reaches every reader of the record, so a text for legal and security only is in
// none.
func TestDraftRecord_KeepsPrivilegedTexts(t *testing.T) {
	w := fixtureIn(t, Active)
	const canary = "counsel suspects an insider"
	w.must("eng1", Command{Verb: VerbSetFact, Fact: &FactChange{Name: FactAffected, Affected: &Affected{Who: canary, Capacity: Processor}}, Text: canary, Audience: AudienceLegalSecurity})
	w.must("eng1", Command{Verb: VerbContain, Text: canary, Audience: AudienceLegalSecurity})
	for _, d := range DraftRecord(w.inc, w.events, w.dir) {
		if strings.Contains(d.Text, canary) || strings.Contains(d.Text, Withheld) {
			t.Errorf("%s: got %q, want no privileged text", d.Name, d.Text)
		}
	}
	if got := w.draftOf("what_was_done").Text; !strings.Contains(got, "contained the incident on") {
		t.Errorf("got %q, want the containment without its text", got)
	}
}

func TestDraftRecord_IsBounded(t *testing.T) {
	w := fixtureIn(t, Active)
	hostile := strings.Repeat("*<!channel>* \u202e\n```", 200)
	for n := range 40 {
		w.must("eng1", Command{Verb: VerbAddAction, Action: &Action{Kind: ActionPrevention, Title: fmt.Sprint(n, " ", hostile[:150]), Owner: "sec1", Due: start.AddDate(0, 0, 9)}})
		w.must("eng1", Command{Verb: VerbSetFact, Fact: &FactChange{Name: FactAffected, Affected: &Affected{Who: fmt.Sprint(n, hostile), Capacity: Processor}}, Text: hostile})
	}
	w.must("eng1", Command{Verb: VerbContain, Text: hostile})
	for _, d := range DraftRecord(w.inc, w.events, w.dir) {
		if n := utf8.RuneCountInString(d.Text); n > maxDraft || strings.Contains(d.Text, "\n") {
			t.Errorf("%s: got %d characters, want one line of at most %d", d.Name, n, maxDraft)
		}
	}
	if got := w.draftOf("what_will_prevent_it").Text; !strings.Contains(got, "The timeline has") {
		t.Errorf("got %q, want to read that it goes on", got)
	}
}

func TestEditRecord_ConfirmsDrafts(t *testing.T) {
	w := fixtureIn(t, Resolved)
	w.inc.Record = ClosingRecord{}
	want := w.draftOf("summary").Text
	seen := w.inc.Head.Seq
	events, err := w.editRecord("eng1", Command{Confirm: []string{"summary", "impact"}, Record: map[string]string{"impact": "twelve people"}, Seen: seen})
	if err != nil {
		t.Fatal(err)
	}
	if got := w.inc.Record; got.Summary != want || got.Impact != "twelve people" || got.ConfirmedParts() != 2 {
		t.Errorf("got %+v, want the draft of the summary and the typed impact", got)
	}
	if got, _ := events[0].Sentence(); got.String() != "eng1 edited the closing record: [impact]. Drafts confirmed: [summary]" {
		t.Errorf("got sentence %q", got)
	}
	if by, at, ok := PartEdit(w.events, "summary"); by != "eng1" || !at.Equal(events[0].RecordedAt) || !ok {
		t.Errorf("got %s at %s, want who confirmed the part and when", by, at)
	}
	if _, err := w.editRecord("eng2", Command{Confirm: []string{"summary"}}); err != nil || w.inc.Record.Summary != want {
		t.Errorf("second confirmation: got %v and %q, want no change", err, w.inc.Record.Summary)
	}
}

func TestEditRecord_RefusesUnseenChanges(t *testing.T) {
	tests := []struct {
		name, field, want string
		command           Command
	}{
		{"text over the text of another person", "impact", "Name of eng2 changed impact at", Command{Record: map[string]string{"impact": "mine", "root_cause": "mine"}}},
		{"draft that another person replaced", "confirm", "Untick impact", Command{Confirm: []string{"impact"}}},
		{"draft that changed", "confirm", "the draft of prevention changed after you opened the form", Command{Confirm: []string{"what_will_prevent_it"}}},
		{"no draft", "confirm", "there is no draft of root cause", Command{Confirm: []string{"root_cause"}}},
		{"field without draft", "confirm", "is not a part", Command{Confirm: []string{"audience"}}},
		{"submission", "impact", "Copy your text", Command{Verb: VerbSubmit, Record: map[string]string{"impact": "mine"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := fixtureIn(t, Resolved)
			w.inc.Record = ClosingRecord{}
			test.command.Seen = w.inc.Head.Seq
			if _, err := w.editRecord("eng2", Command{Record: map[string]string{"impact": "theirs"}}); err != nil {
				t.Fatal(err)
			}
			w.must("eng1", Command{Verb: VerbAddAction, Action: &Action{Kind: ActionPrevention, Title: "short keys", Owner: "eng1", Due: start.AddDate(0, 0, 9)}})
			before := w.inc.Record
			_, err := w.editRecord("eng1", test.command)
			var refused *Error
			if !errors.As(err, &refused) || refused.Field != test.field || !strings.Contains(refused.Error(), test.want) {
				t.Fatalf("got %v, want an error of %s with %q", err, test.field, test.want)
			}
			if w.inc.Record != before {
				t.Errorf("got record %+v, want nothing saved", w.inc.Record)
			}
		})
	}
	t.Run("a cleared field keeps the text of the other person", func(t *testing.T) {
		w := fixtureIn(t, Resolved)
		w.inc.Record = ClosingRecord{}
		seen := w.inc.Head.Seq
		if _, err := w.editRecord("eng2", Command{Record: map[string]string{"impact": "theirs"}}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.editRecord("eng1", Command{Record: map[string]string{"impact": "", "root_cause": "mine"}, Seen: seen}); err != nil {
			t.Fatal(err)
		}
		if got := w.inc.Record; got.Impact != "theirs" || got.RootCause != "mine" {
			t.Errorf("got %+v, want both texts", got)
		}
	})
}

func TestSubmit_ListsUnconfirmedParts(t *testing.T) {
	w := fixtureIn(t, Resolved)
	w.inc.Record = ClosingRecord{Summary: "s", Audience: AudienceAll, Language: "en"}
	_, err := w.editRecord("eng1", Command{Verb: VerbSubmit})
	var refused *Error
	if !errors.As(err, &refused) || refused.Field != "impact" {
		t.Fatalf("got %v, want an error of the first part", err)
	}
	for _, part := range []string{"impact", "root cause", "response", "detection", "future detection", "prevention", "record confirm PART"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got %q, want it to name %s", err, part)
		}
	}
}

// TestRecord_OnlyConfirmedTexts gives random commands about the record. A part has a text
// only if a person wrote or confirmed it, never loses the text of a person who was not
// seen, and no submission has a part without either.
func TestRecord_OnlyConfirmedTexts(t *testing.T) {
	parts := RecordParts()
	rapid.Check(t, func(rt *rapid.T) {
		w := fixtureIn(t, Resolved)
		w.inc.Record = ClosingRecord{Audience: AudienceAll, Language: "en"}
		model := map[string]string{}
		changed := map[string]int{}
		for n := range rapid.IntRange(1, 12).Draw(rt, "commands") {
			w.now = w.now.Add(time.Minute)
			c := Command{Record: map[string]string{}, Seen: rapid.IntRange(0, w.inc.Head.Seq).Draw(rt, "seen")}
			for _, p := range parts {
				switch rapid.IntRange(0, 5).Draw(rt, p.Name) {
				case 0:
					c.Record[p.Name] = fmt.Sprint("text ", n)
				case 1:
					c.Confirm = append(c.Confirm, p.Name)
				}
			}
			if rapid.IntRange(0, 3).Draw(rt, "submit") == 0 {
				c.Verb = VerbSubmit
			}
			drafts := DraftRecord(w.inc, w.events, w.dir)
			before := w.inc.Head.Seq
			if _, err := w.editRecord("eng1", c); err != nil {
				continue
			}
			for k, p := range parts {
				text, edited := c.Record[p.Name]
				if !edited && slices.Contains(c.Confirm, p.Name) && model[p.Name] == "" {
					text, edited = drafts[k].Text, true
				}
				if edited && text != model[p.Name] {
					if c.Seen > 0 && changed[p.Name] > c.Seen {
						rt.Fatalf("%s was overwritten by a person who saw event %d, it changed at %d", p.Name, c.Seen, changed[p.Name])
					}
					model[p.Name], changed[p.Name] = text, before+1
				}
				if got := w.inc.Record.Get(p.Name); got != model[p.Name] {
					rt.Fatalf("%s: got %q, want %q", p.Name, got, model[p.Name])
				}
				if w.inc.Submission != nil && p.Required && model[p.Name] == "" {
					rt.Fatalf("submitted without %s", p.Name)
				}
			}
			if w.inc.Submission != nil {
				return
			}
		}
	})
}

// TestDraft_OnePerson counts a single affected person in the draft and in the timeline.
func TestDraft_OnePerson(t *testing.T) {
	w := newFixture(t)
	w.must("eng1", Command{Verb: VerbOpen, Title: "a key leaked", Severity: Sev2})
	events := w.decided("eng1", Command{Verb: VerbSetFact, Fact: &FactChange{Name: FactAffected, Affected: &Affected{Who: "Eva", Capacity: Controller, Count: 1}}, Text: "the log"})
	if sentence, _ := events[0].Sentence(); !strings.HasSuffix(sentence.String(), "(we are the controller), 1 person") {
		t.Errorf("timeline: got %q", sentence)
	}
	if got := w.draftOf("impact").Text; !strings.Contains(got, "Affected: “Eva”, 1 person, we are controller") {
		t.Errorf("draft: got %q", got)
	}
}
