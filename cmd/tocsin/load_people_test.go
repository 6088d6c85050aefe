//go:build !race

package main_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tocsin/bot/incident"
	sandbox "tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/slack"
	"tocsin/store/storetest"
)

var (
	loadSeconds  = flag.Int("tocsin.seconds", 20, "seconds of commands, clicks and alerts")
	loadAlertsPS = flag.Int("tocsin.alertrate", 1000, "alerts per second while people act")
	loadActsPS   = flag.Int("tocsin.actrate", 50, "commands and clicks per second")
	loadChannels = flag.Int("tocsin.channels", 50, "open incidents in whose channels people act")
	loadSlack    = flag.Duration("tocsin.slack", 2*time.Second, "duration of each call to Slack")
)

// BenchmarkPeopleUnderLoad measures commands and clicks while alerts arrive and every call
// to Slack is slow. Half of them are clicks, a quarter notes and a quarter questions, in turn
// in the channels of many open incidents. Requests are signed and sent over HTTP.
func BenchmarkPeopleUnderLoad(b *testing.B) {
	for name, database := range map[string]func(testing.TB) string{"sqlite": func(testing.TB) string { return "" }, "postgres": storetest.Postgres} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				p := startTargetOn(b, database(b), company.Options{Seed: 3, HTTP: true, Limits: sandbox.Limits{Off: true}}, openEveryAlert)
				p.measurePeople()
				p.kill()
			}
		})
	}
}

// personAct is one command or click of a person.
type personAct struct {
	kind                    string // "click", "note" or "question"
	sent, answered, visible time.Time
}

// actLog holds the acts by number.
type actLog struct {
	mu   sync.Mutex
	acts []personAct
}

func (l *actLog) set(n int, change func(*personAct)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.acts[n])
}

func (p *target) measurePeople() {
	n, total := *loadChannels, *loadSeconds**loadActsPS
	channels := p.openChannels(n)
	acts := &actLog{acts: make([]personAct, total)}
	clicks := map[string][]int{} // the numbers of the clicks of a person in a channel, whose answers are not visible yet
	marked := regexp.MustCompile(`load-act-(\d+)-`)
	p.b.Cleanup(p.company.Chat.Subscribe(func(e sandbox.Entry) {
		if e.Call == nil || !e.Call.Landed {
			return
		}
		now := time.Now()
		text, _ := json.Marshal(e.Call.Args)
		switch e.Call.Method {
		case "chat.postMessage":
			if found := marked.FindSubmatch(text); found != nil {
				k, _ := strconv.Atoi(string(found[1]))
				acts.set(k, func(a *personAct) { a.visible = now })
			}
		case "response_url":
			acts.mu.Lock()
			defer acts.mu.Unlock()
			if waiting := clicks[e.Call.Result["channel"]]; len(waiting) > 0 {
				acts.acts[waiting[0]].visible = now
				clicks[e.Call.Result["channel"]] = waiting[1:]
			}
		}
	}))
	p.company.Chat.SetFault(sandbox.Fault{Method: "*", Kind: sandbox.FaultSlow, Delay: *loadSlack})
	copies := p.signedRequests(loadFingerprints, loadProjects)
	before, average := p.usage(), loadAverage()
	var all sync.WaitGroup
	all.Go(func() {
		p.sendAtRate(*loadSeconds**loadAlertsPS, time.Second/time.Duration(*loadAlertsPS), func(m *rawConn, k int) error {
			status, err := m.post(copies[k%len(copies)], "copy-"+strconv.Itoa(k))
			if err == nil && status != http.StatusAccepted {
				err = fmt.Errorf("copy %d: got status %d, want 202", k, status)
			}
			return err
		})
	})
	clock := time.NewTicker(time.Second / time.Duration(*loadActsPS))
	defer clock.Stop()
	for k := range total {
		<-clock.C
		all.Go(func() { p.actOnce(acts, clicks, k, channels[k%n]) })
	}
	all.Wait()
	middle := p.usage()
	p.requireWithin(3*time.Minute, "every effect of a person to be visible", func() bool {
		acts.mu.Lock()
		defer acts.mu.Unlock()
		return !slices.ContainsFunc(acts.acts, func(a personAct) bool { return a.visible.IsZero() })
	})
	p.reportActs(acts.acts, middle.cpu-before.cpu, average)
}

// loadChannel is the channel of an incident, with the message that has its buttons.
type loadChannel struct {
	incident incident.ID
	id, card string
}

