package incident

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ID is the number of an incident. It prints as "INC-42".
type ID int64

func (id ID) String() string { return fmt.Sprintf("INC-%d", int64(id)) }

// ParseID parses "INC-42", "inc-42", "#42" and "42".
func ParseID(s string) (ID, error) {
	t := strings.TrimLeft(strings.TrimPrefix(strings.ToLower(strings.TrimSpace(s)), "inc-"), "#")
	n, err := strconv.ParseInt(t, 10, 64)
	if err != nil || n <= 0 {
		return 0, Invalid("incident", "%q is not an incident. Type its number, such as INC-42", s)
	}
	return ID(n), nil
}

// Incident is the state of one incident, folded from its events.
type Incident struct {
	ID           ID        `json:"id"`
	Status       Status    `json:"status"`
	Severity     Severity  `json:"severity"`
	PeakSeverity Severity  `json:"peak_severity,omitempty"` // the most severe that it ever had
	Title        string    `json:"title"`
	Origin       Origin    `json:"origin,omitempty"` // of the alert that opened it
	Restricted   bool      `json:"restricted"`
	OpenedAt     time.Time `json:"opened_at"`
	OpenedBy     PersonID  `json:"opened_by,omitempty"`
	Reporter     *Reporter `json:"reporter,omitempty"` // nil unless somebody unknown to the configuration opened it
	UpdatedAt    time.Time `json:"updated_at"`
	// ContainedAt is when the incident was first contained or resolved. From then
	// on, security must confirm a dismissal at any severity.
	ContainedAt time.Time `json:"contained_at,omitzero"`
	ResolvedAt  time.Time `json:"resolved_at,omitzero"`  // the last resolution
	StatusSince time.Time `json:"status_since,omitzero"` // when the status changed
	// PeakPersonalData is the most serious value that the fact personal_data ever had.
	PeakPersonalData PersonalData `json:"peak_personal_data,omitempty"`
	// LoweredBy are the people who lowered the severity or the suspicion of personal
	// data. They neither propose nor confirm a dismissal.
	LoweredBy []PersonID `json:"lowered_by,omitempty"`
	// LoweredFrom is the severity from which people lowered the present one, or empty.
	// Until the severity reaches it again, alerts only propose to raise the severity.
	LoweredFrom      Severity          `json:"lowered_from,omitempty"`
	SeverityProposal *SeverityProposal `json:"severity_proposal,omitempty"` // without an answer, or nil

	Commander           PersonID          `json:"commander,omitempty"`
	Roles               map[Role]PersonID `json:"roles,omitempty"` // commander included
	Access              []PersonID        `json:"access,omitempty"`
	InvolvedDepartments []Department      `json:"involved_departments,omitempty"` // before sign-off
	Delegations         []Delegation      `json:"delegations,omitempty"`
	Revoked             []PersonID        `json:"revoked,omitempty"`    // their access was revoked, also as the opener
	Exclusions          []Exclusion       `json:"exclusions,omitempty"` // for legal and security only
	ExclusionProposed   *Exclusion        `json:"exclusion_proposed,omitempty"`
	// AccessUntil has the ends of temporary access.
	AccessUntil    map[PersonID]time.Time `json:"access_until,omitempty"`
	AccessRequests []AccessRequest        `json:"access_requests,omitempty"` // without an answer
	BreakGlass     []BreakGlass           `json:"break_glass,omitempty"`     // every use

	Paging    Paging     `json:"paging"`
	Pages     []PageRef  `json:"pages,omitempty"`      // every page that started, of all rounds
	RoundGaps []RoundGap `json:"round_gaps,omitempty"` // paging rounds that restores skipped
	Alerts    []AlertRef `json:"alerts,omitempty"`

	Facts    Facts         `json:"facts"`
	Evidence []Evidence    `json:"evidence,omitempty"`
	Messages []KeptMessage `json:"messages,omitempty"` // of the chat that became a part of the incident
	Runs     []Run         `json:"runs,omitempty"`     // playbooks, as pinned when they started

	Unfinished    *Unfinished    `json:"unfinished,omitempty"` // nil if no step was open at the resolution
	Record        ClosingRecord  `json:"record"`
	Revision      int            `json:"revision"`             // of the record, 1 at the first submission
	Approved      int            `json:"approved"`             // the highest revision that was approved
	Submission    *Submission    `json:"submission,omitempty"` // the frozen record, nil unless submitted
	Signatures    []Signature    `json:"signatures,omitempty"`
	Objections    []Objection    `json:"objections,omitempty"`
	Consultations []Consultation `json:"consultations,omitempty"`
	Postmortems   []Postmortem   `json:"postmortems,omitempty"`

	Actions   []Action   `json:"actions,omitempty"`
	Review    Review     `json:"review"`
	Meeting   *Meeting   `json:"meeting,omitempty"` // the review meeting in the calendars of people
	Dismissal *Dismissal `json:"dismissal,omitempty"`

	Erasure *Erasure `json:"erasure,omitempty"` // proposed by legal or security and not confirmed yet

	// LocalProposals are acts by the command line that wait for a second person.
	LocalProposals []LocalProposal `json:"local_proposals,omitempty"`
	// Nonces are the nonces of recent proofs with the times of their events.
	Nonces map[string]time.Time `json:"nonces,omitempty"`

	MergedInto ID   `json:"merged_into,omitempty"`
	MergedFrom []ID `json:"merged_from,omitempty"`
	SplitInto  []ID `json:"split_into,omitempty"`
	SplitFrom  ID   `json:"split_from,omitempty"`

	Updates        []Update  `json:"updates,omitempty"`
	UpdateDue      time.Time `json:"update_due,omitzero"`       // when the next update is due
	UpdateReminded bool      `json:"update_reminded,omitempty"` // of the update that is due

	LegalHold *LegalHold `json:"legal_hold,omitempty"` // nil if there is none

	// DistrustedChanges are the changes through a distrusted provider that no person has confirmed.
	DistrustedChanges []DistrustedChange `json:"distrusted_changes,omitempty"`

	// Calls are the people whom Tocsin called. Here holds the first sign of each person
	// of the response, and NotInvited why people cannot be invited to the channel.
	Calls      []Call                 `json:"calls,omitempty"`
	Here       map[PersonID]time.Time `json:"here,omitempty"`
	NotInvited map[PersonID]string    `json:"not_invited,omitempty"`

	// Requests are the messages in the channel that ask people for something. An earlier
	// version recorded none.
	Requests []Request `json:"requests,omitempty"`

	// Links holds ids in outside systems by name: [LinkChannel], [LinkCard], ...
	Links map[string]string `json:"links,omitempty"`

	// LostChannel is the channel in Links while it is replaced, because it is archived or
	// gone. FormerChannels are all channels that the incident left.
	LostChannel    string   `json:"lost_channel,omitempty"`
	LostHow        string   `json:"lost_how,omitempty"` // ChannelArchived or ChannelDeleted
	FormerChannels []string `json:"former_channels,omitempty"`

	// Privileged lists the events whose texts only legal and security may read. It is
	// nil if an earlier version stored the state.
	Privileged []int `json:"privileged"`

	// Written counts the texts of each person that do not move the incident, such as
	// notes. See [MaxTexts].
	Written map[PersonID]int `json:"written,omitempty"`

	Head Head `json:"head"` // of the timeline
}

