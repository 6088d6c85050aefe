package templates

import (
	"fmt"
	"time"

	"tocsin/bot/incident"
)

// answerTime is how an answer writes a time, in UTC.
const answerTime = "2006-01-02 15:04 UTC"

// Answer tells what an errand came to, a line each, in plain text: whoever puts
// it into a message escapes it.
func Answer(a incident.Answer, dir incident.Directory, now time.Time) []string {
	var out []string
	if a.Done != "" {
		out = append(out, a.Done)
	}
	switch {
	case a.Explanation != nil:
		return append(out, explanation(*a.Explanation)...)
	case a.Shelf != "":
		return append(out, keptAlerts(a)...)
	}
	return append(out, windows(a.Windows, dir, now)...)
}

func keptAlerts(a incident.Answer) []string {
	if a.Kinds == 0 {
		return []string{"There are no " + string(a.Shelf) + " alerts."}
	}
	head := plural(int(a.Kinds), string(a.Shelf)+" alert")
	if a.Copies != a.Kinds {
		head += fmt.Sprintf(", which came %d times", a.Copies)
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
	text := fmt.Sprintf("A%d · %s · %s", l.ID, flat(l.Kind), flat(string(l.Level)))
	if l.Title != "" {
		text += " · " + clip(flat(l.Title), 120)
	}
	text += " · " + plural(int(l.Count), "time") + ", last " + l.LastAt.UTC().Format(answerTime)
	if l.Reason != "" {
		text += " · " + clip(flat(l.Reason), 120)
	}
	return text
}

func windows(list []incident.Maintenance, dir incident.Directory, now time.Time) []string {
	if len(list) == 0 {
		return []string{"There is no maintenance window."}
	}
	var out []string
	for _, m := range list {
		out = append(out, WindowLine(m, dir, now))
	}
	return out
}

// WindowLine tells of a maintenance window in one line.
func WindowLine(m incident.Maintenance, dir incident.Directory, now time.Time) string {
	state := "ended"
	switch {
	case m.Active(now):
		state = "holds"
	case now.Before(m.From):
		state = "is to come"
	}
	text := fmt.Sprintf("M%d %s · %s to %s · owner %s · kept back %d", m.ID, state, m.From.UTC().Format(answerTime), m.To.UTC().Format(answerTime),
		flat(dir.Name(m.Owner)), m.Matched)
	if m.EndedBy != "" {
		text += " · ended by " + flat(dir.Name(m.EndedBy))
	}
	if m.When != "" {
		text += " · when " + clip(flat(m.When), 200)
	}
	return text + " · because " + clip(flat(m.Reason), 200)
}

func orUnknown(s string) string {
	if s == "" {
		return "(unknown)"
	}
	return flat(s)
}
