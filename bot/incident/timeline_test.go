package incident

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestVerify_DetectsTampering(t *testing.T) {
	w := fixtureIn(t, Closed)
	if errs := Verify(7, w.events, w.inc.Head); len(errs) != 0 {
		t.Fatalf("intact chain: got %v, want no errors", errs)
	}
	another := newFixture(t)
	another.inc = New(8)
	another.open()
	reseal := func(events []Event, id ID) []Event { // without the MAC of the head
		head := Genesis(id)
		out := slices.Clone(events)
		for n := range out {
			out[n].Hash = chainHash(head, out[n])
			head = Head{out[n].Seq, out[n].Hash}
		}
		return out
	}
	for name, tamper := range map[string]func(e []Event) []Event{
		"changed field": func(e []Event) []Event { e[4].Fields = map[string]string{"round": "9"}; return e },
		"changed text": func(e []Event) []Event {
			e[0].Texts = map[string]Text{"title": withValue(e[0].Texts["title"], "harmless")}
			return e
		},
		"changed commitment": func(e []Event) []Event {
			e[0].Texts = map[string]Text{"title": {Commitment: strings.Repeat("0", 64)}}
			return e
		},
		"changed text without its salt": func(e []Event) []Event {
			e[0].Texts = map[string]Text{"title": {Value: "harmless", Commitment: e[0].Texts["title"].Commitment}}
			return e
		},
		"text missing without an erasure": func(e []Event) []Event {
			e[0].Texts = map[string]Text{"title": {Commitment: e[0].Texts["title"].Commitment}}
			return e
		},
		"another author":   func(e []Event) []Event { e[4].By = "sec1"; return e },
		"another time":     func(e []Event) []Event { e[4].HappenedAt = e[4].HappenedAt.Add(time.Second); return e },
		"another audience": func(e []Event) []Event { e[4].Audience = AudienceAll; return e },
		"removed event":    func(e []Event) []Event { return slices.Delete(e, 3, 4) },
		"removed event, renumbered": func(e []Event) []Event {
			e = slices.Delete(e, 3, 4)
			for n := range e {
				e[n].Seq = n + 1
			}
			return e
		},
		"inserted event":             func(e []Event) []Event { return slices.Insert(e, 3, e[2]) },
		"reordered events":           func(e []Event) []Event { e[3], e[4] = e[4], e[3]; return e },
		"cut tail":                   func(e []Event) []Event { return e[:len(e)-1] },
		"all events cut":             func([]Event) []Event { return nil },
		"recomputed without the key": func(e []Event) []Event { e[4].By = "sec1"; return reseal(e, 7) },
		"another incident's chain":   func([]Event) []Event { return another.events },
	} {
		if errs := Verify(7, tamper(slices.Clone(w.events)), w.inc.Head); len(errs) == 0 {
			t.Errorf("%s: got no chain errors, want some", name)
		}
	}
}

func withValue(t Text, value string) Text { t.Value = value; return t }

func TestVerify_AcceptsErasedText(t *testing.T) {
	w := fixtureIn(t, Active)
	w.must("eng1", Command{Verb: VerbNote, Text: "Jane Roe, +33 6 12 34 56 78"})
	seq := w.inc.Head.Seq
	w.mustFail("eng1", Command{Verb: VerbErase, Text: "x", Erase: []TextRef{{seq, "text"}}}, CodeForbidden)
	w.must("sec1", Command{Verb: VerbErase, Text: "personal", Erase: []TextRef{{seq, "text"}}})
	w.mustFail("sec2", Command{Verb: VerbErase, Erase: []TextRef{{seq, "text"}}}, CodeConflict)
	w.must("leg1", Command{Verb: VerbErase, Erase: []TextRef{{seq, "text"}}})
	if last := w.events[len(w.events)-1]; last.Kind != EventErased {
		t.Fatal(last.Kind)
	}
	w.events[seq-1].Texts = map[string]Text{"text": {Commitment: w.events[seq-1].Texts["text"].Commitment}}
	if errs := Verify(7, w.events, w.inc.Head); len(errs) != 0 {
		t.Errorf("after erasing: got %v, want no errors", errs)
	}
	for ref, forged := range map[string]Text{"text": {Value: "harmless", Commitment: w.events[seq-1].Texts["text"].Commitment}, "reason": {}} {
		events, at := slices.Clone(w.events), seq-1
		if ref == "reason" { // of the proposal, which is not erased
			at++
			forged.Commitment = events[at].Texts[ref].Commitment
		}
		events[at].Texts = map[string]Text{ref: forged}
		if errs := Verify(7, events, w.inc.Head); len(errs) == 0 {
			t.Errorf("%s: got no chain errors, want some for a text that was not erased", ref)
		}
	}
	folded := Fold(7, w.events)
	folded.Title = w.inc.Title
	requireEqual(t, folded, w.inc)
}

