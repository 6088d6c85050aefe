package mailbox

import (
	"cmp"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Fault is an injected failure of the server.
type Fault string

// Possible faults.
const (
	FaultBusy      Fault = "421"     // reply 421 and disconnect, message not stored
	FaultTemporary Fault = "451"     // reply 451 (temporary error), message not stored
	FaultPermanent Fault = "550"     // reply 550 (permanent error), message not stored
	FaultSilence   Fault = "silence" // never reply, message not stored
	FaultLate      Fault = "late"    // store the message at once, reply after Delay
	FaultDrop      Fault = "drop"    // store the message, then disconnect without a reply
	FaultOffline   Fault = "offline" // disconnect when the sender sends EHLO
	FaultAnswer    Fault = "answer"  // logged for transactions that received one of Config.Answers, not stored
)

// Stages of a transaction at which a fault can occur.
const (
	StageRcpt = "rcpt" // reply to one recipient
	StageData = "data" // reply to the whole message
)

// Rule selects the transactions that a fault affects. The first matching rule
// applies. Empty fields match everything.
type Rule struct {
	Fault Fault         `json:"fault"`
	Stage string        `json:"stage,omitempty"` // default StageData (FaultLate, FaultDrop and FaultOffline ignore it)
	To    string        `json:"to,omitempty"`    // only mail with this recipient
	Skip  int           `json:"skip,omitempty"`  // matching transactions that succeed first
	Times int           `json:"times,omitempty"` // then transactions that fail, 0 for all until the next SetFaults
	Delay time.Duration `json:"delay,omitempty"` // for FaultLate
}

const stageHello = "hello"

func (r Rule) stage() string {
	switch {
	case r.Fault == FaultOffline:
		return stageHello
	case r.Stage == StageRcpt && r.Fault != FaultLate && r.Fault != FaultDrop:
		return StageRcpt
	default:
		return StageData
	}
}

// SetFaults replaces all rules. Without arguments it removes all faults.
func (m *Mailbox) SetFaults(rules ...Rule) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rules = slices.Clone(rules)
	m.notifyChange()
}

// takeFault returns the first rule that matches and uses up one of its times.
// It returns the zero Rule if none matches.
func (m *Mailbox) takeFault(stage string, to ...string) Rule {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.rules {
		r := &m.rules[i]
		if r.stage() != stage || (r.To != "" && !(Message{Recipients: to}).sentTo(r.To)) {
			continue
		}
		if r.Skip > 0 {
			r.Skip--
			continue
		}
		taken := *r
		if r.Times > 0 {
			if r.Times--; r.Times == 0 {
				m.rules = slices.Delete(m.rules, i, i+1)
			}
		}
		return taken
	}
	return Rule{}
}

// Attempt is the log entry of a transaction that reached its data or had a
// recipient rejected.
type Attempt struct {
	At        time.Time `json:"at"`
	From      string    `json:"from"`
	To        []string  `json:"to"`
	MessageID string    `json:"message_id,omitempty"`
	Fault     Fault     `json:"fault,omitempty"`
	Stored    bool      `json:"kept"`
	Code      int       `json:"code,omitempty"` // reply to the sender, 0 if there is none yet
}

var faultReplies = map[Fault]*smtp.SMTPError{
	FaultBusy:      {Code: 421, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "Service not available, closing transmission channel"},
	FaultTemporary: {Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "Requested action aborted: local error in processing"},
	FaultPermanent: {Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "Requested action not taken: mailbox unavailable"},
}

// session is one connection of a sender.
type session struct {
	box    *Mailbox
	conn   *smtp.Conn
	authed bool
	from   string
	to     []string
	hangUp bool // disconnect at the end of this transaction
}

func (m *Mailbox) session(c *smtp.Conn) (smtp.Session, error) {
	if m.takeFault(stageHello).Fault == FaultOffline {
		_ = c.Conn().Close()
		return nil, errors.New("offline") // the connection is closed, no one receives this
	}
	if err := m.takeAnswer("hello"); err != nil {
		return nil, err
	}
	return &session{box: m, conn: c, authed: m.cfg.Username == ""}, nil
}

