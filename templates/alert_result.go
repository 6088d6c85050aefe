package templates

import (
	"fmt"
	"time"

	"tocsin/bot/incident"
)

// timeLayout is the format of times in replies about alerts, in UTC.
const timeLayout = "2006-01-02 15:04 UTC"

// AlertResult returns the result of an alert request as lines of plain text. The
// caller must escape them for its format.
func AlertResult(a incident.AlertResult, dir incident.Directory, now time.Time) []string {
	var out []string
	if a.Done != "" {
		out = append(out, a.Done)
	}
	switch {
	case a.TestPages != nil && a.Done != "":
		return out
	case a.TestPages != nil:
		return append(out, testPages(*a.TestPages, dir, now)...)
	case a.Explanation != nil:
		return append(out, explanationLines(*a.Explanation)...)
	case a.Trail != nil:
		return trailLines(*a.Trail)
	case a.Disposition != "":
		return append(out, suppressedAlerts(a)...)
	}
	return append(out, maintenanceWindows(a.MaintenanceWindows, dir, now)...)
}

func suppressedAlerts(a incident.AlertResult) []string {
	if a.Kinds == 0 && len(a.Alerts) == 0 {
		return []string{"There are no " + string(a.Disposition) + " alerts."}
	}
	head := plural(int(a.Kinds), string(a.Disposition)+" alert")
	if a.Occurrences != a.Kinds {
		head += ", " + plural(int(a.Occurrences), "occurrence")
	}
	if int64(len(a.Alerts)) < a.Kinds {
		head += fmt.Sprintf(", newest %d", len(a.Alerts))
	}
	out := []string{head + ":"}
	for _, l := range a.Alerts {
		out = append(out, AlertLine(l))
	}
	return out
}

// AlertLine returns one line of plain text about a stored alert.
func AlertLine(l incident.AlertLine) string {
	text := fmt.Sprintf("A%d · %s · %s", l.ID, oneLine(l.Kind), oneLine(string(l.Level)))
	if l.Title != "" {
		text += " · " + clip(oneLine(l.Title), 120)
	}
	text += " · " + plural(int(l.Count), "time") + ", last " + l.LastAt.UTC().Format(timeLayout)
	if l.Reason != "" {
		text += " · " + clip(oneLine(l.Reason), 120)
	}
	return l.Origin.Marked(text)
}

func maintenanceWindows(list []incident.MaintenanceWindow, dir incident.Directory, now time.Time) []string {
	if len(list) == 0 {
		return []string{"There are no maintenance windows."}
	}
	var out []string
	for _, m := range list {
		out = append(out, MaintenanceWindowLine(m, dir, now))
	}
	return out
}

// MaintenanceWindowLine returns one line of plain text about a maintenance window
// and its state at now.
func MaintenanceWindowLine(m incident.MaintenanceWindow, dir incident.Directory, now time.Time) string {
	state := "ended"
	switch {
	case m.Active(now):
		state = "active"
	case now.Before(m.From):
		state = "scheduled"
	}
	text := fmt.Sprintf("M%d %s · %s to %s · owner %s · %d suppressed", m.ID, state, windowTime(m.From), windowTime(m.To),
		oneLine(dir.Name(m.Owner)), m.Suppressed)
	if m.ConfirmedBy != "" {
		text += " · confirmed by " + oneLine(dir.Name(m.ConfirmedBy))
	} else {
		text += " · unconfirmed: suppresses sev3 and sev4 only"
	}
	if m.EndedBy != "" {
		text += " · ended by " + oneLine(dir.Name(m.EndedBy))
	}
	if m.When != "" {
		text += " · when " + clip(oneLine(m.When), 200)
	}
	if m.Failing != "" {
		text += " · " + clip(oneLine(m.Failing), 300)
	}
	return text + " · reason: " + clip(oneLine(m.Reason), 200)
}

// windowTime returns a time of a maintenance window, in the zone that it was typed in
// and in UTC.
func windowTime(t time.Time) string {
	if incident.HasZone(t) {
		return incident.TimeText(t)
	}
	return t.UTC().Format(timeLayout)
}

func orUnknown(s string) string {
	if s == "" {
		return "(unknown)"
	}
	return oneLine(s)
}

func testPages(list incident.TestPageList, dir incident.Directory, now time.Time) []string {
	out := []string{plural(len(list.Tests), "test page") + ", the newest first:"}
	if len(list.Tests) == 0 {
		out[0] = "There are no test pages yet. Type page test to send one."
	}
	for _, t := range list.Tests {
		out = append(out, TestPageLine(t, dir, now))
	}
	if list.Next.IsZero() {
		return append(out, "No weekly test page is sent, because escalation.page_test.at is empty.")
	}
	return append(out, "The next weekly test page is sent at "+list.Next.UTC().Format(timeLayout)+".")
}

// TestPageLine returns one line of plain text about a test page and its state at now.
func TestPageLine(t incident.TestPage, dir incident.Directory, now time.Time) string {
	by := "the weekly schedule"
	if t.StartedBy != "" {
		by = personName(dir, t.StartedBy)
	}
	text := t.StartedAt.UTC().Format(timeLayout) + " · started by " + by
	if t.Missed() {
		text += " · missed at step 1 after " + formatDuration(t.MissedAt.Sub(t.StartedAt))
	}
	switch {
	case t.AcknowledgedBy != "":
		text += fmt.Sprintf(" · %s acknowledged step %d after %s", personName(dir, t.AcknowledgedBy), t.EscalationStep+1, formatDuration(t.AcknowledgedAt.Sub(t.StartedAt)))
	case t.Running():
		text += fmt.Sprintf(" · step %d has waited for %s", t.EscalationStep+1, formatDuration(now.Sub(t.SteppedAt)))
	default:
		text += fmt.Sprintf(" · ended without an acknowledgement after %s", plural(t.EscalationStep+1, "step"))
	}
	if t.Stranger != "" {
		text += " · acknowledged by the account " + clip(oneLine(t.Stranger), 120) + ", which belongs to no responder"
	}
	return text
}
