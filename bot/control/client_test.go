package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/store"
)

// A person who waits learns why before the answer.
func TestClient_SlowBot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	noticed := make(chan struct{})
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-noticed:
		case <-r.Context().Done():
		}
		_ = json.NewEncoder(w).Encode(Reply{Help: "x"}) // the client checks the reply
	})}}
	server.Start()
	defer server.Close()
	client := NewClient(path)
	client.slowAfter, client.OnSlow = time.Millisecond, func() { close(noticed) }
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var reply Reply
	if err := client.Do(ctx, "incident", Request{Command: "help"}, &reply); err != nil || reply.Help != "x" {
		t.Errorf("got %+v, %v", reply, err)
	}
}

func TestWriteControlError_NamesTheCause(t *testing.T) {
	for _, c := range []struct {
		err  error
		key  string
		want string
	}{
		{fmt.Errorf("do note: %w", store.ErrUnavailable), "k", "the database of Tocsin does not answer, and nothing was recorded. Run the command again in a minute"},
		{fmt.Errorf("do note: %w", context.DeadlineExceeded), "k", "the database of Tocsin does not answer, and nothing was recorded"},
		{fmt.Errorf("rotate: %w", store.ErrUnavailable), "", "not saved: rotate: database unavailable"}, // a part may be done
		{errors.New("a bug"), "k", "not saved: a bug"},
		{incident.Invalid("x", "x is missing. Type it"), "k", "x is missing. Type it"},
	} {
		w := httptest.NewRecorder()
		writeControlError(w, c.err, c.key)
		var reply struct {
			Error *incident.Error `json:"error"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil || reply.Error == nil || !strings.HasPrefix(reply.Error.Error(), c.want) {
			t.Errorf("%v: got %s, want %q", c.err, w.Body, c.want)
		}
	}
}
