package chat

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// emit queues an event for the app. It drops the event if the app is not subscribed to the type, if scope is not empty
// and not granted, or if HTTP mode has no events URL. The caller holds mu.
func (w *Workspace) emit(typ, scope string, e obj) {
	if scope != "" && !w.scopes[scope] || !w.subscribed(typ) || w.cfg.Mode == ModeHTTP && w.cfg.EventsURL == "" {
		return
	}
	e["type"] = typ
	now := w.clock()
	if e["event_ts"] == nil {
		e["event_ts"] = clockSeconds(now)
	}
	id := w.newID("Ev")
	cfg := w.cfg
	raw, err := json.Marshal(obj{"token": "sandbox", "team_id": cfg.Team.ID, "context_team_id": cfg.Team.ID, "api_app_id": cfg.Bot.AppID, "event": e,
		"type": "event_callback", "event_id": id, "event_time": now.Unix(), "is_ext_shared_channel": false, "event_context": "4-" + id,
		"authorizations": []obj{{"enterprise_id": nil, "team_id": cfg.Team.ID, "user_id": cfg.Bot.UserID, "is_bot": true, "is_enterprise_install": false}}})
	if err != nil {
		return // cannot happen: every part was decoded from JSON
	}
	user, _ := e["user"].(string)
	w.events.push(delivery{kind: "event", typ: typ, id: id, user: user, payload: raw})
}

func (w *Workspace) subscribed(typ string) bool {
	if w.cfg.Events == nil {
		return true
	}
	for _, s := range w.cfg.Events {
		if s == typ || strings.HasPrefix(s, typ+".") {
			return true
		}
	}
	return false
}

// emitIn queues an event of a channel. The app receives it if the bot is a member. It also receives channel_* events of
// all public channels. scope is "read" or "history" of the channel's kind, or a full scope name. The caller holds mu.
func (w *Workspace) emitIn(ch *channel, typ, scope string, e obj) {
	if !ch.members[w.cfg.Bot.UserID] && !(ch.kind == KindPublic && strings.HasPrefix(typ, "channel_")) {
		return
	}
	if !strings.Contains(scope, ":") {
		family := map[string]string{KindPublic: "channels", KindPrivate: "groups", KindDM: "im", KindGroupDM: "mpim"}[ch.kind]
		scope = family + ":" + scope
	}
	w.emit(typ, scope, e)
}

// Order is the order in which [Workspace.ReleaseEvents] delivers held events.
type Order int

// Orders of [Workspace.ReleaseEvents].
const (
	InOrder Order = iota
	Reversed
	Shuffled
)

// dispatcher sends queued events to the app with a few workers. Events usually arrive in order, but like Slack's the
// order is not guaranteed.
type dispatcher struct {
	w              *Workspace
	mu             sync.Mutex
	wake           *sync.Cond
	queue          []delivery
	busy           int
	pendingRetries int // retries that a timer will queue later
	held           bool
	serial         int // number of events at the head to deliver one by one, to guarantee their order
	duplicates     int
	closed         bool
}

const eventWorkers = 4

func (q *dispatcher) start(w *Workspace) {
	q.w = w
	q.wake = sync.NewCond(&q.mu)
	for range eventWorkers {
		w.wg.Add(1)
		go q.work()
	}
}

func (q *dispatcher) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.wake.Broadcast()
}

func (q *dispatcher) push(d delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.queue = append(q.queue, d)
	if d.attempt == 0 {
		for range q.duplicates {
			q.queue = append(q.queue, d)
		}
	}
	q.wake.Broadcast()
}

func (q *dispatcher) work() {
	defer q.w.wg.Done()
	for {
		q.mu.Lock()
		for !q.closed && (q.held || len(q.queue) == 0 || q.serial > 0 && q.busy > 0) {
			q.wake.Wait()
		}
		if q.closed {
			q.mu.Unlock()
			return
		}
		d := q.queue[0]
		q.queue = q.queue[1:]
		q.busy++
		q.serial = max(0, q.serial-1)
		q.mu.Unlock()
		out := q.w.send(d)
		q.mu.Lock()
		q.busy--
		q.wake.Broadcast()
		q.mu.Unlock()
		q.retry(d, out)
	}
}

// retry schedules the next attempt if an event was not acknowledged and has attempts left.
func (q *dispatcher) retry(d delivery, out outcome) {
	retries := q.w.cfg.EventRetries
	if out.ok || out.noRetry || d.attempt >= len(retries) || d.typ == "url_verification" {
		return
	}
	wait := retries[d.attempt]
	d.attempt++
	d.reason = cmpOr(out.reason, "unknown_error")
	if wait == 0 {
		q.push(d)
		return
	}
	q.mu.Lock()
	q.pendingRetries++
	q.mu.Unlock()
	time.AfterFunc(wait, func() {
		q.mu.Lock()
		q.pendingRetries--
		q.mu.Unlock()
		q.push(d) // does nothing if the queue is closed
	})
}

// HoldEvents stops the delivery of events until [Workspace.ReleaseEvents].
func (w *Workspace) HoldEvents() {
	w.events.mu.Lock()
	defer w.events.mu.Unlock()
	w.events.held = true
}

// ReleaseEvents ends [Workspace.HoldEvents] and delivers the held events one by one in the given order.
func (w *Workspace) ReleaseEvents(order Order) {
	q := &w.events
	q.mu.Lock()
	defer q.mu.Unlock()
	switch order {
	case Reversed:
		for i, j := 0, len(q.queue)-1; i < j; i, j = i+1, j-1 {
			q.queue[i], q.queue[j] = q.queue[j], q.queue[i]
		}
	case Shuffled:
		r := rand.New(rand.NewPCG(w.cfg.Seed, uint64(len(q.queue))))
		r.Shuffle(len(q.queue), func(i, j int) { q.queue[i], q.queue[j] = q.queue[j], q.queue[i] })
	}
	q.held, q.serial = false, len(q.queue)
	q.wake.Broadcast()
}

// DuplicateEvents delivers each new event extra more times with the same event_id. 0 disables duplicates.
func (w *Workspace) DuplicateEvents(extra int) {
	w.events.mu.Lock()
	defer w.events.mu.Unlock()
	w.events.duplicates = extra
}

// PendingEvents returns the number of events that are queued, in flight or scheduled for a retry.
func (w *Workspace) PendingEvents() int {
	q := &w.events
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.queue) + q.busy + q.pendingRetries
}

// afterDelay runs fn with the lock held after d. It does nothing if the workspace is closed before.
func (w *Workspace) afterDelay(d time.Duration, fn func()) {
	time.AfterFunc(d, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.closed {
			fn()
		}
	})
}
