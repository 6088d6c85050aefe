//go:build !race

package main_test

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/feed"
)

// The load benchmarks measure the real binary in a separate process, with SQLite
// on a disk. The senders run in the test process and post bodies signed
// beforehand. One iteration is one complete measurement:
//
//	go test ./cmd/tocsin -run '^$' -bench Sentry7KB -benchtime 1x
var (
	loadAlerts   = flag.Int("tocsin.alerts", 30_000, "number of alerts per measurement")
	loadMillion  = flag.Int("tocsin.million", 50_000, "number of alerts ingested to fill the store")
	loadOpenings = flag.Int("tocsin.openings", 600, "number of alerts that each open an incident")
	loadPages    = flag.Int("tocsin.pages", 60, "number of pages measured, at two per second")
)

const (
	loadConnections  = 16
	loadFingerprints = 1000
	loadProjects     = 4 // correlation keys
)

// BenchmarkSentry7KB posts signed alerts of 7 KB over 16 connections, with 1,000
// fingerprints and four correlation keys. It measures until the last alert is
// counted in its incident.
func BenchmarkSentry7KB(b *testing.B) {
	for b.Loop() {
		p := startTarget(b)
		requests := p.signedRequests(loadFingerprints, loadProjects)
		rate, micros := p.measure("alerts", *loadAlerts, func() {
			p.postAll(*loadAlerts, func(n int) (rawRequest, string) { return requests[n%len(requests)], "load-" + strconv.Itoa(n) })
		})
		p.checkCount(*loadAlerts)
		b.ReportMetric(rate, "alerts/s")
		b.ReportMetric(micros, "µs-cpu/alert")
		b.ReportMetric(float64(p.usage().peak>>20), "MiB-peak")
		p.kill()
	}
}

// BenchmarkSameDelivery posts one known delivery repeatedly.
func BenchmarkSameDelivery(b *testing.B) {
	for b.Loop() {
		p := startTarget(b)
		requests := p.signedRequests(loadFingerprints, loadProjects)
		same := func(n int) (rawRequest, string) { return requests[0], "same" }
		p.postAll(1, same)
		p.waitNoBacklog()
		n := 2 * *loadAlerts
		rate, micros := p.measure("repeats", n, func() { p.postAll(n, same) })
		p.checkCount(1)
		b.ReportMetric(rate, "deliveries/s")
		b.ReportMetric(micros, "µs-cpu/delivery")
		p.kill()
	}
}

// BenchmarkOpenIncidents posts alerts that each open an incident. It measures until
// the last incident is open. Then it requires one page per incident, and effects
// that ran in the order of their lanes.
func BenchmarkOpenIncidents(b *testing.B) {
	for b.Loop() {
		p := startTarget(b, openEveryAlert)
		n := *loadOpenings
		requests := p.signedRequests(n, n)
		before, began, average := p.usage(), time.Now(), loadAverage()
		p.postAll(n, func(k int) (rawRequest, string) { return requests[k], "open-" + strconv.Itoa(k) })
		p.waitInboxEmpty()
		opened := time.Since(began)
		p.requireWithin(5*time.Minute, "a page for every incident", func() bool { return len(p.pageTimes()) == n })
		paged := time.Since(began)
		p.waitNoBacklog()
		quiet, after := time.Since(began), p.usage()
		if have := p.queryNumber("SELECT count(*) FROM incidents"); have != n {
			b.Errorf("got %d incidents, want %d", have, n)
		}
		if pages := len(p.company.Pager.Snapshot().Incidents); pages != n {
			b.Errorf("got %d pages, want %d", pages, n)
		}
		if late := p.queryNumber("SELECT count(*) FROM effects AS a JOIN effects AS b ON a.lane = b.lane AND a.lane_pos < b.lane_pos AND a.lane <> '' AND NOT a.refresh AND NOT b.refresh AND a.ran_at > b.ran_at"); late != 0 {
			b.Errorf("got %d effects that ran before an earlier one of their lane, want 0", late)
		}
		b.Logf("%d incidents opened in %v, paged in %v, all effects but %d edits done in %v, load average before %s", n, opened.Round(time.Millisecond),
			paged.Round(time.Millisecond), p.queryNumber(editsQuery), quiet.Round(time.Millisecond), average)
		b.ReportMetric(float64(n)/opened.Seconds(), "incidents/s")
		b.ReportMetric(float64(n)/paged.Seconds(), "pages/s")
		b.ReportMetric(float64((after.cpu-before.cpu).Milliseconds())/float64(n), "ms-cpu/incident")
		b.ReportMetric(float64(after.peak>>20), "MiB-peak")
		p.kill()
	}
}

