package incident

import (
	"strings"
	"testing"
	"unicode"
)

// decideAsOutsider gives a command as an account without a person.
func (w *fixture) decideAsOutsider(cmd Command) ([]Event, error) {
	cmd.For, cmd.Via, cmd.Auth, cmd.By = w.inc.ID, ViaSlack, "slack", Identity{ProviderSlack, "T0OUT/U0EVE"}
	events, err := Decide(cmd, w.inc, Env{Now: w.now, Directory: w.dir, Policy: w.policy})
	w.commit(events)
	return events, err
}

func TestOpen_ReportOfOutsiderWaitsWithoutPage(t *testing.T) {
	for _, quiet := range []Severity{"", Sev2, Sev3, Sev4} {
		for _, asked := range append(Severities(), "") {
			w := newFixture(t)
			w.policy.NoPageFrom = quiet
			want := quiet
			if quiet == "" {
				want = Sev4
			}
			_, err := w.decideAsOutsider(Command{Verb: VerbOpen, Title: "all is lost", Severity: asked, Public: true, Runs: []Run{testRun},
				Alert: &AlertRef{Alert: 1, Title: "made up"}, Reporter: &Reporter{User: "U0EVE", Team: "T0OUT", Name: "Eve\n*the* boss\u202e"}})
			inc := w.inc
			if err != nil || inc.Status != Triage || inc.Severity != want || !inc.Restricted || inc.NeedsPage() || inc.Paging.Round != 0 || inc.Reporter == nil || inc.Reporter.Team != "T0OUT" ||
				inc.OpenedBy != "" || len(inc.Runs) != 0 || len(inc.Alerts) != 0 {
				t.Fatalf("%q, asked for %q: got %+v, %v", quiet, asked, inc, err)
			}
			for _, p := range w.dir.People {
				if inc.MayRead(w.dir, p.ID, w.now) != p.Responder {
					t.Errorf("%s: got access %t", p.ID, !p.Responder)
				}
			}
			sentence, _ := w.events[0].Sentence()
			for _, part := range []string{"Eve *the* boss", "team T0OUT", "account U0EVE", "unknown to Tocsin, name not verified", "requested: " + string(asked)} {
				if !strings.Contains(sentence.String(), part) {
					t.Errorf("got sentence %q, want %q in it", sentence, part)
				}
			}
			if strings.ContainsFunc(sentence.String(), func(r rune) bool { return !unicode.IsGraphic(r) }) {
				t.Errorf("got sentence %q with control characters", sentence)
			}
		}
	}
}

func TestOpen_ReportOfOutsiderIsChecked(t *testing.T) {
	for name, cmd := range map[string]Command{"no title": {}, "unknown severity": {Title: "x", Severity: "sev9"}, "long title": {Title: strings.Repeat("x", MaxTitle+1)}} {
		cmd.Verb = VerbOpen
		if _, err := newFixture(t).decideAsOutsider(cmd); CodeOf(err) != CodeInvalid {
			t.Errorf("%s: got %v, want invalid", name, err)
		}
	}
}

func TestReport_RaisedSeverityPages(t *testing.T) {
	w := newFixture(t)
	w.policy.NoPageFrom = Sev4
	if _, err := w.decideAsOutsider(Command{Verb: VerbOpen, Title: "a key leaked"}); err != nil {
		t.Fatal(err)
	}
	w.must("eng1", Command{Verb: VerbSetSeverity, Severity: Sev2})
	if !w.inc.NeedsPage() || w.inc.Paging.Round != 1 {
		t.Errorf("got %+v, want a page", w.inc.Paging)
	}
}

func TestReport_AcknowledgementStartsPlaybooks(t *testing.T) {
	for _, verb := range []Verb{VerbAcknowledge, VerbContain} {
		w := newFixture(t)
		if _, err := w.decideAsOutsider(Command{Verb: VerbOpen, Title: "a key leaked"}); err != nil {
			t.Fatal(err)
		}
		w.must("eng1", Command{Verb: verb, Text: "disabled the key", Runs: []Run{testRun}})
		if len(w.inc.Runs) != 1 || w.inc.Commander != "eng1" {
			t.Errorf("%s: got runs %v, commander %q", verb, w.inc.Runs, w.inc.Commander)
		}
	}
}

// TestAdmit_OutsiderOnlyOpens checks that no verb but open needs more than the
// account to be denied, whatever the incident is.
func TestAdmit_OutsiderOnlyOpens(t *testing.T) {
	for v := range verbs {
		err := Admit(Command{Verb: v, By: Identity{ProviderSlack, "U0EVE"}}, Env{Directory: testDirectory()})
		if (err == nil) != (v == VerbOpen) || err != nil && !IsDenied(err) {
			t.Errorf("%s: got %v", v, err)
		}
	}
}

