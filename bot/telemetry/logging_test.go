package telemetry

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"tocsin/bot/outbound"
	"tocsin/bot/redact"
	"tocsin/bot/secret"
)

// TestLogger_BoundsSentryResponses covers Retry-After, which sentry-go obeys without
// a limit.
func TestLogger_BoundsSentryResponses(t *testing.T) {
	log, _, _, err := newLogger(Config{SentryDSN: secret.New("http://key@127.0.0.1:1/1")}, io.Discard, redact.New(redact.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	handler, ok := log.Handler().(*lineHandler).Handler.(*sentryHandler)
	if !ok {
		t.Fatalf("got handler %T, want one that reports to Sentry", log.Handler())
	}
	if transport := handler.hub.Client().Options().HTTPTransport; reflect.TypeOf(transport) != reflect.TypeFor[*outbound.Transport]() {
		t.Errorf("got transport %T, want bounded responses", transport)
	}
}

func TestLogger_SendsRedactedErrorsToSentry(t *testing.T) {
	reports := make(chan string, 10)
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
		reports <- string(text)
		_, _ = io.WriteString(w, `{"id":"1"}`)
	}))
	defer server.Close()
	var written bytes.Buffer
	dsn := strings.Replace(server.URL, "http://", "http://canary@", 1) + "/1"
	log, report, flush, err := newLogger(Config{SentryDSN: secret.New(dsn), Environment: "test", LogFormat: "json", LogLevel: "info"}, &written, redact.New(redact.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	log.With("component", "part of jane@example.com").Error("odd values", "err", "password: correct horse battery staple", "group", slog.GroupValue(slog.String("inner", "jane@example.com")))
	log.With("component", "desk").Error("could not write to jane@example.com", "err", errors.New("refused for jane@example.com"))
	report("effect", errors.New("reply of the relay: no such user jane@example.com"))
	log.Info("nothing for Sentry")
	flush()
	if len(reports) != 3 {
		t.Fatalf("got %d reports, want 3", len(reports))
	}
	all := <-reports + <-reports + <-reports
	for _, want := range []string{`"component":"desk"`, `"component":"effect"`, "could not write to [email]", "no such user [email]", `"environment":"test"`} {
		if !strings.Contains(all, want) {
			t.Errorf("the reports do not contain %s:\n%s", want, all)
		}
	}
	if strings.Contains(all, "jane@") || strings.Contains(all, "horse battery") || strings.Contains(written.String(), "jane@") {
		t.Errorf("got an address, want it redacted:\n%s\n%s", all, written.String())
	}
	if !strings.Contains(written.String(), "nothing for Sentry") {
		t.Error("the log does not contain the info record")
	}
}
