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
	msgRecordChanged  = "The closing record changed after you read it"
	msgOpenSteps      = "Open steps"

	// Messages in the channel of the incident.
	msgAlert           = " alert, level"
	msgChecklist       = "steps finished"
	msgAlertRepeated   = "occurred 10 times"
	msgAcknowledgedBy  = "%s acknowledged the incident"
	msgCommander       = "%s commands"
	msgRoleAssigned    = "the role"
	msgAware           = "recorded that the company is aware under GDPR"
	msgSeverity        = "changed the severity"
	msgSeverityBefore  = "changed the severity from **%s**"
	msgSeverityWanted  = "proposes **%s**"
	msgNote            = "added a note"
	msgEvidence        = "added evidence E1"
	msgHolding         = "posted update U1 to company, in words that"
	msgHoldingText     = "We are investigating a security incident, %s"
	msgUpdate          = "wrote update U2 for customers"
	msgApprovalRequest = "asks you to approve update U2"
	msgUpdateApproved  = "%s approved these words"
	msgUpdateMail      = "%s: update U2"
	msgConsulted       = "concerns you"
	msgAnswered        = "answered"
	msgContained       = "marked the incident as contained"
	msgResolved        = "marked the incident as resolved"
	msgRecordSubmitted = "of the closing record for signing"
	msgRecordAmended   = "reopened the closing record to amend it"
	msgObjected        = "objected for %s"
	msgObjectionClosed = "The objection is closed: amended"
	msgSigned          = "signed the closing record"
	msgApproved        = "Every required department signed"
	msgPostmortem      = "postmortem of %s"
	msgRevision        = "revision 1"
	msgReviewScheduled = "scheduled the review meeting"
	msgReviewHeld      = "held the review meeting"
	msgActionItem      = "added action item %s"
	msgIncidentClosed  = "The incident was closed."
	msgClosedStatus    = "closed" // in the pinned card

	// Announcement of the postmortem.
	msgPostmortemOf = "The postmortem of %s"
	msgAllSigned    = "signed by every department"
)

// stepMarks begin the line of a finished step.
var stepMarks = map[string]string{"done": "✅", "skipped": "⏩"}
