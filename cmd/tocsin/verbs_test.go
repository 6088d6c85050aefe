//go:build !race

package main_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/command"
	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/store/storetest"
)

// verbCase is one verb as a person types it. ID stands for the incident, DIGEST for that of
// the submitted record, and a word such as @legal0 for the first member of a department.
type verbCase struct {
	verb   incident.Verb
	who    string
	text   string
	event  incident.EventKind
	answer string // a part of the answer to the author
}

// verbCases are in the order of an incident that is opened by hand. A verb that has no case
// is in verbsWithoutCase.
var verbCases = []verbCase{
	{incident.VerbOpen, "engineering0", "open sev3 the export has a stranger's payslip", incident.EventOpened, "INC-"},
	{incident.VerbAcknowledge, "engineering0", "ack ID", incident.EventAcknowledged, "acknowledged"},
	{incident.VerbStartPlaybook, "engineering0", "playbook start ID data-exposure", incident.EventPlaybookStarted, "data-exposure"},
	{incident.VerbStepDone, "engineering0", "step done ID data-exposure/confirm-exposure it is real", incident.EventStepDone, ""},
	{incident.VerbStepSkip, "engineering0", "step skip ID data-exposure/save-state because it is saved", incident.EventStepSkipped, ""},
	{incident.VerbBreakGlass, "payments0", "access break-glass ID because the regulator is calling", incident.EventBreakGlassUsed, "4 hours"},
	{incident.VerbRequestAccess, "outsider0", "access request ID because I run payroll", incident.EventAccessRequested, ""},
	{incident.VerbRevoke, "engineering0", "revoke ID @outsider0 because it is not needed", incident.EventAccessRevoked, ""},
	{incident.VerbRetry, "engineering0", "retry ID", "", "No change"},
	{incident.VerbHere, "security0", "here ID", incident.EventPresence, "here"},
	{incident.VerbNote, "security0", "note ID the export ran at night", incident.EventNoted, ""},
	{incident.VerbSetSeverity, "engineering0", "severity ID sev2 because it grows", incident.EventSeveritySet, "sev2"},
	{incident.VerbAssignRole, "engineering0", "role ID scribe @engineering1", incident.EventRoleAssigned, "scribe"},
	{incident.VerbPageAgain, "engineering0", "page ID @security1 because the trail is hers", incident.EventPersonalPageStarted, "Paging"},
	{incident.VerbPageAgain, "engineering0", "page ID security because we need hands", incident.EventPersonalPageStarted, "Paging"},
	{incident.VerbInvolve, "engineering0", "involve ID communications because customers ask", "", "No change"}, // the playbook did
	{incident.VerbConsult, "engineering0", "consult ID payments blocking", incident.EventConsulted, "payments"},
	{incident.VerbAnswer, "payments0", "answer ID payments no run was affected", incident.EventAnswered, ""},
	{incident.VerbSetFact, "engineering0", "fact ID personal_data suspected because the dump held addresses", incident.EventFactSet, ""},
	{incident.VerbEvidence, "engineering0", `evidence ID "disk image" in s3://evidence/web-1.img`, incident.EventEvidence, ""},
	{incident.VerbUpdate, "engineering0", "update ID --to board we are looking", incident.EventUpdated, "U1"},
	{incident.VerbApproveUpdate, "legal0", "update approve ID U1", incident.EventUpdateApproved, ""},
	{incident.VerbHandover, "engineering0", "handover ID @security0 the customer calls back", incident.EventRoleAssigned, ""},
	{incident.VerbDelegate, "security0", "delegate ID security @engineering3 until TOMORROW", incident.EventDelegated, ""},
	{incident.VerbEndDelegation, "security0", "delegate end ID security @engineering3 because the head is back", incident.EventDelegationEnded, ""},
	{incident.VerbExclude, "legal0", "exclude ID @engineering3 because a suspect", "", "is excluded"},
	{incident.VerbReadmit, "legal0", "readmit ID @engineering3 because no suspect", "", "no longer excluded"},
	{incident.VerbGrant, "security0", "grant ID @engineering3 because she helps", incident.EventAccessGranted, ""},
	{incident.VerbRestrict, "security0", "public ID", incident.EventRestricted, ""},
	{incident.VerbRestrict, "security0", "restrict ID", incident.EventRestricted, ""},
	{incident.VerbSetLegalHold, "legal0", "legal-hold ID because a court asked", incident.EventLegalHoldSet, ""},
	{incident.VerbReleaseLegalHold, "legal0", "legal-hold ID release because the court closed", incident.EventLegalHoldReleased, ""},
	{incident.VerbErase, "legal0", "erase ID 1/title because it holds a name", incident.EventErasureProposed, ""},
	{incident.VerbContain, "security0", "contain ID the export is off", incident.EventContained, ""},
	{incident.VerbResolve, "security0", "resolve ID the export is fixed because the rest is not needed", incident.EventResolved, ""},
	{incident.VerbReopen, "security0", "reopen ID the export ran again", incident.EventReopened, ""},
	{incident.VerbResolve, "security0", "resolve ID the job is deleted because the rest is not needed", incident.EventResolved, ""},
	{incident.VerbEditRecord, "engineering1", "record set ID summary a stranger's payslip", incident.EventRecordEdited, ""},
	{incident.VerbEditRecord, "engineering1", "record set ID impact one person", incident.EventRecordEdited, ""},
	{incident.VerbEditRecord, "engineering1", "record set ID root_cause a wrong key", incident.EventRecordEdited, ""},
	{incident.VerbEditRecord, "engineering1", "record set ID what_was_done the job is deleted", incident.EventRecordEdited, ""},
	{incident.VerbEditRecord, "engineering1", "record set ID what_detected_it a customer", incident.EventRecordEdited, ""},
	{incident.VerbEditRecord, "engineering1", "record set ID what_will_detect_it a rule", incident.EventRecordEdited, ""},
	{incident.VerbEditRecord, "engineering1", "record set ID what_will_prevent_it a test", incident.EventRecordEdited, ""},
	{incident.VerbSubmit, "engineering1", "submit ID", incident.EventSubmitted, ""},
	{incident.VerbObject, "legal0", "object ID legal DIGEST the impact leaves out the contractors", incident.EventObjected, ""},
	{incident.VerbWithdraw, "legal0", "withdraw ID O1 because they are in", incident.EventObjectionClosed, ""},
	{incident.VerbAmend, "engineering1", "amend ID the impact left out the contractors", incident.EventAmended, ""},
	{incident.VerbSubmit, "engineering1", "submit ID", incident.EventSubmitted, ""},
	{incident.VerbSign, "engineering2", "sign ID engineering DIGEST", incident.EventSigned, ""},
	{incident.VerbSign, "security1", "sign ID security DIGEST", incident.EventSigned, ""},
	{incident.VerbSign, "legal0", "sign ID legal DIGEST", incident.EventSigned, ""},
	{incident.VerbSign, "communications0", "sign ID communications DIGEST", incident.EventSigned, ""},
	{incident.VerbScheduleReview, "engineering1", "review ID MEETING", incident.EventReviewScheduled, ""},
	{incident.VerbAddAction, "engineering1", "action add ID detection alert on exports owner @engineering1 due TOMORROW", incident.EventActionAdded, "A1"},
	{incident.VerbAddAction, "engineering1", "action add ID prevention a test of exports owner @engineering1 due TOMORROW", incident.EventActionAdded, "A2"},
	{incident.VerbFinishAction, "engineering1", "action done ID A1 the rule is live", incident.EventActionDone, ""},
	{incident.VerbConclude, "engineering1", "review conclude ID with @engineering0, @engineering1 because everybody is here: we met", incident.EventReviewConcluded, ""},
	{incident.VerbRevise, "engineering1", `revise ID set root_cause "the key was guessed" because forensics say so`, incident.EventRevised, ""},
	{incident.VerbRequestAccess, "outsider0", "access request ID because I run payroll", incident.EventAccessRequested, ""},
	{incident.VerbEndorseAccess, "security0", "access endorse ID @outsider0", incident.EventAccessGranted, ""},
}

