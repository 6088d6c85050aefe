package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"time"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"
)

// maxInFlight is the maximum number of requests of a connection that are
// handled concurrently. Slack sends each request once and waits three
// seconds.
const maxInFlight = 32

// maxAckSize is the maximum size of a reply inside an acknowledgement, in
// bytes. Slack silently ignores replies of 20 KB or more.
const maxAckSize = 18 << 10

// ackTimeout is the maximum duration of an acknowledgement. Slack no longer accepts
// it after three seconds.
const ackTimeout = 10 * time.Second

// socketRetryInterval is the delay before Run connects again after Slack rejected
// the connection.
const socketRetryInterval = 30 * time.Second

// Run receives requests in Socket Mode until ctx ends, if there is an app token. A
// rejected token is logged and tried again: it may have been revoked during an
// incident.
func (s *Slack) Run(ctx context.Context) {
	if s.cfg.AppToken.IsZero() {
		return
	}
	for {
		err := s.RunSocket(ctx)
		if ctx.Err() != nil {
			return
		}
		s.log.ErrorContext(ctx, "connect to Slack failed", "retry_in", socketRetryInterval, "err", err)
		select {
		case <-ctx.Done():
			return
		case <-s.reconnect:
		case <-time.After(socketRetryInterval):
		}
	}
}

// Reconnect ends the pause before the next attempt to connect in Socket Mode, which is
// up to 5 minutes long after an outage. Call it when Slack works again. It has no effect
// while a connection is open or while Slack limits the rate.
func (s *Slack) Reconnect() {
	select {
	case s.reconnect <- struct{}{}:
	default:
	}
}

// RunSocket receives requests in Socket Mode until ctx ends. It reconnects
// when Slack closes the connection. It returns an error only if a retry
// cannot help, for example because Slack rejects the token.
func (s *Slack) RunSocket(ctx context.Context) error {
	if s.cfg.AppToken.IsZero() {
		return errors.New("slack.app_token: is required for Socket Mode")
	}
	slots := make(chan struct{}, maxInFlight)
	for {
		again, err := s.runConnection(ctx, slots)
		if !again || ctx.Err() != nil {
			return err
		}
	}
}

// runConnection receives requests until ctx ends or Slack rejects the connection. again
// reports that a new connection can be tried at once.
func (s *Slack) runConnection(ctx context.Context, slots chan struct{}) (again bool, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	conn := socketmode.New(s.client, socketmode.OptionReadLimit(MaxBody), socketmode.OptionLog(log.New(io.Discard, "", 0)))
	ended := make(chan error, 1)
	go func() { ended <- conn.RunContext(ctx) }()
	var reconnect chan struct{} // nil unless slack-go pauses after a failure
	for {
		select {
		case <-reconnect:
			return true, nil
		case err := <-ended:
			if ctx.Err() != nil {
				return false, nil
			}
			s.reportSocket(err)
			return false, fmt.Errorf("connect to slack in socket mode: %w", err)
		case e := <-conn.Events:
			switch {
			case isPause(e):
				reconnect = s.reconnect
			case e.Type == socketmode.EventTypeConnecting, e.Type == socketmode.EventTypeConnected:
				reconnect = nil
			}
			request, ok := s.socketRequest(ctx, e)
			if !ok {
				continue
			}
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return false, nil
			}
			s.background.start(func() {
				defer func() { <-slots }()
				s.handleRequest(ctx, conn, request)
			})
		}
	}
}

// isPause reports whether a failed connection is tried again after a pause that Slack did
// not request.
func isPause(e socketmode.Event) bool {
	failed, ok := e.Data.(*slack.ConnectionErrorEvent)
	var limited *slack.RateLimitedError
	return ok && e.Type == socketmode.EventTypeConnectionError && !errors.As(failed.ErrorObj, &limited)
}

// socketRequest returns the request in an event of the connection, or false.
// It also returns requests that slack-go cannot decode completely.
func (s *Slack) socketRequest(ctx context.Context, e socketmode.Event) (socketmode.Request, bool) {
	switch data := e.Data.(type) {
	case *socketmode.ErrorBadMessage:
		var request socketmode.Request
		if err := json.Unmarshal(data.Message, &request); err != nil || request.EnvelopeID == "" {
			s.log.Warn("socket mode message dropped", "err", data.Cause)
			return socketmode.Request{}, false
		}
		return request, true
	case *socketmode.ErrorWriteFailed:
		s.log.Warn("send acknowledgement failed", "err", data.Cause)
	}
	switch e.Type {
	case socketmode.EventTypeConnected:
		s.reportSocket(nil)
		s.log.Info("socket mode connected")
	case socketmode.EventTypeConnectionError:
		if failed, ok := e.Data.(*slack.ConnectionErrorEvent); ok && ctx.Err() == nil { // not a shutdown
			s.reportSocket(failed.ErrorObj)
			s.log.WarnContext(ctx, "socket mode connection failed", "retry_in", failed.Backoff, "err", failed.ErrorObj)
		}
	}
	if e.Request == nil || e.Request.EnvelopeID == "" {
		return socketmode.Request{}, false
	}
	return *e.Request, true
}

// handleRequest handles a request and acknowledges it. The acknowledgement
// contains the reply if Slack accepts one. A reply above maxAckSize is sent
// to the response URL instead, if there is one.
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
	ctx, cancel := context.WithTimeout(ctx, ackTimeout) // Slack may stop reading from the connection
	defer cancel()
	if err := conn.AckCtx(ctx, request.EnvelopeID, answer); err != nil {
		s.log.WarnContext(ctx, "acknowledge request failed", "type", request.Type, "err", err)
	}
}

// dispatch calls the handler that the HTTP endpoint of the request type also
// calls.
func (s *Slack) dispatch(ctx context.Context, request socketmode.Request) (answer any, responseURL string) {
	switch request.Type {
	case socketmode.RequestTypeSlashCommands:
		var c slashCommand
		if err := json.Unmarshal(request.Payload, &c); err != nil {
			s.log.WarnContext(ctx, "slash command dropped", "err", err)
			return nil, ""
		}
		return s.handleCommand(ctx, c), c.ResponseURL
	case socketmode.RequestTypeInteractive:
		in, err := decodeInteraction(request.Payload)
		if err != nil {
			s.log.WarnContext(ctx, "interaction dropped", "err", err)
			return unreadableForm(request.Payload), ""
		}
		return s.handleInteraction(ctx, in), in.ResponseURL
	case socketmode.RequestTypeEventsAPI:
		var e eventPayload
		if err := json.Unmarshal(request.Payload, &e); err != nil {
			s.log.WarnContext(ctx, "event dropped", "err", err)
			return nil, ""
		}
		s.handleEvent(e)
	}
	return nil, ""
}
