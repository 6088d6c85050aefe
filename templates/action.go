package templates

import (
	"strings"
	"time"

	"tocsin/bot/incident"
)

// maxActionTitle is the maximum length of a title in [ActionLine], in runes.
const maxActionTitle = 120

// ActionLine returns an action item as a line of plain text. Lists in chat, in mails and
// on the command line show it, and items that are done begin with a check mark.
func ActionLine(a incident.Action, dir incident.Directory, now time.Time) string {
	return actionMark(a) + strings.Join([]string{oneLine(a.ID), humanize(a.Kind), clip(oneLine(a.Title), maxActionTitle),
		personName(dir, a.Owner), Text(a.Progress(now), dir)}, " · ")
}

// actionMark returns the mark of an action item that is done.
func actionMark(a incident.Action) string {
	if a.IsDone() {
		return "✓ "
	}
	return ""
}
