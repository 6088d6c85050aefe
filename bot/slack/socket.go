package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"

	"github.com/slack-go/slack/socketmode"
)

// maxInFlight is how many requests of one connection are worked on at a time.
// Slack sends each once and waits three seconds; more than these at once do
// not come from people.
const maxInFlight = 32

// maxAckSize is the largest answer that fits into an acknowledgement: Slack
// ignores those of 20 KB or more without a word.
const maxAckSize = 18 << 10

// RunSocket takes requests in Socket Mode until ctx ends; it makes new
// connections as Slack closes old ones. It returns an error only where trying
// again cannot help: the token is refused.
func (s *Slack) RunSocket(ctx context.Context) error {
	if s.cfg.AppToken.IsZero() {
		return errors.New("slack.app_token: is missing; Socket Mode needs it")
	}
	conn := socketmode.New(s.client, socketmode.OptionReadLimit(maxBody), socketmode.OptionLog(log.New(io.Discard, "", 0)))
	ended := make(chan error, 1)
	go func() { ended <- conn.RunContext(ctx) }()
	slots := make(chan struct{}, maxInFlight)
	for {
		select {
		case err := <-ended:
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("connect to slack in socket mode: %w", err)
		case e := <-conn.Events:
			request, ok := s.socketRequest(ctx, e)
			if !ok {
				continue
			}
			slots <- struct{}{}
			s.background.start(func() {
				defer func() { <-slots }()
				s.handleRequest(ctx, conn, request)
			})
		}
	}
}

// socketRequest finds the request in what the connection reports. A request that
// slack-go could not decode in full is still a request.
func (s *Slack) socketRequest(ctx context.Context, e socketmode.Event) (socketmode.Request, bool) {
	switch data := e.Data.(type) {
	case *socketmode.ErrorBadMessage:
		var request socketmode.Request
		if err := json.Unmarshal(data.Message, &request); err != nil || request.EnvelopeID == "" {
			s.log.Warn("passed over a message in socket mode", "error", data.Cause)
			return socketmode.Request{}, false
		}
		return request, true
	case *socketmode.ErrorWriteFailed:
		s.log.Warn("an acknowledgement did not reach slack", "error", data.Cause)
	}
	switch e.Type {
	case socketmode.EventTypeConnected:
		s.log.Info("connected in socket mode")
	case socketmode.EventTypeConnectionError:
		if ctx.Err() == nil { // else it was we who hung up
			s.log.Warn("could not connect in socket mode; trying again")
		}
	}
	if e.Request == nil || e.Request.EnvelopeID == "" {
		return socketmode.Request{}, false
	}
	return *e.Request, true
}

// handleRequest works on one request and acknowledges it, with the answer where Slack
// takes one.
func (s *Slack) handleRequest(ctx context.Context, conn *socketmode.Client, request socketmode.Request) {
	answer, responseURL := s.dispatch(ctx, request)
	if !request.AcceptsResponsePayload {
		answer = nil
	}
	if size, err := json.Marshal(answer); err != nil || len(size) > maxAckSize {
		if large, ok := answer.(*ephemeral); ok && responseURL != "" {
			s.runInBackground(func(ctx context.Context) { s.respond(ctx, responseURL, *large) })
		}
		answer = nil
	}
	if err := conn.AckCtx(ctx, request.EnvelopeID, answer); err != nil {
		s.log.WarnContext(ctx, "could not acknowledge a request of slack", "type", request.Type, "error", err)
	}
}

// dispatch hands a request to the functions that HTTP requests end in.
func (s *Slack) dispatch(ctx context.Context, request socketmode.Request) (answer any, responseURL string) {
	switch request.Type {
	case socketmode.RequestTypeSlashCommands:
		var c slashCommand
		if err := json.Unmarshal(request.Payload, &c); err != nil {
			s.log.WarnContext(ctx, "passed over a slash command", "error", err)
			return nil, ""
		}
		return s.handleCommand(ctx, c), c.ResponseURL
	case socketmode.RequestTypeInteractive:
		in, err := decodeInteraction(request.Payload)
		if err != nil {
			s.log.WarnContext(ctx, "passed over an interaction", "error", err)
			return nil, ""
		}
		return s.handleInteraction(ctx, in), in.ResponseURL
	case socketmode.RequestTypeEventsAPI:
		var e eventPayload
		if err := json.Unmarshal(request.Payload, &e); err != nil {
			s.log.WarnContext(ctx, "passed over an event", "error", err)
			return nil, ""
		}
		s.handleEvent(e)
	}
	return nil, ""
}
