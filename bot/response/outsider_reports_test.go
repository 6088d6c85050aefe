package response

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/playbooks"
)

// report reports as an account of another workspace.
func (fx *fixture) report(key, team, user string, cmd incident.Command) (incident.Result, error) {
	cmd.Verb, cmd.Key, cmd.Via, cmd.Auth = incident.VerbOpen, key, incident.ViaSlack, "slack"
	cmd.By = incident.Identity{Provider: incident.ProviderSlack, ID: team + "/" + user}
	cmd.Reporter = &incident.Reporter{User: user, Team: team, Name: "name of " + user}
	return fx.Do(context.Background(), cmd)
}

func TestReport_GroupedByAccount(t *testing.T) {
	lib, err := playbooks.Load()
	if err != nil {
		t.Fatal(err)
	}
	fx := newFixture(t, func(o *Options) { o.Policy.NoPageFrom, o.Playbooks = incident.Sev4, lib })
	for n := range 4 {
		result, err := fx.report(fmt.Sprint("k", n%3), "T1", "U1", incident.Command{Title: fmt.Sprint("leak ", n), Severity: incident.Sev1}) // the 4th repeats the 1st
		if err != nil || !result.Reported || result.Incident.ID != 0 || len(result.Events) != 0 || result.Unchanged != (n == 3) {
			t.Fatalf("report %d: got %+v, %v", n, result, err)
		}
	}
	if _, err := fx.report("k0", "T1", "U2", incident.Command{Title: "another account"}); err != nil {
		t.Fatal(err)
	}
	fx.runQueue(t)
	if len(fx.store.incidents) != 2 || slices.ContainsFunc(fx.calls, func(c string) bool { return strings.HasPrefix(c, "page") }) {
		t.Fatalf("got %d incidents, calls %v, want one for each account and no page", len(fx.store.incidents), fx.calls)
	}
	var notes []string
	for _, e := range fx.store.events[1] {
		if e.Kind == incident.EventSourceNoted {
			sentence, text := e.Sentence()
			notes = append(notes, sentence.String()+": "+e.Text(text))
		}
	}
	want := "“name of U1” of team T1 (account U1, unknown to Tocsin, name not verified) reported again: leak 1"
	if len(notes) != 2 || notes[0] != want {
		t.Errorf("got notes %q, want 2, first %q", notes, want)
	}
	if inc := fx.store.incidents[1]; inc.Severity != incident.Sev4 || len(inc.Runs) != 0 {
		t.Errorf("got %s with playbooks %v", inc.Severity, inc.Runs)
	}
	fx.do(t, "p1", incident.Command{Verb: incident.VerbSetSeverity, For: 1, Severity: incident.Sev1})
	fx.runQueue(t)
	if !slices.Contains(fx.calls, "page 1/0") {
		t.Errorf("got calls %v, want a page for the raised severity", fx.calls)
	}
	fx.do(t, "p1", incident.Command{Verb: incident.VerbDismiss, For: 1, Text: "spam"})
	fx.do(t, "p3", incident.Command{Verb: incident.VerbDismiss, For: 1})
	if _, err := fx.report("k9", "T1", "U1", incident.Command{Title: "again"}); err != nil || len(fx.store.incidents) != 3 {
		t.Errorf("after the dismissal: got %d incidents, %v, want a new one", len(fx.store.incidents), err)
	}
}

func TestReport_LimitedByAccountAndTeam(t *testing.T) {
	fx := newFixture(t, nil)
	accepted := func(team, user string, n int) (ok int) {
		for k := range n {
			_, err := fx.report(fmt.Sprint(user, k, fx.now), team, user, incident.Command{Title: "x"})
			if err == nil {
				ok++
			} else if incident.CodeOf(err) != incident.CodeConflict || !strings.Contains(err.Error(), "04:00 UTC") {
				t.Errorf("%s: got %v", user, err)
			}
		}
		return ok
	}
	if got := accepted("T1", "U0", maxReports+5); got != maxReports {
		t.Errorf("one account: got %d reports, want %d", got, maxReports)
	}
	last := fx.store.events[1][len(fx.store.events[1])-1]
	if !strings.Contains(last.Text("text"), "rejects further ones until 04:00 UTC") {
		t.Errorf("got last note %q, want the limit", last.Text("text"))
	}
	all := maxReports
	for n := range 10 {
		all += accepted("T1", fmt.Sprint("U", n+1), maxReports)
	}
	if all != maxTeamReports || len(fx.store.incidents) != maxTeamIncidents {
		t.Errorf("one team: got %d reports in %d incidents, want %d in %d", all, len(fx.store.incidents), maxTeamReports, maxTeamIncidents)
	}
	if got := accepted("T2", "U0", 1); got != 1 {
		t.Error("the limit of a team holds for another team")
	}
	if fx.do(t, "p7", incident.Command{Verb: incident.VerbOpen, Title: "from a known person", Severity: incident.Sev1}).Incident.Paging.Round != 1 {
		t.Error("a known person's incident was not paged")
	}
	fx.now = fx.now.Add(reportWindow)
	if _, err := fx.report("later", "T1", "U0", incident.Command{Title: "x"}); err != nil {
		t.Errorf("an hour later: got %v", err)
	}
}

func TestReport_PlaybooksStartWithTheAcknowledgement(t *testing.T) {
	fx := newFixture(t, func(o *Options) { o.Playbooks = everyPlaybook{} })
	if _, err := fx.report("k", "T1", "U1", incident.Command{Title: "x"}); err != nil {
		t.Fatal(err)
	}
	fx.now = fx.now.Add(time.Minute)
	if runs := fx.do(t, "p1", incident.Command{Verb: incident.VerbAcknowledge, For: 1}).Incident.Runs; len(runs) != 1 {
		t.Errorf("got runs %v, want one", runs)
	}
}

