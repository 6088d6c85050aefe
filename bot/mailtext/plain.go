package mailtext

import (
	"fmt"
	"strings"
)

// Flowed joins the lines of a paragraph in a text of format=flowed (RFC 3676). deleteSpace
// removes the space at the end of a joined line.
func Flowed(s string, deleteSpace bool) string {
	var out strings.Builder
	out.Grow(len(s))
	depth, open := 0, false // of the line before, which ends with a space
	for line := range strings.Lines(s) {
		line = strings.TrimRight(line, "\r\n")
		content := strings.TrimLeft(line, ">")
		level := len(line) - len(content)
		content = strings.TrimPrefix(content, " ")
		signature := content == "-- "
		switch {
		case open && level == depth && !signature:
		case out.Len() > 0:
			out.WriteByte('\n')
			fallthrough
		default:
			if level > 0 {
				out.WriteString(line[:level] + " ")
			}
		}
		depth, open = level, strings.HasSuffix(content, " ") && !signature
		if open && deleteSpace {
			content = strings.TrimSuffix(content, " ")
		}
		out.WriteString(content)
	}
	return out.String()
}

// calendarFields are the properties of a calendar entry that people read.
var calendarFields = map[string]string{"METHOD": "Calendar", "SUMMARY": "Summary", "DTSTART": "Start", "DTEND": "End", "DUE": "Due", "LOCATION": "Location", "ORGANIZER": "Organizer",
	"STATUS": "Status", "URL": "URL", "COMMENT": "Comment", "DESCRIPTION": "Description"}

// maxCalendarLines is the maximum number of lines of a calendar entry that are shown.
const maxCalendarLines = 100

// Calendar returns the fields of a calendar entry (RFC 5545) that people read. A text
// without any is returned unchanged.
func Calendar(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.NewReplacer("\n ", "", "\n\t", "").Replace(s)
	var out []string
	inside, alarm := false, false
	for line := range strings.Lines(s) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), ":")
		name, params, _ := strings.Cut(key, ";")
		name = strings.ToUpper(name)
		switch {
		case name == "BEGIN":
			inside = inside || strings.EqualFold(value, "VCALENDAR")
			alarm = alarm || strings.EqualFold(value, "VALARM") || strings.EqualFold(value, "VTIMEZONE")
			continue
		case name == "END" && (strings.EqualFold(value, "VALARM") || strings.EqualFold(value, "VTIMEZONE")):
			alarm = false
			continue
		}
		label := calendarFields[name]
		if !ok || label == "" || !inside || alarm || len(out) >= maxCalendarLines {
			continue
		}
		value = strings.NewReplacer(`\n`, "\n", `\N`, "\n", `\,`, ",", `\;`, ";", `\\`, `\`).Replace(value)
		if _, zone, ok := strings.Cut(params, "TZID="); ok {
			zone, _, _ = strings.Cut(zone, ";")
			value += " " + strings.Trim(zone, `"`)
		}
		out = append(out, fmt.Sprintf("%s: %s", label, value))
	}
	if len(out) == 0 {
		return s
	}
	return strings.Join(out, "\n")
}
