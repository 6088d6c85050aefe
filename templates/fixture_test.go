package templates

import (
	"crypto/sha256"
	"testing"
	"time"

	"tocsin/bot/incident"
)

// testIncident is a company with one incident. Its events are the results of
// commands.
type testIncident struct {
	t      testing.TB
	dir    incident.Directory
	now    time.Time
	inc    incident.Incident
	events []incident.Event
	salts  int
}

var startTime = time.Date(2026, 11, 24, 1, 58, 0, 0, time.UTC)

func newTestIncident(t testing.TB) *testIncident {
	w := &testIncident{t: t, now: startTime, inc: incident.New(42)}
	people := []struct {
		id   incident.PersonID
		name string
		team incident.Department
	}{
		{"ada", "Ada Okafor", incident.Engineering}, {"ben", "Ben Lindqvist", incident.Engineering},
		{"chloe", "Chloé Marchand", incident.Security}, {"dev", "Dev Raman", incident.Security},
		{"elena", "Elena Fischer", incident.Legal}, {"farid", "Farid Haddad", incident.Legal},
		{"grace", "Grace Whitfield", incident.Communications}, {"hugo", "Hugo Sanchez", incident.Communications},
		{"ines", "Inês Carvalho", "payroll"}, {"jan", "Jan Novák", "payroll"},
	}
	for _, p := range people {
		w.dir.People = append(w.dir.People, incident.Person{ID: p.id, Name: p.name, Responder: p.team == incident.Engineering || p.team == incident.Security})
	}
	for _, team := range append(incident.RequiredDepartments(), "payroll") {
		t := incident.Team{Name: team}
		for _, p := range people {
			if p.team == team {
				t.Members = append(t.Members, incident.Membership{Person: p.id})
			}
		}
		w.dir.Teams = append(w.dir.Teams, t)
	}
	return w
}

func (w *testIncident) salt() []byte {
	w.salts++
	sum := sha256.Sum256([]byte{byte(w.salts), byte(w.salts >> 8)})
	return sum[:]
}

// at sets the clock to minutes after startTime.
func (w *testIncident) at(minutes int) *testIncident {
	w.now = startTime.Add(time.Duration(minutes) * time.Minute)
	return w
}

// do executes a command of a person, or of the bot if p is "". It fails the test if
// the command is rejected.
func (w *testIncident) do(p incident.PersonID, cmd incident.Command) {
	w.t.Helper()
	env := incident.Env{Now: w.now, Actor: p, System: p == "", Directory: w.dir,
		Policy: incident.Policy{EscalateAfter: 5 * time.Minute, AckTimeout: 30 * time.Minute, EscalationSteps: 3, TimeZone: "Europe/Paris", Language: "en"}}
	cmd.For, cmd.Via, cmd.Auth = w.inc.ID, incident.ViaSlack, "Slack request signature"
	if p == "" {
		cmd.Via, cmd.Auth = incident.ViaSystem, ""
	}
	events, err := incident.Decide(cmd, w.inc, env)
	if err != nil {
		w.t.Fatalf("%s by %q in %s: %v", cmd.Verb, p, w.inc.Status, err)
	}
	for _, e := range events {
		e, _ = incident.Seal(w.inc.Head, e, w.salt)
		w.inc = incident.Apply(w.inc, e)
		w.events = append(w.events, e)
	}
	w.now = w.now.Add(7 * time.Second)
}

var sampleRecord = map[string]string{
	"summary":              "An AWS access key of the payroll exporter was pushed to a public repository and used by somebody else for 52 minutes to list buckets and to try to create users. It was disabled 26 minutes after the first alert.",
	"impact":               "- Names and bank accounts of **1,200 employees of one customer** could be read in `s3://payroll-exports`.\n- 14 objects were listed, none was downloaded: data events were on, and complete, for the whole time.\n- No change to the account survived.",
	"root_cause":           "The exporter ran with a long-lived user key, because its old build host could not assume a role. The key stood in a `.env` file, and nothing stopped that file from being pushed.\n\nReview did not see it: the file came with a generated commit of 3,100 lines.",
	"contributing_factors": "1. Push protection was off for repositories created before 2025.\n2. The key could read all exports, not only its own.",
	"what_was_done":        "Disabled the key, revoked sessions, removed one foreign user, moved the exporter to a role, rotated 6 secrets.",
	"what_detected_it":     "CloudTrail: GetCallerIdentity from an unknown network, 26 minutes after the push.",
	"what_will_detect_it":  "An alert on any use of a user key outside our networks; a scan of public repositories every hour.",
	"what_will_prevent_it": "No user keys: a service control policy denies creating them. Push protection everywhere.",
	"audience":             "all", "language": "en",
}

