package response

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

// faultBench reports faults of replicas and collects the notices.
type faultBench struct {
	*testing.T
	*fixture
	seen int
}

// report reports a fault and returns the kinds of the new effects.
func (b *faultBench) report(replica string, change func(*Fault)) (kinds string, err error) {
	b.Helper()
	f := Fault{Part: "Slack API", Replica: replica, Since: b.now.Add(-15 * time.Minute), Ways: []incident.EffectKind{incident.EffectMailNotice}, Args: map[string]string{"about": "fault", "cause": "it broke"}}
	if change != nil {
		change(&f)
	}
	err = b.NotifyFault(b.Context(), f)
	b.runQueue(b.T)
	kinds = strings.Join(b.calls[b.seen:], " ")
	b.seen = len(b.calls)
	return kinds, err
}

func (b *faultBench) want(replica, kinds string, change func(*Fault)) {
	b.Helper()
	if got, err := b.report(replica, change); err != nil || got != kinds {
		b.Errorf("got notices %q, error %v, want %q", got, err, kinds)
	}
}

func recovered(f *Fault) { f.Recovered = time.Date(2026, 11, 3, 3, 40, 0, 0, time.UTC) }

// wantWait requires that the recovery on a replica must be reported again.
func (b *faultBench) wantWait(replica string) {
	b.Helper()
	var wait *incident.RetryAfter
	if got, err := b.report(replica, recovered); !errors.As(err, &wait) || wait.After != time.Minute || got != "" {
		b.Errorf("got notices %q, error %v, want a pause of a minute", got, err)
	}
}

// Two replicas find a fault. People get one notice a day, and one when it works again on
// both.
func TestNotifyFault_OnceForAllReplicas(t *testing.T) {
	b := &faultBench{T: t, fixture: newFixture(t, nil)}
	b.want("a", "mail_notice", nil)
	b.want("b", "", nil)
	b.want("a", "", nil) // for example after a restart
	b.now = b.now.Add(24 * time.Hour)
	b.want("b", "mail_notice", nil)
	b.want("a", "", nil)
	b.wantWait("a")
	b.want("b", "mail_notice", recovered)
	b.want("b", "", recovered)
	b.want("a", "", recovered)
}

// A replica that is gone does not prevent the notice of the recovery.
func TestNotifyFault_ReplicaGone(t *testing.T) {
	b := &faultBench{T: t, fixture: newFixture(t, nil)}
	b.want("a", "mail_notice", nil)
	b.want("gone", "", nil)
	b.now = b.now.Add(24 * time.Hour)
	b.want("a", "mail_notice", nil)
	b.now = b.now.Add(2 * time.Hour)
	b.want("a", "mail_notice", recovered)
}

// A replica that disappears after its report delays the notice of the recovery, but does
// not prevent it. The page ends with it.
func TestNotifyFault_ReplicaDisappears(t *testing.T) {
	b := &faultBench{T: t, fixture: newFixture(t, nil)}
	b.want("gone", "page_notice", func(f *Fault) { f.Ways = []incident.EffectKind{incident.EffectPageNotice} })
	b.want("a", "", nil)
	for range 26 {
		b.wantWait("a")
		b.now = b.now.Add(time.Hour - time.Minute)
	}
	b.want("a", "mail_notice page_notice", recovered)
	b.want("a", "", recovered)
}

// A part that fails again and again sends ever fewer notices.
func TestNotifyFault_RepeatedFaults(t *testing.T) {
	b := &faultBench{T: t, fixture: newFixture(t, nil)}
	notices := 0
	for range 3 * 24 * 2 { // each half an hour for three days
		got, err := b.report("a", nil)
		if err != nil && !errors.As(err, new(*incident.RetryAfter)) {
			t.Fatal(err)
		}
		if got != "" {
			notices++
		}
		b.now = b.now.Add(15 * time.Minute)
		if _, err := b.report("a", recovered); err != nil {
			t.Fatal(err)
		}
		b.now = b.now.Add(15 * time.Minute)
	}
	if notices < 6 || notices > 9 {
		t.Errorf("got %d notices in three days, want a few", notices)
	}
}

// The notice of a recovery has the end of the fault and not the time of the notice.
func TestNotifyFault_EndOfTheFault(t *testing.T) {
	var args map[string]string
	b := &faultBench{T: t, fixture: newFixture(t, func(o *Options) {
		o.Handlers[incident.EffectMailNotice] = func(_ context.Context, _ incident.Brief, e incident.Effect) (incident.Command, error) {
			args = e.Args
			return incident.Command{}, nil
		}
	})}
	b.want("a", "", nil)
	b.want("a", "", recovered)
	if got, want := args["recovered"], "2026-11-03T03:40:00Z"; got != want {
		t.Errorf("got recovered %q, want %q", got, want)
	}
}

// The page of a fault is resolved after the recovery, also by another process.
func TestNotifyFault_ResolvesItsPage(t *testing.T) {
	b := &faultBench{T: t, fixture: newFixture(t, nil)}
	b.want("a", "page_notice", func(f *Fault) {
		f.Ways, f.EscalationStep = []incident.EffectKind{incident.EffectPageNotice}, 2
	})
	open, err := b.OpenFaults(t.Context(), "a")
	if err != nil || len(open) != 1 || !open["Slack API"].Equal(b.now.Add(-15*time.Minute)) {
		t.Errorf("got open faults %v, error %v", open, err)
	}
	if other, _ := b.OpenFaults(t.Context(), "b"); len(other) != 0 {
		t.Errorf("got open faults %v of another replica", other)
	}
	b.want("a", "mail_notice page_notice", recovered)
	if open, _ := b.OpenFaults(t.Context(), "a"); len(open) != 0 {
		t.Errorf("got open faults %v after the recovery", open)
	}
}
