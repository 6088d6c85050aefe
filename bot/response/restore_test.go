package response

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tocsin/bot/incident"
)

// history is an instance that loses its machine. Pages are shared by the lost and the restored machine.
type history struct {
	*fixture
	machine string
	pages   map[string]string // machine by key of the page
	row     int64

	published incident.ID // newest incident that a checkpoint names
}

func (h *history) newMachine(t *rapid.T, name string, restores ...incident.Restore) {
	routing, err := NewRouting([]Rule{{When: `level == "critical"`, Open: "sev1"}, {When: `level == "high"`, Open: "sev2"}, {When: "true", Open: "sev3"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := startTime
	if h.fixture != nil {
		now = h.now
	}
	h.machine = name
	h.fixture = newFixture(t, func(o *Options) {
		o.Routing, o.Restores, o.Administrators = routing, restores, []string{"p1"}
		send := func(key string) {
			if by := h.pages[key]; by != "" {
				t.Fatalf("%s sends page %s, which %s sent", h.machine, key, by)
			}
			h.pages[key] = h.machine
		}
		for n := range o.Pages {
			o.Pages[n] = func(_ context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
				send(incident.PageKey(b.Incident.ID, intArg(e, "round")) + "/" + e.Args["escalation_step"])
				return incident.Command{}, nil
			}
		}
		o.Policy.PersonalPages = []incident.Provider{incident.ProviderPagerDuty}
		o.Handlers[incident.EffectPagePerson] = func(_ context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
			send(b.Event.Hash + "/" + e.Args["person"])
			return incident.Command{}, nil
		}
	})
	h.now = now
}

// step changes a random incident, or lets time pass.
func (h *history) step(t *rapid.T) {
	ctx := t.Context()
	h.now = h.now.Add(time.Second) // people need longer for a command
	id := incident.ID(rapid.Int64Range(1, max(int64(h.store.next), 1)).Draw(t, "incident"))
	cmd := incident.Command{For: id, By: slackIdentity("p1"), Via: incident.ViaSlack, Auth: "slack", Text: "because"}
	switch rapid.IntRange(0, 10).Draw(t, "step") {
	case 0, 1, 2:
		level := rapid.SampledFrom([]incident.Level{incident.LevelCritical, incident.LevelHigh, incident.LevelMedium}).Draw(t, "level")
		n := rapid.IntRange(1, 4).Draw(t, "alert")
		h.row++
		a := incident.Alert{Source: "cloudtrail", Kind: "cloudtrail.x", Level: level, Title: "x", Fingerprint: fmt.Sprint(n, level), Correlation: fmt.Sprint("c", n), At: h.now}
		if err := h.Ingest(ctx, []incident.DecodedDelivery{delivery(h.row, a)}); err != nil {
			t.Fatal(err)
		}
		h.requireRound(t, h.store.handled[h.row].Incident)
		return
	case 3:
		cmd.Verb = incident.VerbAcknowledge
	case 4:
		cmd.Verb = incident.VerbPageAgain
	case 5:
		cmd.Verb, cmd.Severity = incident.VerbSetSeverity, rapid.SampledFrom([]incident.Severity{incident.Sev1, incident.Sev2, incident.Sev3}).Draw(t, "severity")
	case 6:
		cmd.Verb = rapid.SampledFrom([]incident.Verb{incident.VerbContain, incident.VerbResolve, incident.VerbReopen, incident.VerbNote}).Draw(t, "verb")
	case 7:
		cmd.Verb, cmd.Person = incident.VerbPageAgain, "p2"
	case 8, 9:
		h.now = h.now.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "minutes")) * time.Minute)
		return
	case 10:
		h.runQueue(t)
		return
	}
	_, err := h.Do(ctx, cmd)
	if err != nil && incident.CodeOf(err) == "" {
		t.Fatal(err)
	}
	if cmd.Verb == incident.VerbPageAgain && cmd.Person == "" && err == nil {
		h.requireRound(t, id)
	}
}

// requireRound fails if an incident needs a page and its paging round is from before the restore.
func (h *history) requireRound(t *rapid.T, id incident.ID) {
	t.Helper()
	if inc := h.store.incidents[id]; inc.NeedsRound(h.Restores) {
		t.Fatalf("%s needs a page, and its round %d is from before the restore", id, inc.Paging.Round)
	}
}

// restore restores a backup on a new machine.
func (h *history) restore(t *rapid.T, backup memoryState, r incident.Restore, earlier ...incident.Restore) {
	h.newMachine(t, fmt.Sprintf("restored machine %d", r.ID+int64(len(h.pages))), append(slices.Clone(earlier), r)...)
	clock := h.store.clock
	h.store.memoryState = backup.clone()
	h.store.clock = clock
	h.store.hold(r)
	h.store.next = h.published + 100
}

// release releases the restore. The process is killed again and again before a commit.
func (h *history) release(t *rapid.T) {
	for {
		h.store.crash = rapid.IntRange(0, 6).Draw(t, "crash")
		_, err := h.ReleaseRestore(t.Context(), incident.Identity{Provider: incident.ProviderLocal, ID: "p1"}, "all is checked")
		h.store.crash = 0
		switch {
		case err == nil:
			return
		case !errors.Is(err, errCrash):
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "work between") {
			h.runQueue(t)
		}
	}
}

