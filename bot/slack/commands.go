package slack

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tocsin/bot/incident"
)

// handleCommand answers what somebody typed after the slash command. The answer is
// for their eyes only; what happened is said in the incident's channel.
func (s *Slack) handleCommand(ctx context.Context, c slashCommand) any {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	words, err := s.parseCommand(ctx, c)
	if err != nil {
		return s.errorReply(ctx, err)
	}
	cmd := words.Command
	switch {
	case words.Query == incident.QueryHelp:
		return s.help(words.Topic)
	case words.Query == incident.QueryList:
		m, err := withDeadline(ctx, s, func() (message, error) { return s.list(ctx, c.User, words.Filter) })
		return s.replyOrError(ctx, m, err)
	case words.Query == incident.QueryStatus:
		m, err := withDeadline(ctx, s, func() (message, error) { return s.status(ctx, c.User, cmd.For) })
		return s.replyOrError(ctx, m, err)
	case words.Query == incident.QueryRecord:
		m, err := withDeadline(ctx, s, func() (message, error) { return s.record(ctx, c.User, cmd.For) })
		return s.replyOrError(ctx, m, err)
	case words.AlertRequest != nil:
		words.AlertRequest.Key = idempotency("errand", c.TriggerID, c.User, c.Channel, c.Text)
		m, err := withDeadline(ctx, s, func() (message, error) { return s.alerts(ctx, c.User, *words.AlertRequest) })
		return s.replyOrError(ctx, m, err)
	case words.Form != "":
		if err := s.openForm(ctx, c.TriggerID, c.User, formRequest{verb: words.Form, prefill: cmd}, s.responseURLNotifier(c.ResponseURL)); err != nil {
			return s.errorReply(ctx, err)
		}
		return nil
	}
	cmd = commandBy(c.User, idempotency("command", c.TriggerID, c.User, c.Channel, c.Text), cmd)
	result, err := s.attempt(ctx, idempotency("typed", c.User, c.Channel, c.Text), cmd, s.lateResultNotifier(c.ResponseURL))
	if err != nil {
		return s.errorReply(ctx, err)
	}
	return newEphemeral(resultMessage(cmd, result))
}

// withDeadline waits for what is looked up no longer than Slack does: a database that
// stands still may not notice that ctx is over.
func withDeadline[T any](ctx context.Context, s *Slack, look func() (T, error)) (T, error) {
	type answer struct {
		found T
		err   error
	}
	answered := make(chan answer, 1)
	s.background.start(func() {
		found, err := look()
		answered <- answer{found, err}
	})
	deadline, _ := ctx.Deadline()
	limit := time.NewTimer(time.Until(deadline) + deskGracePeriod)
	defer limit.Stop()
	select {
	case a := <-answered:
		return a.found, a.err
	case <-limit.C:
		var none T
		return none, fmt.Errorf("look it up: %w", context.DeadlineExceeded)
	}
}

// parseCommand reads the text in the channel it was typed in.
func (s *Slack) parseCommand(ctx context.Context, c slashCommand) (incident.ParsedCommand, error) {
	w, err := s.parseContext(ctx, c.User, c.Channel)
	if err != nil {
		return incident.ParsedCommand{}, err
	}
	return incident.ParseCommandLine(unescape(c.Text), w)
}

// parseContext is what a person's words are read in.
func (s *Slack) parseContext(ctx context.Context, user, channel string) (incident.ParseContext, error) {
	return withDeadline(ctx, s, func() (none incident.ParseContext, err error) {
		d, err := s.desk.Directory(ctx)
		if err != nil {
			return none, fmt.Errorf("read the directory: %w", err)
		}
		id, err := s.incidentOf(ctx, channel)
		if err != nil {
			return none, err
		}
		person, _ := d.Resolve(identity(user))
		return incident.ParseContext{Incident: id, Who: person.ID, Directory: d, Now: s.cfg.Clock(), Zone: s.cfg.Zone}, nil
	})
}

// incidentOf is the incident whose channel this is, or 0.
func (s *Slack) incidentOf(ctx context.Context, channel string) (incident.ID, error) {
	if channel == "" {
		return 0, nil
	}
	id, err := s.desk.IncidentByLink(ctx, incident.LinkChannel, channel)
	if incident.CodeOf(err) == incident.CodeUnknown {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("find the channel's incident: %w", err)
	}
	return id, nil
}

