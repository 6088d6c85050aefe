package slack

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/chat"
	"tocsin/bot/command"
	"tocsin/bot/incident"
)

// handleInteraction handles a button, a form or a shortcut. It returns the
// response to a submitted form and nil for everything else. Other replies are
// sent separately.
func (s *Slack) handleInteraction(ctx context.Context, in interaction) any {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	switch in.Type {
	case "view_submission":
		return s.handleSubmission(ctx, in)
	case "view_closed":
		s.closeForm(in, false)
	case "block_actions":
		if in.View.CallbackID != "" { // a form: its fields are no buttons
			s.handleTyping(in)
			return nil
		}
		for _, a := range in.Actions {
			if err := s.handleAction(ctx, in, a); err != nil {
				s.notify(in, s.errorReply(ctx, err))
			}
		}
	case "shortcut":
		if in.CallbackID == ShortcutOpen {
			if err := s.openForm(ctx, in.TriggerID, s.identityOf(in.account()), formRequest{verb: incident.VerbOpen}, s.notifier(in)); err != nil {
				s.notify(in, s.errorReply(ctx, err))
			}
		}
	case "message_action":
		if err := s.handleShortcut(ctx, in); err != nil {
			s.notify(in, s.errorReply(ctx, err))
		}
	}
	return nil
}

// handleAction handles a button or menu. Anyone who sees a message can press
// its buttons at any time, so the Desk checks the command like a typed one.
func (s *Slack) handleAction(ctx context.Context, in interaction, a formElement) error {
	raw := cmp.Or(a.Value, a.Option.Value)
	if a.ActionID == ActMore {
		a.ActionID, raw, _ = strings.Cut(raw, "|")
	}
	if strings.HasPrefix(a.ActionID, actAsk) {
		return s.handleAsk(ctx, in, raw)
	}
	verb, known := actionVerb(a.ActionID)
	if !known {
		return nil // a link, or a menu inside a form
	}
	id, args, err := parseValue(raw)
	if err != nil {
		return err
	}
	cmd := command.Press(verb, id, args)
	if command.AsksForm(cmd) {
		asked := cmd
		asked.By, asked.Via, asked.Auth = s.identityOf(in.account()), incident.ViaSlack, authentication
		if err := s.desk.Offer(ctx, asked); incident.CodeOf(err) != "" { // after any other error, the form reports it
			return err
		}
		return s.openForm(ctx, in.TriggerID, s.identityOf(in.account()), formRequest{verb: verb, prefill: cmd}, s.notifier(in))
	}
	cmd = s.commandBy(in.account(), idempotency("action", in.TriggerID, in.User.ID, a.ActionID, raw), cmd)
	result, err := s.attempt(ctx, []string{idempotency("pressed", in.User.ID, a.ActionID, raw)}, cmd, func(ctx context.Context, cmd incident.Command, o outcome) {
		s.replyToAction(ctx, in, cmd, o)
	})
	if err != nil {
		return err
	}
	s.replyToAction(ctx, in, cmd, outcome{result: result})
	return nil
}

// replyToAction sends the result of a button to the person who pressed it.
func (s *Slack) replyToAction(ctx context.Context, in interaction, cmd incident.Command, o outcome) {
	if o.err != nil {
		s.notify(in, s.errorReply(ctx, o.err))
		return
	}
	s.notify(in, s.reply(chat.Result(cmd, o.result)))
}

// sentAt returns the time in the timestamp of a message, or the zero time if
// the timestamp is malformed.
func sentAt(ts string) time.Time {
	whole, _, _ := strings.Cut(ts, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || seconds <= 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// notifier returns a function that sends a reply to the person behind an
// interaction.
func (s *Slack) notifier(in interaction) func(*ephemeral) {
	return func(e *ephemeral) { s.notify(in, e) }
}

// responseURLNotifier returns a function that sends a reply to the response
// URL of a slash command.
func (s *Slack) responseURLNotifier(url string) func(*ephemeral) {
	return func(e *ephemeral) {
		if url != "" {
			s.runInBackground(func(ctx context.Context) { s.respond(ctx, url, *e) })
		}
	}
}
