package incident

// Verb is the action of a [Command].
type Verb string

// The verbs of people. The comments list the arguments that each verb reads.
const (
	VerbOpen             Verb = "open"               // Title, Severity, Public, Alert, Runs
	VerbAcknowledge      Verb = "acknowledge"        // Severity (optional)
	VerbContain          Verb = "contain"            // Text: how
	VerbResolve          Verb = "resolve"            // Text: how, Reason: why steps stay open
	VerbEditRecord       Verb = "edit_record"        // Record
	VerbSubmit           Verb = "submit"             // Record (optional last edits)
	VerbSign             Verb = "sign"               // Department, Expect
	VerbObject           Verb = "object"             // Department, Text, Expect
	VerbWithdraw         Verb = "withdraw"           // Item (an objection) or Department (a signature)
	VerbAmend            Verb = "amend"              // Text: why, Record (optional)
	VerbRevise           Verb = "revise"             // Text: why, Record
	VerbReopen           Verb = "reopen"             // Text: why
	VerbDismiss          Verb = "dismiss"            // Text: why, NoPersonalData
	VerbMerge            Verb = "merge"              // Target, Text
	VerbSetSeverity      Verb = "set_severity"       // Severity, Text
	VerbKeepSeverity     Verb = "keep_severity"      // Text: why an alert does not raise the severity
	VerbAssignRole       Verb = "assign_role"        // Role, Person
	VerbHandover         Verb = "handover"           // Person: the new commander, Text: what the state does not show
	VerbSetFact          Verb = "set_fact"           // Fact, Text: reason
	VerbNote             Verb = "note"               // Text, Audience, Message (optional)
	VerbUpdate           Verb = "update"             // Text, Audiences, Statement, Item: a corrected update, When: of the next update
	VerbApproveUpdate    Verb = "approve_update"     // Item: the update
	VerbEvidence         Verb = "evidence"           // Evidence, Message (optional)
	VerbStepDone         Verb = "step_done"          // Step, Text: outcome
	VerbStepSkip         Verb = "step_skip"          // Step, Text: why
	VerbConsult          Verb = "consult"            // Department, Blocking
	VerbAnswer           Verb = "answer"             // Department, Text
	VerbDelegate         Verb = "delegate"           // Department, Person, Until
	VerbEndDelegation    Verb = "end_delegation"     // Department, Person, Text: why
	VerbAddAction        Verb = "add_action"         // Action, Message (optional)
	VerbFinishAction     Verb = "finish_action"      // Item, Text: how
	VerbGrant            Verb = "grant_access"       // Person, Text: reason
	VerbRestrict         Verb = "restrict"           // Public
	VerbScheduleReview   Verb = "schedule_review"    // When
	VerbConclude         Verb = "conclude_review"    // Attendance, Text: decisions, Actions, Reason: why before the meeting
	VerbWaiveActions     Verb = "waive_actions"      // Text: reason. The first use proposes, a second one by security endorses
	VerbInvolve          Verb = "involve"            // Department
	VerbErase            Verb = "erase"              // Erase, Text: reason. Legal and security each give the command once
	VerbPromote          Verb = "promote"            // Alerts: one suppressed alert, Severity (optional)
	VerbSplit            Verb = "split"              // Alerts, Title, Severity (optional), Text: why
	VerbSetLegalHold     Verb = "set_legal_hold"     // Text: why retention must not delete the incident
	VerbPageAgain        Verb = "page_again"         // Text: why. Person or Department: page these people instead
	VerbRevoke           Verb = "revoke_access"      // Person, Text: reason
	VerbExclude          Verb = "exclude"            // Person, Text: reason, Channel
	VerbReadmit          Verb = "readmit"            // Person, Text: reason
	VerbReplacement      Verb = "name_replacement"   // Department, Person, Text: reason
	VerbReleaseLegalHold Verb = "release_legal_hold" // Text: why retention may delete it again
	VerbRequestAccess    Verb = "request_access"     // Text: reason
	VerbEndorseAccess    Verb = "endorse_access"     // Person: who asked, Text: reason (optional)
	VerbBreakGlass       Verb = "break_glass"        // Text: reason
	VerbRetry            Verb = "retry"              // try waiting effects at once. Count: set by Tocsin
	VerbHere             Verb = "here"               // HappenedAt, Item: id of a message in the channel that shows it
	VerbConfirmChange    Verb = "confirm_change"     // Item: numbers of events or "all", Undone, Text: how
)

