package response

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
)

const (
	// maxTestPages is the number of test pages whose results are stored.
	maxTestPages = 20
	// testPagesKey is the key of the state in [NamespaceTestPage].
	testPagesKey = "last"
)

// testPageRow is a test page as it is stored. Only the page itself shows the code: whoever
// knows it has the page.
type testPageRow struct {
	incident.TestPage
	Code string `json:"code"`
	Key  string `json:"key"` // of the request
}

func (t *testPageRow) sendKey(step int) string {
	return fmt.Sprintf("test-page/%s/%d", t.Code, step)
}

// readTestPages locks and returns the last test pages, the newest first.
func readTestPages(kv KeyValues) (rows []testPageRow, err error) {
	if err = getValue(kv, NamespaceTestPage, testPagesKey, &rows); err != nil {
		return nil, fmt.Errorf("read test pages: %w", err)
	}
	return rows, nil
}

func putTestPages(kv KeyValues, rows []testPageRow) error {
	if err := putValue(kv, NamespaceTestPage, testPagesKey, rows[:min(len(rows), maxTestPages)], time.Time{}); err != nil {
		return fmt.Errorf("store test pages: %w", err)
	}
	return nil
}

func listTestPages(rows []testPageRow) *incident.TestPageList {
	l := &incident.TestPageList{Tests: []incident.TestPage{}}
	for _, row := range rows {
		l.Tests = append(l.Tests, row.TestPage)
	}
	return l
}

// TestPages returns the last test pages.
func (d *Desk) TestPages(ctx context.Context) (list incident.TestPageList, err error) {
	err = d.Store.Tx(ctx, func(tx Tx) error {
		rows, err := readTestPages(tx)
		list = *listTestPages(rows)
		return err
	})
	return list, err
}

// StartTestPage sends a test page for the schedule. A repeated key changes nothing, and
// neither does a test that is running.
func (d *Desk) StartTestPage(ctx context.Context, key string) error {
	return d.write(ctx, func(s *session) error {
		_, err := s.startTestPage("", key)
		if incident.CodeOf(err) == incident.CodeConflict {
			return nil
		}
		return err
	})
}

// AcknowledgeTestPage records the acknowledgement of a test page at a pager. It changes
// nothing if the test is unknown or over.
func (d *Desk) AcknowledgeTestPage(ctx context.Context, ack incident.TestPageAck) error {
	return d.write(ctx, func(s *session) error { return s.acknowledgeTestPage(ack) })
}

// testPages answers a request about test pages. Only responders may use it.
func (d *Desk) testPages(ctx context.Context, who incident.Identity, e incident.AlertRequest) (result incident.AlertResult, err error) {
	var rejected error
	err = d.write(ctx, func(s *session) error {
		result, rejected = incident.AlertResult{TestPages: &incident.TestPageList{}}, nil
		person, known := s.dir.Resolve(who)
		if err := s.tx.Audit(Access{At: s.now, Person: person.ID, Handle: who, Action: e.Query, Allowed: person.Responder}); err != nil {
			return fmt.Errorf("audit %s: %w", e.Query, err)
		}
		switch {
		case !known:
			rejected = incident.NotLinked(who)
		case !person.Responder:
			rejected = incident.Forbidden("only responders may send, acknowledge and list test pages. Ask one of them")
		case e.Test.Start:
			result.Done, rejected = s.startTestPage(person.ID, who.String()+"/"+e.Key)
		case e.Test.Code != "":
			result.Done, rejected = s.typeTestPageCode(person.ID, e.Test.Code)
		default:
			rows, err := readTestPages(s.tx)
			if err != nil {
				return err
			}
			result.TestPages = listTestPages(rows)
			if d.NextTestPage != nil {
				result.TestPages.Next = d.NextTestPage(s.now)
			}
		}
		if incident.CodeOf(rejected) == "" {
			return rejected
		}
		return nil // the audit log keeps the attempt
	})
	if err == nil {
		err = rejected
	}
	return result, err
}

