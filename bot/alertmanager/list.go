package alertmanager

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// maxAlerts is the maximum number of alerts that are read of one delivery. The others
// become one alert. A body of 1 MiB can hold tens of thousands of alerts, and each
// costs memory and a write to the database.
const maxAlerts = 1000

// alertList holds the first alerts of a delivery, and counts the others.
type alertList struct {
	items  []alertItem
	unread int    // further alerts that fire
	digest string // of all further alerts, "" if there are none
	level  incident.Level
}

// levelOrder orders the levels, the most severe first.
var levelOrder = []incident.Level{incident.LevelCritical, incident.LevelHigh, incident.LevelMedium, incident.LevelLow, incident.LevelInformational}

// UnmarshalJSON implements json.Unmarshaler. It decodes one element at a time.
func (l *alertList) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case 'n':
		return nil
	case '[':
	default:
		return &json.UnmarshalTypeError{Value: "value", Type: reflect.TypeFor[[]alertItem]()}
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("read alerts: %w", err)
	}
	var first error
	for d.More() && len(l.items) < maxAlerts {
		var a alertItem
		if err := d.Decode(&a); err != nil {
			var mismatch *json.UnmarshalTypeError
			if !errors.As(err, &mismatch) {
				return fmt.Errorf("read alerts: %w", err)
			}
			if first == nil {
				first = err
			}
		}
		l.items = append(l.items, a)
	}
	if d.More() {
		l.digest = text.SHA256(b[d.InputOffset():])
	}
	for d.More() {
		var a struct {
			Status scalar `json:"status"`
			Labels struct {
				Severity scalar `json:"severity"`
			} `json:"labels"`
		}
		if err := d.Decode(&a); err != nil && !errors.As(err, new(*json.UnmarshalTypeError)) {
			return fmt.Errorf("read alerts: %w", err)
		}
		if a.Status != "resolved" {
			l.count(level(a.Labels.Severity))
		}
	}
	return first
}

// count counts an unread alert and keeps the most severe level.
func (l *alertList) count(of incident.Level) {
	l.unread++
	for _, known := range levelOrder {
		if known == of || known == l.level {
			l.level = known
			return
		}
	}
}

// unreadAlert returns the alert for the alerts beyond maxAlerts that fire. It has the
// level of the most severe one.
func (m *message) unreadAlert() *incident.Alert {
	return &incident.Alert{
		Source: sourceName, Kind: "alertmanager.unread", Level: m.Alerts.level,
		Title:       fmt.Sprintf("%d more alerts of one Alertmanager delivery were not read", m.Alerts.unread),
		Detail:      fmt.Sprintf("Tocsin reads %d alerts of one delivery. See Alertmanager for the others. Set max_alerts or group by more labels.", maxAlerts),
		Fingerprint: sourceName + ":unread:" + digest(string(m.GroupKey))[:32], Correlation: m.correlation(), URL: text.WebURL(m.ExternalURL),
	}
}
