package alertmanager

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/secret"
	"tocsin/bot/text"
)

// errNoSecret is a configuration error. The edge answers it with a 5xx status,
// and Alertmanager retries.
var errNoSecret = errors.New("alertmanager: neither a token nor a password is configured")

// dedupWindow is how long a delivery with the same alerts counts as a duplicate:
// a retry, or the notification of the other Alertmanager of a pair. A later
// delivery is a reminder that the alerts still fire. It is routed again because a
// maintenance window may have ended or a rule may have changed. Alerts that
// already belong to an incident are only counted.
const dedupWindow = time.Hour

// Verify checks the credentials in the Authorization header. It returns the
// delivery ID, or an empty ID if the body cannot be decoded.
func (s *Source) Verify(_ context.Context, h http.Header, body []byte, now time.Time) (string, error) {
	genuine, configured := s.checkCredentials(h)
	switch {
	case !configured:
		return "", errNoSecret
	case !genuine:
		return "", incident.Forbidden("the Authorization header must contain the configured bearer token or basic credentials")
	}
	m, err := parse(body)
	if err != nil {
		return "", nil // the edge uses the hash of the body, and a person reviews the delivery
	}
	return m.deliveryID(now), nil
}

func (s *Source) checkCredentials(h http.Header) (genuine, configured bool) {
	scheme, token, _ := strings.Cut(h.Get("Authorization"), " ")
	genuine, configured = secret.EqualAny(s.tokens, strings.TrimSpace(token))
	genuine = genuine && strings.EqualFold(scheme, "Bearer")
	username, password, _ := (&http.Request{Header: h}).BasicAuth()
	for _, b := range s.basic {
		configured = configured || !b.Password.IsZero()
		if b.Password.Equal(password) && b.Username == username {
			genuine = true
		}
	}
	return genuine, configured
}

// message holds the fields of the body that Tocsin reads. Unknown keys are
// ignored.
type message struct {
	Version     scalar    `json:"version"`
	GroupKey    scalar    `json:"groupKey"`
	Truncated   scalar    `json:"truncatedAlerts"`
	Receiver    scalar    `json:"receiver"`
	ExternalURL scalar    `json:"externalURL"`
	Alerts      alertList `json:"alerts"`
}

type alertItem struct {
	Status       scalar            `json:"status"`
	Labels       map[string]scalar `json:"labels"`
	Annotations  map[string]scalar `json:"annotations"`
	StartsAt     scalar            `json:"startsAt"`
	EndsAt       scalar            `json:"endsAt"`
	GeneratorURL scalar            `json:"generatorURL"`
	Fingerprint  scalar            `json:"fingerprint"`
}

// parse decodes a body. The error describes a body that is not a version 4
// webhook.
func parse(body []byte) (*message, error) {
	var m message
	err := json.Unmarshal(body, &m)
	var mismatch *json.UnmarshalTypeError
	switch {
	case err != nil && !errors.As(err, &mismatch):
		return nil, fmt.Errorf("not JSON: %w", err)
	case mismatch != nil:
		return nil, fmt.Errorf("custom payload templates are not supported: %s has the unexpected type %s", cmp.Or(mismatch.Field, "the body"), mismatch.Value)
	case m.Version == "" && m.GroupKey == "" && len(m.Alerts.items) == 0:
		return nil, errors.New("custom payload templates are not supported: version, groupKey and alerts are missing")
	case m.Version != "4":
		return nil, fmt.Errorf("version is %q, want 4", text.Truncate(string(m.Version), 40))
	case m.GroupKey == "":
		return nil, errors.New("groupKey is missing")
	}
	for n, a := range m.Alerts.items {
		switch {
		case a.Status != "firing" && a.Status != "resolved":
			return nil, fmt.Errorf("alerts[%d].status is %q, want firing or resolved", n, text.Truncate(string(a.Status), 40))
		case a.Fingerprint == "" && len(a.Labels) == 0:
			return nil, fmt.Errorf("alerts[%d] has neither a fingerprint nor labels", n)
		}
	}
	return &m, nil
}

// deliveryID returns equal IDs for deliveries with equal alerts and states within
// one [dedupWindow], regardless of order and annotations. A changed count of
// truncated alerts changes the ID.
func (m *message) deliveryID(now time.Time) string {
	states := make([]string, len(m.Alerts.items))
	for n, a := range m.Alerts.items {
		states[n] = a.firingID() + " " + string(a.Status)
		if a.Status == "resolved" {
			states[n] += " " + string(a.EndsAt)
		}
	}
	slices.Sort(states)
	if m.Alerts.digest != "" {
		states = append(states, m.Alerts.digest)
	}
	hour := now.UTC().Truncate(dedupWindow).Format(time.RFC3339)
	return digest(append([]string{hour, string(m.GroupKey), string(m.Receiver), string(m.Truncated)}, states...)...)
}

// firingID identifies one firing of an alert: its fingerprint, or a digest of its
// labels if it has none, and its start time.
func (a *alertItem) firingID() string {
	id := string(a.Fingerprint)
	if id == "" {
		var pairs []string
		for _, k := range slices.Sorted(maps.Keys(a.Labels)) {
			pairs = append(pairs, k, string(a.Labels[k]))
		}
		id = digest(pairs...)[:16]
	}
	start := string(a.StartsAt)
	if at := text.Time(a.StartsAt); !at.IsZero() { // two Alertmanagers may use different time zones
		start = at.Format(time.RFC3339Nano)
	}
	return id + " " + start
}

