package incident

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite testdata/lifecycle.golden")

// step is one command with its author.
type step struct {
	by  PersonID
	cmd Command
}

// factCommand returns a command that sets a fact.
func factCommand(name FactName, value string) Command {
	return Command{Verb: VerbSetFact, Text: "seen in the logs", Fact: &FactChange{Name: name, Value: value}}
}

// lifecycleCommands returns a story with every verb except dismiss and merge.
func lifecycleCommands(w *fixture) []step {
	at := func(s string) string { return "2026-11-24T" + s + "Z" }
	sign := func(by PersonID, team Department) step {
		return step{by, Command{Verb: VerbSign, Department: team, Expect: "current"}}
	}
	second := Run{Playbook: "data", Title: "Data", Digest: "sha256:01", Plan: []Step{{ID: "count", Title: "Count", Status: StepDone}}, Consult: []ConsultRequest{{Team: "payments", Blocking: true}}}
	return []step{
		{"out1", Command{Verb: VerbOpen, Title: " Odd \n logins ", Text: "from the forum", Severity: Sev2, Runs: []Run{testRun}, By: Identity{ProviderSlack, "Uout1"}}},
		{"", Command{Verb: VerbAttach, Alert: &AlertRef{Alert: 1, Source: "sentry", Kind: "sentry.issue", Level: LevelHigh, Title: "boom", URL: "https://x", Rule: "r", Fingerprint: "f", At: start}, Text: "trace", Severity: Sev1, Runs: []Run{second}}},
		{"", Command{Verb: VerbCount, Alert: &AlertRef{Alert: 1, Title: "boom"}, Count: 10}},
		{"", Command{Verb: VerbPage, Round: 2, EscalationStep: 0}},
		{"", Command{Verb: VerbPageFailed, Round: 1, EscalationStep: 0, Text: "late"}},
		{"", Command{Verb: VerbPaged, Round: 2, EscalationStep: 0}},
		{"", Command{Verb: VerbPageFailed, Round: 2, EscalationStep: 0, Text: "500"}},
		{"", Command{Verb: VerbPageTimeout, Round: 2, EscalationStep: 1}},
		{"", Command{Verb: VerbLink, Links: map[string]string{LinkCard: "17.1", LinkChannel: "C1"}}},
		{"", Command{Verb: VerbInvited, People: []PersonID{"eng1", "pay2"}}},
		{"eng2", Command{Verb: VerbContain, Text: "blocked the range"}},
		{"eng2", Command{Verb: VerbReopen, Text: "another range"}},
		{"eng3", Command{Verb: VerbAcknowledge, Text: "mine", Severity: Sev3}},
		{"eng3", Command{Verb: VerbSetSeverity, Severity: "SEV-2", Text: "more of them"}},
		{"", Command{Verb: VerbAttach, Alert: &AlertRef{Alert: 2, Source: "sentry", Kind: "sentry.spike", Level: LevelHigh, Title: "spike", At: start}, Severity: Sev1}},
		{"eng3", Command{Verb: VerbKeepSeverity, Text: "the same range"}},
		{"eng1", Command{Verb: VerbAcknowledge}},
		{"eng2", Command{Verb: VerbAssignRole, Role: Commander, Person: "eng1", Text: "shift"}},
		{"eng1", Command{Verb: VerbAssignRole, Role: Scribe, Person: "pay2"}},
		{"eng1", factCommand(FactOccurred, at("01:00:00"))},
		{"eng1", factCommand(FactDetected, at("01:10:00"))},
		{"eng1", factCommand(FactClassified, at("01:20:00"))},
		{"eng1", Command{Verb: VerbSetFact, Text: "the call", Fact: &FactChange{Name: FactAware, Regime: " GDPR ", Value: at("01:30:00")}}},
		{"eng1", Command{Verb: VerbSetFact, Text: "the call", Fact: &FactChange{Name: FactAware, Regime: "nis2", Value: at("01:31:00")}}},
		{"eng1", factCommand(FactPersonalData, "Confirmed")},
		{"eng1", Command{Verb: VerbSetFact, Text: "their list", Fact: &FactChange{Name: FactAffected, Affected: &Affected{Who: " Acme ", Capacity: Processor, Count: 7}}}},
		{"eng1", Command{Verb: VerbSetFact, Text: "our list", Fact: &FactChange{Name: FactAffected, Affected: &Affected{Who: "Users", Capacity: Controller}}}},
		{"eng1", Command{Verb: VerbSetFact, Text: "called", Fact: &FactChange{Name: FactAffected, Affected: &Affected{Who: "Acme", Capacity: Processor, Count: 9, NotifiedAt: start}}}},
		{"eng1", Command{Verb: VerbSetFact, Fact: &FactChange{Name: FactTimeZone, Value: "America/Toronto"}}},
		{"eng1", Command{Verb: VerbSetFact, Fact: &FactChange{Name: FactLanguage, Value: "fr-CA"}}},
		{"eng1", Command{Verb: VerbEvidence, Text: "taken", Evidence: &Evidence{Name: "disk", Where: "vault", SHA256: "SHA256:" + strings.Repeat("Ab", 32)}}},
		{"eng1", Command{Verb: VerbEvidence, Evidence: &Evidence{Name: "screen"}}},
		{"eng1", Command{Verb: VerbNote, Text: "disabled it", HappenedAt: start.Add(-time.Hour), Audience: AudienceLegalSecurity}},
		{"eng1", Command{Verb: VerbUpdate, Text: "we are on it", Audience: AudienceAll}},
		{"", Command{Verb: VerbSourceNote, By: Identity{ProviderSource, "sentry"}, Text: "resolved there"}},
		{"", Command{Verb: VerbStartPlaybook, Runs: []Run{{Playbook: "third", Plan: []Step{{ID: "look"}}}}}},
		{"", Command{Verb: VerbStartStep, Step: "rotate"}},
		{"", Command{Verb: VerbStepLate, Step: "leaked/rotate"}},
		{"eng1", Command{Verb: VerbStepDone, Step: "rotate", Text: "rotated", HappenedAt: start.Add(-time.Minute)}},
		{"eng1", Command{Verb: VerbStepSkip, Step: "leaked/look", Text: "nothing there"}},
		{"eng1", Command{Verb: VerbInvolve, Department: "PAYMENTS"}},
		{"eng1", Command{Verb: VerbConsult, Department: "Engineering"}},
		{"pay1", Command{Verb: VerbAnswer, Department: "payments", Text: "no harm"}},
		{"eng1", Command{Verb: VerbGrant, Person: "out1", Text: "knows the forum"}},
		{"eng1", Command{Verb: VerbRestrict, Public: true, Text: "nothing secret"}},
		{"eng1", Command{Verb: VerbRestrict, Text: "names in it"}},
		{"", Command{Verb: VerbEffectFailed, Effect: "INC-7/3/post", Text: "gone"}},
		{"", Command{Verb: VerbEffectDropped, Effect: "INC-7/4/invite", Item: "root", Reason: "the account no longer exists"}},
		{"eng1", Command{Verb: VerbResolve, Text: "restored"}},
		{"eng1", Command{Verb: VerbEditRecord, Record: map[string]string{"summary": "Logins.", "audience": "all"}}},
		{"eng1", Command{Verb: VerbScheduleReview, When: start.AddDate(0, 0, 3), Text: "room 2"}},
		{"eng1", Command{Verb: VerbSubmit, Record: fullRecord}},
		{"leg1", Command{Verb: VerbDelegate, Department: Legal, Person: "out1", Until: start.AddDate(0, 0, 9), Text: "on leave"}},
		{"leg1", Command{Verb: VerbDelegate, Department: Legal, Person: "pay1", Until: start.AddDate(0, 0, 9)}},
		{"leg2", Command{Verb: VerbDelegate, Department: Legal, Person: "out1", Until: start.AddDate(0, 0, 5)}},
		sign("out1", Legal),
		{"com1", Command{Verb: VerbObject, Department: Communications, Text: "how many?", Expect: "current"}},
		{"eng1", Command{Verb: VerbAmend, Text: "a number", Record: map[string]string{"impact": "9 people", "language": "en-GB"}}},
		{"eng1", Command{Verb: VerbSubmit}},
		{"com2", Command{Verb: VerbObject, Department: Communications, Text: "what of the press?", Expect: "current"}},
		{"com1", Command{Verb: VerbWithdraw, Item: "o2", Text: "there is none"}},
		sign("eng2", Engineering), sign("sec1", Security), sign("com1", Communications), sign("leg1", Legal),
		{"", Command{Verb: VerbPostmortemWritten, Document: "current", Revision: 1}},
		{"", Command{Verb: VerbPostmortemShared, Revision: 1, Item: "F1"}},
		{"eng1", Command{Verb: VerbConclude, Attendance: []PersonID{"sec1", "eng1", "sec1"}, Text: "talked", Reason: "all are here", Actions: requiredActions[:1], Waiver: "nothing to prevent"}},
		{"sec1", Command{Verb: VerbWaiveActions, Text: "agreed"}},
		{"eng1", Command{Verb: VerbAddAction, Action: &requiredActions[1]}},
		{"sec1", Command{Verb: VerbFinishAction, Item: "a1", Text: "rule is live"}},
		{"eng1", Command{Verb: VerbRevise, Text: "one more", Record: map[string]string{"impact": "10 people"}}},
		sign("eng2", Engineering), sign("sec1", Security), sign("com1", Communications), sign("leg1", Legal),
		{"", Command{Verb: VerbPostmortemWritten, Document: "current", Revision: 2}},
		{"sec1", Command{Verb: VerbErase, Text: "asked to", Erase: []TextRef{{1, "text"}}}},
		{"leg1", Command{Verb: VerbErase, Erase: []TextRef{{1, "text"}}}},
	}
}

