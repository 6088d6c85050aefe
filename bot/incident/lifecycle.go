package incident

import "slices"

// Status is where an incident stands in its life.
type Status string

// The statuses. The database repeats them in a CHECK.
const (
	Triage    Status = "triage"    // opened; the alias is being paged; nobody has it yet
	Active    Status = "active"    // someone has it; the playbook runs
	Contained Status = "contained" // the harm no longer spreads
	Resolved  Status = "resolved"  // service and security are restored; the closing record is being written
	InReview  Status = "in_review" // the record is frozen under its digest; departments sign
	Approved  Status = "approved"  // every required department signed; a review meeting is due
	Closed    Status = "closed"    // reviewed in person, with action items
	Dismissed Status = "dismissed" // a false alarm, with a reason
	Merged    Status = "merged"    // goes on inside another incident
)

// Statuses lists them in the order of a life.
func Statuses() []Status {
	return []Status{Triage, Active, Contained, Resolved, InReview, Approved, Closed, Dismissed, Merged}
}

var (
	responding           = []Status{Triage, Active, Contained}
	live                 = []Status{Triage, Active, Contained, Resolved, InReview}
	notDismissedOrMerged = []Status{Triage, Active, Contained, Resolved, InReview, Approved, Closed}
	anyStatus            = Statuses()
)

// Responding reports whether the incident still needs a hand on it: pages are
// owed while nobody holds it.
func (s Status) Responding() bool { return slices.Contains(responding, s) }

// Live reports whether new alerts of the same correlation belong to it.
func (s Status) Live() bool { return slices.Contains(live, s) }

// Closing reports whether the four departments are asked to read along.
func (s Status) Closing() bool {
	return s == Resolved || s == InReview || s == Approved || s == Closed
}

// Ended reports whether only reopen, revise or nothing moves it on.
func (s Status) Ended() bool { return s == Closed || s == Dismissed || s == Merged }

// Verb is what a command asks for.
type Verb string

// The verbs of people. Behind each, the arguments it reads besides Text.
const (
	VerbOpen             Verb = "open"               // Title, Severity, Public, Alert, Runs
	VerbAcknowledge      Verb = "acknowledge"        // Severity (optional)
	VerbContain          Verb = "contain"            // Text: how
	VerbResolve          Verb = "resolve"            // Text: how
	VerbEditRecord       Verb = "edit_record"        // Record
	VerbSubmit           Verb = "submit"             // Record (optional last edits)
	VerbSign             Verb = "sign"               // Department, Expect
	VerbObject           Verb = "object"             // Department, Text, Expect
	VerbWithdraw         Verb = "withdraw"           // Item (an objection) or Department (a signature)
	VerbAmend            Verb = "amend"              // Text: why; Record (optional)
	VerbRevise           Verb = "revise"             // Text: why; Record
	VerbReopen           Verb = "reopen"             // Text: why
	VerbDismiss          Verb = "dismiss"            // Text: why
	VerbMerge            Verb = "merge"              // Target, Text
	VerbSetSeverity      Verb = "set_severity"       // Severity, Text
	VerbAssignRole       Verb = "assign_role"        // Role, Person
	VerbSetFact          Verb = "set_fact"           // Fact, Text: reason
	VerbNote             Verb = "note"               // Text, Audience
	VerbUpdate           Verb = "update"             // Text: status update for stakeholders
	VerbEvidence         Verb = "evidence"           // Evidence
	VerbStepDone         Verb = "step_done"          // Step, Text: outcome
	VerbStepSkip         Verb = "step_skip"          // Step, Text: why
	VerbConsult          Verb = "consult"            // Department, Blocking
	VerbAnswer           Verb = "answer"             // Department, Text
	VerbDelegate         Verb = "delegate"           // Department, Person, Until
	VerbAddAction        Verb = "add_action"         // Action
	VerbFinishAction     Verb = "finish_action"      // Item, Text: how
	VerbGrant            Verb = "grant_access"       // Person, Text: reason
	VerbRestrict         Verb = "restrict"           // Public
	VerbScheduleReview   Verb = "schedule_review"    // When
	VerbConclude         Verb = "conclude_review"    // Attendance, Text: decisions, Actions
	VerbWaiveActions     Verb = "waive_actions"      // Text: reason for closing without both actions; a second time, by security, endorses
	VerbInvolve          Verb = "involve"            // Department: bring its people in now
	VerbErase            Verb = "erase"              // Erase, Text: reason; legal and security together
	VerbPromote          Verb = "promote"            // Alerts: one that was only kept; Severity (optional)
	VerbSplit            Verb = "split"              // Alerts, Title, Severity (optional), Text: why
	VerbSetLegalHold     Verb = "set_legal_hold"     // Text: why nothing of it may be deleted
	VerbReleaseLegalHold Verb = "release_legal_hold" // Text: why it may be deleted in its time again
)