// samplePlaybook is the playbook run of the sample incident.
var samplePlaybook = incident.Run{Playbook: "leaked-aws-credentials", Title: "Leaked AWS credentials", Digest: "sha256:4be1c2", Plan: []incident.Step{
	{ID: "ground-rules", Title: "Agree on how to work", Action: "post Nobody tries the key out."},
	{ID: "identify-key", Title: "Find out which key", Role: "security", Deadline: 10 * time.Minute},
	{ID: "disable-key", Title: "Disable the key", Role: "operations", Deadline: 15 * time.Minute},
	{ID: "answer-aws", Title: "Answer AWS", Role: "operations"}}}

// submittedIncident returns an incident with a record that was submitted, amended
// and submitted again.
func submittedIncident(t testing.TB, title string) *testIncident {
	w := newTestIncident(t)
	w.do("", incident.Command{Verb: incident.VerbOpen, Title: title, Severity: incident.Sev2, Runs: []incident.Run{samplePlaybook},
		Alert: &incident.AlertRef{Alert: 1, Source: "cloudtrail", Kind: "cloudtrail.GetCallerIdentity", Level: incident.LevelHigh, Title: "GetCallerIdentity from an unknown network by payroll-exporter",
			Rule: "Unknown network (Tocsin)", At: startTime.Add(-time.Minute)}})
	w.do("", incident.Command{Verb: incident.VerbPage, Round: 1})
	w.do("", incident.Command{Verb: incident.VerbPaged, Round: 1})
	w.at(1).do("", incident.Command{Verb: incident.VerbLink, Links: map[string]string{incident.LinkChannel: "C0123456789"}})
	w.do("", incident.Command{Verb: incident.VerbInvited, People: []incident.PersonID{"ada", "ben", "chloe"}})
	w.do("", incident.Command{Verb: incident.VerbStepDone, Step: "ground-rules", Text: "Nobody tries the key out."})
	w.at(5).do("", incident.Command{Verb: incident.VerbPageTimeout, Round: 1})
	w.do("", incident.Command{Verb: incident.VerbPage, Round: 1, EscalationStep: 1})
	w.do("", incident.Command{Verb: incident.VerbPaged, Round: 1, EscalationStep: 1})
	w.at(6).do("ada", incident.Command{Verb: incident.VerbAcknowledge})
	w.at(8).do("ada", incident.Command{Verb: incident.VerbAssignRole, Role: incident.Scribe, Person: "ben"})
	w.do("chloe", incident.Command{Verb: incident.VerbAssignRole, Role: incident.SecurityLead, Person: "chloe"})
	w.at(11).do("chloe", incident.Command{Verb: incident.VerbStepDone, Step: "identify-key", Text: "AKIAEXAMPLE of payroll-exporter, account 123456789012, last used 02:04 from 203.0.113.7"})
	w.at(30).do("ada", incident.Command{Verb: incident.VerbNote, Text: "disabled the key", HappenedAt: startTime.Add(26 * time.Minute)})
	w.do("ada", incident.Command{Verb: incident.VerbStepDone, Step: "disable-key", Text: "update-access-key, then list-access-keys:\n\n    AKIAEXAMPLE  Inactive\n    (no other key)"})
	w.at(33).do("chloe", incident.Command{Verb: incident.VerbSetFact, Fact: &incident.FactChange{Name: incident.FactPersonalData, Value: "suspected"}, Text: "the key could read the payroll exports"})
	w.do("chloe", incident.Command{Verb: incident.VerbSetFact, Fact: &incident.FactChange{Name: incident.FactOccurred, Value: "2026-11-24T01:32:00Z"}, Text: "the commit was pushed then"})
	w.do("chloe", incident.Command{Verb: incident.VerbSetFact, Fact: &incident.FactChange{Name: incident.FactDetected, Value: "2026-11-24T01:58:00Z"}, Text: "the alert arrived then"})
	w.at(41).do("chloe", incident.Command{Verb: incident.VerbEvidence, Evidence: &incident.Evidence{Name: "lookup-events AKIAEXAMPLE eu-west-1", Where: "s3://evidence/INC-42/",
		SHA256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}})
	w.at(52).do("ada", incident.Command{Verb: incident.VerbContain, Text: "key disabled, sessions revoked, one foreign user disabled"})
	w.at(60).do("grace", incident.Command{Verb: incident.VerbUpdate, Text: "A credential was misused and is disabled. We are checking what it could read. Next update at 04:00 UTC."})
	w.at(75).do("elena", incident.Command{Verb: incident.VerbNote, Text: "Privileged: counsel's first assessment of the duty to notify.", Audience: incident.AudienceLegalSecurity})
	w.at(80).do("elena", incident.Command{Verb: incident.VerbSetFact, Fact: &incident.FactChange{Name: incident.FactAware, Regime: "gdpr", Value: "2026-11-24T02:31:00Z"}, Text: "reasonable certainty from the log"})
	w.do("elena", incident.Command{Verb: incident.VerbSetFact, Fact: &incident.FactChange{Name: incident.FactAffected, Affected: &incident.Affected{Who: "Example SA", Capacity: incident.Processor, Count: 1200, NotifiedAt: startTime.Add(75 * time.Minute)}}, Text: "their export was in reach"})
	w.at(90).do("ada", incident.Command{Verb: incident.VerbConsult, Department: "payroll", Blocking: true})
	w.at(95).do("ada", incident.Command{Verb: incident.VerbStepSkip, Step: "answer-aws", Text: "no case and no mail from AWS"})
	w.at(260).do("ada", incident.Command{Verb: incident.VerbResolve, Text: "exporter runs on a role, six secrets rotated, watched for two hours"})
	w.at(300).do("ines", incident.Command{Verb: incident.VerbAnswer, Department: "payroll", Text: "No run was affected; the November run went out on time."})
	draft := map[string]string{}
	for k, v := range sampleRecord {
		draft[k] = v
	}
	draft["impact"] = "None."
	w.at(24*60).do("ben", incident.Command{Verb: incident.VerbEditRecord, Record: draft})
	w.do("ben", incident.Command{Verb: incident.VerbSubmit})
	w.at(25*60).do("elena", incident.Command{Verb: incident.VerbObject, Department: incident.Legal, Expect: w.inc.Submission.Digest, Text: "The impact leaves out what could be read."})
	w.at(26*60).do("ben", incident.Command{Verb: incident.VerbAmend, Text: "the impact says what could be read", Record: map[string]string{"impact": sampleRecord["impact"]}})
	w.at(26*60+10).do("ben", incident.Command{Verb: incident.VerbSubmit})
	return w
}

