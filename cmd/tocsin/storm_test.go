//go:build !race

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

// TestDuplicates_OnePage sends thousands of copies of one alert, which differ in
// delivery id, event id and time, over 16 connections. It kills the bot after half
// of them. The sender retries failed deliveries.
func TestDuplicates_OnePage(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		copies := int64(3000)
		if fullSize {
			copies = 10_000
		}
		s := startBot(t, url, company.Options{Seed: 5, Limits: chat.Limits{Off: true}})
		call, begin := feed.StopLogging(5), time.Now()
		var made atomic.Int64
		gen := newLoadGenerator(s, 16, func() sentAlert {
			n := made.Add(1)
			return sentAlert{story: "storm", trail: true, Delivery: s.company.Trail.Delivery(call, feed.Copy{N: int(n), At: begin.Add(time.Duration(n) * time.Second)})}
		})
		gen.minInFlight = 8
		gen.allow(int(copies / 2))
		s.waitFor(2*time.Minute, "responses to half of the copies", func() bool { return gen.answered.Load() >= copies/2 })
		inFlight := gen.killWhenFull(0, func() { _ = s.current().cmd.Process.Kill() })
		s.kill()
		t.Logf("killed with %d of %d copies sent, %d in flight", made.Load(), copies, inFlight)
		s.start()
		gen.resume()
		gen.allow(int(copies - made.Load()))
		s.waitFor(2*time.Minute, "a response to every copy", func() bool { return gen.isIdle() })
		gen.drain()
		s.waitIdle(2 * time.Minute)
		took := time.Since(begin)

		b := gen.results
		if n := len(b.accepted["storm"]); int64(n) != copies || countIDs(b.gaveUp) != 0 {
			t.Errorf("got %d copies answered 2xx, want %d", n, copies)
		}
		v := s.view(1)
		if n := s.queryInt("SELECT count(*) FROM incidents"); n != 1 {
			t.Errorf("got %d incidents, want 1", n)
		}
		if len(v.Alerts) != 1 || v.Alerts[0].Count != copies {
			t.Errorf("got alerts %+v, want one with count %d", v.Alerts, copies)
		}
		pages := s.company.Pager.Snapshot().Incidents
		if len(pages) != 1 || pages[0].Key != incident.PageKey(1, 1) || len(s.company.Mail.Messages()) != 0 {
			t.Errorf("got %d pages and %d mails, want 1 and 0", len(pages), len(s.company.Mail.Messages()))
		}
		channels := slices.DeleteFunc(s.company.Chat.Channels(""), func(c chat.Channel) bool { return c.Creator != botUser || c.Kind == chat.KindDM })
		if len(channels) != 1 {
			t.Errorf("got %d channels, want 1", len(channels))
		}
		var last string // a batch that passes two milestones notes the higher one
		for _, e := range v.Timeline {
			if e.Kind == incident.EventAlertCounted {
				last = e.Field("count")
			}
		}
		if want := "1" + strings.Repeat("0", len(strconv.FormatInt(copies, 10))-1); last != want {
			t.Errorf("got last milestone %q in the timeline, want %s", last, want)
		}
		s.stop()
		s.checkVerify()
		t.Logf("%d copies (%d retries) in %v: one incident of %d events, one page, one channel, count %d",
			copies, b.repeats, took.Round(time.Millisecond), len(v.Timeline), v.Alerts[0].Count)
	})
}
