package templates

import (
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

func TestMaintenanceAnnouncement(t *testing.T) {
	noon := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	m := incident.MaintenanceWindow{ID: 3, When: `title == "secret"`, Reason: "a move", Owner: "p1", From: noon, To: noon.Add(time.Hour)}
	confirmed := m
	confirmed.ConfirmedBy, confirmed.Suppressed, confirmed.SuppressedSevere = "p2", 14, 2
	early := m
	early.EndedBy, early.Suppressed = "p2", 1
	const unconfirmed = "2026-11-20 12:00 UTC to 2026-11-20 13:00 UTC · owner p1 · unconfirmed\n"
	for name, c := range map[string]struct {
		m           incident.MaintenanceWindow
		event, want string
	}{
		"started": {m, incident.MaintenanceStarted, "Maintenance window M3 has started.\n" + unconfirmed + "It suppresses matching alerts at sev3 and sev4 only. Its condition: /incident maintenance\n" +
			"For sev1 and sev2, a second person from security confirms it: /incident maintenance confirm M3\nTo end it: /incident maintenance end M3"},
		"confirmed": {confirmed, incident.MaintenanceConfirmed, "Maintenance window M3 was confirmed by p2.\n2026-11-20 12:00 UTC to 2026-11-20 13:00 UTC · owner p1 · confirmed by p2\n" +
			"It suppresses every matching alert, also at sev1 and sev2. Its condition: /incident maintenance\nTo end it: /incident maintenance end M3"},
		"ended": {m, incident.MaintenanceEnded, "Maintenance window M3 has ended.\n" + unconfirmed + "It suppressed no alerts."},
		"ended early": {early, incident.MaintenanceEnded, "Maintenance window M3 has ended early, by p2.\n" + unconfirmed +
			"It suppressed 1 alert, none of them at sev1 or sev2. List them: /incident alerts maintenance"},
		"ended confirmed": {confirmed, incident.MaintenanceEnded, "Maintenance window M3 has ended.\n2026-11-20 12:00 UTC to 2026-11-20 13:00 UTC · owner p1 · confirmed by p2\n" +
			"It suppressed 14 alerts, 2 of them at sev1 or sev2. List them: /incident alerts maintenance"},
	} {
		t.Run(name, func(t *testing.T) {
			news, details := MaintenanceAnnouncement(c.m, c.event, incident.Directory{})
			if got := strings.Join(append([]string{news}, details...), "\n"); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
