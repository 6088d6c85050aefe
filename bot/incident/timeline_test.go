package incident

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestVerifyFindsWhatWasDone(t *testing.T) {
	w := given(t, Closed)
	if faults := Verify(7, w.events, w.inc.Head); len(faults) != 0 {
		t.Fatalf("an honest chain: %v", faults)
	}
	another := newWorld(t)
	another.inc = New(8)
	another.open()
	reseal := func(events []Event, id ID) []Event { // without the kept head
		head := Genesis(id)
		out := slices.Clone(events)
		for n := range out {
			out[n].Hash = chainHash(head, out[n])
			head = Head{out[n].Seq, out[n].Hash}
		}
		return out
	}
	for name, tamper := range map[string]func(e []Event) []Event{
		"a changed field": func(e []Event) []Event { e[4].Fields = map[string]string{"round": "9"}; return e },
		"a changed text": func(e []Event) []Event {
			e[0].Texts = map[string]Text{"title": changed(e[0].Texts["title"], "harmless")}
			return e
		},
		"a changed commitment": func(e []Event) []Event {
			e[0].Texts = map[string]Text{"title": {Commitment: strings.Repeat("0", 64)}}
			return e
		},
		"a text changed, and its salt thrown away": func(e []Event) []Event {
			e[0].Texts = map[string]Text{"title": {Value: "harmless", Commitment: e[0].Texts["title"].Commitment}}
			return e
		},
		"a text gone that nobody erased": func(e []Event) []Event {
			e[0].Texts = map[string]Text{"title": {Commitment: e[0].Texts["title"].Commitment}}
			return e
		},
		"another author":   func(e []Event) []Event { e[4].By = "sec1"; return e },
		"another time":     func(e []Event) []Event { e[4].HappenedAt = e[4].HappenedAt.Add(time.Second); return e },
		"another audience": func(e []Event) []Event { e[4].Audience = AudienceAll; return e },
		"a removed event":  func(e []Event) []Event { return slices.Delete(e, 3, 4) },
		"a removed event, renumbered": func(e []Event) []Event {
			e = slices.Delete(e, 3, 4)
			for n := range e {
				e[n].Seq = n + 1
			}
			return e
		},
		"an inserted event":          func(e []Event) []Event { return slices.Insert(e, 3, e[2]) },
		"reordered events":           func(e []Event) []Event { e[3], e[4] = e[4], e[3]; return e },
		"a cut tail":                 func(e []Event) []Event { return e[:len(e)-1] },
		"everything cut":             func([]Event) []Event { return nil },
		"recomputed without the key": func(e []Event) []Event { e[4].By = "sec1"; return reseal(e, 7) },
		"another incident's chain":   func([]Event) []Event { return another.events },
	} {
		if faults := Verify(7, tamper(slices.Clone(w.events)), w.inc.Head); len(faults) == 0 {
			t.Errorf("%s was not noticed", name)
		}
	}
}

func changed(t Text, value string) Text { t.Value = value; return t }

func TestAnErasedTextLeavesTheChainWhole(t *testing.T) {
	w := given(t, Active)
	w.must("eng1", Command{Verb: VerbNote, Text: "Jane Roe, +33 6 12 34 56 78"})
	seq := w.inc.Head.Seq
	w.refused("eng1", Command{Verb: VerbErase, Text: "x", Erase: []TextRef{{seq, "text"}}}, CodeForbidden)
	w.must("sec1", Command{Verb: VerbErase, Text: "personal", Erase: []TextRef{{seq, "text"}}})
	w.refused("sec2", Command{Verb: VerbErase, Erase: []TextRef{{seq, "text"}}}, CodeConflict)
	w.must("leg1", Command{Verb: VerbErase, Erase: []TextRef{{seq, "text"}}})
	if last := w.events[len(w.events)-1]; last.Kind != EventErased {
		t.Fatal(last.Kind)
	}
	w.events[seq-1].Texts = map[string]Text{"text": {Commitment: w.events[seq-1].Texts["text"].Commitment}}
	if faults := Verify(7, w.events, w.inc.Head); len(faults) != 0 {
		t.Errorf("%v", faults)
	}
	for ref, forged := range map[string]Text{"text": {Value: "harmless", Commitment: w.events[seq-1].Texts["text"].Commitment}, "reason": {}} {
		events, at := slices.Clone(w.events), seq-1
		if ref == "reason" { // of the proposal: nobody erased that one
			at++
			forged.Commitment = events[at].Texts[ref].Commitment
		}
		events[at].Texts = map[string]Text{ref: forged}
		if faults := Verify(7, events, w.inc.Head); len(faults) == 0 {
			t.Errorf("%s: an erasure covers more than it names", ref)
		}
	}
	folded := Fold(7, w.events)
	folded.Title = w.inc.Title
	sameIncident(t, folded, w.inc)
}