// TestRestore_PagesOnce loses a machine at a random time, restores an older backup and releases it, with kills. Some
// backups are restored twice. Nobody is paged twice in one round, and no incident that needs a page goes without.
func TestRestore_PagesOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &history{pages: map[string]string{}}
		h.newMachine(t, "lost machine")
		steps := func(name string, most int) {
			for range rapid.IntRange(0, most).Draw(t, name) {
				h.step(t)
			}
		}
		steps("before the backup", 25)
		backup, backupAt, row := h.store.memoryState.clone(), h.now, h.row
		steps("after the backup", 25)
		for range rapid.IntRange(1, 2).Draw(t, "restores") {
			h.published = max(h.published, h.store.next)
			h.now = h.now.Add(time.Duration(rapid.IntRange(1, 90).Draw(t, "down")) * time.Minute)
			restored := h.now
			h.row = row + 1000*int64(len(h.pages)+1)
			h.restore(t, backup, incident.Restore{ID: 1, At: restored, BackupAt: backupAt, LastIncident: backup.next})
			h.watch(t)
			for range rapid.IntRange(0, 20).Draw(t, "paused") {
				h.step(t)
				h.watch(t)
			}
		}
		h.release(t)
		h.runQueue(t)
		for id, inc := range h.store.incidents {
			if first := incident.PageKey(id, inc.Paging.Round) + "/0"; inc.NeedsPage() && h.pages[first] != h.machine {
				t.Fatalf("%s needs a page in round %d, but the machine did not send it", id, inc.Paging.Round)
			}
			if errs := incident.Verify(id, h.store.events[id], inc.Head); len(errs) > 0 {
				t.Fatalf("%s: %v", id, errs)
			}
		}
		for _, e := range h.store.effects {
			if e.held || !e.done && !e.After.After(h.now) {
				t.Fatalf("%s was not performed after the release", e.Key)
			}
		}
		if h.store.releasedBy == "" || h.store.audit[len(h.store.audit)-1].Action != "restore released" {
			t.Fatal("nothing records who released the restore")
		}
		steps("after the release", 15)
		h.runQueue(t)
	})
}

// watch looks at the paused restore as the bot does, and checks that pages and mails are sent once.
func (h *history) watch(t *rapid.T) {
	started := h.now
	for _, e := range h.store.effects {
		if strings.HasPrefix(e.Key, "notice/restore/") {
			started = e.After
			break
		}
	}
	for range 2 { // two replicas
		if _, err := h.WatchRestore(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	mails := 0
	for _, e := range h.store.effects {
		if strings.HasPrefix(e.Key, "notice/restore/") && e.After.Equal(h.now) {
			mails++
		}
	}
	if mails > 1 {
		t.Fatalf("got %d mails at one time, want one", mails)
	}
	for id, inc := range h.store.incidents {
		if h.now.Sub(started) >= restorePageDelay && (inc.Severity == incident.Sev1 || inc.Severity == incident.Sev2) {
			h.requireRound(t, id)
		}
	}
}

// TestWatchRestore_MailsEveryQuarterOfAnHour lets a restore wait for half an hour. Two replicas look at it often, and
// people get a mail at the start and after each 15 minutes, until the release.
func TestWatchRestore_MailsEveryQuarterOfAnHour(t *testing.T) {
	r := incident.Restore{ID: 1, At: startTime, BackupAt: startTime.Add(-time.Hour), LastIncident: 1}
	fx := newFixture(t, nil)
	id := fx.open(t, incident.Sev3)
	fx.store.hold(r)
	fx.Restores = []incident.Restore{r}
	look := func(d time.Duration) int {
		for end := fx.now.Add(d); fx.now.Before(end); fx.now = fx.now.Add(15 * time.Second) {
			for range 2 {
				if _, err := fx.WatchRestore(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		fx.runQueue(t)
		return countOf(fx.calls, string(incident.EffectMailNotice))
	}
	for _, want := range []int{1, 2, 3} {
		if got := look(15 * time.Minute); got != want {
			t.Errorf("got %d mails, want %d", got, want)
		}
	}
	if inc := fx.store.incidents[id]; !inc.NeedsRound(fx.Restores) {
		t.Error("a sev3 incident was paged before the release")
	}
	if _, err := fx.ReleaseRestore(t.Context(), incident.Identity{Provider: incident.ProviderLocal, ID: "root"}, ""); err != nil {
		t.Fatal(err)
	}
	if got := look(time.Hour); got != 3 {
		t.Errorf("got %d mails after the release, want 3", got)
	}
	if _, err := fx.ReleaseRestore(t.Context(), incident.Identity{Provider: incident.ProviderLocal, ID: "root"}, ""); incident.CodeOf(err) != incident.CodeConflict {
		t.Errorf("second release: got %v, want a conflict", err)
	}
}
