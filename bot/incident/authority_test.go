package incident

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// actors are the columns of actorMatrix: one person for each way to have authority
// in a restricted incident, and nothing else.
var actors = []PersonID{"unknown", "outsider", "reader", "opener", "holder", "owner", "consulted", "legal", "guard", "lead", "responder", administrator, ""}

// actorMatrix is who may issue which verb, written by hand and independent of
// Transitions. A cell is the answer to one actor, in the columns of actors:
//
//	"+"  not refused for who gives it
//	"x"  refused: the actor may read the incident and is told who may do this
//	"r"  like x for its arguments, in the statuses that allow the verb
//	"0"  refused as if the incident did not exist
//	"L"  like 0, or + once the four departments may read (resolved to closed)
//	"l"  like 0, or x once the four departments may read
//	"S"  like L, and + after a proposed dismissal or erasure, which security may read
//	"s"  like l, and x after a proposed dismissal or erasure
//	"!"  refused: only a linked person, or only the bot, may do this
var actorMatrix = map[Verb]string{
	//                     unk out red opn hld own con leg grd led rsp adm bot
	VerbAcknowledge:      " !   0   x   x   x   x   x   l   s   x   +   !   !",
	VerbContain:          " !   0   x   x   x   x   x   l   s   +   +   !   !",
	VerbResolve:          " !   0   x   x   x   x   x   l   s   +   +   !   !",
	VerbEditRecord:       " !   0   x   x   +   x   +   L   S   +   +   !   !",
	VerbSubmit:           " !   0   x   x   +   x   +   L   S   +   +   !   !",
	VerbSign:             " !   0   x   x   x   x   x   L   s   x   x   !   !",
	VerbObject:           " !   0   x   x   x   x   x   L   s   x   x   !   !",
	VerbWithdraw:         " !   0   x   x   x   x   +   L   S   x   x   !   !",
	VerbAmend:            " !   0   x   x   +   x   +   L   S   +   +   !   !",
	VerbRevise:           " !   0   x   x   +   x   +   L   S   +   +   !   !",
	VerbReopen:           " !   0   x   x   x   x   x   L   S   +   +   !   !",
	VerbDismiss:          " !   0   x   x   x   x   x   l   S   x   +   !   !",
	VerbMerge:            " !   0   x   x   x   x   x   l   S   x   +   !   !",
	VerbSplit:            " !   0   x   x   x   x   x   l   s   x   +   !   !",
	VerbPromote:          " !   0   x   x   x   x   x   l   s   x   +   !   !",
	VerbPageAgain:        " !   0   x   x   x   x   x   l   s   +   +   !   !",
	VerbSetSeverity:      " !   0   x   x   x   x   x   l   s   +   +   !   !",
	VerbKeepSeverity:     " !   0   x   x   x   x   x   l   s   +   +   !   !",
	VerbAssignRole:       " !   0   x   x   r   x   r   L   S   +   +   !   !", // to somebody else
	VerbHandover:         " !   0   x   x   x   x   x   l   s   +   +   !   !",
	VerbStartPlaybook:    " !   0   x   x   x   x   x   l   s   +   +   !   +",
	VerbSetFact:          " !   0   x   x   +   x   +   L   S   +   +   !   !",
	VerbEvidence:         " !   0   x   x   +   x   +   L   S   +   +   !   !",
	VerbNote:             " !   0   +   +   +   +   +   L   S   +   +   !   +",
	VerbUpdate:           " !   0   x   x   +   x   +   L   S   +   +   !   +",
	VerbStepDone:         " !   0   x   x   +   x   x   l   s   +   +   !   +",
	VerbStepSkip:         " !   0   x   x   +   x   x   l   s   +   +   !   !",
	VerbConsult:          " !   0   x   x   +   x   +   L   S   +   +   !   +",
	VerbInvolve:          " !   0   x   x   +   x   +   L   S   +   +   !   +",
	VerbAnswer:           " !   0   x   x   x   x   +   l   s   x   x   !   !",
	VerbDelegate:         " !   0   x   x   x   x   x   l   S   x   x   !   !",
	VerbEndDelegation:    " !   0   x   x   x   x   x   l   S   x   x   !   !",
	VerbAddAction:        " !   0   x   x   +   x   +   L   S   +   +   !   !",
	VerbFinishAction:     " !   0   x   x   x   +   x   l   s   +   +   !   !",
	VerbGrant:            " !   0   x   x   x   x   x   L   S   +   +   !   !",
	VerbRevoke:           " !   0   x   x   x   x   x   L   S   +   +   !   !",
	VerbExclude:          " !   0   x   x   x   x   x   L   S   x   x   !   !",
	VerbReadmit:          " !   0   x   x   x   x   x   L   S   x   x   !   !",
	VerbReplacement:      " !   0   x   x   x   x   x   l   s   x   x   +   !",
	VerbRestrict:         " !   0   x   x   x   x   x   L   S   +   +   !   !",
	VerbScheduleReview:   " !   0   x   x   +   x   +   L   S   +   +   !   !",
	VerbConclude:         " !   0   x   x   +   x   +   L   S   +   +   !   !",
	VerbWaiveActions:     " !   0   x   x   +   x   +   L   S   +   +   !   !",
	VerbErase:            " !   0   x   x   x   x   x   L   S   x   x   !   !",
	VerbSetLegalHold:     " !   0   x   x   x   x   x   L   S   x   x   !   !",
	VerbReleaseLegalHold: " !   0   x   x   x   x   x   L   S   x   x   !   !",
	VerbApproveUpdate:    " !   0   x   x   x   x   x   +   s   x   x   !   !",
	VerbRequestAccess:    " !   +   +   +   +   +   +   +   +   +   +   !   !",
	VerbEndorseAccess:    " !   0   x   x   x   x   x   l   S   +   x   !   !",
	VerbBreakGlass:       " !   x   x   x   x   x   x   +   +   x   +   !   !",
	VerbHere:             " !   0   +   +   +   +   +   L   S   +   +   !   !",
	VerbRetry:            " !   0   x   x   +   x   +   L   S   +   +   !   !",
	VerbConfirmChange:    " !   0   x   x   +   x   +   L   S   +   +   !   !",
}

