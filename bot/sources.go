package bot

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"tocsin/bot/config"
	"tocsin/bot/intake"
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
	b.edge = intake.New(intake.Options{Store: b.store, Desk: liveDesk{&b.current}, Sources: all, Limits: limits, Admission: b.admission, Clock: b.clock, Logger: b.log, Observer: b.metrics})
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

// registerPublic registers the report form and security.txt, if configured.
func (b *Bot) registerPublic(mux *http.ServeMux) {
	if b.reportForm != nil {
		mux.Handle("/report", b.admission.Limit(vulnreport.MaxFormBytes, b.reportForm))
	}
	if b.securityTxt != nil {
		mux.Handle("GET /.well-known/security.txt", b.securityTxt)
	}
}
