package chat

import (
	"context"
	"errors"
	"slices"
	"strings"

	"tocsin/bot/incident"
)

// place is where people read about an event: in the channel or in one of its threads.
type place int

const (
	nowhere   place = iota // an edit of the card or of another message, or nothing
	inChannel              // a new message in the channel, for what people must read or act on
	inChecklist
	inAlerts
	inSignoff
	inSignoffAndChannel // a reply that the channel shows too
)

// placeIf returns p if wanted is true.
func placeIf(wanted bool, p place) place {
	if wanted {
		return p
	}
	return nowhere
}

// place returns where people read about the event.
func (m *builder) place() place {
	if exception := exceptions[m.event.Kind]; exception != nil {
		return exception(m)
	}
	return layouts[m.event.Kind].place
}

// thread is a thread in the channel of an incident.
type thread struct {
	link  string                       // key of [incident.Incident.Links] with the ID of its first message
	first func(incident.Brief) Message // its first message, or nil if the first message of the place is it
}

var threads = map[place]thread{
	inChecklist:         {incident.LinkChecklist, Checklist},
	inAlerts:            {incident.LinkAlerts, nil},
	inSignoff:           {incident.LinkSignoff, Signoff},
	inSignoffAndChannel: {incident.LinkSignoff, Signoff},
}

// firstKey returns the key of the mark of the first message of a thread.
func (t thread) firstKey(inc incident.Incident) string {
	_, name, _ := strings.Cut(t.link, ".")
	return inc.ID.String() + "/" + name + "/first"
}

// postIn posts a message once at a place of the channel of the incident. A thread begins
// with its first message, which the returned command records. A message without blocks
// only begins the thread.
func (c *Effects) postIn(ctx context.Context, b incident.Brief, e incident.Effect, at place, m Message) (incident.Command, error) {
	channel, err := channelOf(b.Incident)
	if err != nil {
		return noCommand, err
	}
	t := threads[at]
	id := b.Incident.Links[t.link]
	if t.link == "" || id == "" && t.first == nil {
		posted, err := c.postOnce(ctx, b, channel, b.Mark, m, b.Attempt > 1)
		if err != nil || t.link == "" {
			return noCommand, err
		}
		return resultCommand(b, e, incident.Command{Verb: incident.VerbLink, Links: map[string]string{t.link: posted.ID}}), nil
	}
	started := noCommand
	if id == "" {
		// Always search: an earlier effect may have stopped between this message and its own.
		first, err := c.postOnce(ctx, b, channel, t.firstKey(b.Incident), t.first(b), true)
		if err != nil {
			return noCommand, err
		}
		id = first.ID
		started = resultCommand(b, e, incident.Command{Verb: incident.VerbLink, Links: map[string]string{t.link: id}})
	}
	if len(m.Blocks) == 0 {
		return started, nil
	}
	m.Thread, m.Broadcast = id, at == inSignoffAndChannel
	_, err = c.postOnce(ctx, b, channel, b.Mark, m, b.Attempt > 1)
	return started, err
}

// EditChecklist updates the first message of the checklist's thread.
func (c *Effects) EditChecklist(ctx context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
	return noCommand, c.editFirst(ctx, b, threads[inChecklist])
}

// EditSignoff updates the first message of the sign-off's thread.
func (c *Effects) EditSignoff(ctx context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
	return noCommand, c.editFirst(ctx, b, threads[inSignoff])
}

// editFirst updates the first message of a thread, if there is one. A thread that begins
// later shows the state then.
func (c *Effects) editFirst(ctx context.Context, b incident.Brief, t thread) error {
	channel, err := channelOf(b.Incident)
	id := b.Incident.Links[t.link]
	if err != nil || id == "" {
		return err
	}
	if err := c.pace.edit(channel+"/"+id, b.Now); err != nil {
		return err
	}
	err = c.platform.Update(ctx, channel, id, t.first(b), markOf(b, t.firstKey(b.Incident)))
	if errors.Is(err, ErrNoMessage) {
		return nil // deleted since
	}
	return err
}

// editAt replaces the message with a key at a place of the channel of the incident. It does
// nothing if the message was not posted.
func (c *Effects) editAt(ctx context.Context, b incident.Brief, at place, key string, m Message) error {
	channel, err := channelOf(b.Incident)
	if err != nil {
		return err
	}
	found, ok, err := Posted{}, false, error(nil)
	for _, in := range slices.Compact([]string{b.Incident.Links[threads[at].link], ""}) { // a message of an earlier version is in the channel
		if found, ok, err = c.platform.Find(ctx, channel, in, key, b.Event.RecordedAt); err != nil || ok {
			break
		}
	}
	if err != nil || !ok {
		return err
	}
	if err = c.platform.Update(ctx, channel, found.ID, m, markOf(b, key)); errors.Is(err, ErrNoMessage) {
		return nil // deleted since
	}
	return err
}

// call adds a line that notifies people because they must act, each once. The author of
// the event is not notified. Without people, everybody may act.
func (m *builder) call(format string, people ...incident.PersonID) {
	var called List
	for n, p := range people {
		if p != "" && p != m.event.By && !slices.Contains(people[:n], p) {
			called = append(called, Mention(p))
		}
	}
	line := Text{Format: format}
	if len(called) > 0 {
		line = textf("%s: %s", called, line)
	}
	m.add(Paragraph{Text: line})
}
