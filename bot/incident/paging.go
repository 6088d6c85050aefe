package incident

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Paging is the paging state of an incident and its acknowledgement.
type Paging struct {
	Round            int       `json:"round"`                       // one pass through the escalation policy, with its own deduplication key
	StartedAt        time.Time `json:"started_at,omitzero"`         // when the round started, zero for old rounds
	EscalationStep   int       `json:"escalation_step"`             // current step of the escalation policy, from 0
	EscalationStepAt time.Time `json:"escalation_step_at,omitzero"` // when the step started
	AcknowledgedBy   PersonID  `json:"acknowledged_by,omitempty"`   // empty if this round is not acknowledged
	AcknowledgedAt   time.Time `json:"acknowledged_at,omitzero"`
	// AcknowledgedSeverity is the most severe severity since the acknowledgement. While
	// the acknowledgement is in force, raising the severity up to it does not page.
	AcknowledgedSeverity Severity  `json:"acknowledged_severity,omitempty"`
	LastAction           time.Time `json:"last_action,omitzero"` // of the commander or of AcknowledgedBy, starts the acknowledgement timeout
	Started              []int     `json:"started,omitempty"`    // escalation steps of this round whose page has started
	Failed               []int     `json:"failed,omitempty"`     // escalation steps of this round whose page failed
	Restore              int64     `json:"restore,omitempty"`    // the last [Restore] when the round started
}

// PageRef identifies a page that may have reached a pager. An earlier version did not
// record them.
type PageRef struct {
	Round          int `json:"round"`
	EscalationStep int `json:"escalation_step"`
}

// Key returns the idempotency key of the page of an incident: "INC-42/page/1/0".
func (p PageRef) Key(id ID) string {
	return fmt.Sprintf("%s/page/%d/%d", id, p.Round, p.EscalationStep)
}

// PageEnd is how the people of a page learn that it needs no responder any more.
type PageEnd int

// The ways. A chat corrects the message of a page unless people know. A mail cannot be
// corrected, so only PageEndNew is worth another one.
const (
	PageEndKnown   PageEnd = iota // they know, or the page is too old to look for
	PageEndCorrect                // a later page of the step replaced the page, and its end is news
	PageEndNew
)

// correctedRounds is the number of paging rounds, from the last one, in which replaced pages
// are corrected. The button of an older page still works, so many rounds of a long night
// need not be searched.
const correctedRounds = 2

// EndOf returns how the people of a page learn that an effect of a kind ended it. They
// learned from its acknowledgement that the resolution needs nobody.
func (i Incident) EndOf(page PageRef, kind EffectKind) PageEnd {
	replaced := slices.ContainsFunc(i.Pages, func(p PageRef) bool { return p.EscalationStep == page.EscalationStep && p.Round > page.Round })
	switch {
	case kind == EffectPageResolve && i.Paging.Acknowledged() && i.Paging.Round == page.Round:
		return PageEndKnown
	case replaced && i.roundsSince(page.Round) >= correctedRounds:
		return PageEndKnown
	case replaced:
		return PageEndCorrect
	}
	return PageEndNew
}

// Acknowledged reports whether a responder acknowledged the current round.
func (p Paging) Acknowledged() bool { return p.AcknowledgedBy != "" }

// PageKey returns the deduplication key of a round for pagers: "INC-42/1".
func PageKey(id ID, round int) string { return fmt.Sprintf("%s/%d", id, round) }

// ParsePageKey parses a key made by [PageKey].
func ParsePageKey(s string) (ID, int, bool) {
	left, right, ok := strings.Cut(s, "/")
	id, err := ParseID(left)
	round, err2 := strconv.Atoi(right)
	return id, round, ok && err == nil && err2 == nil && strings.HasPrefix(left, "INC-")
}

// NeedsPage reports whether a responder must be paged: the status is triage,
// active or contained, paging has started, and no acknowledgement of the current
// round is in force.
func (i Incident) NeedsPage() bool {
	return i.Status.Responding() && !i.Paging.Acknowledged() && i.Paging.Round > 0
}
