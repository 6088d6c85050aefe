package alertmanager

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/secret"
)

// errNoSecret is our own fault, not the sender's: the edge answers 5xx, and
// Alertmanager tries again.
var errNoSecret = errors.New("alertmanager: neither a token nor a password is configured")

// reminder is how long a delivery that says the same is one that came twice: it
// was tried again, or is the other's of a pair. After that it reminds that the
// alerts still fire. They are worked anew, for a maintenance window may be over
// or a rule another since; what an incident has, or had, they only count for.
const reminder = time.Hour

// Verify checks the credentials in Authorization. The id is made of what the
// delivery says, and of the hour.
func (s *Source) Verify(h http.Header, body []byte, now time.Time) (string, error) {
	genuine, known := s.credentials(h)
	switch {
	case !known:
		return "", errNoSecret
	case !genuine:
		return "", incident.Forbidden("Authorization must carry the bearer token or the basic credentials that are configured here")
	}
	m, err := parse(body)
	if err != nil {
		return "", nil // it is kept under the hash of its body, and shown to a person
	}
	return m.identity(now), nil
}

func (s *Source) credentials(h http.Header) (genuine, known bool) {
	scheme, token, _ := strings.Cut(h.Get("Authorization"), " ")
	genuine, known = secret.EqualAny(s.tokens, strings.TrimSpace(token))
	genuine = genuine && strings.EqualFold(scheme, "Bearer")
	username, password, _ := (&http.Request{Header: h}).BasicAuth()
	for _, b := range s.basic {
		known = known || !b.Password.IsZero()
		if b.Password.Equal(password) && b.Username == username {
			genuine = true
		}
	}
	return genuine, known
}

// message is the body, as far as it is read. Keys that are not known are ignored.
type message struct {
	Version     text   `json:"version"`
	GroupKey    text   `json:"groupKey"`
	Truncated   text   `json:"truncatedAlerts"`
	Receiver    text   `json:"receiver"`
	ExternalURL text   `json:"externalURL"`
	Alerts      []item `json:"alerts"`
}

type item struct {
	Status       text            `json:"status"`
	Labels       map[string]text `json:"labels"`
	Annotations  map[string]text `json:"annotations"`
	StartsAt     text            `json:"startsAt"`
	EndsAt       text            `json:"endsAt"`
	GeneratorURL text            `json:"generatorURL"`
	Fingerprint  text            `json:"fingerprint"`
}

// parse reads a body and says clearly what is wrong with one that is another.
func parse(body []byte) (*message, error) {
	var m message
	err := json.Unmarshal(body, &m)
	var mismatch *json.UnmarshalTypeError
	switch {
	case err != nil && !errors.As(err, &mismatch):
		return nil, fmt.Errorf("not JSON: %w", err)
	case mismatch != nil:
		return nil, fmt.Errorf("%s cannot be of the kind %s; a custom payload template cannot be read", cmp.Or(mismatch.Field, "the body"), mismatch.Value)
	case m.Version == "" && m.GroupKey == "" && len(m.Alerts) == 0:
		return nil, errors.New("version, groupKey and alerts are missing; a custom payload template cannot be read")
	case m.Version != "4":
		return nil, fmt.Errorf("version is %q; only version 4 is known", clip(string(m.Version)))
	case m.GroupKey == "":
		return nil, errors.New("groupKey is missing")
	}
	for n, a := range m.Alerts {
		switch {
		case a.Status != "firing" && a.Status != "resolved":
			return nil, fmt.Errorf("alerts[%d].status is %q; known are firing and resolved", n, clip(string(a.Status)))
		case a.Fingerprint == "" && len(a.Labels) == 0:
			return nil, fmt.Errorf("alerts[%d] has neither a fingerprint nor labels", n)
		}
	}
	return &m, nil
}

// identity is the same for two deliveries that say the same, in whatever order
// and with whatever annotations. That more alerts were cut off is news.
func (m *message) identity(now time.Time) string {
	said := make([]string, len(m.Alerts))
	for n, a := range m.Alerts {
		said[n] = a.identity() + " " + string(a.Status)
		if a.Status == "resolved" {
			said[n] += " " + string(a.EndsAt)
		}
	}
	slices.Sort(said)
	hour := now.UTC().Truncate(reminder).Format(time.RFC3339)
	return digest(append([]string{hour, string(m.GroupKey), string(m.Receiver), string(m.Truncated)}, said...)...)
}

// identity of an alert: who it is and since when.
func (a *item) identity() string {
	who := string(a.Fingerprint)
	if who == "" {
		var pairs []string
		for _, k := range slices.Sorted(maps.Keys(a.Labels)) {
			pairs = append(pairs, k, string(a.Labels[k]))
		}
		who = digest(pairs...)[:16]
	}
	since := string(a.StartsAt)
	if at := instant(a.StartsAt); !at.IsZero() { // two of a pair may write one time in two zones
		since = at.Format(time.RFC3339Nano)
	}
	return who + " " + since
}

// maxResolved is how many resolved alerts of one delivery are noted one by one.
const maxResolved = 5

// Decode makes an alert of each alert that fires and a note of each that is
// resolved, which moves nothing. Where many are resolved at once, one note says so.
// In a drill each fires anew, although an incident dealt with it.
func (*Source) Decode(h http.Header, body []byte) ([]incident.Signal, error) {
	m, err := parse(body)
	if err != nil {
		return nil, fmt.Errorf("decode alertmanager webhook: %w", err)
	}
	out := make([]incident.Signal, 0, len(m.Alerts))
	var resolved []item
	for _, a := range m.Alerts {
		if a.Status == "firing" {
			alert := m.alert(a)
			alert.Ongoing = alert.Ongoing && h.Get(incident.HeaderDrill) == ""
			out = append(out, incident.Signal{Alert: alert})
		} else {
			resolved = append(resolved, a)
		}
	}
	if len(resolved) > maxResolved {
		return append(out, m.resolved(resolved...)), nil
	}
	for _, a := range resolved {
		out = append(out, m.resolved(a))
	}
	return out, nil
}

