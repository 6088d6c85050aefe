package bot

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tocsin/bot/redact"
	"tocsin/bot/secret"
)

// TestOwnErrorsReachSentryScrubbed logs as the bot does, with a DSN that leads
// to a server of ours, and reads what arrives there.
func TestOwnErrorsReachSentryScrubbed(t *testing.T) {
	arrived := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			unpacked, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Error(err)
				return
			}
			body = unpacked
		}
		text, err := io.ReadAll(body)
		if err != nil {
			t.Error(err)
		}
		arrived <- string(text)
		_, _ = io.WriteString(w, `{"id":"1"}`)
	}))
	defer server.Close()
	var written bytes.Buffer
	dsn := strings.Replace(server.URL, "http://", "http://planted@", 1) + "/1"
	log, tell, flush, err := newLogger(Telemetry{SentryDSN: secret.New(dsn), Environment: "test", LogFormat: "json", LogLevel: "info"}, &written, redact.New(redact.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	log.With("component", "desk").Error("could not write to jane@example.com", "error", errors.New("refused for jane@example.com"))
	tell("effect", errors.New("the relay said: no such user jane@example.com"))
	log.Info("nothing for Sentry")
	flush()
	if len(arrived) != 2 {
		t.Fatalf("%d reports, want 2", len(arrived))
	}
	all := <-arrived + <-arrived
	for _, want := range []string{`"component":"desk"`, `"component":"effect"`, "could not write to [email]", "no such user [email]", `"environment":"test"`} {
		if !strings.Contains(all, want) {
			t.Errorf("the reports lack %s:\n%s", want, all)
		}
	}
	if strings.Contains(all, "jane@") || strings.Contains(written.String(), "jane@") {
		t.Errorf("an address got out:\n%s\n%s", all, written.String())
	}
	if !strings.Contains(written.String(), "nothing for Sentry") {
		t.Error("the log is incomplete")
	}
}
