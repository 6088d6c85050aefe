package slack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"tocsin/bot/chat"
	"tocsin/bot/command"
	"tocsin/bot/incident"
)

// typedCommand is a slash command and how people type it.
type typedCommand struct {
	command.Parsed
	text      string // as typed, in the form that package command reads
	people    incident.Directory
	canonical string // means the same later and elsewhere, or "" if there is none
}

// again returns the text of the command to send again.
func (t typedCommand) again() string { return cmp.Or(t.canonical, command.Readable(t.text)) }

// names returns the names of the command for [Slack.attempt].
func (t typedCommand) names(c slashCommand) []string {
	return []string{idempotency("typed", c.User, c.Channel, t.text), idempotency("typed", c.User, c.Channel, t.again())}
}

// handleCommand executes a slash command and returns the reply, which only
// the caller sees. Events are posted in the channel of the incident.
func (s *Slack) handleCommand(ctx context.Context, c slashCommand) any {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	typed, err := s.parseCommand(ctx, c)
	if err != nil {
		return s.failedReply(ctx, typed, err)
	}
	form := func(r formRequest) (*ephemeral, error) {
		return nil, s.openForm(ctx, c.TriggerID, s.identityOf(c.account()), r, s.responseURLNotifier(c.ResponseURL))
	}
	if answer := s.run(ctx, c, typed, form, s.lateResultNotifier(c.ResponseURL, typed)); answer != nil {
		return answer
	}
	return nil
}

// run executes a typed command and returns the reply to its author, or nil if a form
// takes its place. late receives the result of a command that takes too long, or is nil.
func (s *Slack) run(ctx context.Context, c slashCommand, typed typedCommand, form func(formRequest) (*ephemeral, error), late func(context.Context, incident.Command, outcome)) *ephemeral {
	cmd, who := typed.Command, s.identityOf(c.account())
	switch {
	case chat.IsQuestion(typed.Parsed):
		if typed.AlertRequest != nil {
			typed.AlertRequest.Key = idempotency("alerts", c.TriggerID, c.User, c.Channel, c.Text)
		}
		m, err := withDeadline(ctx, s, func() (chat.Message, error) { return s.reader(who).Answer(ctx, typed.Parsed) })
		if err != nil && incident.CodeOf(err) == "" {
			return s.failedReply(ctx, typed, fmt.Errorf("%w: %w", errNotRead, err))
		}
		return s.replyOrError(ctx, m, err)
	case typed.Form != "":
		cmd.Verb = typed.Form
		answer, err := form(formRequest{verb: typed.Form, prefill: cmd, people: typed.people})
		if err != nil {
			return s.failedReply(ctx, typed, err)
		}
		return answer
	}
	cmd = s.commandBy(c.account(), idempotency("command", c.TriggerID, c.User, c.Channel, c.Text), cmd)
	result, err := s.attempt(ctx, typed.names(c), cmd, late)
	if err != nil {
		return s.failedReply(ctx, typed, err)
	}
	return s.reply(chat.Result(cmd, result))
}

// withDeadline calls read and returns its result. It gives up shortly after
// the deadline of ctx, because a blocked database may not notice that ctx has
// ended.
func withDeadline[T any](ctx context.Context, s *Slack, read func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	answered := make(chan result, 1)
	s.background.start(func() {
		value, err := read()
		answered <- result{value, err}
	})
	deadline, _ := ctx.Deadline()
	limit := time.NewTimer(time.Until(deadline) + deskGracePeriod)
	defer limit.Stop()
	select {
	case r := <-answered:
		return r.value, r.err
	case <-limit.C:
		var none T
		return none, fmt.Errorf("read from the desk: %w", context.DeadlineExceeded)
	}
}

// parseCommand parses the text of a slash command.
func (s *Slack) parseCommand(ctx context.Context, c slashCommand) (typedCommand, error) {
	pc, err := s.parseContext(ctx, s.identityOf(c.account()), c.Channel)
	if err != nil { // people are unknown, and the grammar knows their accounts
		return typedCommand{text: neutralText(userLabel.ReplaceAllString(c.Text, "$1>"), pc.Directory)}, err
	}
	typed := typedCommand{text: neutralText(c.Text, pc.Directory), people: pc.Directory}
	if typed.Parsed, err = command.Parse(typed.text, pc); err == nil && typed.Form == "" {
		typed.canonical, _ = command.Format(typed.Parsed, pc.Directory)
	}
	return typed, err
}

// parseContext returns the context for parsing the input of a user in a
// channel.
func (s *Slack) parseContext(ctx context.Context, who incident.Identity, channel string) (command.Context, error) {
	return withDeadline(ctx, s, func() (none command.Context, err error) {
		d, err := s.desk.Directory(ctx)
		if err != nil {
			return none, fmt.Errorf("read directory: %w", err)
		}
		id, err := s.incidentOf(ctx, channel)
		if err != nil {
			return none, err
		}
		person, _ := d.Resolve(who)
		return command.Context{Incident: id, Who: person.ID, By: who, Directory: d, Now: s.cfg.Clock(), Zone: s.cfg.Zone}, nil
	})
}

