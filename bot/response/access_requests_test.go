package response

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
)

// TestRequestAccess_EveryAnswerIsEqual asks for access as a person who was never asked,
// as an excluded one and again, to incidents that exist or not. Only the audit log tells
// the difference.
func TestRequestAccess_EveryAnswerIsEqual(t *testing.T) {
	fx := newFixture(t, nil)
	id := fx.open(t, incident.Sev2)
	fx.do(t, "p3", incident.Command{For: id, Verb: incident.VerbExclude, Person: "p8", Text: "a suspect"})
	ask := func(person string, id incident.ID) string {
		t.Helper()
		data, err := json.Marshal(fx.do(t, person, incident.Command{For: id, Verb: incident.VerbRequestAccess, Text: "the dashboard shows it"}))
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(string(data), `"id":99`, `"id":1`)
	}
	want := ask("p7", 99)
	for _, got := range []string{ask("p7", id), ask("p7", id), ask("p8", id), ask("p8", 99)} {
		if got != want {
			t.Errorf("got answer %s, want %s", got, want)
		}
	}
	requests := slices.DeleteFunc(fx.eventKinds(id), func(k incident.EventKind) bool { return k != incident.EventAccessRequested })
	if len(requests) != 1 {
		t.Errorf("got %d requests in the timeline, want 1", len(requests))
	}
	var allowed []bool
	for _, a := range fx.store.audit {
		if strings.HasSuffix(strings.ReplaceAll(a.Action, "_", " "), "request access") {
			allowed = append(allowed, a.Allowed)
		}
	}
	if !slices.Contains(allowed, true) || !slices.Contains(allowed, false) {
		t.Errorf("got audit entries %v, want the request and the denied ones", allowed)
	}
	for name, cmd := range map[string]incident.Command{"no reason": {For: id, Verb: incident.VerbRequestAccess}, "no reason, no incident": {For: 99, Verb: incident.VerbRequestAccess}} {
		cmd.By = slackIdentity("p7")
		if _, err := fx.Do(context.Background(), cmd); incident.CodeOf(err) != incident.CodeInvalid {
			t.Errorf("%s: got %v, want invalid", name, err)
		}
	}
}

// TestBreakGlass_LeadsToARequest follows the advice of the refusal that a reader by
// break-glass gets: the reader asks for access, and security gives it. What break-glass
// itself allows does not give access to anybody.
func TestBreakGlass_LeadsToARequest(t *testing.T) {
	fx := newFixture(t, nil)
	id := fx.open(t, incident.Sev2)
	do := func(person string, cmd incident.Command) (incident.Result, error) {
		cmd.For, cmd.By, cmd.Via = id, slackIdentity(person), incident.ViaSlack
		return fx.Do(context.Background(), cmd)
	}
	fx.do(t, "p5", incident.Command{For: id, Verb: incident.VerbBreakGlass, Text: "the regulator is calling"})
	fx.do(t, "p7", incident.Command{For: id, Verb: incident.VerbRequestAccess, Text: "x"})
	for _, cmd := range []incident.Command{{Verb: incident.VerbGrant, Person: "p7", Text: "x"}, {Verb: incident.VerbEndorseAccess, Person: "p7"}, {Verb: incident.VerbRestrict, Public: true},
		{Verb: incident.VerbAssignRole, Role: incident.Scribe, Person: "p5"}, {Verb: incident.VerbExclude, Person: "p8", Text: "x"}} {
		if _, err := do("p5", cmd); incident.CodeOf(err) != incident.CodeForbidden || !strings.Contains(err.Error(), "type access request") {
			t.Errorf("%s by break-glass: got %v, want the advice to ask for access", cmd.Verb, err)
		}
	}
	for n := range 2 {
		cmd := incident.Command{Verb: incident.VerbRequestAccess, Text: "x"}
		offer := cmd
		offer.For, offer.By = id, slackIdentity("p5")
		if err := fx.Offer(context.Background(), offer); n == 0 && err != nil {
			t.Errorf("form of the request: got %v", err)
		}
		if got, err := do("p5", cmd); err != nil || got.Requested != (n == 0) || got.Unchanged != (n > 0) {
			t.Errorf("request %d: got requested %t, unchanged %t, %v", n, got.Requested, got.Unchanged, err)
		}
	}
	fx.do(t, "p3", incident.Command{For: id, Verb: incident.VerbEndorseAccess, Person: "p5"})
	fx.now = fx.now.Add(incident.BreakGlassTTL)
	if _, err := fx.Show(context.Background(), slackIdentity("p5"), id, "x"); err != nil {
		t.Errorf("got %v after the end of break-glass, want the access that security gave", err)
	}
}