// verbsWithoutCase need a second incident, an alert or the command line. Other tests give
// them.
var verbsWithoutCase = []incident.Verb{incident.VerbDismiss, incident.VerbMerge, incident.VerbSplit, incident.VerbPromote, incident.VerbKeepSeverity, incident.VerbWaiveActions, incident.VerbReplacement}

// queryCases are the questions that people type, with a part of the answer to a member.
var queryCases = map[string][2]string{
	command.QueryHelp: {"help", "timeline"}, command.QueryList: {"list", "INC-1"}, command.QueryStatus: {"status ID", "payslip"}, command.QueryRecord: {"record show ID", "payslip"},
	command.QueryMenu: {"", "INC-1"}, command.QueryMy: {"my", "INC-1"}, command.QueryTimeline: {"timeline ID notes", "export ran at night"}, command.QueryPlaybooks: {"playbook list ID", "data-exposure"},
	command.QueryWho: {"who ID", "here since"}, command.QueryUpdates: {"updates ID", "we are looking"},
}

// TestVerbs_OverSlack types every verb and question as its author, as a member and as an
// outsider, over HTTP and over Socket Mode. The author causes the event, the member reads it
// in the timeline, and the outsider causes and learns nothing.
func TestVerbs_OverSlack(t *testing.T) {
	t.Parallel()
	for _, spec := range command.Specs() {
		for _, y := range spec.Syntaxes {
			hasCase := slices.Contains(verbsWithoutCase, y.Verb) || slices.ContainsFunc(verbCases, func(c verbCase) bool { return c.verb == y.Verb })
			if y.Verb != "" && !hasCase {
				t.Errorf("verb %s has no case", y.Verb)
			}
			if _, hasCase := queryCases[y.Query]; y.Query != "" && !hasCase && !slices.Contains([]string{"alerts", "explain", "maintenance"}, spec.Name) {
				t.Errorf("question %s has no case", y.Query)
			}
		}
	}
	for name, overHTTP := range map[string]bool{"http": true, "socket mode": false} {
		t.Run(name, func(t *testing.T) {
			outsider := company.Person{ID: "U0ZOE", Name: "Zoe Outsider", Email: "zoe@payroll.example", Department: "outsider"}
			v := &verbTest{botProcess: startBot(t, storetest.SQLite(t), company.Options{Seed: 62, HTTP: overHTTP, Limits: chat.Limits{Off: true}}, configureEverything, func(c map[string]any) {
				c["people"] = append(c["people"].([]any), map[string]any{"name": outsider.Name, "email": outsider.Email, "slack": outsider.ID})
			})}
			v.company.People = append(v.company.People, outsider)
			v.company.Chat.AddPerson(chat.Person{ID: outsider.ID, Name: "zoe", RealName: outsider.Name, Email: outsider.Email})
			for _, c := range verbCases {
				v.check(c)
			}
			for query, words := range queryCases {
				v.ask(query, words[0], words[1])
			}
		})
	}
}

