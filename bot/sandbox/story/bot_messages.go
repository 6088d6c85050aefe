package story

// Parts of messages from bot/slack and bot/incident that the story waits for, as [reader] renders them. They must change
// together with the messages.
const (
	// Replies to a command, button or form.
	msgRecorded       = "✅"
	msgOutcomeUnknown = "Run the command again"
	msgNotSaved       = "Not saved"
	msgYouAcknowledge = "You acknowledged"
	msgNotAMember     = "is not a member or current deputy of legal"
	msgRecordChanged  = "the closing record changed after you read it"
	msgOpenSteps      = "Open steps"

	// Messages in the channel of the incident.
	msgAlert           = "Alert"
	msgAlertRepeated   = "occurred 10 times"
	msgAcknowledgedBy  = "%s acknowledged the incident"
	msgRoleAssigned    = "the role"
	msgSeverity        = "changed the severity"
	msgSeverityBefore  = "changed the severity from **%s**"
	msgSeverityWanted  = "proposes **%s**"
	msgNote            = "added a note"
	msgEvidence        = "added evidence E1"
	msgUpdate          = "posted a status update"
	msgConsulted       = "concerns you"
	msgAnswered        = "answered"
	msgContained       = "marked the incident as contained"
	msgResolved        = "marked the incident as resolved"
	msgRecordEdited    = "edited the closing record"
	msgRecordSubmitted = "of the closing record for signing"
	msgRecordAmended   = "reopened the closing record to amend it"
	msgObjected        = "objected for %s"
	msgObjectionClosed = "Objection O1 was closed by amending the record"
	msgSigned          = "signed for"
	msgApproved        = "Every required department signed"
	msgPostmortem      = "postmortem of %s"
	msgRevision        = "revision 1"
	msgReviewScheduled = "scheduled the review meeting"
	msgReviewConcluded = "concluded the review"
	msgActionItem      = "added action item %s"
	msgIncidentClosed  = "The incident was closed."
	msgClosedStatus    = "closed" // in the pinned card and the topic

	// Announcement of the postmortem.
	msgPostmortemOf = "The postmortem of %s"
	msgAllSigned    = "signed by every department"
)

// stepMessages and factMessages are parts of sentences about steps and facts.
var (
	stepMessages = map[string]string{"done": "completed step", "skipped": "skipped step"}
	factMessages = map[string]string{"occurred": "recorded that the incident began", "detected": "recorded that the incident was detected",
		"aware (gdpr)": "recorded awareness under gdpr", "affected": "added the affected party", "personal data": "set personal data to"}
)
