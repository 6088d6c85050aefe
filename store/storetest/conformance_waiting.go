package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/response"
)

var errBlocked = response.Failure{System: incident.SystemSlack, Blocked: true, Cause: "the app lacks a scope", Fix: "Add the scope", Reached: []string{"ana@example.com", "ben@example.com"}}

// far is a time after every test.
func far() time.Time { return time.Now().Add(24 * time.Hour) }

func waits(t *testing.T, s Subject, q response.WaitingQuery) (out []incident.WaitingEffect) {
	t.Helper()
	mustView(t, s, func(r response.Reader) (err error) {
		out, err = r.WaitingEffects(q)
		return err
	})
	return out
}

// failing performs effects. It postpones the first attempts at the effects of failures,
// and completes all others.
func (s Subject) failing(t *testing.T, failures map[string]response.Failure, until func() time.Time) <-chan performed {
	failed := map[string]bool{}
	return s.work(t, func(tx response.Tx, p performed) error {
		f, fails := failures[p.effect.Key]
		if !fails || failed[p.effect.Key] {
			return tx.FinishEffect(p.job, response.EffectCompleted, "ok")
		}
		failed[p.effect.Key] = true
		return tx.PostponeEffect(p.job, until(), f)
	})
}

func testWaiting(t *testing.T, s Subject) {
	OpenIncident(t, s, "x")
	MustTx(t, s, func(tx response.Tx) error { return tx.Enqueue(newEffect("a", "")) })
	attempts := s.failing(t, map[string]response.Failure{"a": errBlocked}, far)
	p := receive(t, attempts)
	got := waits(t, s, response.WaitingQuery{})
	if len(got) != 1 {
		t.Fatalf("got waiting effects %+v, want one", got)
	}
	w := got[0]
	if w.ID != p.effect.ID || w.Kind != incident.EffectPost || w.Incident != 1 || w.Seq != 1 || w.System != incident.SystemSlack || !w.Blocked ||
		w.Cause != errBlocked.Cause || w.Fix != errBlocked.Fix || !slices.Equal(w.Reached, errBlocked.Reached) || w.Attempts != 1 || w.Since.IsZero() || !w.LastAttempt.Equal(w.Since) || !w.NextAttempt.After(w.Since) {
		t.Errorf("got %+v", w)
	}
	for name, q := range map[string]response.WaitingQuery{
		"effect": {Effect: w.ID}, "incident": {Incident: 1}, "system": {System: incident.SystemSlack}, "all": {Effect: w.ID, Incident: 1, System: incident.SystemSlack, Limit: 1},
		"no effect": {Effect: w.ID + 1}, "no incident": {Incident: 2}, "no system": {System: incident.SystemMail},
	} {
		if n := len(waits(t, s, q)); (n == 1) == (name[:2] == "no") {
			t.Errorf("%s: got %d effects", name, n)
		}
	}
	MustTx(t, s, func(tx response.Tx) error {
		_, done, err := tx.Effect(response.Job{Effect: w.ID})
		if done {
			t.Error("got done, want a waiting effect")
		}
		n, releaseErr := tx.ReleaseEffects(response.WaitingQuery{Effect: w.ID})
		if n != 1 || releaseErr != nil {
			t.Errorf("released %d effects, %v, want 1", n, releaseErr)
		}
		return err
	})
	if p := receive(t, attempts); p.effect.ID != w.ID || p.job.Attempt < 2 {
		t.Errorf("got %+v, want another attempt at the effect", p)
	}
	if got := waits(t, s, response.WaitingQuery{}); len(got) != 0 {
		t.Errorf("got waiting effects %+v after the success", got)
	}
}

