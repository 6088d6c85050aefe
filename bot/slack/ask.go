package slack

import (
	"context"
	"fmt"

	"github.com/slack-go/slack"

	"tocsin/bot/chat"
	"tocsin/bot/command"
	"tocsin/bot/incident"
)

// handleAsk answers a button that asks a question or opens a form. The answer is a reply
// that only the person sees, or a view if it is a status or the button is on the home tab. Anyone who knows
// the protocol can send any text, so a text that gives a command at once is refused:
// nobody confirmed it.
func (s *Slack) handleAsk(ctx context.Context, in interaction, typed string) error {
	who := s.identityOf(in.account())
	pc, err := s.parseContext(ctx, who, in.channel())
	if err != nil {
		return err
	}
	parsed, err := command.Parse(typed, pc)
	switch {
	case err != nil:
		return err
	case parsed.Form != "":
		return s.openForm(ctx, in.TriggerID, who, formRequest{verb: parsed.Form, prefill: parsed.Command}, s.notifier(in))
	case !chat.IsQuestion(parsed) || parsed.AlertRequest != nil && parsed.AlertRequest.Test.Code == "": // the code of a test page proves that the person has it
		return incident.Invalid("verb", "this button gives no command. Type the command")
	}
	answer := func(ctx context.Context) (chat.Message, error) {
		m, err := s.reader(who).Answer(ctx, parsed)
		if err != nil && incident.CodeOf(err) == "" {
			err = fmt.Errorf("%w: %w", errNotRead, err)
		}
		return m, err
	}
	if in.Container.Type == "view" || in.channel() == "" || parsed.Query == command.QueryStatus {
		title := "Tocsin"
		if parsed.Command.For != 0 {
			title = parsed.Command.For.String()
		}
		return s.openAnswer(ctx, in, title, typed, answer)
	}
	s.runInBackground(func(ctx context.Context) {
		m, err := answer(ctx)
		s.notify(in, s.replyOrError(ctx, m, err))
	})
	return nil
}

// openAnswer shows an answer to one person, in a view without buttons. The trigger expires
// after three seconds, so the view opens with a placeholder.
func (s *Slack) openAnswer(ctx context.Context, in interaction, title, typed string, answer func(context.Context) (chat.Message, error)) error {
	opened, err := s.client.OpenViewContext(ctx, in.TriggerID, textView(title, "Loading…"))
	if err != nil {
		return triggerError("show the answer", typed, err)
	}
	s.runInBackground(func(ctx context.Context) {
		v := textView(title, "")
		if m, err := answer(ctx); err != nil {
			v = textView(title, s.errorText(ctx, err))
		} else {
			v.Blocks.BlockSet = nil
			for _, b := range s.layout(m).blocks {
				if _, row := b.(*slack.ActionBlock); !row { // a button cannot open a form on top of this view
					v.Blocks.BlockSet = append(v.Blocks.BlockSet, b)
				}
			}
		}
		if _, err := s.client.UpdateViewContext(ctx, v, "", "", opened.ID); err != nil {
			s.log.WarnContext(ctx, "update answer view failed", "err", err)
		}
	})
	return nil
}