// errNoReply is what a command came to when the Desk had not answered in time.
var errNoReply = errors.New("the outcome is not known")

// outcome is what the Desk said.
type outcome struct {
	result incident.Result
	err    error
}

// attempt gives the Desk a command and waits no longer than Slack does. What
// was not answered is tried again under the same key when the same person says
// the same thing once more, so that it cannot count twice. If the Desk answers
// too late, late is told.
func (s *Slack) attempt(ctx context.Context, what string, cmd incident.Command, late func(context.Context, incident.Command, outcome)) (incident.Result, error) {
	now := s.cfg.Clock()
	cmd.Key = s.recent.key(what, cmd.Key, now)
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	answered := make(chan outcome, 1)
	s.background.start(func() {
		defer cancel()
		result, err := s.desk.Do(ctx, cmd)
		answered <- outcome{result, err}
	})
	deadline, _ := ctx.Deadline()
	limit := time.NewTimer(time.Until(deadline) + deskGracePeriod)
	defer limit.Stop()
	select {
	case o := <-answered:
		return s.classifyResult(what, cmd, o, now)
	case <-limit.C:
		s.recent.remember(what, cmd.Key, now)
		s.runInBackground(func(ctx context.Context) {
			select {
			case o := <-answered:
				if _, err := s.classifyResult(what, cmd, o, now); late != nil && !errors.Is(err, errNoReply) {
					late(ctx, cmd, outcome{o.result, err})
				}
			case <-ctx.Done():
			}
		})
		return incident.Result{}, errNoReply
	}
}

// classifyResult sorts what the Desk said: done, refused, not recorded, or not known.
func (s *Slack) classifyResult(what string, cmd incident.Command, o outcome, now time.Time) (incident.Result, error) {
	var open interface{ OutcomeUnknown() bool }
	switch {
	case o.err == nil || incident.CodeOf(o.err) != "":
		s.recent.forget(what)
		return o.result, o.err
	case errors.As(o.err, &open) && open.OutcomeUnknown():
		s.recent.remember(what, cmd.Key, now)
		return incident.Result{}, fmt.Errorf("%w: %w", errNoReply, o.err)
	}
	s.recent.remember(what, cmd.Key, now)
	return incident.Result{}, fmt.Errorf("record %s: %w", cmd.Verb, o.err)
}

// lateResultNotifier tells a person through a response_url what a command came to after all.
func (s *Slack) lateResultNotifier(responseURL string) func(context.Context, incident.Command, outcome) {
	if responseURL == "" {
		return nil
	}
	return func(ctx context.Context, cmd incident.Command, o outcome) {
		answer := *newEphemeral(resultMessage(cmd, o.result))
		if o.err != nil {
			answer = *s.errorReply(ctx, o.err)
		}
		s.respond(ctx, responseURL, answer)
	}
}

// recentKeys is what is remembered between requests: keys of commands whose
// outcome is open, and events that were seen. Losing it costs nothing but a
// repeated answer.
type recentKeys struct {
	mu     sync.Mutex
	open   map[string]recentKey
	events map[string]time.Time
}

type recentKey struct {
	key string
	at  time.Time
}

// recentKeyTTL is how long something is remembered.
const recentKeyTTL = 10 * time.Minute

// key is the one under which the same thing was tried before, or the fresh one.
func (m *recentKeys) key(what, fresh string, now time.Time) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if before, ok := m.open[what]; ok && now.Sub(before.at) < recentKeyTTL {
		return before.key
	}
	return fresh
}

func (m *recentKeys) remember(what, key string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.open == nil {
		m.open = map[string]recentKey{}
	}
	for k, v := range m.open {
		if now.Sub(v.at) >= recentKeyTTL {
			delete(m.open, k)
		}
	}
	m.open[what] = recentKey{key, now}
}

func (m *recentKeys) forget(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.open, what)
}

// seen reports whether an event came before, and remembers it.
func (m *recentKeys) seen(id string, now time.Time) bool {
	if id == "" {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.events == nil {
		m.events = map[string]time.Time{}
	}
	_, before := m.events[id]
	for k, at := range m.events {
		if now.Sub(at) >= recentKeyTTL {
			delete(m.events, k)
		}
	}
	m.events[id] = now
	return before
}