// The verbs of the bot. Effects, deadlines and sources issue them.
const (
	VerbAttach            Verb = "attach"             // Alert, Severity (optional), Runs
	VerbCount             Verb = "count"              // Alert, Count
	VerbSourceNote        Verb = "source_note"        // Text, Alert
	VerbStartPlaybook     Verb = "start_playbook"     // Runs. A person gives Playbook instead
	VerbStartStep         Verb = "start_step"         // Step
	VerbStepLate          Verb = "step_late"          // Step
	VerbPage              Verb = "page"               // Round, EscalationStep: the page starts now
	VerbPaged             Verb = "paged"              // Round, EscalationStep, People: whom the page reached, if known
	VerbPersonPaged       Verb = "person_paged"       // Person, Item: the medium
	VerbPageFailed        Verb = "page_failed"        // Round, EscalationStep, Text
	VerbPageTimeout       Verb = "page_timeout"       // Round, EscalationStep
	VerbAckTimeout        Verb = "ack_timeout"        // Round (optional)
	VerbAbsenceTimeout    Verb = "absence_timeout"    // people who were called had time to show a sign
	VerbSeverityTimeout   Verb = "severity_timeout"   // nobody answered the proposal of an alert
	VerbRemindSigners     Verb = "remind_signers"     // Department, Round: Seq of the request, EscalationStep: a SignerStage
	VerbStormTimeout      Verb = "storm_timeout"      // Round, Count: the alert storm is over
	VerbLink              Verb = "link"               // Links
	VerbChannelFound      Verb = "channel_found"      // Item: the lost channel, which works again
	VerbChannelLost       Verb = "channel_lost"       // Item: the channel, Reason: ChannelArchived or ChannelDeleted
	VerbInvited           Verb = "invited"            // People, Refused: why others could not be invited
	VerbEvidenceHashed    Verb = "evidence_hashed"    // Item: evidence, Document: SHA-256, Count: bytes, Reason: why there is no hash
	VerbEvidenceChanged   Verb = "evidence_changed"   // Item: id in the chat, Reason: EvidenceEdited or EvidenceDeleted, Document: the new SHA-256, Person, HappenedAt, Text
	VerbPostmortemWritten Verb = "postmortem_written" // Document, Revision
	VerbPostmortemShared  Verb = "postmortem_shared"  // Revision, Item: file id
	VerbReviewInvited     Verb = "review_invited"     // People, When: of the meeting
	VerbEffectFailed      Verb = "effect_failed"      // Effect, Text
	VerbEffectDropped     Verb = "effect_dropped"     // Effect, Reason, and Item for the administrator
	VerbUpdateSent        Verb = "update_sent"        // Item: the update, Text: the audience, Channel: the medium, Reason: why not
	VerbUpdateTimeout     Verb = "update_timeout"     // the next update is due
	VerbAccessTimeout     Verb = "access_timeout"     // access or a request for it is over
	VerbPersonLeft        Verb = "person_left"        // Person, People: who takes over
	VerbPageRestored      Verb = "page_restored"      // Text: why. The paging round is from before a restore
	VerbRestored          Verb = "restored"           // Text: why an unacknowledged incident is paged
	VerbRepeatErasure     Verb = "repeat_erasure"     // Erase, Item: number of the lost event
	VerbDistrusted        Verb = "distrusted"         // Distrust, Text: why
)

// verbRule describes one verb besides its rows in [Transitions].
type verbRule struct {
	decide func(*decider) error // nil for verbs that change two incidents
	name   string               // how people type it, if that differs from the verb
	// writes marks a verb that a person can repeat without moving the incident. The
	// number of its texts is limited: see [MaxTexts].
	writes bool
	access bool // see [Verb.ChangesAccess]
}

