package storetest

import (
	"slices"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/response"
)

// Restored is the restore of the tests.
var Restored = incident.Restore{ID: 1, At: stored(Noon), BackupAt: stored(Noon.Add(-time.Hour)), LastIncident: 1}

// testHeld holds effects as a restore from a backup does. Until the release none of them starts, whatever requests it.
// New effects of their lane follow behind them, and all others start at once.
func testHeld(t *testing.T, s Subject) {
	OpenIncident(t, s, "x")
	refresh := newEffect("refresh", "")
	refresh.Kind, refresh.Refresh = incident.EffectCard, true
	page := newEffect("page", "")
	page.Kind = incident.EffectPage
	other := newEffect("none", "")
	other.Incident = 0
	MustTx(t, s, func(tx response.Tx) error {
		return tx.Enqueue(newEffect("a", "lane"), newEffect("b", "lane"), newEffect("only", "lane 2"), refresh, page, other)
	})
	s.Hold(t, Restored)
	attempts := s.work(t, func(tx response.Tx, p performed) error { return tx.FinishEffect(p.job, response.EffectCompleted, "ok") })
	MustTx(t, s, func(tx response.Tx) error {
		err := tx.Enqueue(newEffect("c", "lane"), refresh, page, newEffect("new", ""))
		n, releaseErr := tx.ReleaseEffects(response.WaitingQuery{})
		if n != 0 || releaseErr != nil {
			t.Errorf("released %d effects, %v, want none", n, releaseErr)
		}
		return err
	})
	if p := receive(t, attempts); p.effect.Key != "new" {
		t.Fatalf("got %q before the release, want only the new effect", p.effect.Key)
	}
	mustView(t, s, func(r response.Reader) error {
		paused, err := r.PausedRestore()
		if paused.Restore != Restored {
			t.Errorf("got %+v, want %+v", paused.Restore, Restored)
		}
		held, heldErr := r.HeldWork()
		want := []response.HeldEffects{{Kind: incident.EffectPost, Count: 1}, {Incident: 1, Kind: incident.EffectCard, Count: 1},
			{Incident: 1, Kind: incident.EffectPage, Count: 1}, {Incident: 1, Kind: incident.EffectPost, Count: 3}}
		slices.SortFunc(held.Effects, func(a, b response.HeldEffects) int {
			return slices.Compare([]string{a.Incident.String(), string(a.Kind)}, []string{b.Incident.String(), string(b.Kind)})
		})
		if !slices.Equal(held.Effects, want) || heldErr != nil {
			t.Errorf("got held effects %+v, %v, want %+v", held.Effects, heldErr, want)
		}
		return err
	})
	s.releaseHeld(t, func(e incident.Effect) string {
		if e.Kind == incident.EffectPage {
			return "sent again"
		}
		return ""
	})
	got := map[string]int{}
	var order []string
	for range 6 {
		p := receive(t, attempts)
		got[p.effect.Key] = p.job.Attempt
		order = append(order, p.effect.Key)
	}
	for _, key := range []string{"a", "only", "refresh", "none"} { // the lost machine may have performed them
		if got[key] < 2 {
			t.Errorf("%s: got attempt %d, want a repeated one", key, got[key])
		}
	}
	lane := slices.DeleteFunc(order, func(key string) bool { return !slices.Contains([]string{"a", "b", "c"}, key) })
	if !slices.Equal(lane, []string{"a", "b", "c"}) {
		t.Errorf("got %v, want the lane in order", order)
	}
	MustTx(t, s, func(tx response.Tx) error {
		_, done, err := tx.Effect(response.Job{Effect: 5})
		if !done {
			t.Error("the held page is not dropped")
		}
		return err
	})
}

// releaseHeld releases all held effects.
func (s Subject) releaseHeld(t *testing.T, drop func(incident.Effect) string) {
	t.Helper()
	for _, id := range []incident.ID{0, 1} {
		MustTx(t, s, func(tx response.Tx) error {
			if err := tx.EndRestore(Restored.ID, "root"); err == nil {
				t.Error("ended a restore with held effects")
			}
			more, err := tx.ReleaseHeld(id, drop)
			if more {
				t.Error("got more held effects than there are")
			}
			return err
		})
	}
	MustTx(t, s, func(tx response.Tx) error { return tx.EndRestore(Restored.ID, "root") })
	mustView(t, s, func(r response.Reader) error {
		paused, err := r.PausedRestore()
		if paused.ID != 0 {
			t.Errorf("got %+v after the release, want no restore", paused)
		}
		return err
	})
}
