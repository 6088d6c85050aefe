//go:build !race

package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// freePorts returns the first of n consecutive ports that are free.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	for range 100 {
		first, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := first.Addr().(*net.TCPAddr).Port
		open := []net.Listener{first}
		for k := 1; k < n; k++ {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+k))
			if err != nil {
				break
			}
			open = append(open, l)
		}
		for _, l := range open {
			_ = l.Close()
		}
		if len(open) == n {
			return port
		}
	}
	t.Fatalf("found no %d consecutive free ports", n)
	return 0
}

// recipe returns the commands of the first console block below a heading of a page.
func recipe(t *testing.T, page, heading string) []string {
	t.Helper()
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(raw), heading+"\n")
	block := regexp.MustCompile("(?ms)^```console\n(.*?)^```$").FindStringSubmatch(rest)
	if !found || block == nil {
		t.Fatalf("%s has no commands below %q", page, heading)
	}
	var lines []string
	for line := range strings.Lines(block[1]) {
		lines = append(lines, strings.TrimSpace(strings.TrimPrefix(line, "$ ")))
	}
	return lines
}

// TestReadme_FirstHour runs the recipe of README.md word for word in an empty folder: only
// the ports differ. A command that runs beside the others ends with &. Every other command
// must succeed at once, because a person pastes the whole block.
func TestReadme_FirstHour(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("curl is not installed, which CI requires")
		}
		t.Skip("curl is not installed")
	}
	binary, err := buildBinary()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(binary, filepath.Join(dir, "tocsin")); err != nil {
		t.Fatal(err)
	}
	port := freePorts(t, 6)
	bot, page := fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("127.0.0.1:%d", port+1)
	outputs := map[string]string{}
	for _, line := range recipe(t, "../../README.md", "## First hour") {
		if line == "go build ./cmd/tocsin" { // done above
			continue
		}
		actual := strings.NewReplacer("127.0.0.1:8081", page, "127.0.0.1:8080", bot, "tocsin sandbox", "tocsin sandbox --addr "+page+" --bot http://"+bot).Replace(line)
		if command, beside := strings.CutSuffix(actual, " &"); beside {
			startShell(t, dir, command)
			continue
		}
		out, err := shell(dir, actual).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: got %v, want success\n%s", line, err, out)
		}
		outputs[line] = string(out)
	}
	var pager struct {
		Incidents []struct {
			Status string `json:"status"`
			Title  string `json:"title"`
		} `json:"incidents"`
		Pages []any `json:"pages"`
	}
	if !eventually(time.Minute, func() bool {
		res, err := http.Get("http://" + page + "/api/pager")
		if err != nil {
			return false
		}
		defer func() { _ = res.Body.Close() }()
		raw, _ := io.ReadAll(res.Body)
		return json.Unmarshal(raw, &pager) == nil && len(pager.Incidents) > 0 && pager.Incidents[0].Status == "acknowledged"
	}) {
		t.Errorf("got %+v in PagerDuty, want an acknowledged page\n%v", pager, outputs)
	}
}

// shell returns a command of a new user: nothing but a search path in the environment.
func shell(dir, line string) *exec.Cmd {
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	return cmd
}

// startShell runs a command beside the test, which must end it with status 0 after SIGINT.
func startShell(t *testing.T, dir, line string) {
	t.Helper()
	cmd := shell(dir, "exec "+line)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !strings.Contains(line, "doctor --page") { // it ends after the acknowledgement
			_ = cmd.Process.Signal(syscall.SIGINT)
		}
		if err := cmd.Wait(); err != nil || t.Failed() {
			raw, _ := os.ReadFile(log.Name())
			t.Errorf("%s: got %v, want status 0\n%s", line, err, tail(string(raw), 3000))
		}
		_ = log.Close()
	})
}

// TestInit_Unit checks the unit with systemd, and its form without.
func TestInit_Unit(t *testing.T) {
	binary, err := buildBinary()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, args := range map[string][]string{"plain": nil, "with space %": {"--user", "root"}} {
		folder := filepath.Join(dir, name)
		if out, err := shell(dir, binary+" init "+strings.Join(args, " ")+" '"+folder+"'").CombinedOutput(); err != nil {
			t.Fatalf("%s: got %v\n%s", name, err, out)
		}
		path := filepath.Join(folder, "tocsin.service")
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(raw), "/usr/local/bin/tocsin", binary)
		if err := os.WriteFile(path, []byte(strings.Replace(text, "User=tocsin", "User=root", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		form := regexp.MustCompile(`^($|#|\[(Unit|Service|Install)\]$|[A-Z][A-Za-z]+=)`)
		for line := range strings.Lines(text) {
			if !form.MatchString(strings.TrimSuffix(line, "\n")) {
				t.Errorf("%s: %q is not a line of a unit", name, line)
			}
		}
		for _, want := range []string{"Type=notify\n", "Restart=always\n", "ProtectSystem=strict\n", " serve\n", " reload\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: got no %q", name, want)
			}
		}
		if _, err := exec.LookPath("systemd-analyze"); err != nil {
			t.Log("systemd-analyze is not installed, so only the form was checked")
			continue
		}
		if out, err := exec.Command("systemd-analyze", "verify", path).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: got %v from systemd-analyze verify, want nothing\n%s\n%s", name, err, out, text)
		}
	}
}

// TestMove_ToAnotherFolder moves a stopped installation to another path, as to another
// machine, and starts it there.
func TestMove_ToAnotherFolder(t *testing.T) {
	binary, err := buildBinary()
	if err != nil {
		t.Fatal(err)
	}
	dir, bot := t.TempDir(), freeAddress(t)
	setup := startSandbox(t, "--bot", "http://"+bot)
	before, after := filepath.Join(dir, "before"), filepath.Join(dir, "after")
	run := func(folder, words string) string {
		t.Helper()
		var out []byte
		if !eventually(time.Minute, func() bool {
			out, err = shell(dir, binary+" -c "+folder+"/tocsin.yaml "+words).CombinedOutput()
			return err == nil
		}) {
			t.Fatalf("%s: got %v\n%s", words, err, out)
		}
		return string(out)
	}
	if out, err := shell(dir, binary+" init "+before+" --sandbox "+setup.Page).CombinedOutput(); err != nil {
		t.Fatalf("init: got %v\n%s", err, out)
	}
	t.Run("before", func(t *testing.T) {
		startShell(t, dir, binary+" -c "+before+"/tocsin.yaml serve")
		run(before, "health")
		run(before, "incident open sev2 before the move")
	})
	if err := os.Rename(before, after); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(after, "tocsin.yaml")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(raw), before+"/", after+"/")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := run(after, "verify"); !strings.Contains(out, "1 incidents") || !strings.Contains(out, "all valid") {
		t.Errorf("got %q, want one incident, all valid", out)
	}
	startShell(t, dir, binary+" -c "+after+"/tocsin.yaml serve")
	run(after, "health")
	if out := run(after, "incident note INC-1 after the move"); !strings.Contains(out, "after the move") {
		t.Errorf("got %q, want the incident to go on", out)
	}
}
