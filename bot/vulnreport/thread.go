package vulnreport

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"

	"github.com/emersion/go-message/mail"
)

// thread is where a mail belongs, by its headers.
type thread struct {
	id         string   // of the mail; its hash where it has none
	before     []string // the mails it answers, the first one first
	reference  string   // of the whole thread
	automatic  bool     // a machine wrote it by itself: an absence note, a bounce
	list       bool     // it came over a list, or in bulk
	answersOur bool     // it answers an acknowledgement of ours
}

// acknowledged is the id of a mail by which we acknowledged a report: the key of
// that effect, as a Message-ID.
var acknowledged = regexp.MustCompile(`^ack\.(VR-[0-9A-Z]{5}-[0-9A-Z]{5})@`)

// threadOf reads the headers. A thread has the reference of its first mail, or
// the one that our acknowledgement names: a reporter's next mail joins the
// incident of the first.
func threadOf(h mail.Header, raw []byte) thread {
	t := thread{}
	t.id, _ = h.MessageID()
	if t.id == "" {
		t.id = fmt.Sprintf("%x", sha256.Sum256(raw))
	}
	references, _ := h.MsgIDList("References")
	answered, _ := h.MsgIDList("In-Reply-To")
	t.before = append(references, answered...)
	root := t.id
	if len(t.before) > 0 {
		root = t.before[0]
	}
	t.reference = reference(root)
	for _, id := range t.before {
		if m := acknowledged.FindStringSubmatch(id); m != nil {
			t.reference, t.answersOur = m[1], true
		}
	}
	switch submitted := word(h.Get("Auto-Submitted")); submitted {
	case "", "no", "auto-generated": // a scanner's or a platform's mail may well be a report
	default:
		t.automatic = true
	}
	returnPath := strings.TrimSpace(h.Get("Return-Path"))
	kind, params, _ := h.ContentType()
	if returnPath == "<>" || kind == "multipart/report" && strings.EqualFold(params["report-type"], "delivery-status") ||
		acknowledged.MatchString(t.id) {
		t.automatic = true
	}
	switch word(h.Get("Precedence")) {
	case "bulk", "list", "junk":
		t.list = true
	}
	t.list = t.list || h.Get("List-Id") != "" || word(h.Get("Auto-Submitted")) == "auto-generated" || h.Get("X-Auto-Response-Suppress") != ""
	return t
}

// word is the first word of a header, before its parameters.
func word(s string) string {
	s, _, _ = strings.Cut(s, ";")
	s, _, _ = strings.Cut(s, "(")
	return strings.ToLower(strings.TrimSpace(s))
}