// incidentOf returns the incident of a channel, or 0.
func (s *Slack) incidentOf(ctx context.Context, channel string) (incident.ID, error) {
	if channel == "" {
		return 0, nil
	}
	id, err := s.desk.IncidentByLink(ctx, incident.LinkChannel, channel)
	if incident.CodeOf(err) == incident.CodeUnknown {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("find incident of channel: %w", err)
	}
	return id, nil
}

// errNoReply is the result of a command if the Desk did not answer in time.
var errNoReply = errors.New("the outcome is unknown")

// outcome is the result of a command.
type outcome struct {
	result incident.Result
	err    error
}

// attempt executes a command and returns its result, or errNoReply if the
// Desk does not answer in time. In that case it calls late, if not nil, when
// the Desk answers.
//
// attempt remembers the key of a command with an unknown outcome under its
// names, which are equal for repeats of a command. If the person repeats
// the command, attempt uses the remembered key, and the Desk records the
// command only once.
func (s *Slack) attempt(ctx context.Context, names []string, cmd incident.Command, late func(context.Context, incident.Command, outcome)) (incident.Result, error) {
	now := s.cfg.Clock()
	cmd.Key = s.recent.key(names, cmd.Key, now)
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
		return s.classifyResult(names, cmd, o, now)
	case <-limit.C:
		s.recent.remember(names, cmd.Key, now)
		s.runInBackground(func(ctx context.Context) {
			select {
			case o := <-answered:
				if _, err := s.classifyResult(names, cmd, o, now); late != nil && !errors.Is(err, errNoReply) {
					late(ctx, cmd, outcome{o.result, err})
				}
			case <-ctx.Done():
			}
		})
		return incident.Result{}, errNoReply
	}
}

// classifyResult returns the result, an [incident.Error], an error for a
// command that was not recorded, or errNoReply for an unknown outcome. It
// remembers or forgets the key of the command accordingly.
func (s *Slack) classifyResult(names []string, cmd incident.Command, o outcome, now time.Time) (incident.Result, error) {
	var open interface{ OutcomeUnknown() bool }
	switch {
	case o.err == nil || incident.CodeOf(o.err) != "":
		s.recent.forget(cmd.Key)
		return o.result, o.err
	case errors.As(o.err, &open) && open.OutcomeUnknown():
		s.recent.remember(names, cmd.Key, now)
		return incident.Result{}, fmt.Errorf("%w: %w", errNoReply, o.err)
	}
	s.recent.remember(names, cmd.Key, now)
	return incident.Result{}, fmt.Errorf("record %s: %w", cmd.Verb, o.err)
}

// lateResultNotifier returns a function that sends a late result to a
// response URL, or nil without a URL.
func (s *Slack) lateResultNotifier(responseURL string, typed typedCommand) func(context.Context, incident.Command, outcome) {
	if responseURL == "" {
		return nil
	}
	return func(ctx context.Context, cmd incident.Command, o outcome) {
		s.respond(ctx, responseURL, *s.resultReply(ctx, typed, cmd, o))
	}
}

// resultReply returns the reply about the result of a typed command.
func (s *Slack) resultReply(ctx context.Context, typed typedCommand, cmd incident.Command, o outcome) *ephemeral {
	if o.err != nil {
		return s.failedReply(ctx, typed, o.err)
	}
	return s.reply(chat.Result(cmd, o.result))
}

// recentKeys remembers the keys of commands with an unknown outcome and the
// IDs of recent events. It is not stored: after a restart, repeats of both
// are handled again.
type recentKeys struct {
	mu     sync.Mutex
	open   map[string]recentKey
	events map[string]time.Time
	swept  time.Time // when old events were last removed
}

type recentKey struct {
	key string
	at  time.Time
}

// recentKeyTTL is how long a key or an event ID is remembered.
const recentKeyTTL = 10 * time.Minute

// key returns the remembered key of a command, or fresh.
func (m *recentKeys) key(names []string, fresh string, now time.Time) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range names {
		if before, ok := m.open[name]; ok && now.Sub(before.at) < recentKeyTTL {
			return before.key
		}
	}
	return fresh
}

func (m *recentKeys) remember(names []string, key string, now time.Time) {
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
	for _, name := range names {
		m.open[name] = recentKey{key, now}
	}
}

func (m *recentKeys) forget(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.open, func(_ string, open recentKey) bool { return open.key == key })
}

// seen reports whether an event ID was seen before, and remembers the ID.
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
	if now.Sub(m.swept) >= recentKeyTTL {
		maps.DeleteFunc(m.events, func(_ string, at time.Time) bool { return now.Sub(at) >= recentKeyTTL })
		m.swept = now
	}
	m.events[id] = now
	return before
}
