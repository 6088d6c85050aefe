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
	// The test server never ends the goroutine that reads its announcements.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/emersion/go-imap/server.(*Server).listenUpdates"))
}

// post is an IMAP server with one mailbox. It writes down, in order, what
// happens to mails, as far as the poller causes it.
type post struct {
	*memory.Backend
	mu      sync.Mutex
	box     backend.Mailbox
	updates chan backend.Update
	events  chan string
	idling  chan struct{} // the client waits for announcements
	addr    string
}

func (p *post) Updates() <-chan backend.Update { return p.updates }

func (p *post) Login(c *imap.ConnInfo, user, password string) (backend.User, error) {
	u, err := p.Backend.Login(c, user, password)
	if err != nil {
		return nil, err
	}
	return account{u, p}, nil
}

type account struct {
	backend.User
	post *post
}

func (a account) GetMailbox(name string) (backend.Mailbox, error) {
	m, err := a.User.GetMailbox(name)
	if err != nil {
		return nil, err
	}
	return folder{m, a.post}, nil
}

// folder makes the memory mailbox safe for several connections.
type folder struct {
	backend.Mailbox
	post *post
}

func (f folder) Status(items []imap.StatusItem) (*imap.MailboxStatus, error) {
	f.post.mu.Lock()
	defer f.post.mu.Unlock()
	return f.Mailbox.Status(items)
}

func (f folder) ListMessages(uid bool, set *imap.SeqSet, items []imap.FetchItem, ch chan<- *imap.Message) error {
	f.post.mu.Lock()
	defer f.post.mu.Unlock()
	return f.Mailbox.ListMessages(uid, set, items, ch)
}

func (f folder) SearchMessages(uid bool, c *imap.SearchCriteria) ([]uint32, error) {
	f.post.mu.Lock()
	defer f.post.mu.Unlock()
	return f.Mailbox.SearchMessages(uid, c)
}

func (f folder) UpdateMessagesFlags(uid bool, set *imap.SeqSet, op imap.FlagsOp, flags []string) error {
	f.post.mu.Lock()
	err := f.Mailbox.UpdateMessagesFlags(uid, set, op, flags)
	f.post.mu.Unlock()
	sign := "+"
	if op == imap.RemoveFlags {
		sign = "-"
	}
	f.post.events <- sign + strings.Join(flags, " ")
	return err
}

// put puts a mail into the mailbox.
func (p *post) put(t *testing.T, flags []string, lines ...string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.box.CreateMessage(flags, time.Now(), literal(strings.Join(lines, "\r\n"))); err != nil {
		t.Fatal(err)
	}
}

// announce says that there is a new mail.
func (p *post) announce(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	status, err := p.box.Status([]imap.StatusItem{imap.StatusMessages})
	p.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	p.updates <- &backend.MailboxUpdate{Update: backend.NewUpdate("", "INBOX"), MailboxStatus: status}
}

// watched is a listener whose connections say when the client begins to idle.
type watched struct {
	net.Listener
	idling chan struct{}
}

func (w watched) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	return conn{c, w.idling}, err
}

type conn struct {
	net.Conn
	idling chan struct{}
}

