package command_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/command"
	"tocsin/bot/incident"
)

// event returns an event with fields in pairs. A name that begins with "@" is a text.
func event(kind incident.EventKind, pairs ...string) incident.Event {
	e := incident.Event{Seq: 7, Kind: kind, By: "ada", Fields: map[string]string{}, Texts: map[string]incident.Text{}}
	for n := 0; n < len(pairs); n += 2 {
		if name, text := strings.CutPrefix(pairs[n], "@"); text {
			e.Texts[name] = incident.Text{Value: pairs[n+1]}
		} else {
			e.Fields[pairs[n]] = pairs[n+1]
		}
	}
	return e
}

// resultTests are the answers to each verb of people. Each names the change.
var resultTests = []struct {
	cmd    incident.Command
	state  func(*incident.Incident) // afterwards, or nil
	events []incident.Event
	want   string
}{
	{incident.Command{Verb: incident.VerbOpen}, nil, nil, "INC-42 is open at sev2, for its participants only. Tocsin is creating the channel and will invite you"},
	{incident.Command{Verb: incident.VerbAcknowledge}, nil, []incident.Event{event(incident.EventRoleAssigned)}, "You acknowledged INC-42 and are its commander. Paging stopped"},
	{incident.Command{Verb: incident.VerbAcknowledge}, nil, nil, "You acknowledged INC-42. Paging stopped, and esra stays the commander"},
	{incident.Command{Verb: incident.VerbContain}, nil, nil, "INC-42 is contained"},
	{incident.Command{Verb: incident.VerbResolve}, nil, nil, "INC-42 is resolved. Next: write the closing record"},
	{incident.Command{Verb: incident.VerbEditRecord, Record: map[string]string{"root_cause": "x", "impact": "y"}}, nil, nil, "Saved in the closing record of INC-42: [impact root cause]"},
	{incident.Command{Verb: incident.VerbEditRecord, Record: map[string]string{"impact": "y"}, Confirm: []string{"summary"}}, nil, nil, "Saved in the closing record of INC-42: [impact summary]"},
	{incident.Command{Verb: incident.VerbSubmit}, nil, nil, "The closing record of INC-42 is frozen. Tocsin requests the signatures of the departments"},
	{incident.Command{Verb: incident.VerbSign}, nil, []incident.Event{event(incident.EventSigned, "department", "legal")}, "You signed the closing record of INC-42 for legal. Not signed yet: [engineering security legal communications]"},
	{incident.Command{Verb: incident.VerbObject}, nil, nil, "You objected to the closing record of INC-42. Approval waits until you withdraw the objection or the record is amended"},
	{incident.Command{Verb: incident.VerbWithdraw}, nil, []incident.Event{event(incident.EventSignatureWithdrawn, "department", "legal")}, "Your signature of INC-42 for legal is withdrawn"},
	{incident.Command{Verb: incident.VerbWithdraw}, nil, []incident.Event{event(incident.EventObjectionClosed, "objection", "O1")}, "The objection O1 of INC-42 is withdrawn"},
	{incident.Command{Verb: incident.VerbAmend}, nil, nil, "You can edit the closing record of INC-42 again. Its signatures are void"},
	{incident.Command{Verb: incident.VerbRevise}, func(i *incident.Incident) { i.Revision = 2 }, nil, "Revision 2 of the closing record of INC-42 is frozen. Tocsin requests the signatures of the departments"},
	{incident.Command{Verb: incident.VerbReopen}, nil, nil, "INC-42 is open again. A new paging round starts"},
	{incident.Command{Verb: incident.VerbDismiss}, nil, []incident.Event{event(incident.EventDismissed)}, "INC-42 is dismissed as a false alarm. Its channel stays readable"},
	{incident.Command{Verb: incident.VerbDismiss}, nil, []incident.Event{event(incident.EventDismissProposed)}, "You proposed to dismiss INC-42. The incident stays open until another person confirms"},
	{incident.Command{Verb: incident.VerbMerge, Target: 41}, nil, nil, "INC-42 is merged into INC-41. Continue there"},
	{incident.Command{Verb: incident.VerbSetSeverity}, nil, []incident.Event{event(incident.EventSeveritySet, "from", "sev3"), event(incident.EventRoundStarted)}, "The severity of INC-42 is now sev2, it was sev3. A new paging round starts"},
	{incident.Command{Verb: incident.VerbSetSeverity}, nil, []incident.Event{event(incident.EventSeveritySet, "from", "sev1")}, "The severity of INC-42 is now sev2, it was sev1. Nobody is paged because of it"},
	{incident.Command{Verb: incident.VerbKeepSeverity}, nil, nil, "The severity of INC-42 stays sev2. The proposal of the alert is rejected"},
	{incident.Command{Verb: incident.VerbAssignRole}, nil, []incident.Event{event(incident.EventRoleAssigned, "person", "ada", "role", "scribe")}, "ada has the role scribe in INC-42"},
	{incident.Command{Verb: incident.VerbHandover}, nil, nil, "esra commands INC-42 now. Tocsin sends the new commander a briefing"},
	{incident.Command{Verb: incident.VerbStartPlaybook}, func(i *incident.Incident) {
		i.Runs = []incident.Run{{Playbook: "data", Plan: make([]incident.Step, 3)}}
	},
		[]incident.Event{event(incident.EventPlaybookStarted, "run", "data")}, "The playbook data runs in INC-42. Tocsin posts its first steps. Steps in total: 3"},
	{incident.Command{Verb: incident.VerbSetFact}, nil, []incident.Event{event(incident.EventFactSet, "fact", "personal_data", "value", "suspected", "@reason", "the dump"), event(incident.EventDepartmentsInvolved, "departments", "legal,communications")},
		"The fact personal data of INC-42 is now suspected, and Tocsin involves [legal communications]. How this is known: the dump"},
	{incident.Command{Verb: incident.VerbSetFact}, func(i *incident.Incident) {
		i.Facts.Aware = map[string]incident.Instant{"gdpr": {At: time.Date(2026, 11, 20, 2, 0, 0, 0, time.UTC)}}
	}, []incident.Event{event(incident.EventFactSet, "fact", "aware", "regime", "gdpr", "value", "2026-11-20T02:00:00Z", "@reason", "counsel")},
		"The company is aware under the GDPR in INC-42 since 2026-11-20 02:00:00 +0000 UTC. The 72 hours end at 2026-11-23 02:00:00 +0000 UTC. How this is known: counsel"},
	{incident.Command{Verb: incident.VerbSetFact}, nil, []incident.Event{event(incident.EventFactSet, "fact", "time_zone", "value", "Europe/Paris")}, "The fact time zone of INC-42 is now Europe/Paris"},
	{incident.Command{Verb: incident.VerbSetFact}, nil, []incident.Event{event(incident.EventFactSet, "fact", "affected", "@who", "Example SA", "@reason", "the log")}, "Example SA is affected by INC-42. How this is known: the log"},
	{incident.Command{Verb: incident.VerbNote}, nil, []incident.Event{event(incident.EventNoted)}, "The note is entry 7 of the timeline of INC-42, for responders"},
	{incident.Command{Verb: incident.VerbUpdate}, nil, nil, "The responders of INC-42 have your update"},
	{incident.Command{Verb: incident.VerbUpdate}, func(i *incident.Incident) {
		i.Updates = []incident.Update{{ID: "U1", Audiences: []string{"company", "customers"}}}
	}, nil, "The responders of INC-42 have U1. It goes to company, customers when a second person from legal or communications approves it"},
	{incident.Command{Verb: incident.VerbUpdate}, func(i *incident.Incident) {
		i.Updates = []incident.Update{{ID: "U1", Audiences: []string{"company"}, ApprovedBeforehand: "Ada"}}
	}, nil, "The responders of INC-42 have U1. It goes to company now"},
	{incident.Command{Verb: incident.VerbApproveUpdate}, nil, nil, "The update of INC-42 goes to its audiences now"},
	{incident.Command{Verb: incident.VerbEvidence}, nil, []incident.Event{event(incident.EventEvidence, "evidence", "E1", "@name", "disk")}, "The evidence E1 is in the timeline of INC-42: disk"},
	{incident.Command{Verb: incident.VerbStepDone}, nil, []incident.Event{event(incident.EventStepDone, "run", "data", "step", "look")}, "The step look of INC-42 is done. Other open steps: 0"},
	{incident.Command{Verb: incident.VerbStepSkip}, nil, []incident.Event{event(incident.EventStepSkipped, "run", "data", "step", "look")}, "The step look of INC-42 is skipped. Other open steps: 0"},
	{incident.Command{Verb: incident.VerbConsult}, nil, []incident.Event{event(incident.EventConsulted, "department", "payroll", "blocking", "true")}, "Tocsin asks payroll in INC-42. The record cannot be approved without the answer"},
	{incident.Command{Verb: incident.VerbAnswer}, nil, []incident.Event{event(incident.EventAnswered, "department", "payroll")}, "The answer of payroll is recorded in INC-42"},
	{incident.Command{Verb: incident.VerbDelegate, Person: "ada", Department: "legal", Until: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)}, nil, nil, "ada can act for legal in INC-42 until 2026-12-01 00:00:00 +0000 UTC"},
	{incident.Command{Verb: incident.VerbEndDelegation, Person: "ada", Department: "legal"}, nil, nil, "ada no longer acts for legal in INC-42. Signatures that were given stay valid"},
	{incident.Command{Verb: incident.VerbInvolve}, nil, []incident.Event{event(incident.EventDepartmentsInvolved, "departments", "legal")}, "[legal] can read INC-42 now. Tocsin invites the members to the channel"},
	{incident.Command{Verb: incident.VerbAddAction}, func(i *incident.Incident) {
		i.Actions = []incident.Action{{ID: "A1", Owner: "ada", Due: time.Date(2026, 12, 24, 0, 0, 0, 0, time.UTC)}}
	}, nil, "The action item A1 is added to INC-42 for ada, due 2026-12-24"},
	{incident.Command{Verb: incident.VerbFinishAction}, nil, []incident.Event{event(incident.EventActionDone, "action", "A1")}, "The action item A1 of INC-42 is done. Open ones: 0"},
	{incident.Command{Verb: incident.VerbGrant, Person: "ada"}, nil, nil, "ada can now read INC-42"},
	{incident.Command{Verb: incident.VerbRevoke, Person: "ada"}, nil, nil, "ada can no longer read INC-42"},
	{incident.Command{Verb: incident.VerbEndorseAccess, Person: "ada"}, nil, nil, "ada can now read INC-42. The access ends after 7 days"},
	{incident.Command{Verb: incident.VerbBreakGlass}, nil, nil, "You can read INC-42 and add notes for 4 hours. Its members and the next review agenda see this"},
	{incident.Command{Verb: incident.VerbExclude}, nil, nil, "Recorded for INC-42. Only legal and security see this"}, // the hint of the event follows
	{incident.Command{Verb: incident.VerbReadmit}, nil, nil, "Recorded for INC-42. Only legal and security see this"},
	{incident.Command{Verb: incident.VerbReplacement, Person: "ada", Department: "legal"}, nil, nil, "ada acts for legal in INC-42"},
	{incident.Command{Verb: incident.VerbRestrict}, nil, nil, "Only participants can now read INC-42"},
	{incident.Command{Verb: incident.VerbRestrict}, func(i *incident.Incident) { i.Restricted = false }, nil, "The whole company can now read INC-42"},
	{incident.Command{Verb: incident.VerbErase, Erase: make([]incident.TextRef, 2)}, nil, []incident.Event{event(incident.EventErasureProposed)}, "You proposed to erase texts of INC-42: 2"},
	{incident.Command{Verb: incident.VerbErase, Erase: make([]incident.TextRef, 2)}, nil, []incident.Event{event(incident.EventErased)}, "The texts of INC-42 are erased permanently: 2"},
	{incident.Command{Verb: incident.VerbScheduleReview}, func(i *incident.Incident) { i.Review.At = time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC) }, nil, "The review meeting of INC-42 is at 2026-12-01 09:00:00 +0000 UTC. Tocsin mails the invitations"},
	{incident.Command{Verb: incident.VerbConclude}, func(i *incident.Incident) { i.Actions = make([]incident.Action, 2) }, nil, "The review of INC-42 is recorded. Action items of the incident: 2"},
	{incident.Command{Verb: incident.VerbWaiveActions}, nil, []incident.Event{event(incident.EventWaiverProposed)}, "You proposed to close INC-42 without the required action items"},
	{incident.Command{Verb: incident.VerbWaiveActions}, nil, []incident.Event{event(incident.EventWaiverEndorsed)}, "You endorsed the waiver of the action items of INC-42"},
	{incident.Command{Verb: incident.VerbPromote}, nil, nil, "The alert is attached to INC-42, which is in_review at sev2"},
	{incident.Command{Verb: incident.VerbSplit}, func(i *incident.Incident) { i.SplitInto = []incident.ID{43} }, nil, "The alerts of INC-42 moved to the new incident INC-43"},
	{incident.Command{Verb: incident.VerbSetLegalHold}, nil, nil, "INC-42 is on legal hold. Retention deletes nothing until the hold is released"},
	{incident.Command{Verb: incident.VerbReleaseLegalHold}, nil, nil, "The legal hold of INC-42 is released"},
	{incident.Command{Verb: incident.VerbPageAgain}, nil, nil, "A new paging round of INC-42 starts. Tocsin pages until a responder acknowledges"},
	{incident.Command{Verb: incident.VerbHere}, nil, nil, "Tocsin counts you among the people who are here in INC-42"},
	{incident.Command{Verb: incident.VerbConfirmChange}, nil, []incident.Event{{Kind: incident.EventChangeConfirmed, Fields: map[string]string{"confirmed": "17-19"}}}, "You confirmed the changes 17-19 of INC-42. Still to confirm: 0"},
	{incident.Command{Verb: incident.VerbConfirmChange}, nil, []incident.Event{{Kind: incident.EventChangeConfirmed, Fields: map[string]string{"confirmed": "17", "how": "undone"}}}, "You undid the changes 17 of INC-42. Still to confirm: 0"},
	{incident.Command{Verb: incident.VerbRetry}, nil, nil, "Tocsin tries again what waits in INC-42. The card shows the result"},
}

