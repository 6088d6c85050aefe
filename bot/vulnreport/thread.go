package vulnreport

import (
	"cmp"
	"regexp"
	"strings"

	"github.com/emersion/go-message/mail"

	"tocsin/bot/mailtext"
	"tocsin/bot/text"
)

// thread describes the thread and the origin of a mail, from its headers.
type thread struct {
	id         string   // Message-ID, or the hash of the content if there is none
	ancestors  []string // IDs of the earlier mails of the thread, oldest first
	reference  string   // reference of the mails of one author in the thread
	anyAuthor  string   // reference of the thread without regard to the author
	automatic  bool     // an automatic mail, such as an out-of-office reply or a bounce
	list       bool     // sent through a mailing list or in bulk
	answersAck bool     // replies to an acknowledgement
}

// ackIDPattern matches the Message-ID of an acknowledgement, which is derived from the
// key of its effect.
var ackIDPattern = regexp.MustCompile(`^ack\.(VR-[0-9A-Z]{5}-[0-9A-Z]{5})@`)

// threadOf derives the thread of a mail from its headers. The reference is derived from
// the first mail of the thread and the author, or read from the ID of an acknowledgement.
// Later mails of a reporter therefore attach to the incident of the first one. A stranger
// who knows or guesses the Message-ID of a report does not get its reference.
func threadOf(h mail.Header, body []byte) thread {
	t := thread{}
	t.id, _ = h.MessageID()
	if t.id == "" { // missing or malformed
		t.id = strings.Trim(strings.TrimSpace(h.Get("Message-ID")), "<>")
	}
	name, address := author(h)
	if t.id == "" {
		t.id = reference(name, address, h.Get("Subject"), h.Get("Date"), text.SHA256(body))
	}
	references, _ := h.MsgIDList("References")
	inReplyTo, _ := h.MsgIDList("In-Reply-To")
	t.ancestors = append(references, inReplyTo...)
	root := t.id
	if len(t.ancestors) > 0 {
		root = t.ancestors[0]
	}
	t.reference, t.anyAuthor = reference(root, strings.ToLower(cmp.Or(address, name))), reference(root)
	for _, id := range t.ancestors {
		if m := ackIDPattern.FindStringSubmatch(id); m != nil {
			t.reference, t.answersAck = m[1], true
		}
	}
	switch submitted := firstWord(h.Get("Auto-Submitted")); submitted {
	case "", "no", "auto-generated": // scanners and platforms may send reports
	default:
		t.automatic = true
	}
	returnPath := strings.TrimSpace(h.Get("Return-Path"))
	kind, params := mailtext.Params(h.Get("Content-Type"))
	if returnPath == "<>" || kind == "multipart/report" && strings.EqualFold(params["report-type"], "delivery-status") ||
		ackIDPattern.MatchString(t.id) {
		t.automatic = true
	}
	switch firstWord(h.Get("Precedence")) {
	case "bulk", "list", "junk":
		t.list = true
	}
	t.list = t.list || h.Get("List-Id") != "" || firstWord(h.Get("Auto-Submitted")) == "auto-generated" || h.Get("X-Auto-Response-Suppress") != ""
	return t
}

// firstWord returns a header value in lower case, without parameters and comments.
func firstWord(s string) string {
	s, _, _ = strings.Cut(s, ";")
	s, _, _ = strings.Cut(s, "(")
	return strings.ToLower(strings.TrimSpace(s))
}
