package command_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	. "tocsin/bot/command"
	. "tocsin/bot/incident"
)

// testContext returns the context of the channel of INC-42 on a Friday morning in
// Paris.
func testContext(t testing.TB) Context {
	t.Helper()
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	return Context{
		Incident: 42, Who: "p-ada", Zone: paris, Now: time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC), // 09:00 in Paris
		Directory: Directory{
			Audiences:  []UpdateAudience{{Name: "company", Channel: "C1"}, {Name: "customers", Mail: []string{"status@example.com"}, Restricted: true}},
			Statements: []Statement{{Name: "holding", Text: "We look into {incident}.", ApprovedBy: "Ben"}},
			People: []Person{
				{ID: "p-ada", Name: "Ada Lovelace", Identities: []Identity{{Provider: ProviderSlack, ID: "U01"}, {Provider: ProviderMail, ID: "ada@example.com"}}},
				{ID: "p-ben", Name: "Ben van der Berg", Identities: []Identity{{Provider: ProviderSlack, ID: "U02"}, {Provider: ProviderMail, ID: "ben@example.com"}}},
				{ID: "p-ben2", Name: "Ben Okri", Identities: []Identity{{Provider: ProviderMail, ID: "okri@example.com"}}},
			},
			Teams: []Team{{Name: "payroll", Group: "S07"}},
		},
	}
}

