package chat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// Limits of Socket Mode.
const (
	maxSockets   = 10
	maxAckSize   = 20 << 10 // longer acknowledgements are ignored
	pingInterval = 5 * time.Second
	ticketTTL    = 30 * time.Second
)

// Reasons of a Socket Mode disconnect.
const (
	DisconnectWarning  = "warning"           // the connection closes in about 10 s
	DisconnectRefresh  = "refresh_requested" // routine replacement of a connection
	DisconnectDisabled = "link_disabled"     // Socket Mode was turned off
	DisconnectTooMany  = "too_many_websockets"
)

type socketConn struct {
	ws      *websocket.Conn
	done    chan struct{}
	leaving bool // receives no envelopes (guarded by the mutex of the hub)

	mu      sync.Mutex
	pending map[string]chan json.RawMessage // by envelope id
}

type socketHub struct {
	mu      sync.Mutex
	tickets map[string]time.Time
	conns   []*socketConn
	random  *rand.Rand
	serial  int
	off     bool
}

func (h *socketHub) init(seed uint64) {
	h.tickets, h.random = map[string]time.Time{}, rand.New(rand.NewPCG(seed, 0x736f636b))
}

func connectionsOpen(c *call) (obj, error) {
	h := &c.w.sockets
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.off {
		return nil, apiError("forbidden_team")
	}
	for t, born := range h.tickets {
		if time.Since(born) > ticketTTL {
			delete(h.tickets, t)
		}
	}
	t := ticket()
	h.tickets[t] = time.Now()
	return obj{"url": "ws://" + c.host + "/socket?ticket=" + t + "&app_id=" + c.w.cfg.Bot.AppID}, nil
}

// serveSocket serves a Socket Mode connection until it ends.
func (w *Workspace) serveSocket(rw http.ResponseWriter, r *http.Request) {
	if w.Offline() {
		panic(http.ErrAbortHandler)
	}
	h := &w.sockets
	h.mu.Lock()
	born, ok := h.tickets[r.URL.Query().Get("ticket")]
	delete(h.tickets, r.URL.Query().Get("ticket"))
	h.mu.Unlock()
	if !ok || time.Since(born) > ticketTTL {
		http.Error(rw, "ticket is unknown or used", http.StatusForbidden)
		return
	}
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return
	}
	w.wg.Add(1)
	w.mu.Unlock()
	defer w.wg.Done()
	// The ticket authenticates the client. The origin is not checked because Slack's clients send api.slack.com.
	ws, err := websocket.Accept(rw, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	ws.SetReadLimit(1 << 20)
	c := &socketConn{ws: ws, done: make(chan struct{}), pending: map[string]chan json.RawMessage{}}
	n, full := h.add(c)
	if full {
		_ = c.write(w.ctx, obj{"type": "disconnect", "reason": DisconnectTooMany, "debug_info": obj{"host": "sandbox"}})
		_ = ws.Close(websocket.StatusNormalClosure, DisconnectTooMany)
		return
	}
	hello := obj{"type": "hello", "num_connections": n, "connection_info": obj{"app_id": w.cfg.Bot.AppID},
		"debug_info": obj{"host": "sandbox", "build_number": 1, "approximate_connection_time": 18060}}
	if c.write(w.ctx, hello) == nil {
		h.enable(c)
		w.lockAndTouch()
		go c.ping(w.ctx)
		c.read(w.ctx)
	}
	h.remove(c)
	_ = ws.CloseNow()
	w.lockAndTouch()
}

func (w *Workspace) lockAndTouch() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.touch()
}

// add registers a connection and returns the number of connections, or full if there are too many. The connection
// receives no envelopes until enable is called, because hello must be the first frame.
func (h *socketHub) add(c *socketConn) (n int, full bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.conns) >= maxSockets {
		return 0, true
	}
	c.leaving = true
	h.conns = append(h.conns, c)
	return len(h.conns), false
}

func (h *socketHub) enable(c *socketConn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.leaving = false
}

func (h *socketHub) remove(c *socketConn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, x := range h.conns {
		if x == c {
			h.conns = append(h.conns[:i:i], h.conns[i+1:]...)
			close(c.done)
			return
		}
	}
}

func (h *socketHub) closeAll() {
	h.mu.Lock()
	conns := append([]*socketConn(nil), h.conns...)
	h.mu.Unlock()
	for _, c := range conns {
		_ = c.ws.CloseNow()
	}
}

func (c *socketConn) write(ctx context.Context, frame obj) error {
	raw, err := json.Marshal(frame)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return c.ws.Write(ctx, websocket.MessageText, raw)
}

func (c *socketConn) ping(ctx context.Context) {
	t := time.NewTicker(pingInterval)
	defer t.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-ctx.Done():
			return
		case <-t.C:
			p, cancel := context.WithTimeout(ctx, 2*pingInterval)
			err := c.ws.Ping(p)
			cancel()
			if err != nil {
				_ = c.ws.CloseNow()
				return
			}
		}
	}
}

