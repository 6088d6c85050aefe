package mailbox_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wneessen/go-mail"
	"go.uber.org/goleak"

	"tocsin/bot/sandbox/mailbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, cfg mailbox.Config) (*mailbox.Mailbox, string) {
	t.Helper()
	box := mailbox.New(cfg)
	addr, err := box.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	})
	return box, addr
}

func client(t *testing.T, addr string, options ...mail.Option) *mail.Client {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	c, err := mail.NewClient(host, append([]mail.Option{mail.WithPort(n), mail.WithTLSPolicy(mail.NoTLS), mail.WithHELO("tocsin.test")}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func message(t *testing.T, id string) *mail.Msg {
	t.Helper()
	m := mail.NewMsg()
	if err := errors.Join(m.FromFormat("Tocsin", "tocsin@example.com"), m.To("Ana Límä <ana@example.com>"), m.Cc("ben@example.com"), m.Bcc("cleo@example.com")); err != nil {
		t.Fatal(err)
	}
	m.SetMessageIDWithValue(id)
	m.Subject("INC-42 – Überprüfung am Montag, mit allen, die dabei gewesen sind, und denen, die es wissen sollten")
	m.SetBodyString(mail.TypeTextPlain, "Schlüssel gesperrt.\n.\nEnde")
	return m
}

func timeoutContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestMailbox_StoresParts(t *testing.T) {
	box, addr := open(t, mailbox.Config{})
	m := message(t, "inc-42.1@tocsin")
	m.AddAlternativeString(mail.TypeTextHTML, "<p>Schlüssel gesperrt.</p>")
	m.AddAlternativeString("text/calendar; method=REQUEST", "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n")
	if err := m.AttachReader("postmortem für alle.md", strings.NewReader("# INC-42\n")); err != nil {
		t.Fatal(err)
	}
	if err := client(t, addr).DialAndSendWithContext(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	all := box.Messages()
	if len(all) != 1 {
		t.Fatalf("got %d messages, want 1", len(all))
	}
	got := all[0]
	if got.Sender != "tocsin@example.com" || strings.Join(got.Recipients, " ") != "ana@example.com ben@example.com cleo@example.com" {
		t.Errorf("wrong envelope: %q %q", got.Sender, got.Recipients)
	}
	if got.From != `"Tocsin" <tocsin@example.com>` || strings.Join(got.To, ", ") != "Ana Límä <ana@example.com>, ben@example.com" {
		t.Errorf("wrong header: %q %q", got.From, got.To)
	}
	if got.MessageID != "inc-42.1@tocsin" || !strings.HasPrefix(got.Subject, "INC-42 – Überprüfung") || !strings.HasSuffix(got.Subject, "sollten") {
		t.Errorf("wrong message ID or subject: %q %q", got.MessageID, got.Subject)
	}
	if strings.ReplaceAll(got.Text, "\r\n", "\n") != "Schlüssel gesperrt.\n.\nEnde" || got.HTML != "<p>Schlüssel gesperrt.</p>" || got.Problem != "" {
		t.Errorf("wrong body: text %q html %q problem %q", got.Text, got.HTML, got.Problem)
	}
	if cal, ok := got.Calendar(); !ok || cal.Params["method"] != "REQUEST" || !strings.HasPrefix(string(cal.Content), "BEGIN:VCALENDAR") {
		t.Errorf("wrong calendar: %+v", cal)
	}
	last := got.Attachments[len(got.Attachments)-1]
	if len(got.Attachments) != 2 || last.Name != "postmortem für alle.md" || string(last.Content) != "# INC-42\n" {
		t.Errorf("wrong attachments: %+v", got.Attachments)
	}
	if len(box.For("CLEO@example.com")) != 1 || len(box.For("dora@example.com")) != 0 {
		t.Error("For does not match the envelope recipients")
	}
}

func TestMailbox_Counts(t *testing.T) {
	box, addr := open(t, mailbox.Config{})
	c := client(t, addr)
	for _, id := range []string{"a@tocsin", "b@tocsin", "a@tocsin"} {
		if err := c.DialAndSendWithContext(t.Context(), message(t, id)); err != nil {
			t.Fatal(err)
		}
	}
	if n := box.Counts(); n["a@tocsin"] != 2 || n["b@tocsin"] != 1 || len(n) != 2 {
		t.Fatalf("got %v, want a@tocsin:2 b@tocsin:1", n)
	}
}

func TestMailbox_Faults(t *testing.T) {
	for _, tc := range []struct {
		rule   mailbox.Rule
		code   int // 0 means no reply
		temp   bool
		stored bool
	}{
		{mailbox.Rule{Fault: mailbox.FaultBusy}, 421, true, false},
		{mailbox.Rule{Fault: mailbox.FaultTemporary}, 451, true, false},
		{mailbox.Rule{Fault: mailbox.FaultPermanent}, 550, false, false},
		{mailbox.Rule{Fault: mailbox.FaultPermanent, Stage: mailbox.StageRcpt, To: "ben@example.com"}, 550, false, false},
		{mailbox.Rule{Fault: mailbox.FaultDrop}, 0, false, true},
		{mailbox.Rule{Fault: mailbox.FaultLate, Delay: time.Millisecond}, 250, false, true},
		{mailbox.Rule{Fault: mailbox.FaultOffline}, 0, false, false},
	} {
		t.Run(string(tc.rule.Fault)+tc.rule.Stage, func(t *testing.T) {
			box, addr := open(t, mailbox.Config{})
			tc.rule.Times = 1
			box.SetFaults(tc.rule)
			c := client(t, addr)
			err := c.DialAndSendWithContext(t.Context(), message(t, "x@tocsin"))
			var sendErr *mail.SendError
			if (err == nil) != (tc.code == 250) {
				t.Fatalf("send: got error %v, want reply %d", err, tc.code)
			}
			if tc.code > 250 && (!errors.As(err, &sendErr) || sendErr.ErrorCode() != tc.code || sendErr.IsTemp() != tc.temp) {
				t.Errorf("got %v, want code %d, temporary %v", err, tc.code, tc.temp)
			}
			if got := len(box.Messages()) == 1; got != tc.stored {
				t.Errorf("stored: got %v, want %v", got, tc.stored)
			}
			if log := box.Attempts(); tc.rule.Fault != mailbox.FaultOffline && (len(log) != 1 || log[0].Code != tc.code || log[0].Stored != tc.stored || log[0].Fault != tc.rule.Fault) {
				t.Errorf("wrong log: %+v", log)
			}
			if err := c.DialAndSendWithContext(t.Context(), message(t, "x@tocsin")); err != nil {
				t.Errorf("second send: %v", err)
			}
		})
	}
}

func TestFaultSilence_SenderTimesOut(t *testing.T) {
	box, addr := open(t, mailbox.Config{})
	box.SetFaults(mailbox.Rule{Fault: mailbox.FaultSilence})
	err := client(t, addr, mail.WithTimeout(50*time.Millisecond)).DialAndSendWithContext(t.Context(), message(t, "x@tocsin"))
	if err == nil {
		t.Fatal("got a reply, want a timeout")
	}
	if err := box.Until(timeoutContext(t), func() bool { return len(box.Attempts()) == 1 }); err != nil {
		t.Fatal(err)
	}
	if at := box.Attempts()[0]; at.Stored || at.Code != 0 {
		t.Fatalf("attempt: got %+v, want no reply and nothing stored", at)
	}
}

func TestClose_EndsSilence(t *testing.T) {
	box := mailbox.New(mailbox.Config{})
	addr, err := box.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	box.SetFaults(mailbox.Rule{Fault: mailbox.FaultSilence})
	sent := make(chan error, 1)
	c := client(t, addr)
	go func() { sent <- c.DialAndSend(message(t, "x@tocsin")) }()
	if err := box.Until(timeoutContext(t), func() bool { return len(box.Attempts()) == 1 }); err != nil {
		t.Fatal(err)
	}
	if err := box.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err == nil {
		t.Fatal("send to a closed mailbox succeeded")
	}
}

func TestMailbox_AuthAndSTARTTLS(t *testing.T) {
	cert, pool := certificate(t)
	box, addr := open(t, mailbox.Config{Username: "tocsin", Password: "s3cret", TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	secure := []mail.Option{mail.WithTLSPolicy(mail.TLSMandatory), mail.WithTLSConfig(&tls.Config{RootCAs: pool, ServerName: "127.0.0.1"})}
	login := func(password string) []mail.Option {
		return append(secure[:2:2], mail.WithSMTPAuth(mail.SMTPAuthPlain), mail.WithUsername("tocsin"), mail.WithPassword(password))
	}
	if err := client(t, addr, login("s3cret")...).DialAndSendWithContext(t.Context(), message(t, "a@tocsin")); err != nil {
		t.Errorf("right password: %v", err)
	}
	if err := client(t, addr, login("wrong")...).DialAndSendWithContext(t.Context(), message(t, "b@tocsin")); err == nil {
		t.Error("a wrong password was accepted")
	}
	if err := client(t, addr, secure...).DialAndSendWithContext(t.Context(), message(t, "c@tocsin")); err == nil {
		t.Error("a sender without AUTH was accepted")
	}
	if n := len(box.Messages()); n != 1 {
		t.Errorf("got %d messages, want 1", n)
	}
}

func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestParse_Malformed(t *testing.T) {
	for name, raw := range map[string]string{
		"no header":     "\x00\xff not a mail",
		"cut multipart": "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhalf",
		"bad base64":    "Content-Transfer-Encoding: base64\r\n\r\n!!!",
		"nested deeply": nested(40),
	} {
		if m := mailbox.Parse([]byte(raw)); m.Problem == "" || string(m.Raw) != raw {
			t.Errorf("%s: got problem %q and %d raw bytes, want a problem and all bytes", name, m.Problem, len(m.Raw))
		}
	}
	latin := mailbox.Parse([]byte("Content-Type: text/plain; charset=ISO-8859-1\r\n\r\ncaf\xe9"))
	if latin.Text != "café" {
		t.Errorf("latin-1: got %q, want %q", latin.Text, "café")
	}
}

// nested returns depth nested multiparts, each with a different boundary.
func nested(depth int) string {
	var b strings.Builder
	for i := range depth {
		n := strconv.Itoa(i)
		b.WriteString("Content-Type: multipart/mixed; boundary=b" + n + "x\r\n\r\n--b" + n + "x\r\n")
	}
	return b.String()
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("From: a\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\nx\r\n--b--"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if m := mailbox.Parse(raw); len(m.Raw) != len(raw) {
			t.Fatalf("got %d raw bytes, want %d", len(m.Raw), len(raw))
		}
	})
}
