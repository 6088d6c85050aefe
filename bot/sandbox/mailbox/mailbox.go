// Package mailbox is a mail server that lives in the process: it speaks SMTP
// on loopback, keeps every message it accepted and reads its MIME structure, so
// that a page can show it and a test can count it by Message-ID.
//
// AUTH and STARTTLS are off unless configured. SetFaults makes it fail as mail
// servers do; the log of attempts says what each sender was told and whether
// the message was nevertheless kept.
package mailbox

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// Config of a mailbox; the zero value accepts everything without AUTH or TLS.
type Config struct {
	Domain   string      // said in the greeting, default mailbox.sandbox
	Username string      // with Password: AUTH PLAIN is offered and required
	Password string      //
	TLS      *tls.Config // STARTTLS is offered
	MaxBytes int64       // of a message, default 25 MB

	Now  func() time.Time                           // the sandbox's clock, default time.Now
	Wait func(context.Context, time.Duration) error // waits on that clock, default a timer
}

// Mailbox is the running server. All methods may be used at the same time.
type Mailbox struct {
	cfg    Config
	server *smtp.Server
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener
	changed  chan struct{}
	revision int
	messages []Message
	attempts []*Attempt
	rules    []Rule
}

// New makes a mailbox, which receives after Start and must be closed in the end.
func New(cfg Config) *Mailbox {
	cfg.Domain = cmp.Or(cfg.Domain, "mailbox.sandbox")
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, 25<<20)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Wait == nil {
		cfg.Wait = wait
	}
	m := &Mailbox{cfg: cfg, changed: make(chan struct{})}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.server = smtp.NewServer(smtp.BackendFunc(m.session))
	m.server.Domain = cfg.Domain
	m.server.MaxMessageBytes = cfg.MaxBytes
	m.server.MaxRecipients = 100
	m.server.AllowInsecureAuth = cfg.TLS == nil
	m.server.EnableSMTPUTF8 = true
	m.server.TLSConfig = cfg.TLS
	m.server.ErrorLog = log.New(io.Discard, "", 0) // connections break on purpose here; the attempts are the log
	return m
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Start listens on addr (127.0.0.1:0 picks a port) and returns host:port.
func (m *Mailbox) Start(addr string) (string, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("start mailbox: %w", err)
	}
	m.mu.Lock()
	m.listener = l
	m.mu.Unlock()
	m.work.Go(func() { _ = m.server.Serve(l) }) // ends with Close
	return l.Addr().String(), nil
}

// Close stops listening and breaks every connection, also the silent ones.
func (m *Mailbox) Close() error {
	m.cancel()
	err := m.server.Close()
	m.mu.Lock()
	if m.listener != nil {
		_ = m.listener.Close() // the server closes only what it has begun to serve
	}
	m.mu.Unlock()
	m.work.Wait()
	if err != nil {
		return fmt.Errorf("close mailbox: %w", err)
	}
	return nil
}

// Changed returns a channel that is closed at the next change of anything a
// Snapshot shows. Take it before looking, then wait on it.
func (m *Mailbox) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// Until waits until the condition holds, looking again at every change.
func (m *Mailbox) Until(ctx context.Context, holds func() bool) error {
	for {
		next := m.Changed()
		if holds() {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return fmt.Errorf("wait for the mailbox: %w", ctx.Err())
		}
	}
}

// touch announces a change; the lock is held.
func (m *Mailbox) touch() {
	m.revision++
	close(m.changed)
	m.changed = make(chan struct{})
}

// Messages returns every message that was kept, oldest first.
func (m *Mailbox) Messages() []Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.messages)
}

// For returns the messages with this envelope recipient, oldest first.
func (m *Mailbox) For(address string) []Message {
	return slices.DeleteFunc(m.Messages(), func(msg Message) bool { return !msg.sentTo(address) })
}

func (m Message) sentTo(address string) bool {
	return slices.ContainsFunc(m.Recipients, func(to string) bool { return strings.EqualFold(to, address) })
}

// Counts says how many messages were kept for each Message-ID. What has none
// is counted under the empty one.
func (m *Mailbox) Counts() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	counts := map[string]int{}
	for _, msg := range m.messages {
		counts[msg.MessageID]++
	}
	return counts
}

// Attempts returns the log of transactions, oldest first.
func (m *Mailbox) Attempts() []Attempt {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]Attempt, len(m.attempts))
	for i, a := range m.attempts {
		all[i] = *a
		all[i].To = slices.Clone(a.To)
	}
	return all
}

// Snapshot is the whole mailbox at one moment, for pages.
type Snapshot struct {
	Revision int       `json:"revision"`
	Messages []Message `json:"messages"`
	Faults   []Rule    `json:"faults"`
}

// Snapshot returns the mailbox's present state.
func (m *Mailbox) Snapshot() Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Snapshot{Revision: m.revision, Messages: slices.Clone(m.messages), Faults: slices.Clone(m.rules)}
}
