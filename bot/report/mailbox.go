package report

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap"
	"github.com/emersion/go-imap/client"
	"github.com/emersion/go-message"
	"github.com/emersion/go-message/mail"
	"golang.org/x/time/rate"

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
	Aliases    []string // our own addresses, which are never answered

	Deliver     Deliver
	Acknowledge Acknowledger     // nil: nobody is answered
	Clock       func() time.Time // default time.Now
	Logger      *slog.Logger     // default slog.Default
}

const (
	commandWithin = time.Minute
	longestPause  = 5 * time.Minute // between attempts to connect
	// acknowledgeFor is how long sending an acknowledgement is tried again.
	acknowledgeFor = 24 * time.Hour
)

// Mailbox reads the alias over IMAP. Its state is the server's: a mail is unseen
// until it is delivered, and answered once it is acknowledged.
type Mailbox struct {
	cfg     MailboxConfig
	log     *slog.Logger
	answers *rate.Limiter // acknowledgements, so that nobody makes a mail cannon of us

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
	return &Mailbox{cfg: c, log: c.Logger.With("component", name), answers: rate.NewLimiter(rate.Every(2*time.Minute), 30)}, nil
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
		pause = min(2*pause, longestPause)
	}
}

// Fault says what is wrong and since when; nil while mails are read.
func (m *Mailbox) Fault() (since time.Time, err error) {
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

// listen turns whatever the server announces into one signal. It takes
// announcements until the connection ends: the client waits for its reader.
func listen(c *client.Client) <-chan struct{} {
	updates, news := make(chan client.Update), make(chan struct{}, 1)
	c.Updates = updates
	go func() {
		for {
			select {
			case <-updates:
			case <-c.LoggedOut():
				return
			}
			select {
			case news <- struct{}{}:
			default:
			}
		}
	}()
	return news
}

// connect logs in and opens the folder. The connection ends with ctx.
func (m *Mailbox) connect(ctx context.Context) (_ *client.Client, hangUp func(), err error) {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	var conn net.Conn
	if m.cfg.TLS == "implicit" {
		conn, err = (&tls.Dialer{NetDialer: dialer, Config: m.cfg.TLSConfig}).DialContext(ctx, "tcp", m.cfg.Address)
	} else {
		conn, err = dialer.DialContext(ctx, "tcp", m.cfg.Address)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("connect to mailbox: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	end := func() { stop(); _ = conn.Close() }
	defer func() {
		if err != nil {
			end()
		}
	}()
	if err = conn.SetDeadline(time.Now().Add(commandWithin)); err != nil {
		return nil, nil, fmt.Errorf("connect to mailbox: %w", err)
	}
	c, err := client.New(conn)
	if err != nil {
		return nil, nil, fmt.Errorf("greet mailbox: %w", err)
	}
	c.Timeout = commandWithin
	c.ErrorLog = slog.NewLogLogger(m.log.Handler(), slog.LevelWarn)
	if m.cfg.TLS == "starttls" {
		if err = c.StartTLS(m.cfg.TLSConfig); err != nil {
			return nil, nil, fmt.Errorf("start tls with mailbox: %w", err)
		}
	}
	if err = c.Login(m.cfg.Username, m.cfg.Password.Reveal()); err != nil {
		return nil, nil, fmt.Errorf("log in to mailbox: %w", err)
	}
	if _, err = c.Select(m.cfg.Folder, false); err != nil {
		return nil, nil, fmt.Errorf("open folder %s: %w", m.cfg.Folder, err)
	}
	return c, end, nil
}

// idle waits for the server to say that something changed, or for the next look.
func (m *Mailbox) idle(ctx context.Context, c *client.Client, news <-chan struct{}) error {
	c.Timeout = m.cfg.Poll + commandWithin // a connection that died in silence is noticed
	defer func() { c.Timeout = commandWithin }()
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- c.Idle(stop, &client.IdleOptions{LogoutTimeout: -1, PollInterval: m.cfg.Poll}) }()
	timer := time.NewTimer(m.cfg.Poll)
	defer timer.Stop()
	select {
	case err := <-done:
		return cmp.Or(err, errors.New("wait for mail: the server ended it"))
	case <-ctx.Done():
	case <-timer.C:
	case <-news:
	}
	close(stop)
	if err := <-done; err != nil {
		return fmt.Errorf("wait for mail: %w", err)
	}
	return ctx.Err()
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
	for _, uid := range uids {
		if err := m.readOne(ctx, c, uid); err != nil {
			m.log.Error("a mail to the vulnerability alias is not taken yet", "uid", uid, "error", err)
			first = cmp.Or(first, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return first
}

// fetched is a mail as the server has it.
type fetched struct {
	raw      []byte
	whole    uint32 // bytes of all of it
	answered bool
	date     time.Time // when it arrived
}

// readOne delivers a mail, acknowledges it if that is due, and only then marks
// it seen.
func (m *Mailbox) readOne(ctx context.Context, c *client.Client, uid uint32) error {
	f, err := m.fetch(c, uid)
	if err != nil || f == nil {
		return err
	}
	header := map[string]string{headerDoor: doorMail}
	if int64(f.whole) > int64(len(f.raw)) {
		header[headerWhole] = strconv.FormatUint(uint64(f.whole), 10)
	}
	id := fmt.Sprintf("%s:%x", doorMail, sha256.Sum256(f.raw))
	if err := m.cfg.Deliver(ctx, id, header, f.raw, "mailbox "+m.cfg.Username); err != nil {
		return fmt.Errorf("store mail: %w", err)
	}
	if err := m.acknowledge(ctx, c, uid, f); err != nil {
		return err
	}
	return flag(c, uid, imap.AddFlags, imap.SeenFlag)
}

// fetch gives nothing for a mail that is gone meanwhile.
func (m *Mailbox) fetch(c *client.Client, uid uint32) (*fetched, error) {
	section := &imap.BodySectionName{Peek: true, Partial: []int{0, int(m.cfg.MaxMessage)}}
	messages, done := make(chan *imap.Message), make(chan error, 1)
	go func() {
		done <- c.UidFetch(only(uid), []imap.FetchItem{imap.FetchUid, imap.FetchFlags, imap.FetchInternalDate, imap.FetchRFC822Size, section.FetchItem()}, messages)
	}()
	var found *imap.Message
	for msg := range messages {
		if msg.Uid == uid && msg.GetBody(section) != nil {
			found = msg
		}
	}
	if err := <-done; err != nil {
		return nil, fmt.Errorf("fetch mail: %w", err)
	}
	if found == nil {
		return nil, nil
	}
	raw, err := io.ReadAll(io.LimitReader(found.GetBody(section), m.cfg.MaxMessage))
	if err != nil {
		return nil, fmt.Errorf("fetch mail: %w", err)
	}
	return &fetched{raw: raw, whole: found.Size, answered: slices.Contains(found.Flags, imap.AnsweredFlag), date: found.InternalDate}, nil
}

// own reports whether one of our own addresses sent a mail.
func (m *Mailbox) own(h mail.Header) bool {
	from, err := h.AddressList("From")
	return err == nil && len(from) > 0 && slices.ContainsFunc(m.cfg.Aliases, func(a string) bool { return strings.EqualFold(a, from[0].Address) })
}

// acknowledge answers the first mail of a thread, at most once: it is marked as
// answered before the answer is sent, and the mark is taken back only when the
// answer certainly was not.
func (m *Mailbox) acknowledge(ctx context.Context, c *client.Client, uid uint32, f *fetched) error {
	var h mail.Header
	if e, _ := message.Read(bytes.NewReader(f.raw)); e != nil {
		h.Header = e.Header
	}
	t := threadOf(h, f.raw)
	a, due := t.acknowledgement(h)
	if m.cfg.Acknowledge == nil || !due || f.answered || m.own(h) {
		return nil
	}
	done, err := answered(c, append(t.before, t.id))
	if err != nil || done {
		return err
	}
	if !m.answers.AllowN(m.cfg.Clock(), 1) {
		m.log.Warn("a report is not acknowledged: too many came at once", "reference", t.reference)
		return nil
	}
	if err := flag(c, uid, imap.AddFlags, imap.AnsweredFlag); err != nil {
		return err
	}
	if err := m.cfg.Acknowledge.Acknowledge(ctx, a); err != nil {
		if m.cfg.Clock().Sub(f.date) > acknowledgeFor {
			m.log.Error("a report is never acknowledged", "reference", t.reference, "error", err)
			return nil
		}
		return errors.Join(fmt.Errorf("acknowledge report %s: %w", t.reference, err), flag(c, uid, imap.RemoveFlags, imap.AnsweredFlag))
	}
	return nil
}

// answered reports whether any of these mails has an answer already.
func answered(c *client.Client, ids []string) (bool, error) {
	for _, id := range ids[max(0, len(ids)-20):] {
		if id == "" {
			continue
		}
		criteria := imap.NewSearchCriteria()
		criteria.Header = textproto.MIMEHeader{"Message-Id": {id}}
		criteria.WithFlags = []string{imap.AnsweredFlag}
		found, err := c.UidSearch(criteria)
		if err != nil {
			return false, fmt.Errorf("search mailbox: %w", err)
		}
		if len(found) > 0 {
			return true, nil
		}
	}
	return false, nil
}

func flag(c *client.Client, uid uint32, op imap.FlagsOp, flags ...any) error {
	if err := c.UidStore(only(uid), imap.FormatFlagsOp(op, true), flags, nil); err != nil {
		return fmt.Errorf("flag mail: %w", err)
	}
	return nil
}

func only(uid uint32) *imap.SeqSet {
	s := new(imap.SeqSet)
	s.AddNum(uid)
	return s
}