func TestCanonicalJSON(t *testing.T) {
	// RFC 8785, section 3.2.2 and 3.2.3, without its floating point numbers.
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
	page := func(w *world, route int) Command {
		return Command{Verb: VerbPage, Round: w.inc.Paging.Round, EscalationStep: route}
	}
	t.Run("routes follow each other, then a new round", func(t *testing.T) {
		w := given(t, Triage)
		w.must("", page(w, 0))
		w.must("", Command{Verb: VerbPageFailed, Round: 1, EscalationStep: 0, Text: "500"})
		if w.inc.Paging.EscalationStep != 1 {
			t.Fatal("the next route does not go at once")
		}
		if events, _ := w.as("", Command{Verb: VerbPageFailed, Round: 1, EscalationStep: 0, Text: "500"}); len(events) != 0 {
			t.Error("a second failure of one route was said again")
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
	t.Run("no page starts once somebody has it", func(t *testing.T) {
		w := given(t, Triage)
		w.refused("out1", Command{Verb: VerbAcknowledge}, CodeForbidden)
		w.must("eng2", Command{Verb: VerbAcknowledge})
		if w.inc.Commander != "eng2" {
			t.Error(w.inc.Commander)
		}
		w.refused("", page(w, 0), CodeConflict)
		if events, err := w.as("eng3", Command{Verb: VerbAcknowledge}); len(events) != 0 || err != nil {
			t.Error("acknowledged twice")
		}
	})
	t.Run("raised, it pages anew; lowered, it does not", func(t *testing.T) {
		w := given(t, Active)
		w.must("eng1", Command{Verb: VerbSetSeverity, Severity: Sev3})
		w.refused("", page(w, 0), CodeConflict)
		w.must("eng1", Command{Verb: VerbSetSeverity, Severity: Sev1})
		w.must("", page(w, 0))
	})
	t.Run("the acknowledgement lapses, at sev1 and sev2 alone", func(t *testing.T) {
		w := given(t, Active)
		w.now = w.now.Add(25 * time.Minute)
		w.must("eng1", Command{Verb: VerbNote, Text: "still at it"})
		w.now = w.now.Add(25 * time.Minute)
		w.must("eng2", Command{Verb: VerbNote, Text: "somebody else"})
		if events, _ := w.as("", Command{Verb: VerbAckTimeout}); len(events) != 0 {
			t.Fatal("lapsed too early")
		}
		w.now = w.now.Add(5 * time.Minute)
		w.must("", Command{Verb: VerbAckTimeout})
		if !w.inc.NeedsPage() || w.inc.Commander != "" || w.inc.Paging.Round != 2 {
			t.Errorf("%+v", w.inc.Paging)
		}
		w = given(t, Active)
		w.must("eng1", Command{Verb: VerbSetSeverity, Severity: Sev3})
		w.now = w.now.AddDate(0, 0, 1)
		if events, _ := w.as("", Command{Verb: VerbAckTimeout}); len(events) != 0 {
			t.Error("a sev3 lapsed")
		}
	})
	t.Run("a quiet severity wakes nobody, until it is raised", func(t *testing.T) {
		w := newWorld(t)
		w.policy.NoPageFrom = Sev4
		w.must("eng1", Command{Verb: VerbOpen, Title: "a report", Severity: Sev4})
		if w.inc.NeedsPage() || w.inc.Paging.Round != 0 {
			t.Fatalf("%+v", w.inc.Paging)
		}
		w.refused("", page(w, 0), CodeConflict)
		w.must("eng1", Command{Verb: VerbSetSeverity, Severity: Sev3})
		if !w.inc.NeedsPage() {
			t.Error("raised, and nobody is paged")
		}
	})
	t.Run("reopened, it pages anew", func(t *testing.T) {
		w := given(t, Closed)
		w.must("eng1", Command{Verb: VerbReopen, Text: "it is back"})
		if !w.inc.NeedsPage() || w.inc.Submission != nil || len(w.inc.Signatures) != 0 {
			t.Errorf("%+v", w.inc.Paging)
		}
	})
}

func TestDismissalTakesTwoWhereItIsGrave(t *testing.T) {
	w := given(t, Active)
	w.refused("eng1", Command{Verb: VerbDismiss}, CodeInvalid)
	w.must("eng1", Command{Verb: VerbDismiss, Text: "a drill"})
	w.refused("eng1", Command{Verb: VerbDismiss, Text: "really"}, CodeConflict)
	w.refused("eng2", Command{Verb: VerbDismiss, Text: "really"}, CodeForbidden)
	w.must("sec2", Command{Verb: VerbDismiss})
	if w.inc.Status != Dismissed || w.inc.Dismissal.By != "eng1" || w.inc.Dismissal.Second != "sec2" {
		t.Errorf("%+v", w.inc.Dismissal)
	}
	w = given(t, Active) // opened as sev2: grading it lower does not make it a matter for one alone
	w.must("eng1", Command{Verb: VerbSetSeverity, Severity: Sev4})
	w.must("eng1", Command{Verb: VerbSetFact, Text: "only our own", Fact: &FactChange{Name: FactPersonalData, Value: "no"}})
	w.must("eng1", Command{Verb: VerbDismiss, Text: "a drill"})
	if w.inc.Status != Active || w.inc.Dismissal == nil {
		t.Error(w.inc.Status)
	}
	w = newWorld(t)
	w.must("eng1", Command{Verb: VerbOpen, Title: "a probe", Severity: Sev4})
	w.must("eng1", Command{Verb: VerbSetFact, Text: "only our own", Fact: &FactChange{Name: FactPersonalData, Value: "no"}})
	w.must("eng1", Command{Verb: VerbDismiss, Text: "a drill"})
	if w.inc.Status != Dismissed {
		t.Error(w.inc.Status)
	}
}

func TestSuspectedPersonalDataCallsAtOnce(t *testing.T) {
	w := given(t, Active)
	if w.inc.MayRead(w.dir, "leg1", w.now) || w.inc.MayRead(w.dir, "out1", w.now) {
		t.Error("a restricted incident is open")
	}
	w.refused("eng1", Command{Verb: VerbSetFact, Fact: &FactChange{Name: FactPersonalData, Value: "suspected"}}, CodeInvalid)
	w.must("eng1", Command{Verb: VerbSetFact, Text: "rows in the log", Fact: &FactChange{Name: FactPersonalData, Value: "suspected"}})
	if fmt.Sprint(w.inc.InvolvedDepartments) != "[legal communications dpo]" || !w.inc.MayRead(w.dir, "leg1", w.now) || w.inc.MayRead(w.dir, "pay1", w.now) {
		t.Errorf("called %v", w.inc.InvolvedDepartments)
	}
	w.must("eng1", Command{Verb: VerbGrant, Person: "pay1", Text: "owns the table"})
	if !w.inc.MayRead(w.dir, "pay1", w.now) {
		t.Error("access was granted and is not there")
	}
}

func TestWhoMaySpeakAtAll(t *testing.T) {
	w := given(t, Active)
	env := Env{Now: w.now, Directory: w.dir, Policy: w.policy}
	if _, err := Decide(Command{Verb: VerbNote, Text: "x", By: Identity{ProviderSlack, "U99"}}, w.inc, env); CodeOf(err) != CodeForbidden {
		t.Errorf("a handle that is nobody: %v", err)
	}
	w.refused("out1", Command{Verb: VerbNote, Text: "x"}, CodeForbidden)
	w.refused("", Command{Verb: VerbSign}, CodeForbidden)
	w.refused("", Command{Verb: VerbAcknowledge}, CodeForbidden)
	w.refused("eng1", Command{Verb: VerbPaged}, CodeForbidden)
	w.refused("eng1", Command{Verb: VerbNote, Text: strings.Repeat("x", MaxText+1)}, CodeInvalid)
	w.refused("eng1", Command{Verb: VerbNote, Text: "x", HappenedAt: w.now.Add(time.Hour)}, CodeInvalid)
	if _, err := w.as("nobody", Command{Verb: "fly"}); err == nil {
		t.Error("a verb that is none")
	}
}
