//go:build !race

package main_test

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"tocsin/bot/sandbox/feed"
)

// sentAlert is a delivery that contains an alert.
type sentAlert struct {
	feed.Delivery
	story string
	trail bool // sent by EventBridge, which retries after errors, unlike Sentry
}

// loadGenerator sends alerts from many goroutines and records the bot's responses.
type loadGenerator struct {
	*botProcess
	next        func() sentAlert
	trail       *feed.CloudTrail
	sentry      *feed.Sentry
	minInFlight int64 // minimum number of alerts in flight at a kill
	senders     sync.WaitGroup
	senderCount int

	inFlight    atomic.Int64 // written to the connection and not answered
	answered    atomic.Int64 // since the last call of killWhenFull
	armed       atomic.Bool
	minAnswered atomic.Int64
	killBot     func()
	killed      chan int64

	mu        sync.Mutex
	change    *sync.Cond
	ready     bool // the bot accepts deliveries
	waiting   int  // senders that wait for a token
	tokens    int  // alerts that may still be sent
	unlimited bool // send without tokens
	ended     bool
	results   sendLog
}

// minInFlightAtKill is the default of loadGenerator.minInFlight.
const minInFlightAtKill = 50

// sendLog is the senders' record of deliveries and responses.
type sendLog struct {
	sent     int                        // deliveries, not counting repeats
	accepted map[string]map[string]bool // ids of deliveries answered 2xx, by story
	gaveUp   map[string]map[string]bool // ids of deliveries that failed and are not retried, by story
	repeats  int
	statuses map[int]int
}

// countIDs counts the ids of all stories.
func countIDs(of map[string]map[string]bool) (n int) {
	for _, ids := range of {
		n += len(ids)
	}
	return n
}

// newLoadGenerator starts the senders. They call next for each alert.
func newLoadGenerator(s *botProcess, senders int, next func() sentAlert) *loadGenerator {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: senders}}
	trail, sentry := s.company.Trail, s.company.Sentry
	trail.Client, sentry.Client = client, client
	b := &loadGenerator{botProcess: s, next: next, trail: &trail, sentry: &sentry, minInFlight: minInFlightAtKill, senderCount: senders, ready: true, killed: make(chan int64, 1),
		results: sendLog{accepted: map[string]map[string]bool{}, gaveUp: map[string]map[string]bool{}, statuses: map[int]int{}}}
	b.change = sync.NewCond(&b.mu)
	for range senders {
		b.senders.Go(b.send)
	}
	s.t.Cleanup(b.abort)
	return b
}

// send is the loop of one sender. It retries an alert until record reports that the
// sender is done with it.
func (b *loadGenerator) send() {
	for b.acquireToken() {
		p := b.next()
		for first := true; ; first = false {
			status := b.deliver(p)
			if b.record(p, status, first) || !b.awaitReady() {
				break
			}
		}
	}
}

// acquireToken waits until another alert may be sent. It returns false after the
// end of the test.
func (b *loadGenerator) acquireToken() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.ended && (!b.ready || b.tokens == 0 && !b.unlimited) {
		b.waiting++
		b.change.Wait()
		b.waiting--
	}
	if b.tokens > 0 {
		b.tokens--
		return true
	}
	return b.unlimited && !b.ended
}

// awaitReady waits until the bot is ready. It returns false after the end of the
// test.
func (b *loadGenerator) awaitReady() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.ready && !b.ended {
		b.change.Wait()
	}
	return b.ready
}

// isIdle reports whether all allowed alerts are sent and answered.
func (b *loadGenerator) isIdle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tokens == 0 && b.waiting == b.senderCount
}

// deliver sends an alert once and returns the status, or 0 without a response. The
// alert is in flight from the end of writing until the response or an error.
func (b *loadGenerator) deliver(p sentAlert) (status int) {
	var written atomic.Bool
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) {
		if !written.CompareAndSwap(false, true) {
			return
		}
		b.inFlight.Add(1)
		b.killIfFull()
	}})
	var answer feed.Answer
	if p.trail {
		answer, _ = b.trail.Send(ctx, p.Delivery) // without a response, the status is 0
	} else {
		answer, _ = b.sentry.Send(ctx, p.Delivery)
	}
	if written.Load() {
		b.inFlight.Add(-1)
	}
	b.answered.Add(1)
	return answer.Status
}

// record records a response and reports whether the sender is done with the alert.
func (b *loadGenerator) record(p sentAlert, status int, first bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.results.statuses[status]++
	if first {
		b.results.sent++
	} else {
		b.results.repeats++
	}
	note := func(in map[string]map[string]bool) {
		if in[p.story] == nil {
			in[p.story] = map[string]bool{}
		}
		in[p.story][p.ID] = true
	}
	switch {
	case status/100 == 2:
		note(b.results.accepted)
		return true
	case !p.trail:
		note(b.results.gaveUp)
		return true
	}
	return false
}

// allow permits n more alerts.
func (b *loadGenerator) allow(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens += n
	b.change.Broadcast()
}

// setUnlimited permits alerts without a limit, or stops permitting them.
func (b *loadGenerator) setUnlimited(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unlimited = on
	b.change.Broadcast()
}

// killIfFull kills the bot if it is armed and enough alerts are in flight. The
// sender's goroutine calls it, because another goroutine would run too late.
func (b *loadGenerator) killIfFull() {
	if b.answered.Load() < b.minAnswered.Load() || b.inFlight.Load() < b.minInFlight || !b.armed.CompareAndSwap(true, false) {
		return
	}
	n := b.inFlight.Load()
	if n < b.minInFlight {
		b.armed.Store(true)
		return
	}
	b.killBot()
	b.killed <- n
}

// killWhenFull sends without a limit. After minAnswered responses it calls kill as
// soon as enough alerts are in flight, and returns their number.
func (b *loadGenerator) killWhenFull(minAnswered int64, kill func()) (inFlight int64) {
	b.t.Helper()
	b.answered.Store(0)
	b.minAnswered.Store(minAnswered)
	b.killBot = kill // read only by the sender that disarms, after arming below
	b.armed.Store(true)
	b.setUnlimited(true)
	select {
	case inFlight = <-b.killed:
	case <-time.After(60 * time.Second):
		b.t.Fatalf("got %d alerts in flight within 60 s, want %d", b.inFlight.Load(), b.minInFlight)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ready, b.unlimited, b.tokens = false, false, 0
	return inFlight
}

// resume reports that the bot is ready again. The senders then retry.
func (b *loadGenerator) resume() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ready = true
	b.change.Broadcast()
}

// drain waits until every retried alert is answered, and stops the senders.
func (b *loadGenerator) drain() {
	b.t.Helper()
	b.mu.Lock()
	b.ended, b.tokens, b.unlimited = true, 0, false
	b.change.Broadcast()
	b.mu.Unlock()
	done := make(chan struct{})
	go func() { b.senders.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(2 * time.Minute):
		b.t.Fatal("senders did not finish within 2 minutes")
	}
}

// abort stops the senders that a failed test left running.
func (b *loadGenerator) abort() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended, b.ready, b.unlimited, b.tokens = true, false, false, 0
	b.change.Broadcast()
}