func TestParse(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	digest := "sha256:" + strings.Repeat("ab", 32)
	tests := []struct {
		text string
		want Parsed
	}{
		{"", Parsed{Query: QueryMenu, Command: Command{For: 42}}},
		{"/incident", Parsed{Query: QueryMenu, Command: Command{For: 42}}},
		{"actions", Parsed{Query: QueryActions, Command: Command{For: 42}}},
		{"actions overdue", Parsed{Query: QueryActions, Topic: "overdue", Command: Command{For: 42}}},
		{"actions ALL", Parsed{Query: QueryActions, Topic: "all", Command: Command{For: 42}}},
		{"actions INC-7", Parsed{Query: QueryActions, Command: Command{For: 7}}},
		{"my", Parsed{Query: QueryMy, Command: Command{For: 42}}},
		{"timeline", Parsed{Query: QueryTimeline, Command: Command{For: 42}}},
		{"timeline INC-7 notes by @ada before #40", Parsed{Query: QueryTimeline, Timeline: TimelineFilter{Topic: "notes", Person: "p-ada", Before: 40}, Command: Command{For: 7}}},
		{"timeline since 2026-11-20T02:31:00Z step", Parsed{Query: QueryTimeline, Timeline: TimelineFilter{Topic: "steps", Since: at("2026-11-20T02:31:00Z")}, Command: Command{For: 42, Zone: "UTC"}}},
		{"playbook", Parsed{Query: QueryPlaybooks, Command: Command{For: 42}}},
		{"playbook start data-exposure", Parsed{Command: Command{For: 42, Verb: VerbStartPlaybook, Playbook: "data-exposure"}}},
		{"handover to @ada the customer calls", Parsed{Command: Command{For: 42, Verb: VerbHandover, Person: "p-ada", Text: "the customer calls"}}},
		{"handover", Parsed{Form: VerbHandover, Command: Command{For: 42, Verb: VerbHandover}}},
		{"help sev", Parsed{Query: QueryHelp, Topic: "severity", Command: Command{For: 42}}},
		{"list approved, closed", Parsed{Query: QueryList, Filter: Filter{Statuses: []Status{Approved, Closed}}, Command: Command{For: 42}}},
		{"list all", Parsed{Query: QueryList, Filter: Filter{All: true}, Command: Command{For: 42}}},
		{"status", Parsed{Query: QueryStatus, Command: Command{For: 42}}},
		{"status #7", Parsed{Query: QueryStatus, Command: Command{For: 7}}},
		{"status 7", Parsed{Query: QueryStatus, Command: Command{For: 7}}},
		{"open", Parsed{Form: VerbOpen, Command: Command{Verb: VerbOpen}}},
		{"open SEV-2 --public Leaked AWS key", Parsed{Command: Command{Verb: VerbOpen, Severity: Sev2, Public: true, Title: "Leaked AWS key"}}},
		{"open “Leaked AWS key”", Parsed{Command: Command{Verb: VerbOpen, Title: "Leaked AWS key"}}},
		{"open INC-7 happens again", Parsed{Command: Command{Verb: VerbOpen, Title: "INC-7 happens again"}}},
		{"note #1 on the list", Parsed{Command: Command{For: 42, Verb: VerbNote, Text: "#1 on the list"}}},
		{"open\u00a0sev1\u00a0Keys gone", Parsed{Command: Command{Verb: VerbOpen, Severity: Sev1, Title: "Keys gone"}}},
		{"ack", Parsed{Command: Command{For: 42, Verb: VerbAcknowledge}}},
		{"ACK inc-7 sev2", Parsed{Command: Command{For: 7, Verb: VerbAcknowledge, Severity: Sev2}}},
		{"page", Parsed{Command: Command{For: 42, Verb: VerbPageAgain}}},
		{"page because ada is away", Parsed{Command: Command{For: 42, Verb: VerbPageAgain, Text: "ada is away"}}},
		{"page ada is away", Parsed{Command: Command{For: 42, Verb: VerbPageAgain, Text: "ada is away"}}},
		{"page more hands are needed", Parsed{Command: Command{For: 42, Verb: VerbPageAgain, Text: "more hands are needed"}}},
		{"page INC-7 @ada because it is hers", Parsed{Command: Command{For: 7, Verb: VerbPageAgain, Person: "p-ada", Text: "it is hers"}}},
		{"page " + Mention("p-ada", "Ada Lovelace") + " it is hers", Parsed{Command: Command{For: 42, Verb: VerbPageAgain, Person: "p-ada", Text: "it is hers"}}},
		{"page Ben van der Berg: it is his", Parsed{Command: Command{For: 42, Verb: VerbPageAgain, Person: "p-ben", Text: "it is his"}}},
		{"page legal because of a regulator", Parsed{Command: Command{For: 42, Verb: VerbPageAgain, Department: Legal, Text: "of a regulator"}}},
		{"page payroll", Parsed{Command: Command{For: 42, Verb: VerbPageAgain, Department: "payroll"}}},
		{"page ada@example.com legal because both know it", Parsed{Command: Command{For: 42, Verb: VerbPageAgain, Person: "p-ada", Department: Legal, Text: "both know it"}}},
		{"severity sev1 because customers are locked out", Parsed{Command: Command{For: 42, Verb: VerbSetSeverity, Severity: Sev1, Text: "customers are locked out"}}},
		{"role scribe " + Mention("p-ada", "Ada Lovelace"), Parsed{Command: Command{For: 42, Verb: VerbAssignRole, Role: Scribe, Person: "p-ada"}}},
		{"role commander me", Parsed{Command: Command{For: 42, Verb: VerbAssignRole, Role: Commander, Person: "p-ada"}}},
		{"role Scribe Ben van der Berg", Parsed{Command: Command{For: 42, Verb: VerbAssignRole, Role: Scribe, Person: "p-ben"}}},
		{"role scribe @ada", Parsed{Command: Command{For: 42, Verb: VerbAssignRole, Role: Scribe, Person: "p-ada"}}},
		{"role scribe OKRI@example.com", Parsed{Command: Command{For: 42, Verb: VerbAssignRole, Role: Scribe, Person: "p-ben2"}}},
		{"fact occurred yesterday 23:10 because the log shows it", Parsed{Command: Command{For: 42, Verb: VerbSetFact, Text: "the log shows it",
			Fact: &FactChange{Name: FactOccurred, Value: "2026-11-19T22:10:00Z"}}}},
		{"fact aware GDPR 02:31 because of a call from legal", Parsed{Command: Command{For: 42, Verb: VerbSetFact, Text: "of a call from legal",
			Fact: &FactChange{Name: FactAware, Regime: "gdpr", Value: "2026-11-20T01:31:00Z"}}}},
		{"fact detected 2026-11-20T01:31:00+01:00", Parsed{Form: VerbSetFact, Command: Command{For: 42, Verb: VerbSetFact, Zone: "UTC+01:00", Fact: &FactChange{Name: FactDetected, Value: "2026-11-20T00:31:00Z"}}}},
		{"fact personal data suspected because the dump held names", Parsed{Command: Command{For: 42, Verb: VerbSetFact, Text: "the dump held names",
			Fact: &FactChange{Name: FactPersonalData, Value: "suspected"}}}},
		{"fact time-zone Europe/Paris", Parsed{Command: Command{For: 42, Verb: VerbSetFact, Fact: &FactChange{Name: FactTimeZone, Value: "Europe/Paris"}}}},
		{`fact affected "Example SA" processor 1,200 notified 2026-11-20 08:00 because of the list`, Parsed{Command: Command{For: 42, Verb: VerbSetFact, Text: "of the list",
			Fact: &FactChange{Name: FactAffected, Affected: &Affected{Who: "Example SA", Capacity: Processor, Count: 1200, NotifiedAt: at("2026-11-20T07:00:00Z")}}}}},
		{"step done rotate-key the old one is gone", Parsed{Command: Command{For: 42, Verb: VerbStepDone, Step: "rotate-key", Text: "the old one is gone"}}},
		{"step skip leaked-aws-credentials/ask-aws because no contract", Parsed{Command: Command{For: 42, Verb: VerbStepSkip, Step: "leaked-aws-credentials/ask-aws", Text: "no contract"}}},
		{"step skip ask-aws", Parsed{Form: VerbStepSkip, Command: Command{For: 42, Verb: VerbStepSkip, Step: "ask-aws"}}},
		{"note at 02:31 disabled the key\nand rotated it", Parsed{Command: Command{For: 42, Verb: VerbNote, HappenedAt: at("2026-11-20T01:31:00Z"), Text: "disabled the key\nand rotated it"}}},
		{"note at 23:10 disabled the key", Parsed{Command: Command{For: 42, Verb: VerbNote, HappenedAt: at("2026-11-19T22:10:00Z"), Text: "disabled the key"}}},
		{"note at 02:31 UTC disabled the key", Parsed{Command: Command{For: 42, Verb: VerbNote, HappenedAt: at("2026-11-20T02:31:00Z"), Zone: "UTC", Text: "disabled the key"}}},
		{"note at least two keys are out", Parsed{Command: Command{For: 42, Verb: VerbNote, Text: "at least two keys are out"}}},
		{"note --audience legal-and-security the insurer " + Mention("p-ada", "Ada Lovelace") + " called " + MentionTeam("payroll", "payroll") + " #ops https://x.example/a",
			Parsed{Command: Command{For: 42, Verb: VerbNote, Audience: AudienceLegalSecurity, Text: "the insurer @Ada Lovelace called @payroll #ops https://x.example/a"}}},
		{`evidence "disk image" in s3://evidence/web-1 ` + digest, Parsed{Command: Command{For: 42, Verb: VerbEvidence,
			Evidence: &Evidence{Name: "disk image", Where: "s3://evidence/web-1", SHA256: strings.Repeat("ab", 32)}}}},
		{"contain at yesterday 23:10: disabled the key", Parsed{Command: Command{For: 42, Verb: VerbContain, HappenedAt: at("2026-11-19T22:10:00Z"), Text: "disabled the key"}}},
		{"contain 5 of 6 hosts isolated", Parsed{Command: Command{For: 42, Verb: VerbContain, Text: "5 of 6 hosts isolated"}}},
		{"resolve", Parsed{Form: VerbResolve, Command: Command{For: 42, Verb: VerbResolve}}},
		{"update at 10m ago logins were back", Parsed{Command: Command{For: 42, Verb: VerbUpdate, HappenedAt: at("2026-11-20T07:50:00Z"), Text: "logins were back"}}},
		{"record", Parsed{Form: VerbEditRecord, Command: Command{For: 42, Verb: VerbEditRecord}}},
		{"record show", Parsed{Query: QueryRecord, Command: Command{For: 42}}},
		{"record show INC-7", Parsed{Query: QueryRecord, Command: Command{For: 7}}},
		{"record confirm summary, future detection and impact", Parsed{Command: Command{For: 42, Verb: VerbEditRecord, Confirm: []string{"summary", "what_will_detect_it", "impact"}}}},
		{"record set INC-7 impact none", Parsed{Command: Command{For: 7, Verb: VerbEditRecord, Record: map[string]string{"impact": "none"}}}},
		{"step done INC-7 rotate-key gone", Parsed{Command: Command{For: 7, Verb: VerbStepDone, Step: "rotate-key", Text: "gone"}}},
		{"action done INC-7 a1", Parsed{Command: Command{For: 7, Verb: VerbFinishAction, Item: "A1"}}},
		{"review conclude INC-7", Parsed{Form: VerbConclude, Command: Command{For: 7, Verb: VerbConclude}}},
		{"note at 10.0.0.7 the log ends", Parsed{Command: Command{For: 42, Verb: VerbNote, Text: "at 10.0.0.7 the log ends"}}},
		{"record submit inc-7", Parsed{Command: Command{For: 7, Verb: VerbSubmit}}},
		{"record submit", Parsed{Command: Command{For: 42, Verb: VerbSubmit}}},
		{"record set Root cause: a key in a log", Parsed{Command: Command{For: 42, Verb: VerbEditRecord, Record: map[string]string{"root_cause": "a key in a log"}}}},
		{"record set future_detection a rule", Parsed{Command: Command{For: 42, Verb: VerbEditRecord, Record: map[string]string{"what_will_detect_it": "a rule"}}}},
		{"record set what will detect it \"a rule\"", Parsed{Command: Command{For: 42, Verb: VerbEditRecord, Record: map[string]string{"what_will_detect_it": "a rule"}}}},
		{"sign", Parsed{Form: VerbSign, Command: Command{For: 42, Verb: VerbSign}}},
		{"sign legal", Parsed{Form: VerbSign, Command: Command{For: 42, Verb: VerbSign, Department: Legal}}},
		{"sign Legal " + digest, Parsed{Command: Command{For: 42, Verb: VerbSign, Department: Legal, Expect: digest}}},
		{"object comms " + digest + " because it is wrong", Parsed{Command: Command{For: 42, Verb: VerbObject, Department: Communications, Expect: digest, Text: "it is wrong"}}},
		{"object legal it is wrong", Parsed{Form: VerbObject, Command: Command{For: 42, Verb: VerbObject, Department: Legal, Text: "it is wrong"}}},
		{"withdraw o1", Parsed{Command: Command{For: 42, Verb: VerbWithdraw, Item: "O1"}}},
		{"withdraw because I misread it", Parsed{Command: Command{For: 42, Verb: VerbWithdraw, Text: "I misread it"}}},
		{"revise the report is in", Parsed{Form: VerbRevise, Command: Command{For: 42, Verb: VerbRevise, Text: "the report is in"}}},
		{`revise set impact "none at all" set root_cause a guessed key because the report is in`, Parsed{Command: Command{For: 42, Verb: VerbRevise,
			Text: "the report is in", Record: map[string]string{"impact": "none at all", "root_cause": "a guessed key"}}}},
		{"withdraw legal", Parsed{Command: Command{For: 42, Verb: VerbWithdraw, Department: Legal}}},
		{"delegate end legal @ada because Grace is back", Parsed{Command: Command{For: 42, Verb: VerbEndDelegation, Department: Legal, Person: "p-ada", Text: "Grace is back"}}},
		{"delegate legal to Ada Lovelace until 2026-12-01", Parsed{Command: Command{For: 42, Verb: VerbDelegate, Department: Legal, Person: "p-ada", Until: at("2026-12-02T00:00:00+01:00")}}},
		{"consult " + MentionTeam("payroll", "payroll") + " blocking", Parsed{Command: Command{For: 42, Verb: VerbConsult, Department: "payroll", Blocking: true}}},
		{"involve legal because of the regulator", Parsed{Command: Command{For: 42, Verb: VerbInvolve, Department: Legal, Text: "of the regulator"}}},
		{"answer payroll no run was affected", Parsed{Command: Command{For: 42, Verb: VerbAnswer, Department: "payroll", Text: "no run was affected"}}},
		{"merge into INC-41 same key", Parsed{Command: Command{For: 42, Verb: VerbMerge, Target: 41, Text: "same key"}}},
		{"merge INC-41", Parsed{Command: Command{For: 42, Verb: VerbMerge, Target: 41}}},
		{"merge INC-40 into INC-41", Parsed{Command: Command{For: 40, Verb: VerbMerge, Target: 41}}},
		{"review 2026-11-24 10:00", Parsed{Command: Command{For: 42, Verb: VerbScheduleReview, When: at("2026-11-24T10:00:00+01:00")}}},
		{"review tomorrow at 10h30", Parsed{Command: Command{For: 42, Verb: VerbScheduleReview, When: at("2026-11-21T10:30:00+01:00")}}},
		{"review monday 10:00", Parsed{Command: Command{For: 42, Verb: VerbScheduleReview, When: at("2026-11-23T10:00:00+01:00")}}},
		{"review 08:30", Parsed{Command: Command{For: 42, Verb: VerbScheduleReview, When: at("2026-11-21T08:30:00+01:00")}}},
		{"review conclude", Parsed{Form: VerbConclude, Command: Command{For: 42, Verb: VerbConclude}}},
		{"review conclude with @ada, Ben Okri because we met at 10:30 already: rotate quarterly", Parsed{Command: Command{For: 42, Verb: VerbConclude, Attendance: []PersonID{"p-ada", "p-ben2"}, Text: "rotate quarterly", Reason: "we met at 10:30 already"}}},
		{"review conclude with @ada, Ben Okri: rotate quarterly because keys leak: all of them", Parsed{Command: Command{For: 42, Verb: VerbConclude, Attendance: []PersonID{"p-ada", "p-ben2"}, Text: "rotate quarterly because keys leak: all of them", Reason: ""}}},
		{`review conclude with @ada, Ben Okri because "one: both travel": rotate quarterly`, Parsed{Command: Command{For: 42, Verb: VerbConclude, Attendance: []PersonID{"p-ada", "p-ben2"}, Text: "rotate quarterly", Reason: "one: both travel"}}},
		{"review conclude with @ada, Ben Okri because soon:rotate quarterly", Parsed{Command: Command{For: 42, Verb: VerbConclude, Attendance: []PersonID{"p-ada", "p-ben2"}, Text: "rotate quarterly", Reason: "soon"}}},
		{"review conclude because both travel", Parsed{Form: VerbConclude, Command: Command{For: 42, Verb: VerbConclude, Reason: "both travel"}}},
		{"review conclude with @ada, Ben Okri: rotate quarterly", Parsed{Command: Command{For: 42, Verb: VerbConclude, Attendance: []PersonID{"p-ada", "p-ben2"}, Text: "rotate quarterly"}}},
		{"review waive because nothing can detect it", Parsed{Command: Command{For: 42, Verb: VerbWaiveActions, Text: "nothing can detect it"}}},
		{"action add detection alert on owner changes owner " + Mention("p-ada", "Ada") + " due 2026-12-24", Parsed{Command: Command{For: 42, Verb: VerbAddAction,
			Action: &Action{Kind: ActionDetection, Title: "alert on owner changes", Owner: "p-ada", Due: at("2026-12-24T00:00:00Z")}}}},
		{"action add prevention “short keys” owner me due in 2 weeks", Parsed{Command: Command{For: 42, Verb: VerbAddAction,
			Action: &Action{Kind: ActionPrevention, Title: "short keys", Owner: "p-ada", Due: at("2026-12-04T00:00:00Z")}}}},
		{"action done a1 the rule is live", Parsed{Command: Command{For: 42, Verb: VerbFinishAction, Item: "A1", Text: "the rule is live"}}},
		{"exclude --new-channel Ada Lovelace because x", Parsed{Command: Command{For: 42, Verb: VerbExclude, Person: "p-ada", Channel: ChannelNew, Text: "x"}}},
		{"exclude Ada Lovelace --remove because x", Parsed{Command: Command{For: 42, Verb: VerbExclude, Person: "p-ada", Channel: ChannelRemove, Text: "x"}}},
		{"grant Ada Lovelace because she runs it", Parsed{Command: Command{For: 42, Verb: VerbGrant, Person: "p-ada", Text: "she runs it"}}},
		{"public", Parsed{Command: Command{For: 42, Verb: VerbRestrict, Public: true}}},
		{"restrict INC-7", Parsed{Command: Command{For: 7, Verb: VerbRestrict}}},
		{"erase 17/text, 18/reason because a card number", Parsed{Command: Command{For: 42, Verb: VerbErase, Erase: []TextRef{{Seq: 17, Name: "text"}, {Seq: 18, Name: "reason"}}, Text: "a card number"}}},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			got, err := Parse(test.text, testContext(t))
			if err != nil {
				t.Fatal(err)
			}
			got.Command.HappenedAt, test.want.Command.HappenedAt = utc(got.Command.HappenedAt), utc(test.want.Command.HappenedAt)
			got.Command.When, test.want.Command.When = utc(got.Command.When), utc(test.want.Command.When)
			got.Command.Until, test.want.Command.Until = utc(got.Command.Until), utc(test.want.Command.Until)
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
				if got.Command.Fact != nil {
					t.Errorf("fact %+v %+v", got.Command.Fact, got.Command.Fact.Affected)
				}
			}
		})
	}
}