// everyPlaybook has one playbook, which matches every incident.
type everyPlaybook struct{}

func (everyPlaybook) Pin(string) (incident.Run, bool) { return incident.Run{}, false }

func (everyPlaybook) List() []incident.PlaybookInfo { return nil }
func (everyPlaybook) Match(incident.Incident, *incident.Alert) ([]incident.Run, map[string]error) {
	return []incident.Run{{Playbook: "every", Plan: []incident.Step{{ID: "look", Title: "Look"}}}}, nil
}

// readCounter counts the reads of incidents, alerts, deliveries and documents.
type readCounter struct {
	*memory
	reads int
}

func (c *readCounter) Tx(ctx context.Context, f func(Tx) error) error {
	return c.memory.Tx(ctx, func(Tx) error { return f(c) })
}
func (c *readCounter) View(_ context.Context, f func(Reader) error) error { return f(c) }
func (c *readCounter) Incident(id incident.ID) (incident.Incident, error) {
	c.reads++
	return c.memory.Incident(id)
}
func (c *readCounter) Timeline(id incident.ID, seq ...int) ([]incident.Event, error) {
	c.reads++
	return c.memory.Timeline(id, seq...)
}
func (c *readCounter) Summaries(f incident.Filter) ([]incident.Summary, error) {
	c.reads++
	return c.memory.Summaries(f)
}
func (c *readCounter) Alerts(q AlertQuery) ([]AlertRow, error) {
	c.reads++
	return c.memory.Alerts(q)
}
func (c *readCounter) Deliveries(q DeliveryQuery) ([]Delivery, error) {
	c.reads++
	return c.memory.Deliveries(q)
}
func (c *readCounter) Document(id incident.ID, revision int) (incident.Document, error) {
	c.reads++
	return c.memory.Document(id, revision)
}
func (c *readCounter) RecordCommandKey(id incident.ID, key string) (bool, error) {
	c.reads++
	return c.memory.RecordCommandKey(id, key)
}

// TestOutsider_UnknownAccountIsDeniedBeforeReading checks every verb and query of an
// account without a person: nothing is read, and the attempt is in the audit log.
func TestOutsider_UnknownAccountIsDeniedBeforeReading(t *testing.T) {
	var counter *readCounter
	fx := newFixture(t, func(o *Options) {
		counter = &readCounter{memory: o.Store.(*memory)}
		o.Store = counter
	})
	id := fx.open(t, incident.Sev2)
	ctx, eve := context.Background(), incident.Identity{Provider: incident.ProviderSlack, ID: "T1/UEVE"}
	attempts := map[string]func() error{
		"show":     func() error { _, err := fx.Show(ctx, eve, id, "x"); return err },
		"document": func() error { _, err := fx.Document(ctx, eve, id, 1, "x"); return err },
		"list":     func() error { _, err := fx.List(ctx, eve, incident.Filter{}); return err },
		incident.QueryExplain: func() error {
			_, err := fx.Alerts(ctx, eve, incident.AlertRequest{Query: incident.QueryExplain, Alert: 1})
			return err
		},
		incident.QueryAlerts: func() error {
			_, err := fx.Alerts(ctx, eve, incident.AlertRequest{Query: incident.QueryAlerts, Disposition: incident.DispositionWatched})
			return err
		},
	}
	for _, row := range incident.Transitions {
		if row.Verb != incident.VerbOpen {
			attempts["command "+string(row.Verb)] = func() error {
				_, err := fx.Do(ctx, incident.Command{Key: "k", Verb: row.Verb, For: id, Target: id, Alerts: []int64{1}, By: eve, Via: incident.ViaSlack})
				return err
			}
		}
	}
	for name, attempt := range attempts {
		counter.reads, counter.audit = 0, nil
		if err := attempt(); incident.CodeOf(err) != incident.CodeForbidden || counter.reads != 0 {
			t.Errorf("%s: got %v after %d reads, want forbidden without a read", name, err, counter.reads)
		}
		if a := counter.audit; len(a) != 1 || a[0].Allowed || a[0].Handle != eve || a[0].Action != name {
			t.Errorf("%s: got audit log %+v", name, a)
		}
	}
}

func TestDo_DeniedCommandIsAudited(t *testing.T) {
	fx := newFixture(t, nil)
	id := fx.open(t, incident.Sev2)
	for _, missing := range []incident.ID{id, 99} {
		fx.store.audit = nil
		_, err := fx.Do(context.Background(), incident.Command{Verb: incident.VerbNote, For: missing, Text: "x", By: slackIdentity("p7"), Via: incident.ViaSlack})
		if a := fx.store.audit; incident.CodeOf(err) != incident.CodeUnknown || len(a) != 1 || a[0].Allowed || a[0].Person != "p7" || a[0].Incident != missing {
			t.Errorf("%s: got %v, audit log %+v", missing, err, a)
		}
	}
	fx.store.audit = nil
	if err := fx.Ingest(context.Background(), []incident.DecodedDelivery{{Row: 1, Source: "pagerduty", Signals: []incident.Signal{{Row: 1, Command: &incident.Command{
		Verb: incident.VerbAcknowledge, For: id, By: incident.Identity{Provider: incident.ProviderPagerDuty, ID: "PEVE"}, Via: incident.ViaPager}}}}}); err != nil {
		t.Fatal(err)
	}
	if a := fx.store.audit; len(a) != 1 || a[0].Allowed || a[0].Handle.ID != "PEVE" {
		t.Errorf("from a source: got audit log %+v", a)
	}
}
