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

// parcel is one delivery of an alert.
type parcel struct {
	feed.Delivery
	story string
	trail bool // by EventBridge, which repeats what was not answered; Sentry does not
}

// barrage is the sender of alerts: many at once, with books of its own about
// what it was answered.
type barrage struct {
	*survivor
	make    func() parcel
	trail   *feed.CloudTrail
	sentry  *feed.Sentry
	full    int64 // how many have to be in flight at a kill
	senders sync.WaitGroup
	number  int // of senders

	inFlight atomic.Int64 // written to the wire, and not answered
	answered atomic.Int64 // since it was last said when to strike
	armed    atomic.Bool
	after    atomic.Int64
	strike   func()
	struck   chan int64

	mu      sync.Mutex
	change  *sync.Cond
	ready   bool // the bot is there to be sent to
	waiting int  // senders with nothing to send
	tokens  int  // alerts that may still be sent before it pours
	surging bool // send without end
	ended   bool
	books   books
}

// leastInFlight is how many alerts have to be under way when the bot is killed.
const leastInFlight = 50

// books are what the sender knows.
type books struct {
	sent     int                        // deliveries, not counting repeats
	accepted map[string]map[string]bool // by story: ids of deliveries that were answered 2xx
	gaveUp   map[string]map[string]bool // those that were not, and are not repeated
	repeats  int
	statuses map[int]int
}

// total counts the ids of all stories.
func total(of map[string]map[string]bool) (n int) {
	for _, ids := range of {
		n += len(ids)
	}
	return n
}

func newBarrage(s *survivor, senders int, make_ func() parcel) *barrage {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: senders}}
	trail, sentry := s.company.Trail, s.company.Sentry
	trail.Client, sentry.Client = client, client
	b := &barrage{survivor: s, make: make_, trail: &trail, sentry: &sentry, full: leastInFlight, number: senders, ready: true, struck: make(chan int64, 1),
		books: books{accepted: map[string]map[string]bool{}, gaveUp: map[string]map[string]bool{}, statuses: map[int]int{}}}
	b.change = sync.NewCond(&b.mu)
	for range senders {
		b.senders.Go(b.send)
	}
	s.t.Cleanup(b.end)
	return b
}

// send is one sender.
func (b *barrage) send() {
	for b.mayGo() {
		p := b.make()
		for first := true; ; first = false {
			status := b.deliver(p)
			if b.enter(p, status, first) || !b.awaitReady() {
				break
			}
		}
	}
}

// mayGo waits for leave to send another alert; false when there is no more to send.
func (b *barrage) mayGo() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.ended && (!b.ready || b.tokens == 0 && !b.surging) {
		b.waiting++
		b.change.Wait()
		b.waiting--
	}
	if b.tokens > 0 {
		b.tokens--
		return true
	}
	return b.surging && !b.ended
}

// awaitReady waits for the bot; false when the test is over.
func (b *barrage) awaitReady() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.ready && !b.ended {
		b.change.Wait()
	}
	return b.ready
}

// isIdle reports whether everything that was allowed is sent and answered.
func (b *barrage) isIdle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tokens == 0 && b.waiting == b.number
}

// deliver sends a parcel once. It is in flight from the moment in which it was
// written until there is an answer, or none to be had.
func (b *barrage) deliver(p parcel) (status int) {
	var written atomic.Bool
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) {
		if !written.CompareAndSwap(false, true) {
			return
		}
		b.inFlight.Add(1)
		b.strikeIfFull()
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

// enter writes into the books what was answered, and says whether the sender
// is done with the parcel.
func (b *barrage) enter(p parcel, status int, first bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.books.statuses[status]++
	if first {
		b.books.sent++
	} else {
		b.books.repeats++
	}
	note := func(in map[string]map[string]bool) {
		if in[p.story] == nil {
			in[p.story] = map[string]bool{}
		}
		in[p.story][p.ID] = true
	}
	switch {
	case status/100 == 2:
		note(b.books.accepted)
		return true
	case !p.trail:
		note(b.books.gaveUp)
		return true
	}
	return false
}

// allow lets so many more alerts out.
func (b *barrage) allow(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens += n
	b.change.Broadcast()
}

// pour sends without end until it is told to stop.
func (b *barrage) pour(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.surging = on
	b.change.Broadcast()
}

// strikeIfFull kills in the very moment in which enough alerts are in flight,
// here and not in another goroutine, which would come too late.
func (b *barrage) strikeIfFull() {
	if b.answered.Load() < b.after.Load() || b.inFlight.Load() < b.full || !b.armed.CompareAndSwap(true, false) {
		return
	}
	n := b.inFlight.Load()
	if n < b.full {
		b.armed.Store(true)
		return
	}
	b.strike()
	b.struck <- n
}

// killWhenFull sends without end; after so many answers strike is called in the
// moment in which enough alerts are in flight. It returns how many those were.
func (b *barrage) killWhenFull(after int64, strike func()) (inFlight int64) {
	b.t.Helper()
	b.answered.Store(0)
	b.after.Store(after)
	b.strike = strike // read by whoever disarms, and armed below
	b.armed.Store(true)
	b.pour(true)
	select {
	case inFlight = <-b.struck:
	case <-time.After(60 * time.Second):
		b.t.Fatalf("the wire did not fill: %d alerts in flight", b.inFlight.Load())
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ready, b.surging, b.tokens = false, false, 0
	return inFlight
}

// open says that the bot is there again; what was not answered is repeated.
func (b *barrage) open() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ready = true
	b.change.Broadcast()
}

// drain ends the barrage once everything that is repeated was answered.
func (b *barrage) drain() {
	b.t.Helper()
	b.mu.Lock()
	b.ended, b.tokens, b.surging = true, 0, false
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

// end lets senders go that a failed test left behind.
func (b *barrage) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended, b.ready, b.surging, b.tokens = true, false, false, 0
	b.change.Broadcast()
}
