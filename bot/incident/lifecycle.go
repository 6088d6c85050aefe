package incident

import "slices"

// Status is a state in the lifecycle of an incident.
type Status string

// The statuses. A CHECK constraint of the database lists them too.
const (
	Triage    Status = "triage"    // opened and paging, not acknowledged yet
	Active    Status = "active"    // a responder acknowledged, the playbooks run
	Contained Status = "contained" // the harm no longer spreads
	Resolved  Status = "resolved"  // service and security are restored, the closing record is being written
	InReview  Status = "in_review" // the closing record is frozen under its digest, departments sign it
	Approved  Status = "approved"  // every required department signed, the review meeting is due
	Closed    Status = "closed"    // the review meeting was held, action items are assigned
	Dismissed Status = "dismissed" // a false alarm, with a reason
	Merged    Status = "merged"    // continued in another incident
)

// Statuses returns all statuses in the order of the lifecycle.
func Statuses() []Status {
	return []Status{Triage, Active, Contained, Resolved, InReview, Approved, Closed, Dismissed, Merged}
}

var (
	responding           = []Status{Triage, Active, Contained}
	live                 = []Status{Triage, Active, Contained, Resolved, InReview}
	notDismissedOrMerged = []Status{Triage, Active, Contained, Resolved, InReview, Approved, Closed}
	anyStatus            = Statuses()
)

// Responding reports whether s is [Triage], [Active] or [Contained]. An
// unacknowledged incident in one of these statuses is paged.
func (s Status) Responding() bool { return slices.Contains(responding, s) }

// Live reports whether new alerts with a correlation key of the incident are
// attached to it. An incident is live until its closing record is approved.
func (s Status) Live() bool { return slices.Contains(live, s) }

// LiveStatuses returns the statuses of live incidents.
func LiveStatuses() []Status { return slices.Clone(live) }

// Closing reports whether the incident is resolved, in review, approved or
// closed. The four signing departments may then read it.
func (s Status) Closing() bool {
	return s == Resolved || s == InReview || s == Approved || s == Closed
}

// Ended reports whether the incident is closed, dismissed or merged.
func (s Status) Ended() bool { return s == Closed || s == Dismissed || s == Merged }

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
}

// unchanged, as an element of [Transition.To], means the current status.
const unchanged Status = ""

// Transition is one row of the lifecycle table: a verb, the statuses that allow it,
// the statuses that it may lead to and the people who may issue it.
type Transition struct {
	Verb Verb
	From []Status
	To   []Status  // empty: the status does not change
	Who  Authority // who may issue the verb: one of these is enough
	Why  string    // for readers of the table
}

