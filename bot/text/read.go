package text

import (
	"net/url"
	"strconv"
	"time"
)

// Time returns the first candidate that is an RFC 3339 time, in UTC, or the zero time.
func Time[S ~string](candidates ...S) time.Time {
	for _, c := range candidates {
		if t, err := time.Parse(time.RFC3339Nano, string(c)); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// Timestamp returns the first candidate that is an RFC 3339 time, or seconds since 1970
// with an optional fraction, in UTC. Otherwise it returns the zero time.
func Timestamp[S ~string](candidates ...S) time.Time {
	for _, c := range candidates {
		if t := Time(c); !t.IsZero() {
			return t
		}
		if f, err := strconv.ParseFloat(string(c), 64); err == nil && f > 0 && f < 1e11 {
			return time.UnixMicro(int64(f * 1e6)).UTC()
		}
	}
	return time.Time{}
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
