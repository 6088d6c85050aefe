package chat

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"tocsin/bot/incident"
)

// The limits of edits. A chat limits edits much more than posts, and nobody
// reads a card more often.
const (
	editInterval   = 3 * time.Second // between two edits of one message
	editsPerMinute = 40              // of all messages
)

// pace limits the edits of messages. An edit that comes too early is refused
// with the time to wait: no worker waits. The effect runs again then and shows
// the newest state, so the edits in between are coalesced. Waiting messages
// are edited in the order in which they asked.
//
// It is not stored, and each replica counts its own edits. Effects are stored, so
// after a restart they run and ask again.
//
// The package rate limits one queue. This type has one for each message and one for
// all, and serves them in order.
type pace struct {
	mu      sync.Mutex
	edits   []time.Time          // within the last minute, oldest first
	last    map[string]time.Time // the last edit of each message
	waiting map[string]time.Time // when each waiting message may be edited
}

var errTooManyEdits = errors.New("the message or the chat was edited too often")

// edit counts an edit of a message at a time. If the edit comes too early, edit
// returns an [incident.RetryAfter] instead.
func (p *pace) edit(message string, now time.Time) error {
	if wait := p.take(message, now); wait > 0 {
		return &incident.RetryAfter{After: wait, Err: errTooManyEdits, Queued: true}
	}
	return nil
}

// take counts an edit and returns 0, or returns how long the message must wait.
func (p *pace) take(message string, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget(now)
	if at, ok := p.last[message]; ok {
		return at.Add(editInterval).Sub(now)
	}
	before := p.edits // the edits that come first: those of the last minute, and those that wait
	if at, ok := p.waiting[message]; ok && at.After(now) {
		return at.Sub(now)
	} else if !ok {
		before = slices.Concat(p.edits, slices.SortedFunc(maps.Values(p.waiting), time.Time.Compare))
	}
	if len(before) < editsPerMinute {
		delete(p.waiting, message)
		p.edits = append(p.edits, now)
		p.last[message] = now
		return 0
	}
	at := before[len(before)-editsPerMinute].Add(time.Minute)
	p.waiting[message] = at
	return at.Sub(now)
}

// forget removes edits that no longer count, and messages that missed their turn
// by a minute because their effects are gone.
func (p *pace) forget(now time.Time) {
	if p.last == nil {
		p.last, p.waiting = map[string]time.Time{}, map[string]time.Time{}
	}
	for len(p.edits) > 0 && now.Sub(p.edits[0]) >= time.Minute {
		p.edits = p.edits[1:]
	}
	for message, at := range p.last {
		if now.Sub(at) >= editInterval {
			delete(p.last, message)
		}
	}
	for message, at := range p.waiting {
		if now.Sub(at) >= time.Minute {
			delete(p.waiting, message)
		}
	}
}