// botMatrix lists the verbs of the bot. Nobody else may issue them.
var botMatrix = []Verb{VerbAttach, VerbCount, VerbSourceNote, VerbStartStep, VerbStepLate, VerbPage, VerbPaged, VerbPersonPaged, VerbPageFailed,
	VerbPageTimeout, VerbAckTimeout, VerbSeverityTimeout, VerbAbsenceTimeout, VerbEvidenceHashed, VerbEvidenceChanged, VerbStormTimeout, VerbRemindSigners, VerbLink, VerbInvited, VerbChannelFound, VerbChannelLost, VerbPostmortemWritten, VerbPostmortemShared, VerbReviewInvited, VerbEffectFailed, VerbEffectDropped, VerbPersonLeft, VerbAccessTimeout, VerbUpdateSent, VerbUpdateTimeout, VerbPageRestored, VerbRestored, VerbRepeatErasure, VerbDistrusted}

// actorFixture returns an incident in a status with all actors.
func actorFixture(t *testing.T, status Status) *fixture {
	w := fixtureIn(t, status)
	for _, p := range []PersonID{"outsider", "reader", "opener", "holder", "owner", "consulted", "legal", "guard", "lead", "responder"} {
		w.dir.People = append(w.dir.People, Person{ID: p, Name: string(p), Responder: p == "responder"})
	}
	w.dir.Teams = append(w.dir.Teams, Team{Name: "billing", Members: []Membership{{Person: "consulted"}}})
	for n := range w.dir.Teams {
		switch w.dir.Teams[n].Name {
		case Legal:
			w.dir.Teams[n].Members = append(w.dir.Teams[n].Members, Membership{Person: "legal"})
		case Security:
			w.dir.Teams[n].Members = append(w.dir.Teams[n].Members, Membership{Person: "guard"})
		}
	}
	w.inc.Restricted, w.inc.OpenedBy = true, "opener"
	w.inc.Access = append(w.inc.Access, "reader", "owner")
	w.inc.setRole(Scribe, "holder")
	w.inc.setRole(Commander, "lead")
	w.inc.Consultations = append(w.inc.Consultations, Consultation{Team: "billing"})
	w.inc.Actions = append(w.inc.Actions, Action{ID: "A9", Owner: "owner"})
	for n := range w.inc.Runs {
		for k := range w.inc.Runs[n].Plan {
			w.inc.Runs[n].Plan[k].Role = Scribe
		}
	}
	return w
}

