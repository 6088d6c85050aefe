package command_test

import (
	"strings"
	"testing"

	. "tocsin/bot/command"
	. "tocsin/bot/incident"
)

func TestParse_SeverityWords(t *testing.T) {
	type parsed struct {
		severity Severity
		title    string
	}
	good := map[string]parsed{
		"sev2 Leaked key": {Sev2, "Leaked key"}, "SEV-1 down": {Sev1, "down"}, "p3 slow": {Sev3, "slow"}, "P-2: slow": {Sev2, "slow"},
		"sev2: Leaked key": {Sev2, "Leaked key"}, "[sev4] a scan": {Sev4, "a scan"}, "(SEV–3) a scan": {Sev3, "a scan"}, "sev_1, down": {Sev1, "down"},
		"severity 2 Leaked key": {Sev2, "Leaked key"}, "sev 3 a scan": {Sev3, "a scan"}, "severity: sev2 a scan": {Sev2, "a scan"}, "--severity 2 a scan": {Sev2, "a scan"},
		"severity=2 a scan": {Sev2, "a scan"}, `"sev2 Leaked key"`: {Sev2, "Leaked key"}, "“sev2 Leaked key”": {Sev2, "Leaked key"},
		`sev3 "sev1 runbook is missing"`: {Sev3, "sev1 runbook is missing"}, "the sev9 label is wrong": {"", "the sev9 label is wrong"},
		"p99 latency doubled": {"", "p99 latency doubled"}, "p2p traffic": {"", "p2p traffic"}, "several logins": {"", "several logins"},
		"sev alarm broken": {"", "sev alarm broken"}, "7 logins of sev5": {"", "7 logins of sev5"}, "--public sev2 x": {Sev2, "x"}, "sev２ foo": {Sev2, "foo"}, "ＳＥＶ‑2 foo": {Sev2, "foo"},
	}
	bad := []string{"sev9 foo", "sev7 foo", "p9 foo", "P0 foo", "sev0 foo", "SEV-5 foo", "sev10 foo", "Sev5: foo", "(sev9) foo", "severity 9 foo", "sev 5 foo",
		"--severity sev9 foo", "severity=9 foo", "sev-0 foo", "SEV–9 foo", "sev2.5 foo", "sev2high foo", "--public sev9 foo", "sev2 sev9 foo",
		`"sev9 foo"`, "“SEV-5 foo”"}
	for _, text := range bad {
		for _, command := range []string{"open ", "ack INC-7 ", "severity INC-7 ", "alerts promote A17 ", "split INC-7 alerts A3,A4 "} {
			if strings.HasPrefix(text, "--public") && command != "open " || strings.ContainsAny(text, `"“`) && !strings.Contains(command, "open") && !strings.Contains(command, "split") ||
				text == "sev2 sev9 foo" && command != "open " && !strings.Contains(command, "promote") {
				continue
			}
			got, err := Parse(command+text, Context{Directory: testContext(t).Directory, Now: testContext(t).Now})
			if err == nil || CodeOf(err) != CodeInvalid || !strings.Contains(err.Error(), "Use sev1 (most severe), sev2, sev3 or sev4") {
				t.Errorf("%s%s: got %+v, %v, want an error that names the severities", command, text, got.Command, err)
			}
		}
	}
	for text, want := range good {
		got, err := Parse("open "+text, Context{Now: testContext(t).Now})
		if err != nil || got.Command.Severity != want.severity || got.Command.Title != want.title {
			t.Errorf("open %s: got %q and %q, %v, want %+v", text, got.Command.Severity, got.Command.Title, err, want)
		}
		if strings.HasPrefix(text, "--public") {
			continue
		}
		got, err = Parse("split INC-7 alerts A3 "+text+" because it is another", Context{Now: testContext(t).Now})
		if strings.HasPrefix(text, "7 ") {
			continue // read as an alert
		}
		if err != nil || got.Command.Severity != want.severity || got.Command.Title != want.title || got.Command.Text != "it is another" {
			t.Errorf("split %s: got %q, %q and %q, %v, want %+v", text, got.Command.Severity, got.Command.Title, got.Command.Text, err, want)
		}
	}
}

func TestParse_SeverityAnswers(t *testing.T) {
	for text, want := range map[string]Command{
		"severity keep": {Verb: VerbKeepSeverity}, "sev keep because a test": {Verb: VerbKeepSeverity, Text: "a test"},
		"severity INC-7 KEEP: a test": {Verb: VerbKeepSeverity, Text: "a test"}, "severity to sev2": {Verb: VerbSetSeverity, Severity: Sev2},
		"severity 2 because x": {Verb: VerbSetSeverity, Severity: Sev2, Text: "x"}, "severity sev2: x": {Verb: VerbSetSeverity, Severity: Sev2, Text: "x"},
	} {
		got, err := Parse(text, Context{Incident: 7, Now: testContext(t).Now})
		if c := got.Command; err != nil || c.Verb != want.Verb || c.Text != want.Text || c.Severity != want.Severity {
			t.Errorf("%s: got %+v, %v, want %+v", text, c, err, want)
		}
	}
}

func TestParse_Dismiss(t *testing.T) {
	for text, want := range map[string]Command{
		"a drill": {Text: "a drill"}, "because a drill": {Text: "a drill"}, "": {}, "no-personal-data": {NoPersonalData: true},
		"no-personal-data because a drill": {NoPersonalData: true, Text: "a drill"}, "No-Personal-Data a drill": {NoPersonalData: true, Text: "a drill"},
		"--no-personal-data because a drill": {NoPersonalData: true, Text: "a drill"}, "—no-personal-data because a drill": {NoPersonalData: true, Text: "a drill"},
		"no_personal_data: a drill": {NoPersonalData: true, Text: "a drill"}, "no personal data because a drill": {NoPersonalData: true, Text: "a drill"},
		"no personal data, a drill": {NoPersonalData: true, Text: "a drill"}, "no personal data": {NoPersonalData: true}, "without personal data because a drill": {NoPersonalData: true, Text: "a drill"},
		"no-pii because a drill": {NoPersonalData: true, Text: "a drill"}, "because a drill, no-personal-data": {NoPersonalData: true, Text: "a drill"},
		`"no-personal-data because a drill"`: {NoPersonalData: true, Text: "a drill"}, "nopersonaldata because a drill": {NoPersonalData: true, Text: "a drill"},
		// These state nothing.
		"no personal data was checked yet": {Text: "no personal data was checked yet"}, "personal data is unclear": {Text: "personal data is unclear"},
		"because we saw no personal data": {Text: "we saw no personal data"}, "not no-personal-data at all": {Text: "not no-personal-data at all"},
	} {
		got, err := Parse("dismiss INC-7 "+text, Context{Now: testContext(t).Now})
		if c := got.Command; err != nil || c.Verb != VerbDismiss || c.Text != want.Text || c.NoPersonalData != want.NoPersonalData {
			t.Errorf("dismiss %s: got %q and %t, %v, want %q and %t", text, c.Text, c.NoPersonalData, err, want.Text, want.NoPersonalData)
		}
		if (got.Form == VerbDismiss) != (want.Text == "") {
			t.Errorf("dismiss %s: got form %q", text, got.Form)
		}
	}
}
