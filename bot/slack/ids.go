package slack

import (
	"cmp"
	"strconv"
	"strings"

	"tocsin/bot/command"
	"tocsin/bot/incident"
)

// Action IDs that are not verbs.
const (
	// ActMore is the ID of the menu at the end of a row of buttons. The value of an option
	// is the action ID and the value of a button, joined with "|".
	ActMore = "more"
	// ActLink is the ID of a button that opens a page.
	ActLink = "link"
)

// actAsk begins the action ID of a button that asks a question or opens a form. Its value
// is the typed text. The number after it makes the ID unique in a row of buttons.
const actAsk = "ask/"

func askID(n int) string { return actAsk + strconv.Itoa(n) }

// actionIDs holds the action IDs of verbs that differ from the verb. Messages in
// Slack keep their buttons, so an ID never changes.
var actionIDs = map[incident.Verb]string{
	incident.VerbAcknowledge:    "ack",
	incident.VerbSetSeverity:    "severity", // also of a menu, whose options have the values
	incident.VerbEditRecord:     "record",
	incident.VerbSetFact:        "fact",
	incident.VerbAddAction:      "action",
	incident.VerbScheduleReview: "review_schedule",
	incident.VerbConclude:       "review_conclude",
}

// ActionID returns the action ID of a button or menu that gives a verb. [buttonValue]
// builds its value.
func ActionID(verb incident.Verb) string { return cmp.Or(actionIDs[verb], string(verb)) }

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
	ShortcutAddNote     = "add_note"      // on a message: add the message to the timeline
	ShortcutAddAction   = "add_action"    // on a message: make the message an action item
	ShortcutAddEvidence = "add_evidence"  // on a message: keep the message and its files as evidence
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