func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}

func TestParse_Errors(t *testing.T) {
	tests := []struct{ text, field, want string }{
		{"akc", "verb", `Did you mean "ack"?`},
		{"sevrity sev1", "verb", `Did you mean "severity"?`},
		{"xyzzyplugh", "verb", "Type help for all commands"},
		{"help resovle", "verb", `Did you mean "resolve"?`},
		{"severity 7", "severity", "sev1"},
		{"open --publik Leaked key", "flag", `Did you mean "--public"?`},
		{"note --audiense all x", "flag", `Did you mean "--audience"?`},
		{"list aproved", "status", `Did you mean "approved"?`},
		{"role scribe Ada Lovelase", "person", "Lovelase"},
		{"role scribe adda", "person", `Did you mean "Ada"?`},
		{"role scribe ben", "person", "Ben van der Berg (ben@example.com), Ben Okri"},
		{"role scribe " + Mention("", "zoe"), "person", "zoe is not linked to a person"},
		{"role scribe " + MentionTeam("payroll", "payroll"), "person", `unknown person "payroll".`},
		{"consult " + Mention("p-ada", "Ada Lovelace"), "department", `unknown department "Ada Lovelace".`},
		{"fact ocurred 02:31", "fact", `Did you mean "occurred"?`},
		{"fact occurred noonish", "value", "is not a date or time"},
		{"fact aware 02:31", "regime", "aware gdpr"},
		{"fact personal_data suspcted", "value", `Did you mean "suspected"?`},
		{"fact time_zone Paris", "value", "Europe/Paris"},
		{"fact affected Example SA", "value", "controller"},
		{"step don rotate-key", "step", `Did you mean "done"?`},
		{"step", "step", "step needs done or skip. Type step done"},
		{"note at 25:99 the log ends", "happened_at", "25:99"},
		{"contain at 2026-02-30 10:00 it is out", "happened_at", "2026-02-30"},
		{"note --audience world x", "audience", "responders"},
		{"record set root_caus x", "field", `Did you mean "root_cause"?`},
		{"sign leagl", "department", `Did you mean "legal"?`},
		{"sign legal yes", "digest", "sha256:"},
		{"delegate legal @ada until", "until", "needs a date"},
		{"review next year", "when", "tomorrow 10:00"},
		{"review conclude with @ada, @ben because both travel", "text", "the decisions are missing"},
		{"actions overdu", "scope", `Did you mean "overdue"?`},
		{"review conclud", "when", `Did you mean "conclude"?`},
		{"action add detecton x owner @ada due friday", "kind", `Did you mean "detection"?`},
		{"action add detection x", "owner", "owner PERSON"},
		{"action add detection x owner @ada due soonish", "due", "is not a date"},
		{"erase everything", "erase", "17/text"},
		{"merge because", "target", "INC-41"},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			w, err := Parse(test.text, testContext(t))
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %+v, %v, want an Error", w, err)
			}
			if e.Field != test.field || !strings.Contains(e.Error(), test.want) {
				t.Errorf("got field %q: %s\nwant field %q: %s", e.Field, e.Error(), test.field, test.want)
			}
		})
	}
}