func (c conn) Write(b []byte) (int, error) {
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

func newPost(t *testing.T, secured *tls.Config) *post {
	t.Helper()
	p := &post{Backend: memory.New(), updates: make(chan backend.Update, 10), events: make(chan string, 100), idling: make(chan struct{}, 100)}
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
	l = watched{l, p.idling}
	if secured != nil {
		l = tls.NewListener(l, secured)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return p
}

// next is what happened next.
func (p *post) next(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case got := <-p.events:
			if got != w {
				t.Fatalf("next is %q, want %q", got, w)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("nothing happened, want %q", w)
		}
	}
}

// alias is the bot's side: it stores and fails as it is told to.
type alias struct {
	*post
	mu     sync.Mutex
	fail   int // deliveries that fail first
	stored []stored
}

type stored struct {
	id     string
	header map[string]string
	body   string
}

func (a *alias) deliver(_ context.Context, id string, header map[string]string, body []byte, _ string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fail > 0 {
		a.fail--
		a.events <- "not stored"
		return errors.New("disk full")
	}
	if !slices.ContainsFunc(a.stored, func(s stored) bool { return s.id == id }) {
		a.stored = append(a.stored, stored{id, header, string(body)})
	}
	a.events <- "stored"
	return nil
}

// run reads the mailbox until the test ends.
func (a *alias) run(t *testing.T, change func(*vulnreport.MailboxConfig)) *vulnreport.Mailbox {
	t.Helper()
	c := vulnreport.MailboxConfig{Address: a.addr, TLS: "none", Username: "username", Password: secret.New("password"), Poll: time.Hour,
		Deliver: a.deliver, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&c)
	}
	m, err := vulnreport.NewMailbox(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return m
}

var first = []string{"From: Ann <ann@example.org>", "To: security@example.com", "Subject: A hole", "Message-ID: <1@example.org>",
	"Content-Type: text/plain; charset=utf-8", "", "It is open."}

func TestMailIsSeenOnlyAfterItIsStored(t *testing.T) {
	a := &alias{post: newPost(t, nil)}
	a.put(t, nil, first...)
	a.run(t, nil)
	a.next(t, "stored", `+\Seen`)
	got := a.stored[0]
	if got.body != strings.Join(first, "\r\n") || got.header["X-Report-Via"] != "mail" || got.header["X-Report-Full-Size"] != "" {
		t.Errorf("stored %+v", got)
	}
	if arrived, err := time.Parse(time.RFC3339, got.header["X-Report-At"]); err != nil || time.Since(arrived).Abs() > time.Hour {
		t.Errorf("arrived at %q", got.header["X-Report-At"])
	}
}

func TestMailThatIsNotStoredStaysUnseen(t *testing.T) {
	a := &alias{post: newPost(t, nil), fail: 1}
	a.put(t, nil, first...)
	a.run(t, nil)
	a.next(t, "not stored", "stored", `+\Seen`)
	if len(a.stored) != 1 {
		t.Errorf("stored %d times", len(a.stored))
	}
}

// An error wakes somebody: however many mails wait, a look reports one.
func TestALookReportsOneErrorHoweverManyMailsFail(t *testing.T) {
	a := &alias{post: newPost(t, nil), fail: 20}
	for n := range 20 {
		a.put(t, nil, strings.ReplaceAll(strings.Join(first, "\r\n"), "<1@", fmt.Sprintf("<%d@", n)))
	}
	failed, errs := make(chan struct{}, 10), make(chan slog.Record, 100)
	a.run(t, func(c *vulnreport.MailboxConfig) {
		c.Logger = slog.New(loud{signal{slog.DiscardHandler, failed}, errs})
	})
	<-failed
	if n := len(errs); n != 1 {
		t.Fatalf("%d errors", n)
	}
	said := map[string]string{}
	(<-errs).Attrs(func(a slog.Attr) bool { said[a.Key] = a.Value.String(); return true })
	if said["mails"] != "20" || said["of"] != "20" || !strings.Contains(said["error"], "disk full") {
		t.Errorf("it says %v", said)
	}
}

// loud is a log that keeps its errors.
type loud struct {
	signal
	errs chan slog.Record
}

func (l loud) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		l.errs <- r
	}
	return l.signal.Handle(ctx, r)
}
func (l loud) WithAttrs([]slog.Attr) slog.Handler { return l }

func TestTheServerAnnouncesMail(t *testing.T) {
	a := &alias{post: newPost(t, nil)}
	a.put(t, nil, first...)
	a.run(t, nil)
	a.next(t, "stored", `+\Seen`)
	// The next look is an hour away, so only the announcement tells of this one.
	<-a.idling
	a.put(t, nil, strings.ReplaceAll(strings.Join(first, "\r\n"), "<1@", "<2@"))
	a.announce(t)
	a.next(t, "stored", `+\Seen`)
}

func TestALargeMailIsTakenInPart(t *testing.T) {
	a := &alias{post: newPost(t, nil)}
	a.put(t, nil, append(slices.Clone(first), strings.Repeat("x", 5000))...)
	a.run(t, func(c *vulnreport.MailboxConfig) { c.MaxMessage = 1024 })
	a.next(t, "stored", `+\Seen`)
	if got := a.stored[0]; len(got.body) != 1024 || got.header["X-Report-Full-Size"] != fmt.Sprint(len(strings.Join(first, "\r\n"))+5002) {
		t.Errorf("stored %d bytes, full size %s", len(got.body), got.header["X-Report-Full-Size"])
	}
}

func TestMailboxOverTLS(t *testing.T) {
	web := httptest.NewTLSServer(nil)
	defer web.Close()
	a := &alias{post: newPost(t, web.TLS)}
	a.put(t, nil, first...)
	a.run(t, func(c *vulnreport.MailboxConfig) {
		c.TLS = ""
		c.TLSConfig = &tls.Config{RootCAs: web.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, MinVersion: tls.VersionTLS12}
	})
	a.next(t, "stored", `+\Seen`)
}

func TestMailboxTellsItsFault(t *testing.T) {
	a := &alias{post: newPost(t, nil)}
	failed := make(chan struct{}, 10)
	m := a.run(t, func(c *vulnreport.MailboxConfig) {
		c.Password, c.Logger = secret.New("wrong"), slog.New(signal{slog.DiscardHandler, failed})
	})
	<-failed
	if since, err := m.Err(); err == nil || since.IsZero() || strings.Contains(err.Error(), "wrong") {
		t.Errorf("fault %v since %v", err, since)
	}
}

// signal is a log that says when the mailbox fails.
type signal struct {
	slog.Handler
	c chan struct{}
}

func (s signal) Enabled(context.Context, slog.Level) bool { return true }
func (s signal) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "cannot be read") {
		s.c <- struct{}{}
	}
	return nil
}
func (s signal) WithAttrs([]slog.Attr) slog.Handler { return s }

func TestMailboxConfigNamesEveryFault(t *testing.T) {
	_, err := vulnreport.NewMailbox(vulnreport.MailboxConfig{Address: "mail.example.com", TLS: "yes", Poll: -1})
	for _, field := range []string{"address:", "tls:", "username", "poll", "deliver"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("the error does not name %s: %v", field, err)
		}
	}
}
