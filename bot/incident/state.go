package incident

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ID is the number people say aloud, "INC-42".
type ID int64

func (id ID) String() string { return fmt.Sprintf("INC-%d", int64(id)) }

// ParseID reads "INC-42", "inc-42", "#42" and "42".
func ParseID(s string) (ID, error) {
	t := strings.TrimLeft(strings.TrimPrefix(strings.ToLower(strings.TrimSpace(s)), "inc-"), "#")
	n, err := strconv.ParseInt(t, 10, 64)
	if err != nil || n <= 0 {
		return 0, Invalid("incident", "%q is no incident; write it as INC-42", s)
	}
	return ID(n), nil
}

// Incident is the state that the events of one incident add up to.
type Incident struct {
	ID           ID        `json:"id"`
	Status       Status    `json:"status"`
	Severity     Severity  `json:"severity"`
	PeakSeverity Severity  `json:"peak_severity,omitempty"` // that it ever had: grading it lower does not make it a matter for one alone
	Title        string    `json:"title"`
	Restricted   bool      `json:"restricted"`
	OpenedAt     time.Time `json:"opened_at"`
	OpenedBy     PersonID  `json:"opened_by,omitempty"`
	UpdatedAt    time.Time `json:"updated_at"`
	// ContainedAt is when there was first something to contain or restore: from then on it is hardly a false alarm.
	ContainedAt time.Time `json:"contained_at,omitzero"`

	Commander           PersonID          `json:"commander,omitempty"`
	Roles               map[Role]PersonID `json:"roles,omitempty"` // commander included
	Access              []PersonID        `json:"access,omitempty"`
	InvolvedDepartments []Department      `json:"involved_departments,omitempty"` // departments brought in before sign-off
	Delegations         []Delegation      `json:"delegations,omitempty"`

	Paging Paging     `json:"paging"`
	Alerts []AlertRef `json:"alerts,omitempty"`

	Facts    Facts      `json:"facts"`
	Evidence []Evidence `json:"evidence,omitempty"`
	Runs     []Run      `json:"runs,omitempty"` // playbooks, as pinned when they started

	Record        ClosingRecord  `json:"record"`
	Revision      int            `json:"revision"`             // of the record; 1 at the first submission
	Approved      int            `json:"approved"`             // the highest revision that was approved
	Submission    *Submission    `json:"submission,omitempty"` // the frozen record, while there is one
	Signatures    []Signature    `json:"signatures,omitempty"`
	Objections    []Objection    `json:"objections,omitempty"`
	Consultations []Consultation `json:"consultations,omitempty"`
	Postmortems   []Postmortem   `json:"postmortems,omitempty"`

	Actions   []Action   `json:"actions,omitempty"`
	Review    Review     `json:"review"`
	Dismissal *Dismissal `json:"dismissal,omitempty"`

	Erasure *Erasure `json:"erasure,omitempty"` // proposed by legal or security, waiting for the other

	MergedInto ID   `json:"merged_into,omitempty"`
	MergedFrom []ID `json:"merged_from,omitempty"`
	SplitInto  []ID `json:"split_into,omitempty"`
	SplitFrom  ID   `json:"split_from,omitempty"`

	LegalHold *LegalHold `json:"legal_hold,omitempty"` // a legal hold, while there is one

	// Links are what the outside systems call their half: LinkChannel, LinkCard, ...
	Links map[string]string `json:"links,omitempty"`

	Head Head `json:"head"` // of the timeline
}

// Keys of Incident.Links.
const (
	LinkChannel  = "slack.channel"  // channel id
	LinkCard     = "slack.card"     // ts of the pinned card
	LinkBookmark = "slack.bookmark" // bookmark id
)

// Role is a job in the response.
type Role string

// The roles the built-in playbooks use; a playbook may bring others.
const (
	Commander     Role = "commander"
	Scribe        Role = "scribe"
	Communicator  Role = "communicator"
	OperationLead Role = "operations"
	SecurityLead  Role = "security"
	LegalLead     Role = "legal"
	DPO           Role = "dpo" // data protection officer
)

