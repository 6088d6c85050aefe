//go:build !race

package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

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
