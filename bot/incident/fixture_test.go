package incident

import (
	"crypto/sha256"
	"encoding/json"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// fixture is one company with one incident and a clock that the test sets.
type fixture struct {
	t      tester
	dir    Directory
	policy Policy
	now    time.Time
	inc    Incident
	events []Event
	salts  int

	restores []Restore
}

// administrator gives a command as an administrator whom the configuration does not
// list under people.
const administrator PersonID = "administrator"

var start = time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)

func testDirectory() Directory {
	names := []PersonID{"eng1", "eng2", "eng3", "eng4", "sec1", "sec2", "leg1", "leg2", "com1", "com2", "pay1", "pay2", "out1"}
	var d Directory
	team := map[Department][]PersonID{Engineering: {"eng1", "eng2", "eng3", "eng4"}, Security: {"sec1", "sec2"},
		Legal: {"leg1", "leg2"}, Communications: {"com1", "com2"}, "payments": {"pay1", "pay2"}}
	for _, n := range names {
		d.People = append(d.People, Person{ID: n, Name: "Name of " + string(n), Identities: []Identity{{ProviderSlack, "U" + string(n)}},
			Responder: n[:3] == "eng" || n[:3] == "sec"})
	}
	for _, name := range append(RequiredDepartments(), "payments", "operations") {
		t := Team{Name: name}
		for _, p := range team[name] {
			t.Members = append(t.Members, Membership{Person: p})
		}
		d.Teams = append(d.Teams, t)
	}
	return d
}

func newFixture(t tester) *fixture {
	return &fixture{t: t, dir: testDirectory(), now: start, inc: New(7),
		policy: Policy{EscalateAfter: 5 * time.Minute, AckTimeout: 30 * time.Minute, EscalationSteps: 3, TimeZone: "Europe/Paris", Language: "en"}}
}

func (w *fixture) salt() []byte {
	w.salts++
	sum := sha256.Sum256([]byte{byte(w.salts), byte(w.salts >> 8)})
	return sum[:]
}

// decideAs gives a command as a person, or as the bot if p is empty, and applies its
// events.
func (w *fixture) decideAs(p PersonID, cmd Command) ([]Event, error) {
	env := Env{Now: w.now, Actor: p, System: p == "", Directory: w.dir, Policy: w.policy, Restores: w.restores}
	if p == administrator {
		env.Actor, env.Administrator, cmd.By = "", true, Identity{ProviderLocal, "root"}
	}
	if cmd.NeedsTimeline() {
		env.Timeline = w.events
	}
	cmd.For, cmd.Auth = w.inc.ID, "test"
	if cmd.Via == "" {
		cmd.Via = ViaSlack
	}
	before := w.stateJSON()
	events, err := Decide(cmd, w.inc, env)
	w.commit(events)
	w.requireUnchanged(before)
	w.requireStorable()
	return events, err
}

// stateJSON returns the state that the next command decides about.
func (w *fixture) stateJSON() state {
	return state{w.inc, toJSON(w.t, w.inc)}
}

// state is an incident with its JSON at one time.
type state struct {
	inc  Incident
	json string
}

// requireUnchanged fails if a decision or an event changed an incident in place. The
// store shares decoded incidents between readers.
func (w *fixture) requireUnchanged(before state) {
	w.t.Helper()
	if after := toJSON(w.t, before.inc); after != before.json {
		w.t.Fatalf("the incident was changed in place.\nbefore: %s\nafter:  %s", before.json, after)
	}
}

// requireStorable fails if the incident differs from what the store reads back. The
// store keeps incidents that it saved, and a reader must not see which one it got.
func (w *fixture) requireStorable() {
	w.t.Helper()
	var read Incident
	if err := json.Unmarshal([]byte(toJSON(w.t, w.inc)), &read); err != nil {
		w.t.Fatalf("decode: %v", err)
	}
	diff := cmp.Diff(w.inc, read, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b time.Time) bool { return a == b }))
	if (read.Privileged == nil) != (w.inc.Privileged == nil) || diff != "" {
		w.t.Fatalf("the incident read back differs (-saved +read):\n%s", diff)
	}
}

func toJSON(t tester, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	return string(data)
}

// commit seals and applies events, as the desk does.
func (w *fixture) commit(events []Event) {
	for _, e := range events {
		e, _ = Seal(w.inc.Head, e, w.salt)
		checkFields(w.t, e)
		w.inc = Apply(w.inc, e)
		w.events = append(w.events, e)
	}
	w.now = w.now.Add(time.Second)
}

