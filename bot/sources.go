package bot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"tocsin/bot/config"
	"tocsin/bot/control"
	"tocsin/bot/health"
	"tocsin/bot/intake"
	"tocsin/bot/telemetry"
	"tocsin/bot/vulnreport"
)

// sourceDeps returns what the sources of a generation use. records decodes
// CloudTrail records.
func (b *Bot) sourceDeps(c config.Config, records intake.Source) intake.Deps {
	return intake.Deps{Clock: b.clock, Logger: b.log, Observer: b.metrics, Records: records, Accept: b.store.Accept, MailFrom: c.Mail.From}
}

// openSources creates the configured sources that are fixed, or all others.
func openSources(c config.Sources, fixed bool, deps intake.Deps) (map[string]intake.Source, error) {
	out := map[string]intake.Source{}
	for _, one := range c.On() {
		if one.Fixed != fixed {
			continue
		}
		source, err := one.New(deps)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", one.Key, err)
		}
		out[one.Name] = source
	}
	return out, nil
}

// openFixedSources creates the sources that do not change in a running process,
// because they poll a queue or a mailbox or cache certificates.
func (b *Bot) openFixedSources() (err error) {
	b.fixedSources, err = openSources(b.start.Sources, true, b.sourceDeps(b.start, liveRecords{liveSource{current: &b.current, of: cloudtrailOf}}))
	return err
}

// openEdge creates the edge that serves the sources of the current generation.
func (b *Bot) openEdge() error {
	c := b.start.Sources
	var all []intake.Source
	for _, name := range slices.Sorted(maps.Keys(b.current.Load().sources)) {
		all = append(all, newLiveSource(&b.current, name))
	}
	limits, largest := c.Limits(), int64(0)
	for _, l := range limits {
		largest = max(largest, l.MaxBody)
	}
	b.admission = intake.NewAdmission(intake.AdmissionOptions{LargestBody: largest, TrustedProxies: c.TrustedProxies, Observer: b.metrics})
	b.edge = intake.New(intake.Options{Store: b.store, Desk: liveDesk{&b.current}, Sources: all, Limits: limits, Admission: b.admission, Traffic: b.traffic, Clock: b.clock, Logger: b.log, Observer: b.metrics})
	return b.openReports()
}

// openReports creates the report form, security.txt and the mailbox, if
// configured.
func (b *Bot) openReports() (err error) {
	c := b.start.Sources.Report
	deps := vulnreport.Deps{Clock: b.clock, Logger: b.log, Sender: func(r *http.Request) string { return b.admission.Sender(r).String() },
		Deliver: func(ctx context.Context, id string, header map[string]string, body []byte, sender string) error {
			return b.edge.Deliver(ctx, intake.Delivery{Source: "report", ID: id, Header: header, Body: body, Sender: sender,
				Verified: "not authenticated, because anyone may send a report"})
		}}
	if c.Form != nil {
		if b.reportForm, err = vulnreport.NewForm(*c.Form, deps); err != nil {
			return fmt.Errorf("sources.report.form: %w", err)
		}
	}
	if c.SecurityTxt != nil {
		if b.securityTxt, err = vulnreport.NewSecurityFile(*c.SecurityTxt, b.clock); err != nil {
			return fmt.Errorf("sources.report.security_txt: %w", err)
		}
	}
	if c.Mailbox != nil {
		if b.mailbox, err = vulnreport.NewMailbox(*c.Mailbox, deps); err != nil {
			return fmt.Errorf("sources.report.mailbox: %w", err)
		}
	}
	return nil
}

// restoreTraffic reads from the database when each source delivered last, because a
// restart must not hide that a source is silent.
func (b *Bot) restoreTraffic(ctx context.Context) {
	for _, one := range b.start.Sources.On() {
		at, sender, err := b.store.LastDelivery(ctx, one.Name)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			b.log.Warn("read last delivery failed", "component", "bot", "source", one.Name, "err", err)
		case !at.IsZero():
			b.traffic.Restore(one.Name, sender, at)
		}
	}
}

// minutes is the layout of times in causes.
const minutes = "2006-01-02 15:04"

// partSource returns the name of the part of a source.
func partSource(name string) string { return "source " + name }

// sourceParts returns the parts of the sources, which a reload can change.
func (b *Bot) sourceParts(g *generation) (parts []telemetry.Part) {
	for _, one := range g.config.Sources.On() {
		parts = append(parts, telemetry.Part{Name: partSource(one.Name), IsCritical: true, Check: func(now time.Time) error { return b.checkSource(g, one, now) },
			Effect: fmt.Sprintf("Alerts from %s can be missing. Look for them in the sending system", one.Name)})
	}
	return parts
}

// sourceEffects is what users lose while a part of a source does not work.
var sourceEffects = map[string]string{
	"trail queue": "Detection rules do not evaluate the log files in the queue. No data is lost while the queue retains its messages",
	"pgp key":     "Reporters cannot encrypt their mail",
}

// checkSource returns the problem of a source that refuses everything or is silent. It
// also logs the refusals that are due.
func (b *Bot) checkSource(g *generation, one config.Source, now time.Time) error {
	if fetcher, ok := g.sources[one.Name].(intake.Fetcher); ok {
		if at := fetcher.LastReceived(); !at.IsZero() {
			b.traffic.Restore(one.Name, "", at)
		}
	}
	b.traffic.LogRefusals(one.Name, now)
	if last := b.traffic.Of(one.Name).LastAccepted; !last.IsZero() {
		b.metrics.SetLastDelivery(one.Name, last)
	}
	if one.Limits.Off {
		return nil
	}
	if last, since := b.traffic.Refused(one.Name, now); !since.IsZero() {
		return &health.Problem{Since: since, Fix: last.Fix(one.Key, one.Secret), IsRefusal: true, ByAnyone: true,
			Cause: fmt.Sprintf("Tocsin has refused all deliveries of %s since %s UTC: %s, %d times, last from %s", one.Name, since.UTC().Format(minutes), last.Text(), last.Count, last.From)}
	}
	if since := b.traffic.SilentSince(one.Name, one.Usual.ExpectedInterval, now); !since.IsZero() {
		return &health.Problem{Since: since.Add(one.Usual.ExpectedInterval),
			Cause: fmt.Sprintf("%s has delivered nothing since %s UTC, longer than %s.expected_interval (%s)", one.Name, since.UTC().Format(minutes), one.Key, one.Usual.ExpectedInterval),
			Fix:   "Check that the sending system works and reaches Tocsin. If the silence is normal, raise or omit expected_interval and reload Tocsin"}
	}
	return nil
}

// sourceStates returns what the sources send, for the command line.
func (b *Bot) sourceStates(context.Context) []control.SourceState {
	g, now := b.current.Load(), b.clock()
	var out []control.SourceState
	for _, one := range g.config.Sources.On() {
		state := control.SourceState{SourceTraffic: b.traffic.Of(one.Name), ExpectedInterval: one.Usual.ExpectedInterval, State: "ok"}
		var problem *health.Problem
		if errors.As(b.checkSource(g, one, now), &problem) {
			state.State, state.Cause, state.Fix = "degraded", problem.Cause, problem.Fix
		}
		if one.Limits.Off {
			state.State = "off"
		}
		out = append(out, state)
	}
	return out
}
