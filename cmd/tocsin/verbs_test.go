//go:build !race

package main_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/command"
	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
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
	{incident.VerbGrant, "security0", "grant ID @engineering2 because she helps", incident.EventAccessGranted, ""},
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
	{incident.VerbWaiveActions, "engineering0", "review waive ID because the job is gone", incident.EventWaiverProposed, ""},
	{incident.VerbConclude, "engineering1", "review conclude ID with @engineering0, @engineering1 because everybody is here: we met", incident.EventReviewConcluded, ""},
	{incident.VerbRevise, "engineering1", `revise ID set root_cause "the key was guessed" because forensics say so`, incident.EventRevised, ""},
	{incident.VerbRequestAccess, "outsider0", "access request ID because I run payroll", incident.EventAccessRequested, ""},
	{incident.VerbEndorseAccess, "security0", "access endorse ID @outsider0", incident.EventAccessGranted, ""},
}

// alertCases follow verbCases. They are about incidents that alerts opened.
var alertCases = []struct {
	on     incident.ID
	before func(*verbTest)
	verbCase
}{
	{2, (*verbTest).openByAlert, verbCase{incident.VerbKeepSeverity, "engineering0", "severity keep ID because it is the same disk", incident.EventSeverityKept, "sev4"}},
	{2, nil, verbCase{incident.VerbSplit, "engineering0", "split ID alerts A2 The second disk because it is another team's", incident.EventSplitInto, "INC-3"}},
	{3, nil, verbCase{incident.VerbMerge, "engineering0", "merge ID into INC-2 after all it is the same", incident.EventMergedInto, "INC-2"}},
	{2, nil, verbCase{incident.VerbDismiss, "engineering0", "dismiss ID no-personal-data because a full disk", incident.EventDismissed, "dismissed"}},
	{4, (*verbTest).watchAlert, verbCase{incident.VerbPromote, "engineering0", "alerts promote A3 sev4", incident.EventOpened, "INC-4"}},
}

// administratorVerbs are refused in the chat.
var administratorVerbs = map[incident.Verb]string{incident.VerbReplacement: "replacement INC-1 legal @legal1 because legal left"}

// idleVerbs have nothing to do in the test. Each has a command and a part of its answer to a member.
var idleVerbs = map[incident.Verb][2]string{incident.VerbConfirmChange: {"confirm ID all", "waits for a confirmation"}}

// queryCases are the questions that people type, with a part of the answer to a member.
var queryCases = map[string][2]string{
	command.QueryHelp: {"help", "timeline"}, command.QueryList: {"list", "INC-1"}, command.QueryStatus: {"status ID", "payslip"}, command.QueryRecord: {"record show ID", "payslip"},
	command.QueryMenu: {"", "INC-1"}, command.QueryMy: {"my", "INC-1"}, command.QueryTimeline: {"timeline ID notes", "export ran at night"}, command.QueryPlaybooks: {"playbook list ID", "data-exposure"},
	command.QueryWho: {"who ID", "here since"}, command.QueryUpdates: {"updates ID", "we are looking"}, command.QueryActions: {"actions all", "INC-1"},
	incident.QueryTestPage: {"page test", ""}, incident.QueryAlerts: {"alerts watched", "watched alerts"}, incident.QueryExplain: {"explain A3", "watch"}, incident.QueryMaintenance: {"maintenance", ""},
	incident.QueryAsk: {"ask 198.51.100.7 last 24h", "The answer has only"},
}

// TestVerbs_OverSlack gives every verb and question as its author, as a member and as an
// outsider, over HTTP and over Socket Mode. The author types the command, or uses the form
// or the button of the verb if there is one. The author causes the event, the member reads
// it in the timeline, and the outsider causes and learns nothing.
func TestVerbs_OverSlack(t *testing.T) {
	t.Parallel()
	requireVerbCases(t)
	for name, overHTTP := range map[string]bool{"http": true, "socket mode": false} {
		for _, door := range []string{"text", "form", "button"} {
			t.Run(name+" "+door, func(t *testing.T) {
				v := newVerbTest(t, overHTTP, door)
				for _, c := range verbCases {
					v.check(1, c)
					if c.verb == incident.VerbOpen {
						v.askAsOutsider()
						v.pressAsOutsider()
					}
				}
				for _, c := range alertCases {
					if c.before != nil {
						c.before(v)
					}
					v.check(c.on, c.verbCase)
				}
				for _, text := range administratorVerbs {
					if reply, err := v.slash(v.person("engineering0"), "C0GENERAL", v.fill(1, text)); err != nil || !strings.Contains(reply, "is for administrators") {
						t.Errorf("%s: got %.300s, %v, want a refusal", text, reply, err)
					}
				}
				for _, words := range idleVerbs {
					for who, want := range map[string]string{"engineering0": words[1], "outsider0": "is none of them"} {
						if reply, err := v.slash(v.person(who), "C0GENERAL", v.fill(1, words[0])); err != nil || !strings.Contains(reply, want) {
							t.Errorf("%s by %s: got %.300s, %v, want %q in it", words[0], who, reply, err, want)
						}
					}
				}
				for query, words := range queryCases {
					v.ask(query, words[0], words[1])
				}
			})
		}
	}
}