// The verbs of the bot itself: what effects, clocks and sources report.
const (
	VerbAttach            Verb = "attach"             // Alert, Severity (optional), Runs
	VerbCount             Verb = "count"              // Alert, Count
	VerbSourceNote        Verb = "source_note"        // Text, Alert
	VerbStartPlaybook     Verb = "start_playbook"     // Runs
	VerbStartStep         Verb = "start_step"         // Step
	VerbStepLate          Verb = "step_late"          // Step
	VerbPage              Verb = "page"               // Round, Route: the page starts now
	VerbPaged             Verb = "paged"              // Round, Route
	VerbPageFailed        Verb = "page_failed"        // Round, Route, Text
	VerbPageTimeout       Verb = "page_timeout"       // Round, Route
	VerbAckTimeout        Verb = "ack_timeout"        //
	VerbLink              Verb = "link"               // Links
	VerbInvited           Verb = "invited"            // People
	VerbPostmortemWritten Verb = "postmortem_written" // Document, Revision
	VerbPostmortemShared  Verb = "postmortem_shared"  // Revision, Item: file id
	VerbEffectFailed      Verb = "effect_failed"      // Effect, Text
)

// unchanged stands in a To for the status that the incident has already.
const unchanged Status = ""

// Transition is one line of the table: a verb, the statuses it is possible in
// and those it may lead to. An empty To means that the status stays.
type Transition struct {
	Verb Verb
	From []Status
	To   []Status
	Why  string
}

// Transitions is the whole lifecycle. Decide refuses whatever does not stand here,
// and the diagram in the README is drawn from it.
var Transitions = []Transition{
	// What moves it on.
	{VerbOpen, nil, []Status{Triage}, "an alert or a person opens it"},
	{VerbAcknowledge, []Status{Triage}, []Status{Active}, "someone has it"},
	{VerbAcknowledge, []Status{Active, Contained}, nil, "someone else has it, or it lapsed or was raised"},
	{VerbContain, []Status{Triage, Active}, []Status{Contained}, "the harm no longer spreads"},
	{VerbResolve, []Status{Active, Contained}, []Status{Resolved}, "service and security are restored"},
	{VerbSubmit, []Status{Resolved}, []Status{InReview}, "the record is frozen under its digest"},
	{VerbSign, []Status{InReview}, []Status{InReview, Approved}, "the last signature, with nothing open, approves"},
	{VerbObject, []Status{InReview}, nil, "an objection stays open until withdrawn or amended"},
	{VerbWithdraw, []Status{InReview}, []Status{InReview, Approved}, "the last open objection may have been all that was missing"},
	{VerbAmend, []Status{InReview}, []Status{Resolved}, "the record changes; its signatures are void"},
	{VerbConclude, []Status{Approved}, []Status{Approved, Closed}, "reviewed in person, with action items"},
	{VerbWaiveActions, []Status{Approved}, []Status{Approved, Closed}, "security endorses a reasoned exception"},
	{VerbRevise, []Status{Approved, Closed}, []Status{InReview}, "a new revision is signed; the old one is kept, superseded"},
	{VerbReopen, []Status{Contained, Resolved, InReview, Approved, Closed, Dismissed}, []Status{Active}, "it is not over"},
	{VerbDismiss, responding, []Status{unchanged, Dismissed}, "a false alarm; where it is grave, two people say so"},
	{VerbMerge, responding, []Status{Merged}, "it goes on inside another incident"},

	// What a frozen record cannot survive.
	{VerbSetFact, []Status{InReview}, []Status{Resolved}, "a changed fact voids the signatures"},
	{VerbEvidence, []Status{InReview}, []Status{Resolved}, "new evidence voids the signatures"},
	{VerbAttach, []Status{InReview}, []Status{InReview, Resolved}, "a new kind of alert voids the signatures"},
	{VerbSetSeverity, []Status{InReview}, []Status{Resolved}, "a changed severity voids the signatures"},
	{VerbErase, []Status{InReview}, []Status{unchanged, Resolved}, "a text that is gone is not the one that was signed"},
	{VerbPromote, []Status{InReview}, []Status{InReview, Resolved}, "an alert that somebody brings in may be of a new kind"},
	{VerbSplit, []Status{InReview}, []Status{Resolved}, "what was signed told of alerts that are another incident's now"},

	// What happens along the way.
	{VerbSetFact, []Status{Triage, Active, Contained, Resolved}, nil, "facts are found while it is fought and written up"},
	{VerbEvidence, []Status{Triage, Active, Contained, Resolved}, nil, "evidence is kept as it is found"},
	{VerbAttach, []Status{Triage, Active, Contained, Resolved}, nil, "an alert of the same correlation belongs to it"},
	{VerbPromote, []Status{Triage, Active, Contained, Resolved}, nil, "an alert that was only watched belongs to it"},
	{VerbSplit, []Status{Triage, Active, Contained, Resolved}, nil, "some of its alerts are another incident"},
	{VerbSetSeverity, []Status{Triage, Active, Contained, Resolved}, nil, "raised, it pages anew"},
	{VerbAssignRole, live, nil, "people change places"},
	{VerbNote, anyStatus, nil, "a note is always possible; after the signatures it stands in the appendix"},
	{VerbUpdate, notDismissedOrMerged, nil, "stakeholders hear how it stands"},
	{VerbEditRecord, []Status{Triage, Active, Contained, Resolved}, nil, "the record is written before it is frozen"},
	{VerbStepDone, []Status{Triage, Active, Contained, Resolved}, nil, "a step was done"},
	{VerbStepSkip, []Status{Triage, Active, Contained, Resolved}, nil, "a step is not needed, with a reason"},
	{VerbConsult, live, nil, "an affected team is asked"},
	{VerbAnswer, []Status{Triage, Active, Contained, Resolved}, nil, "the affected team answers"},
	{VerbAnswer, []Status{InReview}, []Status{InReview, Approved}, "its answer may have been all that was missing"},
	{VerbDelegate, notDismissedOrMerged, nil, "a department names a deputy"},
	{VerbInvolve, live, nil, "a department is needed now, not at sign-off"},
	{VerbAddAction, []Status{Triage, Active, Contained, Resolved, InReview, Closed, Dismissed}, nil, "what to do so that it does not happen again"},
	{VerbAddAction, []Status{Approved}, []Status{Approved, Closed}, "the last action item that a concluded review asked for"},
	{VerbFinishAction, anyStatus, nil, "an action item is done"},
	{VerbGrant, anyStatus, nil, "somebody may read along, with a reason"},
	{VerbRestrict, notDismissedOrMerged, nil, "restricted or open"},
	{VerbScheduleReview, []Status{Resolved, InReview, Approved, Dismissed}, nil, "the review meeting gets a time"},
	{VerbErase, []Status{Triage, Active, Contained, Resolved, Approved, Closed, Dismissed, Merged}, nil, "legal and security erase a text together"},
	{VerbSetLegalHold, slices.Concat(notDismissedOrMerged, []Status{Dismissed}), nil, "a legal hold: nothing of it is deleted by schedule; one that was merged is held where its alerts are"},
	{VerbReleaseLegalHold, anyStatus, nil, "it may be deleted in its time again"},

	// What the bot itself reports.
	{VerbCount, live, nil, "copies are counted"},
	{VerbSourceNote, anyStatus, nil, "what outside systems say is noted and moves nothing"},
	{VerbStartPlaybook, []Status{Triage, Active, Contained, Resolved}, nil, "a playbook begins"},
	{VerbStartStep, []Status{Triage, Active, Contained, Resolved}, nil, "a step is due"},
	{VerbStepLate, []Status{Triage, Active, Contained, Resolved}, nil, "a step's deadline passed"},
	{VerbPage, responding, nil, "a page starts"},
	{VerbPaged, anyStatus, nil, "a page went out"},
	{VerbPageFailed, anyStatus, nil, "a page did not go out; the next route is tried at once"},
	{VerbPageTimeout, responding, nil, "nobody acknowledged in time; the next route is tried"},
	{VerbAckTimeout, responding, nil, "the commander fell silent; a new round pages"},
	{VerbLink, anyStatus, nil, "what the outside systems call their half"},
	{VerbInvited, anyStatus, nil, "people were brought into the channel"},
	{VerbPostmortemWritten, []Status{Approved, Closed}, nil, "the postmortem is written"},
	{VerbPostmortemShared, anyStatus, nil, "the postmortem is in the channel"},
	{VerbEffectFailed, anyStatus, nil, "something could not be done outside, and people must know"},
}