func (m *message) correlation() string { return name + ":" + digest(string(m.GroupKey))[:32] }

func (m *message) alert(a item) *incident.Alert {
	tags := make(map[string]string, len(a.Labels))
	for k, v := range a.Labels {
		tags[k] = string(v)
	}
	return &incident.Alert{
		Source: name, Kind: "alertmanager.alert", Level: level(a.label("severity")),
		Title: a.title(), Detail: m.detail(a),
		Fingerprint: name + ":" + a.identity(), Correlation: m.correlation(),
		EventID: string(a.Fingerprint), At: instant(a.StartsAt), URL: webURL(a.GeneratorURL, m.ExternalURL),
		Project:     string(a.label("service", "job", "namespace")),
		Environment: string(a.label("environment", "env", "cluster")),
		Region:      string(a.label("region")), Account: string(a.label("account", "account_id")),
		Tags: tags, Rule: string(a.Labels["alertname"]), Ongoing: !instant(a.StartsAt).IsZero(),
	}
}

// resolved is noted in the incident of the group.
func (m *message) resolved(items ...item) incident.Signal {
	said := make([]string, 0, 2*len(items))
	titles := make([]string, 0, maxResolved+1)
	var at time.Time
	for n, a := range items {
		said = append(said, a.identity(), string(a.EndsAt))
		if n < maxResolved {
			titles = append(titles, a.which())
		}
		if end := instant(a.EndsAt); end.After(at) {
			at = end
		}
	}
	if n := len(items) - maxResolved; n > 0 {
		titles = append(titles, fmt.Sprintf("and %d more", n))
	}
	return incident.Signal{
		Command: &incident.Command{
			Key:  name + ":" + digest(append([]string{"resolved"}, said...)...),
			Verb: incident.VerbSourceNote, By: incident.Identity{Provider: incident.ProviderSource, ID: name},
			Auth: "alertmanager webhook", Via: incident.ViaSource, HappenedAt: at,
			Text: "Alertmanager: " + strings.Join(titles, ", ") + ": resolved",
		},
		Subject: incident.IncidentRef{Correlation: m.correlation()},
	}
}

func (a *item) label(names ...string) text {
	for _, n := range names {
		if v := a.Labels[n]; v != "" {
			return v
		}
	}
	return ""
}

func (a *item) title() string {
	for _, n := range []string{"summary", "title"} {
		if v := strings.TrimSpace(string(a.Annotations[n])); v != "" {
			return v
		}
	}
	title := a.Labels["alertname"]
	if title == "" {
		title = "Alert " + a.Fingerprint
	}
	if at := a.label("instance", "service", "job"); at != "" {
		title += " on " + at
	}
	return string(title)
}

// which is the title, and of which instance where that does not show: what is
// resolved for one may go on for another.
func (a *item) which() string {
	title, at := a.title(), string(a.label("instance", "service", "job"))
	if at == "" || strings.Contains(title, at) {
		return title
	}
	return title + " (" + at + ")"
}

// detail is what a responder reads next: the annotations that are sentences,
// how much of the group was cut off, and the labels.
func (m *message) detail(a item) string {
	var out []string
	for _, n := range []string{"description", "message", "runbook_url", "dashboard_url"} {
		if v := strings.TrimSpace(string(a.Annotations[n])); v != "" {
			if n != "description" && n != "message" {
				v = n + ": " + v
			}
			out = append(out, v)
		}
	}
	if n, err := strconv.ParseUint(string(m.Truncated), 10, 64); err == nil && n > 0 {
		out = append(out, fmt.Sprintf("Alertmanager cut off %d more alerts of this group (max_alerts); that they are missing here does not mean they are resolved.", n))
	}
	for _, k := range slices.Sorted(maps.Keys(a.Labels)) {
		out = append(out, k+" = "+string(a.Labels[k]))
	}
	return strings.Join(out, "\n")
}

// level translates the label severity, whose values are anybody's choice. One
// that is not known is taken seriously enough to be looked at.
func level(severity text) incident.Level {
	switch strings.ToLower(string(severity)) {
	case "critical", "page", "fatal", "emergency", "disaster", "p1", "sev1":
		return incident.LevelCritical
	case "high", "error", "major", "p2", "sev2":
		return incident.LevelHigh
	case "low", "info", "notice", "p4", "sev4":
		return incident.LevelLow
	case "informational", "none", "debug":
		return incident.LevelInformational
	}
	return incident.LevelMedium
}

// digest is a hash of several texts, none of which can run into the next.
func digest(ss ...string) string {
	h := sha256.New()
	for _, s := range ss {
		fmt.Fprintf(h, "%d:%s,", len(s), s)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// instant reads a time; the zero time of Alertmanager is Go's.
func instant(s text) time.Time {
	t, err := time.Parse(time.RFC3339Nano, string(s))
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// webURL is the first address that a person may safely click.
func webURL(candidates ...text) string {
	for _, c := range candidates {
		if u, err := url.Parse(string(c)); err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") {
			return string(c)
		}
	}
	return ""
}

func clip(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}

// text is a string, a number or a boolean; null reads as absent.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*t = text(s)
	case 'n':
		*t = ""
	case '{', '[':
		return fmt.Errorf("a list or an object stands where a text is expected: %s", clip(string(b)))
	default:
		*t = text(b)
	}
	return nil
}
