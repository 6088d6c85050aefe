package vulnreport

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/setting"
)

// SecurityTxt holds the fields of /.well-known/security.txt (RFC 9116). Contacts and
// Expires are required.
type SecurityTxt struct {
	Contacts        []string    `yaml:"contacts"`   // mailto:, https: or tel:, in order of preference
	Expires         setting.Day `yaml:"expires"`    // when the file must be reviewed, less than a year ahead
	Encryption      []string    `yaml:"encryption"` // URIs of PGP keys: https:, openpgp4fpr: or dns:
	Policy          []string    `yaml:"policy"`
	Acknowledgments []string    `yaml:"acknowledgments"`
	Languages       []string    `yaml:"languages"` // "en", "fr"
	Canonical       []string    `yaml:"canonical"` // URLs of this file
	Hiring          []string    `yaml:"hiring"`
}

// Validate returns the problems of the fields.
func (c SecurityTxt) Validate() setting.Problems {
	_, p := c.render()
	return p
}

// SecurityFile serves security.txt. It is safe for concurrent use.
//
// RFC 9116 forbids researchers to use an expired file, but does not forbid to serve it.
// SecurityFile serves an expired file with a warning in the first line and without
// caching. A researcher without a contact might publish the vulnerability instead.
// [SecurityFile.Reminder] reminds the security team until the file is renewed.
type SecurityFile struct {
	expires time.Time
	text    string
	clock   func() time.Time
}

// NewSecurityFile validates the fields and returns the file. The error joins all
// problems. If clock is nil, time.Now is used.
func NewSecurityFile(c SecurityTxt, clock func() time.Time) (*SecurityFile, error) {
	text, p := c.render()
	if err := p.Err(); err != nil {
		return nil, err
	}
	if clock == nil {
		clock = time.Now
	}
	return &SecurityFile{expires: c.Expires.Time, text: text, clock: clock}, nil
}

// render returns the text of the file, and the problems of its fields.
func (c SecurityTxt) render() (text string, p setting.Problems) {
	var b strings.Builder
	uris := func(field, name string, values []string, schemes ...string) {
		for n, v := range values {
			if err := checkURI(v, schemes); err != nil {
				p.Add(setting.Index(name, n), "%v", err)
			}
			fmt.Fprintf(&b, "%s: %s\n", field, v)
		}
	}
	if len(c.Contacts) == 0 {
		p.Add("contacts", "add at least one, such as mailto:security@example.com")
	}
	uris("Contact", "contacts", c.Contacts, "mailto", "https", "tel")
	if c.Expires.IsZero() {
		p.Add("expires", "set a date less than a year ahead, when the file must be reviewed")
	}
	fmt.Fprintf(&b, "Expires: %s\n", c.Expires.UTC().Format(time.RFC3339))
	uris("Encryption", "encryption", c.Encryption, "https", "openpgp4fpr", "dns")
	uris("Acknowledgments", "acknowledgments", c.Acknowledgments, "https")
	if len(c.Languages) > 0 {
		for n, tag := range c.Languages {
			if err := incident.CheckLanguage(tag); err != nil {
				p.Add(setting.Index("languages", n), "%v", err)
			}
		}
		fmt.Fprintf(&b, "Preferred-Languages: %s\n", strings.Join(c.Languages, ", "))
	}
	uris("Canonical", "canonical", c.Canonical, "https")
	uris("Policy", "policy", c.Policy, "https")
	uris("Hiring", "hiring", c.Hiring, "https")
	return b.String(), p
}

func checkURI(v string, schemes []string) error {
	u, err := url.Parse(v)
	switch {
	case err != nil || strings.ContainsAny(v, " \t\r\n"):
		return fmt.Errorf("%q is not a URI", v)
	case !slices.Contains(schemes, u.Scheme):
		return fmt.Errorf("%q must begin with one of %s", v, strings.Join(schemes, ":, ")+":")
	case u.Scheme == "https" && u.Host == "":
		return fmt.Errorf("%q has no host", v)
	}
	return nil
}

// ServeHTTP handles GET and HEAD requests for /.well-known/security.txt.
func (f *SecurityFile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed, use GET", http.StatusMethodNotAllowed)
		return
	}
	text, left := f.text, f.expires.Sub(f.clock())
	if left <= 0 {
		text = "# This file expired on " + f.expires.UTC().Format(time.DateOnly) + " and has not been renewed.\n" +
			"# The contacts below may be outdated. Do not rely on them, and do not store this copy.\n" + text
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", fmt.Sprintf("max-age=%d", max(0, min(3600, int(left/time.Second)))))
	_, _ = w.Write([]byte(text))
}

// Expires returns the expiry date.
func (f *SecurityFile) Expires() time.Time { return f.expires }

// reminderDays lists the reminders as days before the expiry date, last one first.
var reminderDays = []int{1, 7, 30}

// Reminder returns the reminder that is due at now: "30", "7" or "1" for the days
// before the expiry date, "expired" after it, or "" before the first reminder. The
// result stays unchanged until the next reminder. A process that was down on the day
// still sends it, and after a long outage sends only the latest one.
func (f *SecurityFile) Reminder(now time.Time) string {
	left := f.expires.Sub(now)
	if left <= 0 {
		return "expired"
	}
	for _, days := range reminderDays {
		if left <= time.Duration(days)*24*time.Hour {
			return strconv.Itoa(days)
		}
	}
	return ""
}

// ExpiryWarning returns a warning if the file has expired, expires within 30 days, or
// expires in more than a year. Otherwise it returns "".
func (f *SecurityFile) ExpiryWarning(now time.Time) string {
	left := f.expires.Sub(now)
	date := f.expires.UTC().Format(time.DateOnly)
	switch days := int(left / (24 * time.Hour)); {
	case left <= 0:
		return "/.well-known/security.txt expired on " + date + " and researchers must not use it: check its fields and set a new date"
	case left <= 30*24*time.Hour:
		return fmt.Sprintf("/.well-known/security.txt expires on %s, in %d days: check its fields and set a new date", date, days)
	case left > 366*24*time.Hour:
		return "/.well-known/security.txt expires on " + date + ", more than a year ahead: set an earlier date to review the file every year"
	}
	return ""
}
