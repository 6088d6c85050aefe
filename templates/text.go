package templates

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // for local times on hosts without a time zone database
	"unicode"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// Short names of the functions of package text, which most lines of a document need.
func cleanText(s string) string       { return text.Clean(s) }
func oneLine(s string) string         { return text.Line(s) }
func clip(s string, limit int) string { return text.Truncate(s, limit) }

// humanize replaces underscores with spaces, as in "in review".
func humanize[S ~string](s S) string { return strings.ReplaceAll(string(s), "_", " ") }

// lawNames are the display names of laws.
var lawNames = map[string]string{"gdpr": "GDPR", "nis2": "NIS2", "dora": "DORA", "cra": "CRA", "psd2": "PSD2"}

// label returns s with spaces for underscores and an initial capital. Laws and
// teams with a display name are replaced by it.
func label[S ~string](s S) string {
	switch string(s) {
	case "dpo":
		return "Data protection"
	}
	if law, ok := lawNames[string(s)]; ok {
		return law
	}
	r := []rune(oneLine(humanize(s)))
	if len(r) > 0 {
		r[0] = unicode.ToUpper(r[0])
	}
	return string(r)
}

// joinAnd joins words as in "a, b and c". For an empty list it returns "no one".
func joinAnd(list []string) string {
	switch len(list) {
	case 0:
		return "no one"
	case 1:
		return list[0]
	}
	return strings.Join(list[:len(list)-1], ", ") + " and " + list[len(list)-1]
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + one + "s"
}

// personNames joins the names of people with [joinAnd].
func personNames(d incident.Directory, ids []incident.PersonID) string {
	names := make([]string, len(ids))
	for n, id := range ids {
		names[n] = personName(d, id)
	}
	return joinAnd(names)
}

func personName(d incident.Directory, id incident.PersonID) string { return oneLine(d.Name(id)) }

// formatUTC formats a time in UTC, to the minute. For the zero time it returns
// "not set".
func formatUTC(t time.Time) string {
	if t.IsZero() {
		return "not set"
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// formatDuration formats a duration with at most two units, such as "2 h 05 min"
// or "3 d 4 h". For a negative duration it returns a dash.
func formatDuration(d time.Duration) string {
	if d < 0 {
		return "–"
	}
	minutes := int(d.Round(time.Minute) / time.Minute)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d/time.Second))
	case minutes < 60:
		return fmt.Sprintf("%d min", minutes)
	case minutes < 24*60 && minutes%60 == 0:
		return fmt.Sprintf("%d h", minutes/60)
	case minutes < 24*60:
		return fmt.Sprintf("%d h %02d min", minutes/60, minutes%60)
	}
	return fmt.Sprintf("%d d %d h", minutes/(24*60), minutes/60%24)
}

func itoa(n int) string { return strconv.Itoa(n) }
