package slack

import (
	"testing"

	"tocsin/bot/incident"
)

// Buttons in posted messages keep their action IDs.
func TestActionID_NeverChanges(t *testing.T) {
	for verb, want := range map[incident.Verb]string{
		incident.VerbAcknowledge:    "ack",
		incident.VerbSetSeverity:    "severity",
		incident.VerbKeepSeverity:   "keep_severity",
		incident.VerbStepDone:       "step_done",
		incident.VerbStepSkip:       "step_skip",
		incident.VerbSign:           "sign",
		incident.VerbObject:         "object",
		incident.VerbWithdraw:       "withdraw",
		incident.VerbAnswer:         "answer",
		incident.VerbEditRecord:     "record",
		incident.VerbSubmit:         "submit",
		incident.VerbAmend:          "amend",
		incident.VerbContain:        "contain",
		incident.VerbResolve:        "resolve",
		incident.VerbDismiss:        "dismiss",
		incident.VerbNote:           "note",
		incident.VerbSetFact:        "fact",
		incident.VerbAddAction:      "action",
		incident.VerbScheduleReview: "review_schedule",
		incident.VerbConclude:       "review_conclude",
	} {
		if got := ActionID(verb); got != want {
			t.Errorf("%s: got %q, want %q", verb, got, want)
		}
		if got, ok := actionVerb(want); got != verb || !ok {
			t.Errorf("%q: got %s, %t, want %s", want, got, ok, verb)
		}
	}
	for _, id := range []string{"", "status", "link", "paged", "effect_failed"} {
		if verb, ok := actionVerb(id); ok {
			t.Errorf("%q: got %s, want no verb that people give", id, verb)
		}
	}
}
