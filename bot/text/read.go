package text

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Timestamp returns the first candidate that is a time, in UTC, or the zero time. It
// reads RFC 3339 and its usual variants (a space instead of the T, a zone without a
// colon), the dates of HTTP and mail, and the seconds, milliseconds, microseconds or
// nanoseconds since 1970. A time without a zone is in UTC.
func Timestamp[S ~string](candidates ...S) time.Time {
	for _, c := range candidates {
		if t := parseTime(strings.TrimSpace(string(c))); !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

// UnreadTime returns a sentence for a detail or a note if the first candidate that is not
// empty is not a time. The candidates are in the order of [Timestamp]. at is the time that
// was read, if any.
func UnreadTime[S ~string](at time.Time, candidates ...S) S {
	for _, c := range candidates {
		s := strings.TrimSpace(string(c))
		switch {
		case s == "" || strings.HasPrefix(s, "0001-01-01"): // the zero time of Go
		case !parseTime(s).IsZero():
			return ""
		case at.IsZero():
			return S(fmt.Sprintf("%q is not a time, and the time of receipt is used", Truncate(s, 60)))
		default:
			return S(fmt.Sprintf("%q is not a time, and %s is used", Truncate(s, 60), at.UTC().Format(time.RFC3339)))
		}
	}
	return ""
}

// WithUnreadTime returns a note, with the sentence of [UnreadTime] if there is one.
func WithUnreadTime[S ~string](note string, candidates ...S) string {
	if unread := UnreadTime(Timestamp(candidates...), candidates...); unread != "" {
		return note + " (" + string(unread) + ")"
	}
	return note
}

// timeLayouts are the forms of a time. None has the abbreviation of a zone, because
// abbreviations are ambiguous.
var timeLayouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04:05.999999999Z07", "2006-01-02T15:04Z07:00",
	"2006-01-02T15:04:05.999999999", "2006-01-02T15:04", time.DateOnly,
	"Mon, 2 Jan 2006 15:04:05 GMT", time.RFC1123Z, "2 Jan 2006 15:04:05 -0700",
}

func parseTime(s string) time.Time {
	if s == "" || s[0] < '0' || s[0] > '9' && s[0] < 'A' {
		return time.Time{}
	}
	if t := parseEpoch(s); !t.IsZero() {
		return t
	}
	iso := s
	if len(iso) > len(time.DateOnly) && (iso[10] == ' ' || iso[10] == 't') { // Go prints 2026-11-03 12:30:00 +0100 UTC
		iso = iso[:10] + "T" + strings.TrimSuffix(strings.ToUpper(iso[11:]), " UTC")
		if at := strings.LastIndexByte(iso, ' '); at > 0 {
			iso = iso[:at] + iso[at+1:]
		}
	}
	for _, layout := range timeLayouts {
		for _, form := range []string{s, iso} {
			if t, err := time.Parse(layout, form); err == nil && t.Year() > 0 && t.Year() < 9999 {
				return t.UTC()
			}
		}
	}
	return time.Time{}
}

// The first numbers of milliseconds, microseconds and nanoseconds since 1970. As seconds,
// they are in the year 5138 and later.
const firstMilli, firstMicro, firstNano, afterNano = 1e11, 1e14, 1e17, 9.2e18

// parseEpoch parses the time since 1970. Its size determines the unit.
func parseEpoch(s string) time.Time {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f > 0 && f < afterNano) {
		return time.Time{}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		n = int64(f)
	}
	switch {
	case f < firstMilli && err == nil:
		return time.Unix(n, 0).UTC()
	case f < firstMilli:
		return time.UnixMicro(int64(f * 1e6)).UTC()
	case f < firstMicro:
		return time.UnixMilli(n).UTC()
	case f < firstNano:
		return time.UnixMicro(n).UTC()
	}
	return time.Unix(0, n).UTC()
}

// WebURL returns the first candidate that is an absolute http or https URL, or "".
func WebURL[S ~string](candidates ...S) string {
	for _, c := range candidates {
		if u, err := url.Parse(string(c)); err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") {
			return string(c)
		}
	}
	return ""
}
