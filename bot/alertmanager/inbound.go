package alertmanager

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
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

// VerifyHeader is [intake.HeaderVerifier].
func (s *Source) VerifyHeader(h http.Header) (possible bool, err error) {
	_, err = s.Verify(context.Background(), h, nil, time.Time{})
	return true, err
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

// maxResolvedNotes is the maximum number of resolved alerts of one delivery that
// get a note each.
const maxResolvedNotes = 5

// Decode returns an alert for each firing alert and a note for each resolved one.
// A note does not change the status of an incident. If more than
// [maxResolvedNotes] alerts are resolved, one note lists them. It returns an
// [*intake.Unread] with the signals of the other items if some cannot be read.
func (*Source) Decode(_ http.Header, body []byte) ([]incident.Signal, error) {
	m, err := parse(body)
	if err != nil {
		return nil, fmt.Errorf("decode alertmanager webhook: %w", err)
	}
	out := make([]incident.Signal, 0, len(m.Alerts.items)+2)
	var resolved []alertItem
	for _, a := range m.Alerts.items {
		if a.isResolved() {
			resolved = append(resolved, a)
			continue
		}
		out = append(out, incident.Signal{Alert: m.alert(a)})
	}
	for _, a := range m.leftOut() {
		out = append(out, incident.Signal{Alert: a})
	}
	if len(resolved) > maxResolvedNotes {
		return append(out, m.resolved(resolved...)), m.err()
	}
	for _, a := range resolved {
		out = append(out, m.resolved(a))
	}
	return out, m.err()
}

// leftOut returns the alerts about the alerts of the group that are not in items: those
// beyond maxAlerts, and those that the sender left out.
func (m *message) leftOut() (out []*incident.Alert) {
	if n := m.Alerts.beyond; n > 0 {
		out = append(out, m.leftOutAlert(m.Alerts.worst, n, "unread", fmt.Sprintf("%d more alerts of one Alertmanager delivery were not read", n),
			fmt.Sprintf("Tocsin reads %d alerts of one delivery. See Alertmanager for the others. Set max_alerts or group by more labels.", maxAlerts)))
	}
	n, err := strconv.ParseUint(string(m.Truncated), 10, 64)
	worst, firing := m.worst()
	if err != nil || n == 0 || !firing {
		return out
	}
	return append(out, m.leftOutAlert(worst, int(min(n, math.MaxInt32)), "truncated", fmt.Sprintf("%d more alerts of this group were left out by Alertmanager", n),
		"Alertmanager truncated the group (max_alerts). The others may still be firing, and may be more severe. See Alertmanager for them."))
}

// worst returns the most severe alert that fires, and whether there is one.
func (m *message) worst() (worst alertItem, firing bool) {
	for _, a := range m.Alerts.items {
		if !a.isResolved() && (!firing || isMoreSevere(a.level(), worst.level())) {
			worst, firing = a, true
		}
	}
	return worst, firing
}

func (m *message) alert(a alertItem) *incident.Alert {
	tags := make(map[string]string, len(a.Labels))
	for k, v := range a.Labels {
		tags[k] = string(v)
	}
	fingerprint := sourceName + ":" + a.firingID()
	return &incident.Alert{
		Source: sourceName, Kind: "alertmanager.alert", Level: a.level(),
		Title: a.title(), Detail: m.detail(a),
		Fingerprint: fingerprint, Correlation: cmp.Or(m.correlation(), fingerprint),
		EventID: string(a.Fingerprint), At: text.Timestamp(a.StartsAt), URL: text.WebURL(a.PanelURL, a.DashboardURL, a.GeneratorURL, m.ExternalURL),
		Project:     string(a.label("service", "job", "namespace")),
		Environment: string(a.label("environment", "env", "cluster")),
		Region:      string(a.label("region")), Account: string(a.label("account", "account_id")),
		Tags: tags, Rule: string(a.Labels["alertname"]), Ongoing: !text.Timestamp(a.StartsAt).IsZero(),
	}
}

// resolved returns a note for the incident of the group.
func (m *message) resolved(items ...alertItem) incident.Signal {
	keyParts := make([]string, 0, 2*len(items))
	titles := make([]string, 0, maxResolvedNotes+1)
	var at time.Time
	unread := ""
	for n, a := range items {
		keyParts = append(keyParts, a.firingID(), string(a.EndsAt))
		if n < maxResolvedNotes {
			titles = append(titles, a.titleWithInstance())
		}
		if end := text.Timestamp(a.EndsAt); end.After(at) {
			at = end
		}
		unread = cmp.Or(unread, text.WithUnreadTime("", a.EndsAt))
	}
	if n := len(items) - maxResolvedNotes; n > 0 {
		titles = append(titles, fmt.Sprintf("and %d more", n))
	}
	return incident.Signal{
		Command: &incident.Command{
			Key:  sourceName + ":" + digest(append([]string{"resolved"}, keyParts...)...),
			Verb: incident.VerbSourceNote, By: incident.Identity{Provider: incident.ProviderSource, ID: sourceName},
			Auth: "alertmanager webhook", Via: incident.ViaSource, HappenedAt: at,
			Text: "Alertmanager: " + strings.Join(titles, ", ") + ": resolved" + unread,
		},
		Subject: incident.IncidentRef{Correlation: cmp.Or(m.correlation(), sourceName+":"+items[0].firingID())},
	}
}

func (a *alertItem) label(names ...string) flat {
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
	title = flat(strings.TrimSpace(string(title)))
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

// detail returns the annotations that responders need, the values and links of Grafana,
// an unknown status or start, the number of truncated alerts, and the labels.
func (m *message) detail(a alertItem) string {
	var out []string
	add := func(label string, value flat) {
		if value := strings.TrimSpace(string(value)); value != "" {
			out = append(out, text.Field(label, value))
		}
	}
	for _, n := range []string{"description", "message", "runbook_url", "dashboard_url"} {
		v := flat(strings.TrimSpace(string(a.Annotations[n])))
		if n == "description" || n == "message" {
			if v != "" {
				out = append(out, string(v))
			}
			continue
		}
		add(n, v)
	}
	values := make([]string, 0, len(a.Values))
	for _, k := range slices.Sorted(maps.Keys(a.Values)) {
		values = append(values, k+" = "+string(a.Values[k]))
	}
	add("Values", flat(strings.Join(values, ", ")))
	if len(values) == 0 {
		add("Values", a.ValueString)
	}
	add("Dashboard", a.DashboardURL)
	add("Silence", a.SilenceURL)
	add("Image", a.ImageURL)
	add("Start", text.UnreadTime(text.Timestamp(a.StartsAt), a.StartsAt))
	if !a.isKnownStatus() {
		add("Status, read as firing", flat(cmp.Or(text.Truncate(string(a.Status), 40), "none")))
	}
	if n, err := strconv.ParseUint(string(m.Truncated), 10, 64); err == nil && n > 0 {
		out = append(out, fmt.Sprintf("Alertmanager truncated %d more alerts of this group (max_alerts). They may still be firing.", n))
	}
	for _, k := range slices.Sorted(maps.Keys(a.Labels)) {
		out = append(out, k+" = "+string(a.Labels[k]))
	}
	return strings.Join(out, "\n")
}

// level returns the level of the severity label.
func (a *alertItem) level() incident.Level { return level(a.Labels["severity"]) }

// level converts the severity label. Its values are free text, so an unknown
// value becomes medium for a responder to review.
func level(severity flat) incident.Level {
	switch strings.ToLower(strings.TrimSpace(string(severity))) {
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
