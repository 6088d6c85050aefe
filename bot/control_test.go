package bot

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

func TestTheControlSocketReplacesOnlyWhatIsDead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenControl(path); err == nil {
		t.Error("a file was taken for a socket")
	}
	if kept, err := os.ReadFile(path); err != nil || string(kept) != "mine" {
		t.Errorf("the file is %q, %v", kept, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	first, err := listenControl(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("others may use the socket: %v, %v", info.Mode(), err)
	}
	if _, err := listenControl(path); err == nil {
		t.Error("the socket of a running process was taken away")
	}
	first.(*net.UnixListener).SetUnlinkOnClose(false) // as a killed process leaves it
	_ = first.Close()
	second, err := listenControl(path)
	if err != nil {
		t.Fatalf("a socket that was left behind stops the start: %v", err)
	}
	_ = second.Close()
}

// lostAnswer is a commit of which nobody knows whether it took place.
type lostAnswer struct{ error }

func (lostAnswer) OutcomeUnknown() bool { return true }

func TestTheControlSocketSaysWhatBecameOfIt(t *testing.T) {
	for _, test := range []struct {
		name   string
		err    error
		status int
		says   string
	}{
		{"done", nil, http.StatusOK, "null"},
		{"refused", fmt.Errorf("do: %w", incident.Conflict("it is over")), http.StatusConflict, "it is over"},
		{"failed", errors.New("no disk"), http.StatusServiceUnavailable, "not saved, try again"},
		{"open", fmt.Errorf("do: %w", lostAnswer{errors.New("the connection broke")}), http.StatusServiceUnavailable, "--key k1 "},
	} {
		w := httptest.NewRecorder()
		serve := (&control{}).serve(func(context.Context, incident.Identity, ControlRequest) (any, error) { return nil, test.err })
		serve(w, httptest.NewRequest(http.MethodPost, "/incident", strings.NewReader(`{"command":"note x","key":"k1"}`)))
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.says) {
			t.Errorf("%s: %d %s", test.name, w.Code, w.Body)
		}
	}
}
