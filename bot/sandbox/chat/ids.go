package chat

import (
	"crypto/rand"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"
)

// stamp returns the next message timestamp as text and in microseconds. It is the time of the clock, or the last
// timestamp plus one microsecond if that is later. The caller holds mu.
func (w *Workspace) stamp() (string, int64) {
	us := w.clock().UnixMicro()
	if us <= w.lastTS {
		us = w.lastTS + 1
	}
	w.lastTS = us
	return formatTS(us), us
}

func formatTS(us int64) string {
	return fmt.Sprintf("%d.%06d", us/1_000_000, us%1_000_000)
}

// parseTS parses a Slack timestamp with or without a fraction and returns microseconds.
func parseTS(s string) (int64, bool) {
	whole, frac, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || sec < 0 || len(frac) > 6 {
		return 0, false
	}
	us := int64(0)
	if frac != "" {
		us, err = strconv.ParseInt((frac + "000000")[:6], 10, 64)
		if err != nil || us < 0 {
			return 0, false
		}
	}
	return sec*1_000_000 + us, true
}

// newID returns the next id with this prefix, such as C000100001. The caller holds mu.
func (w *Workspace) newID(prefix string) string {
	w.lastSerial[prefix]++
	return fmt.Sprintf("%s%09X", prefix, 0x100000+w.lastSerial[prefix])
}

// ticket returns an unguessable path element. It is not deterministic, because it does not appear in messages.
func ticket() string { return strings.ToLower(rand.Text()) }

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// clockSeconds formats a time as Slack does in events: seconds with six decimals.
func clockSeconds(t time.Time) string { return formatTS(t.UnixMicro()) }