// TestParse_ErrorsShowNames replaces each word of the examples with a mention. No error
// shows the syntax of a mention.
func TestParse_ErrorsShowNames(t *testing.T) {
	for _, m := range []string{Mention("p-ada", "Ada"), Mention("", "zoe"), MentionTeam("payroll", "payroll")} {
		for _, s := range Specs() {
			texts := []string{m, s.Name + " " + m, s.Name + " INC-42 " + m + " because " + m}
			for _, y := range s.Syntaxes {
				texts = append(texts, strings.Join(append([]string{s.Name}, y.Words...), " ")+" "+m)
			}
			for _, e := range s.Examples {
				words := strings.Fields(e)
				for n := range words {
					texts = append(texts, strings.Join(slices.Replace(slices.Clone(words), n, n+1, m), " "))
				}
			}
			for _, text := range texts {
				if _, err := Parse(text, testContext(t)); err != nil && strings.ContainsAny(err.Error(), "{}") {
					t.Errorf("%s: got error %v", text, err)
				}
			}
		}
	}
}

func TestParse_NeedsIncident(t *testing.T) {
	c := testContext(t)
	c.Incident = 0
	_, err := Parse("contain disabled the key", c)
	var e *Error
	if !errors.As(err, &e) || e.Field != "incident" {
		t.Fatalf("outside a channel: got %v, want an error in field incident", err)
	}
	if w, err := Parse("contain INC-7 disabled the key", c); err != nil || w.Command.For != 7 {
		t.Fatalf("with a number: got %+v, %v", w.Command, err)
	}
	if _, err := Parse("list", c); err != nil {
		t.Fatalf("list without an incident: got %v, want no error", err)
	}
}