// matrixCommand returns the command of a cell.
func matrixCommand(v Verb, w *fixture) Command {
	_, cmd := validCommand(v, w)
	switch v {
	case VerbAnswer:
		cmd.Department = "billing"
	case VerbFinishAction:
		w.inc.Actions = w.inc.Actions[:len(w.inc.Actions)-1]
	case VerbWithdraw:
		cmd.Item, cmd.Department = "", ""
	case VerbAssignRole:
		cmd.Role = OperationLead
	case VerbExclude, VerbReadmit:
		w.inc.Commander = "lead"
	}
	// Every command names a step of the holder and an item of the owner, which must
	// give no authority to a verb that is not about them.
	if cmd.Step == "" {
		cmd.Step = w.inc.Runs[0].Plan[0].ID
	}
	if cmd.Item == "" {
		w.inc.Actions = append(w.inc.Actions, Action{ID: "A99", Owner: "owner"})
		cmd.Item = "A99"
	}
	w.inc.Restricted = true
	cmd.For, cmd.Via, cmd.Auth = w.inc.ID, ViaSlack, "test"
	return cmd
}

// decideMatrix decides a command as an actor.
func decideMatrix(w *fixture, actor PersonID, cmd Command) error {
	env := Env{Now: w.now, Actor: actor, System: actor == "", Directory: w.dir, Policy: w.policy}
	cmd.By = Identity{ProviderSlack, "U" + string(actor)}
	switch actor {
	case "unknown":
		env.Actor = ""
	case administrator:
		env.Actor, env.Administrator = "", true
	}
	switch cmd.Verb {
	case VerbMerge:
		other := fixtureIn(w.t, Active)
		other.inc.ID = 8
		other.inc.Access = append(other.inc.Access, actor)
		other.inc.Restricted = w.inc.Restricted
		_, _, err := DecideMerge(cmd, w.inc, other.inc, env)
		return err
	case VerbSplit:
		cmd.Title = "another"
		_, _, err := DecideSplit(cmd, w.inc, New(99), w.inc.Alerts, env)
		return err
	}
	_, err := Decide(cmd, w.inc, env)
	return err
}

// answer classifies an error like a cell of the matrix.
func answer(err error, id ID) string {
	switch {
	case err == nil, CodeOf(err) != CodeForbidden && err.Error() != NoAccess(id).Error():
		return "+"
	case CodeOf(err) == CodeUnknown:
		return "0"
	case strings.Contains(err.Error(), "not linked to a person"), strings.Contains(err.Error(), "only the bot may"), strings.Contains(err.Error(), "the bot may not"):
		return "!"
	}
	return "x"
}

// TestDecide_EveryActorAndVerbInEveryStatus gives each verb as each actor in each
// status and compares the refusals with actorMatrix.
func TestDecide_EveryActorAndVerbInEveryStatus(t *testing.T) {
	for v, row := range actorMatrix {
		cells := strings.Fields(row)
		if len(cells) != len(actors) {
			t.Fatalf("%s: got %d cells, want one for each actor", v, len(cells))
		}
		for _, status := range Statuses() {
			for n, actor := range actors {
				w := actorFixture(t, status)
				cmd := matrixCommand(v, w)
				want := cells[n]
				switch reads := status.Closing() || strings.EqualFold(want, "s") && w.inc.Dismissal != nil; {
				case want == "L" || want == "S":
					want = map[bool]string{true: "+", false: "0"}[reads || v == VerbErase && w.inc.Erasure != nil]
				case want == "l" || want == "s":
					want = map[bool]string{true: "x", false: "0"}[reads]
				case want == "r":
					want = "+"
				}
				if v == VerbAssignRole && want == "+" && status.Live() && actor != "lead" && actor != "responder" {
					want = "x" // a participant takes a role only for themselves
				}
				if got := answer(decideMatrix(w, actor, cmd), w.inc.ID); got != want {
					t.Errorf("%s by %q in %s: got %s (%v), want %s", v, actor, status, got, decideMatrix(w, actor, cmd), want)
				}
			}
		}
	}
}