func testedIncident() incident.Incident {
	return incident.Incident{ID: 42, Status: incident.InReview, Severity: incident.Sev2, Restricted: true, Commander: "esra", Paging: incident.Paging{Round: 3}}
}

func TestResultOf_NamesTheChange(t *testing.T) {
	tested := map[incident.Verb]bool{incident.VerbRequestAccess: true} // answered without an incident
	for _, test := range resultTests {
		inc := testedIncident()
		if test.state != nil {
			test.state(&inc)
		}
		tested[test.cmd.Verb], test.cmd.For = true, 42
		if got, _ := command.ResultOf(test.cmd, incident.Result{Incident: inc, Events: test.events}); got.String() != test.want {
			t.Errorf("%s: got %q, want %q", test.cmd.Verb, got, test.want)
		}
	}
	for _, row := range incident.Transitions {
		if row.Who != incident.TheBot && len(command.Typed(row.Verb)) > 0 && !tested[row.Verb] {
			t.Errorf("%s: no test of its answer", row.Verb)
		}
	}
}

func TestResultOf_WithoutAChange(t *testing.T) {
	for want, r := range map[string]struct {
		verb   incident.Verb
		result incident.Result
	}{
		"No change: paging round 3 of INC-42 is running already. Tocsin pages until a responder acknowledges": {incident.VerbPageAgain, incident.Result{Incident: testedIncident(), Unchanged: true}},
		"No change: the timeline of INC-42 already has this. Its status is in_review, its severity sev2":      {incident.VerbContain, incident.Result{Incident: testedIncident(), Unchanged: true}},
		incident.ReportReceived.String():            {incident.VerbOpen, incident.Result{Reported: true}},
		"The responders of INC-42 have your update": {incident.VerbUpdate, incident.Result{}},
	} {
		if got, _ := command.ResultOf(incident.Command{Verb: r.verb, For: 42}, r.result); got.String() != want {
			t.Errorf("%s: got %q, want %q", r.verb, got, want)
		}
	}
	if _, kind := command.ResultOf(incident.Command{Verb: incident.VerbExclude}, incident.Result{}); kind != command.ResultPrivate {
		t.Errorf("exclude: got kind %d, want a private one", kind)
	}
}

// A provider stores the arguments of a button as text.
func TestPress_RestoresTheCommand(t *testing.T) {
	for _, want := range []incident.Command{
		{Verb: incident.VerbAcknowledge, For: 42},
		{Verb: incident.VerbSetSeverity, For: 42, Severity: incident.Sev1},
		{Verb: incident.VerbStepSkip, For: 42, Step: "leaked/rotate"},
		{Verb: incident.VerbSign, For: 42, Department: incident.Legal, Expect: "sha256:00"},
		{Verb: incident.VerbWithdraw, For: 42, Item: "O1"},
		{Verb: incident.VerbAnswer, For: 42, Department: "payroll"},
	} {
		args := command.ButtonArgs(want)
		if got := command.Press(want.Verb, 42, args); !slices.Equal(command.ButtonArgs(got), args) || strings.Join(args, "") == "" && want.Verb != incident.VerbAcknowledge ||
			got.Severity != want.Severity || got.Step != want.Step || got.Department != want.Department || got.Expect != want.Expect || got.Item != want.Item {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if got := command.Press(incident.VerbSign, 42, nil); got.For != 42 || got.Department != "" {
		t.Errorf("without arguments: got %+v", got)
	}
}
