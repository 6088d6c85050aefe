package bot

import (
	"context"
	"net/http"
	"time"

	"tocsin/bot/chat"
	"tocsin/bot/health"
	"tocsin/bot/outbound"
	"tocsin/bot/slack"
	"tocsin/bot/telemetry"
)

// chatSystem is the chat that Tocsin works in. It does not change in a running
// process.
type chatSystem interface {
	chat.Platform
	// Run receives the requests that do not arrive over HTTP until ctx ends. It
	// logs errors, because Tocsin also ingests alerts and pages people without the
	// chat.
	Run(ctx context.Context)
	// Inbound serves the requests to /NAME/ and returns the maximum size of their
	// bodies. It returns nil if there are none.
	Inbound() (handler http.Handler, maxBody int64)
	// URL returns the address of a channel, or without one of the announce channel or
	// the chat. It makes no request.
	URL(channel string) string
	// Groups returns the accounts of the members of groups. It leaves out groups
	// that cannot be read and names them in the error.
	Groups(ctx context.Context, groups []string) (map[string][]string, error)
	// Probe returns an error if the chat does not work.
	Probe(ctx context.Context) error
	// Reconnect ends the pause before the next attempt to connect. Call it when the chat
	// works again.
	Reconnect()
	// ProbeGroup returns an error if a page of a group reaches nobody.
	ProbeGroup(ctx context.Context, group string) error
	// CheckRequests returns an error if requests of the chat are rejected.
	CheckRequests(now time.Time) error
	// RefreshHomes updates the open home tabs after a change of an incident. It returns at
	// once.
	RefreshHomes()
	// Wait blocks until all background work is done.
	Wait()
}

// chatSystems opens each chat that Tocsin knows, by its key in the configuration.
var chatSystems = map[string]func(*Bot) (chatSystem, error){
	"slack": openSlack,
}

// openChat opens the chat of the configuration.
func (b *Bot) openChat() (err error) {
	if b.chat, err = chatSystems["slack"](b); err == nil {
		b.chatEffects = chat.New(b.chat, b.log)
	}
	return err
}

func openSlack(b *Bot) (chatSystem, error) {
	s, err := slack.New(b.start.Slack, slack.Deps{Zone: b.zone, Redact: b.liveRedactor().Text, OnGroupsChanged: b.resyncDirectory, OnRejected: b.metrics.CountSlackRejection, OnVerified: func(r *http.Request) { b.admission.Verified(r) }, HTTPClient: outbound.NewClient(slack.RequestTimeout, outbound.Limits{Observe: b.reportRequest("Slack", partSlack)}),
		OnSocket: func(err error) { b.parts.Report(partSocket, "Slack", telemetry.OpRequest, err) }, Clock: b.clock, Logger: b.log})
	if err != nil {
		return nil, err
	}
	s.Serve(liveDesk{&b.current})
	return s, nil
}

// isSlackAway reports whether a connection fails for the reason for which all of Slack does
// not work.
func isSlackAway(present *health.Problem, other func(part string) *health.Problem) bool {
	p := other(partSlack)
	return p != nil && p.Cause == present.Cause
}

// resumeChat makes the waiting effects of the chat due and connects again.
func (b *Bot) resumeChat(ctx context.Context) {
	b.chat.Reconnect()
	b.retryEffects(b.chat.Name())(ctx)
}

// chatParts returns the parts of the chat.
func (b *Bot) chatParts() []telemetry.Part {
	parts := []telemetry.Part{{Name: partSlack, Probe: b.chat.Probe, Repaired: b.resumeChat, Way: telemetry.WayChat, IsCritical: true, Effect: "New incidents get no channel, and channels get no messages. Use the command line. Alerts are stored and other pages are sent"}}
	socket, requests := b.start.Slack.Connections()
	if socket {
		parts = append(parts, telemetry.Part{Name: partSocket, IsCritical: true, IsCovered: isSlackAway, Effect: "Commands and buttons in Slack do not reach Tocsin. Use the command line"})
	}
	if requests {
		parts = append(parts, telemetry.Part{Name: partSlackRequests, Check: b.chat.CheckRequests, IsCritical: true, Effect: "Commands and buttons in Slack do not reach Tocsin over HTTP. Use the command line"})
	}
	return parts
}
