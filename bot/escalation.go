package bot

import (
	"context"
	"fmt"
	"time"

	"tocsin/bot/config"
	"tocsin/bot/incident"
	"tocsin/bot/pagerduty"
	"tocsin/bot/response"
)

// pager pages the target of one escalation step.
type pager struct {
	system   string                      // see [incident.Blocked]
	target   string                      // for people
	probe    func(context.Context) error // may be nil
	interval time.Duration               // between probes
	needs    string                      // the part that the target needs, or ""
	page     response.Handler
	// acknowledge and resolve tell the target that the page of a round is over. Both
	// are nil if a page cannot be withdrawn there.
	acknowledge, resolve response.Handler
}

// openPager opens the target of an escalation step.
func (b *Bot) openPager(g *generation, n int, step config.Step) (pager, error) {
	switch {
	case step.PagerDuty != nil:
		client, err := pagerduty.New(g.config.PagerDuty, *step.PagerDuty, pagerduty.NewHTTPClient(b.reportRequest("PagerDuty", stepPart(n, "PagerDuty"))))
		if err != nil {
			return pager{}, err
		}
		client.LogTo(b.log)
		return pager{system: incident.SystemPagerDuty, target: "PagerDuty", probe: client.Probe, page: client.Page, acknowledge: client.Acknowledge, resolve: client.Resolve}, nil
	case step.Mail != nil:
		return pager{system: incident.SystemMail, target: "mail", needs: partMail, page: g.mail.PageTo(step.Mail.To)}, nil
	default:
		probe := func(ctx context.Context) error { return b.chat.ProbeGroup(ctx, step.SlackGroup) }
		return pager{system: b.chat.Name(), target: "Slack group", probe: probe, interval: slowProbe, needs: partSlack, page: b.chatEffects.PageGroup(step.SlackGroup)}, nil
	}
}

// openSteps returns the page handlers of the escalation steps in order, and the steps. It
// adds the handlers that end pages to handlers, if a step has any.
func (b *Bot) openSteps(g *generation, handlers map[incident.EffectKind]response.Handler) (pages []response.Handler, steps []pager, err error) {
	var acknowledge, resolve []response.Handler
	for n, step := range g.config.Escalation.Steps {
		p, err := b.openPager(g, n, step)
		if err != nil {
			return nil, nil, fmt.Errorf("escalation.steps[%d]: %w", n, err)
		}
		pages, steps = append(pages, p.page), append(steps, p)
		if p.acknowledge != nil {
			acknowledge, resolve = append(acknowledge, p.acknowledge), append(resolve, p.resolve)
		}
	}
	if len(acknowledge) > 0 {
		handlers[incident.EffectPageAck], handlers[incident.EffectPageResolve] = inOrder(acknowledge), inOrder(resolve)
	}
	return pages, steps, nil
}

// inOrder returns a handler that calls all handlers until one fails. A retry calls all
// of them again, and pagers ignore a repeated event.
func inOrder(handlers []response.Handler) response.Handler {
	return func(ctx context.Context, brief incident.Brief, e incident.Effect) (cmd incident.Command, err error) {
		for _, h := range handlers {
			if cmd, err = h(ctx, brief, e); err != nil {
				return cmd, err
			}
		}
		return cmd, nil
	}
}