func TestMerge_TargetRevealsNothing(t *testing.T) {
	w, missing := fixtureIn(t, Active), New(9)
	w.inc.Restricted = false
	env := Env{Now: w.now, Actor: "sec2", Directory: w.dir, Policy: w.policy}
	env.Directory.People[5].Responder = false // sec2 may merge and is no responder
	_, _, none := DecideMerge(Command{Verb: VerbMerge, Target: 9}, w.inc, missing, env)
	for _, s := range Statuses() {
		target := fixtureIn(t, s)
		target.inc.ID = 9
		if target.inc.MayRead(env.Directory, "sec2", w.now) {
			continue
		}
		if _, _, err := DecideMerge(Command{Verb: VerbMerge, Target: 9}, w.inc, target.inc, env); err == nil || none == nil || err.Error() != none.Error() || CodeOf(err) != CodeUnknown {
			t.Errorf("%s: got %v, want %v", s, err, none)
		}
	}
}

// TestDecide_OutsiderLearnsNothingInAnyStatus checks that a known person without
// access gets one answer for every verb, whatever the status is.
func TestDecide_OutsiderLearnsNothingInAnyStatus(t *testing.T) {
	for v := range statusMatrix {
		if v.who() == TheBot || v.needsNoAccess() { // see TestOutsider_SameAnswerWhetherItExists of the desk
			continue
		}
		for _, status := range Statuses() {
			w := fixtureIn(t, status)
			_, cmd := validCommand(v, w)
			w.inc.Restricted, w.inc.Access = true, nil
			before := w.inc.Head
			_, err := w.decideAs("out1", cmd)
			if err == nil || err.Error() != NoAccess(w.inc.ID).Error() || CodeOf(err) != CodeUnknown || w.inc.Head != before {
				t.Errorf("%s in %s: got %v, want %v", v, status, err, NoAccess(w.inc.ID))
			}
		}
	}
}

// TestOpen_ReportWithoutName requires the account in place of the name that a
// provider does not give, and bounds the texts that a reporter chooses.
func TestOpen_ReportWithoutName(t *testing.T) {
	w := newFixture(t)
	if _, err := w.decideAsOutsider(Command{Verb: VerbOpen, Title: "a key leaked", Text: "in a build log"}); err != nil {
		t.Fatal(err)
	}
	opened := w.events[0]
	if opened.Text("title") != "a key leaked" || opened.Text("text") != "in a build log" || opened.Text("reporter_user") != "T0OUT/U0EVE" || opened.Field("asked_severity") != "" {
		t.Errorf("got %+v, want the title, the text and the account", opened)
	}
	sentence, _ := opened.Sentence()
	if want := "“T0OUT/U0EVE” (account T0OUT/U0EVE, unknown to Tocsin, name not verified) reported this restricted incident at sev4 (requested: none), “a key leaked”"; sentence.String() != want {
		t.Errorf("got %q, want %q", sentence, want)
	}
	for _, r := range []struct {
		Reporter
		want string
	}{
		{Reporter{User: "U1"}, "“U1” (account U1, unknown to Tocsin, name not verified)"},
		{Reporter{User: "U1", Team: "T1", Name: "Eve"}, "“Eve” of team T1 (account U1, unknown to Tocsin, name not verified)"},
	} {
		if got := strings.ReplaceAll(r.Sentence().String(), "“T1”", "T1"); got != r.want {
			t.Errorf("got %q, want %q", got, r.want)
		}
	}
	for in, want := range map[string]string{
		" Eve \t of\n  Mars ": "Eve of Mars", strings.Repeat("é", maxReporterText): strings.Repeat("é", maxReporterText),
		strings.Repeat("é", maxReporterText+1): strings.Repeat("é", maxReporterText-1) + "…", "\xff": "\uFFFD",
	} {
		if got := cleanName(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestSourceNote_NamesTheReporter(t *testing.T) {
	for want, texts := range map[string]map[string]Text{
		"“Eve” of team T1 (account U1, unknown to Tocsin, name not verified) reported again": {"reporter_user": {Value: "U1"}, "reporter_team": {Value: "T1"}, "reporter_name": {Value: "Eve"}},
		"“U1” (account U1, unknown to Tocsin, name not verified) reported again":             {"reporter_user": {Value: "U1"}},
		"Sentry sent an update": {},
	} {
		sentence, _ := Event{Kind: EventSourceNoted, Fields: map[string]string{"source": "sentry"}, Texts: texts}.Sentence()
		if sentence.String() != want {
			t.Errorf("got %q, want %q", sentence, want)
		}
	}
}