func (w *fixture) must(p PersonID, cmd Command) {
	w.t.Helper()
	if events, err := w.decideAs(p, cmd); err != nil || len(events) == 0 {
		w.t.Fatalf("%s by %q in %s: %d events, %v", cmd.Verb, p, w.inc.Status, len(events), err)
	}
}

func (w *fixture) mustFail(p PersonID, cmd Command, code Code) {
	w.t.Helper()
	before := w.inc.Head
	if _, err := w.decideAs(p, cmd); CodeOf(err) != code {
		w.t.Fatalf("%s by %q in %s: got %v, want an error %q", cmd.Verb, p, w.inc.Status, err, code)
	}
	if w.inc.Head != before {
		w.t.Fatalf("%s by %q failed and recorded events", cmd.Verb, p)
	}
}

var fullRecord = map[string]string{"summary": "A key leaked.", "impact": "None seen.", "root_cause": "It was in a log.", "contributing_factors": "No scanner.",
	"what_was_done": "Rotated it.", "what_detected_it": "CloudTrail.", "what_will_detect_it": "A rule.", "what_will_prevent_it": "A scanner.", "audience": "all", "language": "en"}

var requiredActions = []Action{
	{Kind: ActionDetection, Title: "Alert on new keys", Owner: "sec1", Due: start.AddDate(0, 1, 0)},
	{Kind: ActionPrevention, Title: "Scan logs", Owner: "eng1", Due: start.AddDate(0, 1, 0)},
}

var testRun = Run{Playbook: "leaked", Title: "Leaked key", Digest: "sha256:00", Plan: []Step{{ID: "rotate", Title: "Rotate it", Role: Commander}, {ID: "look", Title: "Look"}}}

func (w *fixture) open() {
	w.must("", Command{Verb: VerbOpen, Title: "StopLogging by root", Severity: Sev2, Runs: []Run{testRun},
		Alert: &AlertRef{Alert: 1, Source: "cloudtrail", Kind: "cloudtrail.StopLogging", Title: "StopLogging", At: start}})
}

func (w *fixture) signAll() {
	for team, p := range map[Department]PersonID{Engineering: "eng2", Security: "sec1", Legal: "leg1", Communications: "com1"} {
		w.must(p, Command{Verb: VerbSign, Department: team, Expect: w.inc.Submission.Digest})
	}
}

// fixtureIn returns a fixture whose incident reached a status by ordinary commands.
func fixtureIn(t tester, s Status) *fixture {
	w := newFixture(t)
	w.open()
	if s == Triage {
		return w
	}
	w.must("eng1", Command{Verb: VerbAcknowledge})
	steps := []struct {
		to Status
		do func()
	}{
		{Active, func() {}},
		{Contained, func() { w.must("eng1", Command{Verb: VerbContain, Text: "key disabled"}) }},
		{Resolved, func() { w.must("eng1", Command{Verb: VerbResolve, Text: "all restored"}) }},
		{InReview, func() { w.must("eng1", Command{Verb: VerbSubmit, Record: fullRecord}) }},
		{Approved, func() {
			w.signAll()
			w.must("", Command{Verb: VerbPostmortemWritten, Document: w.inc.Submission.Digest, Revision: 1})
		}},
		{Closed, func() {
			w.must("sec1", Command{Verb: VerbConclude, Attendance: []PersonID{"sec1", "eng1"}, Text: "we learned", Reason: "all are here", Actions: requiredActions})
		}},
	}
	switch s {
	case Dismissed:
		w.must("eng1", Command{Verb: VerbDismiss, Text: "a drill"})
		w.must("sec1", Command{Verb: VerbDismiss})
	case Merged:
		target := newFixture(t)
		target.inc = New(8)
		target.open()
		env := Env{Now: w.now, Actor: "eng1", Directory: w.dir, Policy: w.policy}
		mine, theirs, err := DecideMerge(Command{Verb: VerbMerge, For: 7, Target: 8, Text: "duplicate"}, w.inc, target.inc, env)
		if err != nil || len(theirs) == 0 {
			t.Fatal(err)
		}
		w.commit(mine)
	default:
		for _, step := range steps {
			step.do()
			if step.to == s {
				break
			}
		}
	}
	if w.inc.Status != s {
		t.Fatalf("got an incident in %s, want %s", w.inc.Status, s)
	}
	return w
}

// requireEqual compares two incidents by their JSON, which the store saves.
func requireEqual(t tester, a, b Incident) {
	t.Helper()
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	if string(x) != string(y) {
		t.Fatalf("got  %s\nwant %s", x, y)
	}
}

// tester is the part of testing.TB that rapid.T implements.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}
