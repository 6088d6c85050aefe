package alertmanager

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tocsin/bot/intake"
	"tocsin/bot/text"
)

// message holds the fields of the body that Tocsin reads. Unknown keys are ignored, and
// so is a known key with an unexpected type. Grafana Alerting sends the same document
// with version 1 and some more keys.
type message struct {
	Version      flat      `json:"version"`
	GroupKey     flat      `json:"groupKey"`
	GroupLabels  labels    `json:"groupLabels"`
	Truncated    flat      `json:"truncatedAlerts"`
	Receiver     flat      `json:"receiver"`
	Organisation flat      `json:"orgId"` // of Grafana
	ExternalURL  flat      `json:"externalURL"`
	Alerts       alertList `json:"alerts"`
}

type alertItem struct {
	Status       flat   `json:"status"`
	Labels       labels `json:"labels"`
	Annotations  labels `json:"annotations"`
	StartsAt     flat   `json:"startsAt"`
	EndsAt       flat   `json:"endsAt"`
	GeneratorURL flat   `json:"generatorURL"`
	Fingerprint  flat   `json:"fingerprint"`

	// Fields of Grafana.
	Values       labels `json:"values"`
	ValueString  flat   `json:"valueString"` // of releases without values
	DashboardURL flat   `json:"dashboardURL"`
	PanelURL     flat   `json:"panelURL"`
	SilenceURL   flat   `json:"silenceURL"`
	ImageURL     flat   `json:"imageURL"`
}

// parse decodes a body. The error describes a body that is not a webhook of
// Alertmanager or Grafana. Items that cannot be read are in message.Alerts.unreadable.
func parse(body []byte) (*message, error) {
	var m message
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return nil, errors.New("the body is not a JSON object. Custom payload templates are not supported")
	}
	var mismatch *json.UnmarshalTypeError
	if err := json.Unmarshal(body, &m); err != nil && !errors.As(err, &mismatch) {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	switch {
	case !m.Alerts.given && m.Version == "" && m.GroupKey == "":
		return nil, errors.New("version, groupKey and alerts are missing. Custom payload templates are not supported")
	case !m.Alerts.given:
		return nil, errors.New("alerts is not a list. Custom payload templates are not supported")
	}
	return &m, nil
}

// parseItem decodes one element of alerts. An element without any content cannot be
// read.
func parseItem(n int, raw json.RawMessage) (alertItem, error) {
	var a alertItem
	if len(raw) == 0 || raw[0] != '{' {
		return a, fmt.Errorf("alerts[%d] is not an object: %s", n, text.Truncate(strings.ToValidUTF8(string(raw), "�"), 40))
	}
	var mismatch *json.UnmarshalTypeError
	if err := json.Unmarshal(raw, &a); err != nil && !errors.As(err, &mismatch) {
		return a, fmt.Errorf("alerts[%d] is not JSON: %w", n, err)
	}
	if a.Fingerprint == "" && len(a.Labels) == 0 && len(a.Annotations) == 0 {
		return a, fmt.Errorf("alerts[%d] has neither a fingerprint nor labels nor annotations", n)
	}
	return a, nil
}

// isResolved reports whether an alert has ended. An unknown or missing status is that of
// an alert that fires, because a person must not miss it.
func (a *alertItem) isResolved() bool {
	switch strings.ToLower(strings.TrimSpace(string(a.Status))) {
	case "resolved", "ok", "normal", "inactive":
		return true
	}
	return false
}

// isKnownStatus reports whether the status is one of those that senders document.
func (a *alertItem) isKnownStatus() bool {
	return a.isResolved() || strings.EqualFold(strings.TrimSpace(string(a.Status)), "firing")
}

// deliveryID returns equal IDs for deliveries with equal alerts and states within
// one [dedupWindow], regardless of order and annotations. A changed count of
// truncated alerts changes the ID.
func (m *message) deliveryID(now time.Time) string {
	states := make([]string, len(m.Alerts.items), len(m.Alerts.items)+2)
	for n, a := range m.Alerts.items {
		states[n] = a.firingID() + " " + string(a.Status)
		if a.isResolved() {
			states[n] += " " + string(a.EndsAt)
		}
	}
	slices.Sort(states)
	for _, more := range []string{m.Alerts.digest, m.Alerts.unreadableDigest()} {
		if more != "" {
			states = append(states, more)
		}
	}
	hour := now.UTC().Truncate(dedupWindow).Format(time.RFC3339)
	return digest(append([]string{hour, string(m.GroupKey), string(m.Receiver), string(m.Truncated)}, states...)...)
}

// firingID identifies one firing of an alert: its fingerprint, or a digest of its
// labels if it has none, and its start time.
func (a *alertItem) firingID() string {
	id := string(a.Fingerprint)
	if id == "" {
		id = digest(pairs(a.Labels)...)[:16]
		if len(a.Labels) == 0 {
			id = digest(pairs(a.Annotations)...)[:16]
		}
	}
	start := string(a.StartsAt)
	if at := text.Timestamp(a.StartsAt); !at.IsZero() { // two Alertmanagers may use different time zones
		start = at.Format(time.RFC3339Nano)
	}
	return id + " " + start
}

func pairs(l labels) []string {
	out := make([]string, 0, 2*len(l))
	for _, k := range slices.Sorted(maps.Keys(l)) {
		out = append(out, k, string(l[k]))
	}
	return out
}

// correlation returns the correlation key: the group of the sender's route, because its
// author has already grouped the related alerts. A message without a group key has the
// receiver and the labels of the group, and one without these has none.
func (m *message) correlation() string {
	switch {
	case m.GroupKey != "":
		return sourceName + ":" + digest(string(m.GroupKey))[:32]
	case len(m.GroupLabels) > 0:
		return sourceName + ":" + digest(append([]string{string(m.Receiver)}, pairs(m.GroupLabels)...)...)[:32]
	}
	return ""
}

// err returns the error about the items that cannot be read, or nil.
func (m *message) err() error {
	u := m.Alerts.unread
	if u.Bad == 0 {
		return nil
	}
	return &intake.Unread{Items: u.Items, Bad: u.Bad, Causes: u.Causes}
}

// flat decodes any JSON value as text: an object or a list as its JSON, and null as "".
type flat string

// UnmarshalJSON implements [json.Unmarshaler].
func (t *flat) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*t = flat(s)
	case 'n':
		*t = ""
	case '{', '[':
		var compact bytes.Buffer
		if err := json.Compact(&compact, b); err != nil {
			return err
		}
		*t = flat(compact.String())
	default:
		*t = flat(b)
	}
	return nil
}

// labels decodes an object. Any other value becomes one label with the key "value".
type labels map[string]flat

// UnmarshalJSON implements [json.Unmarshaler].
func (l *labels) UnmarshalJSON(b []byte) error {
	if b[0] == '{' {
		return json.Unmarshal(b, (*map[string]flat)(l))
	}
	var value flat
	if err := value.UnmarshalJSON(b); err != nil {
		return err
	}
	if *l = nil; value != "" {
		*l = labels{"value": value}
	}
	return nil
}