// maxResolvedNotes is the maximum number of resolved alerts of one delivery that
// get a note each.
const maxResolvedNotes = 5

// Decode returns an alert for each firing alert and a note for each resolved one.
// A note does not change the status of an incident. If more than
// [maxResolvedNotes] alerts are resolved, one note lists them.
func (*Source) Decode(_ http.Header, body []byte) ([]incident.Signal, error) {
	m, err := parse(body)
	if err != nil {
		return nil, fmt.Errorf("decode alertmanager webhook: %w", err)
	}
	out := make([]incident.Signal, 0, len(m.Alerts.items)+1)
	var resolved []alertItem
	for _, a := range m.Alerts.items {
		if a.Status == "firing" {
			out = append(out, incident.Signal{Alert: m.alert(a)})
		} else {
			resolved = append(resolved, a)
		}
	}
	if m.Alerts.unread > 0 {
		out = append(out, incident.Signal{Alert: m.unreadAlert()})
	}
	if len(resolved) > maxResolvedNotes {
		return append(out, m.resolved(resolved...)), nil
	}
	for _, a := range resolved {
		out = append(out, m.resolved(a))
	}
	return out, nil
}

func (m *message) correlation() string { return sourceName + ":" + digest(string(m.GroupKey))[:32] }

func (m *message) alert(a alertItem) *incident.Alert {
	tags := make(map[string]string, len(a.Labels))
	for k, v := range a.Labels {
		tags[k] = string(v)
	}
	return &incident.Alert{
		Source: sourceName, Kind: "alertmanager.alert", Level: level(a.label("severity")),
		Title: a.title(), Detail: m.detail(a),
		Fingerprint: sourceName + ":" + a.firingID(), Correlation: m.correlation(),
		EventID: string(a.Fingerprint), At: text.Time(a.StartsAt), URL: text.WebURL(a.GeneratorURL, m.ExternalURL),
		Project:     string(a.label("service", "job", "namespace")),
		Environment: string(a.label("environment", "env", "cluster")),
		Region:      string(a.label("region")), Account: string(a.label("account", "account_id")),
		Tags: tags, Rule: string(a.Labels["alertname"]), Ongoing: !text.Time(a.StartsAt).IsZero(),
	}
}

// resolved returns a note for the incident of the group.
func (m *message) resolved(items ...alertItem) incident.Signal {
	keyParts := make([]string, 0, 2*len(items))
	titles := make([]string, 0, maxResolvedNotes+1)
	var at time.Time
	for n, a := range items {
		keyParts = append(keyParts, a.firingID(), string(a.EndsAt))
		if n < maxResolvedNotes {
			titles = append(titles, a.titleWithInstance())
		}
		if end := text.Time(a.EndsAt); end.After(at) {
			at = end
		}
	}
	if n := len(items) - maxResolvedNotes; n > 0 {
		titles = append(titles, fmt.Sprintf("and %d more", n))
	}
	return incident.Signal{
		Command: &incident.Command{
			Key:  sourceName + ":" + digest(append([]string{"resolved"}, keyParts...)...),
			Verb: incident.VerbSourceNote, By: incident.Identity{Provider: incident.ProviderSource, ID: sourceName},
			Auth: "alertmanager webhook", Via: incident.ViaSource, HappenedAt: at,
			Text: "Alertmanager: " + strings.Join(titles, ", ") + ": resolved",
		},
		Subject: incident.IncidentRef{Correlation: m.correlation()},
	}
}

func (a *alertItem) label(names ...string) scalar {
	for _, n := range names {
		if v := a.Labels[n]; v != "" {
			return v
		}
	}
	return ""
}

func (a *alertItem) title() string {
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

// titleWithInstance returns the title and the instance, unless the title already
// contains the instance. An alert resolved for one instance may still fire for
// another.
func (a *alertItem) titleWithInstance() string {
	title, at := a.title(), string(a.label("instance", "service", "job"))
	if at == "" || strings.Contains(title, at) {
		return title
	}
	return title + " (" + at + ")"
}

// detail returns the annotations that responders need, the number of truncated
// alerts, and the labels.
func (m *message) detail(a alertItem) string {
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
		out = append(out, fmt.Sprintf("Alertmanager truncated %d more alerts of this group (max_alerts). They may still be firing.", n))
	}
	for _, k := range slices.Sorted(maps.Keys(a.Labels)) {
		out = append(out, k+" = "+string(a.Labels[k]))
	}
	return strings.Join(out, "\n")
}

// level converts the severity label. Its values are free text, so an unknown
// value becomes medium for a responder to review.
func level(severity scalar) incident.Level {
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

// digest returns a hex SHA-256 of the strings, each prefixed with its length
// because plain concatenation would be ambiguous.
func digest(ss ...string) string {
	h := sha256.New()
	for _, s := range ss {
		fmt.Fprintf(h, "%d:%s,", len(s), s)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// scalar decodes a JSON string, number or boolean. It decodes null as "".
type scalar string

func (t *scalar) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*t = scalar(s)
	case 'n':
		*t = ""
	case '{', '[':
		return fmt.Errorf("want a string, got a list or an object: %s", text.Truncate(string(b), 40))
	default:
		*t = scalar(b)
	}
	return nil
}
