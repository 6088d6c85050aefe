package mailbox

import (
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Fault is one way in which the server can fail a sender.
type Fault string

// The faults.
const (
	FaultBusy      Fault = "421"     // answers 421 and hangs up; not kept
	FaultTemporary Fault = "451"     // answers 451: try again; not kept
	FaultPermanent Fault = "550"     // answers 550: never; not kept
	FaultSilence   Fault = "silence" // never answers; not kept
	FaultLate      Fault = "late"    // kept at once, answers after Delay
	FaultDrop      Fault = "drop"    // kept, then hangs up without an answer
	FaultOffline   Fault = "offline" // hangs up as soon as the sender says EHLO
)

// The stages of a transaction at which a fault can strike.
const (
	StageRcpt = "rcpt" // the answer to one recipient
	StageData = "data" // the answer to the whole message
)

// Rule switches a fault on. The first rule that fits decides; empty fields fit
// everything.
type Rule struct {
	Fault Fault         `json:"fault"`
	Stage string        `json:"stage,omitempty"` // default StageData; FaultLate, FaultDrop and FaultOffline have no choice
	To    string        `json:"to,omitempty"`    // only mail with this recipient
	Skip  int           `json:"skip,omitempty"`  // let so many fitting answers through first
	Times int           `json:"times,omitempty"` // then fail so many; 0 means until SetFaults is called again
	Delay time.Duration `json:"delay,omitempty"` // of FaultLate
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

// SetFaults replaces all rules; without arguments the server is well again.
func (m *Mailbox) SetFaults(rules ...Rule) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rules = slices.Clone(rules)
	m.touch()
}

// fault takes the rule that decides an answer.
func (m *Mailbox) fault(stage string, to ...string) Rule {
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

// Attempt is one transaction that got as far as its data, or as a recipient
// that was refused.
type Attempt struct {
	At        time.Time `json:"at"`
	From      string    `json:"from"`
	To        []string  `json:"to"`
	MessageID string    `json:"message_id,omitempty"`
	Fault     Fault     `json:"fault,omitempty"`
	Kept      bool      `json:"kept"`
	Code      int       `json:"code,omitempty"` // what the sender was told; 0: nothing, or not yet
}

var refusals = map[Fault]*smtp.SMTPError{
	FaultBusy:      {Code: 421, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "Service not available, closing transmission channel"},
	FaultTemporary: {Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "Requested action aborted: local error in processing"},
	FaultPermanent: {Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "Requested action not taken: mailbox unavailable"},
}

// session is one sender's connection.
type session struct {
	box    *Mailbox
	conn   *smtp.Conn
	authed bool
	from   string
	to     []string
	hangUp bool // at the end of this transaction
}

func (m *Mailbox) session(c *smtp.Conn) (smtp.Session, error) {
	if m.fault(stageHello).Fault == FaultOffline {
		_ = c.Conn().Close()
		return nil, errors.New("offline") // written to a connection that is gone
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
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	rule := s.box.fault(StageRcpt, to)
	if rule.Fault == "" {
		s.to = append(s.to, to)
		return nil
	}
	return s.refuse(rule.Fault, s.box.attempt(s.from, []string{to}, "", rule.Fault))
}

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err // too large, or the sender went away; go-smtp has the right reply
	}
	msg := Parse(raw)
	rule := s.box.fault(StageData, s.to...)
	at := s.box.attempt(s.from, s.to, msg.MessageID, rule.Fault)
	switch rule.Fault {
	case FaultLate, FaultDrop, "":
		s.box.keep(at, msg)
	default:
		return s.refuse(rule.Fault, at)
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

// refuse answers with the fault's code, or with silence until the sender goes
// away or the mailbox closes.
func (s *session) refuse(f Fault, at *Attempt) error {
	if f == FaultSilence {
		_, _ = io.Copy(io.Discard, s.conn.Conn())
		return s.conn.Conn().Close()
	}
	s.hangUp = f == FaultBusy
	s.box.recordReply(at, refusals[f].Code)
	return refusals[f]
}

func (s *session) Reset() {
	s.from, s.to = "", nil
	if s.hangUp {
		_ = s.conn.Conn().Close()
	}
}

func (s *session) Logout() error { return nil }

func (m *Mailbox) attempt(from string, to []string, id string, f Fault) *Attempt {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := &Attempt{At: m.cfg.Now().UTC(), From: from, To: slices.Clone(to), MessageID: id, Fault: f}
	m.attempts = append(m.attempts, at)
	m.touch()
	return at
}

// recordReply writes down an answer just before it is given.
func (m *Mailbox) recordReply(at *Attempt, code int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at.Code = code
	m.touch()
}

func (m *Mailbox) keep(at *Attempt, msg Message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at.Kept = true
	msg.Seq, msg.At = len(m.messages)+1, at.At
	msg.Sender, msg.Recipients = strings.Clone(at.From), slices.Clone(at.To)
	m.messages = append(m.messages, msg)
	m.touch()
}