// runStory gives the commands of a story and calls see with the events of each.
func runStory(w *fixture, story []step, see func(step, []Event)) {
	w.t.Helper()
	for _, s := range story {
		if w.inc.Submission != nil && s.cmd.Expect == "current" {
			s.cmd.Expect = w.inc.Submission.Digest
		}
		if w.inc.Submission != nil && s.cmd.Document == "current" {
			s.cmd.Document = w.inc.Submission.Digest
		}
		before := len(w.events)
		w.must(s.by, s.cmd)
		see(s, w.events[before:])
	}
}

// TestLifecycle_Golden compares the events of a complete lifecycle and the final
// state with the golden file.
func TestLifecycle_Golden(t *testing.T) {
	w := newFixture(t)
	var b bytes.Buffer
	runStory(w, lifecycleCommands(w), func(s step, events []Event) {
		fmt.Fprintf(&b, "%s by %q:\n", s.cmd.Verb, s.by)
		for _, e := range events {
			fmt.Fprintf(&b, "  %d %s by %q via %s/%s for %s", e.Seq, e.Kind, e.By, e.Via, e.Auth, e.Audience)
			if !e.HappenedAt.Equal(e.RecordedAt) {
				fmt.Fprintf(&b, " happened=%s", e.HappenedAt.Format(time.TimeOnly))
			}
			for _, k := range slices.Sorted(maps.Keys(e.Fields)) {
				fmt.Fprintf(&b, " %s=%s", k, e.Fields[k])
			}
			for _, k := range slices.Sorted(maps.Keys(e.Texts)) {
				fmt.Fprintf(&b, " %s:%q", k, e.Texts[k].Value)
			}
			b.WriteByte('\n')
		}
	})
	state, _ := json.MarshalIndent(w.inc, "", " ")
	b.Write(append(state, '\n'))
	if *update {
		if err := os.WriteFile("testdata/lifecycle.golden", b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/lifecycle.golden")
	if err != nil {
		t.Fatal(err)
	}
	got, wanted := strings.Split(b.String(), "\n"), strings.Split(string(want), "\n")
	for n := range got {
		if n >= len(wanted) || got[n] != wanted[n] {
			t.Fatalf("line %d:\ngot\n%s\nwant\n%s", n+1, got[n], append(wanted, "end of file")[min(n, len(wanted))])
		}
	}
	requireEqual(t, w.inc, Fold(w.inc.ID, w.events))
	if errs := Verify(w.inc.ID, w.events, w.inc.Head); len(errs) > 0 {
		t.Errorf("got chain errors %v, want none", errs)
	}
}

// TestApply_DoesNotModifyItsArgument retains every state of a lifecycle and compares
// them with their JSON of the time at the end.
func TestApply_DoesNotModifyItsArgument(t *testing.T) {
	w := newFixture(t)
	var states []Incident
	var written []string
	runStory(w, lifecycleCommands(w), func(step, []Event) {
		j, _ := json.Marshal(w.inc)
		states, written = append(states, w.inc), append(written, string(j))
	})
	for n, s := range states {
		if j, _ := json.Marshal(s); string(j) != written[n] {
			t.Fatalf("state %d changed afterwards:\ngot  %s\nwant %s", n, j, written[n])
		}
		// The store saves the state as JSON and must not lose anything.
		var back Incident
		if err := json.Unmarshal([]byte(written[n]), &back); err != nil {
			t.Fatal(err)
		}
		requireEqual(t, s, back)
	}
}

// FuzzFold replays timelines with an event that Decide did not emit. Apply must
// accept any hostile or erased event, and its state must survive encoding.
func FuzzFold(f *testing.F) {
	w := newFixture(f)
	runStory(w, lifecycleCommands(w), func(step, []Event) {})
	for _, e := range w.events {
		fields, _ := json.Marshal(e.Fields)
		texts := map[string]string{}
		for k, v := range e.Texts {
			texts[k] = v.Value
		}
		prose, _ := json.Marshal(texts)
		f.Add(string(e.Kind), fields, prose, len(w.events)/2)
	}
	f.Fuzz(func(t *testing.T, kind string, fields, prose []byte, at int) {
		hostile := Event{Kind: EventKind(kind), By: "eng1", RecordedAt: start}
		texts := map[string]string{}
		_ = json.Unmarshal(fields, &hostile.Fields)
		_ = json.Unmarshal(prose, &texts)
		hostile.Texts = map[string]Text{}
		for k, v := range texts {
			hostile.Texts[k] = Text{Value: v}
		}
		at = min(max(at, 0), len(w.events))
		inc := Fold(7, slices.Insert(slices.Clone(w.events), at, hostile))
		var back Incident
		if j, err := json.Marshal(inc); err != nil {
			t.Fatalf("encode: %v", err)
		} else if err := json.Unmarshal(j, &back); err != nil {
			t.Fatalf("decode: %v", err)
		}
		requireEqual(t, inc, back)
		hostile.Texts = nil // erased
		Fold(7, slices.Insert(slices.Clone(w.events), at, hostile))
	})
}
