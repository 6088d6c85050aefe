//go:build !race

package main_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/feed"
	"tocsin/store/storetest"
)

// runbook returns the commands of the runbook for a lost machine, in order.
func runbook(t *testing.T) []string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## The machine is lost\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var out []string
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(section, -1) {
		for line := range strings.Lines(block[1]) {
			out = append(out, strings.TrimSpace(line[2:]))
		}
	}
	if len(out) < 6 {
		t.Fatalf("got commands %q of the runbook", out)
	}
	return out
}

// lostMachine is a bot under load that loses its machine.
type lostMachine struct {
	*backupTest
	escrow string // folder apart from the machine: keyset, identity, checkpoint

	mu       sync.Mutex
	answered map[int]bool // alerts that the bot answered with 202
	stopped  chan struct{}
}

func startLostMachine(t *testing.T) *lostMachine {
	t.Helper()
	m := &lostMachine{backupTest: startBackupTest(t), escrow: t.TempDir(), answered: map[int]bool{}, stopped: make(chan struct{})}
	for name, file := range map[string]string{"keyset.json": m.keyset, "identity.txt": m.identity} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m.write(name, string(content))
	}
	return m
}

func (m *lostMachine) write(name, content string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.escrow, name), []byte(content), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// load sends alerts until the test closes stopped.
func (m *lostMachine) load(wg *sync.WaitGroup) {
	wg.Go(func() {
		tick := time.NewTicker(300 * time.Millisecond)
		defer tick.Stop()
		for n := 1; ; n++ {
			select {
			case <-m.stopped:
				return
			case <-tick.C:
			}
			answer, err := m.company.Trail.Deliver(m.t.Context(), feed.StopLogging(uint64(n)), feed.Copy{N: n})
			if err == nil && answer.Status == 202 {
				m.mu.Lock()
				m.answered[n] = true
				m.mu.Unlock()
			}
		}
	})
}

func (m *lostMachine) answeredNow() map[int]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.answered)
}

// lose deletes the database while the bot runs, then kills the bot. The folder with backups may be lost too.
func (m *lostMachine) lose(withFolder bool) {
	m.t.Helper()
	files, err := filepath.Glob(strings.TrimPrefix(m.database, "sqlite:") + "*")
	if withFolder && err == nil {
		var folders []string
		folders, err = filepath.Glob(filepath.Join(m.folder, "*"))
		files = append(files, folders...)
	}
	if err != nil || len(files) == 0 {
		m.t.Fatalf("got files %v, %v", files, err)
	}
	for _, file := range files {
		if err := os.RemoveAll(file); err != nil {
			m.t.Fatal(err)
		}
	}
	m.kill()
}

// replace makes a new machine from the escrow, with an empty database.
func (m *lostMachine) replace(database string) {
	m.t.Helper()
	raw, err := os.ReadFile(m.config)
	if err != nil {
		m.t.Fatal(err)
	}
	dir := m.t.TempDir()
	if database == "" {
		database = "sqlite:" + filepath.Join(dir, "tocsin.db")
	}
	m.dir, m.database, m.db = dir, database, nil
	m.config, m.keyset, m.socket = filepath.Join(dir, "tocsin.yaml"), filepath.Join(dir, "keyset.json"), filepath.Join(dir, "control.sock")
	if err := os.WriteFile(m.config, raw, 0o600); err != nil {
		m.t.Fatal(err)
	}
	for _, name := range []string{"keyset.json", "identity.txt", "checkpoint.txt"} {
		content, err := os.ReadFile(filepath.Join(m.escrow, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), content, 0o600)
		}
		if err != nil {
			m.t.Fatal(err)
		}
	}
	m.updateConfig(func(c map[string]any) {
		c["database"], c["keyset_file"], c["control_socket"] = m.database, m.keyset, m.socket
	})
	if err := os.Symlink(m.binary, filepath.Join(dir, "tocsin")); err != nil {
		m.t.Fatal(err)
	}
}

