package slack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"tocsin/bot/chat"
	"tocsin/bot/command"
	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// The reactions that use a message of the channel, with what they make of it.
var reactions = map[string]incident.KeptAs{
	"pushpin":          incident.KeptAsNote,
	"white_check_mark": incident.KeptAsAction,
}

// actionDue is how long the owner of an action item has that a reaction made.
const actionDue = 7 * 24 * time.Hour

// handleReaction handles an added or removed reaction to a message in the channel of an
// incident. The timeline cannot be changed, so a removed one changes nothing, and the
// person learns that.
func (s *Slack) handleReaction(e slackEvent) {
	as, known := reactions[e.Reaction]
	if !known || e.Item.Type != "message" || e.User == "" {
		return
	}
	place := slackEvent{User: e.User, Channel: flexID(e.Item.Channel)}
	s.runInBackground(func(ctx context.Context) {
		who := account{user: string(e.User)}
		pc, err := s.parseContext(ctx, s.identityOf(who), e.Item.Channel)
		if err != nil || pc.Incident == 0 {
			s.reportEventError(ctx, place, err)
			return
		}
		if e.Type == "reaction_removed" {
			if pc.Who != "" {
				s.sendBack(place, s.reply(chat.ReactionRemoved(pc.Incident)))
			}
			return
		}
		verb := map[incident.KeptAs]incident.Verb{incident.KeptAsNote: incident.VerbNote, incident.KeptAsAction: incident.VerbAddAction}[as]
		if err := pc.Admit(verb); err != nil {
			s.sendBack(place, s.errorReply(ctx, err))
			return
		}
		m, err := s.messageAt(ctx, e.Item.Channel, e.Item.TS)
		if err == nil {
			err = s.refuseOwn(ctx, m)
		}
		if err != nil {
			s.reportEventError(ctx, place, err)
			return
		}
		place.Thread = threadOf(m)
		s.useMessage(ctx, who, e.Item.Channel, m.TS, s.messageCommand(as, pc, e.Item.Channel, m), func(answer *ephemeral) { s.sendBack(place, answer) })
	})
}

// reportEventError answers an event that failed.
func (s *Slack) reportEventError(ctx context.Context, place slackEvent, err error) {
	if err != nil {
		s.sendBack(place, s.errorReply(ctx, err))
	}
}

// useMessage gives the command about a message and answers its author.
func (s *Slack) useMessage(ctx context.Context, who account, channel, ts string, cmd incident.Command, answer func(*ephemeral)) {
	link, err := s.client.GetPermalinkContext(ctx, &slack.PermalinkParameters{Channel: channel, Ts: ts})
	if err != nil {
		s.log.WarnContext(ctx, "get message permalink failed", "err", err)
	}
	cmd.Message.Link = link
	key := idempotency("message", who.user, string(cmd.Verb), cmd.Message.Ref)
	use := func(ctx context.Context, cmd incident.Command, o outcome) {
		if cmd.Verb == incident.VerbEvidence && o.err == nil && !o.result.Unchanged {
			s.compareKept(channel, ts, cmd)
		}
		answer(s.messageReply(ctx, cmd, o))
	}
	result, err := s.attempt(ctx, []string{key}, s.commandBy(who, key, cmd), use)
	use(ctx, cmd, outcome{result, err})
}

