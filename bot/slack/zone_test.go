package slack

import (
	"strings"
	"testing"
	"time"
)

// Slack shows a time in the zone of each reader. The zone that the author typed follows.
func TestTime_ShowsTheTypedZone(t *testing.T) {
	at := time.Date(2026, 11, 28, 15, 0, 0, 0, time.UTC)
	var l layouter
	if got := string(l.domainArg(at)); strings.Contains(got, "(") {
		t.Errorf("got %s, want no other zone", got)
	}
	if got := string(l.domainArg(at.In(time.FixedZone("EST", -5*3600)))); !strings.HasPrefix(got, "<!date^1795878000^") || !strings.HasSuffix(got, " (2026-11-28 10:00 EST)") {
		t.Errorf("got %s", got)
	}
}
