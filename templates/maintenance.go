package templates

import (
	"fmt"

	"tocsin/bot/incident"
)

// MaintenanceAnnouncement returns the announcement of an event of a maintenance
// window as lines of plain text, without its reason: what happened, and the details.
// The event is [incident.MaintenanceStarted], [incident.MaintenanceConfirmed] or
// [incident.MaintenanceEnded].
func MaintenanceAnnouncement(m incident.MaintenanceWindow, event string, dir incident.Directory) (news string, details []string) {
	confirmed := m.ConfirmedBy != ""
	when := fmt.Sprintf("%s to %s · owner %s", m.From.UTC().Format(timeLayout), m.To.UTC().Format(timeLayout), oneLine(dir.Name(m.Owner)))
	if confirmed {
		when += " · confirmed by " + oneLine(dir.Name(m.ConfirmedBy))
	} else {
		when += " · unconfirmed"
	}
	details = append(details, when)
	name := fmt.Sprintf("Maintenance window M%d", m.ID)
	switch event {
	case incident.MaintenanceEnded:
		news = name + " has ended"
		if m.EndedBy != "" {
			news += " early, by " + oneLine(dir.Name(m.EndedBy))
		}
		return news + ".", append(details, suppressedBy(m))
	case incident.MaintenanceConfirmed:
		news = fmt.Sprintf("%s was confirmed by %s.", name, oneLine(dir.Name(m.ConfirmedBy)))
	default:
		news = name + " has started."
	}
	if confirmed {
		details = append(details, "It suppresses every matching alert, also at sev1 and sev2. Its condition: /incident maintenance")
	} else {
		details = append(details, "It suppresses matching alerts at sev3 and sev4 only. Its condition: /incident maintenance",
			fmt.Sprintf("For sev1 and sev2, a second person from security confirms it: /incident maintenance confirm M%d", m.ID))
	}
	return news, append(details, fmt.Sprintf("To end it: /incident maintenance end M%d", m.ID))
}

// suppressedBy returns how many alerts a maintenance window suppressed.
func suppressedBy(m incident.MaintenanceWindow) string {
	if m.Suppressed == 0 {
		return "It suppressed no alerts."
	}
	severe := "none of them"
	if m.SuppressedSevere > 0 {
		severe = fmt.Sprintf("%d of them", m.SuppressedSevere)
	}
	return fmt.Sprintf("It suppressed %s, %s at sev1 or sev2. List them: /incident alerts maintenance", plural(int(m.Suppressed), "alert"), severe)
}
