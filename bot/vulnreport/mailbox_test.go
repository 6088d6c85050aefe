package vulnreport_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap"
	"github.com/emersion/go-imap/backend"
	"github.com/emersion/go-imap/backend/memory"
	"github.com/emersion/go-imap/server"
	"go.uber.org/goleak"

	"tocsin/bot/secret"
	"tocsin/bot/vulnreport"
)

func TestMain(m *testing.M) {
	// The test server never stops the goroutine that reads its updates.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/emersion/go-imap/server.(*Server).listenUpdates"))
}

// imapServer is an IMAP server with one mailbox. It records the flag changes that the
// client makes.
type imapServer struct {
	*memory.Backend
	mu      sync.Mutex
	box     backend.Mailbox
	updates chan backend.Update
	events  chan string   // flag changes and deliveries, in order
	idling  chan struct{} // receives a value when the client starts to idle
	addr    string
}

func (p *imapServer) Updates() <-chan backend.Update { return p.updates }

func (p *imapServer) Login(c *imap.ConnInfo, user, password string) (backend.User, error) {
	u, err := p.Backend.Login(c, user, password)
	if err != nil {
		return nil, err
	}
	return account{u, p}, nil
}

type account struct {
	backend.User
	server *imapServer
}

func (a account) GetMailbox(name string) (backend.Mailbox, error) {
	m, err := a.User.GetMailbox(name)
	if err != nil {
		return nil, err
	}
	return folder{m, a.server}, nil
}

// folder makes the in-memory mailbox safe for concurrent connections.
type folder struct {
	backend.Mailbox
	server *imapServer
}

func (f folder) Status(items []imap.StatusItem) (*imap.MailboxStatus, error) {
	f.server.mu.Lock()
	defer f.server.mu.Unlock()
	return f.Mailbox.Status(items)
}

func (f folder) ListMessages(uid bool, set *imap.SeqSet, items []imap.FetchItem, ch chan<- *imap.Message) error {
	f.server.mu.Lock()
	defer f.server.mu.Unlock()
	return f.Mailbox.ListMessages(uid, set, items, ch)
}

func (f folder) SearchMessages(uid bool, c *imap.SearchCriteria) ([]uint32, error) {
	f.server.mu.Lock()
	defer f.server.mu.Unlock()
	return f.Mailbox.SearchMessages(uid, c)
}

func (f folder) UpdateMessagesFlags(uid bool, set *imap.SeqSet, op imap.FlagsOp, flags []string) error {
	f.server.mu.Lock()
	err := f.Mailbox.UpdateMessagesFlags(uid, set, op, flags)
	f.server.mu.Unlock()
	sign := "+"
	if op == imap.RemoveFlags {
		sign = "-"
	}
	f.server.events <- sign + strings.Join(flags, " ")
	return err
}

// put adds a mail to the mailbox.
func (p *imapServer) put(t *testing.T, flags []string, lines ...string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.box.CreateMessage(flags, time.Now(), literal(strings.Join(lines, "\r\n"))); err != nil {
		t.Fatal(err)
	}
}

// announce notifies the client of a new mail.
func (p *imapServer) announce(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	status, err := p.box.Status([]imap.StatusItem{imap.StatusMessages})
	p.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	p.updates <- &backend.MailboxUpdate{Update: backend.NewUpdate("", "INBOX"), MailboxStatus: status}
}

// idleListener is a listener whose connections report when the client starts to idle.
type idleListener struct {
	net.Listener
	idling chan struct{}
}

func (l idleListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return idleConn{c, l.idling}, err
}

type idleConn struct {
	net.Conn
	idling chan struct{}
}

func (c idleConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if bytes.Contains(b, []byte("+ idling")) {
		c.idling <- struct{}{}
	}
	return n, err
}

type body struct {
	*strings.Reader
	n int
}

func (b body) Len() int { return b.n }

func literal(s string) imap.Literal { return body{strings.NewReader(s), len(s)} }

