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

// Limits of webhook deliveries, as in PagerDuty.
const (
	maxConcurrentSends = 16             // attempts at one time
	retryPeriod        = 48 * time.Hour // a delivery is dropped after this time
	maxDrops           = 3              // consecutive drops that disable the subscription
	disablePeriod      = 24 * time.Hour
	maxNoteLength      = 2000 // characters of a note in an event
)

// States of a delivery.
const (
	Pending   = "pending"
	Delivered = "delivered"
	Dropped   = "dropped"   // rejected with a 3xx or 4xx status except 429, or not accepted in 48 hours
	Discarded = "discarded" // the subscription was disabled
)

// Delivery is one event for one subscription.
type Delivery struct {
	ID       string          `json:"id"` // X-Webhook-Id, unchanged between attempts
	Webhook  string          `json:"webhook"`
	EventID  string          `json:"event_id"`
	Type     string          `json:"event_type"`
	Resource string          `json:"resource"` // incident ID (its events are sent in order)
	At       time.Time       `json:"at"`
	State    string          `json:"state"`
	Attempts []Attempt       `json:"attempts"`
	Body     json.RawMessage `json:"body"`
}

// Attempt is one attempt of a delivery.
type Attempt struct {
	At     time.Time `json:"at"`
	Status int       `json:"status,omitempty"` // HTTP status, 0 without a response
	Error  string    `json:"error,omitempty"`
}

func (d *Delivery) copy() Delivery {
	c := *d
	c.Attempts = slices.Clone(d.Attempts)
	return c
}

// subscription is a webhook with one queue per resource.
type subscription struct {
	Webhook
	queues   map[string][]*Delivery // pending deliveries, first one in progress (a resource has a key while its sender runs)
	drops    int                    // consecutive
	disabled time.Time              // until this time
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

func isoMillis(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

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
	if r := []rune(n.Content); len(r) > maxNoteLength {
		d.Content, d.Trimmed = string(r[:maxNoteLength]), true
	}
	return d
}

// AddWebhook adds a subscription for all later events and returns its ID. It
// generates an ID if w.ID is empty.
func (a *Account) AddWebhook(w Webhook) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w.ID == "" {
		w.ID = a.nextID("webhook", "W", 6)
	}
	w.Secrets, w.Events = slices.Clone(w.Secrets), slices.Clone(w.Events)
	a.hooks = append(a.hooks, &subscription{Webhook: w, queues: map[string][]*Delivery{}})
	a.notifyChange()
	return w.ID
}

// SetSecrets replaces the secrets of a subscription. All later attempts carry
// one signature per secret.
func (a *Account) SetSecrets(webhook string, secrets ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, h := range a.hooks {
		if h.ID == webhook {
			h.Secrets = slices.Clone(secrets)
		}
	}
}

// Ping sends a pagey.ping event to every subscription, as the "Send Test Event"
// button does.
func (a *Account) Ping() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.publish(nil, "pagey.ping", "", nil, map[string]string{"message": "Hello from your friend Pagey!", "type": "ping"})
	a.notifyChange()
}

// Redeliver sends a delivery again with equal ID and body, because webhooks are
// delivered at least once. It reports whether the delivery exists.
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

// publish queues an event for every subscription that wants it. The caller
// holds a.mu.
func (a *Account) publish(in *Incident, kind, by string, client *Client, data any) {
	now := a.cfg.Now().UTC()
	ev := webhookEvent{
		ID: a.nextID("event", "01", 24), EventType: kind, OccurredAt: isoMillis(now), Client: client, Data: data,
	}
	ev.ResourceType, _, _ = strings.Cut(kind, ".")
	if by != "" {
		agent := a.userRef(by)
		ev.Agent = &agent
	}
	body, err := json.Marshal(webhookBody{ev})
	if err != nil {
		panic(fmt.Sprintf("pager: encode %s: %v", kind, err)) // these types always encode
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

// queue adds a delivery to the queue of its resource and starts a sender if
// none runs. The caller holds a.mu.
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

// finishDelivery stores the final state of a delivery and removes it from its
// queue. It disables the subscription after maxDrops consecutive drops and
// discards all its queued deliveries.
func (a *Account) finishDelivery(h *subscription, resource string, d *Delivery, state string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if d.State == Pending { // otherwise it was discarded during the attempt
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
			h.drops, h.disabled = 0, a.cfg.Now().Add(disablePeriod)
			for r, q := range h.queues {
				for _, left := range q {
					left.State = Discarded
				}
				h.queues[r] = nil // its sender finds the queue empty and ends
			}
		}
	}
	a.notifyChange()
}

// deliver attempts a delivery until it is accepted, dropped or discarded and
// returns its state. It returns [Pending] if the account is closed.
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
		expired := a.cfg.Now().Sub(d.At) >= retryPeriod
		a.notifyChange()
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
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // lets the client reuse the connection
	try.Status = res.StatusCode
	return try
}

// Sign returns the X-PagerDuty-Signature for body, with one v1 signature per
// secret.
func Sign(body []byte, secrets ...string) string {
	sigs := make([]string, len(secrets))
	for i, s := range secrets {
		mac := hmac.New(sha256.New, []byte(s))
		mac.Write(body)
		sigs[i] = "v1=" + hex.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(sigs, ",")
}
