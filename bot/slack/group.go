package slack

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
)

// PageGroup is the handler of a route of the emergency alias that pages through
// Slack: the user group is mentioned in the announce channel, and every
// responder gets a direct message, because a mention reaches only those who are
// in the channel. The page went out when either arrived.
func (s *Slack) PageGroup(group string) Handler {
	return func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
		m := groupPage(b, group)
		reached, err := s.sendToEach(ctx, b, b.Directory.Responders(), m)
		if err != nil && !isPermanent(err) {
			return noCommand, err
		}
		channel, problem := s.announceChannel(ctx)
		if problem == nil && channel != "" {
			// Looked for always: an attempt that only had to wait does not count.
			if _, problem = s.postOnce(ctx, b, channel, b.Mark, m, true); problem == nil {
				reached++
			}
		}
		switch {
		case problem != nil && !isPermanent(problem):
			return noCommand, problem
		case reached == 0:
			return noCommand, &incident.Permanent{Err: fmt.Errorf("page %s through Slack: nobody could be reached: %w", b.Incident.ID, firstError(err, problem))}
		case problem != nil:
			s.log.WarnContext(ctx, "paged by direct messages alone", "incident", b.Incident.ID, "error", problem)
		}
		round, _ := strconv.Atoi(e.Args["round"])
		route, _ := strconv.Atoi(e.Args["escalation_step"])
		return resultCommand(b, e, incident.Command{Verb: incident.VerbPaged, Round: round, EscalationStep: route}), nil
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
