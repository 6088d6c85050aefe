package incident

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// statusMatrix is the lifecycle, written by hand and independent of Transitions.
// It maps each verb to the result of a valid command in each of the nine statuses:
// "-" is an error of the lifecycle, "!" another conflict, "." leaves the status,
// "=" is neither an event nor an error, and a letter is the new status:
// t a c r i p(approved) x(closed) d(ismissed).
var statusMatrix = map[Verb]string{
	//                  t a c r i p x d m
	VerbAcknowledge:       "a = = - - - - - -",
	VerbContain:           "c c - - - - - - -",
	VerbResolve:           "- r r - - - - - -",
	VerbEditRecord:        ". . . . - - - - -",
	VerbSubmit:            "- - - i - - - - -",
	VerbSign:              "- - - - . - - - -",
	VerbObject:            "- - - - . - - - -",
	VerbWithdraw:          "- - - - . - - - -",
	VerbAmend:             "- - - - r - - - -",
	VerbRevise:            "- - - - - i i - -",
	VerbReopen:            "- - a a a a a a -",
	VerbDismiss:           ". . . - - - - - -",
	VerbSetSeverity:       ". . . . r - - - -",
	VerbKeepSeverity:      ". . . . . - - - -",
	VerbAssignRole:        ". . . . . - - - -",
	VerbHandover:          ". . . . . - - - -",
	VerbSetFact:           ". . . . r - - - -",
	VerbEvidence:          ". . . . r - - - -",
	VerbNote:              ". . . . . . . . .",
	VerbApproveUpdate:     ". . . . . . . - -",
	VerbUpdateSent:        ". . . . . . . . .",
	VerbUpdateTimeout:     ". . . . . . - - -",
	VerbRequestAccess:     ". . . . . . . . .",
	VerbEndorseAccess:     ". . . . . . . . .",
	VerbBreakGlass:        ". . . . . . . . .",
	VerbAccessTimeout:     ". . . . . . . . .",
	VerbUpdate:            ". . . . . . . - -",
	VerbStepDone:          ". . . . - - - - -",
	VerbStepSkip:          ". . . . - - - - -",
	VerbConsult:           ". . . . . - - - -",
	VerbAnswer:            ". . . . . - - - -",
	VerbDelegate:          ". . . . . . . - -",
	VerbEndDelegation:     ". . . . . . . - -",
	VerbInvolve:           ". . . . . - - - -",
	VerbAddAction:         ". . . . . . . . -",
	VerbFinishAction:      ". . . . . . . . .",
	VerbGrant:             ". . . . . . . . .",
	VerbRestrict:          ". . . . . . . - -",
	VerbScheduleReview:    "- - - . . . - . -",
	VerbConclude:          "- - - - - x - - -",
	VerbWaiveActions:      "- - - - - . - - -",
	VerbErase:             ". . . . . . . . .",
	VerbPromote:           ". . . . r - - - -",
	VerbSetLegalHold:      ". . . . . . . . -",
	VerbReleaseLegalHold:  ". . . . . . . . .",
	VerbHere:              ". . . . . . . - -",
	VerbEvidenceHashed:    ". . . . . . . . .",
	VerbEvidenceChanged:   ". . . . . . . . .",
	VerbAbsenceTimeout:    ". . . = = = = = =",
	VerbRetry:             ". . . . . . . . .",
	VerbPageAgain:         "= . . - - - - - -", // triage pages already
	VerbRevoke:            ". . . . . . . . .",
	VerbExclude:           ". . . . . . . . .",
	VerbReadmit:           ". . . . . . . . .",
	VerbReplacement:       ". . . . . . . - -",
	VerbAttach:            ". . . . r - - - -",
	VerbCount:             ". . . . . - - - -",
	VerbSourceNote:        ". . . . . . . . .",
	VerbStartPlaybook:     ". . . . - - - - -",
	VerbStartStep:         ". . . . - - - - -",
	VerbStepLate:          ". . . . - - - - -",
	VerbPage:              ". ! ! - - - - - -", // acknowledged from active on
	VerbPaged:             ". . . . . . . . .",
	VerbPersonPaged:       ". . . . . . . . .",
	VerbPageFailed:        ". . . . . . . . .",
	VerbPageTimeout:       ". = = - - - - - -",
	VerbAckTimeout:        "= . . - - - - - -",
	VerbSeverityTimeout:   ". . . . r - - - -",
	VerbStormTimeout:      ". . . . . . . . .",
	VerbRemindSigners:     "- - - - . - - - -",
	VerbLink:              ". . . . . . . . .",
	VerbInvited:           ". . . . . . . . .",
	VerbPostmortemWritten: "- - - - - . = - -",
	VerbPostmortemShared:  "= = = = = . . = =",
	VerbReviewInvited:     ". . . . . . . . .",
	VerbChannelFound:      ". . . . . . . . .",
	VerbChannelLost:       ". . . . . . = = =",
	VerbEffectFailed:      ". . . . . . . . .",
	VerbEffectDropped:     ". . . . . . . . .",
	VerbPersonLeft:        ". . . . . . . . .",
	VerbPageRestored:      ". = = - - - - - -", // acknowledged from active on
	VerbRestored:          ". . . . . . - - -",
	VerbRepeatErasure:     ". . . . r . . . .",
	VerbDistrusted:        "= = = = = = = = =", // nothing came through it
	VerbConfirmChange:     ". . . . . . . . .",
}