func TestParse_OutsiderOnlyOpensAndReadsHelp(t *testing.T) {
	eve := Identity{Provider: ProviderSlack, ID: "U0EVE"}
	for _, verb := range Specs() {
		for _, line := range append(verb.Examples, verb.Name+" @Nmae", verb.Name) {
			_, err := Parse(line, Context{By: eve, Directory: testContext(t).Directory, Incident: 7})
			if verb.Name == "open" || verb.Name == "help" {
				if CodeOf(err) == CodeForbidden {
					t.Errorf("%s: got %v", line, err)
				}
			} else if err == nil || err.Error() != NotLinked(eve).Error() {
				t.Errorf("%s: got %v, want that the account has no person", line, err)
			}
		}
	}
}

func TestAllowedVerbs_CanBeTyped(t *testing.T) {
	for _, s := range Statuses() {
		for _, v := range AllowedVerbs(s) {
			word, more, _ := strings.Cut(v.CommandName(), " ")
			n := slices.IndexFunc(Specs(), func(spec Spec) bool { return spec.Name == word })
			if n < 0 || more != "" && !slices.Contains(Specs()[n].Next(), more) {
				t.Errorf("%s: %q cannot be typed", v, v.CommandName())
			}
		}
	}
}

func TestSpecs_ExamplesParse(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range Specs() {
		for _, name := range append([]string{v.Name}, v.Aliases...) {
			if seen[name] {
				t.Errorf("%q: two verbs with this name", name)
			}
			seen[name] = true
		}
		if v.Help == "" || len(v.Examples) == 0 {
			t.Errorf("%s: want a help and an example", v.Name)
		}
		for _, example := range v.Examples {
			text := strings.ReplaceAll(example, "sha256:…", "sha256:"+strings.Repeat("0", 64))
			if _, err := Parse(text, testContext(t)); err != nil {
				t.Errorf("%s: %v", example, err)
			}
		}
	}
}