// newIMAPServer starts a server, with TLS unless tlsConfig is nil.
func newIMAPServer(t *testing.T, tlsConfig *tls.Config) *imapServer {
	t.Helper()
	p := &imapServer{Backend: memory.New(), updates: make(chan backend.Update, 10), events: make(chan string, 100), idling: make(chan struct{}, 100)}
	u, err := p.Backend.Login(nil, "username", "password")
	if err != nil {
		t.Fatal(err)
	}
	if p.box, err = u.GetMailbox("INBOX"); err != nil {
		t.Fatal(err)
	}
	s := server.New(p)
	s.AllowInsecureAuth, s.ErrorLog = true, log.New(io.Discard, "", 0)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	l = idleListener{l, p.idling}
	if tlsConfig != nil {
		l = tls.NewListener(l, tlsConfig)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return p
}

// expect waits for the given events in order.
func (p *imapServer) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case got := <-p.events:
			if got != w {
				t.Fatalf("got event %q, want %q", got, w)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("got no event within 20s, want %q", w)
		}
	}
}

// mailboxTest receives the deliveries of a Mailbox that reads imapServer.
type mailboxTest struct {
	*imapServer
	mu     sync.Mutex
	fail   int // number of deliveries to reject first
	stored []delivery
}

type delivery struct {
	id     string
	header map[string]string
	body   string
}

func (a *mailboxTest) deliver(_ context.Context, id string, header map[string]string, body []byte, _ string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fail > 0 {
		a.fail--
		a.events <- "not stored"
		return errors.New("disk full")
	}
	if !slices.ContainsFunc(a.stored, func(s delivery) bool { return s.id == id }) {
		a.stored = append(a.stored, delivery{id, header, string(body)})
	}
	a.events <- "stored"
	return nil
}

// run runs a Mailbox until the test ends.
func (a *mailboxTest) run(t *testing.T, change func(*vulnreport.MailboxConfig, *vulnreport.Deps)) *vulnreport.Mailbox {
	t.Helper()
	c := vulnreport.MailboxConfig{Address: a.addr, TLS: "none", Username: "username", Password: secret.New("password"), Poll: time.Hour}
	d := vulnreport.Deps{Deliver: a.deliver, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&c, &d)
	}
	m, err := vulnreport.NewMailbox(c, d)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: got error %v", err)
		}
	})
	return m
}

var first = []string{"From: Ann <ann@example.org>", "To: security@example.com", "Subject: A vulnerability", "Message-ID: <1@example.org>",
	"Content-Type: text/plain; charset=utf-8", "", "It is open."}

func TestMailbox_MarksSeenAfterStoring(t *testing.T) {
	a := &mailboxTest{imapServer: newIMAPServer(t, nil)}
	a.put(t, nil, first...)
	a.run(t, nil)
	a.expect(t, "stored", `+\Seen`)
	got := a.stored[0]
	if got.body != strings.Join(first, "\r\n") || got.header["X-Report-Via"] != "mail" || got.header["X-Report-Full-Size"] != "" {
		t.Errorf("got stored %+v", got)
	}
	if arrival, err := time.Parse(time.RFC3339, got.header["X-Report-At"]); err != nil || time.Since(arrival).Abs() > time.Hour {
		t.Errorf("got arrival time %q", got.header["X-Report-At"])
	}
}

func TestMailbox_FailedDeliveryIsRetried(t *testing.T) {
	a := &mailboxTest{imapServer: newIMAPServer(t, nil), fail: 1}
	a.put(t, nil, first...)
	a.run(t, nil)
	a.expect(t, "not stored", "stored", `+\Seen`)
	if len(a.stored) != 1 {
		t.Errorf("got %d stored mails, want 1", len(a.stored))
	}
}

