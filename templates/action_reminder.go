package templates

import (
	"strconv"
	"strings"

	"tocsin/bot/incident"
)

// ReminderText returns the reminder of action items: the heading, and one line for each
// item. It names incidents and items by number only, because the message leaves Tocsin and
// incidents may be restricted.
func ReminderText(args map[string]string, dir incident.Directory) (heading string, lines []string) {
	for _, entry := range strings.Split(args["items"], "; ") {
		f := strings.SplitN(entry, " ", 5)
		if len(f) < 5 {
			continue
		}
		line := f[0] + ", action item " + f[1] + ": due " + f[2]
		switch left, _ := strconv.Atoi(f[3]); { // written by package incident
		case left < 0:
			line += ", " + plural(-left, "day") + " overdue"
		case left == 0:
			line += ", today"
		}
		if f[4] != args["person"] {
			line += ", owned by " + personName(dir, incident.PersonID(f[4]))
		}
		lines = append(lines, line)
	}
	return "Reminder: " + plural(len(lines), "open action item"), lines
}

// ReminderAdvice follows the lines of [ReminderText].
const ReminderAdvice = "Type /incident actions my to read your action items and to complete them. Overdue items are listed again every week."

// ReminderMail returns the text of [ReminderText] as a mail.
func ReminderMail(args map[string]string, dir incident.Directory) Message {
	heading, lines := ReminderText(args, dir)
	l := mailLayout{Heading: heading, Lines: append(lines, ReminderAdvice),
		Small: "You receive this mail because you own these action items, or are the head of a department of their owner."}
	return l.message("Tocsin: " + heading)
}