func (s *session) AuthMechanisms() []string {
	if s.box.cfg.Username == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *session) Auth(mechanism string) (sasl.Server, error) {
	if mechanism != sasl.Plain || s.box.cfg.Username == "" {
		return nil, smtp.ErrAuthUnknownMechanism
	}
	return sasl.NewPlainServer(func(_, user, password string) error {
		if err := s.box.takeAnswer("auth"); err != nil {
			return err
		}
		if user != s.box.cfg.Username || password != s.box.cfg.Password {
			return smtp.ErrAuthFailed
		}
		s.authed = true
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if !s.authed {
		return smtp.ErrAuthRequired
	}
	if err := s.box.takeAnswer("mail"); err != nil {
		return err
	}
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if err := s.box.takeAnswer(StageRcpt); err != nil {
		s.box.recordReply(s.box.recordAttempt(s.from, []string{to}, "", FaultAnswer), err.Code)
		return err
	}
	rule := s.box.takeFault(StageRcpt, to)
	if rule.Fault == "" {
		s.to = append(s.to, to)
		return nil
	}
	return s.reject(rule.Fault, s.box.recordAttempt(s.from, []string{to}, "", rule.Fault))
}

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err // message too large or sender disconnected, go-smtp has the right reply
	}
	msg := Parse(raw)
	if err := s.box.takeAnswer(StageData); err != nil {
		s.box.recordReply(s.box.recordAttempt(s.from, s.to, msg.MessageID, FaultAnswer), err.Code)
		return err
	}
	rule := s.box.takeFault(StageData, s.to...)
	at := s.box.recordAttempt(s.from, s.to, msg.MessageID, rule.Fault)
	switch rule.Fault {
	case FaultLate, FaultDrop, "":
		s.box.store(at, msg)
	default:
		return s.reject(rule.Fault, at)
	}
	if rule.Fault == FaultDrop {
		return s.conn.Conn().Close()
	}
	if rule.Fault == FaultLate && s.box.cfg.Wait(s.box.ctx, rule.Delay) != nil {
		return s.conn.Conn().Close()
	}
	s.box.recordReply(at, 250)
	return nil
}

// answerPrefix precedes a command of SMTP in the name of an answer.
const answerPrefix = "smtp."

// Methods returns the names that an answer can have, in the order of a transaction.
func Methods() []string {
	return []string{answerPrefix + "hello", answerPrefix + "auth", answerPrefix + "mail", answerPrefix + StageRcpt, answerPrefix + StageData}
}

// takeAnswer returns the answer of Config.Answers to a command, or nil.
func (m *Mailbox) takeAnswer(command string) *smtp.SMTPError {
	a, ok := m.cfg.Answers.Take(answerPrefix + command)
	if !ok {
		return nil
	}
	return &smtp.SMTPError{Code: cmp.Or(a.Status, 550), EnhancedCode: smtp.NoEnhancedCode, Message: cmp.Or(string(a.Body), "rejected by the sandbox")}
}

// reject sends the reply of the fault. For [FaultSilence] it sends nothing and
// returns when the sender disconnects or the mailbox closes.
func (s *session) reject(f Fault, at *Attempt) error {
	if f == FaultSilence {
		_, _ = io.Copy(io.Discard, s.conn.Conn())
		return s.conn.Conn().Close()
	}
	s.hangUp = f == FaultBusy
	s.box.recordReply(at, faultReplies[f].Code)
	return faultReplies[f]
}

func (s *session) Reset() {
	s.from, s.to = "", nil
	if s.hangUp {
		_ = s.conn.Conn().Close()
	}
}

func (s *session) Logout() error { return nil }

func (m *Mailbox) recordAttempt(from string, to []string, id string, f Fault) *Attempt {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := &Attempt{At: m.cfg.Now().UTC(), From: from, To: slices.Clone(to), MessageID: id, Fault: f}
	m.attempts = append(m.attempts, at)
	m.notifyChange()
	return at
}

// recordReply stores a reply code in the log just before the reply is sent.
func (m *Mailbox) recordReply(at *Attempt, code int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at.Code = code
	m.notifyChange()
}

func (m *Mailbox) store(at *Attempt, msg Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at.Stored = true
	msg.Seq, msg.At = len(m.messages)+1, at.At
	msg.Sender, msg.Recipients = strings.Clone(at.From), slices.Clone(at.To)
	m.messages = append(m.messages, msg)
	m.notifyChange()
}