// shell runs a line of the runbook on a terminal and answers yes to its questions.
func (m *lostMachine) shell(line string) (string, error) {
	m.t.Helper()
	cmd := exec.Command("sh", "-c", strings.ReplaceAll(line, "/etc/tocsin", m.dir))
	cmd.Dir, cmd.Env = m.dir, append(os.Environ(), "PATH="+m.dir+":"+os.Getenv("PATH"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	master, slave := openTerminal(m.t)
	defer func() { _ = master.Close() }()
	cmd.Stdin = slave
	_, _ = io.WriteString(master, "yes\n")
	err := cmd.Run()
	_ = slave.Close()
	return out.String(), err
}

// openTerminal opens a pseudo-terminal.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// killedRestores kills restores after different times. None of them leaves half a database.
func (m *lostMachine) killedRestores() {
	m.t.Helper()
	for wait := 20 * time.Millisecond; wait < 400*time.Millisecond; wait = wait * 3 / 2 {
		cmd := exec.Command(m.binary, "backup", "restore", "newest", "--identity", "identity.txt", "--checkpoint", "checkpoint.txt", "-c", m.config)
		cmd.Dir = m.dir
		var out bytes.Buffer
		cmd.Stderr = &out
		if err := cmd.Start(); err != nil {
			m.t.Fatal(err)
		}
		time.AfterFunc(wait, func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		if err == nil { // faster than the kill
			m.t.Logf("a restore took less than %v", wait)
			m.replaceDatabase()
			return
		}
		if strings.Contains(out.String(), "nothing was restored") {
			m.t.Fatalf("got %q after killed restores", out.String())
		}
	}
}

// replaceDatabase names another empty database.
func (m *lostMachine) replaceDatabase() {
	if strings.HasPrefix(m.database, "sqlite:") {
		m.database = strings.TrimSuffix(m.database, ".db") + "2.db"
	} else {
		m.database = storetest.Postgres(m.t)
	}
	m.db = nil
	m.updateConfig(func(c map[string]any) { c["database"] = m.database })
}

// killedReleases kills the bot while it releases the restore.
func (m *lostMachine) killedReleases() {
	m.t.Helper()
	for wait := time.Millisecond; wait < 60*time.Millisecond; wait *= 3 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = m.run("backup", "release", "--yes")
		}()
		held := m.queryInt("SELECT count(*) FROM effects WHERE held")
		eventually(wait*100, func() bool { return m.queryInt("SELECT count(*) FROM effects WHERE held") != held })
		m.kill()
		<-done
		m.start()
	}
}

// TestLostMachine loses the machine of a bot under load and brings it back with the commands of the runbook, on SQLite and
// on PostgreSQL.
func TestLostMachine(t *testing.T) {
	for name, database := range map[string]func(testing.TB) string{"sqlite": func(testing.TB) string { return "" }, "postgres": storetest.Postgres} {
		t.Run(name, func(t *testing.T) {
			m := startLostMachine(t)
			var wg sync.WaitGroup
			m.load(&wg)
			m.waitFor(time.Minute, "incidents", func() bool { return m.queryInt("SELECT count(*) FROM incidents") >= 6 })
			if _, err := m.sendCommand("ack INC-1"); err != nil {
				t.Fatal(err)
			}
			before, backupAt := m.answeredNow(), time.Now()
			m.mustRun("backup", "now")
			backed := m.queryInt("SELECT count(*) FROM incidents") // at least as many as in the backup
			var note string
			m.waitFor(3*time.Minute, "a checkpoint after the backup", func() bool {
				rows := m.queryRows("SELECT note FROM notary_checkpoints ORDER BY size DESC LIMIT 1")
				if len(rows) == 0 {
					return false
				}
				note = rows[0][0]
				return lastIncidentOf(t, note) > backed+2
			})
			m.write("checkpoint.txt", "The newest checkpoint:\n\n"+note)
			last := lastIncidentOf(t, note)
			m.lose(name == "postgres") // only the bucket remains
			close(m.stopped)
			wg.Wait()
			lostAt := time.Now()

			m.replace(database(t))
			m.killedRestores()
			begin := time.Now()
			restored := m.followRunbook(t)
			rto := time.Since(begin)
			for _, want := range []string{fmt.Sprintf("to INC-%d.", last), "entries of the notary's log that the backup does not have", "tocsin backup release"} {
				if !strings.Contains(restored, want) {
					t.Errorf("got %q, want %q in it", restored, want)
				}
			}
			if got := m.queryInt("SELECT count(*) FROM inbox WHERE source = 'cloudtrail' AND id <= (SELECT last_inbox FROM restores)"); got < len(before) {
				t.Errorf("got %d deliveries, want the %d that were answered before the backup", got, len(before))
			}
			t.Logf("RTO %v (restore, verify, start, release), RPO %v", rto.Round(10*time.Millisecond), lostAt.Sub(backupAt).Round(time.Second))
			m.checkPagedOnce(t)
			m.checkVerify()
		})
	}
}

func lastIncidentOf(t *testing.T, note string) int {
	t.Helper()
	match := regexp.MustCompile(`(?m)^last-incident (\d+)$`).FindStringSubmatch(note)
	if match == nil {
		t.Fatalf("got checkpoint %q", note)
	}
	n, _ := strconv.Atoi(match[1])
	return n
}

// followRunbook runs the commands of the runbook and returns the output of the restore. Before the release it sends an
// alert, whose incident pages at once, and kills the release a few times.
func (m *lostMachine) followRunbook(t *testing.T) (restored string) {
	t.Helper()
	for _, line := range runbook(t) {
		switch {
		case line == "systemctl start tocsin":
			m.start()
			m.checkPaused(t)
			if strings.HasPrefix(m.database, "sqlite:") {
				m.killedReleases() // and on PostgreSQL the release asks
			}
			continue
		case line == "tocsin doctor":
			continue // it asks systems that the sandbox does not have
		}
		out, err := m.shell(line)
		if err != nil && !(strings.HasPrefix(line, "tocsin backup release") && strings.Contains(out, "no restore waits")) {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
		t.Logf("$ %s\n%s", line, out)
		if strings.Contains(line, "backup restore") {
			restored = out
		}
	}
	m.waitFor(time.Minute, "the end of the pause", func() bool { return m.queryInt("SELECT count(*) FROM restores WHERE released_at IS NULL") == 0 })
	m.waitIdle(2 * time.Minute)
	return restored
}

// checkPaused sends an alert to the paused bot. Its incident has a number that the lost machine did not use, and pages.
func (m *lostMachine) checkPaused(t *testing.T) {
	t.Helper()
	m.waitFor(time.Minute, "the degraded part", func() bool {
		_, body := m.httpGet("/readyz")
		return strings.Contains(body, `"part":"restore"`) && strings.Contains(body, "tocsin backup release")
	})
	next := m.queryInt("SELECT next_incident FROM restores")
	if got := m.trailStatus(100_000); got != 202 {
		t.Fatalf("got status %d of the paused bot", got)
	}
	key := fmt.Sprintf("INC-%d/1", next)
	m.waitFor(time.Minute, "the page of the new incident", func() bool { return len(m.pagesOf(key)) > 0 })
	if n := m.queryInt("SELECT count(*) FROM effects WHERE kind = 'mail_notice' AND key LIKE 'notice/restore/%'"); n != 1 {
		t.Errorf("got %d mails about the restore, want 1", n)
	}
}

// pagesOf returns the users who were paged with a key.
func (m *lostMachine) pagesOf(key string) (users []string) {
	for _, p := range m.company.Pager.Snapshot().Pages {
		if p.Key == key {
			users = append(users, p.User)
		}
	}
	return users
}

// checkPagedOnce checks that nobody was paged twice in one round, and that each incident that needs a page was paged in its
// present round.
func (m *lostMachine) checkPagedOnce(t *testing.T) {
	t.Helper()
	paged := map[string][]string{}
	for _, p := range m.company.Pager.Snapshot().Pages {
		if slices.Contains(paged[p.Key], p.User) {
			t.Errorf("%s was paged twice about %s", p.User, p.Key)
		}
		paged[p.Key] = append(paged[p.Key], p.User)
	}
	needed := 0
	for _, row := range m.queryRows("SELECT id FROM incidents ORDER BY id") {
		id, _ := strconv.ParseInt(row[0], 10, 64)
		inc := m.view(incident.ID(id)).Incident
		if !inc.NeedsPage() {
			continue
		}
		needed++
		if key := incident.PageKey(inc.ID, inc.Paging.Round); len(paged[key]) == 0 {
			t.Errorf("%s needs a page, but nobody was paged about %s", inc.ID, key)
		}
	}
	if needed < 4 {
		t.Errorf("got %d incidents that need a page, want at least 4", needed)
	}
}
