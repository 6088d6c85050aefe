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

// TestOutage takes Slack and PagerDuty away together: Slack answers 429, then
// 500, to everything, and PagerDuty answers 500 for a quarter of the incidents,
// 400 for another, nothing at all for the third, and takes the page and tells
// nobody for the last. Half of the incidents are being worked on by then, the
// other half begins. Pages have to go by mail, nothing may be discarded or said
// in the wrong order, and everything has to catch up.
//
// It is a real minute and a hundred incidents with TOCSIN_TEST_HEAVY=1, on both
// databases; otherwise twelve seconds and thirty, on SQLite.
func TestOutage(t *testing.T) {
	t.Parallel()
	if !fullSize {
		(&outageTest{incidents: 30, duration: 12 * time.Second, escalateAfter: 30 * time.Second}).run(t, storetest.SQLite(t))
		return
	}
	storetest.Databases(t, func(t *testing.T, url string) {
		t.Parallel()
		(&outageTest{incidents: 100, duration: time.Minute, escalateAfter: 45 * time.Second}).run(t, url)
	})
}

type outageTest struct {
	*botProcess
	incidents     int
	duration      time.Duration
	escalateAfter time.Duration // 30 s is the least that the configuration allows
	ended         chan struct{}
}

// The ways in which PagerDuty fails, by the incident's number.
var pagerFaults = []string{"500", "400", "silence", "202 and nobody hears of it"}

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
	o.waitIdle(time.Minute)

	began := o.startOutage()
	for n := range half { // what goes on meanwhile in the incidents that are known
		id := incident.ID(n + 1).String()
		o.sendAlert(newStory(2 * n).calls[1], 1000+n)
		for m := range 3 {
			if _, err := o.sendCommand(fmt.Sprintf("note %s remark %d", id, m)); err != nil {
				t.Errorf("note while Slack is down: %v", err)
			}
		}
	}
	for n := half; n < o.incidents; n++ {
		o.sendAlert(newStory(2 * n).calls[0], n)
	}
	<-time.After(time.Until(began.Add(o.duration))) // the outage lasts as long as it lasts
	o.endOutage()
	o.waitForMails(half)
	for n := half; n < o.incidents; n++ {
		if _, err := o.sendCommand("ack " + incident.ID(n+1).String()); err != nil {
			t.Errorf("acknowledge: %v", err)
		}
	}
	over := time.Now()
	o.waitIdle(4 * time.Minute)
	t.Logf("%d incidents, an outage of %v; all had caught up %v after it", o.incidents, o.duration, time.Since(over).Round(100*time.Millisecond))
	o.checkOutcome(half)
}

// sendAlert sends an alert, which has to be taken.
func (o *outageTest) sendAlert(call feed.Call, n int) {
	o.t.Helper()
	answer, err := o.company.Trail.Deliver(o.t.Context(), call, feed.Copy{N: n})
	if err != nil || answer.Status != http.StatusAccepted {
		o.t.Errorf("an alert was answered %d, %v", answer.Status, err)
	}
}

func (o *outageTest) startOutage() time.Time {
	o.ended = make(chan struct{})
	o.company.Chat.SetFault(chat.Fault{Method: "*", Kind: chat.FaultRateLimit, RetryAfter: 2})
	change := time.AfterFunc(o.duration/2, func() {
		o.company.Chat.ClearFaults()
		o.company.Chat.SetFault(chat.Fault{Method: "*", Kind: chat.FaultServerError})
	})
	o.t.Cleanup(func() { change.Stop() })
	over := o.ended
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
			case <-over:
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

// waitForMails waits until every page that PagerDuty did not deliver went out by mail.
func (o *outageTest) waitForMails(half int) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), o.escalateAfter+time.Minute)
	defer cancel()
	if err := o.company.Mail.Until(ctx, func() bool { return len(o.company.Mail.Counts()) >= o.incidents-half }); err != nil {
		o.t.Errorf("%d of %d pages went out by mail: %v", len(o.company.Mail.Counts()), o.incidents-half, err)
	}
}

func (o *outageTest) checkOutcome(half int) {
	t := o.t
	var views []incident.View
	for n := range o.queryInt("SELECT count(*) FROM incidents") {
		views = append(views, o.view(incident.ID(n+1)))
	}
	if len(views) != o.incidents {
		t.Fatalf("%d incidents, want %d", len(views), o.incidents)
	}
	o.stop()
	o.checkVerify()
	var refused []string
	for n := half; n < o.incidents; n++ {
		if pagerFaults[(n+1)%4] == "400" { // PagerDuty said never; the next route has it
			refused = append(refused, fmt.Sprintf("INC-%d/page/1/0", n+1))
		}
	}
	effects := o.checkEffects(refused...)
	if gone := o.checkMessages(effects); gone != 0 {
		t.Errorf("%d messages were doubled", gone)
	}
	o.checkChannels(views)
	o.checkOrder()
	o.checkEscalation(views[half:])
	if n := o.queryInt("SELECT count(*) FROM river_job WHERE state IN ('discarded', 'cancelled')"); n != 0 {
		t.Errorf("%d jobs were discarded", n)
	}
}

// checkOrder: within each channel, what is said once is said in the order in which
// it happened, for each incident.
func (o *outageTest) checkOrder() {
	for _, c := range o.company.Chat.Channels("") {
		last := map[string]int{}
		for _, m := range o.company.Chat.Messages(c.ID) {
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
				o.t.Errorf("#%s: %s was said after event %d of the same incident", c.Name, key, last[part[0]])
			}
			last[part[0]] = seq
		}
	}
}

// checkEscalation: each page that PagerDuty failed to deliver went to the mailbox once,
// and how long that took.
func (o *outageTest) checkEscalation(views []incident.View) {
	t := o.t
	arrived := map[string]time.Time{}
	for _, m := range o.company.Mail.Messages() {
		id, _, _ := strings.Cut(m.MessageID, "@")
		if !arrived[id].IsZero() {
			t.Errorf("the mail %s came twice", id)
		}
		arrived[id] = m.At
	}
	longest, whole := map[string]time.Duration{}, map[string]time.Duration{}
	for _, v := range views {
		id := v.Incident.ID
		fault := pagerFaults[int(id)%4]
		mail, ok := arrived[fmt.Sprintf("%s.page.1.1", id)]
		if !ok {
			t.Errorf("%s (%s): no page by mail", id, fault)
			continue
		}
		var called, failed time.Time
		for _, e := range v.Timeline {
			switch {
			case e.Kind == incident.EventRoundStarted && called.IsZero():
				called = e.RecordedAt
			case (e.Kind == incident.EventPageFailed || e.Kind == incident.EventPageUnanswered) && e.Field("escalation_step") == "0" && failed.IsZero():
				failed = e.RecordedAt
			}
		}
		if failed.IsZero() {
			t.Errorf("%s (%s): the timeline does not say that the page failed", id, fault)
			continue
		}
		longest[fault], whole[fault] = max(longest[fault], mail.Sub(failed)), max(whole[fault], mail.Sub(called))
	}
	for _, fault := range pagerFaults {
		t.Logf("PagerDuty %s: longest from the failure to the page by mail %v, from the alert %v", fault,
			longest[fault].Round(time.Millisecond), whole[fault].Round(time.Millisecond))
		limit := 15 * time.Second
		if longest[fault] > limit {
			t.Errorf("%s: the next route went only after %v", fault, longest[fault])
		}
	}
}
