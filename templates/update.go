package templates

import (
	"fmt"
	"strings"
	"time"

	"tocsin/bot/incident"
)

// UpdateMail returns the mail about an update for an audience. It contains the number
// of the incident, the approved words and the time of the next update, and nothing else.
func UpdateMail(b incident.Brief) Message {
	heading := fmt.Sprintf("%s: update %s", b.Incident.ID, b.Event.Field("update"))
	if earlier := b.Event.Field("corrects"); earlier != "" {
		heading = fmt.Sprintf("%s: correction of update %s", b.Incident.ID, earlier)
	}
	l := mailLayout{Origin: b.Incident.Origin, Heading: heading, Lines: strings.Split(cleanText(b.Event.Text("text")), "\n"), Small: "You receive this mail because you read updates about incidents."}
	if due, err := time.Parse(time.RFC3339, b.Event.Field("update_due")); err == nil {
		l.Lines = append(l.Lines, "Next update by "+incident.TimeText(b.Event.Stated(due))+".")
	}
	return l.message(heading)
}

// UpdateLine returns an entry of the register as a line of plain text.
func UpdateLine(u incident.Update, d incident.Directory) string {
	parts := []string{u.ID, u.At.UTC().Format(timeLayout), d.Name(u.By), "responders"}
	if u.Corrects != "" {
		parts = append(parts, "corrects "+u.Corrects)
	}
	for _, s := range u.Sent {
		if s.Withheld {
			parts = append(parts, s.Audience+" not sent: restricted")
			continue
		}
		parts = append(parts, s.Audience+" by "+MediumName(s.Medium)+" "+s.At.UTC().Format(timeLayout))
	}
	switch {
	case u.Waits():
		parts = append(parts, "waits for approval for "+strings.Join(u.Audiences, ", "))
	case u.ApprovedBeforehand != "":
		parts = append(parts, "approved beforehand by "+u.ApprovedBeforehand)
	case u.ApprovedBy != "":
		parts = append(parts, "approved by "+d.Name(u.ApprovedBy))
	}
	return strings.Join(parts, " · ")
}
