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

// The load benchmarks measure the real binary as a process of its own, on
// SQLite on a disk. The senders are apart, in the test's process, with bodies
// that were signed before. One iteration is one whole measurement:
//
//	go test ./cmd/tocsin -run '^$' -bench Sentry7KB -benchtime 1x
var (
	loadAlerts   = flag.Int("tocsin.alerts", 30_000, "alerts of one measurement")
	loadMillion  = flag.Int("tocsin.million", 50_000, "alerts put in through intake before the store counts as full")
	loadOpenings = flag.Int("tocsin.openings", 600, "alerts that open an incident each")
	loadPages    = flag.Int("tocsin.pages", 60, "pages of which the time is taken, two a second")
)

const (
	loadConnections  = 16
	loadFingerprints = 1000
	loadProjects     = 4 // correlation keys
)

// BenchmarkSentry7KB posts signed alerts of 7 KB from 16 connections, of 1,000
// fingerprints within four correlation keys; the clock stops when the last one
// is counted in its incident.
func BenchmarkSentry7KB(b *testing.B) {
	for b.Loop() {
		p := startTarget(b)
		letters := p.signedRequests(loadFingerprints, loadProjects)
		rate, micros := p.measure("alerts", *loadAlerts, func() {
			p.postAll(*loadAlerts, func(n int) (rawRequest, string) { return letters[n%len(letters)], "load-" + strconv.Itoa(n) })
		})
		p.checkCount(*loadAlerts)
		b.ReportMetric(rate, "alerts/s")
		b.ReportMetric(micros, "µs-cpu/alert")
		b.ReportMetric(float64(p.usage().peak>>20), "MiB-peak")
		p.kill()
	}
}

