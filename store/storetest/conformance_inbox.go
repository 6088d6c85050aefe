package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/response"
)

func testDeliveries(t *testing.T, s Subject) {
	s.Accept(t, 5)
	MustTx(t, s, func(tx response.Tx) error {
		claimed, err := tx.Claim([]int64{1, 2, 3})
		if !slices.Equal(claimed, []int64{1, 2, 3}) {
			t.Errorf("got claims %v, want all", claimed)
		}
		return errors.Join(err, tx.MarkHandled([]response.DeliveryOutcome{
			{Row: 1, Outcome: "opened", Incident: 4, Alert: 9, Rule: 2, Routing: 7, Reason: "1 item", Unread: true}, {Row: 2, Outcome: "counted", Incident: 4, Alert: 9},
			{Row: 3, Outcome: "undecodable", Reason: "not JSON"}, {Row: 4, Outcome: "undecodable", Reason: "no text", Unread: true}}))
	})
	MustTx(t, s, func(tx response.Tx) error {
		claimed, err := tx.Claim([]int64{3, 5})
		if !slices.Equal(claimed, []int64{5}) {
			t.Errorf("got claims %v, want only the unhandled row 5", claimed)
		}
		return err
	})
	mustView(t, s, func(r response.Reader) error {
		for name, c := range map[string]struct {
			query response.DeliveryQuery
			want  string
		}{
			"rows":        {response.DeliveryQuery{Rows: []int64{2, 1}}, "[{1 opened 4 9 2 7 1 item} {2 counted 4 9 0 0 }]"},
			"unknown row": {response.DeliveryQuery{Rows: []int64{99}}, "[]"},
			"no rows":     {response.DeliveryQuery{}, "[]"},
			"alert":       {response.DeliveryQuery{Alert: 9, Limit: 1}, "[{1 opened 4 9 2 7 1 item}]"},
			"undecodable": {response.DeliveryQuery{Undecodable: "sentry", Limit: 9}, "[{4 undecodable 0 0 0 0 no text} {3 undecodable 0 0 0 0 not JSON} {1 opened 4 9 2 7 1 item}]"},
		} {
			got, err := r.Deliveries(c.query)
			outcomes := []string{}
			for _, d := range got {
				if o := d.Outcome; d.Stored.ID != o.Row || d.Stored.Reason != o.Reason || d.Stored.Outcome != o.Outcome {
					t.Errorf("%s: got stored delivery %+v, want that of %+v", name, d.Stored, o)
				}
				o := d.Outcome
				outcomes = append(outcomes, fmt.Sprintf("{%d %s %d %d %d %d %s}", o.Row, o.Outcome, o.Incident, o.Alert, o.Rule, o.Routing, o.Reason))
			}
			if text := fmt.Sprint(outcomes); err != nil || text != c.want {
				t.Errorf("%s: got %s, %v, want %s", name, text, err, c.want)
			}
		}
		return nil
	})
}

func testDedupeEvents(t *testing.T, s Subject) {
	for n, want := range []map[string]int64{{"a": 1, "b": 1}, {"a": 1, "c": 2}} {
		MustTx(t, s, func(tx response.Tx) error {
			events := map[string]int64{}
			for event := range want {
				events[event] = int64(n + 1)
			}
			got, err := tx.DedupeEvents(events, Noon.Add(time.Hour))
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("pass %d: got %v, want %v", n, got, want)
			}
			return err
		})
	}
}

func newEffect(key, lane string) incident.Effect {
	return incident.Effect{Key: key, Kind: incident.EffectPost, Incident: 1, Seq: 1, Lane: lane, Args: map[string]string{"n": key}}
}

// performed is an attempt at an effect.
type performed struct {
	effect incident.Effect
	job    response.Job
	done   bool
}

func receive(t *testing.T, from <-chan performed) performed {
	t.Helper()
	select {
	case p := <-from:
		return p
	case <-time.After(20 * time.Second):
		t.Fatal("received nothing within 20s")
		panic("unreachable")
	}
}

// work performs effects with finish, and sends each attempt after its commit.
func (s Subject) work(t *testing.T, finish func(tx response.Tx, p performed) error) <-chan performed {
	attempts := make(chan performed, 100)
	s.Work(t, func(ctx context.Context, job response.Job) error {
		p := performed{job: job}
		err := s.Tx(ctx, func(tx response.Tx) (err error) {
			if p.effect, p.done, err = tx.Effect(job); err != nil || p.done {
				return err
			}
			return finish(tx, p)
		})
		attempts <- p
		return err
	})
	return attempts
}