// openEveryAlert opens an incident for every alert, without storm protection.
func openEveryAlert(config map[string]any) {
	config["routing"] = []any{map[string]any{"when": `source == "sentry"`, "open": "sev1"}}
	config["storm"] = map[string]any{"incidents": 0}
}

// pageTimes returns the time of the first page of each incident, by the pager's
// clock.
func (p *target) pageTimes() map[incident.ID]time.Time {
	out := map[incident.ID]time.Time{}
	for _, in := range p.company.Pager.Snapshot().Incidents {
		if id, round, ok := incident.ParsePageKey(in.Key); ok && round == 1 {
			out[id] = in.CreatedAt
		}
	}
	return out
}

// BenchmarkAcceptToPage posts 200 alerts per second, two of them opening an incident,
// while every call to Slack takes two seconds. It measures the time from sending
// an alert to the arrival of its page.
func BenchmarkAcceptToPage(b *testing.B) {
	for b.Loop() {
		p := startTarget(b, openEveryAlert)
		const tick, share = 5 * time.Millisecond, 100 // 200/s, every hundredth opens an incident
		n := *loadPages
		opening := p.unrelatedRequests(n)
		copies := p.signedRequests(loadFingerprints, loadProjects) // of projects 0 to 3, whose incidents are opened first
		p.postAll(loadProjects, func(k int) (rawRequest, string) { return copies[k], "first-" + strconv.Itoa(k) })
		p.waitNoBacklog()
		first := p.queryNumber("SELECT count(*) FROM incidents")
		if first != loadProjects {
			b.Fatalf("got %d incidents, want %d", first, loadProjects)
		}
		p.company.Chat.SetFault(chat.Fault{Method: "*", Kind: chat.FaultSlow, Delay: 2 * time.Second})
		sent, accepted := make([]time.Time, n), make([]time.Time, n)
		before, average := p.usage(), loadAverage()
		p.sendAtRate(n*share, tick, func(m *rawConn, k int) error {
			r, id := copies[k%len(copies)], "copy-"+strconv.Itoa(k)
			page := k / share
			opens := k%share == share/2
			if opens {
				r, id = opening[page], "opening-"+strconv.Itoa(page)
				sent[page] = time.Now()
			}
			status, err := m.post(r, id)
			if opens {
				accepted[page] = time.Now()
			}
			if err == nil && status != http.StatusAccepted {
				err = fmt.Errorf("%s: got status %d, want 202\n%s", id, status, tail(p.logText(), 1000))
			}
			return err
		})
		p.requireWithin(time.Minute, "a page for every incident", func() bool { return len(p.pageTimes()) == n+loadProjects })
		after, arrived := p.usage(), p.pageTimes()
		var fromSent, fromAccepted []time.Duration
		for k := range n { // sent half a second apart, so incident ids follow the order of the alerts
			at := arrived[incident.ID(loadProjects+k+1)]
			fromSent, fromAccepted = append(fromSent, at.Sub(sent[k])), append(fromAccepted, at.Sub(accepted[k]))
		}
		slices.Sort(fromSent)
		slices.Sort(fromAccepted)
		b.Logf("%d pages: sent to page p50 %v p99 %v max %v; accepted to page p50 %v p99 %v max %v; %d effects waiting for Slack; load average before %s, after %s", n,
			quantile(fromSent, .5), quantile(fromSent, .99), fromSent[n-1], quantile(fromAccepted, .5), quantile(fromAccepted, .99), fromAccepted[n-1],
			p.queryNumber(backlogQuery), average, loadAverage())
		b.ReportMetric(float64(quantile(fromSent, .5).Microseconds())/1000, "ms-p50")
		b.ReportMetric(float64(quantile(fromSent, .99).Microseconds())/1000, "ms-p99")
		b.ReportMetric(float64((after.cpu-before.cpu).Microseconds())/float64(n*share), "µs-cpu/alert")
		p.kill()
	}
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))].Round(100 * time.Microsecond)
}