// TestDecide_BotVerbsByActors gives each verb of the bot as each person.
func TestDecide_BotVerbsByActors(t *testing.T) {
	for _, v := range botMatrix {
		for _, actor := range actors {
			w := actorFixture(t, Active)
			if got := answer(decideMatrix(w, actor, matrixCommand(v, w)), w.inc.ID); got != map[bool]string{true: "+", false: "!"}[actor == ""] {
				t.Errorf("%s by %q: got %s", v, actor, got)
			}
		}
	}
}

// TestActorMatrix_IsComplete requires a row for every verb, except for open, which
// anybody may issue.
func TestActorMatrix_IsComplete(t *testing.T) {
	for _, line := range Transitions {
		_, people := actorMatrix[line.Verb]
		if bot := slices.Contains(botMatrix, line.Verb); line.Verb != VerbOpen && people == bot {
			t.Errorf("%s: got row %t in actorMatrix and %t in botMatrix, want one", line.Verb, people, bot)
		}
		if line.Who == 0 {
			t.Errorf("%s: nobody may issue it", line.Verb)
		}
	}
}

// TestResponders_AreNeverLockedOut gives the commands of the night as a responder
// without a part in the incident.
func TestResponders_AreNeverLockedOut(t *testing.T) {
	for _, c := range []struct {
		in  Status
		cmd Command
	}{
		{Triage, Command{Verb: VerbAcknowledge}},
		{Triage, Command{Verb: VerbContain, Text: "pulled the plug"}},
		{Active, Command{Verb: VerbResolve, Text: "restored", Reason: "no time for the steps"}},
		{Active, Command{Verb: VerbAssignRole, Role: Commander, Person: "responder"}},
		{Active, Command{Verb: VerbStepDone, Step: "rotate"}},
		{Active, Command{Verb: VerbStepSkip, Step: "rotate", Text: "not needed"}},
		{Contained, Command{Verb: VerbPageAgain, Text: "more hands"}},
		{Contained, Command{Verb: VerbSetSeverity, Severity: Sev1, Text: "worse"}},
		{Closed, Command{Verb: VerbReopen, Text: "it is back"}},
	} {
		w := actorFixture(t, c.in)
		w.must("responder", c.cmd)
	}
}

func TestAssignRole_ParticipantsTakeRolesForThemselves(t *testing.T) {
	w := actorFixture(t, Active)
	w.must("consulted", Command{Verb: VerbAssignRole, Role: Communicator, Person: "consulted"})
	w.mustFail("consulted", Command{Verb: VerbAssignRole, Role: Commander, Person: "consulted"}, CodeForbidden)
	w.mustFail("consulted", Command{Verb: VerbAssignRole, Role: Communicator, Person: "reader"}, CodeForbidden)
	w.mustFail("reader", Command{Verb: VerbAssignRole, Role: Communicator, Person: "reader"}, CodeForbidden)
}

func TestStepHolders_DepartmentOfAnUnassignedRole(t *testing.T) {
	w := actorFixture(t, Active)
	w.inc.InvolvedDepartments = append(w.inc.InvolvedDepartments, Legal)
	w.inc.Runs[0].Plan[0].Role = LegalLead
	step := Command{Verb: VerbStepDone, Step: w.inc.Runs[0].Plan[0].ID}
	w.mustFail("consulted", step, CodeForbidden)
	w.must("legal", step)
	w = actorFixture(t, Active)
	w.inc.InvolvedDepartments = append(w.inc.InvolvedDepartments, Legal)
	w.inc.Runs[0].Plan[0].Role = LegalLead
	w.inc.setRole(LegalLead, "holder")
	w.mustFail("legal", step, CodeForbidden)
	w.must("holder", step)
}

