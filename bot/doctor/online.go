package doctor

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"tocsin/bot/cloudtrail"
	"tocsin/bot/config"
	"tocsin/bot/intake"
	"tocsin/bot/mail"
	"tocsin/bot/pagerduty"
	"tocsin/bot/setting"
	"tocsin/bot/vulnreport"
)

func (d *Doctor) checkSlack(ctx context.Context) {
	c := d.Config.Slack
	isValid := d.probe(ctx, "slack.bot_token", "Slack", "Slack accepts it, and it has every scope", d.slack.Probe)
	socket, requests := c.Connections()
	if socket {
		d.probe(ctx, "slack.app_token", "Slack", "Slack accepts it for Socket Mode", d.slack.ProbeAppToken)
	}
	if requests {
		d.skip("slack.signing_secret", "Only a request of Slack proves it", "Type "+c.CommandName+" help in Slack. `tocsin health` reports wrong signatures")
	}
	if !isValid {
		d.skip("Slack channels, groups and people", "They can only be checked with a bot token that works", "Repair slack.bot_token first")
		return
	}
	d.probe(ctx, "slack.announce_channel", "Slack", "The app is a member of #"+strings.TrimPrefix(c.AnnounceChannel, "#"), d.slack.ProbeChannel)
	for _, group := range d.Config.SlackGroups() {
		d.probe(ctx, "Slack group "+group, "Slack", "It has members", func(ctx context.Context) error { return d.slack.ProbeGroup(ctx, group) })
	}
	for n, p := range d.Config.People {
		key := setting.Index("people", n) + ".slack"
		if p.Slack == "" {
			d.skip(key, p.Name+" has no Slack account here", "Add the member ID if the person uses Slack")
			continue
		}
		d.probe(ctx, key, "Slack", p.Name+" is an active member", func(ctx context.Context) error { return d.slack.ProbeUser(ctx, p.Slack, key) })
	}
}

// checkSteps checks the target of each escalation step, and the mail relay.
func (d *Doctor) checkSteps(ctx context.Context) {
	if d.Config.Mail.Host == "" {
		d.skip("mail", "No relay is configured", "Add mail.host if Tocsin should send mail")
	} else if m, err := d.mailer(); err != nil {
		d.failAs("mail", err, "It is not configured correctly", "Correct the keys below mail")
	} else {
		d.probe(ctx, "mail", "The mail relay", "The relay accepts the connection and the credentials", m.Probe)
	}
	if rest := pagerduty.NewREST(d.Config.PagerDuty, pagerduty.NewHTTPClient(d.observe("PagerDuty"))); rest != nil {
		d.probe(ctx, "pagerduty.api_key", "PagerDuty", "PagerDuty accepts the API key, and knows the service and the user of pagerduty.from", rest.Probe)
	} else {
		d.skip("pagerduty.api_key", "It is not set, so Tocsin cannot change a page, page a chosen person through PagerDuty or read who is on call", "Set pagerduty.api_key, from and service if Tocsin should")
	}
	for n, step := range d.Config.Escalation.Steps {
		check := setting.Index("escalation.steps", n)
		switch {
		case step.PagerDuty != nil:
			client, err := d.pagerDuty(*step.PagerDuty)
			if err != nil {
				d.failAs(check, err, "PagerDuty is not configured correctly", "Correct the routing key")
				continue
			}
			d.probe(ctx, check, "PagerDuty", fmt.Sprintf("PagerDuty can be reached. Only an acknowledged page proves the routing key: `tocsin doctor --page --step %d`", n+1), client.Probe)
		case step.Mail != nil:
			d.ok(check, "It uses the relay above. Only a person proves that the mail arrives: `tocsin doctor --page`")
		case !slices.Contains(d.Config.SlackGroups(), step.SlackGroup):
			d.probe(ctx, check, "Slack", "The group has members", func(ctx context.Context) error { return d.slack.ProbeGroup(ctx, step.SlackGroup) })
		default:
			d.ok(check, "It uses the Slack group above")
		}
	}
}

func (d *Doctor) mailer() (*mail.Mailer, error) {
	return mail.New(d.Config.Mail, mail.Deps{Clock: d.Clock, Logger: slog.New(slog.DiscardHandler)})
}

func (d *Doctor) pagerDuty(t pagerduty.Target) (*pagerduty.Client, error) {
	return pagerduty.New(d.Config.PagerDuty, t, pagerduty.NewHTTPClient(d.observe("PagerDuty")))
}

// prober is a source with a check.
type prober interface{ Probe(context.Context) error }

// checkSources checks the sources with a server. Only a delivery proves the secrets of
// the others.
func (d *Doctor) checkSources(ctx context.Context) {
	on := d.Config.Sources.On()
	if len(on) == 0 {
		d.warn("sources", "No source of alerts is configured, so incidents open only by command", "Configure one below sources")
	}
	for _, one := range on {
		source, err := d.open(one)
		if err != nil {
			d.failAs(one.Key, err, "It cannot be opened: "+firstLine(err), "Correct the keys below "+one.Key)
			continue
		}
		if p, ok := source.(prober); ok {
			d.probe(ctx, one.Key, "The source", "Tocsin can read from it", p.Probe)
			if files, ok := source.(fileProber); ok {
				d.checkLogFile(ctx, one.Key+" log files", files)
			}
			continue
		}
		if one.Key == "sources.report" {
			continue
		}
		d.skip(one.Key, "It sends to Tocsin, so only a delivery proves its secret", "Send a test from its settings. `tocsin sources` shows the last delivery")
	}
	if box := d.Config.Sources.Report.Mailbox; box != nil {
		m, err := vulnreport.NewMailbox(*box, vulnreport.Deps{Logger: slog.New(slog.DiscardHandler), Deliver: func(context.Context, string, map[string]string, []byte, string) error { return nil }})
		if err != nil {
			d.failAs("sources.report.mailbox", err, "It is not configured correctly", "Correct its keys")
			return
		}
		d.probe(ctx, "sources.report.mailbox", "The mail server of the vulnerability mailbox", "The server accepts the credentials, and the folder opens", m.Probe)
	}
}

// fileProber is a source that reads files whose names arrive in its queue.
type fileProber interface {
	ProbeFile(ctx context.Context, address string) error
}

// checkLogFile reads a byte of the log file of the options. Receiving a message to learn
// the name of one would count towards the dead-letter queue.
func (d *Doctor) checkLogFile(ctx context.Context, check string, files fileProber) {
	if d.LogFile == "" {
		d.skip(check, "The queue does not prove that the files can be read", "Run `tocsin doctor --log-file s3://BUCKET/KEY` with a log file of each bucket")
		return
	}
	d.probe(ctx, check, "The source", "Tocsin can read "+d.LogFile, func(ctx context.Context) error { return files.ProbeFile(ctx, d.LogFile) })
}

// open creates a source without running it.
func (d *Doctor) open(one config.Source) (intake.Source, error) {
	if one.Name != "trail" { // the only source with a check
		return nil, nil
	}
	return one.New(intake.Deps{Clock: d.Clock, Logger: slog.New(slog.DiscardHandler), Records: cloudtrail.New(d.Config.Sources.CloudTrail, nil), Accept: func(context.Context, []intake.Delivery) error { return nil }})
}
