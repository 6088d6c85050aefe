package vulnreport

import (
	netmail "net/mail"
	"regexp"
	"slices"
	"strings"

	"github.com/emersion/go-message/mail"

	"tocsin/bot/incident"
)

// noReplyAddress matches local parts of addresses that no person reads.
var noReplyAddress = regexp.MustCompile(`(?i)^(?:no[-_.]?reply|do[-_.]?not[-_.]?reply|mailer-daemon|postmaster|bounces?|abuse|root|nobody|listserv|majordomo)(?:[-_+.=].*)?$|^(?:.*[-_.])?(?:no-?reply|bounces?|request|owner)$`)

// answerMail returns the acknowledgement of a mail, or nil if there is none. Automatic
// mails, mailing lists, replies to an earlier acknowledgement and senders that fail
// DMARC get none.
func (s *Source) answerMail(t thread, h mail.Header, checks string) *incident.Reply {
	if !s.acknowledges[viaMail] || t.automatic || t.list || t.answersAck || strings.Contains(checks, "dmarc fail") {
		return nil
	}
	r := s.reply(t.reference, sender(h))
	if r == nil {
		return nil
	}
	thread := slices.Clone(t.ancestors)
	if id, err := h.MessageID(); err == nil && validMessageID(id) {
		r.InReplyTo = id
		thread = append(thread, id)
	}
	r.References = lastIDs(thread)
	return r
}

// answerForm returns the acknowledgement of a form report, or nil if the contact is not
// a mail address.
func (s *Source) answerForm(e entry) *incident.Reply {
	if !s.acknowledges[viaForm] {
		return nil
	}
	a, err := netmail.ParseAddress(e.Contact)
	if err != nil {
		return nil
	}
	return s.reply(e.Reference, a.Address)
}

// reply returns an acknowledgement to an address. It returns nil for an invalid
// address, an address that no person reads, and Tocsin's own addresses.
func (s *Source) reply(reference, to string) *incident.Reply {
	local, domain, ok := strings.Cut(to, "@")
	ours := slices.ContainsFunc(s.ownAddresses, func(a string) bool { return strings.EqualFold(a, to) })
	if !ok || domain == "" || noReplyAddress.MatchString(local) || ours || len(to) > maxAddress || strings.ContainsFunc(to, isBlankOrControl) {
		return nil
	}
	r := &incident.Reply{Reference: reference, To: to}
	if len(s.ownAddresses) > 0 {
		r.ReplyTo = s.ownAddresses[0]
	}
	return r
}

const (
	maxAddress    = 254 // characters of a mail address, by RFC 5321
	maxReferences = 20  // mails listed in the References of a reply
	maxMessageID  = 500 // characters of a Message-ID (a line of a mail has at most 998)
)

func isBlankOrControl(r rune) bool { return r <= ' ' || r == 0x7f }

// validMessageID reports whether id can be written into the header of another mail.
func validMessageID(id string) bool {
	return id != "" && len(id) < maxMessageID && !strings.ContainsFunc(id, isBlankOrControl)
}

// lastIDs returns the valid IDs among the last maxReferences of ids. The limit
// protects against a thread of any length from a sender.
func lastIDs(ids []string) []string {
	var out []string
	for _, id := range ids[max(0, len(ids)-maxReferences):] {
		if validMessageID(id) {
			out = append(out, id)
		}
	}
	return out
}

// sender returns the address of the author, or "" unless there is exactly one.
func sender(h mail.Header) string {
	from, err := h.AddressList("From")
	if err != nil || len(from) != 1 {
		return ""
	}
	return from[0].Address
}
