package doctor

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"tocsin/bot/config"
	"tocsin/bot/control"
	"tocsin/bot/health"
	"tocsin/bot/incident"
	"tocsin/bot/pagerduty"
	"tocsin/bot/setting"
)

// PageOptions are how [Doctor.Pages] waits for acknowledgements.
type PageOptions struct {
	Step  int           // number of the only step, from 1, or 0 for all
	Wait  time.Duration // for the acknowledgement of each step
	Typed <-chan string // lines that the user types, or nil
	// Say shows an instruction to the user.
	Say func(string)
}

// lookInterval is the time between two looks for an acknowledgement in PagerDuty.
const lookInterval = 2 * time.Second

// Pages sends a test page through each step, one after the other, and waits until a
// person acknowledges it. A page without an acknowledgement is a failure: an accepted
// event proves no routing key.
func (d *Doctor) Pages(ctx context.Context, o PageOptions, report func(Finding)) (failed bool) {
	d.report = func(f Finding) {
		failed = failed || f.Status == Failed
		report(f)
	}
	steps := d.Config.Escalation.Steps
	if o.Step < 0 || o.Step > len(steps) {
		d.fail("--step", fmt.Sprintf("There is no step %d", o.Step), fmt.Sprintf("Write a number from 1 to %d", len(steps)))
		return failed
	}
	for n, step := range steps {
		if o.Step == 0 || o.Step == n+1 {
			d.page(ctx, setting.Index("escalation.steps", n), step, o)
		}
	}
	return failed
}

func (d *Doctor) page(ctx context.Context, check string, step config.Step, o PageOptions) {
	code := rand.Text()[:6]
	system, target, err := d.sendTestPage(ctx, step, code)
	if err != nil {
		p := health.Explain(system, err)
		d.fail(check, p.Cause, p.Fix)
		return
	}
	hint := "Waiting up to " + o.Wait.String() + ". The page has the code " + strings.Repeat("•", len(code)) + ": type it here"
	var look func(context.Context) (by string, ok bool)
	rest := pagerduty.NewREST(d.Config.PagerDuty, pagerduty.NewHTTPClient(d.observe("PagerDuty")))
	var restErr error
	switch {
	case step.PagerDuty == nil:
	case rest != nil:
		look = func(ctx context.Context) (by string, ok bool) {
			by, ok, restErr = acknowledgedAt(ctx, rest, code)
			return by, ok
		}
	case len(d.Config.Sources.PagerDuty.WebhookSecrets) > 0 && d.IsRunning(ctx):
		look = func(ctx context.Context) (string, bool) { return d.acknowledged(ctx, code) }
	}
	if look != nil {
		hint = "Waiting up to " + o.Wait.String() + ". Acknowledge the page in " + target + ", or type its code here"
	}
	o.Say(check + ": sent a test page to " + target + ". " + hint)
	by, err := d.awaitAcknowledgement(ctx, code, look, o)
	if step.PagerDuty != nil {
		d.resolveTestPage(ctx, step, code)
	}
	switch {
	case err == nil:
		d.ok(check, target+" delivered the test page: "+by)
	case ctx.Err() != nil:
		d.fail(check, "The command was interrupted before the acknowledgement", "Run it again")
	case restErr != nil:
		p := health.Explain(system, restErr)
		d.fail(check, "PagerDuty accepted the test page, but the acknowledgement cannot be read: "+p.Cause, p.Fix)
	case step.PagerDuty != nil && look == nil:
		d.fail(check, "PagerDuty accepted the test page, but that does not prove that it paged a person: the acknowledgement cannot arrive here, and no code was typed",
			"Set pagerduty.api_key, from and service, or configure sources.pagerduty.webhook_secrets and start `tocsin serve`, or run the command in a terminal and type the code of the page")
	case step.PagerDuty != nil:
		d.fail(check, "PagerDuty accepted the test page, but no acknowledgement arrived in "+o.Wait.String(),
			"Compare the routing key with the integration of the service, and check who is on call, whether the service is disabled or is not pagerduty.service, and the webhook subscription for incident.acknowledged")
	default:
		d.fail(check, "The test page was sent to "+target+", but its code was not typed in "+o.Wait.String(), "Check that the page arrived, and type its code here")
	}
}

// sendTestPage sends a test page through a step. It returns the system and the target, as
// users call them.
func (d *Doctor) sendTestPage(ctx context.Context, step config.Step, code string) (system, target string, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	page := incident.TestPageText{Code: code, ByDoctor: true}
	switch {
	case step.PagerDuty != nil:
		client, err := d.pagerDuty(*step.PagerDuty)
		if err != nil {
			return "PagerDuty", "PagerDuty", err
		}
		return "PagerDuty", "PagerDuty", client.SendTestPage(ctx, page, d.Clock())
	case step.Mail != nil:
		m, err := d.mailer()
		if err != nil {
			return "The mail relay", "mail", err
		}
		return "The mail relay", strings.Join(step.Mail.To, ", "), m.SendTestPage(ctx, step.Mail.To, page)
	}
	return "Slack", "the Slack group " + step.SlackGroup, d.slack.SendTestPage(ctx, step.SlackGroup, page)
}

// resolveTestPage ends the page at PagerDuty. If that fails, people end it there.
func (d *Doctor) resolveTestPage(ctx context.Context, step config.Step, code string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
	defer cancel()
	client, err := d.pagerDuty(*step.PagerDuty)
	if err == nil {
		err = client.ResolveTestPage(ctx, incident.TestPageText{Code: code}, d.Clock())
	}
	if err != nil {
		d.warn("test page", "It is still open in PagerDuty", "Resolve it there")
	}
}

var errNoAcknowledgement = errors.New("no acknowledgement in time")

// awaitAcknowledgement waits until look returns who acknowledged the page, unless it is
// nil, or for the code. It returns how the page was acknowledged.
func (d *Doctor) awaitAcknowledgement(ctx context.Context, code string, look func(context.Context) (by string, ok bool), o PageOptions) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Wait)
	defer cancel()
	var ticks <-chan time.Time
	if look != nil {
		tick := time.NewTicker(lookInterval)
		defer tick.Stop()
		ticks = tick.C
	}
	typed := o.Typed
	for typed != nil || ticks != nil {
		select {
		case <-ctx.Done():
			return "", errNoAcknowledgement
		case line, open := <-typed:
			switch {
			case !open:
				typed = nil
			case strings.EqualFold(strings.TrimSpace(line), code):
				return "its code was typed", nil
			case strings.TrimSpace(line) != "":
				o.Say("This is not the code of the page. Read it from the newest test page")
			}
		case <-ticks:
			if by, ok := look(ctx); ok {
				return by + " acknowledged it", nil
			}
		}
	}
	return "", errNoAcknowledgement
}

// acknowledged asks the running bot who acknowledged the test page in PagerDuty.
func (d *Doctor) acknowledged(ctx context.Context, code string) (by string, ok bool) {
	var page control.TestPage
	err := control.NewClient(d.Config.ControlPath()).Do(ctx, "test-page", control.Request{Code: code}, &page)
	return page.By, err == nil && page.By != ""
}

// acknowledgedAt returns who acknowledged the test page in PagerDuty, from its REST API.
func acknowledgedAt(ctx context.Context, rest *pagerduty.REST, code string) (by string, ok bool, err error) {
	all, err := rest.Acknowledgements(ctx)
	for _, a := range all {
		if page, isTest := a.TestPage(); isTest && page.Code == code {
			return cmp.Or(a.Name, a.User, "somebody"), true, nil
		}
	}
	return "", false, err
}
