package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestHealth_BehindProxy reaches the bot of the configuration directly, although the
// environment has a proxy and the bot listens on all addresses, as in a container.
func TestHealth_BehindProxy(t *testing.T) {
	if os.Getenv("HEALTH_TEST_PROXY") == "" { // the environment is read once per process
		cmd := exec.Command(os.Args[0], "-test.run=^TestHealth_BehindProxy$")
		cmd.Env = append(os.Environ(), "HEALTH_TEST_PROXY=1", "HTTP_PROXY=http://127.0.0.1:1", "http_proxy=http://127.0.0.1:1", "NO_PROXY=", "no_proxy=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v:\n%s", err, out)
		}
		return
	}
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	bot := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	_ = bot.Listener.Close()
	bot.Listener = l
	bot.Start()
	defer bot.Close()
	file := filepath.Join(t.TempDir(), "tocsin.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "telemetry: {listen: %q}\n", l.Addr().String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := rootCommand()
	cmd.SetArgs([]string{"health", "-c", file})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Error(err)
	}
}