// TestStepHolders_OnlyOfTheNamedStep requires that a step without a role, or a step
// that does not exist, belongs to no holder.
func TestStepHolders_OnlyOfTheNamedStep(t *testing.T) {
	w := actorFixture(t, Active)
	plan := w.inc.Runs[0].Plan
	plan[0].Role, plan[1].Role = Communicator, ""
	w.inc.InvolvedDepartments = append(w.inc.InvolvedDepartments, Communications)
	for _, p := range []PersonID{"reader", "consulted", "holder", "com1"} {
		w.mustFail(p, Command{Verb: VerbStepDone, Step: plan[1].ID}, CodeForbidden)
		w.mustFail(p, Command{Verb: VerbStepDone, Step: "nonsense"}, CodeForbidden)
	}
	w.mustFail("consulted", Command{Verb: VerbStepDone, Step: plan[0].ID}, CodeForbidden)
	w.must("com1", Command{Verb: VerbStepDone, Step: plan[0].ID}) // nobody is communicator
}

func TestItemOwners_OnlyOfTheNamedItem(t *testing.T) {
	w := actorFixture(t, Active)
	w.inc.Actions = []Action{{ID: "A1", Owner: "owner"}, {ID: "A2", Owner: "reader"}}
	w.mustFail("owner", Command{Verb: VerbFinishAction, Item: "A2", Text: "done"}, CodeForbidden)
	w.must("owner", Command{Verb: VerbFinishAction, Item: "a1", Text: "done"})
}

// TestDelegate_OnlyForTheOwnDepartment names a department that has no part in the
// sign-off, and one that has.
func TestDelegate_OnlyForTheOwnDepartment(t *testing.T) {
	w := actorFixture(t, Active)
	w.inc.Access = append(w.inc.Access, "guard", "legal")
	for _, team := range []Department{"payments", Communications} {
		for _, p := range []PersonID{"responder", "lead", "consulted", "guard", "legal"} {
			w.mustFail(p, Command{Verb: VerbDelegate, Department: team, Person: "out1", Until: w.now.AddDate(0, 0, 3)}, CodeForbidden)
		}
	}
}

// TestInvolve_MembersOfTheDepartmentDoNotInvolveIt gives the command as a reader who
// is a member of the department.
func TestInvolve_MembersOfTheDepartmentDoNotInvolveIt(t *testing.T) {
	w := actorFixture(t, Active)
	w.inc.Access = append(w.inc.Access, "pay1")
	w.mustFail("pay1", Command{Verb: VerbInvolve, Department: "payments"}, CodeForbidden)
}

func TestResolve_OpenStepsNeedAReason(t *testing.T) {
	w := fixtureIn(t, Active)
	w.must("", Command{Verb: VerbStartStep, Step: "rotate"})
	w.mustFail("eng1", Command{Verb: VerbResolve, Text: "restored"}, CodeInvalid)
	_, err := w.decideAs("eng1", Command{Verb: VerbResolve, Text: "restored"})
	if err == nil || !strings.Contains(err.Error(), "rotate") {
		t.Errorf("got %v, want the open step", err)
	}
	w.must("eng1", Command{Verb: VerbResolve, Text: "restored", Reason: "the vendor rotates on Monday"})
	if u := w.inc.Unfinished; u == nil || fmt.Sprint(u.Steps) != "[rotate]" || u.Reason != "the vendor rotates on Monday" || u.By != "eng1" {
		t.Fatalf("got %+v, want the open step and the reason", u)
	}
	w.must("eng1", Command{Verb: VerbSubmit, Record: fullRecord})
	if u := w.inc.Submission.Document.Unfinished; u == nil || u.Reason != "the vendor rotates on Monday" {
		t.Errorf("got %+v, want the reason in the document that the departments sign", u)
	}
	with := w.inc.Submission.Document
	without := with
	without.Unfinished = nil
	if with.Digest() == without.Digest() {
		t.Error("got the same digest with and without the reason, want the digest to cover it")
	}
	w.must("eng1", Command{Verb: VerbReopen, Text: "again"})
	if w.inc.Unfinished != nil {
		t.Error("got open steps of the first resolution after a reopening, want none")
	}
}