type verbTest struct{ *botProcess }

// person returns a person by department and number.
func (v *verbTest) person(name string) company.Person {
	last := len(name) - 1
	return v.company.In(name[:last])[name[last]-'0']
}

// fill replaces the placeholders of a case.
func (v *verbTest) fill(text string, inc incident.Incident) string {
	zone, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		v.t.Fatal(err)
	}
	pairs := []string{"ID", "INC-1", "TOMORROW", time.Now().AddDate(0, 0, 1).Format(time.DateOnly), "MEETING", time.Now().Add(10 * time.Minute).In(zone).Format("2006-01-02 15:04")}
	if inc.Submission != nil {
		pairs = append(pairs, "DIGEST", inc.Submission.Digest)
	}
	for _, d := range append(company.Departments(), "outsider") {
		for n, p := range v.company.In(d) {
			pairs = append(pairs, fmt.Sprintf("@%s%d", d, n), mention(p))
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// byPeople returns the events that people caused.
func (v *verbTest) byPeople() []incident.Event {
	return slices.DeleteFunc(v.view(1).Timeline, func(e incident.Event) bool { return e.By == "" })
}

func (v *verbTest) check(c verbCase) {
	v.t.Helper()
	var before []incident.Event
	var inc incident.Incident
	if c.verb != incident.VerbOpen {
		before, inc = v.byPeople(), v.view(1).Incident
	}
	text := v.fill(c.text, inc)
	if c.verb != incident.VerbOpen && c.who != "outsider0" {
		reply, err := v.slash(v.person("outsider0"), "C0GENERAL", text)
		isDenied := strings.Contains(reply, "INC-1 does not exist, or you may not read it") || (c.verb == incident.VerbBreakGlass || !inc.Restricted) && strings.Contains(reply, "is none of them")
		if err != nil || !isDenied || strings.Contains(reply, "payslip") || len(v.byPeople()) != len(before) {
			v.t.Errorf("%s by an outsider: got %.300s, %v, want only that it may not exist", text, reply, err)
		}
	}
	reply, err := v.slash(v.person(c.who), "C0GENERAL", text)
	if err != nil || !strings.Contains(strings.ToLower(reply), strings.ToLower(c.answer)) {
		v.t.Errorf("%s by %s: got %.400s, %v, want %q in it", text, c.who, reply, err, c.answer)
	}
	var fresh []incident.Event
	if after := v.byPeople(); len(after) > len(before) {
		fresh = after[len(before):]
	}
	n := slices.IndexFunc(fresh, func(e incident.Event) bool { return e.Kind == c.event })
	switch {
	case c.event == "" && len(fresh) == 0:
		return
	case n < 0:
		v.t.Errorf("%s by %s: got %.300s and %d events, want %s", text, c.who, reply, len(fresh), c.event)
		return
	}
	shown, err := v.sendCommand("status INC-1")
	if err != nil {
		v.t.Fatal(err)
	}
	author := shown.Names[fresh[n].By]
	if e := fresh[n]; e.Via != incident.ViaSlack || author != v.person(c.who).Name {
		v.t.Errorf("%s: got an event by %s via %s, want %s via slack", text, author, e.Via, v.person(c.who).Name)
	}
	if c.verb == incident.VerbOpen {
		return
	}
	member := v.person("security2") // reads exclusions, too
	entry, err := v.slash(member, "C0GENERAL", fmt.Sprintf("timeline INC-1 entry %d", fresh[n].Seq))
	if err != nil || !strings.Contains(entry, v.person(c.who).Name) {
		v.t.Errorf("%s: a member reads %.400s, %v, want the entry with its author", text, entry, err)
	}
}

// ask types a question as a member and as an outsider.
func (v *verbTest) ask(query, text, answer string) {
	v.t.Helper()
	text = v.fill(text, incident.Incident{})
	reply, err := v.slash(v.person("security0"), "C0GENERAL", text)
	if err != nil || !strings.Contains(reply, answer) {
		v.t.Errorf("question %s by a member: got %.500s, %v, want %q in it", query, reply, err, answer)
	}
	reply, err = v.slash(v.person("engineering3"), "C0GENERAL", text) // a responder
	if err != nil || reply == "" {
		v.t.Errorf("question %s by a responder: got %q, %v", query, reply, err)
	}
}