var statusLetters = map[string]Status{"t": Triage, "a": Active, "c": Contained, "r": Resolved, "i": InReview, "p": Approved, "x": Closed, "d": Dismissed}

// validCommand returns a command that only the lifecycle can reject, and its author.
func validCommand(v Verb, w *fixture) (PersonID, Command) {
	c := Command{Verb: v, Text: "because"}
	by := PersonID("eng1")
	switch v {
	case VerbPageRestored, VerbRestored:
		w.restores = []Restore{{ID: 1, At: w.now, BackupAt: w.now.Add(-time.Hour), LastIncident: w.inc.ID}}
	case VerbDistrusted:
		c.Distrust = &DistrustedProvider{Provider: "slack", Names: []string{"slack"}, Since: w.now}
	case VerbConfirmChange:
		c.Item = "1"
		w.inc.DistrustedChanges = []DistrustedChange{{Seq: 1}}
	case VerbRepeatErasure:
		c.Erase = []TextRef{{1, "title"}}
	case VerbPersonLeft:
		w.must("", Command{Verb: VerbInvited, People: []PersonID{"out1"}})
		c.Person = "out1"
	case VerbUpdateTimeout:
		w.inc.UpdateDue = w.now
	case VerbApproveUpdate, VerbUpdateSent:
		by, c.Item = "com2", "U1"
		w.inc.Updates = []Update{{ID: "U1", By: "eng1", Audiences: []string{"company"}}}
	case VerbRequestAccess:
		by, w.inc.Restricted = "out1", true
	case VerbBreakGlass:
		w.inc.Restricted = true
		by = "head"
		w.dir.People = append(w.dir.People, Person{ID: "head", Name: "head"})
		w.dir.Teams = append(w.dir.Teams, Team{Name: "sales", Head: "head"})
	case VerbEndorseAccess, VerbAccessTimeout:
		w.inc.Restricted = true
		w.must("out1", Command{Verb: VerbRequestAccess, Text: "x"})
		w.inc.AccessRequests = slices.Clone(w.inc.AccessRequests)
		if v == VerbAccessTimeout {
			w.inc.AccessRequests[0].Until = w.now
		} else {
			by, c.Person = "sec1", "out1"
		}
	case VerbEditRecord, VerbRevise, VerbSubmit:
		c.Record = map[string]string{"summary": "Another summary.", "impact": "b", "root_cause": "c", "what_was_done": "d",
			"what_detected_it": "e", "what_will_detect_it": "f", "what_will_prevent_it": "g", "audience": "all", "language": "en"}
	case VerbSign, VerbObject:
		w.inc.Restricted = false
		by, c.Department = "leg2", Legal
		if w.inc.Submission != nil {
			c.Expect = w.inc.Submission.Digest
		}
	case VerbWithdraw:
		by, w.inc.Restricted = "com2", false
		if w.inc.Status == InReview {
			w.must("com2", Command{Verb: VerbObject, Department: Communications, Text: "no", Expect: w.inc.Submission.Digest})
		}
	case VerbSetSeverity:
		c.Severity = Sev1
	case VerbEvidenceHashed, VerbEvidenceChanged:
		w.inc.Evidence = append(w.inc.Evidence, Evidence{ID: "E9", Name: "auth.log", Ref: "F1"})
		c.Item, c.Document, c.Reason = "E9", strings.Repeat("ab", 32), "x"
		if v == VerbEvidenceChanged {
			c.Item, c.Reason, c.Document = "F1", EvidenceDeleted, ""
		}
	case VerbHere:
		by = "eng4"
	case VerbAbsenceTimeout:
		w.inc.Severity, w.inc.Calls = Sev2, []Call{{Person: "eng4", Cause: CalledOnCall, At: w.now.Add(-AbsenceTimeout)}}
	case VerbKeepSeverity, VerbSeverityTimeout:
		w.inc.SeverityProposal = &SeverityProposal{Severity: Sev1, Kind: "sentry.issue", Until: w.now}
	case VerbAssignRole:
		c.Role, c.Person = Scribe, "eng3"
	case VerbSetFact:
		c.Fact = &FactChange{Name: FactPersonalData, Value: "suspected"}
	case VerbEvidence:
		c.Evidence = &Evidence{Name: "log.gz", SHA256: strings.Repeat("ab", 32)}
	case VerbStepDone, VerbStepSkip, VerbStartStep, VerbStepLate:
		c.Step = "rotate"
	case VerbHandover:
		c.Person = "eng4"
	case VerbConsult:
		c.Department = "payments"
	case VerbAnswer:
		if w.inc.Status.Live() {
			w.must("eng1", Command{Verb: VerbConsult, Department: "payments"})
		}
		by, c.Department = "pay1", "payments"
		w.inc.Restricted = false
	case VerbDelegate:
		by, c.Department, c.Person, c.Until = "sec1", Security, "eng3", w.now.AddDate(0, 0, 3)
	case VerbEndDelegation:
		by, c.Department, c.Person = "sec1", Security, "eng3"
		w.inc.Restricted = false
		w.inc.Delegations = append(w.inc.Delegations, Delegation{Department: Security, From: "sec1", To: "eng3", Until: stamp(w.now.AddDate(0, 0, 3))})
	case VerbInvolve:
		c.Department = Communications
	case VerbAddAction:
		c.Action = &requiredActions[0]
	case VerbFinishAction:
		w.inc.Actions = append(w.inc.Actions, Action{ID: "A9"})
		c.Item = "a9"
	case VerbGrant:
		c.Person = "out1"
	case VerbRevoke:
		w.must("eng1", Command{Verb: VerbGrant, Person: "out1", Text: "knows the table"})
		c.Person = "out1"
	case VerbExclude, VerbReadmit:
		by, c.Person = "sec1", "eng4"
		if v == VerbReadmit {
			w.must("sec2", Command{Verb: VerbExclude, Person: "eng4", Text: "a suspect"})
		}
	case VerbReplacement:
		by, c.Department, c.Person = administrator, "operations", "out1"
	case VerbRestrict:
		c.Public = true
	case VerbScheduleReview:
		c.When = w.now.AddDate(0, 0, 7)
	case VerbConclude:
		c.Attendance, c.Reason, c.Actions = []PersonID{"eng1", "sec1"}, "all are here", requiredActions
	case VerbErase:
		by, c.Erase = "leg1", []TextRef{{1, "title"}}
		w.inc.Restricted = false
	case VerbRetry:
		c.Count = 1
	case VerbSetLegalHold, VerbReleaseLegalHold:
		by, w.inc.Restricted = "leg1", false
		if v == VerbReleaseLegalHold {
			w.inc.LegalHold = &LegalHold{By: "leg1", Reason: "the regulator asked"}
		}
	case VerbPromote:
		c.Alert = &AlertRef{Alert: 5, Kind: "sentry.issue", Title: "x"}
	case VerbAttach:
		by, c.Alert = "", &AlertRef{Alert: 5, Kind: "sentry.issue", Title: "x"}
	case VerbCount:
		by, c.Alert, c.Count = "", &AlertRef{Alert: 1}, 10
	case VerbStartPlaybook:
		c.Playbook, c.Runs = "another", []Run{{Playbook: "another", Plan: []Step{{ID: "x"}}}}
	case VerbPage, VerbPaged, VerbPageFailed, VerbPageTimeout:
		by, c.Round, c.EscalationStep = "", w.inc.Paging.Round, 0
	case VerbRemindSigners:
		by, c.Department, c.EscalationStep = "", Legal, int(SignerHead)
		for n, t := range w.dir.Teams {
			if t.Name == Legal {
				w.dir.Teams[n].Head = "leg1"
			}
		}
		for _, r := range w.inc.Requests {
			if r.Effect == EffectAskSign && r.Department == Legal {
				c.Round = r.Seq
			}
		}
	case VerbStormTimeout:
		c.Count = 12
	case VerbAckTimeout:
		w.now = w.now.AddDate(0, 0, 1)
	case VerbLink:
		c.Links = map[string]string{LinkChannel: "C1"}
	case VerbChannelLost:
		w.inc.Links = map[string]string{LinkChannel: "C9"}
		c.Item, c.Reason = "C9", ChannelArchived
	case VerbChannelFound:
		w.inc.Links, w.inc.LostChannel = map[string]string{LinkChannel: "C9"}, "C9"
		c.Item = "C9"
	case VerbInvited:
		c.People = []PersonID{"out1"}
	case VerbReviewInvited:
		c.People, c.When = []PersonID{"eng1"}, w.now.AddDate(0, 0, 1)
	case VerbPostmortemWritten, VerbPostmortemShared:
		c.Revision = 1
		if w.inc.Submission != nil {
			c.Document = w.inc.Submission.Digest
		}
		if v == VerbPostmortemWritten && w.inc.Status == Approved {
			w.inc.Postmortems = nil
		}
	}
	if v.who() == TheBot {
		by = ""
	}
	return by, c
}