// startTestPage starts a test unless one is running, and returns a sentence about it.
func (s *session) startTestPage(by incident.PersonID, key string) (string, error) {
	rows, err := readTestPages(s.tx)
	if err != nil {
		return "", err
	}
	wait := s.d.Policy.EscalateAfter
	done := fmt.Sprintf("Tocsin sends a test page through step 1 of the escalation policy. A responder must acknowledge it within %s. Type page test list for the result.", shortDuration(wait))
	switch {
	case slices.ContainsFunc(rows, func(t testPageRow) bool { return t.Key == key }):
		return done, nil
	case s.d.Policy.EscalationSteps == 0:
		return "", incident.Conflict("there is no escalation step to test. Add one below escalation.steps")
	case len(rows) > 0 && rows[0].Running():
		return "", incident.Conflict("a test page has been running since %s. Acknowledge it, or type page test list for its state", rows[0].StartedAt.UTC().Format("15:04 UTC"))
	}
	t := testPageRow{TestPage: incident.TestPage{StartedAt: s.now, StartedBy: by, SteppedAt: s.now}, Code: rand.Text()[:6], Key: key}
	if err := s.sendTestPage(&t); err != nil {
		return "", err
	}
	return done, putTestPages(s.tx, append([]testPageRow{t}, rows...))
}

// sendTestPage pages the present step of a test, and enqueues the end of its time.
func (s *session) sendTestPage(t *testPageRow) error {
	step := t.EscalationStep
	args := map[string]string{"code": t.Code, "escalation_step": strconv.Itoa(step), "started": t.StartedAt.UTC().Format(time.RFC3339)}
	return s.tx.Enqueue(
		incident.Effect{Key: t.sendKey(step), Kind: incident.EffectTestPage, After: s.now, Urgent: true, Args: args},
		incident.Effect{Key: t.sendKey(step) + "/due", Kind: incident.EffectTestPageDue, After: s.now.Add(s.d.Policy.EscalateAfter), Urgent: true, Args: args})
}

// endTestPage ends a test, and its pages at all steps that were paged.
func (s *session) endTestPage(t *testPageRow) error {
	t.EndedAt = s.now
	var ends []incident.Effect
	for step := range t.EscalationStep + 1 {
		ends = append(ends, incident.Effect{Key: t.sendKey(step) + "/end", Kind: incident.EffectTestPageEnd, After: s.now, Args: map[string]string{
			"code": t.Code, "escalation_step": strconv.Itoa(step), "started": t.StartedAt.UTC().Format(time.RFC3339), "by": string(t.AcknowledgedBy)}})
	}
	return s.tx.Enqueue(ends...)
}

// testPageWaits reports whether the test of a page waits for an acknowledgement.
func (s *session) testPageWaits(page incident.TestPageText) (bool, error) {
	rows, err := readTestPages(s.tx)
	n := indexTestPage(rows, page.Code)
	return n >= 0 && rows[n].Running(), err
}

func indexTestPage(rows []testPageRow, code string) int {
	return slices.IndexFunc(rows, func(t testPageRow) bool { return strings.EqualFold(t.Code, code) })
}

// testPageDue judges a test at the end of the time of a step. Without an acknowledgement it
// notifies people and pages the next step.
func (a *attempt) testPageDue(s *session) (string, error) {
	rows, err := readTestPages(s.tx)
	if err != nil {
		return "", err
	}
	page := a.effect.TestPage()
	n := indexTestPage(rows, page.Code)
	if n < 0 || !rows[n].Running() || rows[n].EscalationStep != page.Step {
		return "not needed", nil
	}
	t := &rows[n]
	if t.MissedAt.IsZero() {
		t.MissedAt = s.now
	}
	next := page.Step + 1
	if isLast := next >= s.d.Policy.EscalationSteps; page.Step == 0 || isLast {
		if isLast {
			next = 0
		}
		if err := s.notifyMissedTest(t, next); err != nil {
			return "", err
		}
	}
	if next == 0 {
		err = s.endTestPage(t)
	} else {
		t.EscalationStep, t.SteppedAt = next, s.now
		err = s.sendTestPage(t)
	}
	if err != nil {
		return "", err
	}
	return "missed", putTestPages(s.tx, rows)
}

