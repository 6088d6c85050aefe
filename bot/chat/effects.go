package chat

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"tocsin/bot/incident"
)

// Handler performs one kind of effect. The returned command is committed
// together with the completion of the effect. A command without a verb is
// ignored.
//
// An effect may run again after it took effect, because the process crashed
// or the response was lost. If Brief.Attempt is 2 or more, and always for
// effects that create several things, the handler therefore searches for the
// result of an earlier attempt first.
type Handler = func(context.Context, incident.Brief, incident.Effect) (incident.Command, error)

// Effects performs effects on a platform. It is safe for concurrent use.
type Effects struct {
	platform Platform
	log      *slog.Logger
	pace     pace
}

// New returns the effects on a platform.
func New(p Platform, log *slog.Logger) *Effects {
	return &Effects{platform: p, log: log.With("component", "chat")}
}

// Handlers returns the handlers by kind of effect, except the page of a group:
// [Effects.PageGroup] needs the group.
func (c *Effects) Handlers() map[incident.EffectKind]Handler {
	return map[incident.EffectKind]Handler{
		incident.EffectOpenChannel:         c.OpenChannel,
		incident.EffectInvite:              c.Invite,
		incident.EffectRemove:              c.Remove,
		incident.EffectReplaceChannel:      c.ReplaceChannel,
		incident.EffectTopic:               c.Topic,
		incident.EffectCard:                c.Card,
		incident.EffectChecklist:           c.EditChecklist,
		incident.EffectSignoff:             c.EditSignoff,
		incident.EffectPost:                c.Post,
		incident.EffectAskSign:             c.AskSign,
		incident.EffectMessageSigners:      c.MessageSigners,
		incident.EffectAskConsult:          c.AskConsult,
		incident.EffectRetract:             c.Retract,
		incident.EffectUpload:              c.Upload,
		incident.EffectHashFile:            c.HashFile,
		incident.EffectArchive:             c.Archive,
		incident.EffectAnnounce:            c.Announce,
		incident.EffectAnnouncePostmortem:  c.AnnouncePostmortem,
		incident.EffectAnnounceWithdrawal:  c.AnnounceWithdrawal,
		incident.EffectAgenda:              c.Agenda,
		incident.EffectShareUpdate:         c.ShareUpdate,
		incident.EffectAskUpdate:           c.AskUpdate,
		incident.EffectAskApproval:         c.AskApproval,
		incident.EffectNotice:              c.Notice,
		incident.EffectHandover:            c.Handover,
		incident.EffectRemindActions:       c.RemindActions,
		incident.EffectAnnounceMaintenance: c.AnnounceMaintenance,
		incident.EffectBriefing:            c.Briefing,
	}
}

// isPermanent reports whether a retry cannot help.
func isPermanent(err error) bool {
	var p *incident.Permanent
	return errors.As(err, &p)
}

// isBlocked reports whether an administrator must repair the cause.
func isBlocked(err error) bool {
	var b *incident.Blocked
	return errors.As(err, &b)
}

// isRefused reports whether the platform refuses the call and works otherwise.
func isRefused(err error) bool { return isPermanent(err) || isBlocked(err) }

// noCommand is returned by effects that have nothing to report.
var noCommand incident.Command

// resultCommand returns cmd as a command of the system that reports the
// result of an effect.
func resultCommand(b incident.Brief, e incident.Effect, cmd incident.Command) incident.Command {
	cmd.Key, cmd.For, cmd.By, cmd.Via = e.Key, b.Incident.ID, incident.System, incident.ViaSystem
	return cmd
}

// channelOf returns the channel of the incident. Effects that need the
// channel run after it was opened, so a missing channel is a permanent error.
func channelOf(inc incident.Incident) (string, error) {
	if c := inc.Links[incident.LinkChannel]; c != "" {
		return c, nil
	}
	return "", &incident.Permanent{Err: fmt.Errorf("%s has no channel in the chat", inc.ID)}
}

// Post posts the message about the event at its place in the channel of the incident.
func (c *Effects) Post(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	if len(b.Missed) > 0 {
		return noCommand, c.postMissed(ctx, b)
	}
	at := newEventBuilder(b).place()
	m, ok := EventMessage(b, incident.Via(c.platform.Name()))
	if !ok && threads[at].first == nil {
		return noCommand, nil
	}
	cmd, err := c.postIn(ctx, b, e, at, m)
	if b.Event.Kind == incident.EventEffectFailed && isPermanent(err) {
		// A failure event about this failure would cause an endless loop.
		c.log.ErrorContext(ctx, "post failure message failed", "incident", b.Incident.ID, "err", err)
		return noCommand, nil
	}
	return cmd, err
}