func TestDecide_EveryVerbInEveryStatus(t *testing.T) {
	for v, row := range statusMatrix {
		cells := strings.Fields(row)
		if len(cells) != len(Statuses()) {
			t.Fatalf("%s: got %d cells, want one per status", v, len(cells))
		}
		for n, status := range Statuses() {
			w := fixtureIn(t, status)
			by, cmd := validCommand(v, w)
			events, err := w.decideAs(by, cmd)
			after := w.inc.Status
			switch want := cells[n]; want {
			case "-", "!":
				byLifecycle := err != nil && (strings.Contains(err.Error(), "is not possible") || status == Merged)
				if CodeOf(err) != CodeConflict || len(events) != 0 || byLifecycle != (want == "-") {
					t.Errorf("%s in %s: got %v (%d events), want a conflict", v, status, err, len(events))
				}
			case "=":
				if err != nil || len(events) != 0 {
					t.Errorf("%s in %s: got %v (%d events), want neither", v, status, err, len(events))
				}
			default:
				moved := status
				if want != "." {
					moved = statusLetters[want]
				}
				if err != nil || len(events) == 0 || after != moved {
					t.Errorf("%s in %s: got %s, %d events, %v, want %s", v, status, after, len(events), err, moved)
				}
			}
		}
	}
}