func TestIsDenied(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{Forbidden("no"), true},
		{NotLinked(Identity{ProviderSlack, "U1"}), true},
		{NoAccess(7), true},
		{NoAlert(7), true},
		{NoDelivery(7), true},
		{fmt.Errorf("read alert: %w", NoAlert(7)), true},
		{Unknown("person", "unknown person %q", "eve"), false},
		{Invalid("incident", "not a number"), false},
		{Conflict("too late"), false},
		{errors.New("disk full"), false},
		{nil, false},
	} {
		if got := IsDenied(c.err); got != c.want {
			t.Errorf("%v: got %t, want %t", c.err, got, c.want)
		}
	}
}

// TestAdmit_BeforeReading requires the checks that need no incident, for callers
// that read more than Decide does.
func TestAdmit_BeforeReading(t *testing.T) {
	for name, c := range map[string]struct {
		verb Verb
		env  Env
		want bool
	}{
		"the bot with a verb of people":          {VerbSign, Env{System: true}, false},
		"the bot with its verb":                  {VerbPage, Env{System: true}, true},
		"a person with a verb of the bot":        {VerbPage, Env{Actor: "eng1"}, false},
		"a person":                               {VerbSign, Env{Actor: "eng1"}, true},
		"an account without a person":            {VerbNote, Env{}, false},
		"an account without a person reports":    {VerbOpen, Env{}, true},
		"an administrator without a person":      {VerbReplacement, Env{Administrator: true}, true},
		"an administrator with a verb of others": {VerbNote, Env{Administrator: true}, false},
		"a person who is no administrator":       {VerbReplacement, Env{}, false},
	} {
		if err := Admit(Command{Verb: c.verb}, c.env); (err == nil) != c.want || err != nil && CodeOf(err) != CodeForbidden {
			t.Errorf("%s: got %v, want admitted %t", name, err, c.want)
		}
	}
}

// TestMayAddress_AndAuthorize requires the answers for callers that read more than
// the incident: which of them may name it, and which may use the verb.
func TestMayAddress_AndAuthorize(t *testing.T) {
	w := fixtureIn(t, Active)
	w.inc.Restricted = true
	w.inc.Access = append(w.inc.Access, "pay1")
	for name, c := range map[string]struct {
		verb       Verb
		env        Env
		names, use bool
	}{
		"the bot":                                {VerbPage, Env{System: true}, true, true},
		"a responder":                            {VerbSplit, Env{Actor: "eng2"}, true, true},
		"a reader":                               {VerbSplit, Env{Actor: "pay1"}, true, false},
		"an outsider":                            {VerbSplit, Env{Actor: "out1"}, false, false},
		"an administrator":                       {VerbReplacement, Env{Administrator: true}, true, true},
		"an administrator with a verb of others": {VerbSplit, Env{Actor: "out1", Administrator: true}, false, false},
		"an outsider with their verb":            {VerbReplacement, Env{Actor: "out1"}, false, false},
	} {
		c.env.Now, c.env.Directory, c.env.Policy = w.now, w.dir, w.policy
		cmd := Command{Verb: c.verb, For: w.inc.ID, Department: Legal}
		if got := MayAddress(cmd, w.inc, c.env); got != c.names {
			t.Errorf("%s: got %t, want to name the incident: %t", name, got, c.names)
		}
		if err := Authorize(cmd, w.inc, c.env); (err == nil) != c.use || err != nil && !IsDenied(err) {
			t.Errorf("%s: got %v, want to use %s: %t", name, err, c.verb, c.use)
		}
	}
}