// Paging says who, if anybody, has it.
type Paging struct {
	Round            int       `json:"round"`                       // each round pages anew, under its own dedup key
	EscalationStep   int       `json:"escalation_step"`             // of the alias, from 0, now being tried
	EscalationStepAt time.Time `json:"escalation_step_at,omitzero"` // when that route was asked for
	AcknowledgedBy   PersonID  `json:"acknowledged_by,omitempty"`   // who acknowledged this round
	AcknowledgedAt   time.Time `json:"acknowledged_at,omitzero"`
	LastAction       time.Time `json:"last_action,omitzero"` // of the commander or of whoever has it, for the lapse
	Started          []int     `json:"started,omitempty"`    // routes of this round whose page has started
	Failed           []int     `json:"failed,omitempty"`     // routes of this round that did not take the page
}

// Acknowledged reports whether somebody has it.
func (p Paging) Acknowledged() bool { return p.AcknowledgedBy != "" }

// PageKey is the pager's dedup key for a round: "INC-42/1".
func PageKey(id ID, round int) string { return fmt.Sprintf("%s/%d", id, round) }

// ParsePageKey undoes PageKey.
func ParsePageKey(s string) (ID, int, bool) {
	left, right, ok := strings.Cut(s, "/")
	id, err := ParseID(left)
	round, err2 := strconv.Atoi(right)
	return id, round, ok && err == nil && err2 == nil && strings.HasPrefix(left, "INC-")
}

// NeedsPage reports whether somebody must be paged: the incident is still being
// fought, somebody was to be woken for it, and nobody holds it.
func (i Incident) NeedsPage() bool {
	return i.Status.Responding() && !i.Paging.Acknowledged() && i.Paging.Round > 0
}

// AlertRef is an alert that belongs to the incident. Counting its copies is
// not history; the store keeps the counter.
type AlertRef struct {
	Alert       int64     `json:"alert"` // the store's id
	Source      string    `json:"source"`
	Kind        string    `json:"kind"`
	Level       Level     `json:"level"`
	Title       string    `json:"title"`
	URL         string    `json:"url,omitempty"`
	Rule        string    `json:"rule,omitempty"` // the detection rule and its author
	Fingerprint string    `json:"fingerprint"`    // keyed hash
	At          time.Time `json:"at"`
	Count       int64     `json:"count,omitempty"` // filled in when shown
}

// Evidence is something kept for later, with its hash: the chain of custody
// starts when it is named here.
type Evidence struct {
	ID     string    `json:"id"` // "E1", in order
	Name   string    `json:"name"`
	Where  string    `json:"where,omitempty"` // where the thing itself is kept
	SHA256 string    `json:"sha256,omitempty"`
	By     PersonID  `json:"by"`
	At     time.Time `json:"at"`
}

// Run is one playbook in this incident, pinned when it started.
type Run struct {
	Playbook string           `json:"playbook"`
	Title    string           `json:"title"`
	Digest   string           `json:"digest"` // sha256 of the playbook's file
	Plan     []Step           `json:"plan"`
	Consult  []ConsultRequest `json:"consult,omitempty"` // affected teams to be asked before closing
}

// ConsultRequest names an affected team that a playbook wants consulted.
type ConsultRequest struct {
	Team     Department `json:"team"`
	Blocking bool       `json:"blocking,omitempty"`
}

// StepStatus is where a step stands.
type StepStatus string

// The states of a step.
const (
	StepOpen    StepStatus = "open"
	StepDone    StepStatus = "done"
	StepSkipped StepStatus = "skipped"
	StepLate    StepStatus = "late" // its deadline passed; it is still to be done
)

// Step is one step of a pinned playbook.
type Step struct {
	ID       string        `json:"id"` // unique in its playbook
	Title    string        `json:"title"`
	Detail   string        `json:"detail,omitempty"`
	Role     Role          `json:"role,omitempty"`     // who does it
	Action   string        `json:"action,omitempty"`   // what the bot does itself, instead of a role
	Deadline time.Duration `json:"deadline,omitempty"` // from the start of the run
	After    []string      `json:"after,omitempty"`    // steps that come first
	Phase    Status        `json:"phase,omitempty"`    // not before the incident has this status
	When     string        `json:"when,omitempty"`     // expr over the incident; empty means always

	Status  StepStatus `json:"status"`
	Started time.Time  `json:"started,omitzero"`
	By      PersonID   `json:"by,omitempty"`
	At      time.Time  `json:"at,omitzero"`
	Outcome string     `json:"outcome,omitempty"` // what was done, or why it was skipped
}