// An error log can wake a responder, so one check logs at most one error.
func TestMailbox_LogsOneErrorPerCheck(t *testing.T) {
	a := &mailboxTest{imapServer: newIMAPServer(t, nil), fail: 20}
	for n := range 20 {
		a.put(t, nil, strings.ReplaceAll(strings.Join(first, "\r\n"), "<1@", fmt.Sprintf("<%d@", n)))
	}
	failed, errs := make(chan struct{}, 10), make(chan slog.Record, 100)
	a.run(t, func(c *vulnreport.MailboxConfig, d *vulnreport.Deps) {
		d.Logger = slog.New(errorLog{failureLog{slog.DiscardHandler, failed}, errs})
	})
	<-failed
	if n := len(errs); n != 1 {
		t.Fatalf("got %d errors, want 1", n)
	}
	attrs := map[string]string{}
	(<-errs).Attrs(func(a slog.Attr) bool { attrs[a.Key] = a.Value.String(); return true })
	if attrs["mails"] != "20" || attrs["of"] != "20" || !strings.Contains(attrs["err"], "disk full") {
		t.Errorf("got attributes %v", attrs)
	}
}

// errorLog records the error records of a log.
type errorLog struct {
	failureLog
	errs chan slog.Record
}

func (l errorLog) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		l.errs <- r
	}
	return l.failureLog.Handle(ctx, r)
}
func (l errorLog) WithAttrs([]slog.Attr) slog.Handler { return l }

func TestMailbox_ReadsAnnouncedMail(t *testing.T) {
	a := &mailboxTest{imapServer: newIMAPServer(t, nil)}
	a.put(t, nil, first...)
	a.run(t, nil)
	a.expect(t, "stored", `+\Seen`)
	// The next check is an hour away, so only the announcement can trigger this read.
	<-a.idling
	a.put(t, nil, strings.ReplaceAll(strings.Join(first, "\r\n"), "<1@", "<2@"))
	a.announce(t)
	a.expect(t, "stored", `+\Seen`)
}

func TestMailbox_TruncatesLargeMail(t *testing.T) {
	a := &mailboxTest{imapServer: newIMAPServer(t, nil)}
	a.put(t, nil, append(slices.Clone(first), strings.Repeat("x", 5000))...)
	a.run(t, func(c *vulnreport.MailboxConfig, d *vulnreport.Deps) { c.MaxMessage = 1024 })
	a.expect(t, "stored", `+\Seen`)
	if got := a.stored[0]; len(got.body) != 1024 || got.header["X-Report-Full-Size"] != fmt.Sprint(len(strings.Join(first, "\r\n"))+5002) {
		t.Errorf("got %d stored bytes, full size %s", len(got.body), got.header["X-Report-Full-Size"])
	}
}

func TestMailbox_TLS(t *testing.T) {
	web := httptest.NewTLSServer(nil)
	defer web.Close()
	a := &mailboxTest{imapServer: newIMAPServer(t, web.TLS)}
	a.put(t, nil, first...)
	a.run(t, func(c *vulnreport.MailboxConfig, d *vulnreport.Deps) {
		c.TLS = ""
		d.TLSConfig = &tls.Config{RootCAs: web.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, MinVersion: tls.VersionTLS12}
	})
	a.expect(t, "stored", `+\Seen`)
}

func TestMailbox_Err(t *testing.T) {
	a := &mailboxTest{imapServer: newIMAPServer(t, nil)}
	failed := make(chan struct{}, 10)
	m := a.run(t, func(c *vulnreport.MailboxConfig, d *vulnreport.Deps) {
		c.Password, d.Logger = secret.New("wrong"), slog.New(failureLog{slog.DiscardHandler, failed})
	})
	<-failed
	if since, err := m.Err(); err == nil || since.IsZero() || strings.Contains(err.Error(), "wrong") {
		t.Errorf("got error %v since %v, want one without the password", err, since)
	}
}

// failureLog is a log that reports each failed session.
type failureLog struct {
	slog.Handler
	c chan struct{}
}

func (s failureLog) Enabled(context.Context, slog.Level) bool { return true }
func (s failureLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "read vulnerability mailbox failed" {
		s.c <- struct{}{}
	}
	return nil
}
func (s failureLog) WithAttrs([]slog.Attr) slog.Handler { return s }

func TestNewMailbox_ReportsAllProblems(t *testing.T) {
	_, err := vulnreport.NewMailbox(vulnreport.MailboxConfig{Address: "mail.example.com", TLS: "yes", Poll: -1}, vulnreport.Deps{})
	for _, field := range []string{"address:", "tls:", "username", "poll", "deliver"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("got error %v, want it to contain %s", err, field)
		}
	}
}
