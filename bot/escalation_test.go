package bot

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"tocsin/bot/incident"
)

// TestWithdrawPage_UnknownTarget ends pages at stored targets that no configuration can
// open any more. The effect ends, and the log says so once.
func TestWithdrawPage_UnknownTarget(t *testing.T) {
	for _, stored := range []string{"damaged", `{"mail":["oncall@example.com"]}`} {
		var log bytes.Buffer
		b := &Bot{log: slog.New(slog.NewTextHandler(&log, nil))}
		withdraw := b.withdrawPage(&generation{}, nil, nil)([]byte(stored))
		if cmd, err := withdraw(t.Context(), incident.Brief{}, incident.Effect{Kind: incident.EffectPageAck}); cmd.Verb != "" || err != nil {
			t.Errorf("%s: got %v, %v, want the end of the effect", stored, cmd, err)
		}
		if n := strings.Count(log.String(), "page stays open at a removed escalation step"); n != 1 {
			t.Errorf("%s: got log %q, want one line", stored, log.String())
		}
	}
}
