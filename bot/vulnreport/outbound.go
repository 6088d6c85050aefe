package vulnreport

import (
	netmail "net/mail"
	"regexp"
	"slices"
	"strings"

	"github.com/emersion/go-message/mail"

	"tocsin/bot/incident"
)

// noReplyAddress reads what is sent to such an address, or a machine does.
var noReplyAddress = regexp.MustCompile(`(?i)^(?:no[-_.]?reply|do[-_.]?not[-_.]?reply|mailer-daemon|postmaster|bounces?|abuse|root|nobody|listserv|majordomo)(?:[-_+.=].*)?$|^(?:.*[-_.])?(?:no-?reply|bounces?|request|owner)$`)

// answerMail says where the acknowledgement of a mail goes: to the person who
// wrote the first one of a thread. Lists and machines get none, nor does an
// answer to an earlier acknowledgement, nor an address that our own server found
// forged.
func (s *Source) answerMail(t thread, h mail.Header, verdict string) *incident.Reply {
	if !s.answer[viaMail] || t.automatic || t.list || t.answersOur || strings.Contains(verdict, "dmarc fail") {
		return nil
	}
	r := s.reply(t.reference, sender(h))
	if r == nil {
		return nil
	}
	thread := slices.Clone(t.before)
	if id, err := h.MessageID(); err == nil && validMessageID(id) {
		r.InReplyTo = id
		thread = append(thread, id)
	}
	r.References = lastIDs(thread)
	return r
}

// answerForm is the same for the form, where the contact is an address of mail.
func (s *Source) answerForm(e entry) *incident.Reply {
	if !s.answer[viaForm] {
		return nil
	}
	a, err := netmail.ParseAddress(e.Contact)
	if err != nil {
		return nil
	}
	return s.reply(e.Reference, a.Address)
}

// reply is nil where nobody would read it, or we ourselves.
func (s *Source) reply(reference, to string) *incident.Reply {
	local, domain, ok := strings.Cut(to, "@")
	ours := slices.ContainsFunc(s.own, func(a string) bool { return strings.EqualFold(a, to) })
	if !ok || domain == "" || noReplyAddress.MatchString(local) || ours || len(to) > maxAddress || strings.ContainsFunc(to, unseen) {
		return nil
	}
	r := &incident.Reply{Reference: reference, To: to}
	if len(s.own) > 0 {
		r.ReplyTo = s.own[0]
	}
	return r
}

const (
	maxAddress = 254 // characters, as mail servers take them
	maxThread  = 20  // mails of a thread that are named in an answer
	maxName    = 500 // characters of the id of one; a line of a mail has 998
)

func unseen(r rune) bool { return r <= ' ' || r == 0x7f }

// validMessageID: a mail with this id can be named in another.
func validMessageID(id string) bool {
	return id != "" && len(id) < maxName && !strings.ContainsFunc(id, unseen)
}

// lastIDs is the end of a thread; however long a stranger makes it.
func lastIDs(ids []string) []string {
	var out []string
	for _, id := range ids[max(0, len(ids)-maxThread):] {
		if validMessageID(id) {
			out = append(out, id)
		}
	}
	return out
}

// sender is the address that wrote a mail, if it is one.
func sender(h mail.Header) string {
	from, err := h.AddressList("From")
	if err != nil || len(from) != 1 {
		return ""
	}
	return from[0].Address
}