// testWaitingLane postpones two effects of a lane. One blocks the lane, the other steps
// aside.
func testWaitingLane(t *testing.T, s Subject) {
	OpenIncident(t, s, "x")
	aside := errBlocked
	aside.StepsAside = true
	MustTx(t, s, func(tx response.Tx) error {
		return tx.Enqueue(newEffect("aside 1", "lane"), newEffect("a", "lane"), newEffect("aside 2", "lane"), newEffect("b", "lane"), newEffect("c", "lane"), newEffect("other", "lane 2"))
	})
	attempts := s.failing(t, map[string]response.Failure{"aside 1": aside, "aside 2": aside, "b": errBlocked}, far)
	var got []string
	for range 5 {
		got = append(got, receive(t, attempts).effect.Key)
	}
	lane := slices.DeleteFunc(slices.Clone(got), func(key string) bool { return key == "other" })
	if want := []string{"aside 1", "a", "aside 2", "b"}; len(lane) != 4 || !slices.Equal(lane, want) {
		t.Errorf("got attempts %v, want %v and the other lane", got, want)
	}
	all := waits(t, s, response.WaitingQuery{})
	if len(all) != 3 {
		t.Fatalf("got %d waiting effects, want 3: %+v", len(all), all)
	}
	MustTx(t, s, func(tx response.Tx) error {
		_, err := tx.ReleaseEffects(response.WaitingQuery{System: incident.SystemSlack})
		return err
	})
	got = nil
	for range 4 {
		got = append(got, receive(t, attempts).effect.Key)
	}
	if slices.Index(got, "aside 1") > slices.Index(got, "aside 2") || slices.Index(got, "b") > slices.Index(got, "c") || slices.Contains(got, "a") {
		t.Errorf("got attempts %v after the release, want each waiting effect in its order, and c after b", got)
	}
	if all := waits(t, s, response.WaitingQuery{}); len(all) != 0 {
		t.Errorf("still waiting: %+v", all)
	}
}

// testAhead enqueues effects ahead of a lane whose first effect is refused. They start at
// once, and the effects that have not started come after them and after the first one.
func testAhead(t *testing.T, s Subject) {
	OpenIncident(t, s, "x")
	ahead := func(key string) incident.Effect {
		e := newEffect(key, "lane")
		e.Ahead = true
		return e
	}
	// wait returns the id of a waiting effect.
	wait := func(key string) (id int64) {
		t.Helper()
		all := waits(t, s, response.WaitingQuery{})
		MustTx(t, s, func(tx response.Tx) error {
			for _, w := range all {
				found, _, err := tx.Effect(response.Job{Effect: w.ID})
				if err != nil {
					return err
				}
				if found.Key == key {
					id = w.ID
				}
			}
			return nil
		})
		if id == 0 {
			t.Fatalf("effect %s does not wait", key)
		}
		return id
	}
	MustTx(t, s, func(tx response.Tx) error { return tx.Enqueue(newEffect("a", "lane"), newEffect("b", "lane")) })
	attempts := s.failing(t, map[string]response.Failure{"a": errBlocked, "ahead 2": errBlocked}, far)
	next := func(want ...string) {
		t.Helper()
		var got []string
		for range want {
			got = append(got, receive(t, attempts).effect.Key)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("got attempts %v, want %v", got, want)
		}
	}
	release := func(key string) {
		t.Helper()
		id := wait(key)
		MustTx(t, s, func(tx response.Tx) error {
			_, err := tx.ReleaseEffects(response.WaitingQuery{Effect: id})
			return err
		})
	}
	next("a")
	MustTx(t, s, func(tx response.Tx) error {
		return tx.Enqueue(ahead("ahead 1"), newEffect("c", "lane"), ahead("ahead 2"))
	})
	next("ahead 1", "ahead 2")
	if behind := waits(t, s, response.WaitingQuery{Behind: wait("a")}); len(behind) != 0 {
		t.Errorf("got %+v behind a, want none before ahead 2", behind)
	}
	release("a")
	next("a")
	MustTx(t, s, func(tx response.Tx) error { return tx.Enqueue(newEffect("other", "lane 2"), newEffect("d", "lane")) })
	next("other") // and nothing of the lane, because ahead 2 waits
	release("ahead 2")
	next("ahead 2")
	for _, key := range []string{"b", "c", "d"} {
		next(key)
	}
	MustTx(t, s, func(tx response.Tx) error { return tx.Enqueue(ahead("ahead 3"), newEffect("e", "lane")) })
	next("ahead 3")
	next("e")
}