// sign lets every department sign the submitted record.
func (w *testIncident) sign() *testIncident {
	digest := w.inc.Submission.Digest
	w.at(26*60+30).do("ada", incident.Command{Verb: incident.VerbSign, Department: incident.Engineering, Expect: digest})
	w.do("dev", incident.Command{Verb: incident.VerbSign, Department: incident.Security, Expect: digest})
	w.at(27*60).do("grace", incident.Command{Verb: incident.VerbDelegate, Department: incident.Communications, Person: "jan", Until: startTime.Add(72 * time.Hour), Text: "on leave from noon"})
	w.do("elena", incident.Command{Verb: incident.VerbSign, Department: incident.Legal, Expect: digest})
	w.at(28*60).do("jan", incident.Command{Verb: incident.VerbSign, Department: incident.Communications, Expect: digest})
	return w
}

func (w *testIncident) input() Input {
	return Input{Incident: w.inc, Timeline: w.events, Directory: w.dir, Revision: w.inc.Submission.Document.Revision, Written: w.now}
}

func signedIncident(t testing.TB) *testIncident {
	return submittedIncident(t, "AWS key of the payroll exporter used from an unknown network").sign()
}

// contentOf returns the content of a document's file with a media type.
func contentOf(d incident.Document, mediaType string) string {
	for _, f := range d.Files {
		if f.MediaType == mediaType {
			return f.Content
		}
	}
	return ""
}
