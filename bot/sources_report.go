package bot

import (
	"context"
	"fmt"
	"net/http"
	netmail "net/mail"
	"net/url"
	"os"
	"slices"
	"time"

	"tocsin/bot/intake"
	"tocsin/bot/secret"
	"tocsin/bot/vulnreport"
)

// source returns the source of vulnerability reports. It reads the PGP keys from
// their files. from is the sender address of the bot, which is never answered.
func (c ReportSource) source(from string, clock func() time.Time) (*vulnreport.Source, error) {
	cfg := vulnreport.Config{AuthServID: c.AuthServID, Clock: clock, AnswerForm: c.Form != nil && c.Form.Acknowledge}
	if m := c.Mailbox; m != nil {
		cfg.AnswerMail, cfg.Own = m.Acknowledge, slices.Clone(m.Aliases)
		if _, err := netmail.ParseAddress(m.Username); err == nil {
			cfg.Own = append(cfg.Own, m.Username)
		}
		if a, err := netmail.ParseAddress(from); err == nil && len(cfg.Own) > 0 {
			cfg.Own = append(cfg.Own, a.Address)
		}
	}
	for n, k := range c.Keys {
		armored, err := os.ReadFile(k.File)
		if err != nil {
			return nil, fmt.Errorf("sources.report.pgp_keys[%d].file: %w", n, err)
		}
		cfg.Keys = append(cfg.Keys, vulnreport.Key{Armored: secret.New(string(armored)), Passphrase: k.Passphrase})
	}
	for n, name := range c.Signers {
		armored, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("sources.report.pgp_signers[%d]: %w", n, err)
		}
		cfg.Signers = append(cfg.Signers, string(armored))
	}
	s, err := vulnreport.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("sources.report: %w", err)
	}
	return s, nil
}

// openReports creates the report form, security.txt and the mailbox, if
// configured.
func (b *Bot) openReports() (err error) {
	c := b.start.Sources.Report
	deliver := func(ctx context.Context, id string, header map[string]string, body []byte, sender string) error {
		return b.edge.Deliver(ctx, intake.Delivery{Source: "report", ID: id, Header: header, Body: body, Sender: sender,
			Verified: "not authenticated, because anyone may send a report"})
	}
	if f := c.Form; f != nil {
		b.reportForm, err = vulnreport.NewForm(vulnreport.FormConfig{Deliver: deliver, Company: f.Company, Policy: f.Policy, Contact: f.Contact, TrustedOrigins: f.TrustedOrigins,
			Sender: func(r *http.Request) string { return b.admission.Sender(r).String() }, Clock: b.clock, Logger: b.log})
		if err != nil {
			return fmt.Errorf("sources.report.form: %w", err)
		}
	}
	if c.SecurityTxt != nil {
		if b.securityTxt, err = vulnreport.NewSecurityFile(c.SecurityTxt.config(), b.clock); err != nil {
			return fmt.Errorf("sources.report.security_txt: %w", err)
		}
	}
	if m := c.Mailbox; m != nil {
		cfg := m.config(deliver)
		cfg.Clock, cfg.Logger = b.clock, b.log
		if b.mailbox, err = vulnreport.NewMailbox(cfg); err != nil {
			return fmt.Errorf("sources.report.mailbox: %w", err)
		}
	}
	return nil
}

func (s SecurityTxt) config() vulnreport.SecurityTxt {
	return vulnreport.SecurityTxt{Contacts: s.Contacts, Expires: s.Expires.Time, Encryption: s.Encryption, Policy: s.Policy, Acknowledgments: s.Acknowledgments,
		Languages: s.Languages, Canonical: s.Canonical, Hiring: s.Hiring}
}

func (m ReportMailbox) config(deliver vulnreport.Deliver) vulnreport.MailboxConfig {
	return vulnreport.MailboxConfig{Address: m.Address, TLS: m.TLS, Username: m.Username, Password: m.Password, Folder: m.Folder, Poll: m.Poll,
		MaxMessage: m.MaxMessage, Deliver: deliver}
}

func (c ReportSource) validate(hasMail bool, f *ConfigErrors) {
	if c.Form != nil && c.Form.Acknowledge && !hasMail {
		f.add("sources.report.form.acknowledge", "needs mail. Configure mail, or omit the key")
	}
	if c.Mailbox != nil && c.Mailbox.Acknowledge && !hasMail {
		f.add("sources.report.mailbox.acknowledge", "needs mail. Configure mail, or omit the key")
	}
	if c.Form != nil || c.Mailbox != nil {
		if _, err := c.source("", time.Now); err != nil {
			f.add("sources.report.pgp_keys", "%v", err)
		}
	}
	discard := func(context.Context, string, map[string]string, []byte, string) error { return nil }
	if c.Form != nil {
		if c.Form.Company == "" {
			f.add("sources.report.form.company", "is missing. Write the name of the company, which the form shows")
		}
		for key, address := range map[string]string{"policy": c.Form.Policy, "contact": c.Form.Contact} {
			if u, err := url.Parse(address); address != "" && (err != nil || u.Scheme != "https" && u.Scheme != "mailto") {
				f.add("sources.report.form."+key, "is not an https: or mailto: URL. Write one such as https://example.com/security")
			}
		}
		if _, err := vulnreport.NewForm(vulnreport.FormConfig{Deliver: discard, Company: c.Form.Company, Policy: c.Form.Policy, Contact: c.Form.Contact, TrustedOrigins: c.Form.TrustedOrigins}); err != nil {
			f.add("sources.report.form", "%v", err)
		}
	}
	if c.SecurityTxt != nil {
		if _, err := vulnreport.NewSecurityFile(c.SecurityTxt.config(), nil); err != nil {
			f.add("sources.report.security_txt", "%v", err)
		}
	}
	if c.Mailbox != nil {
		for n, alias := range c.Mailbox.Aliases {
			if a, err := netmail.ParseAddress(alias); err != nil || a.Address != alias {
				f.add(fmt.Sprintf("sources.report.mailbox.aliases[%d]", n), "is not a plain mail address. Write one such as security@example.com, without a name")
			}
		}
		if _, err := vulnreport.NewMailbox(c.Mailbox.config(discard)); err != nil {
			f.add("sources.report.mailbox", "%v", err)
		}
	}
}
