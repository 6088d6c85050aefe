package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tocsin/bot/incident"
)

func TestListenControl_ReplacesOnlyAbandonedSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path, ""); err == nil {
		t.Error("a regular file was replaced by a socket")
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "mine" {
		t.Errorf("got file content %q, %v, want %q", content, err, "mine")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	first, err := Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("other users can access the socket: %v, %v", info.Mode(), err)
	}
	if _, err := Listen(path, ""); err == nil {
		t.Error("the socket of a running process was replaced")
	}
	first.(*net.UnixListener).SetUnlinkOnClose(false) // a killed process leaves its socket
	_ = first.Close()
	second, err := Listen(path, "")
	if err != nil {
		t.Fatalf("listen on an abandoned socket: %v", err)
	}
	_ = second.Close()
}

// unknownOutcome is the error of a commit whose result was lost.
type unknownOutcome struct{ error }

func (unknownOutcome) OutcomeUnknown() bool { return true }

func TestControl_ReportsOutcome(t *testing.T) {
	for _, test := range []struct {
		name   string
		err    error
		status int
		want   string
	}{
		{"done", nil, http.StatusOK, "null"},
		{"rejected", fmt.Errorf("do: %w", incident.Conflict("it is over")), http.StatusConflict, "it is over"},
		{"failed", errors.New("no disk"), http.StatusServiceUnavailable, "not saved: no disk. Run the command again"},
		{"unknown", fmt.Errorf("do: %w", unknownOutcome{errors.New("the connection broke")}), http.StatusServiceUnavailable, "--key k1 "},
	} {
		w := httptest.NewRecorder()
		serve := (&Server{}).serve("incident", operation{access: accessEverybody, maxBody: 1000, do: func(*Server, context.Context, incident.Identity, Request) (any, error) {
			return nil, test.err
		}})
		serve(w, httptest.NewRequest(http.MethodPost, "/incident", strings.NewReader(`{"command":"note x","key":"k1"}`)))
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s: got %d %s, want %d and %q", test.name, w.Code, w.Body, test.status, test.want)
		}
	}
}
