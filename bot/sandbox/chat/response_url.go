package chat

import (
	"encoding/json"
	"io"
	"net/http"
	"time"
)

// responseURL is a URL that the app can use to answer a command or interaction later, without a token.
type responseURL struct {
	ch      *channel
	user    string
	source  *message // the message with the clicked element, or nil
	created time.Time
	uses    int
}

// Limits of a response URL.
const (
	maxResponseUses = 5
	responseTTL     = 30 * time.Minute
)

// newResponseURL creates a response URL. It deletes old ones if there are more than 1,000. The caller holds mu.
func (w *Workspace) newResponseURL(ch *channel, user string, source *message) string {
	now := w.clock()
	if len(w.responses) > 1000 {
		for id, r := range w.responses {
			if now.Sub(r.created) > 2*responseTTL {
				delete(w.responses, id)
			}
		}
	}
	t := ticket()
	w.responses[t] = &responseURL{ch: ch, user: user, source: source, created: now}
	return w.baseURL + "/respond/" + t
}

func (w *Workspace) serveResponse(rw http.ResponseWriter, r *http.Request) {
	c := &call{w: w, method: "response_url", now: w.clock(), args: map[string]any{}}
	raw, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err == nil {
		err = json.Unmarshal(raw, &c.args)
	}
	w.withFaults(rw, r, c, func() (int, obj) {
		if err != nil {
			return http.StatusBadRequest, obj{"ok": false, "error": "invalid_payload"}
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		return c.respond(w.responses[r.PathValue("ticket")])
	}, func(status int, body obj) {
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		rw.WriteHeader(status)
		text, _ := body["error"].(string)
		_, _ = io.WriteString(rw, cmpOr(text, "ok"))
	})
}

func (c *call) respond(r *responseURL) (int, obj) {
	fail := func(status int, code string) (int, obj) { return status, obj{"ok": false, "error": code} }
	switch {
	case r == nil:
		return fail(http.StatusNotFound, "invalid_url")
	case c.now.Sub(r.created) > responseTTL:
		return fail(http.StatusNotFound, "expired_url")
	case r.uses >= maxResponseUses:
		return fail(http.StatusNotFound, "used_url")
	}
	p, err := c.content()
	if err != nil {
		return fail(http.StatusBadRequest, err.Error())
	}
	remove, replace := c.flag("delete_original"), c.flag("replace_original")
	if p.empty() && !remove {
		return fail(http.StatusBadRequest, "no_text")
	}
	r.uses++
	c.applied = true
	result := obj{"ok": true, "channel": r.ch.id}
	switch {
	case remove && r.source != nil:
		c.w.discard(r.user, r.source)
	case replace && r.source != nil:
		p.hasText, p.hasBlocks, r.source.attachments = true, true, nil // replace the whole message, including parts that p does not set
		c.w.edit(r.source, p, nil)
		result["ts"] = r.source.ts
	default:
		m := c.w.postAnswer(r.ch, r.user, c.str("response_type"), c.str("thread_ts"), p)
		result["ts"] = m.ts
	}
	return http.StatusOK, result
}

// discard deletes a message on request of a response URL. The caller holds mu.
func (w *Workspace) discard(user string, m *message) {
	if !m.ephemeral {
		w.remove(m)
		return
	}
	w.ephemerals[user] = withoutMessage(w.ephemerals[user], m)
	w.touch()
}

// postAnswer posts the answer to a command or interaction. It is visible to the whole channel if responseType is
// in_channel, and otherwise only to user. The caller holds mu.
func (w *Workspace) postAnswer(ch *channel, user, responseType, threadTS string, p content) *message {
	m := w.botMessage(p)
	if responseType != "in_channel" {
		m.threadTS = threadTS
		w.postEphemeral(ch, user, m)
		return m
	}
	m.parent = ch.byTS[threadTS]
	w.append(ch, m)
	return m
}