// compareKept reports a change of a message that happened while the message became
// evidence: the event of the change found no evidence then.
func (s *Slack) compareKept(channel, ts string, kept incident.Command) {
	s.noteChange(kept.Message.Ref, func(ctx context.Context, cmd *incident.Command) error {
		m, err := s.messageAt(ctx, channel, ts)
		if errors.Is(err, errNoSuchMessage) {
			cmd.Reason = incident.EvidenceDeleted
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.fillEdit(ctx, cmd, m.Edited, m.Text); err != nil {
			return err
		}
		if cmd.Text == kept.Message.Text {
			return errNoChange
		}
		return nil
	})
}

// fillEdit completes the command about an edited message.
func (s *Slack) fillEdit(ctx context.Context, cmd *incident.Command, edit lastEdit, newText string) error {
	d, err := s.desk.Directory(ctx)
	if err != nil {
		return fmt.Errorf("read directory: %w", err)
	}
	editor, _ := d.Resolve(identity(edit.User))
	cmd.Reason, cmd.Person, cmd.HappenedAt = incident.EvidenceEdited, editor.ID, sentAt(edit.TS)
	cmd.Text = cutText(command.Readable(neutralText(newText, d)))
	return nil
}

func (s *Slack) messageReply(ctx context.Context, cmd incident.Command, o outcome) *ephemeral {
	if o.err != nil {
		return s.errorReply(ctx, o.err)
	}
	return s.reply(chat.MessageUsed(cmd, o.result))
}

// shortcuts are the shortcuts on a message, with what they make of it.
var shortcuts = map[string]incident.KeptAs{
	ShortcutAddNote:     incident.KeptAsNote,
	ShortcutAddAction:   incident.KeptAsAction,
	ShortcutAddEvidence: incident.KeptAsEvidence,
}

// handleShortcut handles a shortcut on a message. An action item needs an owner and a
// date, so it opens a form. The others take effect at once.
func (s *Slack) handleShortcut(ctx context.Context, in interaction) error {
	as, known := shortcuts[in.CallbackID]
	if !known {
		return nil
	}
	pc, err := s.parseContext(ctx, s.identityOf(in.account()), in.channel())
	if err != nil {
		return err
	}
	if err := pc.Admit(incident.VerbNote); err != nil {
		return err
	}
	if pc.Incident == 0 {
		return incident.Invalid("incident", "this channel does not belong to an incident. Use the shortcut in the channel of an incident")
	}
	if err := s.refuseOwn(ctx, in.Message); err != nil {
		return err
	}
	cmd := s.messageCommand(as, pc, in.channel(), in.Message)
	if as == incident.KeptAsAction {
		return s.openForm(ctx, in.TriggerID, s.identityOf(in.account()), formRequest{verb: cmd.Verb, prefill: cmd}, s.notifier(in))
	}
	s.runInBackground(func(ctx context.Context) {
		s.useMessage(ctx, in.account(), in.channel(), in.Message.TS, cmd, s.notifier(in))
	})
	return nil
}

// errOwnMessage refuses the use of a message of Tocsin.
var errOwnMessage = incident.Invalid("message", "this message is from Tocsin, and the timeline has its event already. Choose a message of a person")

// refuseOwn returns an error for a message of Tocsin.
func (s *Slack) refuseOwn(ctx context.Context, m messageObject) error {
	self, err := s.Self(ctx)
	switch {
	case err != nil:
		return err
	case m.User == self:
		return errOwnMessage
	}
	return nil
}

// errNoSuchMessage is the error for a message that was deleted.
var errNoSuchMessage = incident.Unknown("message", "the message was deleted. Write down what it said with note")

// messageAt reads a message of a channel or of a thread in it.
func (s *Slack) messageAt(ctx context.Context, channel, ts string) (messageObject, error) {
	page, err := s.client.GetConversationHistoryContext(ctx, &slack.GetConversationHistoryParameters{ChannelID: channel, Oldest: ts, Latest: ts, Inclusive: true, Limit: 1})
	if err != nil {
		return messageObject{}, &apiError{"read the message", "note TEXT", err}
	}
	found := page.Messages
	if len(found) == 0 {
		found, _, _, err = s.client.GetConversationRepliesContext(ctx, &slack.GetConversationRepliesParameters{ChannelID: channel, Timestamp: ts, Oldest: ts, Latest: ts, Inclusive: true, Limit: 2})
		if err != nil && errorCode(err) != "thread_not_found" {
			return messageObject{}, &apiError{"read the message", "note TEXT", err}
		}
	}
	n := slices.IndexFunc(found, func(m slack.Message) bool { return m.Timestamp == ts })
	if n < 0 || found[n].SubType == "tombstone" {
		return messageObject{}, errNoSuchMessage
	}
	m := found[n]
	out := messageObject{Text: m.Text, TS: m.Timestamp, Thread: m.ThreadTimestamp, User: m.User, Team: m.Team, UserName: m.Username, BotID: m.BotID}
	if m.Edited != nil {
		out.Edited = lastEdit{m.Edited.User, m.Edited.Timestamp}
	}
	for _, f := range m.Files {
		out.Files = append(out.Files, fileObject{ID: f.ID, Name: f.Name, Permalink: f.Permalink})
	}
	return out, nil
}

// threadOf returns the thread of a message that is a reply, or "".
func threadOf(m messageObject) string {
	if m.Thread == m.TS {
		return ""
	}
	return m.Thread
}

// messageRef identifies a message in the workspace.
func messageRef(channel, ts string) string { return channel + "/" + ts }

// messageCommand returns the command that makes a message a part of the incident.
func (s *Slack) messageCommand(as incident.KeptAs, pc command.Context, channel string, m messageObject) incident.Command {
	full := command.Readable(neutralText(m.Text, pc.Directory))
	kept := incident.Message{Ref: messageRef(channel, m.TS), Text: cutText(full), At: sentAt(m.TS)}
	author, known := pc.Directory.Resolve(s.identityOf(account{user: m.User, team: m.Team}))
	if kept.Author = author.ID; !known {
		kept.AuthorName = text.Truncate(text.Line(cmp.Or(m.UserName, m.User, m.BotID)), 80)
		if m.BotID != "" {
			kept.AuthorName = "the app " + kept.AuthorName // an app chooses its name, also that of a person
		}
	}
	for _, f := range m.Files {
		kept.Files = append(kept.Files, incident.MessageFile{ID: f.ID, Name: text.Truncate(text.Line(f.Name), incident.MaxTitle), Link: f.Permalink})
	}
	cmd := incident.Command{For: pc.Incident, Message: &kept}
	switch as {
	case incident.KeptAsNote:
		cmd.Verb, cmd.Text = incident.VerbNote, cmp.Or(strings.TrimSpace(kept.Text), fileNames(kept.Files))
	case incident.KeptAsAction:
		year, month, day := s.cfg.Clock().In(s.cfg.Zone).Add(actionDue).Date()
		cmd.Verb, cmd.Action = incident.VerbAddAction, &incident.Action{Kind: incident.ActionMitigation, Owner: pc.Who,
			Title: messageTitle(kept), Due: time.Date(year, month, day, 0, 0, 0, 0, time.UTC)}
	case incident.KeptAsEvidence:
		cmd.Verb, cmd.Evidence = incident.VerbEvidence, &incident.Evidence{Name: "message: " + text.Truncate(messageTitle(kept), 120), SHA256: text.SHA256(full)}
	}
	return cmd
}

// messageTitle returns the beginning of a message in one line.
func messageTitle(m incident.Message) string {
	return text.Truncate(text.Line(cmp.Or(strings.TrimSpace(m.Text), fileNames(m.Files), "a message")), incident.MaxTitle)
}

func fileNames(files []incident.MessageFile) string {
	names := make([]string, len(files))
	for n, f := range files {
		names[n] = f.Name
	}
	return strings.Join(names, ", ")
}

// cutText returns a text that the incident can store. The hash covers the whole text.
func cutText(full string) string {
	if utf8.RuneCountInString(full) <= incident.MaxText {
		return full
	}
	return text.Truncate(full, incident.MaxText)
}

// handleFileEvent handles a file that changed or was deleted, if it is evidence.
func (s *Slack) handleFileEvent(e slackEvent) {
	id := cmp.Or(e.FileID, e.File.ID)
	if id == "" {
		return
	}
	s.noteChange(id, func(ctx context.Context, cmd *incident.Command) error {
		cmd.HappenedAt = sentAt(e.EventTS)
		if cmd.Reason = incident.EvidenceDeleted; e.Type == "file_change" {
			sum, _, reason, err := s.HashFile(ctx, id)
			if reason == fileDeleted {
				return errNoChange // the deletion has its own event
			}
			if err != nil {
				s.log.WarnContext(ctx, "download changed evidence failed", "err", err)
			}
			cmd.Reason, cmd.Document = incident.EvidenceEdited, sum
		}
		return nil
	})
}

// handleEdit handles a message that was edited or deleted, if it is evidence.
func (s *Slack) handleEdit(e slackEvent) {
	ts := e.DeletedTS
	edited := e.Subtype == "message_changed" && e.Message.Subtype != "tombstone"
	if e.Subtype == "message_changed" {
		if ts = e.Message.TS; edited && e.Message.Text == e.Previous.Text && e.Message.Edited.TS == e.Previous.Edited.TS {
			return // Slack added a preview, a reply or a reaction
		}
	}
	if ts == "" || e.Channel == "" {
		return
	}
	s.noteChange(messageRef(string(e.Channel), ts), func(ctx context.Context, cmd *incident.Command) error {
		if edited {
			edit := e.Message.Edited
			edit.TS = cmp.Or(edit.TS, e.EventTS)
			return s.fillEdit(ctx, cmd, edit, e.Message.Text)
		}
		cmd.Reason, cmd.HappenedAt = incident.EvidenceDeleted, sentAt(e.EventTS)
		return nil
	})
}

// errNoChange reports that an event changed no evidence.
var errNoChange = errors.New("evidence not changed")

// noteChange reports a change of a message or file to the Desk, if it is evidence. fill
// completes the command.
func (s *Slack) noteChange(ref string, fill func(context.Context, *incident.Command) error) {
	s.runInBackground(func(ctx context.Context) {
		id, err := s.desk.IncidentByLink(ctx, incident.LinkKept(ref), ref)
		if id == 0 || err != nil {
			if err != nil && incident.CodeOf(err) != incident.CodeUnknown {
				s.log.WarnContext(ctx, "find evidence failed", "err", err)
			}
			return
		}
		cmd := incident.Command{For: id, Verb: incident.VerbEvidenceChanged, Item: ref, By: incident.System, Via: incident.ViaSlack}
		if err = fill(ctx, &cmd); err == nil {
			if now := s.cfg.Clock(); cmd.HappenedAt.After(now) {
				cmd.HappenedAt = now
			}
			_, err = s.desk.Do(ctx, cmd)
		}
		if err != nil && !errors.Is(err, errNoChange) {
			s.log.WarnContext(ctx, "note change of evidence failed", "incident", id, "err", err)
		}
	})
}
