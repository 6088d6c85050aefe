package pager

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// How webhooks are sent, as the real service does.
const (
	sendAtOnce  = 16             // attempts under way at the same time
	retryFor    = 48 * time.Hour // then a delivery is dropped
	maxDrops    = 3              // in a row; then the subscription is disabled
	disabledFor = 24 * time.Hour
	maxTrimmed  = 2000 // characters of a note that an event carries
)

// The states of a delivery.
const (
	Pending   = "pending"
	Delivered = "delivered"
	Dropped   = "dropped"   // refused with a 4xx, or not accepted in 48 hours
	Discarded = "discarded" // its subscription was disabled
)

// Delivery is one event on its way to one subscription.
type Delivery struct {
	ID       string          `json:"id"` // X-Webhook-Id, the same at every attempt
	Webhook  string          `json:"webhook"`
	EventID  string          `json:"event_id"`
	Type     string          `json:"event_type"`
	Resource string          `json:"resource"` // the incident; its events are sent in order
	At       time.Time       `json:"at"`
	State    string          `json:"state"`
	Attempts []Attempt       `json:"attempts"`
	Body     json.RawMessage `json:"body"`
}

// Attempt is one try of a delivery.
type Attempt struct {
	At     time.Time `json:"at"`
	Status int       `json:"status,omitempty"` // 0: no answer
	Error  string    `json:"error,omitempty"`
}

func (d *Delivery) copy() Delivery {
	c := *d
	c.Attempts = slices.Clone(d.Attempts)
	return c
}

// subscription is a webhook with its queues, one for each resource.
type subscription struct {
	Webhook
	queues   map[string][]*Delivery // a resource is in it while its sender runs; the first is being sent
	drops    int                    // in a row
	disabled time.Time              // until then
}

type webhookBody struct {
	Event webhookEvent `json:"event"`
}

type webhookEvent struct {
	ID           string  `json:"id"`
	EventType    string  `json:"event_type"`
	ResourceType string  `json:"resource_type"`
	OccurredAt   string  `json:"occurred_at"`
	Agent        *Ref    `json:"agent"`
	Client       *Client `json:"client"`
	Data         any     `json:"data"`
}

type incidentData struct {
	ID               string `json:"id"`
	Type             string `json:"type"`
	Self             string `json:"self"`
	HTMLURL          string `json:"html_url"`
	Number           int    `json:"number"`
	Status           string `json:"status"`
	IncidentKey      string `json:"incident_key"`
	CreatedAt        string `json:"created_at"`
	Title            string `json:"title"`
	Service          Ref    `json:"service"`
	Assignees        []Ref  `json:"assignees"`
	EscalationPolicy Ref    `json:"escalation_policy"`
	Teams            []Ref  `json:"teams"`
	Priority         *Ref   `json:"priority"`
	Urgency          string `json:"urgency"`
	ConferenceBridge any    `json:"conference_bridge"`
	ResolveReason    any    `json:"resolve_reason"`
	IncidentType     struct {
		Name string `json:"name"`
	} `json:"incident_type"`
}

type noteData struct {
	Incident Ref    `json:"incident"`
	ID       string `json:"id"`
	Content  string `json:"content"`
	Trimmed  bool   `json:"trimmed"`
	Type     string `json:"type"`
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func (a *Account) incidentData(in *Incident) incidentData {
	ref := a.ref("incident", "incidents", in.ID, in.Title)
	d := incidentData{
		ID: in.ID, Type: ref.Type, Self: ref.Self, HTMLURL: in.HTMLURL, Number: in.Number, Status: in.Status,
		IncidentKey: in.Key, CreatedAt: in.CreatedAt.Format(time.RFC3339), Title: in.Title,
		Service: a.serviceRef(in.Service), EscalationPolicy: a.policyRef(in.Service),
		Assignees: []Ref{}, Teams: []Ref{}, Urgency: in.Urgency,
	}
	d.IncidentType.Name = "incident_default"
	for _, u := range in.Assignees {
		d.Assignees = append(d.Assignees, a.userRef(u))
	}
	return d
}

func (a *Account) noteData(in *Incident, n Note) noteData {
	d := noteData{
		Incident: a.ref("incident_reference", "incidents", in.ID, in.Title),
		ID:       n.ID, Content: n.Content, Type: "incident_note",
	}
	if r := []rune(n.Content); len(r) > maxTrimmed {
		d.Content, d.Trimmed = string(r[:maxTrimmed]), true
	}
	return d
}

// AddWebhook adds a subscription; it is told what happens from now on. An
// empty ID is filled in and returned.
func (a *Account) AddWebhook(w Webhook) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w.ID == "" {
		w.ID = a.nextID("webhook", "W", 6)
	}
	w.Secrets, w.Events = slices.Clone(w.Secrets), slices.Clone(w.Events)
	a.hooks = append(a.hooks, &subscription{Webhook: w, queues: map[string][]*Delivery{}})
	a.touch()
	return w.ID
}

// SetSecrets replaces the secrets of a subscription; what is sent or tried
// again from now on carries one signature for each.
func (a *Account) SetSecrets(webhook string, secrets ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, h := range a.hooks {
		if h.ID == webhook {
			h.Secrets = slices.Clone(secrets)
		}
	}
}

// Ping sends the event of the button "send test event" to every subscription.
func (a *Account) Ping() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.publish(nil, "pagey.ping", "", nil, map[string]string{"message": "Hello from your friend Pagey!", "type": "ping"})
	a.touch()
}