// testDrop drops a waiting effect. The next effect of its lane starts, and the dropped one
// is not tried again. An effect cannot be dropped during an attempt. One that stepped aside
// can be dropped while it waits behind another one.
func testDrop(t *testing.T, s Subject) {
	OpenIncident(t, s, "x")
	drop := func(tx response.Tx, id int64, want bool) error {
		got, err := tx.DropEffect(id, "dropped by root")
		if got != want || err != nil {
			t.Errorf("drop of effect %d: got %v, %v, want %v", id, got, err, want)
		}
		return err
	}
	MustTx(t, s, func(tx response.Tx) error {
		return tx.Enqueue(newEffect("a", "lane"), newEffect("b", "lane"), newEffect("c", "lane"))
	})
	failed := false
	aside := errBlocked
	aside.StepsAside = true
	attempts := s.work(t, func(tx response.Tx, p performed) error {
		if strings.HasPrefix(p.effect.Key, "aside") {
			return tx.PostponeEffect(p.job, far(), aside)
		}
		if p.effect.Key == "a" && !failed {
			failed = true
			return tx.PostponeEffect(p.job, far(), errBlocked)
		}
		if p.effect.Key == "b" {
			if err := drop(tx, p.effect.ID, false); err != nil {
				return err
			}
		}
		return tx.FinishEffect(p.job, response.EffectCompleted, "ok")
	})
	a := receive(t, attempts)
	MustTx(t, s, func(tx response.Tx) error { return drop(tx, a.effect.ID, true) })
	for _, want := range []string{"b", "c"} {
		if p := receive(t, attempts); p.effect.Key != want {
			t.Errorf("got %s after the drop, want %s", p.effect.Key, want)
		}
	}
	MustTx(t, s, func(tx response.Tx) error {
		if _, done, err := tx.Effect(response.Job{Effect: a.effect.ID}); err != nil || !done {
			t.Errorf("got done %v, %v, want the dropped effect done", done, err)
		}
		return drop(tx, a.effect.ID, false)
	})
	MustTx(t, s, func(tx response.Tx) error {
		return tx.Enqueue(newEffect("aside 1", "lane"), newEffect("aside 2", "lane"))
	})
	first, behind := receive(t, attempts), receive(t, attempts)
	for _, p := range []performed{behind, first} {
		MustTx(t, s, func(tx response.Tx) error { return drop(tx, p.effect.ID, true) })
	}
	if list := waits(t, s, response.WaitingQuery{}); len(list) != 0 {
		t.Errorf("still waiting: %+v", list)
	}
}

// testWaitingRefresh requests a refresh effect that waits: it is tried at once.
func testWaitingRefresh(t *testing.T, s Subject) {
	OpenIncident(t, s, "x")
	card := newEffect("card", "")
	card.Kind, card.Refresh = incident.EffectCard, true
	enqueue := func() { MustTx(t, s, func(tx response.Tx) error { return tx.Enqueue(card) }) }
	enqueue()
	attempts := s.failing(t, map[string]response.Failure{"card": errBlocked}, far)
	receive(t, attempts)
	enqueue()
	if p := receive(t, attempts); p.job.Attempt < 2 {
		t.Errorf("got %+v, want another attempt", p)
	}
	enqueue()
	receive(t, attempts)
}

