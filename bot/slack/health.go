package slack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/slack-go/slack"

	"tocsin/bot/health"
)

// system is the subject of problems.
const system = "Slack"

// Explain returns why a request to Slack failed, or nil if err is nil.
func Explain(err error) *health.Problem {
	var status slack.StatusCodeError
	var refused slack.SlackErrorResponse
	switch {
	case errors.As(err, &status):
		return health.Status(system, status.Code, err)
	case errors.As(err, &refused) && slices.Contains(transient, refused.Err):
		return &health.Problem{Cause: fmt.Sprintf("Slack answers with the error %s", refused.Err), Fix: "Check the status page of Slack", Err: err}
	}
	return health.Explain(system, classify("call Slack", err))
}

// problem returns Explain as an error.
func problem(err error) error {
	if p := Explain(err); p != nil {
		return p
	}
	return nil
}

// Probe returns an error if Slack does not answer, rejects the bot token or has not
// granted all scopes.
func (s *Slack) Probe(ctx context.Context) error { return problem(s.Check(ctx)) }

// ProbeGroup returns an error if a user group cannot be read or has no members.
func (s *Slack) ProbeGroup(ctx context.Context, group string) error {
	members, err := s.client.GetUserGroupMembersContext(ctx, group)
	switch {
	case errorCode(err) == "no_such_subteam", errorCode(err) == "subteam_not_found":
		return &health.Problem{Cause: "The Slack user group " + group + " does not exist", Fix: "Create it, or correct escalation.steps and reload Tocsin", IsRefusal: true, Err: err}
	case err != nil:
		return problem(err)
	case len(members) == 0:
		return &health.Problem{Cause: "The Slack user group " + group + " has no members, so a page reaches nobody", Fix: "Add people to it, or correct escalation.steps and reload Tocsin", IsRefusal: true}
	}
	return nil
}

// signatures counts requests with a wrong signature. It is safe for concurrent use.
type signatures struct {
	mu       sync.Mutex
	rejected int       // since the last valid one
	first    time.Time // of the rejected ones
	last     time.Time
}

const (
	// minRejected is how many requests must have a wrong signature. A single one can be
	// a mistake of a stranger.
	minRejected = 3
	// rejectedTTL is how long wrong signatures count.
	rejectedTTL = time.Hour
)

func (s *signatures) accept() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rejected = 0
}

func (s *signatures) reject(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rejected == 0 || now.Sub(s.last) >= rejectedTTL {
		s.rejected, s.first = 0, now
	}
	s.rejected++
	s.last = now
}

// CheckRequests returns an error if Slack cannot send requests over HTTP, because their
// signatures are wrong.
func (s *Slack) CheckRequests(now time.Time) error {
	g := &s.signatures
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.rejected < minRejected || now.Sub(g.last) >= rejectedTTL {
		return nil
	}
	return &health.Problem{Since: g.first, IsRefusal: true, ByAnyone: true,
		Cause: fmt.Sprintf("%d requests to /%s/ had a wrong signature, and no later one had a valid one", g.rejected, s.Name()),
		Fix:   "Set slack.signing_secret to the signing secret of the Slack app and restart Tocsin, and check the clock. If commands work in Slack, strangers sent the requests"}
}

// reportSocket passes the state of Socket Mode to Deps.OnSocket.
func (s *Slack) reportSocket(err error) {
	if s.cfg.OnSocket == nil {
		return
	}
	s.cfg.OnSocket(explainAppToken(err))
}
