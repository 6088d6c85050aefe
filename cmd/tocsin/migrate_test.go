//go:build !race

package main_test

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
	"tocsin/store"
	"tocsin/store/storetest"
	"tocsin/store/stream"
)

// changeDatabase stops the bot, copies its database into another one and starts the bot with that.
func (s *botProcess) changeDatabase(into string) {
	s.t.Helper()
	if out, err := s.run("migrate", "--into", into); err == nil || !strings.Contains(err.Error(), "in use by another process") || !strings.Contains(err.Error(), "nothing was copied") && !strings.Contains(err.Error(), "open the configured database") {
		s.t.Errorf("while the bot runs: got %q, %v", out, err)
	}
	s.stop()
	if out := s.mustRun("migrate", "--into", into); !strings.Contains(out, "1 incidents") || !strings.Contains(out, "next: set `database`") {
		s.t.Errorf("got %q", out)
	}
	s.compareDatabases(s.database, into)
	if out, err := s.run("migrate", "--into", into); err == nil || !strings.Contains(err.Error(), "has rows already") {
		s.t.Errorf("again: got %q, %v", out, err)
	}
	s.updateConfig(func(c map[string]any) { c["database"] = into })
	s.database, s.db = into, nil
	s.start()
}

// TestMigrate_WorkGoesOn copies a database with a page that could not be sent into PostgreSQL and back. The page is sent
// once, and the incident goes on.
func TestMigrate_WorkGoesOn(t *testing.T) {
	s := startBot(t, storetest.SQLite(t), company.Options{Seed: 71, HTTP: true, Limits: chat.Limits{Off: true}})
	s.pagerProxy.setOverride(func(*http.Request, string) (int, string) { return http.StatusServiceUnavailable, "" })
	if got := s.trailStatus(1); got != http.StatusAccepted {
		t.Fatalf("got status %d, want 202", got)
	}
	s.waitIncident(1)
	s.waitFor(time.Minute, "the failed page", func() bool { return s.queryInt("SELECT count(*) FROM effects WHERE waiting_system = 'pagerduty'") > 0 })
	s.waitFor(time.Minute, "the channel", func() bool { return s.view(1).Incident.Links[incident.LinkChannel] != "" })

	s.changeDatabase(storetest.Postgres(t))
	s.pagerProxy.setOverride(nil)
	s.waitFor(time.Minute, "the page", func() bool { return len(s.company.Pager.Snapshot().Pages) > 0 })
	s.waitIdle(time.Minute)
	for _, command := range []string{"ack INC-1", "note INC-1 from PostgreSQL"} {
		if _, err := s.sendCommand(command); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
	s.waitIdle(time.Minute)

	s.changeDatabase("sqlite:" + filepath.Join(t.TempDir(), "back.db"))
	if _, err := s.sendCommand("note INC-1 from SQLite"); err != nil {
		t.Error(err)
	}
	s.waitIdle(time.Minute)
	if out := s.mustRun("incident", "status", "INC-1"); !strings.Contains(out, "from PostgreSQL") || !strings.Contains(out, "from SQLite") {
		t.Errorf("got timeline %s", out)
	}
	once := map[string]bool{}
	for _, page := range s.company.Pager.Snapshot().Pages {
		if once[page.User] {
			t.Errorf("got a second page of %s: %+v", page.User, page)
		}
		once[page.User] = true
	}
	s.checkMessages(s.checkEffects())
	s.stop()
	s.checkVerify()
}

// loadedDatabase returns a stopped bot whose database has many rows.
func loadedDatabase(t *testing.T, database string) *botProcess {
	t.Helper()
	s := startBot(t, database, company.Options{Seed: 72, HTTP: true, Limits: chat.Limits{Off: true}})
	alerts := 150
	if os.Getenv("TOCSIN_TEST_HEAVY") == "1" {
		alerts = 3000
	}
	for n := range alerts {
		answer, err := s.company.Trail.Deliver(t.Context(), feed.StopLogging(uint64(n%5)), feed.Copy{N: n, PadKB: 40})
		if err != nil || answer.Status != http.StatusAccepted {
			t.Fatalf("got %+v, %v", answer, err)
		}
	}
	s.waitIdle(time.Minute)
	s.stop()
	return s
}

// TestMigrate_Killed kills the command at random moments. The new database has nothing then, or everything.
func TestMigrate_Killed(t *testing.T) {
	kills := 4
	if os.Getenv("TOCSIN_TEST_HEAVY") == "1" {
		kills = 20
	}
	engines := map[string]func(testing.TB) string{"sqlite": storetest.SQLite, "postgres": storetest.Postgres}
	for from, into := range map[string]string{"sqlite": "postgres", "postgres": "sqlite"} {
		t.Run(from+" to "+into, func(t *testing.T) {
			s := loadedDatabase(t, engines[from](t))
			began := time.Now()
			s.mustRun("migrate", "--into", engines[into](t))
			whole, random := time.Since(began), rand.New(rand.NewPCG(7, 1))
			outcomes := map[string]int{}
			target := engines[into](t)
			for range kills {
				cmd := exec.Command(s.binary, "migrate", "-c", s.config, "--into", target)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				<-time.After(whole/4 + time.Duration(random.Int64N(int64(whole))))
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
				switch out, err := s.run("migrate", "--into", target); {
				case err == nil:
					outcomes["nothing"]++
				case strings.Contains(err.Error(), "has rows already"):
					outcomes["everything"]++
				default:
					t.Errorf("after a kill: got %q, %v", out, err)
				}
				s.compareDatabases(s.database, target, "audit", "audit_head", "notary_outbox") // a refused copy leaves an entry
				target = engines[into](t)
			}
			t.Logf("after %d kills within %v the database had %v", kills, whole, outcomes)
		})
	}
}

// compareDatabases requires that another database has equal rows in each table, and is intact. The queue differs, so
// effects that wait for their next attempt have another job. It leaves out the tables in except.
func (s *botProcess) compareDatabases(database, other string, except ...string) {
	s.t.Helper()
	sums := func(url string) (out []stream.TableSum) {
		s.t.Helper()
		keys, err := store.LoadKeyset(s.keyset)
		if err != nil {
			s.t.Fatal(err)
		}
		opened, err := store.Open(s.t.Context(), store.Config{URL: url}, store.Deps{Keyset: keys, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			s.t.Fatal(err)
		}
		defer opened.Close()
		m, err := opened.Export(s.t.Context(), io.Discard)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, table := range m.Tables {
			if slices.Contains(except, table.Name) {
				continue
			}
			if table.NextID = 0; table.Name == "effects" {
				table.SHA256 = ""
			}
			out = append(out, table)
		}
		return out
	}
	if diff := cmp.Diff(sums(database), sums(other)); diff != "" {
		s.t.Errorf("tables: %s", diff)
	}
	s.updateConfig(func(c map[string]any) { c["database"] = other })
	s.checkVerify()
	s.updateConfig(func(c map[string]any) { c["database"] = s.database })
}

// TestMigrate_EqualTables copies a database that the real program wrote into both engines, and each copy back.
func TestMigrate_EqualTables(t *testing.T) {
	s := loadedDatabase(t, storetest.SQLite(t))
	for _, path := range [][]string{{storetest.SQLite(t)}, {storetest.Postgres(t), storetest.Postgres(t), storetest.SQLite(t)}} {
		database := s.database
		for _, into := range path {
			s.updateConfig(func(c map[string]any) { c["database"] = database })
			s.mustRun("migrate", "--into", into)
			s.compareDatabases(database, into)
			database = into
		}
	}
}

// TestMigrate_FullDisk copies onto a disk that is too small, and grows it until everything fits.
func TestMigrate_FullDisk(t *testing.T) {
	const step = 256 // KiB
	disk := mountDisk(t, "256k")
	s := loadedDatabase(t, storetest.SQLite(t))
	target := "sqlite:" + filepath.Join(disk, "tocsin.db")
	resize := func(kib int) {
		t.Helper()
		if err := syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT, fmt.Sprintf("size=%dk", kib)); err != nil {
			t.Fatal(err)
		}
	}
	for size := 1; ; size++ {
		resize(size * step)
		out, err := s.run("migrate", "--into", target)
		if err == nil {
			if size < 4 {
				t.Errorf("got success with %d KiB, so this test proves nothing", size*step)
			}
			break
		}
		if !strings.Contains(err.Error(), "nothing was copied") || !strings.Contains(err.Error(), "full") && !strings.Contains(err.Error(), "disk I/O error") {
			t.Fatalf("with %d KiB: got %q, %v", size*step, out, err)
		}
	}
	resize(100 << 10)
	s.compareDatabases(s.database, target)
}
