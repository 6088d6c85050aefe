//go:build !race

package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
	"tocsin/store/storetest"
)

// TestOutage_SlackAndPagerDuty makes Slack and PagerDuty fail at once. Slack answers
// all calls with 429 and later with 500. PagerDuty fails in one of four ways per
// incident: it answers 500, answers 400, does not answer, or accepts the page without
// notifying anyone. Half of the incidents exist before the outage, the others are
// opened during it.
//
// Pages must go out by mail. No effect may be discarded.
// Messages must stay in order, and all effects must complete after the outage.
//
// With TOCSIN_TEST_HEAVY=1, the test runs for a minute with 100 incidents on both
// databases, and otherwise for 12 seconds with 30 incidents on SQLite.
func TestOutage_SlackAndPagerDuty(t *testing.T) {
	t.Parallel()
	if !fullSize {
		(&outageTest{incidents: 30, duration: 12 * time.Second, escalateAfter: 30 * time.Second}).run(t, storetest.SQLite(t))
		return
	}
	storetest.Databases(t, func(t *testing.T, url string) {
		t.Parallel()
		(&outageTest{incidents: 24, duration: time.Minute, escalateAfter: 45 * time.Second}).run(t, url)
	})
}

type outageTest struct {
	*botProcess
	incidents     int
	duration      time.Duration
	escalateAfter time.Duration // at least the minimum of 30 s
	ended         chan struct{}
}

// pagerFaults are the faults of PagerDuty, by incident ID modulo 4.
var pagerFaults = []string{"500", "400", "silence", "202 without a page"}

func (o *outageTest) run(t *testing.T, url string) {
	o.botProcess = startBot(t, url, company.Options{Seed: 23, HTTP: true, Limits: chat.Limits{Off: true}}, func(c map[string]any) {
		c["escalation"].(map[string]any)["escalate_after"] = o.escalateAfter.String()
	})
	half := o.incidents / 2
	for n := range half {
		o.sendAlert(newStory(2 * n).calls[0], n)
	}
	o.waitIdle(2 * time.Minute)
	for n := range half {
		if _, err := o.sendCommand("ack " + incident.ID(n+1).String()); err != nil {
			t.Fatal(err)
		}
	}
	o.waitIdle(3 * time.Minute) // 40 edits a minute

	began := o.startOutage()
	for n := range half { // activity in the existing incidents
		id := incident.ID(n + 1).String()
		o.sendAlert(newStory(2 * n).calls[1], 1000+n)
		for m := range 3 {
			if _, err := o.sendCommand(fmt.Sprintf("note %s remark %d", id, m)); err != nil {
				t.Errorf("note during the outage: %v", err)
			}
		}
	}
	for n := half; n < o.incidents; n++ {
		o.sendAlert(newStory(2 * n).calls[0], n)
	}
	<-time.After(time.Until(began.Add(o.duration))) // remaining duration of the outage
	o.endOutage()
	o.waitForMails(half)
	for n := half; n < o.incidents; n++ {
		if _, err := o.sendCommand("ack " + incident.ID(n+1).String()); err != nil {
			t.Errorf("acknowledge: %v", err)
		}
	}
	over := time.Now()
	o.waitIdle(4 * time.Minute)
	t.Logf("%d incidents, outage of %v, idle %v after its end", o.incidents, o.duration, time.Since(over).Round(100*time.Millisecond))
	o.checkOutcome(half)
}

// sendAlert sends an alert, which must be accepted.
func (o *outageTest) sendAlert(call feed.Call, n int) {
	o.t.Helper()
	answer, err := o.company.Trail.Deliver(o.t.Context(), call, feed.Copy{N: n})
	if err != nil || answer.Status != http.StatusAccepted {
		o.t.Errorf("send alert: got status %d, %v, want 202", answer.Status, err)
	}
}

// startOutage starts the faults and returns the start time.
func (o *outageTest) startOutage() time.Time {
	o.ended = make(chan struct{})
	o.company.Chat.SetFault(chat.Fault{Method: "*", Kind: chat.FaultRateLimit, RetryAfter: 2})
	change := time.AfterFunc(o.duration/2, func() {
		o.company.Chat.ClearFaults()
		o.company.Chat.SetFault(chat.Fault{Method: "*", Kind: chat.FaultServerError})
	})
	o.t.Cleanup(func() { change.Stop() })
	ended := o.ended
	o.pagerProxy.setOverride(func(r *http.Request, body string) (int, string) {
		var event struct {
			Key string `json:"dedup_key"`
		}
		_ = json.Unmarshal([]byte(body), &event)
		id, _, _ := incident.ParsePageKey(event.Key)
		switch pagerFaults[int(id)%4] {
		case "500":
			return http.StatusInternalServerError, `{"status":"error"}`
		case "400":
			return http.StatusBadRequest, `{"status":"invalid event","message":"Event object is invalid","errors":["'payload.source' is blocked"]}`
		case "silence":
			select {
			case <-r.Context().Done():
			case <-ended:
			}
			return -1, ""
		default:
			return http.StatusAccepted, `{"status":"success","message":"Event processed","dedup_key":` + strconv.Quote(event.Key) + `}`
		}
	})
	return time.Now()
}

