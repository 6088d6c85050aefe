package templates

import (
	"fmt"
	"time"

	"tocsin/bot/incident"
)

// answerTime is how an answer writes a time, in UTC.
const answerTime = "2006-01-02 15:04 UTC"

// AlertResult tells what an errand came to, a line each, in plain text: whoever puts
// it into a message escapes it.
func AlertResult(a incident.AlertResult, dir incident.Directory, now time.Time) []string {
	var out []string
	if a.Done != "" {
		out = append(out, a.Done)
	}
	switch {
	case a.Explanation != nil:
		return append(out, explanation(*a.Explanation)...)
	case a.Disposition != "":
		return append(out, suppressedAlerts(a)...)
	}
	return append(out, maintenanceWindows(a.MaintenanceWindows, dir, now)...)
}

func suppressedAlerts(a incident.AlertResult) []string {
	if a.Kinds == 0 {
		return []string{"There are no " + string(a.Disposition) + " alerts."}
	}
	head := plural(int(a.Kinds), string(a.Disposition)+" alert")
	if a.Occurrences != a.Kinds {
		head += fmt.Sprintf(", which came %d times", a.Occurrences)
	}
	if int64(len(a.Alerts)) < a.Kinds {
		head += fmt.Sprintf("; the newest %d", len(a.Alerts))
	}
	out := []string{head + ":"}
	for _, l := range a.Alerts {
		out = append(out, AlertLine(l))
	}
	return out
}

// AlertLine tells of a kept alert in one line.
func AlertLine(l incident.AlertLine) string {
	text := fmt.Sprintf("A%d · %s · %s", l.ID, oneLine(l.Kind), oneLine(string(l.Level)))
	if l.Title != "" {
		text += " · " + clip(oneLine(l.Title), 120)
	}
	text += " · " + plural(int(l.Count), "time") + ", last " + l.LastAt.UTC().Format(answerTime)
	if l.Reason != "" {
		text += " · " + clip(oneLine(l.Reason), 120)
	}
	return text
}

func maintenanceWindows(list []incident.MaintenanceWindow, dir incident.Directory, now time.Time) []string {
	if len(list) == 0 {
		return []string{"There is no maintenance window."}
	}
	var out []string
	for _, m := range list {
		out = append(out, MaintenanceWindowLine(m, dir, now))
	}
	return out
}

// MaintenanceWindowLine tells of a maintenance window in one line.
func MaintenanceWindowLine(m incident.MaintenanceWindow, dir incident.Directory, now time.Time) string {
	state := "ended"
	switch {
	case m.Active(now):
		state = "holds"
	case now.Before(m.From):
		state = "is to come"
	}
	text := fmt.Sprintf("M%d %s · %s to %s · owner %s · kept back %d", m.ID, state, m.From.UTC().Format(answerTime), m.To.UTC().Format(answerTime),
		oneLine(dir.Name(m.Owner)), m.Suppressed)
	if m.EndedBy != "" {
		text += " · ended by " + oneLine(dir.Name(m.EndedBy))
	}
	if m.When != "" {
		text += " · when " + clip(oneLine(m.When), 200)
	}
	return text + " · because " + clip(oneLine(m.Reason), 200)
}

func orUnknown(s string) string {
	if s == "" {
		return "(unknown)"
	}
	return oneLine(s)
}
