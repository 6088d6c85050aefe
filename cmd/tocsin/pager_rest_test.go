package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot"
	"tocsin/bot/incident"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
	"tocsin/bot/sandbox/pager"
	"tocsin/store"
)

// TestPagerREST_WithoutWebhook lives an incident with PagerDuty's REST API and without its
// webhooks, as an installation with Socket Mode has it.
func TestPagerREST_WithoutWebhook(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	sandbox, err := company.Open(company.Options{Seed: 6})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sandbox.Close() }()
	cfg, err := demoConfig(sandbox, demoOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Sources.PagerDuty.WebhookSecrets = nil
	keys, err := store.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	b, err := bot.New(ctx, cfg, bot.Options{Keyset: keys})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	sandbox.Connect("http://" + b.Addr())
	run, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- b.Run(run) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("bot stopped with %v", err)
		}
	}()
	if a, err := sandbox.Trail.Deliver(ctx, feed.StopLogging(6), feed.Copy{}); err != nil || a.Status != 202 {
		t.Fatalf("got response %+v, %v, want 202", a, err)
	}
	until := func(what string, done func() bool) {
		t.Helper()
		if err := sandbox.Pager.Until(ctx, done); err != nil {
			t.Fatalf("%s: %v, with %+v", what, err, sandbox.Pager.Snapshot().Incidents)
		}
	}
	first := func() (in pager.Incident) {
		if all := sandbox.Pager.ByKey("INC-1/1"); len(all) > 0 {
			in = all[0]
		}
		return in
	}
	until("page", func() bool { return first().ID != "" })
	head := sandbox.In("engineering")[0]
	if err := sandbox.Pager.Acknowledge(first().ID, head.Pager); err != nil {
		t.Fatal(err)
	}
	hasNote := func(words string) bool {
		return slices.ContainsFunc(sandbox.Pager.Snapshot().Incidents, func(in pager.Incident) bool {
			return slices.ContainsFunc(in.Notes, func(n pager.Note) bool { return strings.Contains(n.Content, words) })
		})
	}
	until("note about the acknowledgement", func() bool { return hasNote("INC-1 acknowledged at") })
	do := func(cmd incident.Command) incident.Result {
		t.Helper()
		cmd.For, cmd.By, cmd.Via = 1, incident.Identity{Provider: incident.ProviderSlack, ID: head.ID}, incident.ViaSlack
		got, err := b.Desk().Do(ctx, cmd)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := do(incident.Command{Key: "x", Verb: incident.VerbNote, Text: "x"}).Incident; got.Paging.AcknowledgedBy == "" || got.Commander == "" {
		t.Errorf("got %+v, want the acknowledgement of PagerDuty", got.Paging)
	}
	do(incident.Command{Key: "s", Verb: incident.VerbSetSeverity, Severity: incident.Sev1, Text: "it grows"})
	until("changed title", func() bool {
		return strings.HasPrefix(first().Title, "INC-1 sev1: ") && hasNote("severity changed from sev2 to sev1")
	})

	second := sandbox.In("security")[1]
	person := incident.PersonID("")
	dir, err := b.Desk().Directory(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range dir.People {
		if p.Name == second.Name {
			person = p.ID
		}
	}
	want := second.Name + " through PagerDuty"
	if second.Pager == "" {
		want = second.Name + " by mail"
	}
	if got := do(incident.Command{Key: "p", Verb: incident.VerbPageAgain, Person: person, Text: "the trail is theirs"}).Paged; !slices.Equal(got, []string{want}) {
		t.Errorf("got answer %q, want %q", got, want)
	}
	personal := func() []pager.Incident {
		return slices.DeleteFunc(sandbox.Pager.Snapshot().Incidents, func(in pager.Incident) bool { return !strings.HasPrefix(in.Key, "tocsin-page/INC-1/") })
	}
	if second.Pager != "" {
		until("personal page", func() bool {
			return len(personal()) == 1 && slices.Equal(personal()[0].Assignees, []string{second.Pager})
		})
	}
	do(incident.Command{Key: "r", Verb: incident.VerbResolve, Text: "the trail logs again", Reason: "nothing is left to do"})
	until("end of the pages", func() bool {
		return hasNote("INC-1 resolved at") && !slices.ContainsFunc(personal(), func(in pager.Incident) bool { return in.Status != pager.Resolved })
	})
}
