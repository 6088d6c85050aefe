package chat

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"tocsin/bot/incident"
)

// PageGroup returns the handler for a step of the escalation policy that pages
// a group of the chat. It mentions the group in the announce channel. It also
// sends a direct message to every responder, because a mention notifies only
// members of the channel.
//
// The page succeeds if at least one message was posted.
func (c *Effects) PageGroup(group string) Handler {
	return func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
		if err := c.reachGroup(ctx, b, GroupPage(b, group)); err != nil {
			return noCommand, err
		}
		round, _ := strconv.Atoi(e.Args["round"])
		step, _ := strconv.Atoi(e.Args["escalation_step"])
		return resultCommand(b, e, incident.Command{Verb: incident.VerbPaged, Round: round, EscalationStep: step}), nil
	}
}

// reachGroup posts a page in the announce channel and sends it to every responder.
func (c *Effects) reachGroup(ctx context.Context, b incident.Brief, m Message) error {
	reached, err := c.sendToEach(ctx, b, b.Directory.Responders(), m)
	if err != nil && !isRefused(err) {
		return err
	}
	found, problem := c.inAnnounceChannel(ctx, func(channel string) error {
		// Always search: the direct messages come first, so an earlier attempt may
		// have stopped between two messages.
		_, err := c.postOnce(ctx, b, channel, b.Mark, m, true)
		return err
	})
	if found && problem == nil {
		reached++
	}
	switch {
	case problem != nil && !isRefused(problem):
		return problem
	case reached == 0 && isBlocked(err):
		return err
	case reached == 0 && isBlocked(problem):
		return problem
	case reached == 0:
		return &incident.Blocked{System: c.platform.Name(), Cause: incident.Say("no responder can be reached"), Fix: incident.Say("Add the accounts of the responders under people and reload Tocsin"),
			Err: fmt.Errorf("page %s in the chat: %w", b.Incident.ID, firstError(err, problem))}
	case problem != nil:
		c.log.WarnContext(ctx, "post page in announce channel failed", "incident", b.Incident.ID, "err", problem)
	}
	return nil
}

var errNoRecipient = errors.New("no responder has an account in the chat, and no announce channel is configured")

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return errNoRecipient
}

// GroupPage returns the page to a group. It holds only the title of a page and its links,
// because the whole company reads the announce channel.
func GroupPage(b incident.Brief, group string) Message {
	m := newBuilder(b)
	m.iconLine("rotating_light", "%s: %s needs a responder. Press %s: you command.", Group(group), Strong{Plain(b.PageHeadline())}, Strong{"Acknowledge"})
	if b.Page.Note != "" {
		m.line("%s.", Plain(b.Page.Note))
	}
	m.pageLinks()
	ack := m.action("Acknowledge", incident.Command{Verb: incident.VerbAcknowledge})
	ack.Style = StylePrimary
	m.buttons(ack)
	return m.message()
}

// PagePerson pages one person by a direct message.
func (c *Effects) PagePerson(ctx context.Context, b incident.Brief, person incident.PersonID) error {
	reached, err := c.sendToEach(ctx, b, []incident.PersonID{person}, PersonalPage(b))
	if err == nil && reached == 0 {
		err = &incident.Permanent{Err: fmt.Errorf("page a person in the chat: %w", errNoRecipient)}
	}
	return err
}

// PersonalPage returns the page to one person: a chosen one, or one who was called and has
// shown no sign. It holds only the title of a page and its links, because the person may
// have no access yet, and because a notification may appear on a locked screen.
func PersonalPage(b incident.Brief) Message {
	m := newBuilder(b)
	if b.Event.Kind == incident.EventAbsencePageStarted {
		m.iconLine("rotating_light", "%s needs you. You were called and have shown no sign. Press %s, or write in the channel.", Strong{Plain(b.PageHeadline())}, Strong{hereLabel})
		m.pageLinks()
		m.buttons(m.hereButton()...)
		return m.message()
	}
	m.iconLine("rotating_light", "%s needs you. A responder asked Tocsin to page you. Join the channel.", Strong{Plain(b.PageHeadline())})
	m.pageLinks()
	if b.Incident.NeedsPage() {
		m.buttons(m.ackButton()...)
	}
	return m.message()
}

// pageLinks adds the links of a page.
func (m *builder) pageLinks() {
	var links List
	for _, l := range m.brief.Page.Links.List() {
		links = append(links, Link{l.URL, l.Label})
	}
	if len(links) > 0 {
		m.line("%s", links)
	}
}

// WithdrawPage edits the messages of a page to a group: they no longer need a responder
// and have no button.
func (c *Effects) WithdrawPage(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	round, _ := strconv.Atoi(e.Args["round"])
	step, _ := strconv.Atoi(e.Args["escalation_step"])
	page := incident.PageRef{Round: round, EscalationStep: step}
	inc := b.Incident
	if inc.EndOf(page, e.Kind) == incident.PageEndKnown {
		return noCommand, nil
	}
	key, m, since := page.Key(inc.ID), WithdrawnGroupPage(b), inc.OpenedAt
	if round == inc.Paging.Round && !inc.Paging.StartedAt.IsZero() {
		since = inc.Paging.StartedAt
	}
	return noCommand, c.editGroup(ctx, b, key, m, since)
}

// editGroup replaces the messages of a page to a group that [Effects.reachGroup] sent.
func (c *Effects) editGroup(ctx context.Context, b incident.Brief, key string, m Message, since time.Time) error {
	failed := c.editDirect(ctx, b, b.Directory.Responders(), key, m, since)
	_, err := c.inAnnounceChannel(ctx, func(channel string) error { return c.edit(ctx, b, channel, key, m, since) })
	return errors.Join(failed, c.optional(ctx, b, "withdraw a page", err))
}

// edit replaces the message with a key in a channel, if it was posted after since.
func (c *Effects) edit(ctx context.Context, b incident.Brief, channel, key string, m Message, since time.Time) error {
	found, ok, err := c.platform.Find(ctx, channel, "", key, since)
	if err != nil || !ok {
		return err
	}
	err = c.platform.Update(ctx, channel, found.ID, m, markOf(b, key))
	if errors.Is(err, ErrNoMessage) {
		return nil // deleted since
	}
	return err
}

// WithdrawnGroupPage returns the page to a group after the incident stopped needing a
// responder. It contains no name, because the whole company reads the announce channel.
func WithdrawnGroupPage(b incident.Brief) Message {
	m := newBuilder(b)
	m.iconLine("white_check_mark", "%s (%s) no longer needs a responder.", Strong{m.inc.ID}, Strong{string(m.inc.Severity)})
	return m.message()
}
