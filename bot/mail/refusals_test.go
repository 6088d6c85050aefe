package mail_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"tocsin/bot/incident"
	"tocsin/bot/mail"
	"tocsin/bot/sandbox/answer"
	"tocsin/bot/sandbox/mailbox"
	"tocsin/bot/secret"
)

// TestPageTo_RefusedAtEveryStage answers each command of a transaction with each kind of
// code.
func TestPageTo_RefusedAtEveryStage(t *testing.T) {
	answers := answer.NewSet()
	server, m := relay(t, mailbox.Config{Username: "tocsin", Password: "pw", Answers: answers}, func(c *mail.Config) { c.Username, c.Password = "tocsin", secret.New("pw") })
	for _, c := range []struct {
		stage string
		code  int
		cause string // "" if the error is temporary
	}{
		{"smtp.hello", 554, "refuses the connection (code 554)"}, {"smtp.hello", 421, ""},
		{"smtp.auth", 535, "refuses the sign-in (code 535)"}, {"smtp.auth", 534, "refuses the sign-in (code 534)"}, {"smtp.auth", 454, ""},
		{"smtp.mail", 530, "refuses the sign-in (code 530)"}, {"smtp.mail", 553, "does not accept the sender (code 553)"}, {"smtp.mail", 550, "does not accept the sender (code 550)"}, {"smtp.mail", 451, ""},
		{"smtp.rcpt", 550, "does not accept mail to e@example.com (code 550)"}, {"smtp.rcpt", 554, "does not accept mail to e@example.com (code 554)"}, {"smtp.rcpt", 450, ""},
		{"smtp.data", 552, "rejects the content of the mail (code 552)"}, {"smtp.data", 554, "rejects the content of the mail (code 554)"}, {"smtp.data", 452, ""},
	} {
		t.Run(fmt.Sprintf("%s %d", c.stage, c.code), func(t *testing.T) {
			answers.Clear()
			answers.Put(answer.Answer{Method: c.stage, Status: c.code, Body: "refused"})
			_, err := m.PageTo([]string{"e@example.com"})(t.Context(), brief(), page)
			blocked := new(incident.Blocked)
			if err == nil || errors.As(err, &blocked) != (c.cause != "") || errors.As(err, new(*incident.Permanent)) {
				t.Fatalf("got %v, want cause %q", err, c.cause)
			}
			if c.cause != "" && (!strings.Contains(blocked.Cause.String(), c.cause) || blocked.System != incident.SystemMail || blocked.Fix.String() == "") {
				t.Errorf("got cause %q, fix %q, want %q", blocked.Cause, blocked.Fix, c.cause)
			}
			answers.Clear()
			before := len(server.Messages())
			if _, err := m.PageTo([]string{"e@example.com"})(t.Context(), brief(), page); err != nil || len(server.Messages()) != before+1 {
				t.Errorf("after the repair: got error %v", err)
			}
		})
	}
}

func TestPostmortem_ReducedAfterRejectedContent(t *testing.T) {
	answers := answer.NewSet()
	server, m := relay(t, mailbox.Config{Answers: answers}, nil)
	answers.Put(answer.Answer{Method: "smtp.data", Status: 552, Body: "too large", Left: answer.Times(1)})
	b := brief()
	b.Document = &incident.Document{Revision: 2, Files: []incident.File{{Name: "INC-42-postmortem-r2.html", MediaType: "text/html", Content: "<p>x"}}}
	if _, err := m.Postmortem(t.Context(), b, incident.Effect{}); err != nil {
		t.Fatal(err)
	}
	if msg := onlyMessage(t, server); len(msg.Attachments) != 0 || msg.HTML != "" || !strings.Contains(msg.Text, "Left out: INC-42-postmortem-r2.html") {
		t.Errorf("got %+v, want the text alone", msg)
	}
}

func TestAcknowledgeReport_UnknownAddressIsPermanent(t *testing.T) {
	answers := answer.NewSet()
	_, m := relay(t, mailbox.Config{Answers: answers}, nil)
	reply := &incident.Reply{To: "gone@example.org", Reference: "VR-1", At: at}
	for text, permanent := range map[string]bool{"5.1.1 no such user": true, "5.7.1 relaying denied": false} {
		answers.Put(answer.Answer{Method: "smtp.rcpt", Status: 550, Body: answer.Text(text)})
		_, err := m.AcknowledgeReport(t.Context(), incident.Brief{Mark: "ack/VR-1", Reply: reply}, incident.Effect{})
		if errors.As(err, new(*incident.Permanent)) != permanent || !errors.As(err, new(*incident.Blocked)) {
			t.Errorf("%s: got %v, want permanent %v", text, err, permanent)
		}
	}
}

func TestPageTo_UntrustedCertificate(t *testing.T) {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS() // any server with a certificate that is not trusted
	defer s.Close()
	var port int
	if _, err := fmt.Sscanf(s.Listener.Addr().String(), "127.0.0.1:%d", &port); err != nil {
		t.Fatal(err)
	}
	m, err := mail.New(mail.Config{Host: "127.0.0.1", Port: port, TLS: mail.TLSImplicit, From: "tocsin@example.com"}, mail.Deps{TLSConfig: &tls.Config{ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}})
	if err != nil {
		t.Fatal(err)
	}
	blocked := new(incident.Blocked)
	if _, err := m.PageTo([]string{"e@example.com"})(t.Context(), brief(), page); !errors.As(err, &blocked) || !strings.Contains(blocked.Cause.String(), "certificate") {
		t.Errorf("got %v, want one for an administrator about the certificate", err)
	}
}
