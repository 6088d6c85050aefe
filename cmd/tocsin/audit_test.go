//go:build !race

package main_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tocsin/bot/control"
	"tocsin/bot/sandbox/company"
	"tocsin/store"
	"tocsin/store/storetest"
)

// auditLines parses the lines of an export.
func auditLines(t *testing.T, text string) (out []store.AuditEntry) {
	t.Helper()
	for line := range strings.Lines(text) {
		var e store.AuditEntry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out = append(out, e)
	}
	return out
}

// TestCommands_WithoutADatabase runs commands for a stopped bot whose database is gone. They create no empty one, which would
// look valid and whose backup would be the newest.
func TestCommands_WithoutADatabase(t *testing.T) {
	url := storetest.SQLite(t)
	s := startBot(t, url, company.Options{Seed: 44})
	s.stop()
	path := strings.TrimPrefix(url, "sqlite:")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"verify", "audit list", "effects", "retention", "keys rotate", "backup now", "migrate --into sqlite:" + path + ".new"} {
		if out, err := s.run(strings.Fields(line)...); err == nil || !strings.Contains(err.Error(), "is empty. Check `database`") {
			t.Errorf("%s: got %q, %v, want that the database is empty", line, out, err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Fatalf("%s created a database", line)
		}
	}
}

// TestAudit_Administrators lists and exports the log of a running bot, and of one that
// does not run. Each of these is an entry itself.
func TestAudit_Administrators(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := startBot(t, url, company.Options{Seed: 43})
		opened, err := s.sendCommand("open sev3 a leaked key")
		if err != nil {
			t.Fatal(err)
		}
		id := opened.Result.Incident.ID
		s.view(id)
		list := func(args ...string) control.AuditPage {
			t.Helper()
			var page control.AuditPage
			if err := json.Unmarshal([]byte(s.mustRun(append([]string{"audit", "list", "--json"}, args...)...)), &page); err != nil {
				t.Fatal(err)
			}
			return page
		}
		shown := list("--incident", id.String(), "--action", "show", "--allowed")
		if len(shown.Entries) == 0 || shown.Entries[0].Incident != id || shown.Entries[0].Name == "" || !strings.HasPrefix(shown.Entries[0].Reason, "command line") {
			t.Fatalf("got %+v, want who read %s and how", shown, id)
		}
		if page := list("--limit", "1"); len(page.Entries) != 1 || !page.Older || page.Entries[0].Action != "audit-list" {
			t.Errorf("got %+v, want this reading as the newest entry", page)
		}
		if text := s.mustRun("audit", "list", "--limit", "1"); !strings.Contains(text, "there are older entries: add --before ") {
			t.Errorf("got %q, want the next page", text)
		}
		s.mustRun("audit", "export", "--reason", "yearly audit", "--until", "1h") // nothing matches
		if page := list("--action", "audit-export"); len(page.Entries) != 1 || page.Entries[0].Reason != "yearly audit" {
			t.Errorf("got %+v, want the export with its reason", page)
		}
		all := auditLines(t, s.mustRun("audit", "export"))
		for n, e := range all {
			if n > 0 && e.ID <= all[n-1].ID {
				t.Errorf("entry %d after %d, want the oldest first", e.ID, all[n-1].ID)
			}
		}
		s.stop()
		file := filepath.Join(t.TempDir(), "audit.log")
		s.mustRun("audit", "export", "--format", "syslog", "--to", file)
		if out, err := s.run("audit", "export", "--to", file); err == nil || !strings.Contains(err.Error(), "exists. Write another name") {
			t.Errorf("a second export: got %q, %v, want that the file stays", out, err)
		}
		exported, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(string(exported), "\n"), "\n")
		if len(lines) <= len(all) {
			t.Errorf("got %d messages, want more than the %d of before", len(lines), len(all))
		}
		message := regexp.MustCompile(`^<1(08|10)>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z \S+ tocsin - audit \[tocsin@32473 id="\d+" person="[^"]*" .*\] .+$`)
		for _, line := range lines {
			if !message.MatchString(line) {
				t.Errorf("got %q, want a message of RFC 5424", line)
			}
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("got %v, %v, want a file for its owner", info, err)
		}
		if page := list("--action", "audit-export"); len(page.Entries) != 3 || page.Entries[0].Reason != "offline" {
			t.Errorf("got %+v, want the export without a bot too", page)
		}
		s.mustRun("retention") // every command that opens the database leaves an entry
		if page := list("--action", "retention"); len(page.Entries) != 1 || page.Entries[0].Account.ID == "" {
			t.Errorf("got %+v, want an entry with the user", page)
		}
	})
}

// TestAudit_ProofsCheck exports entries with proofs as soon as a checkpoint covers them, and
// checks them without the configuration. A changed file is refused.
func TestAudit_ProofsCheck(t *testing.T) {
	s := startBot(t, storetest.SQLite(t), company.Options{Seed: 45})
	if _, err := s.sendCommand("list"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "audit.ndjson")
	s.waitFor(3*time.Minute, "a checkpoint", func() bool {
		_, err := s.run("audit", "export", "--action", "list", "--proof", "--to", file)
		return err == nil
	})
	key := strings.TrimSpace(s.mustRun("audit", "key"))
	exported, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	check := func(text string, args ...string) (string, error) {
		name := filepath.Join(t.TempDir(), "copy.ndjson")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(s.binary, append([]string{"audit", "check", name}, args...)...)
		cmd.Dir = "/" // no configuration
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	var header store.AuditLine
	if err := json.Unmarshal([]byte(strings.SplitN(string(exported), "\n", 2)[0]), &header); err != nil {
		t.Fatal(err)
	}
	mail := filepath.Join(t.TempDir(), "mail.txt")
	if err := os.WriteFile(mail, []byte("A checkpoint.\n\n"+header.Checkpoint), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := check(string(exported), "--key", key, "--checkpoint", mail); err != nil || !strings.HasPrefix(out, "1 entries proven by the checkpoint of ") || strings.Contains(out, "compare") {
		t.Errorf("got %s, %v, want the entry proven", out, err)
	}
	if out, err := check(string(exported)); err != nil || !strings.Contains(out, "the file has the public key "+key) || !strings.Contains(out, "no checkpoint was given") {
		t.Errorf("got %s, %v, want the missing parts named", out, err)
	}
	if out, err := check(strings.Replace(string(exported), `"allowed":true`, `"allowed":false`, 1), "--key", key); err == nil || !strings.Contains(out, "differs from its proof") {
		t.Errorf("a changed file: got %s, %v, want it refused", out, err)
	}
	if out, err := s.run("audit", "prove", "999999"); err == nil || !strings.Contains(err.Error(), "1 of these entries do not exist") {
		t.Errorf("got %s, %v, want the missing entry named", out, err)
	}
}