// unrelatedRequests returns n alerts, each of a project without other alerts.
func (p *target) unrelatedRequests(n int) []rawRequest {
	out := make([]rawRequest, n)
	for k := range out {
		i := feed.NewIssue(feed.DataLeak, uint64(k))
		i.ID, i.Org, i.Project.Slug = strconv.Itoa(9_000_000+k), "strangers", "stranger-"+strconv.Itoa(k)
		out[k] = p.signedRequest(feed.SentryEventAlert(i, feed.Copy{N: k, At: time.Now(), PadKB: 7}))
	}
	return out
}

// sendAtRate sends one delivery per tick, without waiting for earlier responses. It
// fails after the first error of send.
func (p *target) sendAtRate(n int, tick time.Duration, send func(m *rawConn, k int) error) {
	p.b.Helper()
	due := make(chan int, n)
	var all sync.WaitGroup
	var firstErr atomic.Value
	for range loadConnections {
		all.Go(func() {
			m, err := p.dial()
			if err != nil {
				firstErr.Store(err)
				return
			}
			defer func() { _ = m.conn.Close() }()
			for k := range due {
				if err := send(m, k); err != nil {
					firstErr.Store(err)
					return
				}
			}
		})
	}
	clock := time.NewTicker(tick)
	defer clock.Stop()
	for k := range n {
		<-clock.C
		due <- k
	}
	close(due)
	all.Wait()
	if err, ok := firstErr.Load().(error); ok {
		p.b.Fatal(err)
	}
}

// BenchmarkFullStore runs the measurement of [BenchmarkSentry7KB] with an empty
// store, and again after ingesting many different alerts.
func BenchmarkFullStore(b *testing.B) {
	for b.Loop() {
		p := startTarget(b)
		requests := p.signedRequests(loadFingerprints, loadProjects)
		round := func(what string) (rate, micros float64) {
			return p.measure(what, *loadAlerts, func() {
				p.postAll(*loadAlerts, func(n int) (rawRequest, string) { return requests[n%len(requests)], what + "-" + strconv.Itoa(n) })
			})
		}
		rate, micros := round("empty")
		body := feed.SentryEventAlert(func() feed.Issue {
			i := feed.NewIssue(feed.DataLeak, 1)
			i.ID, i.Org, i.Project.Slug = "40000000", "payroll", "project-0"
			return i
		}(), feed.Copy{At: time.Now(), PadKB: 7})
		p.measure("filling", *loadMillion, func() {
			p.postAll(*loadMillion, func(n int) (rawRequest, string) {
				return p.signedRequest(bytes.ReplaceAll(body, []byte("40000000"), fmt.Appendf(nil, "5%07d", n))), "fill-" + strconv.Itoa(n)
			})
		})
		full, fullMicros := round("full")
		p.checkCount(2**loadAlerts + *loadMillion)
		b.ReportMetric(full/rate, "rate-full/empty")
		b.ReportMetric(fullMicros/micros, "cpu-full/empty")
		b.ReportMetric(full, "alerts/s")
		b.ReportMetric(fullMicros, "µs-cpu/alert")
		b.ReportMetric(float64(p.usage().peak>>20), "MiB-peak")
		p.kill()
	}
}