// testEffects checks that keys are unique, lanes are in order, and completed and discarded effects are done.
func testEffects(t *testing.T, s Subject) {
	OpenIncident(t, s, "x")
	MustTx(t, s, func(tx response.Tx) error {
		return tx.Enqueue(newEffect("a", "lane"), newEffect("b", "lane"), newEffect("a", "lane"))
	})
	MustTx(t, s, func(tx response.Tx) error { return tx.Enqueue(newEffect("c", "lane"), newEffect("b", "lane")) })
	attempts := s.work(t, func(tx response.Tx, p performed) error {
		if p.effect.Key == "b" {
			return tx.FinishEffect(p.job, response.EffectDiscarded, "not needed")
		}
		return tx.FinishEffect(p.job, response.EffectCompleted, "ok")
	})
	for _, want := range []string{"a", "b", "c"} {
		p := receive(t, attempts)
		e := newEffect(want, "lane")
		e.ID = p.effect.ID
		if fmt.Sprint(p.effect) != fmt.Sprint(e) || p.job.Attempt != 1 || p.done {
			t.Errorf("got %+v, want the first attempt at %s", p, want)
		}
		MustTx(t, s, func(tx response.Tx) error {
			_, done, err := tx.Effect(response.Job{Effect: p.effect.ID})
			if !done {
				t.Errorf("%s: got done = false, want true", want)
			}
			return err
		})
	}
}

func testSnooze(t *testing.T, s Subject) {
	OpenIncident(t, s, "x")
	MustTx(t, s, func(tx response.Tx) error { return tx.Enqueue(newEffect("timer", "")) })
	snoozed := false
	attempts := s.work(t, func(tx response.Tx, p performed) error {
		if !snoozed {
			snoozed = true
			return tx.SnoozeEffect(p.job, time.Now().Add(-time.Second))
		}
		return tx.FinishEffect(p.job, response.EffectCompleted, "ok")
	})
	for n := range 2 {
		if p := receive(t, attempts); p.effect.Key != "timer" || p.done {
			t.Errorf("run %d: got %+v, want the timer", n, p)
		}
	}
}

func testRefresh(t *testing.T, s Subject) {
	OpenIncident(t, s, "x")
	card := newEffect("card", "")
	card.Kind, card.Refresh = incident.EffectCard, true
	enqueue := func() { MustTx(t, s, func(tx response.Tx) error { return tx.Enqueue(card) }) }
	enqueue()
	enqueue() // before its run it is pending once
	attempts := s.work(t, func(tx response.Tx, p performed) error {
		return tx.FinishEffect(p.job, response.EffectCompleted, "ok")
	})
	receive(t, attempts)
	enqueue()
	if p := receive(t, attempts); p.effect.Kind != incident.EffectCard || p.done {
		t.Errorf("got %+v, want a second run of the card", p)
	}
}

func testKeyValues(t *testing.T, s Subject) {
	put := func(n response.Namespace, values map[string]string) {
		t.Helper()
		MustTx(t, s, func(tx response.Tx) error {
			for key, value := range values {
				if _, err := tx.Values(n, key); err != nil {
					return err
				}
				if err := tx.PutValue(n, key, []byte(value), time.Time{}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	put(response.NamespaceAck, map[string]string{"a": "1", "b": `"x"`})
	put(response.NamespaceStorm, map[string]string{"a": "2"})
	put(response.NamespaceCorrelation, map[string]string{"a": "3"})
	put(response.NamespaceAck, map[string]string{"a": "4"})
	for namespace, want := range map[response.Namespace]string{
		response.NamespaceAck: `map[a:4 b:"x"]`, response.NamespaceStorm: "map[a:2]", response.NamespaceCorrelation: "map[a:3]", response.NamespaceReporter: "map[]"} {
		MustTx(t, s, func(tx response.Tx) error {
			values, err := tx.Values(namespace, "a", "b", "none")
			got := map[string]string{}
			for key, value := range values {
				got[key] = string(value)
			}
			if fmt.Sprint(got) != want {
				t.Errorf("%s: got %v, want %s", namespace, got, want)
			}
			return err
		})
	}
}