// testRelease selects waiting effects by system, limit, kind, pause and last attempt.
func testRelease(t *testing.T, s Subject) {
	OpenIncident(t, s, "x")
	failures, effects := map[string]response.Failure{}, []incident.Effect{}
	for n := range 6 {
		f, e := errBlocked, newEffect(fmt.Sprint(n), "")
		switch {
		case n >= 4:
			f.System = incident.SystemMail
		case n == 3:
			e.Kind = incident.EffectInvite
		case n == 0:
			f.Blocked, f.Paused = false, true
		}
		effects = append(effects, e)
		failures[fmt.Sprint(n)] = f
	}
	MustTx(t, s, func(tx response.Tx) error { return tx.Enqueue(effects...) })
	attempts := s.failing(t, failures, far)
	for range effects {
		receive(t, attempts)
	}
	mail := waits(t, s, response.WaitingQuery{System: incident.SystemMail})
	before, after := mail[0].LastAttempt.Add(-time.Hour), mail[0].LastAttempt.Add(time.Hour)
	slack := func(limit int, rule response.ReleaseRule) response.WaitingQuery {
		return response.WaitingQuery{System: incident.SystemSlack, Limit: limit, Release: rule}
	}
	for name, c := range map[string]struct {
		q     response.WaitingQuery
		among string // keys of effects that can be released
		want  int
	}{
		"no effect of the system waits":  {response.WaitingQuery{System: incident.SystemPagerDuty}, "", 0},
		"tried lately":                   {slack(10, response.ReleaseRule{RestedSince: before, IfQuiet: true}), "", 0},
		"tried lately, like another":     {slack(10, response.ReleaseRule{RestedSince: before, Like: &mail[0]}), "", 0},
		"one of each kind":               {slack(3, response.ReleaseRule{RestedSince: after, IfQuiet: true}), "013", 3},
		"one of each kind, pauses kept":  {slack(2, response.ReleaseRule{RestedSince: after, IfQuiet: true, KeepPauses: true}), "13", 2},
		"of the same kind":               {slack(10, response.ReleaseRule{RestedSince: after, Like: &mail[0]}), "12", 2},
		"of the same kind, not blocked":  {slack(10, response.ReleaseRule{RestedSince: after, Like: &incident.WaitingEffect{Kind: mail[0].Kind}}), "0", 1},
		"all that the system lets alone": {response.WaitingQuery{Release: response.ReleaseRule{KeepPauses: true}}, "12345", 5},
		"all of a system":                {response.WaitingQuery{System: incident.SystemMail}, "45", 2},
		"all":                            {response.WaitingQuery{}, "012345", 6},
	} {
		errRollback := errors.New("roll back")
		err := s.Tx(t.Context(), func(tx response.Tx) error {
			n, err := tx.ReleaseEffects(c.q)
			if err != nil {
				return err
			}
			list, err := tx.WaitingEffects(response.WaitingQuery{})
			for _, w := range list {
				if e, _, err := tx.Effect(response.Job{Effect: w.ID}); err != nil {
					return err
				} else if released := w.NextAttempt.Before(after); released && !strings.Contains(c.among, e.Key) {
					t.Errorf("%s: released effect %s, want only of %s", name, e.Key, c.among)
				}
			}
			if n != c.want {
				t.Errorf("%s: released %d effects, want %d", name, n, c.want)
			}
			return errors.Join(err, errRollback)
		})
		if !errors.Is(err, errRollback) {
			t.Fatalf("%s: %v", name, err)
		}
	}
	last := time.Time{}
	for _, w := range waits(t, s, response.WaitingQuery{}) {
		if w.LastAttempt.After(last) {
			last = w.LastAttempt
		}
	}
	MustTx(t, s, func(tx response.Tx) error {
		rule := response.ReleaseRule{RestedSince: last, IfQuiet: true}
		for n, want := range []int{1, 0} { // the released effect is due and perhaps hangs
			if got, err := tx.ReleaseEffects(slack(1, rule)); err != nil || got != want {
				t.Errorf("release %d: got %d effects, %v, want %d", n+1, got, err, want)
			}
		}
		_, err := tx.ReleaseEffects(response.WaitingQuery{})
		return err
	})
	for range effects {
		receive(t, attempts)
	}
}