func TestTransitions_MatrixIsComplete(t *testing.T) {
	apart := []Verb{VerbOpen, VerbMerge, VerbSplit}
	for v := range verbs {
		if _, ok := statusMatrix[v]; !ok && !slices.Contains(apart, v) {
			t.Errorf("%s: no row in statusMatrix", v)
		}
	}
	for _, line := range Transitions {
		if verbs[line.Verb].decide == nil && !slices.Contains(apart, line.Verb) {
			t.Errorf("%s: in Transitions without a decider", line.Verb)
		}
		if line.Why == "" {
			t.Errorf("%s: no reason in Transitions", line.Verb)
		}
	}
}

// allowedMoves lists every change of the status by verb, written by hand.
var allowedMoves = map[Verb]string{
	VerbOpen:         ">t",
	VerbAcknowledge:  "t>a",
	VerbContain:      "t>c a>c",
	VerbResolve:      "a>r c>r",
	VerbSubmit:       "r>i",
	VerbSign:         "i>p",
	VerbWithdraw:     "i>p",
	VerbAnswer:       "i>p",
	VerbAmend:        "i>r",
	VerbConclude:     "p>x",
	VerbWaiveActions: "p>x",
	VerbAddAction:    "p>x",
	VerbRevise:       "p>i x>i",
	VerbReopen:       "c>a r>a i>a p>a x>a d>a",
	VerbDismiss:      "t>d a>d c>d",
	VerbMerge:        "t>m a>m c>m",
	VerbSetFact:      "i>r",
	VerbEvidence:     "i>r",
	VerbAttach:       "i>r",
	VerbSetSeverity:  "i>r i>p",
	VerbKeepSeverity: "i>p",

	VerbSeverityTimeout: "i>r",

	VerbErase:         "i>r",
	VerbRepeatErasure: "i>r",
	VerbPromote:       "i>r",
	VerbSplit:         "i>r",

	VerbDistrusted: "a>t c>t c>a r>t i>t i>r p>t p>r p>i x>t x>r x>i x>p d>t m>t",
}

