package response

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"tocsin/bot/incident"
)

// attemptRecorder is an [Observer] that records attempts at effects.
type attemptRecorder struct {
	conditionCounter
	attempts []EffectAttempt
}

func (r *attemptRecorder) EffectDone(a EffectAttempt) { r.attempts = append(r.attempts, a) }

func TestPerform_ReportsAttempt(t *testing.T) {
	blocked := &incident.Blocked{System: incident.SystemSlack, Cause: incident.Say("the app lacks the scope %s", incident.Literal("chat:write")), Fix: incident.Say("Add the scope"),
		Err: errors.New("secret details")}
	for name, c := range map[string]struct {
		err                error
		outcome            AttemptOutcome
		cause, fix, system string
		logged             string
	}{
		"success":  {nil, AttemptCompleted, "", "", "slack", ""},
		"failure":  {errUnavailable, AttemptFailed, "[gone]", "", "slack", `level=WARN msg="effect failed" kind=announce incident=INC-1 effect=INC-1/1/announce attempt=1 system=slack err=[gone]`},
		"blocked":  {blocked, AttemptWaiting, "the app lacks the scope chat:write", "Add the scope", "slack", `level=ERROR msg="effect waits for an administrator" kind=announce incident=INC-1 effect=INC-1/1/announce attempt=1 system=slack err="the app lacks the scope chat:write" fix="Add the scope"`},
		"rejected": {&incident.Permanent{Err: errUnavailable}, AttemptDiscarded, "[gone]", "", "slack", `level=ERROR msg="effect discarded" kind=announce incident=INC-1 effect=INC-1/1/announce attempt=1 system=slack err=[gone]`},
	} {
		t.Run(name, func(t *testing.T) {
			var discarded []EffectAttempt
			fx := newFailingFixture(t, incident.EffectAnnounce, &c.err, &discarded)
			var r attemptRecorder
			fx.Observer, fx.Redact = &r, redactEverything{}
			var log bytes.Buffer
			fx.Log = slog.New(slog.NewTextHandler(&log, nil))
			fx.SystemOf = func(incident.Effect) string { return incident.SystemSlack }
			id := fx.open(t, incident.Sev3)
			_ = fx.performFirst(t, incident.EffectAnnounce)
			if len(r.attempts) != 1 {
				t.Fatalf("got %d attempts, want 1", len(r.attempts))
			}
			got := r.attempts[0]
			if got.Effect.Incident != id || got.Effect.Kind != incident.EffectAnnounce || got.Attempt != 1 {
				t.Errorf("got effect %+v, attempt %d", got.Effect, got.Attempt)
			}
			if c.logged != "" && !strings.Contains(log.String(), c.logged) || c.logged == "" && log.Len() > 0 {
				t.Errorf("got log %q, want %q", &log, c.logged)
			}
			if got.Outcome != c.outcome || got.Cause != c.cause || got.Fix != c.fix || got.System != c.system {
				t.Errorf("got %+v, want %+v", got, c)
			}
		})
	}
}
