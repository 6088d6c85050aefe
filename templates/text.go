package templates

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // documents show local times wherever they are written
	"unicode"

	"tocsin/bot/incident"
)

// clean removes what no text needs and what could deceive a reader: control
// characters and switches of the writing direction. Line breaks stay.
func clean(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\r', r == '\u2028', r == '\u2029', r == '\u0085', r == '\v', r == '\f':
			return '\n'
		case r == '\t':
			return ' '
		case unicode.Is(unicode.Cc, r), r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069', r == '\u200e', r == '\u200f', r == '\ufeff':
			return -1
		}
		return r
	}, s)
}

// oneLine is a text on one line.
func oneLine(s string) string { return strings.Join(strings.Fields(clean(s)), " ") }

// clip cuts a text to at most limit runes and says so with an ellipsis.
func clip(s string, limit int) string {
	r := []rune(s)
	if len(r) <= limit {
		return s
	}
	return strings.TrimRight(string(r[:limit-1]), " ") + "…"
}

// humanize makes a word of ours readable: "in_review" becomes "in review".
func humanize[S ~string](s S) string { return strings.ReplaceAll(string(s), "_", " ") }

// lawNames are the names of the laws that a fact may name.
var lawNames = map[string]string{"gdpr": "GDPR", "nis2": "NIS2", "dora": "DORA", "cra": "CRA", "psd2": "PSD2"}

// label is humanize with a capital.
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

// joinAnd joins words as in "a, b and c".
func joinAnd(list []string) string {
	switch len(list) {
	case 0:
		return "nobody"
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

// personNames joins the names of persons.
func personNames(d incident.Directory, ids []incident.PersonID) string {
	names := make([]string, len(ids))
	for n, id := range ids {
		names[n] = name(d, id)
	}
	return joinAnd(names)
}

func name(d incident.Directory, id incident.PersonID) string { return oneLine(d.Name(id)) }

// utc writes a time to the minute.
func utc(t time.Time) string {
	if t.IsZero() {
		return "not set"
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// formatDuration writes a duration as people say it: "2 h 05 min", "3 d 4 h".
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
