package slack

import (
	"cmp"
	"strings"

	"tocsin/bot/command"
	"tocsin/bot/incident"
)

// The action IDs of buttons and menus. The comments show their values, which
// [buttonValue] builds.
const (
	ActAcknowledge    = "ack"             // INC-42
	ActSeverity       = "severity"        // INC-42|sev2, also of the options of a menu
	ActKeepSeverity   = "keep_severity"   // INC-42
	ActStepDone       = "step_done"       // INC-42|playbook/step
	ActStepSkip       = "step_skip"       // INC-42|playbook/step
	ActSign           = "sign"            // INC-42|department|digest
	ActObject         = "object"          // INC-42|department|digest
	ActWithdraw       = "withdraw"        // INC-42|O1
	ActAnswer         = "answer"          // INC-42|team
	ActRecord         = "record"          // INC-42: edit the closing record
	ActSubmit         = "submit"          // INC-42: edit the closing record and submit it
	ActAmend          = "amend"           // INC-42
	ActContain        = "contain"         // INC-42
	ActResolve        = "resolve"         // INC-42
	ActDismiss        = "dismiss"         // INC-42
	ActNote           = "note"            // INC-42
	ActFact           = "fact"            // INC-42
	ActAction         = "action"          // INC-42: add an action item
	ActReviewSchedule = "review_schedule" // INC-42
	ActReviewConclude = "review_conclude" // INC-42
	ActStatus         = "status"          // INC-42: show the status to the person
)

// actionIDs holds the action IDs of verbs that differ from the verb. Messages in
// Slack keep their buttons, so an ID never changes.
var actionIDs = map[incident.Verb]string{
	incident.VerbAcknowledge:    ActAcknowledge,
	incident.VerbSetSeverity:    ActSeverity,
	incident.VerbEditRecord:     ActRecord,
	incident.VerbSetFact:        ActFact,
	incident.VerbAddAction:      ActAction,
	incident.VerbScheduleReview: ActReviewSchedule,
	incident.VerbConclude:       ActReviewConclude,
}

// actionID returns the action ID of a verb.
func actionID(verb incident.Verb) string { return cmp.Or(actionIDs[verb], string(verb)) }

// actionVerb returns the verb of an action ID. A button gives a command that people
// can also type.
func actionVerb(id string) (incident.Verb, bool) {
	for verb, known := range actionIDs {
		if known == id {
			return verb, true
		}
	}
	return incident.Verb(id), len(command.Typed(incident.Verb(id))) > 0
}

// The callback IDs of the shortcuts in the manifest of the app.
const (
	ShortcutOpen        = "open_incident" // global: open an incident
	ShortcutAddNote     = "add_note"      // on a message: add the message as a note
	ShortcutAddEvidence = "add_evidence"  // on a message: add the message or its file as evidence
)

// buttonValue returns the value of a button: the incident and further
// arguments, joined with "|".
func buttonValue(id incident.ID, args ...string) string {
	return strings.Join(append([]string{id.String()}, args...), "|")
}

// parseValue is the inverse of [buttonValue].
func parseValue(s string) (incident.ID, []string, error) {
	parts := strings.Split(s, "|")
	id, err := incident.ParseID(parts[0])
	if err != nil {
		return 0, nil, err
	}
	return id, parts[1:], nil
}
