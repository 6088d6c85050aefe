package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"tocsin/bot/health"
	"tocsin/bot/outbound"
	"tocsin/bot/secret"
)

// Heartbeat reports to a service outside that the bot works. The service alerts people
// when the reports stop.
type Heartbeat struct {
	url    secret.String
	method string
	client *http.Client
	ready  *Readiness
	parts  *Parts
}

// PartHeartbeat is the name of the part of the heartbeat.
const PartHeartbeat = "heartbeat"

const (
	heartbeatTimeout  = 10 * time.Second
	maxHeartbeatReply = 64 << 10
)

// NewHeartbeat returns the heartbeat of c, or nil without heartbeat_url.
func NewHeartbeat(c Config, ready *Readiness, parts *Parts) *Heartbeat {
	if c.HeartbeatURL.IsZero() {
		return nil
	}
	return &Heartbeat{url: c.HeartbeatURL, method: c.HeartbeatMethod, ready: ready, parts: parts,
		client: outbound.NewClient(heartbeatTimeout, outbound.Limits{MaxResponse: maxHeartbeatReply})}
}

// Part returns the part of the heartbeat.
func (h *Heartbeat) Part() Part {
	return Part{Name: PartHeartbeat, Effect: "The heartbeat service reports that Tocsin is down, or people learn too late that it is"}
}

// Send sends one heartbeat. It sends none if a required part does not work, or if people
// should know about a part and no way to notify them works.
func (h *Heartbeat) Send(ctx context.Context) {
	status, parts := h.ready.State()
	if status == statusNotReady || h.parts.isMute() {
		return
	}
	h.parts.Report(PartHeartbeat, "The heartbeat service", "send", h.send(ctx, status, parts))
}

// send makes the request. Its error does not contain the URL, which is a secret.
func (h *Heartbeat) send(ctx context.Context, status string, parts []string) error {
	body, err := json.Marshal(struct {
		Status   string   `json:"status"`
		Degraded []string `json:"degraded,omitempty"`
	}{status, parts})
	if err != nil {
		return fmt.Errorf("encode heartbeat: %w", err)
	}
	if h.method == http.MethodGet {
		body = nil
	}
	req, err := http.NewRequestWithContext(ctx, h.method, h.url.Reveal(), bytes.NewReader(body))
	if err != nil {
		return &health.Problem{Cause: "telemetry.heartbeat_url is not a URL", Fix: "Correct it"}
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := h.client.Do(req)
	if err != nil {
		var withURL *url.Error
		if errors.As(err, &withURL) {
			err = withURL.Err
		}
		return fmt.Errorf("send heartbeat: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode >= http.StatusMultipleChoices {
		return health.Status("The heartbeat service", res.StatusCode, nil)
	}
	return nil
}