// allows reports whether the line allows a move between two statuses.
func (t Transition) allows(from, to Status) bool {
	return to == from && (len(t.To) == 0 || slices.Contains(t.To, unchanged)) || slices.Contains(t.To, to)
}

// transition finds the table's line for a verb in a status, or nil.
func transition(v Verb, s Status) *Transition {
	for n := range Transitions {
		if Transitions[n].Verb == v && (slices.Contains(Transitions[n].From, s) || v == VerbOpen && s == "") {
			return &Transitions[n]
		}
	}
	return nil
}

// botVerbs are those only the bot itself may say.
var botVerbs = []Verb{VerbAttach, VerbCount, VerbSourceNote, VerbStartPlaybook, VerbStartStep, VerbStepLate, VerbPage, VerbPaged,
	VerbPageFailed, VerbPageTimeout, VerbAckTimeout, VerbLink, VerbInvited, VerbPostmortemWritten, VerbPostmortemShared, VerbEffectFailed}

// sharedVerbs are those the bot may say as well as people: it opens incidents
// from alerts, and playbooks have steps that it does itself.
var sharedVerbs = []Verb{VerbOpen, VerbNote, VerbUpdate, VerbConsult, VerbInvolve, VerbStepDone}

// AllowedVerbs lists the verbs of people that the table has for a status, so that a
// refusal can say what is possible now.
func AllowedVerbs(s Status) []Verb {
	var out []Verb
	for _, t := range Transitions {
		if slices.Contains(t.From, s) && !slices.Contains(out, t.Verb) && !slices.Contains(botVerbs, t.Verb) {
			out = append(out, t.Verb)
		}
	}
	return out
}
