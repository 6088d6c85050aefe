//go:build !race

package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"tocsin/bot/sandbox/company"
)

// startSandbox runs `tocsin sandbox --json` on free ports as a process of its own. It
// returns its setup, which the process has printed.
func startSandbox(t *testing.T, args ...string) company.Setup {
	t.Helper()
	binary, err := buildBinary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, append([]string{"sandbox", "--json", "--addr", "127.0.0.1:0"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the sandbox ended with %v after SIGINT, want status 0\n%s", err, stderr.String())
		}
	})
	var setup company.Setup
	if err := json.NewDecoder(bufio.NewReader(out)).Decode(&setup); err != nil {
		t.Fatalf("read the setup that the sandbox prints: %v\n%s", err, stderr.String())
	}
	return setup
}

func postText(t *testing.T, address, kind, body string) string {
	t.Helper()
	res, err := http.Post(address, kind, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestSandbox_ProcessOfItsOwn checks that the printed addresses and credentials work,
// that the page serves the same, and that one method can be made to refuse.
func TestSandbox_ProcessOfItsOwn(t *testing.T) {
	s := startSandbox(t, "--bot", "http://127.0.0.1:9")
	res, err := http.Get(s.Page + "/api/setup")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var served company.Setup
	if err := json.NewDecoder(res.Body).Decode(&served); err != nil || served.Page != s.Page || served.Slack != s.Slack || served.Bot != "http://127.0.0.1:9" {
		t.Errorf("the page serves %+v (%v), want what the command printed: %+v", served, err, s)
	}
	call := func() string {
		return postText(t, s.Slack.APIURL+"auth.test", "application/x-www-form-urlencoded", url.Values{"token": {s.Slack.BotToken}}.Encode())
	}
	if got := call(); !strings.Contains(got, `"ok":true`) {
		t.Errorf("auth.test with the printed token: got %s, want ok", got)
	}
	postText(t, s.Page+"/api/answers", "application/json", `{"method": "auth.test", "body": {"ok": false, "error": "token_revoked"}, "left": 1}`)
	if got := call(); got != `{"ok": false, "error": "token_revoked"}` {
		t.Errorf("auth.test with an answer: got %s, want the answer as it was written", got)
	}
	if got := call(); !strings.Contains(got, `"ok":true`) {
		t.Errorf("auth.test after its one answer: got %s, want ok", got)
	}
	if len(s.People) < 13 || s.AWS.QueueURL == "" || s.Mail.Port == 0 || s.PagerDuty.EventsURL == "" {
		t.Errorf("got setup %+v, want people and all systems", s)
	}
}