// Keys of [Incident.Links].
const (
	LinkChannel  = "slack.channel"  // channel id
	LinkCard     = "slack.card"     // ts of the pinned card
	LinkPin      = "slack.pin"      // ts of the card when it was pinned
	LinkBookmark = "slack.bookmark" // bookmark id
	LinkCall     = "slack.call"     // bookmark id of the call
	// LinkAnnouncement is the first message in the announce channel, as "channel/ts". The
	// next announcements are replies in its thread.
	LinkAnnouncement = "slack.announcement"
	// The first messages of the threads in the channel.
	LinkChecklist = "slack.checklist"
	LinkAlerts    = "slack.alerts"
	LinkSignoff   = "slack.signoff"
)

// ChannelContents are the keys of [Incident.Links] that are about the content of the
// channel. They end with the channel.
func ChannelContents() []string {
	return []string{LinkCard, LinkPin, LinkBookmark, LinkCall, LinkChecklist, LinkAlerts, LinkSignoff}
}

// Role is a responsibility in the response.
type Role string

// The roles of the built-in playbooks. Other playbooks may define more.
const (
	Commander     Role = "commander"
	Scribe        Role = "scribe"
	Communicator  Role = "communicator"
	OperationLead Role = "operations"
	SecurityLead  Role = "security"
	LegalLead     Role = "legal"
	DPO           Role = "dpo" // data protection officer
)

