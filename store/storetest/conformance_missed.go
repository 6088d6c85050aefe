package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/response"
)

// testCovered ends effects that wait behind another one in its lane together with it.
func testCovered(t *testing.T, s Subject) {
	OpenIncident(t, s, "x")
	MustTx(t, s, func(tx response.Tx) error {
		return tx.Enqueue(newEffect("a", "lane"), newEffect("b", "lane"), newEffect("c", "lane"), newEffect("d", "lane"), newEffect("other", "another lane"))
	})
	done := s.work(t, func(tx response.Tx, p performed) error {
		behind, err := tx.WaitingEffects(response.WaitingQuery{Behind: p.effect.ID})
		if err != nil {
			return err
		}
		if p.effect.Key != "a" {
			return tx.FinishEffect(p.job, response.EffectCompleted, "ok")
		}
		var covered []int64
		for _, w := range behind {
			if w.Kind != incident.EffectPost || w.Incident != 1 {
				return fmt.Errorf("got effect %+v behind a", w)
			}
			covered = append(covered, w.ID)
		}
		if len(covered) != 3 || !slices.IsSorted(covered) {
			return fmt.Errorf("got effects %v behind a, want b, c and d", covered)
		}
		return tx.FinishEffect(p.job, response.EffectCompleted, "with b and c", covered[:2]...)
	})
	var keys []string
	for range 3 {
		keys = append(keys, receive(t, done).effect.Key)
	}
	slices.Sort(keys)
	if got := fmt.Sprint(keys); got != "[a d other]" {
		t.Errorf("performed %s, want a, d and other: a covered b and c", got)
	}
}

// testStarted finds an effect by its key from its start to its end, also while it waits.
func testStarted(t *testing.T, s Subject) {
	OpenIncident(t, s, "x")
	MustTx(t, s, func(tx response.Tx) error { return tx.Enqueue(newEffect("a", "lane"), newEffect("b", "lane")) })
	started := func(tx response.Tx, keys ...string) (out string, err error) {
		for _, key := range keys {
			found, err := tx.WaitingEffects(response.WaitingQuery{Started: key})
			if err != nil {
				return "", err
			}
			out += fmt.Sprintf("%s:%d ", key, len(found))
		}
		return out, nil
	}
	failed := false
	done := s.work(t, func(tx response.Tx, p performed) error {
		want := map[string]string{"a": "a:1 b:0 c:0 ", "b": "a:0 b:1 c:0 "}[p.effect.Key]
		if got, err := started(tx, "a", "b", "c"); err != nil || got != want {
			return fmt.Errorf("during %s: got %q, %w, want %q", p.effect.Key, got, err, want)
		}
		if !failed {
			failed = true
			return tx.PostponeEffect(p.job, time.Now(), response.Failure{System: "slack", Cause: "refused"})
		}
		return tx.FinishEffect(p.job, response.EffectCompleted, "ok")
	})
	for range 3 {
		receive(t, done)
	}
	MustTx(t, s, func(tx response.Tx) error {
		if got, err := started(tx, "a", "b"); err != nil || got != "a:0 b:0 " {
			t.Errorf("at the end: got %q, %v, want none", got, err)
		}
		return nil
	})
}
