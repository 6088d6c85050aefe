package mail_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tocsin/bot/incident"
	"tocsin/bot/mail"
	"tocsin/bot/sandbox/mailbox"
	"tocsin/bot/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// relay returns a mailbox and a Mailer that sends to it.
func relay(t *testing.T, box mailbox.Config, change func(*mail.Config)) (*mailbox.Mailbox, *mail.Mailer) {
	t.Helper()
	server := mailbox.New(box)
	addr, err := server.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	host, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port)
	cfg := mail.Config{
		Host: host, Port: n, TLS: mail.TLSNone, From: "Tocsin Wächter <tocsin@example.com>",
		Postmortems: []string{"all@example.com", "All <ALL@example.com>"},
	}
	if change != nil {
		change(&cfg)
	}
	m, err := mail.New(cfg, mail.Deps{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return server, m
}

var at = time.Date(2026, 11, 3, 2, 31, 0, 0, time.UTC)

func brief() incident.Brief {
	return incident.Brief{
		Incident: incident.Incident{
			ID: 42, Status: incident.Approved, Severity: incident.Sev2, Title: "Schlüssel öffentlich", OpenedAt: at, Commander: "p1",
			Roles:  map[incident.Role]incident.PersonID{incident.Commander: "p1", "handler": "p2"},
			Alerts: []incident.AlertRef{{Level: incident.LevelHigh, Title: "AKIA in a public repository", URL: "https://example.com/a/1"}},
			Head:   incident.Head{Seq: 9, Hash: "abc"}, Record: incident.ClosingRecord{Audience: incident.AudienceAll},
		},
		Event: incident.Event{Seq: 9, RecordedAt: at.Add(time.Minute)},
		Directory: incident.Directory{
			People: []incident.Person{
				{ID: "p1", Name: "Ana \"Ace\" Lima", Identities: []incident.Identity{{Provider: incident.ProviderMail, ID: "ana@example.com"}}},
				{ID: "p2", Name: "Ben Ode", Identities: []incident.Identity{{Provider: incident.ProviderMail, ID: "ben@example.com"}}},
				{ID: "p3", Name: "Cy", Identities: []incident.Identity{{Provider: incident.ProviderSlack, ID: "U3"}}},
				{ID: "p4", Name: "Di", Identities: []incident.Identity{{Provider: incident.ProviderMail, ID: "di@example.com"}}},
			},
			Teams: []incident.Team{{Name: incident.Legal, Head: "p4", Members: []incident.Membership{{Person: "p4"}}}, {Name: incident.Security, Head: "p3", Members: []incident.Membership{{Person: "p2"}}}},
		},
		Now: at.Add(2 * time.Minute), Attempt: 1, Mark: "INC-42/page/1/1",
	}
}

var page = incident.Effect{Key: "INC-42/page/1/1", Kind: incident.EffectPage, Incident: 42, Args: map[string]string{"round": "1", "escalation_step": "1"}}

func onlyMessage(t *testing.T, server *mailbox.Mailbox) mailbox.Message {
	t.Helper()
	all := server.Messages()
	if len(all) != 1 {
		t.Fatalf("got %d messages, want 1", len(all))
	}
	if all[0].Problem != "" {
		t.Fatalf("got an invalid message: %s\n%s", all[0].Problem, all[0].Raw)
	}
	return all[0]
}

func TestPageTo(t *testing.T) {
	server, m := relay(t, mailbox.Config{}, nil)
	cmd, err := m.PageTo([]string{"emergency@example.com", "Night <night@example.com>"})(t.Context(), brief(), page)
	if err != nil {
		t.Fatal(err)
	}
	if cmd.Verb != incident.VerbPaged || cmd.Round != 1 || cmd.EscalationStep != 1 || cmd.For != 42 {
		t.Errorf("got command %+v", cmd)
	}
	msg := onlyMessage(t, server)
	if msg.Subject != "INC-42 sev2: security incident" || msg.Header["X-Tocsin-Timeline"][0] != "9 abc" || msg.HTML == "" || msg.From != "Tocsin Wächter <tocsin@example.com>" || len(msg.Recipients) != 2 ||
		msg.MessageID != "INC-42.page.1.1@example.com" || msg.Header["Date"][0] != "Tue, 03 Nov 2026 02:32:00 +0000" {
		t.Errorf("got message %+v", msg)
	}
	for _, want := range []string{"Schlüssel öffentlich", "AKIA in a public repository", "/incident ack INC-42"} {
		if !strings.Contains(msg.Text, want) {
			t.Errorf("got text\n%s\nwant it to contain %q", msg.Text, want)
		}
	}
}

func TestPageTo_RestrictedIncident(t *testing.T) {
	server, m := relay(t, mailbox.Config{}, nil)
	b := brief()
	b.Incident.Restricted = true
	if _, err := m.PageTo([]string{"e@example.com"})(t.Context(), b, page); err != nil {
		t.Fatal(err)
	}
	msg := onlyMessage(t, server)
	if msg.Subject != "INC-42 sev2: security incident" {
		t.Errorf("got subject %q", msg.Subject)
	}
	for _, word := range []string{"ffentlich", "AKIA", "https://"} {
		if strings.Contains(string(msg.Raw), word) || strings.Contains(msg.Text, word) || strings.Contains(msg.HTML, word) {
			t.Errorf("page of a restricted incident contains %q", word)
		}
	}
}

func TestPageTo_RetryHasEqualMessageID(t *testing.T) {
	server, m := relay(t, mailbox.Config{}, nil)
	server.SetFaults(mailbox.Rule{Fault: mailbox.FaultDrop, Times: 1})
	send := m.PageTo([]string{"e@example.com"})
	if _, err := send(t.Context(), brief(), page); err == nil {
		t.Fatal("lost response: got no error, want one")
	}
	b := brief()
	b.Attempt, b.Now = 2, at.Add(time.Hour)
	if _, err := send(t.Context(), b, page); err != nil {
		t.Fatal(err)
	}
	if c := server.Counts(); len(c) != 1 || c["INC-42.page.1.1@example.com"] != 2 {
		t.Errorf("got messages by id %v, want one id with two messages", c)
	}
	if all := server.Messages(); len(all) != 2 || all[0].Text != all[1].Text || all[0].Header["Date"][0] != all[1].Header["Date"][0] {
		t.Error("retry sent a different message")
	}
}

// TestWithdrawPage checks that each target gets one mail about the end of a page: at the
// acknowledgement, or at the end of an unacknowledged incident.
func TestWithdrawPage(t *testing.T) {
	acknowledged := incident.Paging{Round: 2, AcknowledgedBy: "p1"}
	for name, c := range map[string]struct {
		kind   incident.EffectKind
		round  string
		status incident.Status
		paging incident.Paging
		want   string // in the text, or "" for no mail
	}{
		"acknowledged":                      {incident.EffectPageAck, "2", incident.Active, acknowledged, "Lima acknowledged the incident"},
		"dismissed":                         {incident.EffectPageResolve, "2", incident.Dismissed, incident.Paging{Round: 2}, "the incident is dismissed"},
		"resolved after an acknowledgement": {incident.EffectPageResolve, "2", incident.Resolved, acknowledged, ""},
		"an earlier round":                  {incident.EffectPageAck, "1", incident.Active, acknowledged, ""},
	} {
		t.Run(name, func(t *testing.T) {
			server, m := relay(t, mailbox.Config{}, nil)
			b := brief()
			b.Incident.Status, b.Incident.Paging = c.status, c.paging
			b.Incident.Pages = []incident.PageRef{{Round: 1, EscalationStep: 1}, {Round: 2, EscalationStep: 1}}
			e := incident.Effect{Kind: c.kind, Incident: 42, Args: map[string]string{"round": c.round, "escalation_step": "1"}}
			if _, err := m.WithdrawPage([]string{"night@example.com"})(t.Context(), b, e); err != nil {
				t.Fatal(err)
			}
			if c.want == "" {
				if n := len(server.Messages()); n != 0 {
					t.Errorf("got %d mails, want none", n)
				}
				return
			}
			msg := onlyMessage(t, server)
			if !strings.Contains(msg.Text, c.want) || !strings.Contains(msg.Subject, "INC-42 no longer needs a responder") || fmt.Sprint(msg.Header["In-Reply-To"]) != "[<INC-42.page.2.1@example.com>]" {
				t.Errorf("got subject %q, In-Reply-To %v and text %s", msg.Subject, msg.Header["In-Reply-To"], msg.Text)
			}
		})
	}
}

func TestPageTo_ErrorTypes(t *testing.T) {
	server, m := relay(t, mailbox.Config{}, nil)
	send := m.PageTo([]string{"e@example.com"})
	for fault, refused := range map[mailbox.Fault]bool{
		mailbox.FaultTemporary: false, mailbox.FaultBusy: false, mailbox.FaultOffline: false, mailbox.FaultPermanent: true,
	} {
		for _, stage := range []string{mailbox.StageData, mailbox.StageRcpt} {
			server.SetFaults(mailbox.Rule{Fault: fault, Stage: stage})
			_, err := send(t.Context(), brief(), page)
			if err == nil || errors.As(err, new(*incident.Blocked)) != refused || errors.As(err, new(*incident.Permanent)) {
				t.Errorf("%s at %s: got error %v, want one for an administrator: %v", fault, stage, err, refused)
			}
		}
	}
	server.SetFaults(mailbox.Rule{Fault: mailbox.FaultSilence})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := send(ctx, brief(), page); err == nil || errors.As(err, new(*incident.Blocked)) {
		t.Errorf("silent server: got error %v, want a temporary one", err)
	}
	if n := len(server.Messages()); n != 0 {
		t.Errorf("got %d messages, want none", n)
	}
}

func TestPostmortem(t *testing.T) {
	server, m := relay(t, mailbox.Config{}, nil)
	b := brief()
	b.Mark = "INC-42/17/mail_postmortem"
	b.Document = &incident.Document{Revision: 2, Files: []incident.File{
		{Name: "INC-42-postmortem-r2.html", MediaType: "text/html", Content: "<!doctype html><p>Ä"},
		{Name: "INC-42-postmortem-r2.md", MediaType: "text/markdown", Content: "# Postmortem\n\nÄ line.\n.\nFrom here"},
	}}
	if _, err := m.Postmortem(t.Context(), b, incident.Effect{}); err != nil {
		t.Fatal(err)
	}
	msg := onlyMessage(t, server)
	if msg.Subject != "[SEV2] INC-42 postmortem, revision 2: Schlüssel öffentlich" || len(msg.Recipients) != 1 || msg.Recipients[0] != "all@example.com" {
		t.Errorf("got subject %q, recipients %v", msg.Subject, msg.Recipients)
	}
	want := []mailbox.Attachment{
		{Name: "INC-42-postmortem-r2.html", Type: "text/html", Content: []byte(b.Document.Files[0].Content)},
		{Name: "INC-42-postmortem-r2.md", Type: "text/markdown", Content: []byte(b.Document.Files[1].Content)},
	}
	if len(msg.Attachments) != len(want) {
		t.Fatalf("got attachments %+v", msg.Attachments)
	}
	for i, got := range msg.Attachments {
		if got.Name != want[i].Name || got.Type != want[i].Type || string(got.Content) != string(want[i].Content) {
			t.Errorf("got attachment %s %s %q", got.Name, got.Type, got.Content)
		}
	}
	if _, err := m.Postmortem(t.Context(), brief(), incident.Effect{}); !errors.As(err, new(*incident.Permanent)) {
		t.Errorf("no document: got error %v, want a permanent one", err)
	}
}

func TestPostmortem_Audience(t *testing.T) {
	for audience, want := range map[incident.Audience]string{
		incident.AudienceAll:           "[all@example.com]",
		incident.AudienceLegalSecurity: "[di@example.com ben@example.com]",
		incident.AudienceResponders:    "[ana@example.com ben@example.com di@example.com]",
	} {
		server, m := relay(t, mailbox.Config{}, nil)
		b := brief()
		b.Incident.Record.Audience = audience
		b.Document = &incident.Document{Revision: 1, Files: []incident.File{{Name: "x.md", MediaType: "text/markdown", Content: "x"}}}
		if _, err := m.Postmortem(t.Context(), b, incident.Effect{}); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(onlyMessage(t, server).Recipients); got != want {
			t.Errorf("%s: got recipients %s, want %s", audience, got, want)
		}
	}
	server, m := relay(t, mailbox.Config{}, func(c *mail.Config) { c.Postmortems = nil })
	b := brief()
	b.Document = &incident.Document{Revision: 1, Files: []incident.File{{Name: "x.md", MediaType: "text/markdown", Content: "x"}}}
	if _, err := m.Postmortem(t.Context(), b, incident.Effect{}); err != nil || len(server.Messages()) != 0 {
		t.Errorf("no list configured: got error %v, want no mail and no error", err)
	}
}

func TestPageTo_HeaderInjection(t *testing.T) {
	for _, title := range []string{"x\r\nBcc: evil@example.com", "x\nX-Evil: 1", "x\r\n\r\nbody", "\x00x", strings.Repeat("ü\r\n Bcc: e@example.com ", 50)} {
		server, m := relay(t, mailbox.Config{}, nil)
		b := brief()
		b.Incident.Title = title
		b.Mark = "INC-42\r\nBcc: evil@example.com"
		if _, err := m.PageTo([]string{"e@example.com"})(t.Context(), b, page); err != nil {
			t.Fatalf("%q: got error %v", title, err)
		}
		msg := onlyMessage(t, server)
		if len(msg.Recipients) != 1 || msg.Header["Bcc"] != nil || msg.Header["X-Evil"] != nil || strings.HasPrefix(msg.Text, "body") || !strings.HasSuffix(msg.MessageID, "@example.com") {
			t.Errorf("%q: got header %v", title, msg.Header)
		}
	}
}

func TestMailer_Authentication(t *testing.T) {
	box := mailbox.Config{Username: "tocsin", Password: "pw"}
	server, m := relay(t, box, func(c *mail.Config) { c.Username, c.Password = "tocsin", secret.New("pw") })
	if _, err := m.PageTo([]string{"e@example.com"})(t.Context(), brief(), page); err != nil || len(server.Messages()) != 1 {
		t.Errorf("correct password: got error %v", err)
	}
	_, m = relay(t, box, func(c *mail.Config) { c.Username, c.Password = "tocsin", secret.New("hunter2") })
	if _, err := m.PageTo([]string{"e@example.com"})(t.Context(), brief(), page); !errors.As(err, new(*incident.Blocked)) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("wrong password: got error %v, want one for an administrator without the password", err)
	}
}

func TestMailer_MandatoryTLS(t *testing.T) {
	server, m := relay(t, mailbox.Config{}, func(c *mail.Config) { c.TLS = mail.TLSMandatory })
	if _, err := m.PageTo([]string{"e@example.com"})(t.Context(), brief(), page); err == nil {
		t.Error("relay without TLS: got no error, want one")
	}
	if len(server.Attempts()) != 0 {
		t.Error("relay without TLS: got a message, want none")
	}
}

func TestNew_ReportsAllProblems(t *testing.T) {
	_, err := mail.New(mail.Config{Port: 70000, TLS: "ssl", From: "nobody", Postmortems: []string{"a@example.com", "b"}}, mail.Deps{})
	if err == nil {
		t.Fatal("got no error, want one")
	}
	for _, want := range []string{"host:", "port:", "tls:", "from:", "postmortems[1]:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got error %q, want it to contain %s", err, want)
		}
	}
	_, m := relay(t, mailbox.Config{}, nil)
	if _, err := m.PageTo([]string{"nobody"})(t.Context(), brief(), page); !errors.As(err, new(*incident.Blocked)) {
		t.Errorf("no valid address: got error %v, want one for an administrator", err)
	}
}
