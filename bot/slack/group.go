package slack

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
)

// PageGroup returns the handler for a step of the escalation policy that
// pages a Slack user group. It mentions the group in the announce channel. It
// also sends a direct message to every responder, because a mention notifies
// only members of the channel.
//
// The page succeeds if at least one message was posted.
func (s *Slack) PageGroup(group string) Handler {
	return func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
		m := groupPage(b, group)
		reached, err := s.sendToEach(ctx, b, b.Directory.Responders(), m)
		if err != nil && !isPermanent(err) {
			return noCommand, err
		}
		channel, problem := s.announceChannel(ctx)
		if problem == nil && channel != "" {
			// Always search: the direct messages come first, so an earlier attempt may
			// have stopped between two messages.
			if _, problem = s.postOnce(ctx, b, channel, b.Mark, m, true); problem == nil {
				reached++
			}
		}
		switch {
		case problem != nil && !isPermanent(problem):
			return noCommand, problem
		case reached == 0:
			return noCommand, &incident.Permanent{Err: fmt.Errorf("page %s through Slack: no responder reached: %w", b.Incident.ID, firstError(err, problem))}
		case problem != nil:
			s.log.WarnContext(ctx, "post page in announce channel failed", "incident", b.Incident.ID, "err", problem)
		}
		round, _ := strconv.Atoi(e.Args["round"])
		step, _ := strconv.Atoi(e.Args["escalation_step"])
		return resultCommand(b, e, incident.Command{Verb: incident.VerbPaged, Round: round, EscalationStep: step}), nil
	}
}

var errNoRecipient = errors.New("no responder has a Slack user, and no announce channel is configured")

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return errNoRecipient
}

// groupPage returns the page to a user group. It holds only the number and the
// severity, because the whole company reads the announce channel.
func groupPage(b incident.Brief, id string) message {
	inc, p := b.Incident, &messageBuilder{id: b.Incident.ID}
	mention := mentionGroup(id)
	if mention == "" {
		mention = "Responders"
	}
	p.line(markupf(":rotating_light: %s: *%s* (*%s*) needs a responder. Press *Acknowledge*.", mention, markup(inc.ID.String()), humanize(inc.Severity)))
	p.buttons(button(ActAcknowledge, "Acknowledge", buttonValue(inc.ID)).WithStyle(slack.StylePrimary))
	return p.build()
}
