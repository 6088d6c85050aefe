package alertmanager

import (
	"bytes"
	"encoding/json"
	"fmt"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/text"
)

// maxAlerts is the maximum number of alerts that are read of one delivery. The others
// become one alert. A body of 1 MiB can hold tens of thousands of alerts, and each
// costs memory and a write to the database.
const maxAlerts = 1000

// alertList holds the first alerts of a delivery, and counts the others.
type alertList struct {
	given      bool // the value is a list, or null
	items      []alertItem
	unreadable []string      // digests of the first items that cannot be read
	unread     intake.Unread // the items that cannot be read
	beyond     int           // further alerts that fire
	worst      alertItem     // the most severe one of them
	digest     string        // of all further alerts, "" if there are none
}

// levelOrder orders the levels, the most severe first.
var levelOrder = []incident.Level{incident.LevelCritical, incident.LevelHigh, incident.LevelMedium, incident.LevelLow, incident.LevelInformational}

// isMoreSevere reports whether a level is more severe than another one.
func isMoreSevere(a, b incident.Level) bool {
	for _, level := range levelOrder {
		if level == a || level == b {
			return level == a && a != b
		}
	}
	return false
}

// UnmarshalJSON implements json.Unmarshaler. It decodes one element at a time. An
// element that cannot be read does not affect the others.
func (l *alertList) UnmarshalJSON(b []byte) error {
	if l.given = b[0] == '[' || b[0] == 'n'; b[0] != '[' {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("read alerts: %w", err)
	}
	for n := 0; d.More(); n++ {
		if n == maxAlerts {
			l.digest = text.SHA256(b[d.InputOffset():])
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return fmt.Errorf("read alerts: %w", err)
		}
		a, err := parseItem(n, raw)
		if l.unread.Add(err); err != nil {
			if len(l.unreadable) < maxAlerts {
				l.unreadable = append(l.unreadable, text.SHA256(raw))
			}
			continue
		}
		switch {
		case n < maxAlerts:
			l.items = append(l.items, a)
		case !a.isResolved():
			l.count(a)
		}
	}
	return nil
}

// count counts an alert beyond maxAlerts, and keeps the most severe one.
func (l *alertList) count(a alertItem) {
	if l.beyond++; l.beyond == 1 || isMoreSevere(a.level(), l.worst.level()) {
		l.worst = a
	}
}

// unreadableDigest returns a digest of the items that cannot be read, or "".
func (l *alertList) unreadableDigest() string {
	if len(l.unreadable) == 0 {
		return ""
	}
	return digest(l.unreadable...)
}

// leftOutAlert returns the alert about n alerts of the group that Tocsin or the sender
// left out. Routing rules judge it like the most severe alert of the group that was
// read: worst.
func (m *message) leftOutAlert(worst alertItem, n int, kind, title, detail string) *incident.Alert {
	a := m.alert(worst)
	a.Title, a.Detail = title, detail                                                            // of the same kind, for the rules
	a.Fingerprint = sourceName + ":" + kind + ":" + digest(a.Correlation, worst.firingID())[:32] // as new as that alert
	a.EventID, a.LeftOut = "", n
	if url := text.WebURL(m.ExternalURL); url != "" {
		a.URL = url
	}
	return a
}
