package vulnreport

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// SecurityTxt is what /.well-known/security.txt says (RFC 9116). Contacts and
// Expires are required.
type SecurityTxt struct {
	Contacts        []string  // mailto:, https: or tel:, the preferred first
	Expires         time.Time // until when somebody vouches for the file; less than a year ahead
	Encryption      []string  // where the key is: https:, openpgp4fpr: or dns:
	Policy          []string
	Acknowledgments []string
	Languages       []string // "en", "fr"
	Canonical       []string // where this very file is served
	Hiring          []string
}

// SecurityFile serves the file. RFC 9116 forbids researchers to use one that has
// expired, and says nothing of serving it. It is served on: the right address
// with a warning does more good than none, for whoever finds nothing here finds
// a public place for what they know. But it says on its first line what it is,
// is cached by nobody, and people are told until somebody vouches for it again.
type SecurityFile struct {
	expires time.Time
	text    string
	clock   func() time.Time
}

// NewSecurityFile checks the fields and makes the file. The error names every
// fault. clock is time.Now if nil.
func NewSecurityFile(c SecurityTxt, clock func() time.Time) (*SecurityFile, error) {
	if clock == nil {
		clock = time.Now
	}
	var faults []error
	var b strings.Builder
	uris := func(field, name string, values []string, schemes ...string) {
		for n, v := range values {
			if err := uri(v, schemes); err != nil {
				faults = append(faults, fmt.Errorf("%s[%d]: %w", name, n, err))
			}
			fmt.Fprintf(&b, "%s: %s\n", field, v)
		}
	}
	if len(c.Contacts) == 0 {
		faults = append(faults, errors.New("contacts: name at least one, such as mailto:security@example.com"))
	}
	uris("Contact", "contacts", c.Contacts, "mailto", "https", "tel")
	if c.Expires.IsZero() {
		faults = append(faults, errors.New("expires: is missing; a date less than a year ahead, after which somebody has to look at the file again"))
	}
	fmt.Fprintf(&b, "Expires: %s\n", c.Expires.UTC().Format(time.RFC3339))
	uris("Encryption", "encryption", c.Encryption, "https", "openpgp4fpr", "dns")
	uris("Acknowledgments", "acknowledgments", c.Acknowledgments, "https")
	if len(c.Languages) > 0 {
		for n, tag := range c.Languages {
			if err := incident.CheckLanguage(tag); err != nil {
				faults = append(faults, fmt.Errorf("languages[%d]: %w", n, err))
			}
		}
		fmt.Fprintf(&b, "Preferred-Languages: %s\n", strings.Join(c.Languages, ", "))
	}
	uris("Canonical", "canonical", c.Canonical, "https")
	uris("Policy", "policy", c.Policy, "https")
	uris("Hiring", "hiring", c.Hiring, "https")
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return &SecurityFile{expires: c.Expires, text: b.String(), clock: clock}, nil
}

func uri(v string, schemes []string) error {
	u, err := url.Parse(v)
	switch {
	case err != nil || strings.ContainsAny(v, " \t\r\n"):
		return fmt.Errorf("%q is no URI", v)
	case !slices.Contains(schemes, u.Scheme):
		return fmt.Errorf("%q begins with none of %s", v, strings.Join(schemes, ":, ")+":")
	case u.Scheme == "https" && u.Host == "":
		return fmt.Errorf("%q has no host", v)
	}
	return nil
}

// ServeHTTP answers for GET /.well-known/security.txt.
func (f *SecurityFile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "this file is read with GET", http.StatusMethodNotAllowed)
		return
	}
	text, left := f.text, f.expires.Sub(f.clock())
	if left <= 0 {
		text = "# This file expired on " + f.expires.UTC().Format(time.DateOnly) + " and nobody has vouched for it since.\n" +
			"# The address may still be right; do not rely on it, and do not store this copy.\n" + text
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", fmt.Sprintf("max-age=%d", max(0, min(3600, int(left/time.Second)))))
	_, _ = w.Write([]byte(text))
}

// Expires is when the file does.
func (f *SecurityFile) Expires() time.Time { return f.expires }

// reminders are the days before its end at which people are told, the last first.
var reminders = []int{1, 7, 30}

// Reminder names what people are to be told now about the file's end: "30", "7"
// and "1" days before, "expired" behind it, or "" while there is time. It stays
// the same until the next one, so whoever missed the day still tells it, and
// whoever was away for long tells the last one only.
func (f *SecurityFile) Reminder(now time.Time) string {
	left := f.expires.Sub(now)
	if left <= 0 {
		return "expired"
	}
	for _, days := range reminders {
		if left <= time.Duration(days)*24*time.Hour {
			return strconv.Itoa(days)
		}
	}
	return ""
}

// ExpiryWarning says what is wrong with the date, from 30 days before the file
// expires; "" if nothing is.
func (f *SecurityFile) ExpiryWarning(now time.Time) string {
	left := f.expires.Sub(now)
	date := f.expires.UTC().Format(time.DateOnly)
	switch days := int(left / (24 * time.Hour)); {
	case left <= 0:
		return "/.well-known/security.txt expired on " + date + ": check its fields and set a new date, or researchers must not use it"
	case left <= 30*24*time.Hour:
		return fmt.Sprintf("/.well-known/security.txt expires on %s, in %d days: check its fields and set a new date", date, days)
	case left > 366*24*time.Hour:
		return "/.well-known/security.txt expires on " + date + ", more than a year ahead: nobody will look at it for too long"
	}
	return ""
}
