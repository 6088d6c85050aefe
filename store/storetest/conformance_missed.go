package storetest

import (
	"fmt"
	"slices"
	"testing"

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