// Finished reports whether nobody need look at the step again.
func (s Step) Finished() bool { return s.Status == StepDone || s.Status == StepSkipped }

// Run returns the run of a playbook and its place, or nil.
func (i *Incident) Run(playbook string) *Run {
	for n := range i.Runs {
		if i.Runs[n].Playbook == playbook {
			return &i.Runs[n]
		}
	}
	return nil
}

// Step finds a step by id. Where two runs have a step of that name, the run is
// named too: "data-exposure/preserve-logs".
func (i *Incident) Step(ref string) (*Run, *Step) {
	playbook, id, qualified := strings.Cut(ref, "/")
	if !qualified {
		playbook, id = "", ref
	}
	for n := range i.Runs {
		if playbook != "" && i.Runs[n].Playbook != playbook {
			continue
		}
		for k := range i.Runs[n].Plan {
			if i.Runs[n].Plan[k].ID == id {
				return &i.Runs[n], &i.Runs[n].Plan[k]
			}
		}
	}
	return nil, nil
}

// Dismissal is a proposal to call it a false alarm, or the decision.
type Dismissal struct {
	By     PersonID  `json:"by"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
	Second PersonID  `json:"second,omitempty"`
}

// Erasure is a proposal to erase texts.
type Erasure struct {
	By     PersonID  `json:"by"`
	At     time.Time `json:"at"`
	Refs   []TextRef `json:"refs"`
	Reason string    `json:"reason"`
}

// LegalHold is a legal hold: as long as it stands, nothing of the incident is
// deleted by schedule.
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
	// Exception is the reasoned exception to the actions gate that security endorsed.
	Waiver     string   `json:"waiver,omitempty"`
	WaivedBy   PersonID `json:"waived_by,omitempty"`
	EndorsedBy PersonID `json:"endorsed_by,omitempty"`
}

// Postmortem is a written document and the record it stands for.
type Postmortem struct {
	Revision   int       `json:"revision"`
	Digest     string    `json:"digest"`
	At         time.Time `json:"at"`
	Superseded bool      `json:"superseded,omitempty"`
	Shared     bool      `json:"shared,omitempty"` // its file is in the channel
	FileID     string    `json:"file_id,omitempty"`
}

// Result is what a command came to.
type Result struct {
	Incident  Incident `json:"incident"`
	Events    []Event  `json:"events"`
	Unchanged bool     `json:"unchanged,omitempty"` // it was so already; nothing happened
}

// View is everything a reader who may see it gets to see.
type View struct {
	Incident  Incident   `json:"incident"`
	Timeline  []Event    `json:"timeline"`
	Alerts    []AlertRef `json:"alerts"` // with their counters
	Directory Directory  `json:"-"`
}

// RolesOf lists the roles a person holds.
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

// Summary is the incident in one line.
func (i Incident) Summary() Summary {
	return Summary{ID: i.ID, Status: i.Status, Severity: i.Severity, Title: i.Title, Commander: i.Commander,
		OpenedAt: i.OpenedAt, UpdatedAt: i.UpdatedAt, Restricted: i.Restricted, ReviewAt: i.Review.At}
}

// MayRead reports whether a person may read the incident. A restricted one is
// for responders, for whoever holds a role or was granted access, and for the
// people of departments that were called in or whose word is asked for.
func (i Incident) MayRead(d Directory, p PersonID, now time.Time) bool {
	person, known := d.Person(p)
	switch {
	case !known:
		return false
	case !i.Restricted, person.Responder, i.OpenedBy == p, slices.Contains(i.Access, p), len(i.RolesOf(p)) > 0:
		return true
	}
	for _, name := range i.departmentsWithAccess() {
		if i.represents(d, p, name, now) {
			return true
		}
	}
	return false
}

// departmentsWithAccess lists the departments that may read along.
func (i Incident) departmentsWithAccess() []Department {
	out := slices.Clone(i.InvolvedDepartments)
	for _, c := range i.Consultations {
		out = append(out, c.Team)
	}
	if i.Dismissal != nil {
		out = append(out, Security)
	}
	if i.Erasure != nil {
		out = append(out, Legal, Security)
	}
	if i.Status.Closing() {
		out = append(out, RequiredDepartments()...)
	}
	return out
}