// openChannels opens incidents, and posts a note in each, with which its thread begins.
func (p *target) openChannels(n int) []loadChannel {
	p.b.Helper()
	requests := p.unrelatedRequests(n)
	copies := p.signedRequests(loadProjects, loadProjects) // the incidents of the alerts during the measurement
	p.postAll(n, func(k int) (rawRequest, string) { return requests[k], "open-" + strconv.Itoa(k) })
	p.postAll(loadProjects, func(k int) (rawRequest, string) { return copies[k], "first-" + strconv.Itoa(k) })
	p.waitNoBacklog()
	out := make([]loadChannel, n)
	for k := range out {
		id := incident.ID(k + 1)
		ch, ok := p.company.Chat.Channel(strings.ToLower(id.String()))
		if !ok {
			p.b.Fatalf("%s has no channel", id)
		}
		out[k] = loadChannel{id, ch.ID, p.company.Chat.Messages(ch.ID)[0].TS}
		if reply, err := p.slash(p.company.People[0], ch.ID, "note the measurement begins"); !isRecorded(reply, err) {
			p.b.Fatalf("note in %s: got %q, %v", id, reply, err)
		}
	}
	p.waitNoBacklog()
	return out
}

// actOnce does one act and records its times.
func (p *target) actOnce(acts *actLog, clicks map[string][]int, k int, ch loadChannel) {
	who := p.company.People[k / *loadChannels % 2]
	begin := time.Now()
	acts.set(k, func(a *personAct) { a.sent = begin })
	kind, err := "click", error(nil)
	switch {
	case k / *loadChannels % 2 == 0:
		acts.set(k, func(*personAct) { clicks[ch.id] = append(clicks[ch.id], k) })
		err = p.company.Chat.Act(who.ID).Click(ch.id, ch.card, sandbox.Action{ID: slack.ActionID(incident.VerbHere), Value: ch.incident.String(), Outdated: true})
	case k%2 == 0:
		kind = "note"
		var reply string
		if reply, err = p.slash(who, ch.id, fmt.Sprintf("note load-act-%d-", k)); !isRecorded(reply, err) {
			err = fmt.Errorf("got reply %q, %w", reply, err)
		}
	default:
		kind = "question"
		_, err = p.slash(who, ch.id, "status")
	}
	now := time.Now()
	if err != nil {
		p.b.Errorf("act %d in %s: %v", k, ch.incident, err)
		now = begin.Add(time.Hour)
	}
	acts.set(k, func(a *personAct) {
		a.kind, a.answered = kind, now
		if kind == "question" || err != nil {
			a.visible = now
		}
	})
}

// reportActs logs the times of each kind of act, and reports those of all. A question is
// visible with its answer, which needs no call to Slack.
func (p *target) reportActs(acts []personAct, cpu time.Duration, average string) {
	var allAnswered, allVisible []time.Duration
	for _, kind := range []string{"click", "note", "question"} {
		var answered, visible []time.Duration
		for _, a := range acts {
			if a.kind != kind {
				continue
			}
			seen := a.visible.Sub(a.sent)
			if kind != "question" {
				seen -= *loadSlack
			}
			answered, visible = append(answered, a.answered.Sub(a.sent)), append(visible, seen)
		}
		allAnswered, allVisible = append(allAnswered, answered...), append(allVisible, visible...)
		slices.Sort(answered)
		slices.Sort(visible)
		p.b.Logf("%d %ss: answered p50 %v p99 %v max %v; visible beyond Slack's %v p50 %v p99 %v max %v", len(answered), kind,
			quantile(answered, .5), quantile(answered, .99), quantile(answered, 1), *loadSlack, quantile(visible, .5), quantile(visible, .99), quantile(visible, 1))
	}
	slices.Sort(allAnswered)
	slices.Sort(allVisible)
	work := len(acts) + *loadSeconds**loadAlertsPS
	p.b.Logf("%d acts and %d alerts in %d s: %.0f µs of CPU for each; %d effects waiting, %d of them edits; load average before %s, after %s", len(acts), work-len(acts), *loadSeconds,
		float64(cpu.Microseconds())/float64(work), p.queryNumber(backlogQuery), p.queryNumber(editsQuery), average, loadAverage())
	p.b.ReportMetric(float64(quantile(allAnswered, .5).Microseconds())/1000, "ms-answered-p50")
	p.b.ReportMetric(float64(quantile(allAnswered, .99).Microseconds())/1000, "ms-answered-p99")
	p.b.ReportMetric(float64(quantile(allVisible, .5).Microseconds())/1000, "ms-visible-p50")
	p.b.ReportMetric(float64(quantile(allVisible, .99).Microseconds())/1000, "ms-visible-p99")
	p.b.ReportMetric(float64(cpu.Microseconds())/float64(work), "µs-cpu/op")
}