// Redeliver sends a delivery once more, with the same ids and bytes: delivery
// is at least once. It reports whether there is such a delivery.
func (a *Account) Redeliver(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range a.sent {
		if d.ID == id {
			for _, h := range a.hooks {
				if h.ID == d.Webhook {
					d.State = Pending
					a.queue(h, d)
				}
			}
			return true
		}
	}
	return false
}

// publish hands an event to every subscription that wants it; the lock is held.
func (a *Account) publish(in *Incident, kind, by string, client *Client, data any) {
	now := a.cfg.Now().UTC()
	ev := webhookEvent{
		ID: a.nextID("event", "01", 24), EventType: kind, OccurredAt: stamp(now), Client: client, Data: data,
	}
	ev.ResourceType, _, _ = strings.Cut(kind, ".")
	if by != "" {
		agent := a.userRef(by)
		ev.Agent = &agent
	}
	body, err := json.Marshal(webhookBody{ev})
	if err != nil {
		panic(fmt.Sprintf("pager: encode %s: %v", kind, err)) // our own types always encode
	}
	resource := ""
	if in != nil {
		resource = in.ID
	}
	for _, h := range a.hooks {
		if now.Before(h.disabled) || (len(h.Events) > 0 && !slices.Contains(h.Events, kind)) {
			continue
		}
		d := &Delivery{
			ID: a.nextID("delivery", "", 26), Webhook: h.ID, EventID: ev.ID, Type: kind,
			Resource: resource, At: now, State: Pending, Body: body,
		}
		a.sent = append(a.sent, d)
		a.queue(h, d)
	}
}

// queue puts a delivery behind those of its resource and makes sure that
// somebody is sending them; the lock is held.
func (a *Account) queue(h *subscription, d *Delivery) {
	_, sending := h.queues[d.Resource]
	h.queues[d.Resource] = append(h.queues[d.Resource], d)
	if !sending && a.ctx.Err() == nil {
		a.work.Go(func() { a.drain(h, d.Resource) })
	}
}

func (a *Account) drain(h *subscription, resource string) {
	for {
		a.mu.Lock()
		q := h.queues[resource]
		if len(q) == 0 {
			delete(h.queues, resource)
			a.mu.Unlock()
			return
		}
		d := q[0]
		a.mu.Unlock()
		state := a.deliver(h, d)
		if a.ctx.Err() != nil {
			return
		}
		a.finishDelivery(h, resource, d, state)
	}
}

// finishDelivery records how a delivery ended and takes it off its queue.
func (a *Account) finishDelivery(h *subscription, resource string, d *Delivery, state string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if d.State == Pending { // else discarded meanwhile
		d.State = state
	}
	if q := h.queues[resource]; len(q) > 0 && q[0] == d {
		h.queues[resource] = q[1:]
	}
	switch state {
	case Delivered:
		h.drops = 0
	case Dropped:
		if h.drops++; h.drops >= maxDrops {
			h.drops, h.disabled = 0, a.cfg.Now().Add(disabledFor)
			for r, q := range h.queues {
				for _, left := range q {
					left.State = Discarded
				}
				h.queues[r] = nil // its sender finds it empty and ends
			}
		}
	}
	a.touch()
}

// deliver tries until the delivery is accepted, dropped, or discarded under it.
func (a *Account) deliver(h *subscription, d *Delivery) string {
	for attempt := 1; ; attempt++ {
		select {
		case a.sendSlots <- struct{}{}:
		case <-a.ctx.Done():
			return Pending
		}
		try := a.attempt(h, d)
		<-a.sendSlots
		a.mu.Lock()
		d.Attempts = append(d.Attempts, try)
		discarded := d.State == Discarded
		expired := a.cfg.Now().Sub(d.At) >= retryFor
		a.touch()
		a.mu.Unlock()
		switch {
		case try.Status >= 200 && try.Status < 300:
			return Delivered
		case discarded:
			return Discarded
		case try.Status >= 300 && try.Status < 500 && try.Status != http.StatusTooManyRequests, expired:
			return Dropped
		}
		if a.cfg.Wait(a.ctx, a.cfg.Backoff(attempt)) != nil {
			return Pending
		}
	}
}

func (a *Account) attempt(h *subscription, d *Delivery) Attempt {
	a.mu.Lock()
	url, sig, try := h.URL, Sign(d.Body, h.Secrets...), Attempt{At: a.cfg.Now().UTC()}
	a.mu.Unlock()
	ctx, cancel := context.WithTimeout(a.ctx, a.cfg.WebhookTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(d.Body))
	if err != nil {
		try.Error = err.Error()
		return try
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "PagerDuty-Webhook/V3.0")
	req.Header.Set("X-PagerDuty-Signature", sig)
	req.Header.Set("X-Webhook-Id", d.ID)
	req.Header.Set("X-Webhook-Subscription", h.ID)
	res, err := a.cfg.HTTP.Do(req)
	if err != nil {
		try.Error = err.Error()
		return try
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection is used again
	try.Status = res.StatusCode
	return try
}

// Sign is the value of X-PagerDuty-Signature for a body: one v1 signature for
// each secret.
func Sign(body []byte, secrets ...string) string {
	sigs := make([]string, len(secrets))
	for i, s := range secrets {
		mac := hmac.New(sha256.New, []byte(s))
		mac.Write(body)
		sigs[i] = "v1=" + hex.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(sigs, ",")
}
