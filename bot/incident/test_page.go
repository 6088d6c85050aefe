package incident

import (
	"strconv"
	"strings"
	"time"
)

// TestPage is a page that tests paging. It belongs to no incident. If nobody acknowledges
// it in time, the next step of the escalation policy gets it, and the test is missed.
type TestPage struct {
	StartedAt time.Time `json:"started_at"`
	StartedBy PersonID  `json:"started_by,omitempty"` // empty for the weekly test
	// EscalationStep is the last step that was paged, from 0, and SteppedAt when.
	EscalationStep int       `json:"escalation_step"`
	SteppedAt      time.Time `json:"stepped_at"`
	MissedAt       time.Time `json:"missed_at,omitzero"` // when the first step had no acknowledgement in time
	AcknowledgedAt time.Time `json:"acknowledged_at,omitzero"`
	AcknowledgedBy PersonID  `json:"acknowledged_by,omitempty"`
	// Stranger is the account of the pager that acknowledged the test and belongs to no
	// responder. A real page would go on.
	Stranger string    `json:"stranger,omitempty"`
	EndedAt  time.Time `json:"ended_at,omitzero"`
}

// AboutTestPage is the argument "about" of the notice about a missed test page. The other
// arguments are when the test "started" (RFC 3339), how long it "waited" (a duration), the
// number of "steps" that were paged, the "next" step or none, and the "stranger".
const AboutTestPage = "test_page"

// Missed reports whether nobody acknowledged the first page of the test in time.
func (t TestPage) Missed() bool { return !t.MissedAt.IsZero() }

// Running reports whether the test waits for an acknowledgement.
func (t TestPage) Running() bool { return t.EndedAt.IsZero() }

// TestPageList holds the last test pages, the newest first.
type TestPageList struct {
	Tests []TestPage `json:"tests"`
	Next  time.Time  `json:"next,omitzero"` // of the weekly test page, zero if there is none
}

// Failing returns the last test with a result if it was missed.
func (l TestPageList) Failing() (TestPage, bool) {
	for _, t := range l.Tests {
		if t.Missed() || !t.Running() {
			return t, t.Missed()
		}
	}
	return TestPage{}, false
}

// TestPageRequest is a request about test pages. Without Start and Code it lists them.
type TestPageRequest struct {
	Start bool
	Code  string // of the test to acknowledge
}

// TestPageAck is an acknowledgement of a test page at a pager.
type TestPageAck struct {
	Code string    `json:"code"`
	By   Identity  `json:"by"`
	Name string    `json:"name,omitempty"` // of the account
	At   time.Time `json:"at,omitzero"`
}

// TestPageText is the content of a test page.
type TestPageText struct {
	Code string
	// Step is the escalation step, from 0. Each step has a page of its own.
	Step int
	// ByDoctor marks a page of `tocsin doctor --page`, which reads the code itself.
	ByDoctor bool
}

// Key identifies the page at a pager.
func (t TestPageText) Key() string {
	if t.Step == 0 {
		return t.Code
	}
	return t.Code + "/" + strconv.Itoa(t.Step)
}

// TestPageCode returns the code in the key of a test page.
func TestPageCode(key string) string {
	code, _, _ := strings.Cut(key, "/")
	return code
}

// AckCommand is the command that acknowledges the test page.
func (t TestPageText) AckCommand() string { return "page test ack " + t.Code }

// Advice returns how to acknowledge the test page, as a sentence without its full stop.
func (t TestPageText) Advice() string {
	if t.ByDoctor {
		return "Give the code " + t.Code + " to the person who runs `tocsin doctor --page`"
	}
	return "Acknowledge it as you would a real page, or type /incident " + t.AckCommand() + " in Slack"
}

// TestPage returns the content of the test page of an effect.
func (e Effect) TestPage() TestPageText {
	step, _ := strconv.Atoi(e.Args["escalation_step"])
	return TestPageText{Code: e.Args["code"], Step: step}
}