// BenchmarkSameDelivery posts deliveries that are known already.
func BenchmarkSameDelivery(b *testing.B) {
	for b.Loop() {
		p := startTarget(b)
		letters := p.signedRequests(loadFingerprints, loadProjects)
		same := func(n int) (rawRequest, string) { return letters[0], "the-same" }
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

// BenchmarkOpenIncidents posts alerts that open an incident each. The clock
// stops when the last incident is open; then every one has its page, and what
// was said in each channel is held against the order of its timeline.
func BenchmarkOpenIncidents(b *testing.B) {
	for b.Loop() {
		p := startTarget(b, openEveryAlert)
		n := *loadOpenings
		letters := p.signedRequests(n, n)
		before, began, average := p.usage(), time.Now(), loadAverage()
		p.postAll(n, func(k int) (rawRequest, string) { return letters[k], "open-" + strconv.Itoa(k) })
		p.waitInboxEmpty()
		opened := time.Since(began)
		p.requireWithin(5*time.Minute, "every incident is paged for", func() bool { return len(p.pageTimes()) == n })
		paged := time.Since(began)
		p.waitNoBacklog()
		quiet, after := time.Since(began), p.usage()
		if have := p.queryNumber("SELECT count(*) FROM incidents"); have != n {
			b.Errorf("%d incidents of %d alerts", have, n)
		}
		if pages := len(p.company.Pager.Snapshot().Incidents); pages != n {
			b.Errorf("%d pages for %d incidents", pages, n)
		}
		if late := p.queryNumber("SELECT count(*) FROM effects AS a JOIN effects AS b ON a.lane = b.lane AND a.lane_pos < b.lane_pos AND a.lane <> '' AND NOT a.refresh AND NOT b.refresh AND a.ran_at > b.ran_at"); late != 0 {
			b.Errorf("%d effects overtook another of their lane", late)
		}
		b.Logf("%d incidents opened in %v, paged in %v, all said in %v; load average before: %s", n, opened.Round(time.Millisecond),
			paged.Round(time.Millisecond), quiet.Round(time.Millisecond), average)
		b.ReportMetric(float64(n)/opened.Seconds(), "incidents/s")
		b.ReportMetric(float64(n)/paged.Seconds(), "pages/s")
		b.ReportMetric(float64((after.cpu-before.cpu).Milliseconds())/float64(n), "ms-cpu/incident")
		b.ReportMetric(float64(after.peak>>20), "MiB-peak")
		p.kill()
	}
}

// openEveryAlert lets alerts open as many incidents as they want.
func openEveryAlert(config map[string]any) {
	config["routing"] = []any{map[string]any{"when": `source == "sentry"`, "open": "sev1"}}
	config["storm"] = map[string]any{"incidents": 0}
}

// pageTimes are the times at which the first page of each incident came, by the
// pager's clock.
func (p *target) pageTimes() map[incident.ID]time.Time {
	out := map[incident.ID]time.Time{}
	for _, in := range p.company.Pager.Snapshot().Incidents {
		if id, round, ok := incident.ParsePageKey(in.Key); ok && round == 1 {
			out[id] = in.CreatedAt
		}
	}
	return out
}

// BenchmarkAcceptToPage posts 200 alerts a second, of which two open an incident
// each, while every call to Slack takes two seconds. The time is taken from the
// moment in which the alert is sent to the arrival of its page.
func BenchmarkAcceptToPage(b *testing.B) {
	for b.Loop() {
		p := startTarget(b, openEveryAlert)
		const tick, share = 5 * time.Millisecond, 100 // 200/s, every hundredth opens
		n := *loadPages
		opening := p.unrelatedRequests(n)
		copies := p.signedRequests(loadFingerprints, loadProjects) // of projects 0 to 3, which are open by then
		p.postAll(loadProjects, func(k int) (rawRequest, string) { return copies[k], "first-" + strconv.Itoa(k) })
		p.waitNoBacklog()
		first := p.queryNumber("SELECT count(*) FROM incidents")
		if first != loadProjects {
			b.Fatalf("%d incidents for %d projects", first, loadProjects)
		}
		p.company.Chat.SetFault(chat.Fault{Method: "*", Kind: chat.FaultSlow, Delay: 2 * time.Second})
		sent, accepted := make([]time.Time, n), make([]time.Time, n)
		before, average := p.usage(), loadAverage()
		p.sendAtRate(n*share, tick, func(m *rawConn, k int) error {
			l, id := copies[k%len(copies)], "copy-"+strconv.Itoa(k)
			which := k / share
			opens := k%share == share/2
			if opens {
				l, id = opening[which], "opening-"+strconv.Itoa(which)
				sent[which] = time.Now()
			}
			status, err := m.post(l, id)
			if opens {
				accepted[which] = time.Now()
			}
			if err == nil && status != http.StatusAccepted {
				err = fmt.Errorf("%s was answered %d; %s", id, status, tail(p.logText(), 1000))
			}
			return err
		})
		p.requireWithin(time.Minute, "every incident is paged for", func() bool { return len(p.pageTimes()) == n+loadProjects })
		after, arrived := p.usage(), p.pageTimes()
		var fromSent, fromAccepted []time.Duration
		for k := range n { // half a second apart, so the numbers are in the order of the alerts
			at := arrived[incident.ID(loadProjects+k+1)]
			fromSent, fromAccepted = append(fromSent, at.Sub(sent[k])), append(fromAccepted, at.Sub(accepted[k]))
		}
		slices.Sort(fromSent)
		slices.Sort(fromAccepted)
		b.Logf("%d pages: sent to page p50 %v p99 %v max %v; accepted to page p50 %v p99 %v max %v; %d effects wait for Slack; load average before: %s, after: %s", n,
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

// unrelatedRequests are alerts of projects that nothing else is about.
func (p *target) unrelatedRequests(n int) []rawRequest {
	out := make([]rawRequest, n)
	for k := range out {
		i := feed.NewIssue(feed.DataLeak, uint64(k))
		i.ID, i.Org, i.Project.Slug = strconv.Itoa(9_000_000+k), "strangers", "stranger-"+strconv.Itoa(k)
		out[k] = p.signedRequest(feed.SentryEventAlert(i, feed.Copy{N: k, At: time.Now(), PadKB: 7}))
	}
	return out
}

// sendAtRate sends one delivery each tick, whatever becomes of the one before.
func (p *target) sendAtRate(n int, tick time.Duration, send func(m *rawConn, k int) error) {
	p.b.Helper()
	due := make(chan int, n)
	var all sync.WaitGroup
	var fault atomic.Value
	for range loadConnections {
		all.Go(func() {
			m, err := p.dial()
			if err != nil {
				fault.Store(err)
				return
			}
			defer func() { _ = m.conn.Close() }()
			for k := range due {
				if err := send(m, k); err != nil {
					fault.Store(err)
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
	if err, ok := fault.Load().(error); ok {
		p.b.Fatal(err)
	}
}

// BenchmarkFullStore measures as BenchmarkSentry7KB does, on the empty store and
// after many alerts, all different, came in through intake.
func BenchmarkFullStore(b *testing.B) {
	for b.Loop() {
		p := startTarget(b)
		letters := p.signedRequests(loadFingerprints, loadProjects)
		round := func(what string) (rate, micros float64) {
			return p.measure(what, *loadAlerts, func() {
				p.postAll(*loadAlerts, func(n int) (rawRequest, string) { return letters[n%len(letters)], what + "-" + strconv.Itoa(n) })
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
