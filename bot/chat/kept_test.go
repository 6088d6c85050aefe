package chat_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"tocsin/bot/chat"
	"tocsin/bot/incident"
)

// cutDownload is a chat whose downloads end early.
type cutDownload struct{ plainChat }

func (*cutDownload) HashFile(context.Context, string) (string, int64, string, error) {
	return "", 0, "the download ended after 8 of 2000 bytes", errors.New("download ended early")
}

// TestHashFile_GivesUp downloads a file that is always incomplete. The custody says so after
// a few attempts.
func TestHashFile_GivesUp(t *testing.T) {
	effects := chat.New(&cutDownload{}, slog.New(slog.DiscardHandler))
	e := incident.Effect{Key: "INC-42/7/hash_file", Kind: incident.EffectHashFile, Args: map[string]string{"file": "F1", "evidence": "E2"}}
	for attempt := 1; attempt <= 5; attempt++ {
		cmd, err := effects.HashFile(t.Context(), incident.Brief{Incident: incident.New(42), Attempt: attempt}, e)
		if isLast := attempt == 5; (err == nil) != isLast || (cmd.Verb == incident.VerbEvidenceHashed) != isLast || isLast && (cmd.Reason == "" || cmd.Document != "") {
			t.Errorf("attempt %d: got %+v, %v", attempt, cmd, err)
		}
	}
}