// Transitions is the complete lifecycle. [Decide] rejects every command that is
// not in the table, and the diagram in docs/architecture.md is generated from it.
var Transitions = []Transition{
	// Verbs that change the status.
	{VerbOpen, nil, []Status{Triage}, Anyone | TheBot, "an alert or a person opens an incident"},
	{VerbAcknowledge, []Status{Triage}, []Status{Active}, Responders, "a responder takes responsibility"},
	{VerbAcknowledge, []Status{Active, Contained}, nil, Responders, "a responder acknowledges again after a timeout or a raised severity"},
	{VerbContain, []Status{Triage, Active}, []Status{Contained}, Responders | TheCommander, "the harm no longer spreads"},
	{VerbResolve, []Status{Active, Contained}, []Status{Resolved}, Responders | TheCommander, "service and security are restored"},
	{VerbSubmit, []Status{Resolved}, []Status{InReview}, Participants, "the closing record is frozen under its digest"},
	{VerbSign, []Status{InReview}, []Status{InReview, Approved}, DepartmentMembers, "the last missing signature approves the record"},
	{VerbObject, []Status{InReview}, nil, DepartmentMembers, "an objection is open until it is withdrawn or the record is amended"},
	{VerbWithdraw, []Status{InReview}, []Status{InReview, Approved}, DepartmentMembers, "withdrawing the last open objection can approve the record"},
	{VerbAmend, []Status{InReview}, []Status{Resolved}, Participants, "the record is changed and its signatures are void"},
	{VerbConclude, []Status{Approved}, []Status{Approved, Closed}, Participants, "the review meeting was held and action items are assigned"},
	{VerbWaiveActions, []Status{Approved}, []Status{Approved, Closed}, Participants, "security endorses a waiver of the action items"},
	{VerbRevise, []Status{Approved, Closed}, []Status{InReview}, Participants, "a new revision supersedes the signed one"},
	{VerbReopen, []Status{Contained, Resolved, InReview, Approved, Closed, Dismissed}, []Status{Active}, Responders | TheCommander | LegalOrSecurity, "the incident is not over"},
	{VerbDismiss, responding, []Status{unchanged, Dismissed}, Responders | SecurityTeam, "a false alarm, by two people in most cases, one of them from security"},
	{VerbMerge, responding, []Status{Merged}, Responders | SecurityTeam, "the incident continues in another one"},

	// Verbs that void the signatures of a frozen record.
	{VerbSetFact, []Status{InReview}, []Status{Resolved}, Participants, "a changed fact voids the signatures"},
	{VerbEvidence, []Status{InReview}, []Status{Resolved}, Participants, "new evidence voids the signatures"},
	{VerbAttach, []Status{InReview}, []Status{InReview, Resolved}, TheBot, "a new kind of alert voids the signatures"},
	{VerbSetSeverity, []Status{InReview}, []Status{InReview, Resolved, Approved}, Responders | TheCommander, "a changed severity voids the signatures, the present one rejects a proposal"},
	{VerbSeverityTimeout, []Status{InReview}, []Status{Resolved}, TheBot, "a raised severity voids the signatures"},
	{VerbErase, []Status{InReview}, []Status{unchanged, Resolved}, LegalOrSecurity, "an erased text voids the signatures"},
	{VerbPromote, []Status{InReview}, []Status{InReview, Resolved}, Responders, "a promoted alert of a new kind voids the signatures"},
	{VerbSplit, []Status{InReview}, []Status{Resolved}, Responders, "alerts that move to another incident void the signatures"},

	// Verbs that rarely or never change the status.
	{VerbSetFact, []Status{Triage, Active, Contained, Resolved}, nil, Participants, "facts are established during the response and the write-up"},
	{VerbEvidence, []Status{Triage, Active, Contained, Resolved}, nil, Participants, "evidence is recorded when it is found"},
	{VerbAttach, []Status{Triage, Active, Contained, Resolved}, nil, TheBot, "an alert with the same correlation key is attached"},
	{VerbPromote, []Status{Triage, Active, Contained, Resolved}, nil, Responders, "a suppressed alert is attached"},
	{VerbSplit, []Status{Triage, Active, Contained, Resolved}, nil, Responders, "some alerts move to a new incident"},
	{VerbSetSeverity, []Status{Triage, Active, Contained, Resolved}, nil, Responders | TheCommander, "raising the severity pages again, unless it was acknowledged at that severity"},
	{VerbKeepSeverity, []Status{Triage, Active, Contained, Resolved}, nil, Responders | TheCommander, "a person rejects the severity that an alert proposes"},
	{VerbKeepSeverity, []Status{InReview}, []Status{InReview, Approved}, Responders | TheCommander, "rejecting the proposal can approve the record"},
	{VerbPageAgain, responding, nil, Responders | TheCommander, "more help is needed: a new paging round starts, or chosen people are paged"},
	{VerbAssignRole, live, nil, Participants, "roles move between people"},
	{VerbHandover, live, nil, Responders | TheCommander, "the command passes to another person, who gets a briefing"},
	{VerbNote, anyStatus, nil, Readers | TheBot, "a note is always possible, after the signatures in the appendix"},
	{VerbUpdate, notDismissedOrMerged, nil, Participants | TheBot, "responders get an update, further audiences after an approval"},
	{VerbApproveUpdate, notDismissedOrMerged, nil, LegalOrCommunications, "a second person lets further audiences get an update"},
	{VerbEditRecord, []Status{Triage, Active, Contained, Resolved}, nil, Participants, "the closing record is written before it is frozen"},
	{VerbStepDone, []Status{Triage, Active, Contained, Resolved}, nil, Responders | TheCommander | StepHolders | TheBot, "a step was done"},
	{VerbStepSkip, []Status{Triage, Active, Contained, Resolved}, nil, Responders | TheCommander | StepHolders, "a step is not needed, with a reason"},
	{VerbConsult, live, nil, Participants | TheBot, "an affected team is consulted"},
	{VerbAnswer, []Status{Triage, Active, Contained, Resolved}, nil, DepartmentMembers, "the affected team answers"},
	{VerbAnswer, []Status{InReview}, []Status{InReview, Approved}, DepartmentMembers, "the last missing answer can approve the record"},
	{VerbDelegate, notDismissedOrMerged, nil, DepartmentMembers, "a department delegates its signature"},
	{VerbEndDelegation, notDismissedOrMerged, nil, DepartmentMembers, "a delegation ends before its date"},
	{VerbInvolve, live, nil, Participants | TheBot, "a department is needed before sign-off"},
	{VerbAddAction, []Status{Triage, Active, Contained, Resolved, InReview, Closed, Dismissed}, nil, Participants, "work that prevents or detects a repetition"},
	{VerbAddAction, []Status{Approved}, []Status{Approved, Closed}, Participants, "the last required action item closes a reviewed incident"},
	{VerbFinishAction, anyStatus, nil, Responders | TheCommander | ItemOwners, "an action item is done"},
	{VerbGrant, anyStatus, nil, Responders | TheCommander | LegalOrSecurity, "a person gets read access, with a reason"},
	{VerbRevoke, anyStatus, nil, Responders | TheCommander | LegalOrSecurity, "read access ends, with a reason"},
	{VerbExclude, anyStatus, nil, LegalOrSecurity, "a suspected insider is shut out"},
	{VerbReadmit, anyStatus, nil, LegalOrSecurity, "an exclusion ends"},
	{VerbReplacement, notDismissedOrMerged, nil, Administrators, "somebody acts for a department that has at most one person"},
	{VerbRestrict, notDismissedOrMerged, nil, Responders | TheCommander | LegalOrSecurity, "the incident becomes restricted or public"},
	{VerbScheduleReview, []Status{Resolved, InReview, Approved, Dismissed}, nil, Participants, "the review meeting gets a time"},
	{VerbErase, []Status{Triage, Active, Contained, Resolved, Approved, Closed, Dismissed, Merged}, nil, LegalOrSecurity, "legal and security erase a text together"},
	{VerbSetLegalHold, slices.Concat(notDismissedOrMerged, []Status{Dismissed}), nil, LegalOrSecurity, "retention deletes nothing of the incident, a merged one is held in its target"},
	{VerbReleaseLegalHold, anyStatus, nil, LegalOrSecurity, "retention applies again"},
	{VerbRequestAccess, anyStatus, nil, KnownPeople, "a person asks to read a restricted incident"},
	{VerbEndorseAccess, anyStatus, nil, TheCommander | SecurityTeam, "the person gets the requested access for a time"},
	{VerbBreakGlass, anyStatus, nil, GlassBreakers, "a person reads at once, and every member knows"},
	{VerbHere, notDismissedOrMerged, nil, Readers, "a person is here, and a post of a responder extends the acknowledgement"},
	{VerbRetry, anyStatus, nil, Participants, "effects that wait for an outside system are tried at once"},

	// Verbs of the bot.
	{VerbCount, live, nil, TheBot, "repeated alerts are counted"},
	{VerbSourceNote, anyStatus, nil, TheBot, "a report of an outside system is noted"},
	{VerbStartPlaybook, []Status{Triage, Active, Contained, Resolved}, nil, Responders | TheCommander | TheBot, "a playbook starts"},
	{VerbStartStep, []Status{Triage, Active, Contained, Resolved}, nil, TheBot, "a step starts"},
	{VerbStepLate, []Status{Triage, Active, Contained, Resolved}, nil, TheBot, "a step's deadline passed"},
	{VerbPage, responding, nil, TheBot, "a page starts"},
	{VerbPaged, anyStatus, nil, TheBot, "a page was sent"},
	{VerbPersonPaged, anyStatus, nil, TheBot, "a page to a chosen person was sent"},
	{VerbPageFailed, anyStatus, nil, TheBot, "a page failed and the next escalation step starts at once"},
	{VerbPageTimeout, responding, nil, TheBot, "the page was not acknowledged in time and the next escalation step starts"},
	{VerbAckTimeout, responding, nil, TheBot, "the acknowledgement timed out and a new paging round starts"},
	{VerbAbsenceTimeout, anyStatus, nil, TheBot, "people who were called and showed no sign are paged"},
	{VerbSeverityTimeout, []Status{Triage, Active, Contained, Resolved}, nil, TheBot, "nobody answered the severity that an alert proposes"},
	{VerbRemindSigners, []Status{InReview}, nil, TheBot, "a department has not signed, and its deputies or its head are asked"},
	{VerbStormTimeout, anyStatus, nil, TheBot, "an alert storm is over"},
	{VerbLink, anyStatus, nil, TheBot, "ids of the incident in outside systems"},
	{VerbChannelFound, anyStatus, nil, TheBot, "the lost channel works again"},
	{VerbChannelLost, anyStatus, nil, TheBot, "the channel is archived or gone"},
	{VerbInvited, anyStatus, nil, TheBot, "people were invited to the channel"},
	{VerbEvidenceHashed, anyStatus, nil, TheBot, "a file that is evidence was downloaded for its hash"},
	{VerbEvidenceChanged, anyStatus, nil, TheBot, "the original of evidence was edited or deleted"},
	{VerbPostmortemWritten, []Status{Approved, Closed}, nil, TheBot, "the postmortem is written"},
	{VerbPostmortemShared, anyStatus, nil, TheBot, "the postmortem is in the channel"},
	{VerbReviewInvited, anyStatus, nil, TheBot, "people were invited to the review meeting"},
	{VerbEffectFailed, anyStatus, nil, TheBot, "an effect was discarded and people must know"},
	{VerbEffectDropped, anyStatus, nil, TheBot, "an administrator gave up an effect that waited"},
	{VerbUpdateSent, anyStatus, nil, TheBot, "an audience got an update"},
	{VerbUpdateTimeout, append(slices.Clip(live), Approved), nil, TheBot, "the next update is due"},
	{VerbAccessTimeout, anyStatus, nil, TheBot, "temporary access or a request for it ends"},
	{VerbPersonLeft, anyStatus, nil, TheBot, "a person left the configuration and gives up roles, access and open work"},
}

// allows reports whether the row allows the change from one status to another.
func (t Transition) allows(from, to Status) bool {
	return to == from && (len(t.To) == 0 || slices.Contains(t.To, unchanged)) || slices.Contains(t.To, to)
}

// transition returns the row for verb v in status s, or nil.
func transition(v Verb, s Status) *Transition {
	for n := range Transitions {
		if Transitions[n].Verb == v && (slices.Contains(Transitions[n].From, s) || v == VerbOpen && s == "") {
			return &Transitions[n]
		}
	}
	return nil
}

// who returns who may issue a verb in any status.
func (v Verb) who() (w Authority) {
	for n := range Transitions {
		if Transitions[n].Verb == v {
			w |= Transitions[n].Who
		}
	}
	return w
}

// AllowedVerbs returns the verbs that people may use in status s.
func AllowedVerbs(s Status) []Verb {
	var out []Verb
	for _, t := range Transitions {
		if slices.Contains(t.From, s) && !slices.Contains(out, t.Verb) && t.Who != TheBot {
			out = append(out, t.Verb)
		}
	}
	return out
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
