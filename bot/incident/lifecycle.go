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
	unfinished           = []Status{Triage, Active, Contained, Resolved, InReview, Approved}
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

// UnfinishedStatuses returns the statuses of incidents with work to do.
func UnfinishedStatuses() []Status { return slices.Clone(unfinished) }

// Closing reports whether the incident is resolved, in review, approved or
// closed. The four signing departments may then read it.
func (s Status) Closing() bool {
	return s == Resolved || s == InReview || s == Approved || s == Closed
}

// Ended reports whether the incident is closed, dismissed or merged.
func (s Status) Ended() bool { return s == Closed || s == Dismissed || s == Merged }

// Signed reports whether every required department signed the record of the incident.
func (s Status) Signed() bool { return s == Approved || s == Closed }

// Before reports whether s comes before another status in the order of the lifecycle. A dismissed or
// merged incident comes after all others.
func (s Status) Before(other Status) bool {
	return slices.Index(Statuses(), s) < slices.Index(Statuses(), other)
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
	{VerbConfirmChange, anyStatus, nil, Participants, "a change through a provider that was distrusted is confirmed, or was undone"},
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
	{VerbPageRestored, responding, nil, TheBot, "the paging round is from before a restore from a backup and a new one starts"},
	{VerbRestored, unfinished, nil, TheBot, "a restore from a backup is released"},
	{VerbRepeatErasure, []Status{Triage, Active, Contained, Resolved, Approved, Closed, Dismissed, Merged}, nil, TheBot, "texts that were erased after a backup are erased again after its restore"},
	{VerbRepeatErasure, []Status{InReview}, []Status{unchanged, Resolved}, TheBot, "an erased text voids the signatures"},
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
	{VerbDistrusted, []Status{Triage}, nil, TheBot, "acts through a provider that is distrusted are undone"},
	{VerbDistrusted, []Status{Active, Dismissed, Merged}, []Status{unchanged, Triage}, TheBot, "an acknowledgement, dismissal or merge through a distrusted provider is undone"},
	{VerbDistrusted, []Status{Contained}, []Status{unchanged, Triage, Active}, TheBot, "a containment through a distrusted provider is undone"},
	{VerbDistrusted, []Status{Resolved}, []Status{unchanged, Triage}, TheBot, "a resolution through a distrusted provider is undone"},
	{VerbDistrusted, []Status{InReview}, []Status{unchanged, Triage, Resolved}, TheBot, "a submission through a distrusted provider is undone"},
	{VerbDistrusted, []Status{Approved, Closed}, []Status{unchanged, Triage, Resolved, InReview, Approved}, TheBot, "a signature or conclusion through a distrusted provider is undone"},
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