func TestCanonicalJSON(t *testing.T) {
	// RFC 8785, sections 3.2.2 and 3.2.3, without floating point numbers.
	in := map[string]any{"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One",
		"\U0001f600": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis"}
	want := "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u0080\":\"Control\",\"\u00f6\":\"Latin Small Letter O With Diaeresis\"," +
		"\"\u20ac\":\"Euro Sign\",\"\U0001f600\":\"Emoji: Grinning Face\",\"\ufb33\":\"Hebrew Letter Dalet With Dagesh\"}"
	if got := string(canonical(in)); got != want {
		t.Errorf("\n%s\n%s", got, want)
	}
	got := string(canonical([]any{"\u20ac$\u000f\nA'\u0042\u0022\u005c\\\"/<>&\u2028", nil, true, false, -7, 1 << 53}))
	if want := `["€$\u000f\nA'B\"\\\\\"/<>&` + "\u2028" + `",null,true,false,-7,9007199254740992]`; got != want {
		t.Errorf("\n%s\n%s", got, want)
	}
}

func TestPaging(t *testing.T) {
	page := func(w *fixture, step int) Command {
		return Command{Verb: VerbPage, Round: w.inc.Paging.Round, EscalationStep: step}
	}
	t.Run("escalation steps in order, then a new round", func(t *testing.T) {
		w := fixtureIn(t, Triage)
		w.must("", page(w, 0))
		w.must("", Command{Verb: VerbPageFailed, Round: 1, EscalationStep: 0, Text: "500"})
		if w.inc.Paging.EscalationStep != 1 {
			t.Fatalf("got step %d after a failed page, want 1", w.inc.Paging.EscalationStep)
		}
		if events, _ := w.decideAs("", Command{Verb: VerbPageFailed, Round: 1, EscalationStep: 0, Text: "500"}); len(events) != 0 {
			t.Error("second failure of a step: got events, want none")
		}
		w.must("", Command{Verb: VerbPageTimeout, Round: 1, EscalationStep: 1})
		w.must("", Command{Verb: VerbPageTimeout, Round: 1, EscalationStep: 2})
		if w.inc.Paging.Round != 2 || w.inc.Paging.EscalationStep != 0 {
			t.Errorf("%+v", w.inc.Paging)
		}
		if PageKey(w.inc.ID, 2) != "INC-7/2" {
			t.Error(PageKey(w.inc.ID, 2))
		}
	})
	t.Run("no page after an acknowledgement", func(t *testing.T) {
		w := fixtureIn(t, Triage)
		w.mustFail("out1", Command{Verb: VerbAcknowledge}, CodeUnknown)
		w.must("eng2", Command{Verb: VerbAcknowledge})
		if w.inc.Commander != "eng2" {
			t.Error(w.inc.Commander)
		}
		w.mustFail("", page(w, 0), CodeConflict)
		if events, err := w.decideAs("eng3", Command{Verb: VerbAcknowledge}); len(events) != 0 || err != nil {
			t.Errorf("second acknowledgement: got %d events, %v, want none", len(events), err)
		}
	})
	t.Run("raising the severity pages again, lowering does not", func(t *testing.T) {
		w := fixtureIn(t, Active)
		w.must("eng1", Command{Verb: VerbSetSeverity, Severity: Sev3})
		w.mustFail("", page(w, 0), CodeConflict)
		w.must("eng1", Command{Verb: VerbSetSeverity, Severity: Sev2}) // acknowledged at sev2
		w.mustFail("", page(w, 0), CodeConflict)
		w.must("eng1", Command{Verb: VerbSetSeverity, Severity: Sev1})
		w.must("", page(w, 0))
	})
	t.Run("back and forth pages once per acknowledged severity", func(t *testing.T) {
		w := fixtureIn(t, Active) // acknowledged at sev2
		set := func(s Severity) { w.must("eng1", Command{Verb: VerbSetSeverity, Severity: s}) }
		rounds := func(want int) {
			t.Helper()
			if w.inc.Paging.Round != want || w.inc.NeedsPage() != (want > 1 && !w.inc.Paging.Acknowledged()) {
				t.Fatalf("got %+v at %s, want round %d", w.inc.Paging, w.inc.Severity, want)
			}
		}
		for range 5 {
			set(Sev4)
			set(Sev2)
			rounds(1)
		}
		set(Sev1)
		rounds(2)
		w.must("eng2", Command{Verb: VerbAcknowledge})
		for range 5 {
			set(Sev3)
			set(Sev1)
			rounds(2)
		}
		w.must("eng1", Command{Verb: VerbSetSeverity, Severity: Sev3})
		w.now = w.now.Add(time.Hour)
		w.must("eng1", Command{Verb: VerbSetSeverity, Severity: Sev1})
		w.now = w.now.Add(time.Hour)
		w.must("", Command{Verb: VerbAckTimeout})
		rounds(3)
		set(Sev3)
		set(Sev1) // not acknowledged in round 3
		rounds(4)
	})
	t.Run("acknowledgement times out at sev1 and sev2", func(t *testing.T) {
		w := fixtureIn(t, Active)
		w.now = w.now.Add(25 * time.Minute)
		w.must("eng1", Command{Verb: VerbNote, Text: "still at it"})
		w.now = w.now.Add(25 * time.Minute)
		w.must("eng2", Command{Verb: VerbNote, Text: "another person"})
		if events, _ := w.decideAs("", Command{Verb: VerbAckTimeout}); len(events) != 0 {
			t.Fatal("acknowledgement timed out too early")
		}
		w.now = w.now.Add(5 * time.Minute)
		w.must("", Command{Verb: VerbAckTimeout})
		if !w.inc.NeedsPage() || w.inc.Commander != "" || w.inc.Paging.Round != 2 {
			t.Errorf("%+v", w.inc.Paging)
		}
		w = fixtureIn(t, Active)
		w.must("eng1", Command{Verb: VerbSetSeverity, Severity: Sev3})
		w.now = w.now.AddDate(0, 0, 1)
		if events, _ := w.decideAs("", Command{Verb: VerbAckTimeout}); len(events) != 0 {
			t.Error("acknowledgement of a sev3 timed out")
		}
	})
	t.Run("unpaged severity until it is raised", func(t *testing.T) {
		w := newFixture(t)
		w.policy.NoPageFrom = Sev4
		w.must("eng1", Command{Verb: VerbOpen, Title: "a report", Severity: Sev4})
		if w.inc.NeedsPage() || w.inc.Paging.Round != 0 {
			t.Fatalf("%+v", w.inc.Paging)
		}
		w.mustFail("", page(w, 0), CodeConflict)
		w.must("eng1", Command{Verb: VerbSetSeverity, Severity: Sev3})
		if !w.inc.NeedsPage() {
			t.Error("got no page after raising the severity, want one")
		}
	})
	t.Run("reopening pages again", func(t *testing.T) {
		w := fixtureIn(t, Closed)
		w.must("eng1", Command{Verb: VerbReopen, Text: "it is back"})
		if !w.inc.NeedsPage() || w.inc.Submission != nil || len(w.inc.Signatures) != 0 {
			t.Errorf("%+v", w.inc.Paging)
		}
	})
}

func TestDismiss_SevereNeedsSecurity(t *testing.T) {
	w := fixtureIn(t, Active)
	w.mustFail("eng1", Command{Verb: VerbDismiss}, CodeInvalid)
	w.must("eng1", Command{Verb: VerbDismiss, Text: "a drill"})
	w.mustFail("eng1", Command{Verb: VerbDismiss, Text: "really"}, CodeConflict)
	w.mustFail("eng2", Command{Verb: VerbDismiss, Text: "really"}, CodeForbidden)
	w.must("sec2", Command{Verb: VerbDismiss})
	if w.inc.Status != Dismissed || w.inc.Dismissal.By != "eng1" || w.inc.Dismissal.Second != "sec2" {
		t.Errorf("%+v", w.inc.Dismissal)
	}
	w = fixtureIn(t, Active) // opened at sev2, lowered afterwards
	w.must("eng1", Command{Verb: VerbSetSeverity, Severity: Sev4})
	w.must("eng1", Command{Verb: VerbSetFact, Text: "only our own", Fact: &FactChange{Name: FactPersonalData, Value: "no"}})
	w.mustFail("eng1", Command{Verb: VerbDismiss, Text: "a drill"}, CodeConflict) // who lowered it
	w.must("eng2", Command{Verb: VerbDismiss, Text: "a drill"})
	if w.inc.Status != Active || w.inc.Dismissal == nil {
		t.Error(w.inc.Status)
	}
	w = newFixture(t)
	w.must("eng1", Command{Verb: VerbOpen, Title: "a probe", Severity: Sev4})
	w.mustFail("eng1", Command{Verb: VerbDismiss, Text: "a drill"}, CodeInvalid)
	w.must("eng1", Command{Verb: VerbDismiss, Text: "a drill", NoPersonalData: true})
	if w.inc.Status != Dismissed || w.inc.Facts.PersonalData != PersonalNo {
		t.Error(w.inc.Status)
	}
}

func TestSetFact_PersonalDataInvolvesPrivacyTeams(t *testing.T) {
	w := fixtureIn(t, Active)
	if w.inc.MayRead(w.dir, "leg1", w.now) || w.inc.MayRead(w.dir, "out1", w.now) {
		t.Error("restricted incident: got access for legal or an outsider, want none")
	}
	w.mustFail("eng1", Command{Verb: VerbSetFact, Fact: &FactChange{Name: FactPersonalData, Value: "suspected"}}, CodeInvalid)
	w.must("eng1", Command{Verb: VerbSetFact, Text: "rows in the log", Fact: &FactChange{Name: FactPersonalData, Value: "suspected"}})
	if fmt.Sprint(w.inc.InvolvedDepartments) != "[legal communications dpo]" || !w.inc.MayRead(w.dir, "leg1", w.now) || w.inc.MayRead(w.dir, "pay1", w.now) {
		t.Errorf("got involved departments %v, want legal, communications and dpo", w.inc.InvolvedDepartments)
	}
	w.must("eng1", Command{Verb: VerbGrant, Person: "pay1", Text: "owns the table"})
	if !w.inc.MayRead(w.dir, "pay1", w.now) {
		t.Error("granted access: got no read access, want some")
	}
}

func TestDecide_Authorization(t *testing.T) {
	w := fixtureIn(t, Active)
	env := Env{Now: w.now, Directory: w.dir, Policy: w.policy}
	if _, err := Decide(Command{Verb: VerbNote, Text: "x", By: Identity{ProviderSlack, "U99"}}, w.inc, env); CodeOf(err) != CodeForbidden {
		t.Errorf("unknown identity: got %v, want forbidden", err)
	}
	w.mustFail("out1", Command{Verb: VerbNote, Text: "x"}, CodeUnknown)
	w.mustFail("", Command{Verb: VerbSign}, CodeForbidden)
	w.mustFail("", Command{Verb: VerbAcknowledge}, CodeForbidden)
	w.mustFail("eng1", Command{Verb: VerbPaged}, CodeForbidden)
	w.mustFail("eng1", Command{Verb: VerbNote, Text: strings.Repeat("x", MaxText+1)}, CodeInvalid)
	w.mustFail("eng1", Command{Verb: VerbNote, Text: "x", HappenedAt: w.now.Add(time.Hour)}, CodeInvalid)
	if _, err := w.decideAs("unknown", Command{Verb: "fly"}); err == nil {
		t.Error("unknown verb: got no error")
	}
}
