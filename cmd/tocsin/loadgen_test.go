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

// sentAlert is one delivery of an alert.
type sentAlert struct {
	feed.Delivery
	story string
	trail bool // by EventBridge, which repeats what was not answered; Sentry does not
}

// loadGenerator is the sender of alerts: many at once, with books of its own about
// what it was answered.
type loadGenerator struct {
	*botProcess
	next        func() sentAlert
	trail       *feed.CloudTrail
	sentry      *feed.Sentry
	minInFlight int64 // how many have to be in flight at a kill
	senders     sync.WaitGroup
	senderCount int // of senders

	inFlight    atomic.Int64 // written to the wire, and not answered
	answered    atomic.Int64 // since it was last said when to strike
	armed       atomic.Bool
	minAnswered atomic.Int64
	killBot     func()
	killed      chan int64

	mu        sync.Mutex
	change    *sync.Cond
	ready     bool // the bot is there to be sent to
	waiting   int  // senders with nothing to send
	tokens    int  // alerts that may still be sent before it pours
	unlimited bool // send without end
	ended     bool
	results   sendLog
}

// minInFlightAtKill is how many alerts have to be under way when the bot is killed.
const minInFlightAtKill = 50

// sendLog are what the sender knows.
type sendLog struct {
	sent     int                        // deliveries, not counting repeats
	accepted map[string]map[string]bool // by story: ids of deliveries that were answered 2xx
	gaveUp   map[string]map[string]bool // those that were not, and are not repeated
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

func newLoadGenerator(s *botProcess, senders int, make_ func() sentAlert) *loadGenerator {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: senders}}
	trail, sentry := s.company.Trail, s.company.Sentry
	trail.Client, sentry.Client = client, client
	b := &loadGenerator{botProcess: s, next: make_, trail: &trail, sentry: &sentry, minInFlight: minInFlightAtKill, senderCount: senders, ready: true, killed: make(chan int64, 1),
		results: sendLog{accepted: map[string]map[string]bool{}, gaveUp: map[string]map[string]bool{}, statuses: map[int]int{}}}
	b.change = sync.NewCond(&b.mu)
	for range senders {
		b.senders.Go(b.send)
	}
	s.t.Cleanup(b.abort)
	return b
}

// send is one sender.
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

// acquireToken waits for leave to send another alert; false when there is no more to send.
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

// awaitReady waits for the bot; false when the test is over.
func (b *loadGenerator) awaitReady() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.ready && !b.ended {
		b.change.Wait()
	}
	return b.ready
}

// isIdle reports whether everything that was allowed is sent and answered.
func (b *loadGenerator) isIdle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tokens == 0 && b.waiting == b.senderCount
}

// deliver sends a parcel once. It is in flight from the moment in which it was
// written until there is an answer, or none to be had.
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
		answer, _ = b.trail.Send(ctx, p.Delivery) // no answer is status 0
	} else {
		answer, _ = b.sentry.Send(ctx, p.Delivery)
	}
	if written.Load() {
		b.inFlight.Add(-1)
	}
	b.answered.Add(1)
	return answer.Status
}

// record writes into the books what was answered, and says whether the sender
// is done with the parcel.
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

// allow lets so many more alerts out.
func (b *loadGenerator) allow(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens += n
	b.change.Broadcast()
}

// setUnlimited sends without end until it is told to stop.
func (b *loadGenerator) setUnlimited(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unlimited = on
	b.change.Broadcast()
}

// killIfFull kills in the very moment in which enough alerts are in flight,
// here and not in another goroutine, which would come too late.
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

// killWhenFull sends without end; after so many answers strike is called in the
// moment in which enough alerts are in flight. It returns how many those were.
func (b *loadGenerator) killWhenFull(after int64, strike func()) (inFlight int64) {
	b.t.Helper()
	b.answered.Store(0)
	b.minAnswered.Store(after)
	b.killBot = strike // read by whoever disarms, and armed below
	b.armed.Store(true)
	b.setUnlimited(true)
	select {
	case inFlight = <-b.killed:
	case <-time.After(60 * time.Second):
		b.t.Fatalf("the wire did not fill: %d alerts in flight", b.inFlight.Load())
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ready, b.unlimited, b.tokens = false, false, 0
	return inFlight
}

// resume says that the bot is there again; what was not answered is repeated.
func (b *loadGenerator) resume() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ready = true
	b.change.Broadcast()
}

// drain ends the barrage once everything that is repeated was answered.
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
		b.t.Fatal("the senders did not come to an end")
	}
}

// abort lets senders go that a failed test left behind.
func (b *loadGenerator) abort() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended, b.ready, b.unlimited, b.tokens = true, false, false, 0
	b.change.Broadcast()
}