// notifyMissedTest enqueues the notices about a missed test. next is the step that is
// paged now, or 0 if there is none.
func (s *session) notifyMissedTest(t *testPageRow, next int) error {
	args := map[string]string{"about": incident.AboutTestPage, "started": t.StartedAt.UTC().Format(time.RFC3339), "steps": strconv.Itoa(t.EscalationStep + 1),
		"waited": s.now.Sub(t.StartedAt).Round(time.Second).String(), "stranger": t.Stranger}
	if next > 0 {
		args["next"] = strconv.Itoa(next + 1)
	}
	return s.tx.Enqueue(noticesOf(t.sendKey(t.EscalationStep)+"/missed", s.now, args)...)
}

// typeTestPageCode acknowledges a test for a responder who typed its code, and returns a
// sentence about it.
func (s *session) typeTestPageCode(who incident.PersonID, code string) (string, error) {
	rows, err := readTestPages(s.tx)
	if err != nil {
		return "", err
	}
	n := indexTestPage(rows, code)
	switch {
	case n < 0:
		return "", incident.Unknown("code", "no test page has the code %q. Type the code of the newest test page", code)
	case rows[n].AcknowledgedBy != "":
		return fmt.Sprintf("No change: %s acknowledged the test page after %s.", s.dir.Name(rows[n].AcknowledgedBy), shortDuration(rows[n].AcknowledgedAt.Sub(rows[n].StartedAt))), nil
	case !rows[n].Running():
		return "", incident.Conflict("this test page ended at %s without an acknowledgement. Type page test to send another", rows[n].EndedAt.UTC().Format("15:04 UTC"))
	}
	if err := s.acknowledge(rows, n, who, s.now); err != nil {
		return "", err
	}
	return fmt.Sprintf("You acknowledged the test page after %s. You need not do anything else.", shortDuration(rows[n].AcknowledgedAt.Sub(rows[n].StartedAt))), nil
}

// acknowledge ends a running test with the acknowledgement of a responder.
func (s *session) acknowledge(rows []testPageRow, n int, who incident.PersonID, at time.Time) error {
	t := &rows[n]
	t.AcknowledgedBy, t.AcknowledgedAt = who, at
	if err := s.endTestPage(t); err != nil {
		return err
	}
	return putTestPages(s.tx, rows)
}

// acknowledgeTestPage records an acknowledgement at a pager. The account must belong to a
// responder, as for a real page.
func (s *session) acknowledgeTestPage(ack incident.TestPageAck) error {
	rows, err := readTestPages(s.tx)
	if err != nil {
		return err
	}
	n := indexTestPage(rows, ack.Code)
	if n < 0 || !rows[n].Running() {
		return nil
	}
	if person, known := s.dir.Resolve(ack.By); known && person.Responder {
		at := ack.At
		if at.Before(rows[n].StartedAt) || at.After(s.now) { // unknown, or by another clock
			at = s.now
		}
		return s.acknowledge(rows, n, person.ID, at)
	}
	rows[n].Stranger = ack.Name
	return putTestPages(s.tx, rows)
}

// acknowledgeTestPage records the acknowledgement of a test page in a delivery.
func (r *ingestion) acknowledgeTestPage(row incident.DecodedDelivery, ack incident.TestPageAck) error {
	r.setOutcome(DeliveryOutcome{Row: row.Row, Outcome: outcomeIgnored, Reason: "it acknowledges a test page, which has no incident"})
	if row.Origin != incident.OriginLive {
		return nil
	}
	return r.session.acknowledgeTestPage(ack)
}

// shortDuration returns a duration in seconds or whole minutes.
func shortDuration(d time.Duration) string {
	if d < 2*time.Minute {
		return fmt.Sprintf("%d s", int(d.Seconds()))
	}
	return fmt.Sprintf("%d min", int(d.Minutes()))
}