// requireVerbCases fails the test if a verb or a question has no case.
func requireVerbCases(t *testing.T) {
	t.Helper()
	have := map[incident.Verb]bool{}
	for _, c := range verbCases {
		have[c.verb] = true
	}
	for _, c := range alertCases {
		have[c.verb] = true
	}
	for verb := range administratorVerbs {
		have[verb] = true
	}
	for verb := range idleVerbs {
		have[verb] = true
	}
	for _, spec := range command.Specs() {
		for _, y := range spec.Syntaxes {
			if y.Verb != "" && !have[y.Verb] {
				t.Errorf("verb %s has no case", y.Verb)
			}
			if _, hasCase := queryCases[y.Query]; y.Query != "" && !hasCase {
				t.Errorf("question %s has no case", y.Query)
			}
		}
	}
}

const verbToken = "0123456789abcdef-token"

func newVerbTest(t *testing.T, overHTTP bool, door string) *verbTest {
	outsider := company.Person{ID: "U0ZOE", Name: "Zoe Outsider", Email: "zoe@payroll.example", Department: "outsider"}
	v := &verbTest{door: door, botProcess: startBot(t, storetest.SQLite(t), company.Options{Seed: 62, HTTP: overHTTP, Limits: chat.Limits{Off: true}}, configureEverything, func(c map[string]any) {
		c["people"] = append(c["people"].([]any), map[string]any{"name": outsider.Name, "email": outsider.Email, "slack": outsider.ID})
		c["sources"].(map[string]any)["alertmanager"] = map[string]any{"tokens": []string{verbToken}}
	}, withRouting(map[string]any{"when": `source == "cloudtrail"`, "watch": true}, map[string]any{"when": "true", "open": "sev3"}))}
	v.company.People = append(v.company.People, outsider)
	v.company.Chat.AddPerson(chat.Person{ID: outsider.ID, Name: "zoe", RealName: outsider.Name, Email: outsider.Email})
	return v
}

type verbTest struct {
	*botProcess
	door string // through which authors give commands: text, form or button
}

// openByAlert opens INC-2 by an alert. A person lowers the severity, and another alert
// proposes to raise it again.
func (v *verbTest) openByAlert() {
	v.t.Helper()
	v.fire("host-1")
	v.waitFor(time.Minute, "INC-2", func() bool { return v.queryInt("SELECT count(*) FROM incidents") == 2 })
	if reply, err := v.slash(v.person("engineering0"), "C0GENERAL", "severity INC-2 sev4 because it is small"); !isRecorded(reply, err) {
		v.t.Fatalf("got %s, %v", reply, err)
	}
	v.fire("host-2")
	v.waitFor(time.Minute, "a proposal", func() bool { return v.view(2).Incident.SeverityProposal != nil })
}

// fire sends an alert of the group that opens INC-2.
func (v *verbTest) fire(host string) {
	v.t.Helper()
	body := fmt.Sprintf(`{"version":"4","groupKey":"{}:{}","truncatedAlerts":0,"status":"firing","receiver":"t","alerts":[{"status":"firing","labels":{"alertname":"Full","instance":%q},`+
		`"annotations":{},"startsAt":"2026-11-20T02:00:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://p","fingerprint":%q}]}`, host, host)
	req, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, v.url+"/hooks/alertmanager", strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+verbToken)
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.StatusCode != http.StatusAccepted {
		v.t.Fatalf("got %v, %v, want 202", res, err)
	}
	_ = res.Body.Close()
}

// watchAlert sends an alert that opens no incident.
func (v *verbTest) watchAlert() {
	v.t.Helper()
	if a, err := v.company.Trail.Send(v.t.Context(), v.company.Trail.Delivery(feed.StopLogging(1), feed.Copy{N: 1})); err != nil || a.Status != http.StatusAccepted {
		v.t.Fatalf("got %+v, %v, want 202", a, err)
	}
	v.waitFor(time.Minute, "a watched alert", func() bool { return v.queryInt("SELECT count(*) FROM alerts") == 3 })
}