func TestForm_HappenedAt(t *testing.T) {
	form, _ := FormOf(VerbNote)
	cmd, err := form.Command(VerbNote, FormState{}, Values{"happened_at": {"2026-11-19T22:10:00Z"}}, testContext(t))
	if want := time.Date(2026, 11, 19, 22, 10, 0, 0, time.UTC); err != nil || !cmd.HappenedAt.Equal(want) {
		t.Errorf("got %s, %v; want %s", cmd.HappenedAt, err, want)
	}
	_, err = form.Command(VerbNote, FormState{}, Values{"happened_at": {"02:31 or so"}}, testContext(t))
	var e *Error
	if !errors.As(err, &e) || e.Field != "happened_at" {
		t.Errorf("got %v, want an error in field happened_at", err)
	}
}

// An argument of the shell stays one argument, also with quotes inside.
func TestJoinArgs(t *testing.T) {
	for want, args := range map[string][]string{
		`evidence "disk image" in s3://x`:                   {"evidence", "disk image", "in", "s3://x"},
		`evidence "the ""old"" disk" in s3://x`:             {"evidence", `the "old" disk`, "in", "s3://x"},
		`note "" x`:                                         {"note", "", "x"},
		`maintenance add 2h "project == ""web""" because x`: {"maintenance", "add", "2h", `project == "web"`, "because", "x"},
	} {
		if got := JoinArgs(args); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	w, err := Parse(JoinArgs([]string{"evidence", `the "old" disk`, "in", "s3://x"}), testContext(t))
	if err != nil || w.Command.Evidence.Name != `the "old" disk` || w.Command.Evidence.Where != "s3://x" {
		t.Errorf("got %+v, %v", w.Command.Evidence, err)
	}
	w, err = Parse(JoinArgs([]string{"maintenance", "add", "2h", `project == "web"`, "because", "the “move”"}), testContext(t))
	if err != nil || w.AlertRequest.Add.When != `project == "web"` || w.AlertRequest.Add.Reason != "the “move”" {
		t.Errorf("got %+v, %v", w.AlertRequest, err)
	}
}

// FuzzParse checks that any text yields a query, a command or an [Error],
// and that a title is not longer than the text plus expanded mentions.
func FuzzParse(f *testing.F) {
	for _, v := range Specs() {
		for _, example := range v.Examples {
			f.Add(example)
		}
	}
	f.Add("note “unclosed <@U01")
	f.Add("fact affected \xff\xfe processor 99999999999999999999")
	f.Add("contain at 99999999999h ago x")
	f.Fuzz(func(t *testing.T, text string) {
		w, err := Parse(text, testContext(t))
		var e *Error
		switch {
		case err != nil && !errors.As(err, &e):
			t.Fatalf("%q: got %v, want an Error", text, err)
		case err == nil && w.Query == "" && w.Command.Verb == "":
			t.Fatalf("%q: got neither a query nor a command", text)
		case err == nil && len(w.Command.Title) > len(text)+64*strings.Count(text, "<"):
			t.Fatalf("%q: title is longer than the text", text)
		}
	})
}