func (o *outageTest) endOutage() {
	close(o.ended)
	o.company.Chat.ClearFaults()
	o.pagerProxy.setOverride(nil)
}

// waitForMails waits until every page that PagerDuty did not deliver was mailed.
func (o *outageTest) waitForMails(half int) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), o.escalateAfter+time.Minute)
	defer cancel()
	if err := o.company.Mail.Until(ctx, func() bool { return len(o.company.Mail.Counts()) >= o.incidents-half }); err != nil {
		o.t.Errorf("got %d pages by mail, want %d: %v", len(o.company.Mail.Counts()), o.incidents-half, err)
	}
}

// checkOutcome compares the incidents with Slack, PagerDuty and the mailbox.
func (o *outageTest) checkOutcome(half int) {
	t := o.t
	var views []incident.View
	for n := range o.queryInt("SELECT count(*) FROM incidents") {
		views = append(views, o.view(incident.ID(n+1)))
	}
	if len(views) != o.incidents {
		t.Fatalf("got %d incidents, want %d", len(views), o.incidents)
	}
	o.stop()
	o.checkVerify()
	effects := o.checkEffects()
	if doubled := o.checkMessages(effects); doubled != 0 {
		t.Errorf("got %d doubled messages, want 0", doubled)
	}
	o.checkChannels(views)
	o.checkOrder()
	o.checkEscalation(views[half:])
	if n := o.queryInt("SELECT count(*) FROM river_job WHERE state IN ('discarded', 'cancelled')"); n != 0 {
		t.Errorf("got %d discarded or cancelled jobs, want 0", n)
	}
}

// checkOrder requires the messages of an incident to be in the order of its timeline
// within each channel. Cards and pages are excluded.
func (o *outageTest) checkOrder() {
	for _, c := range o.company.Chat.Channels("") {
		last := map[string]int{}
		for _, m := range everyMessage(o.company.Chat, c.ID) {
			key, card := messageKey(m)
			part := strings.Split(key, "/")
			if card || len(part) < 3 || part[1] == "page" {
				continue
			}
			seq, err := strconv.Atoi(part[1])
			if err != nil {
				continue
			}
			if seq < last[part[0]] {
				o.t.Errorf("#%s: got message %s after event %d of the incident", c.Name, key, last[part[0]])
			}
			last[part[0]] = seq
		}
	}
}

// checkEscalation requires one mail per page that PagerDuty failed to deliver, within
// 15 seconds of the failure. It logs the times.
func (o *outageTest) checkEscalation(views []incident.View) {
	t := o.t
	arrived := map[string]time.Time{}
	for _, m := range o.company.Mail.Messages() {
		id, _, _ := strings.Cut(m.MessageID, "@")
		if !arrived[id].IsZero() {
			t.Errorf("got mail %s twice", id)
		}
		arrived[id] = m.At
	}
	afterFailure, afterAlert := map[string]time.Duration{}, map[string]time.Duration{}
	for _, v := range views {
		id := v.Incident.ID
		fault := pagerFaults[int(id)%4]
		mail, ok := arrived[fmt.Sprintf("%s.page.1.1", id)]
		if !ok {
			t.Errorf("%s (%s): got no page by mail", id, fault)
			continue
		}
		var started, failed time.Time
		for _, e := range v.Timeline {
			switch {
			case e.Kind == incident.EventRoundStarted && started.IsZero():
				started = e.RecordedAt
			case (e.Kind == incident.EventPageFailed || e.Kind == incident.EventPageUnanswered) && e.Field("escalation_step") == "0" && failed.IsZero():
				failed = e.RecordedAt
			}
		}
		if failed.IsZero() {
			t.Errorf("%s (%s): got no failed page in the timeline", id, fault)
			continue
		}
		afterFailure[fault], afterAlert[fault] = max(afterFailure[fault], mail.Sub(failed)), max(afterAlert[fault], mail.Sub(started))
	}
	for _, fault := range pagerFaults {
		t.Logf("PagerDuty %s: page by mail at most %v after the failure, %v after the alert", fault,
			afterFailure[fault].Round(time.Millisecond), afterAlert[fault].Round(time.Millisecond))
		limit := 15 * time.Second
		if afterFailure[fault] > limit {
			t.Errorf("%s: got the page by mail %v after the failure, want at most %v", fault, afterFailure[fault], limit)
		}
	}
}