// Roles returns the roles of the built-in playbooks in display order.
func Roles() []Role {
	return []Role{Commander, Scribe, Communicator, OperationLead, SecurityLead, LegalLead, DPO}
}

// StateForm is the form of the state that [Apply] derives from a timeline. Increase it
// when Apply derives more from events that earlier versions recorded: stored states with
// a smaller form are then computed again. A test fails if the fields change and the form
// does not.
const StateForm = 3

// AlertRef is an alert that is attached to an incident. Its repeats are not
// events. The store counts them.
type AlertRef struct {
	Alert       int64     `json:"alert"` // id in the store
	Source      string    `json:"source"`
	Kind        string    `json:"kind"`
	Level       Level     `json:"level"`
	Title       string    `json:"title"`
	URL         string    `json:"url,omitempty"`
	Rule        string    `json:"rule,omitempty"` // the detection rule and its author
	Fingerprint string    `json:"fingerprint"`    // keyed hash
	At          time.Time `json:"at"`
	Count       int64     `json:"count,omitempty"`    // of occurrences, set only in a View
	LeftOut     int       `json:"left_out,omitempty"` // like Alert.LeftOut
	Origin      Origin    `json:"origin,omitempty"`
}

// Evidence is a preserved item and its hash. Its chain of custody starts when
// it is recorded.
type Evidence struct {
	ID     string    `json:"id"` // "E1", in order
	Name   string    `json:"name"`
	Where  string    `json:"where,omitempty"` // location of the item
	SHA256 string    `json:"sha256,omitempty"`
	By     PersonID  `json:"by"`
	At     time.Time `json:"at"`

	// Of a message or file of the chat.
	Ref       string           `json:"ref,omitempty"` // id in the chat
	Author    PersonID         `json:"author,omitempty"`
	Size      int64            `json:"size,omitempty"`       // of the file, in bytes
	NotHashed string           `json:"not_hashed,omitempty"` // why there is no hash of the file
	Changes   []EvidenceChange `json:"changes,omitempty"`    // of the original, since it was kept
}

