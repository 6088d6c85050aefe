package vulnreport

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/emersion/go-imap"
	"github.com/emersion/go-imap/client"

	"tocsin/bot/secret"
)

// MailboxConfig of the vulnerability alias. The mailbox is the bot's own: what
// somebody else reads there first is no longer unseen, and the bot passes it by.
type MailboxConfig struct {
	Address   string // host:port
	TLS       string // "implicit" (default), "starttls", or "none" for a server on this machine
	TLSConfig *tls.Config
	Username  string
	Password  secret.String
	Folder    string        // default INBOX
	Poll      time.Duration // how often to look, besides what the server announces; default 1m
	// MaxMessage is how many bytes of a mail are taken; default 5 MiB. Of a larger
	// one the beginning is stored, and the alert says so.
	MaxMessage int64

	Deliver Deliver
	Clock   func() time.Time // default time.Now
	Logger  *slog.Logger     // default slog.Default
}

const (
	commandTimeout = time.Minute
	maxBackoff     = 5 * time.Minute // between attempts to connect
)

// Mailbox reads the alias over IMAP. Its state is the server's: a mail is unseen
// until it is delivered. Who is told that it arrived is decided later, where the
// delivery is worked.
type Mailbox struct {
	cfg MailboxConfig
	log *slog.Logger

	mu    sync.Mutex
	fault error
	since time.Time
}

// NewMailbox makes a Mailbox; Run connects it.
func NewMailbox(c MailboxConfig) (*Mailbox, error) {
	c.Folder = cmp.Or(c.Folder, "INBOX")
	c.TLS = cmp.Or(c.TLS, "implicit")
	c.Poll = cmp.Or(c.Poll, time.Minute)
	c.MaxMessage = cmp.Or(c.MaxMessage, 5<<20)
	var faults []error
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil {
		faults = append(faults, fmt.Errorf("address: %q is not host:port", c.Address))
	}
	if !slices.Contains([]string{"implicit", "starttls", "none"}, c.TLS) {
		faults = append(faults, fmt.Errorf("tls: %q is none of implicit, starttls, none", c.TLS))
	}
	if c.Username == "" || c.Password.IsZero() {
		faults = append(faults, errors.New("username, password: both are needed"))
	}
	if c.Poll < 0 || c.MaxMessage < 1024 {
		faults = append(faults, errors.New("poll, max_message: too small"))
	}
	if c.Deliver == nil {
		faults = append(faults, errors.New("there is nothing to deliver to"))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	if c.TLSConfig == nil {
		c.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if c.TLSConfig.ServerName == "" {
		c.TLSConfig = c.TLSConfig.Clone()
		c.TLSConfig.ServerName = host
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return &Mailbox{cfg: c, log: c.Logger.With("component", name)}, nil
}

// Run reads mails until ctx ends. What goes wrong is tried again, ever more
// slowly; Fault tells of it.
func (m *Mailbox) Run(ctx context.Context) error {
	pause := time.Second
	for {
		err := m.session(ctx, func() { pause = time.Second })
		if ctx.Err() != nil {
			return nil
		}
		m.set(err)
		m.log.Warn("vulnerability mailbox cannot be read", "error", err, "again_in", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, maxBackoff)
	}
}

// Err says what is wrong and since when; nil while mails are read.
func (m *Mailbox) Err() (since time.Time, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.since, m.fault
}

func (m *Mailbox) set(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if (err == nil) != (m.fault == nil) {
		m.since = m.cfg.Clock()
	}
	m.fault = err
}

// session is one connection: read what is there, wait for more, again.
func (m *Mailbox) session(ctx context.Context, well func()) error {
	c, hangUp, err := m.connect(ctx)
	if err != nil {
		return err
	}
	defer hangUp()
	news := listen(c)
	for {
		if err := m.readNew(ctx, c); err != nil {
			return err
		}
		m.set(nil)
		well()
		if err := m.idle(ctx, c, news); err != nil {
			return err
		}
	}
}

// readNew takes every unseen mail. One that fails does not stop the others; it
// stays unseen and is tried at the next look.
func (m *Mailbox) readNew(ctx context.Context, c *client.Client) error {
	unseen := imap.NewSearchCriteria()
	unseen.WithoutFlags = []string{imap.SeenFlag, imap.DeletedFlag}
	uids, err := c.UidSearch(unseen)
	if err != nil {
		return fmt.Errorf("search mailbox: %w", err)
	}
	slices.Sort(uids)
	var first error
	failed := 0
	for _, uid := range uids {
		if err := m.readOne(ctx, c, uid); err != nil {
			m.log.Debug("a mail to the vulnerability alias is not taken yet", "uid", uid, "error", err)
			first = cmp.Or(first, err)
			failed++
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if failed > 0 {
		m.log.Error("mails to the vulnerability alias are not taken yet", "mails", failed, "of", len(uids), "error", first)
	}
	return first
}

// readOne delivers a mail, and only then marks it seen.
func (m *Mailbox) readOne(ctx context.Context, c *client.Client, uid uint32) error {
	f, err := m.fetch(c, uid)
	if err != nil || f == nil {
		return err
	}
	header := map[string]string{headerVia: viaMail, headerAt: f.date.UTC().Format(time.RFC3339)}
	if int64(f.whole) > int64(len(f.raw)) {
		header[headerFullSize] = strconv.FormatUint(uint64(f.whole), 10)
	}
	id := fmt.Sprintf("%s:%x", viaMail, sha256.Sum256(f.raw))
	if err := m.cfg.Deliver(ctx, id, header, f.raw, "mailbox "+m.cfg.Username); err != nil {
		return fmt.Errorf("store mail: %w", err)
	}
	return seen(c, uid)
}
