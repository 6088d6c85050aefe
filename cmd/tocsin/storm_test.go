package main_test

import (
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
	"tocsin/store/storetest"
)

// TestStorm sends thousands of copies of one alert, which differ in delivery
// id, event id and time, sixteen at a time, and kills the bot half-way. The
// sender repeats what was not answered. It rings once.
func TestStorm(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		copies := int64(3000)
		if fullSize {
			copies = 10_000
		}
		s := startBot(t, url, company.Options{Seed: 5, Limits: chat.Limits{Off: true}})
		call, begin := feed.StopLogging(5), time.Now()
		var made atomic.Int64
		storm := newLoadGenerator(s, 16, func() sentAlert {
			n := made.Add(1)
			return sentAlert{story: "storm", trail: true, Delivery: s.company.Trail.Delivery(call, feed.Copy{N: int(n), At: begin.Add(time.Duration(n) * time.Second)})}
		})
		storm.minInFlight = 8
		storm.allow(int(copies / 2))
		s.waitFor(2*time.Minute, "half of the copies are answered", func() bool { return storm.answered.Load() >= copies/2 })
		inFlight := storm.killWhenFull(0, func() { _ = s.current().cmd.Process.Kill() })
		s.kill()
		t.Logf("killed with %d of %d copies sent, %d in flight", made.Load(), copies, inFlight)
		s.start()
		storm.resume()
		storm.allow(int(copies - made.Load()))
		s.waitFor(2*time.Minute, "every copy is answered", func() bool { return storm.isIdle() })
		storm.drain()
		s.waitIdle(2 * time.Minute)
		took := time.Since(begin)

		b := storm.results
		if n := len(b.accepted["storm"]); int64(n) != copies || countIDs(b.gaveUp) != 0 {
			t.Errorf("%d of %d copies were answered 2xx", n, copies)
		}
		v := s.view(1)
		if n := s.queryInt("SELECT count(*) FROM incidents"); n != 1 {
			t.Errorf("%d incidents", n)
		}
		if len(v.Alerts) != 1 || v.Alerts[0].Count != copies {
			t.Errorf("alerts: %+v; want one that was counted %d times", v.Alerts, copies)
		}
		pages := s.company.Pager.Snapshot().Incidents
		if len(pages) != 1 || pages[0].Key != incident.PageKey(1, 1) || len(s.company.Mail.Messages()) != 0 {
			t.Errorf("%d pages and %d mails", len(pages), len(s.company.Mail.Messages()))
		}
		channels := slices.DeleteFunc(s.company.Chat.Channels(""), func(c chat.Channel) bool { return c.Creator != botUser || c.Kind == chat.KindDM })
		if len(channels) != 1 {
			t.Errorf("%d channels", len(channels))
		}
		var last string // a batch that passes two marks is told with the higher one
		for _, e := range v.Timeline {
			if e.Kind == incident.EventAlertCounted {
				last = e.Field("count")
			}
		}
		if want := "1" + strings.Repeat("0", len(strconv.FormatInt(copies, 10))-1); last != want {
			t.Errorf("the last mark of the count in the timeline is %q, want %s", last, want)
		}
		s.stop()
		s.checkVerify()
		t.Logf("%d copies (%d repeated) in %v: one incident of %d events, one page, one channel, counted %d times",
			copies, b.repeats, took.Round(time.Millisecond), len(v.Timeline), v.Alerts[0].Count)
	})
}
