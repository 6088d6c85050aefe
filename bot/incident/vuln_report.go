package incident

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
)

// VulnReport is what an alert that a person sent has besides: whom to tell that it
// arrived, and by what it is known again. It is sealed like the alert it is part of.
type VulnReport struct {
	Reply         *Reply         `json:"reply,omitempty"` // nil: nobody is told
	DuplicateKeys []DuplicateKey `json:"duplicate_keys,omitempty"`
}

// Reply is where the acknowledgement of a report goes. The address is the
// reporter's own word; it leaves the house on that mail and nowhere else.
type Reply struct {
	Reference  string    `json:"reference"`             // the report's name for its reporter: "VR-K7Q2M-9XWDA"
	To         string    `json:"to"`                    // one address
	ReplyTo    string    `json:"reply_to,omitempty"`    // where an answer goes that is to join the report; empty: nowhere
	InReplyTo  string    `json:"in_reply_to,omitempty"` // the Message-ID it answers, without brackets
	References []string  `json:"references,omitempty"`  // of the thread, without brackets
	At         time.Time `json:"at,omitzero"`           // when the report was taken; filled in when it is sent
}

// AckKey is the key of the effect that acknowledges a report: one for each
// report, for ever. The Message-ID is made of it, so a repeat has the same one,
// and by it an answer to the acknowledgement is known.
func (r Reply) AckKey() string { return "ack/" + r.Reference }

// DuplicateKey is something that two reports of one weakness have in common.
type DuplicateKey struct {
	Kind  string `json:"kind"`  // for people: "the same reporter and title"
	Value string `json:"value"` // a digest; reports that share it may be the same
}

// maxDuplicateKeys bounds what is looked up for one report.
const maxDuplicateKeys = 8

var (
	cve = regexp.MustCompile(`(?i)\bCVE-[0-9]{4}-[0-9]{4,7}\b`)
	// assetLine is a line that says where the weakness is, as templates of reports have it.
	assetLine = regexp.MustCompile(`(?im)^[ \t*_#>-]*(?:(?:affected|vulnerable)[ \t]+)?(?:url|uri|address|asset|endpoint|target|where)[ \t*_]*[:=][ \t*_]*(\S+)`)
	// subjectPrefix is what mail programs and trackers put before a title.
	subjectPrefix = regexp.MustCompile(`(?i)^(?:(?:re|fwd?|aw|wg)\s*:|\[[^\]]{0,40}\]|\s)+`)
	number        = regexp.MustCompile(`^(?:[0-9]+|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|[0-9a-fA-F]{16,})$`)
)

// DuplicateKeys lists what a report is known again by: the CVEs it names, the addresses
// it says are affected, its title, and its title with its reporter. asset is what
// the reporter filled in as affected. A host alone, or a title of less than three
// words, is shared by too many reports to mean anything, and is left out.
func DuplicateKeys(reporter, title, asset, text string) []DuplicateKey {
	var out []DuplicateKey
	add := func(what string, parts ...string) {
		sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
		t := DuplicateKey{Kind: what, Value: hex.EncodeToString(sum[:16])}
		if len(out) < maxDuplicateKeys && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	title = normalizeTitle(subjectPrefix.ReplaceAllString(title, ""))
	long := strings.Count(title, " ") >= 2
	if reporter = strings.ToLower(strings.TrimSpace(reporter)); reporter != "" && title != "" {
		add("the same reporter and title", "reporter", reporter, title)
	}
	if long {
		add("the same title", "title", title)
	}
	for _, id := range cve.FindAllString(title+"\n"+text, 3) { // words keeps the hyphens
		id = strings.ToUpper(id)
		add("both name "+id, "cve", id)
	}
	places := []string{asset}
	for _, m := range assetLine.FindAllStringSubmatch(text, 3) {
		places = append(places, m[1])
	}
	for _, p := range places {
		if where := normalizeURL(p); where != "" {
			add("the same affected address", "address", where)
		}
	}
	return out
}

// normalizeTitle is a title in small letters without punctuation, so that two ways of
// writing it are one.
func normalizeTitle(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsNumber(r) && r != '-'
	}), " ")
}

// normalizeURL is an address without what differs from try to try: scheme, query,
// numbers and ids in its path; "" where it names no path.
func normalizeURL(s string) string {
	s = strings.Trim(strings.TrimSpace(s), "<>()[]`\"'*_,;.")
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil || !strings.Contains(u.Hostname(), ".") {
		return ""
	}
	parts := strings.Split(strings.Trim(path.Clean("/"+u.Path), "/"), "/")
	if parts[0] == "" {
		return ""
	}
	for n, p := range parts {
		if number.MatchString(p) {
			parts[n] = "*"
		}
	}
	return strings.ToLower(u.Hostname()) + "/" + strings.Join(parts, "/")
}