// person returns a person by department and number.
func (v *verbTest) person(name string) company.Person {
	last := len(name) - 1
	return v.company.In(name[:last])[name[last]-'0']
}

// fill replaces the placeholders of a case.
func (v *verbTest) fill(on incident.ID, text string) string {
	return v.fillWith(on, text, mention)
}

func (v *verbTest) fillWith(on incident.ID, text string, mention func(company.Person) string) string {
	zone, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		v.t.Fatal(err)
	}
	pairs := []string{"ID", on.String(), "TOMORROW", time.Now().AddDate(0, 0, 1).Format(time.DateOnly), "MEETING", time.Now().Add(10 * time.Minute).In(zone).Format("2006-01-02 15:04")}
	if strings.Contains(text, "DIGEST") {
		pairs = append(pairs, "DIGEST", v.view(on).Incident.Submission.Digest)
	}
	for _, d := range append(company.Departments(), "outsider") {
		for n, p := range v.company.In(d) {
			pairs = append(pairs, fmt.Sprintf("@%s%d", d, n), mention(p))
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// byPeople returns the events that people caused.
func (v *verbTest) byPeople(on incident.ID) []incident.Event {
	return slices.DeleteFunc(v.view(on).Timeline, func(e incident.Event) bool { return e.By == "" })
}

// opens reports whether a verb opens the incident.
func opens(verb incident.Verb) bool { return verb == incident.VerbOpen || verb == incident.VerbPromote }

func (v *verbTest) check(on incident.ID, c verbCase) {
	v.t.Helper()
	var before []incident.Event
	var inc incident.Incident
	if !opens(c.verb) {
		before, inc = v.byPeople(on), v.view(on).Incident
	}
	text := v.fill(on, c.text)
	if c.verb != incident.VerbOpen && c.who != "outsider0" {
		reply, err := v.slash(v.person("outsider0"), "C0GENERAL", text)
		isDenied := strings.Contains(reply, on.String()+" does not exist, or you may not read it") ||
			(c.verb == incident.VerbBreakGlass || !inc.Restricted) && strings.Contains(reply, "is none of them") ||
			c.verb == incident.VerbPromote && strings.Contains(reply, "Only responders may do this")
		if err != nil || !isDenied || strings.Contains(reply, "payslip") || !opens(c.verb) && len(v.byPeople(on)) != len(before) {
			v.t.Errorf("%s by an outsider: got %.300s, %v, want only that it may not exist", text, reply, err)
		}
	}
	reply, err := v.give(on, c, text)
	if err != nil || v.door == "text" && !strings.Contains(strings.ToLower(reply), strings.ToLower(c.answer)) {
		v.t.Errorf("%s by %s: got %.400s, %v, want %q in it", text, c.who, reply, err, c.answer)
	}
	var fresh []incident.Event
	if after := v.byPeople(on); len(after) > len(before) {
		fresh = after[len(before):]
	}
	n := slices.IndexFunc(fresh, func(e incident.Event) bool { return e.Kind == c.event })
	switch {
	case c.event == "" && len(fresh) == 0:
		return
	case n < 0:
		v.t.Errorf("%s by %s: got %.600s and %d events, want %s", text, c.who, reply, len(fresh), c.event)
		return
	}
	shown, err := v.sendCommand("status " + on.String())
	if err != nil {
		v.t.Fatal(err)
	}
	author := shown.Names[fresh[n].By]
	if e := fresh[n]; e.Via != incident.ViaSlack || author != v.person(c.who).Name {
		v.t.Errorf("%s: got an event by %s via %s, want %s via slack", text, author, e.Via, v.person(c.who).Name)
	}
	if opens(c.verb) {
		return
	}
	member := v.person("security2") // reads exclusions, too
	entry, err := v.slash(member, "C0GENERAL", fmt.Sprintf("timeline %s entry %d", on, fresh[n].Seq))
	if err != nil || !strings.Contains(entry, v.person(c.who).Name) {
		v.t.Errorf("%s: a member reads %.400s, %v, want the entry with its author", text, entry, err)
	}
}

// ask types a question as a member and as an outsider.
func (v *verbTest) ask(query, text, answer string) {
	v.t.Helper()
	text = v.fill(1, text)
	reply, err := v.slash(v.person("security0"), "C0GENERAL", text)
	if err != nil || !strings.Contains(reply, answer) {
		v.t.Errorf("question %s by a member: got %.500s, %v, want %q in it", query, reply, err, answer)
	}
	reply, err = v.slash(v.person("engineering3"), "C0GENERAL", text) // a responder
	if err != nil || reply == "" {
		v.t.Errorf("question %s by a responder: got %q, %v", query, reply, err)
	}
}
