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

// VulnReport is the part of an alert that only a vulnerability report has. The
// store encrypts it with the alert.
type VulnReport struct {
	Reply         *Reply         `json:"reply,omitempty"` // nil: no acknowledgement is sent
	DuplicateKeys []DuplicateKey `json:"duplicate_keys,omitempty"`
	// Thread is the correlation key of the mail thread without regard to the author, or "".
	// A mail that answers an earlier one joins the live incident of its thread. Any other
	// mail does not, because a stranger can repeat the Message-ID of a report.
	Thread  string `json:"thread,omitempty"`
	Answers bool   `json:"answers,omitempty"`
}

// Reply holds the addressing of the acknowledgement of a report. The addresses are
// claims of the reporter. Tocsin uses them for this mail only.
type Reply struct {
	Reference  string    `json:"reference"`             // reference for the reporter: "VR-K7Q2M-9XWDA"
	To         string    `json:"to"`                    // one address
	ReplyTo    string    `json:"reply_to,omitempty"`    // address for answers that are attached to the report, may be empty
	InReplyTo  string    `json:"in_reply_to,omitempty"` // Message-ID of the report, without brackets
	References []string  `json:"references,omitempty"`  // Message-IDs of the thread, without brackets
	At         time.Time `json:"at,omitzero"`           // time of receipt, set when the mail is sent
}

// AckKey returns the key of the effect that acknowledges the report. It is unique
// for each report. The Message-ID of the acknowledgement is derived from it:
// repeated mails share it, and answers refer to it.
func (r Reply) AckKey() string { return "ack/" + r.Reference }

// DuplicateKey is a property that reports of one weakness share.
type DuplicateKey struct {
	Kind  string `json:"kind"`  // for people: "the same reporter and title"
	Value string `json:"value"` // digest, equal for possible duplicates
}

// maxDuplicateKeys is the maximum number of keys of one report.
const maxDuplicateKeys = 8

var (
	cve = regexp.MustCompile(`(?i)\bCVE-[0-9]{4}-[0-9]{4,7}\b`)
	// assetLine matches the line with the affected asset in common report templates.
	assetLine = regexp.MustCompile(`(?im)^[ \t*_#>-]*(?:(?:affected|vulnerable)[ \t]+)?(?:url|uri|address|asset|endpoint|target|where)[ \t*_]*[:=][ \t*_]*(\S+)`)
	// subjectPrefix matches the prefixes that mail programs and trackers add to a title.
	subjectPrefix = regexp.MustCompile(`(?i)^(?:(?:re|fwd?|aw|wg)\s*:|\[[^\]]{0,40}\]|\s)+`)
	number        = regexp.MustCompile(`^(?:[0-9]+|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|[0-9a-fA-F]{16,})$`)
)

// DuplicateKeys returns the properties that possible duplicates of a report share:
// its CVEs, affected addresses, title, and title with reporter. asset is the
// affected asset as entered by the reporter. A host without a path and a title of
// less than three words are ignored, because too many reports share them.
func DuplicateKeys(reporter, title, asset, text string) []DuplicateKey {
	var out []DuplicateKey
	add := func(kind string, parts ...string) {
		sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
		t := DuplicateKey{Kind: kind, Value: hex.EncodeToString(sum[:16])}
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
	for _, id := range cve.FindAllString(title+"\n"+text, 3) { // normalizeTitle preserves hyphens
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

// normalizeTitle returns a title in lower case without punctuation except hyphens.
func normalizeTitle(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsNumber(r) && r != '-'
	}), " ")
}

// normalizeURL returns host and path of a URL, with numbers and ids in the path
// replaced, which differ between attempts. It returns "" if the path is empty.
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