// verbs holds the rule of every verb.
var verbs = map[Verb]verbRule{
	VerbOpen:              {decide: (*decider).open},
	VerbAcknowledge:       {decide: (*decider).acknowledge, name: "ack"},
	VerbContain:           {decide: (*decider).contain},
	VerbResolve:           {decide: (*decider).resolve},
	VerbEditRecord:        {decide: (*decider).editRecord, name: "record", writes: true},
	VerbSubmit:            {decide: (*decider).submit},
	VerbSign:              {decide: (*decider).sign},
	VerbObject:            {decide: (*decider).object, writes: true},
	VerbWithdraw:          {decide: (*decider).withdraw},
	VerbAmend:             {decide: (*decider).amend},
	VerbRevise:            {decide: (*decider).revise},
	VerbReopen:            {decide: (*decider).reopen},
	VerbDismiss:           {decide: (*decider).dismiss},
	VerbMerge:             {},
	VerbSetSeverity:       {decide: (*decider).setSeverity, name: "severity"},
	VerbKeepSeverity:      {decide: (*decider).keepSeverity, name: "severity keep"},
	VerbAssignRole:        {decide: (*decider).assignRole, name: "role"},
	VerbHandover:          {decide: (*decider).handOver},
	VerbSetFact:           {decide: (*decider).setFact, name: "fact", writes: true},
	VerbNote:              {decide: (*decider).note, writes: true},
	VerbUpdate:            {decide: (*decider).update, writes: true},
	VerbApproveUpdate:     {decide: (*decider).approveUpdate, name: "update approve"},
	VerbEvidence:          {decide: (*decider).addEvidence, writes: true},
	VerbStepDone:          {decide: (*decider).stepDone, name: "step"},
	VerbStepSkip:          {decide: (*decider).stepSkip, name: "step"},
	VerbConsult:           {decide: (*decider).consult},
	VerbAnswer:            {decide: (*decider).answer, writes: true},
	VerbDelegate:          {decide: (*decider).delegate, writes: true},
	VerbEndDelegation:     {decide: (*decider).endDelegation, name: "delegate end", writes: true},
	VerbAddAction:         {decide: (*decider).addAction, name: "action", writes: true},
	VerbFinishAction:      {decide: (*decider).finishAction, name: "action"},
	VerbGrant:             {decide: (*decider).grant, name: "grant", writes: true, access: true},
	VerbRestrict:          {decide: (*decider).restrict, writes: true, access: true},
	VerbScheduleReview:    {decide: (*decider).scheduleReview, name: "review", writes: true},
	VerbConclude:          {decide: (*decider).conclude, name: "review conclude"},
	VerbWaiveActions:      {decide: (*decider).waiveActions, name: "review waive"},
	VerbInvolve:           {decide: (*decider).involveDepartment},
	VerbErase:             {decide: (*decider).erase},
	VerbPromote:           {decide: (*decider).promote, name: "alerts promote"},
	VerbSplit:             {},
	VerbSetLegalHold:      {decide: (*decider).setLegalHold, name: "legal-hold"},
	VerbPageAgain:         {decide: (*decider).pageAgain, name: "page"},
	VerbRevoke:            {decide: (*decider).revokeAccess, name: "revoke", writes: true, access: true},
	VerbExclude:           {decide: (*decider).exclude, access: true},
	VerbReadmit:           {decide: (*decider).readmit, access: true},
	VerbReplacement:       {decide: (*decider).nameReplacement, name: "replacement", access: true},
	VerbReleaseLegalHold:  {decide: (*decider).releaseLegalHold, name: "legal-hold release"},
	VerbRequestAccess:     {decide: (*decider).requestAccess, name: "access request", writes: true, access: true},
	VerbEndorseAccess:     {decide: (*decider).endorseAccess, name: "access endorse", writes: true, access: true},
	VerbBreakGlass:        {decide: (*decider).breakGlass, name: "access break-glass", writes: true, access: true},
	VerbRetry:             {decide: (*decider).retry, writes: true},
	VerbHere:              {decide: (*decider).here},
	VerbConfirmChange:     {decide: (*decider).confirmChange, name: "confirm"},
	VerbAttach:            {decide: (*decider).attach},
	VerbCount:             {decide: (*decider).count},
	VerbSourceNote:        {decide: (*decider).sourceNote},
	VerbStartPlaybook:     {decide: (*decider).startPlaybooks, name: "playbook start"},
	VerbStartStep:         {decide: (*decider).startStep},
	VerbStepLate:          {decide: (*decider).stepLate},
	VerbPage:              {decide: (*decider).page},
	VerbPaged:             {decide: (*decider).pageSent},
	VerbPersonPaged:       {decide: (*decider).personPaged},
	VerbPageFailed:        {decide: (*decider).pageFailed},
	VerbPageTimeout:       {decide: (*decider).pageTimeout},
	VerbAckTimeout:        {decide: (*decider).ackTimeout},
	VerbAbsenceTimeout:    {decide: (*decider).absenceTimeout},
	VerbSeverityTimeout:   {decide: (*decider).severityTimeout},
	VerbRemindSigners:     {decide: (*decider).remindSigners},
	VerbStormTimeout:      {decide: (*decider).stormTimeout},
	VerbLink:              {decide: (*decider).link},
	VerbChannelFound:      {decide: (*decider).findChannel},
	VerbChannelLost:       {decide: (*decider).loseChannel},
	VerbInvited:           {decide: (*decider).peopleInvited},
	VerbEvidenceHashed:    {decide: (*decider).evidenceHashed},
	VerbEvidenceChanged:   {decide: (*decider).evidenceChanged},
	VerbPostmortemWritten: {decide: (*decider).postmortemWritten},
	VerbPostmortemShared:  {decide: (*decider).postmortemShared},
	VerbReviewInvited:     {decide: (*decider).reviewInvited},
	VerbEffectFailed:      {decide: (*decider).effectFailed},
	VerbEffectDropped:     {decide: (*decider).effectDropped},
	VerbUpdateSent:        {decide: (*decider).updateSent},
	VerbUpdateTimeout:     {decide: (*decider).updateTimeout},
	VerbAccessTimeout:     {decide: (*decider).accessTimeout},
	VerbPersonLeft:        {decide: (*decider).personLeft},
	VerbPageRestored:      {decide: (*decider).pageRestored},
	VerbRestored:          {decide: (*decider).restored},
	VerbRepeatErasure:     {decide: (*decider).repeatErasure},
	VerbDistrusted:        {decide: (*decider).distrusted},
}

// CommandName returns the command that people type for the verb.
func (v Verb) CommandName() string {
	if name := verbs[v].name; name != "" {
		return name
	}
	return string(v)
}

// ChangesAccess reports whether the verb changes who may read an incident or act in it.
// The audit log has such commands besides the timeline.
func (v Verb) ChangesAccess() bool { return verbs[v].access }