// read receives acknowledgements until the connection ends.
func (c *socketConn) read(ctx context.Context) {
	for {
		_, raw, err := c.ws.Read(ctx)
		if err != nil {
			return
		}
		var ack struct {
			EnvelopeID string          `json:"envelope_id"`
			Payload    json.RawMessage `json:"payload"`
		}
		if len(raw) >= maxAckSize || json.Unmarshal(raw, &ack) != nil {
			continue
		}
		c.acknowledge(ack.EnvelopeID, ack.Payload)
	}
}

func (c *socketConn) acknowledge(id string, payload json.RawMessage) {
	c.mu.Lock()
	ch := c.pending[id]
	delete(c.pending, id)
	c.mu.Unlock()
	if ch != nil {
		ch <- payload
	}
}

// pick returns a random connection, as Slack does, and a new envelope id. It returns nil if there is no connection.
func (h *socketHub) pick() (*socketConn, string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var open []*socketConn
	for _, c := range h.conns {
		if !c.leaving {
			open = append(open, c)
		}
	}
	if len(open) == 0 {
		return nil, ""
	}
	h.serial++
	return open[h.random.IntN(len(open))], fmt.Sprintf("%08x-e000-4000-8000-%012x", h.random.Uint32(), h.serial)
}

var envelopeTypes = map[string]string{"command": "slash_commands", "interaction": "interactive", "event": "events_api"}

func (w *Workspace) sendSocket(cfg Config, d delivery) outcome {
	c, id := w.sockets.pick()
	if c == nil {
		return outcome{reason: "connection_failed", err: errors.New("no Socket Mode connection is open")}
	}
	envelope := obj{"envelope_id": id, "type": envelopeTypes[d.kind], "payload": d.payload, "accepts_response_payload": d.wantsAnswer}
	if d.kind == "event" {
		envelope["retry_attempt"], envelope["retry_reason"] = d.attempt, d.reason
	}
	ack := make(chan json.RawMessage, 1)
	c.mu.Lock()
	c.pending[id] = ack
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.pending, id)
		c.mu.Unlock()
	}()
	if err := c.write(w.ctx, envelope); err != nil {
		return outcome{reason: "connection_failed", err: err}
	}
	timeout := time.NewTimer(cfg.AckTimeout)
	defer timeout.Stop()
	select {
	case payload := <-ack:
		if !d.wantsAnswer || string(payload) == "null" {
			payload = nil
		}
		return outcome{ok: true, status: http.StatusOK, body: payloadBody(payload)}
	case <-timeout.C:
		return outcome{reason: "http_timeout", err: errors.New("no acknowledgement within the timeout")}
	case <-c.done:
		return outcome{reason: "connection_failed", err: errors.New("connection closed before the acknowledgement")}
	case <-w.ctx.Done():
		return outcome{reason: "connection_failed", err: w.ctx.Err()}
	}
}

// payloadBody converts the payload of an acknowledgement to an HTTP body. A JSON string becomes its text.
func payloadBody(raw json.RawMessage) []byte {
	var s string
	if strings.HasPrefix(string(raw), `"`) && json.Unmarshal(raw, &s) == nil {
		return []byte(s)
	}
	return raw
}

// Connections returns the number of Socket Mode connections that receive envelopes.
func (w *Workspace) Connections() int {
	w.sockets.mu.Lock()
	defer w.sockets.mu.Unlock()
	n := 0
	for _, c := range w.sockets.conns {
		if !c.leaving {
			n++
		}
	}
	return n
}

// Disconnect sends a disconnect frame with the reason on every connection and returns the number of connections. They
// receive no more envelopes. They are closed after 10 s for DisconnectWarning and immediately for other reasons.
// DisconnectDisabled also rejects new connections until [Workspace.EnableSocketMode].
func (w *Workspace) Disconnect(reason string) int {
	h := &w.sockets
	h.mu.Lock()
	h.off = h.off || reason == DisconnectDisabled
	var notified []*socketConn
	for _, c := range h.conns {
		if !c.leaving {
			c.leaving = true
			notified = append(notified, c)
		}
	}
	h.mu.Unlock()
	for _, c := range notified {
		_ = c.write(w.ctx, obj{"type": "disconnect", "reason": reason, "debug_info": obj{"host": "sandbox"}})
		if reason == DisconnectWarning {
			time.AfterFunc(10*time.Second, func() { _ = c.ws.CloseNow() })
		} else {
			go func() { _ = c.ws.Close(websocket.StatusNormalClosure, reason) }()
		}
	}
	return len(notified)
}

// EnableSocketMode accepts connections again after DisconnectDisabled.
func (w *Workspace) EnableSocketMode() {
	w.sockets.mu.Lock()
	defer w.sockets.mu.Unlock()
	w.sockets.off = false
}

// DropSockets closes every connection without a close frame, as a broken network does.
func (w *Workspace) DropSockets() { w.sockets.closeAll() }