// TestTransitions_MatchAllowedMoves compares Transitions, the source of the diagram
// in docs/architecture.md, with allowedMoves. It also requires a single row for each verb in
// each status.
func TestTransitions_MatchAllowedMoves(t *testing.T) {
	letter := map[Status]string{Merged: "m"}
	for l, s := range statusLetters {
		letter[s] = l
	}
	drawn, lines := map[Verb][]string{}, map[string]bool{}
	for _, line := range Transitions {
		from := line.From
		if line.Verb == VerbOpen {
			from = append([]Status{""}, from...)
		}
		for _, f := range from {
			if at := string(line.Verb) + " in " + string(f); lines[at] {
				t.Errorf("%s: two rows", at)
			} else {
				lines[at] = true
			}
			for _, to := range line.To {
				if to != f && to != unchanged {
					drawn[line.Verb] = append(drawn[line.Verb], letter[f]+">"+letter[to])
				}
			}
			stays := len(line.To) == 0 || slices.Contains(line.To, unchanged) || slices.Contains(line.To, f)
			for _, to := range Statuses() {
				want := to == f && stays || slices.Contains(strings.Fields(allowedMoves[line.Verb]), letter[f]+">"+letter[to])
				if line.allows(f, to) != want {
					t.Errorf("%s from %q to %s: got allowed %v, want %v", line.Verb, f, to, !want, want)
				}
			}
		}
	}
	for _, line := range Transitions {
		got, want := drawn[line.Verb], strings.Fields(allowedMoves[line.Verb])
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", line.Verb, got, want)
		}
	}
}

func TestMerge_EveryStatus(t *testing.T) {
	const from, to = "m m m - - - = - -", "m m m m m - - - -"
	for n, status := range Statuses() {
		env := Env{Now: start.AddDate(0, 0, 1), Actor: "eng1", Directory: testDirectory(), Policy: newFixture(t).policy}
		cmd := Command{Verb: VerbMerge, Text: "the same"}
		a, b := fixtureIn(t, status), fixtureIn(t, Active)
		b.inc.ID = 8
		_, _, err := DecideMerge(cmd, a.inc, b.inc, env)
		wantErr := strings.Fields(from)[n] != "m"
		if status == Closed { // an error as well
			wantErr = true
		}
		if status == Merged { // into INC-8 already, no change
			wantErr = false
		}
		if (err != nil) != wantErr {
			t.Errorf("source %s: got %v, want error %t", status, err, wantErr)
		}
		a, b = fixtureIn(t, Active), fixtureIn(t, status)
		b.inc.ID = 8
		mine, theirs, err := DecideMerge(cmd, a.inc, b.inc, env)
		if (err == nil) != (strings.Fields(to)[n] == "m") {
			t.Errorf("target %s: got %v", status, err)
		}
		if err == nil {
			a.commit(mine)
			b.commit(theirs)
			if a.inc.Status != Merged || a.inc.MergedInto != 8 || len(b.inc.Alerts) != 2 || b.inc.Status == InReview || len(b.inc.Signatures) != 0 {
				t.Errorf("target %s: got source %s, target %s with %d alerts", status, a.inc.Status, b.inc.Status, len(b.inc.Alerts))
			}
		}
	}
	w := fixtureIn(t, Active)
	if _, _, err := DecideMerge(Command{Verb: VerbMerge}, w.inc, w.inc, Env{Now: w.now, Actor: "eng1", Directory: w.dir}); CodeOf(err) != CodeInvalid {
		t.Errorf("merge into itself: got %v, want invalid", err)
	}
}

func TestDecide_ErrorAdvisesToRevise(t *testing.T) {
	w := fixtureIn(t, Approved)
	_, err := w.decideAs("eng1", Command{Verb: VerbSetFact, Text: "x", Fact: &FactChange{Name: FactPersonalData, Value: "no"}})
	if err == nil || !strings.HasSuffix(err.Error(), "so fact is not possible. Revise the record first") {
		t.Errorf("got %v, want advice to revise", err)
	}
}