// Dismissal is a proposal or a decision to dismiss an incident as a false alarm.
type Dismissal struct {
	By     PersonID  `json:"by"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
	Second PersonID  `json:"second,omitempty"` // who confirmed it
}

// SeverityProposal is the proposal of an alert to raise the severity that a person
// lowered. Without an answer of a person, the severity is raised at Until.
type SeverityProposal struct {
	Severity Severity  `json:"severity"`
	Alert    int64     `json:"alert"` // id in the store
	Kind     string    `json:"kind"`  // of the alert
	At       time.Time `json:"at"`
	Until    time.Time `json:"until"`
}

// Erasure is a proposal to erase texts.
type Erasure struct {
	By     PersonID  `json:"by"`
	At     time.Time `json:"at"`
	Refs   []TextRef `json:"refs"`
	Reason string    `json:"reason"`
}

// LegalHold exempts an incident from retention. While it is set, Tocsin deletes
// nothing of the incident by schedule.
type LegalHold struct {
	By     PersonID  `json:"by"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// Review is the postmortem review meeting.
type Review struct {
	At         time.Time  `json:"at,omitzero"`
	Concluded  time.Time  `json:"concluded,omitzero"`
	By         PersonID   `json:"by,omitempty"`
	Attendance []PersonID `json:"attendance,omitempty"`
	Decisions  string     `json:"decisions,omitempty"`
	// EarlyReason is why the review was concluded before its meeting or without one.
	EarlyReason string `json:"early_reason,omitempty"`
	// Waiver is the reason for closing without the required action items. It
	// counts once EndorsedBy, a member of security, is set.
	Waiver     string   `json:"waiver,omitempty"`
	WaivedBy   PersonID `json:"waived_by,omitempty"`
	EndorsedBy PersonID `json:"endorsed_by,omitempty"`
}

// Meeting is the review meeting that the calendars of people show. It is nil if there
// is none, or if an earlier version scheduled the meeting.
type Meeting struct {
	At      time.Time  `json:"at"`
	People  []PersonID `json:"people,omitempty"`  // whom the invitation is for
	Invited []PersonID `json:"invited,omitempty"` // who may have got one, for this date or an earlier one
}

// Postmortem is the document written from one approved record.
type Postmortem struct {
	Revision   int       `json:"revision"`
	Digest     string    `json:"digest"`
	At         time.Time `json:"at"`
	Superseded bool      `json:"superseded,omitempty"`
	Shared     bool      `json:"shared,omitempty"` // uploaded to the channel
	FileID     string    `json:"file_id,omitempty"`
}

// Result is the outcome of a command.
type Result struct {
	Incident  Incident `json:"incident"`
	Events    []Event  `json:"events"`
	Unchanged bool     `json:"unchanged,omitempty"` // the command had no effect
	// Earlier is the event of another person because of which it had none, with its time,
	// or "". See [EarlierText].
	Earlier string `json:"earlier,omitempty"`
	// Paged are the people whom the command pages, each with the way.
	Paged []string `json:"paged,omitempty"`
	// Next is a sentence about the commands that make sense for the author of a command
	// without effect, or "". See [Suggestions].
	Next string `json:"next,omitempty"`
	// Requested is set if the author asked for access. Then the result has only the number
	// of the incident, whether it exists or not, and the answer is [AccessRequested].
	Requested bool `json:"requested,omitempty"`
	// Reported is set if the author is unknown to the configuration. Then Incident
	// and Events are empty, and the answer is [ReportReceived].
	Reported  bool      `json:"reported,omitempty"`
	Directory Directory `json:"-"` // the people whom the answer names
}

// View is an incident with its timeline, for an authorized reader.
type View struct {
	Incident Incident    `json:"incident"`
	Timeline []Event     `json:"timeline"`
	Alerts   []AlertRef  `json:"alerts"`          // the first 1000, with Count set
	Draft    []PartDraft `json:"draft,omitempty"` // of the closing record
	// AlertCounts count all alerts.
	AlertCounts []AlertCount    `json:"alert_counts,omitempty"`
	Page        PageInfo        `json:"-"`
	Withheld    int             `json:"withheld,omitempty"` // number of events whose texts only legal and security may read
	Waiting     []WaitingEffect `json:"waiting,omitempty"`  // failed effects that are tried again
	Playbooks   []PlaybookInfo  `json:"-"`                  // that exist
	Possible    []Verb          `json:"-"`                  // that the reader may use now
	Tasks       []Task          `json:"-"`                  // that wait for the reader
	Directory   Directory       `json:"-"`
	Reader      PersonID        `json:"-"`
	Policy      Policy          `json:"-"`
}

// RolesOf returns the roles of a person, sorted.
func (i Incident) RolesOf(p PersonID) []Role {
	var out []Role
	for r, who := range i.Roles {
		if who == p {
			out = append(out, r)
		}
	}
	slices.Sort(out)
	return out
}

// Summary returns the incident in one line.
func (i Incident) Summary() Summary {
	return Summary{ID: i.ID, Status: i.Status, Severity: i.Severity, Title: i.Title, Origin: i.Origin, Commander: i.Commander,
		OpenedAt: i.OpenedAt, UpdatedAt: i.UpdatedAt, Restricted: i.Restricted, ReviewAt: i.Review.At}
}

// departmentsWithAccess returns the departments whose representatives may read a
// restricted incident. It may contain duplicates.
func (i Incident) departmentsWithAccess() []Department {
	out := slices.Clone(i.InvolvedDepartments)
	for _, c := range i.Consultations {
		out = append(out, c.Team)
	}
	if i.Dismissal != nil {
		out = append(out, Security)
	}
	if i.Erasure != nil || i.ExclusionProposed != nil || slices.ContainsFunc(i.Exclusions, func(x Exclusion) bool { return x.Second != "" }) {
		out = append(out, Legal, Security)
	}
	if slices.ContainsFunc(i.Updates, func(u Update) bool { return len(u.Audiences) > 0 }) { // which they approve
		out = append(out, Communications, Legal)
	}
	if i.Status.Closing() {
		out = append(out, RequiredDepartments()...)
	}
	return out
}
