package command_test

import (
	"slices"
	"strings"
	"testing"

	"tocsin/bot/command"
	"tocsin/bot/incident"
)

func TestResultOf(t *testing.T) {
	inc := incident.Incident{ID: 42, Status: incident.InReview, Severity: incident.Sev2, Restricted: true, Paging: incident.Paging{Round: 3}}
	public := inc
	public.Restricted = false
	tests := []struct {
		name   string
		verb   incident.Verb
		result incident.Result
		want   string
		kind   command.ResultKind
	}{
		{"verb with a sentence", incident.VerbContain, incident.Result{Incident: inc}, "INC-42 is contained", command.ResultDone},
		{"verb without one", incident.VerbNote, incident.Result{Incident: inc}, "Recorded in INC-42", command.ResultDone},
		{"new severity", incident.VerbSetSeverity, incident.Result{Incident: inc}, "The severity of INC-42 is now sev2", command.ResultDone},
		{"restricted", incident.VerbRestrict, incident.Result{Incident: inc}, "Only participants can now read INC-42", command.ResultDone},
		{"public", incident.VerbRestrict, incident.Result{Incident: public}, "The whole company can now read INC-42", command.ResultDone},
		{"secret", incident.VerbExclude, incident.Result{Incident: inc}, "Recorded for INC-42. Only legal and security see this", command.ResultPrivate},
		{"paging", incident.VerbPageAgain, incident.Result{Incident: inc}, "A new paging round of INC-42 starts. Tocsin pages until a responder acknowledges", command.ResultPaging},
		{"paging already", incident.VerbPageAgain, incident.Result{Incident: inc, Unchanged: true}, "No change: paging round 3 of INC-42 is running already. Tocsin pages until a responder acknowledges", command.ResultPaging},
		{"unchanged", incident.VerbContain, incident.Result{Incident: inc, Unchanged: true}, "No change: the timeline of INC-42 already has this. Its status is in_review, its severity sev2", command.ResultDone},
		{"report", incident.VerbOpen, incident.Result{Reported: true}, incident.ReportReceived.String(), command.ResultDone},
		{"without the incident", incident.VerbUpdate, incident.Result{}, "Recorded in INC-42", command.ResultDone},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, kind := command.ResultOf(incident.Command{Verb: test.verb, For: 42}, test.result)
			if got.String() != test.want || kind != test.kind {
				t.Errorf("got %q of kind %d, want %q of kind %d", got, kind, test.want, test.kind)
			}
		})
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
