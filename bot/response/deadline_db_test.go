package response_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tocsin/bot/incident"
	"tocsin/bot/response"
	"tocsin/store/storetest"
)

// oneStep is a playbook for every incident, whose only step has a deadline.
type oneStep struct{}

func (oneStep) Pin(string) (incident.Run, bool) { return incident.Run{}, false }

func (oneStep) List() []incident.PlaybookInfo { return nil }
func (oneStep) Match(incident.Incident, *incident.Alert) ([]incident.Run, map[string]error) {
	return []incident.Run{{Playbook: "every", Plan: []incident.Step{{ID: "look", Title: "Look", Deadline: time.Minute}}}}, nil
}

// TestDeadline_TimersOfEarlierVersions writes each kind of deadline as versions before
// the kind deadline did, migrates the database, and requires that all of them run.
func TestDeadline_TimersOfEarlierVersions(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		before := newTestDesk(t, url, response.StormLimit{Incidents: 3, Per: time.Minute},
			response.Rule{When: `level == "critical"`, Open: incident.Sev1}, response.Rule{When: "true", Open: incident.Sev2})
		before.Policy, before.Playbooks, before.now = incident.Policy{EscalateAfter: time.Minute, AckTimeout: time.Minute, EscalationSteps: 2}, oneStep{}, time.Now().Add(-48*time.Hour)
		before.do(incident.Command{Verb: incident.VerbOpen, Title: "acknowledged", Severity: incident.Sev2, Key: "k"})
		before.do(incident.Command{For: 1, Verb: incident.VerbAcknowledge})
		before.deliver(testAlert("high", 1, "lowered")) // opens INC-2
		before.do(incident.Command{For: 2, Verb: incident.VerbSetSeverity, Severity: incident.Sev3, Text: "one host"})
		before.deliver(testAlert("critical", 2, "lowered")) // proposes sev1
		for n := range 4 {
			before.deliver(testAlert("high", 10+n, fmt.Sprint("storm ", n)))
		}

		ctx, db := t.Context(), openSQL(t, url)
		want := deadlines(t, before, db)
		verbs := map[incident.Verb]bool{}
		for id, e := range want {
			verbs[e.Command.Verb] = true
			kind, args := earlierTimer(e.Command)
			data, err := json.Marshal(args)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.ExecContext(ctx, "UPDATE effects SET kind = $1, args = $2 WHERE id = $3", kind, string(data), id); err != nil {
				t.Fatal(err)
			}
		}
		if len(verbs) != 5 {
			t.Fatalf("got deadlines of %v, want five verbs", verbs)
		}
		if n := len(deadlines(t, before, db)); n != 0 {
			t.Fatalf("got %d deadlines before the migration, want none", n)
		}
		folder, _, _ := strings.Cut(url, ":")
		migration, err := os.ReadFile(filepath.Join("../../store/migrations", folder, "0010_deadlines.sql"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(ctx, string(migration)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, deadlines(t, before, db)); diff != "" {
			t.Errorf("deadlines after the migration differ (-want +got):\n%s", diff)
		}
		if err := before.store.Close(); err != nil {
			t.Fatal(err)
		}
		after := openDesk(t, url, before.keys, nil)
		after.waitFor(t, "post page_unanswered", "post acknowledgement_timed_out", "post severity_set", "post step_late", "post source_noted")
	})
}

// earlierTimer returns the kind and the arguments of a timer as earlier versions
// stored them.
func earlierTimer(cmd incident.Command) (kind string, args map[string]string) {
	round, step := strconv.Itoa(cmd.Round), strconv.Itoa(cmd.EscalationStep)
	switch cmd.Verb {
	case incident.VerbPageTimeout:
		return "escalation_timer", map[string]string{"round": round, "escalation_step": step}
	case incident.VerbAckTimeout:
		return "ack_timer", map[string]string{"round": round}
	case incident.VerbSeverityTimeout:
		return "severity_timer", nil
	case incident.VerbStepLate:
		run, id, _ := strings.Cut(cmd.Step, "/")
		return "step_timer", map[string]string{"run": run, "step": id}
	}
	return "storm_timer", map[string]string{"round": round}
}

// deadlines returns the unfinished deadlines of a desk by the id of their effect.
func deadlines(t *testing.T, h *testDesk, db *sql.DB) map[int64]incident.Deadline {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT id FROM effects WHERE kind = 'deadline' AND state = 'available'")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var ids []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	out := map[int64]incident.Deadline{}
	err = h.store.Tx(t.Context(), func(tx response.Tx) error {
		for _, id := range ids {
			e, _, err := tx.Effect(response.Job{Effect: id})
			if err != nil {
				return err
			}
			out[id] = e.Deadline()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// openSQL opens a second connection to a database.
func openSQL(t *testing.T, url string) *sql.DB {
	t.Helper()
	driver, dsn := "pgx", url
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		driver, dsn = "sqlite", path
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}