// Archive posts the final message in the channel of an ended incident. It
// does not archive the channel, because the messages are part of the history.
func (c *Effects) Archive(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	return c.postIn(ctx, b, e, inChannel, FinalMessage(b))
}

// postOnce posts a message with a mark. If search is true and the channel
// already has a message with this mark, postOnce returns that one instead.
func (c *Effects) postOnce(ctx context.Context, b incident.Brief, channel, key string, m Message, search bool) (Posted, error) {
	if search {
		found, ok, err := c.platform.Find(ctx, channel, m.Thread, key, searchStart(b))
		if err != nil || ok {
			return found, err
		}
	}
	return c.platform.Post(ctx, channel, m, markOf(b, key))
}

func markOf(b incident.Brief, key string) Mark {
	return Mark{Key: key, Incident: b.Incident.ID, Seq: b.Event.Seq}
}

// searchStart returns a time before any attempt can have posted the message
// of b.
func searchStart(b incident.Brief) time.Time {
	switch {
	case !b.Event.RecordedAt.IsZero():
		return b.Event.RecordedAt
	case !b.Incident.OpenedAt.IsZero():
		return b.Incident.OpenedAt
	}
	return b.Now.Add(-24 * time.Hour) // an effect without an incident, from a schedule
}

// announce posts a message once in the announce channel, if one is configured.
func (c *Effects) announce(ctx context.Context, b incident.Brief, m Message) error {
	_, err := c.inAnnounceChannel(ctx, func(channel string) error {
		_, err := c.postOnce(ctx, b, channel, b.Mark, m, b.Attempt > 1)
		return err
	})
	return err
}

// inAnnounceChannel makes a call in the announce channel, and reports whether one is
// configured. If the channel was deleted and created again, the platform finds the new
// one by its name.
func (c *Effects) inAnnounceChannel(ctx context.Context, call func(channel string) error) (found bool, err error) {
	for range 2 {
		var channel string
		channel, err = c.platform.AnnounceChannel(ctx)
		if err != nil || channel == "" {
			return false, err
		}
		if err = call(channel); !errors.As(err, new(*incident.ChannelGone)) {
			break
		}
	}
	return true, err
}

// sendToEach sends a direct message to each person once and returns the
// number of recipients. It skips people without an account. A refusal
// for one person does not stop the others. sendToEach returns an error
// if a message should be retried, or if there were only permanent errors.
func (c *Effects) sendToEach(ctx context.Context, b incident.Brief, persons []incident.PersonID, m Message) (reached int, err error) {
	var failed, blocked, retryable []error
	for _, id := range persons {
		p, _ := b.Directory.Person(id)
		account := p.IDAt(incident.Provider(c.platform.Name()))
		if account == "" {
			continue
		}
		err := c.direct(ctx, b, p, account, m)
		switch {
		case err == nil:
			reached++
		case isBlocked(err):
			blocked = append(blocked, err)
		case isPermanent(err):
			failed = append(failed, fmt.Errorf("%s: %w", b.Directory.Name(id), err))
		default:
			retryable = append(retryable, err)
		}
	}
	switch {
	case len(retryable) > 0:
		return reached, errors.Join(retryable...)
	case len(blocked) > 0:
		return reached, errors.Join(blocked...)
	case len(failed) > 0 && reached == 0:
		return 0, &incident.Permanent{Err: errors.Join(failed...)}
	case len(failed) > 0:
		c.log.WarnContext(ctx, "send direct messages failed", "incident", b.Incident.ID, "err", errors.Join(failed...))
	}
	return reached, nil
}

// direct sends a direct message once. It always searches first, because an
// earlier attempt may have stopped between two messages.
func (c *Effects) direct(ctx context.Context, b incident.Brief, p incident.Person, account string, m Message) error {
	channel, err := c.platform.DirectChannel(ctx, p)
	if err != nil {
		return err
	}
	_, err = c.postOnce(ctx, b, channel, b.Mark+"/"+account, m, true)
	return err
}

// optional returns nil for a permanent error of a call that the effect can do
// without, and logs it. After a call that an administrator can unblock, the effect
// waits.
func (c *Effects) optional(ctx context.Context, b incident.Brief, call string, err error) error {
	if isPermanent(err) {
		c.log.WarnContext(ctx, "optional chat call failed", "call", call, "incident", b.Incident.ID, "err", err)
		return nil
	}
	return err
}
