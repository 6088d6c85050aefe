//go:build !race

package main_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/pack"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/store/storetest"
)

// TestPack_ExportAndVerify closes an incident with signatures in Slack, exports its evidence pack and verifies it in an empty
// folder.
func TestPack_ExportAndVerify(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := startBot(t, url, company.Options{Seed: 47, HTTP: true, Limits: chat.Limits{Off: true}})
		first := s.company.In("engineering")[0]
		s.mustRun("incident", "open", "sev3", "--public", "a key in a log line")
		channel := s.channelOf(1).ID
		s.waitFor(time.Minute, "the channel to be linked", func() bool { return s.view(1).Incident.Links[incident.LinkChannel] != "" })
		commands := []string{"ack", "contain the key is revoked", "resolve every key is rotated", "record set audience all"}
		for _, field := range []string{"summary", "impact", "root_cause", "what_was_done", "what_detected_it", "what_will_detect_it", "what_will_prevent_it"} {
			commands = append(commands, "record set "+field+" text of "+field)
		}
		for _, command := range append(commands, "submit") {
			if !s.slashUntilRecorded(first, channel, command) {
				return
			}
		}
		digest := s.view(1).Incident.Submission.Digest
		for n, department := range []string{"engineering", "security", "legal", "communications"} {
			who := s.company.In(department)[0]
			if n == 0 {
				who = s.company.In(department)[1]
			}
			s.slashUntilRecorded(who, channel, "sign "+department+" "+digest)
		}
		s.waitFor(time.Minute, "the postmortem", func() bool { return len(s.view(1).Incident.Postmortems) == 1 })
		file := filepath.Join(t.TempDir(), "INC-1.zip")
		if out := s.mustRun("export", "INC-1", "--out", file, "--reason", "yearly audit"); !strings.Contains(out, "exported INC-1 to ") {
			t.Errorf("got %q, want the file named", out)
		}
		if out, err := s.run("export", "INC-9", "--out", file+"9"); err == nil {
			t.Errorf("an unknown incident: got %q, want it refused", out)
		}
		if out := s.mustRun("audit", "list", "--action", "pack", "--allowed"); !strings.Contains(out, "yearly audit") {
			t.Errorf("got %q, want the export in the audit log", out)
		}
		key := strings.TrimSpace(s.mustRun("audit", "key"))
		verify := func(args ...string) (string, error) {
			cmd := exec.Command(s.binary, append([]string{"audit", "verify", file}, args...)...)
			cmd.Dir, cmd.Env = t.TempDir(), []string{"HOME=/nowhere"}
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
		out, err := verify("--notary-key", key)
		if err != nil || !strings.HasSuffix(out, "\nverified\n") || strings.Count(out, "vouched by the server only") != 4 || !strings.Contains(out, "1 postmortems are the ones that the notary recorded") {
			t.Errorf("got %v, want a verified pack with 4 signatures:\n%s", err, out)
		}
		t.Logf("\n%s", out)
		if out, err := verify("--require-passkeys"); err == nil || !strings.HasSuffix(out, "NOT VERIFIED\n") {
			t.Errorf("passkeys required: got %v:\n%s", err, out)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 1
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err = verify("--json")
		var r pack.Report
		if json.Unmarshal([]byte(out), &r) != nil || err == nil || r.Verified {
			t.Errorf("a changed byte: got %v, want a report with a problem:\n%s", err, out)
		}
		if status := s.view(1).Incident.Status; status != incident.Approved {
			t.Errorf("got status %s, want approved", status)
		}
	})
}