// TestAccess_EndsEverywhere reads the incident, the list, the export and the alerts as a
// person with requested access and as one with break-glass, before and after the end.
func TestAccess_EndsEverywhere(t *testing.T) {
	fx := newFixture(t, nil)
	id := fx.open(t, incident.Sev2)
	fx.do(t, "p7", incident.Command{For: id, Verb: incident.VerbRequestAccess, Text: "x"})
	fx.do(t, "p3", incident.Command{For: id, Verb: incident.VerbEndorseAccess, Person: "p7"})
	fx.do(t, "p5", incident.Command{For: id, Verb: incident.VerbBreakGlass, Text: "the regulator is calling"})
	fx.runQueue(t)
	ends := map[string]time.Time{"p7": fx.now.Add(incident.AccessTTL), "p5": fx.now.Add(incident.BreakGlassTTL)}
	reads := func(p string) []bool {
		t.Helper()
		ctx, who := context.Background(), slackIdentity(p)
		_, shown := fx.Show(ctx, who, id, "x")
		list, err := fx.List(ctx, who, incident.Filter{All: true})
		if err != nil {
			t.Fatal(err)
		}
		_, noted := fx.Do(ctx, incident.Command{For: id, Verb: incident.VerbNote, Text: "x", By: who, Via: incident.ViaSlack})
		return []bool{shown == nil, list[0].Title != "", noted == nil}
	}
	for p, end := range ends {
		if got := reads(p); slices.Contains(got, false) {
			t.Errorf("%s: got show, list, note %v before the end, want all", p, got)
		}
		start := fx.now
		fx.now = end
		if got := reads(p); slices.Contains(got, true) {
			t.Errorf("%s: got show, list, note %v at the end, want none", p, got)
		}
		fx.now = start
	}
	fx.now = ends["p7"]
	fx.runQueue(t)
	if kinds := fx.eventKinds(id); !slices.Contains(kinds, incident.EventAccessExpired) {
		t.Errorf("got events %v, want the end of the access", kinds)
	}
}

// TestAgenda_ListsBreakGlass uses break-glass and reads the agendas of two months. The first
// attempt at the first one fails.
func TestAgenda_ListsBreakGlass(t *testing.T) {
	var agendas [][]incident.BreakGlassUse
	fx := newFixture(t, func(o *Options) {
		o.Handlers[incident.EffectAgenda] = func(_ context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
			agendas = append(agendas, b.BreakGlass)
			if len(agendas) == 1 {
				return incident.Command{}, errors.New("Slack does not answer")
			}
			return incident.Command{}, nil
		}
	})
	id := fx.open(t, incident.Sev2)
	fx.do(t, "p5", incident.Command{For: id, Verb: incident.VerbBreakGlass, Text: "x"})
	for n := range 2 {
		fx.now = fx.now.Add(31 * 24 * time.Hour)
		if err := fx.store.Tx(context.Background(), func(tx Tx) error {
			return tx.Enqueue(incident.Effect{Key: "agenda/" + string(rune('a'+n)), Kind: incident.EffectAgenda})
		}); err != nil {
			t.Fatal(err)
		}
		fx.runQueue(t)
	}
	if len(agendas) != 3 || len(agendas[0]) != 1 || agendas[0][0].Incident != id || !slices.Equal(agendas[0], agendas[1]) || len(agendas[2]) != 0 {
		t.Errorf("got agendas %+v, want the use in both attempts at the first one only", agendas)
	}
}
