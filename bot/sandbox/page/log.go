package page

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/mailbox"
	"tocsin/bot/sandbox/pager"
)

// logEntry is a request to or from a system of the sandbox.
type logEntry struct {
	At     time.Time `json:"at"`
	System string    `json:"system"`
	ToApp  bool      `json:"to_app"` // whether the request was sent to the app, not by it
	What   string    `json:"what"`
	Text   string    `json:"text,omitempty"`
	Status string    `json:"status"`
	OK     bool      `json:"ok"`
	Fault  string    `json:"fault,omitempty"`
	Detail any       `json:"detail,omitempty"`
}

// log returns the latest requests of all systems, newest first.
func (p *Page) log(r *http.Request) (any, error) {
	limit := 150
	if s := r.FormValue("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 10_000 {
			return nil, badRequest("limit must be a number from 1 to 10000")
		}
		limit = n
	}
	var all []logEntry
	all = append(all, latest(p.cfg.Workspace.Calls(), limit, callEntry)...)
	all = append(all, latest(p.cfg.Workspace.Deliveries(), limit, deliveryEntry)...)
	all = append(all, latest(p.cfg.Pager.Requests(), limit, pagerRequestEntry)...)
	all = append(all, latest(p.cfg.Pager.Snapshot().Deliveries, limit, webhookEntry)...)
	all = append(all, latest(p.cfg.Mailbox.Attempts(), limit, mailEntry)...)
	p.mu.Lock()
	all = append(all, latest(p.sendLogs, limit, alertEntry)...)
	p.mu.Unlock()
	slices.SortStableFunc(all, func(a, b logEntry) int { return b.At.Compare(a.At) })
	unknown := p.cfg.Workspace.UnknownMethods()
	return map[string]any{"entries": append([]logEntry{}, all[:min(limit, len(all))]...), "unknown_methods": unknown}, nil
}

func latest[T any](list []T, limit int, read func(T) logEntry) []logEntry {
	list = list[max(0, len(list)-limit):]
	out := make([]logEntry, len(list))
	for i, v := range list {
		out[i] = read(v)
	}
	return out
}

func callEntry(c chat.Call) logEntry {
	e := logEntry{At: c.Time, System: systemChat, What: c.Method, Status: strconv.Itoa(c.Status), OK: c.OK, Fault: string(c.Fault), Detail: c.Args}
	var parts []string
	for _, name := range []string{"channel", "user", "name", "ts"} {
		if s, ok := c.Args[name].(string); ok && s != "" {
			parts = append(parts, s)
		}
	}
	e.Text = strings.Join(parts, " ")
	switch {
	case c.Dropped || c.Status == 0:
		e.Status = "no response"
	case c.Error != "":
		e.Status = c.Error
	}
	return e
}

func deliveryEntry(d chat.Delivery) logEntry {
	e := logEntry{At: d.Time, System: systemChat, ToApp: true, What: d.Type, Status: strconv.Itoa(d.Status), OK: d.OK, Detail: d.Payload,
		Text: fmt.Sprintf("%s over %s by %s in %d ms", d.Kind, d.Via, cmp.Or(d.User, "no user"), d.Duration.Milliseconds())}
	if d.Attempt > 0 {
		e.Text += fmt.Sprintf(", retry %d", d.Attempt)
	}
	if d.Error != "" {
		e.Status = d.Error
	} else if d.Status == 0 {
		e.Status = "ok"
	}
	return e
}

func pagerRequestEntry(q pager.Request) logEntry {
	e := logEntry{At: q.At, System: systemPager, What: q.Method + " " + q.Path, Text: q.Effect, Status: strconv.Itoa(q.Status), OK: q.Status/100 == 2,
		Fault: string(q.Fault), Detail: q.Body}
	if q.Event != nil {
		e.Text = strings.TrimSpace(q.Event.Action + " " + q.Event.DedupKey + " " + q.Effect)
	}
	if q.Status == 0 {
		e.Status = "no response"
	}
	if len(q.Body) == 0 {
		e.Detail = nil
	}
	return e
}

func webhookEntry(d pager.Delivery) logEntry {
	e := logEntry{At: d.At, System: systemPager, ToApp: true, What: d.Type, Text: d.Resource, Status: d.State, OK: d.State == pager.Delivered, Detail: d.Body}
	if n := len(d.Attempts); n > 0 {
		e.Text = fmt.Sprintf("%s, attempt %d: %d %s", d.Resource, n, d.Attempts[n-1].Status, d.Attempts[n-1].Error)
	}
	return e
}

func mailEntry(a mailbox.Attempt) logEntry {
	e := logEntry{At: a.At, System: systemMail, What: "SMTP", Text: "to " + strings.Join(a.To, ", "), Status: strconv.Itoa(a.Code), OK: a.Code/100 == 2, Fault: string(a.Fault)}
	if a.Code == 0 {
		e.Status = "no response"
	}
	if a.MessageID != "" {
		e.Detail = a.MessageID
	}
	return e
}

func alertEntry(s sendLog) logEntry {
	e := logEntry{At: s.At, System: "Alerts", ToApp: true, What: s.Alert, OK: s.Lost == 0, Detail: s}
	codes := []string{}
	for code, n := range s.Answers {
		e.OK = e.OK && code[0] == '2'
		codes = append(codes, fmt.Sprintf("%d × %s", n, code))
	}
	if s.Lost > 0 {
		codes = append(codes, fmt.Sprintf("%d × no response", s.Lost))
	}
	slices.Sort(codes)
	e.Status, e.Text = strings.Join(codes, ", "), fmt.Sprintf("seed %d, %d sent in %d ms", s.Seed, s.Sent, s.TookMS)
	return e
}
