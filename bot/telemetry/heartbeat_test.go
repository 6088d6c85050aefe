package telemetry

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/secret"
)

// heartbeatService records the heartbeats that it receives.
type heartbeatService struct {
	*httptest.Server
	got    []string // method and body
	status int
}

func newHeartbeatService(t *testing.T) *heartbeatService {
	s := &heartbeatService{status: http.StatusOK}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.got = append(s.got, strings.TrimSpace(r.Method+" "+string(body)))
		w.WriteHeader(s.status)
	}))
	t.Cleanup(s.Close)
	return s
}

func (b *bench) heartbeat(url, method string) *Heartbeat {
	h := NewHeartbeat(Config{HeartbeatURL: secret.New(url), HeartbeatMethod: method}, b.Readiness, b.Readiness.parts)
	b.parts = append(b.parts, h.Part())
	return h
}

func TestHeartbeat_ReportsTheStatus(t *testing.T) {
	service := newHeartbeatService(t)
	var failure error
	b := newBench(t, Part{Name: "Slack API", Check: func(time.Time) error { return failure }})
	h := b.heartbeat(service.URL+"/ping/s3cret", http.MethodPost)
	b.pass(0)
	h.Send(t.Context())
	failure = errRefused
	b.pass(0)
	h.Send(t.Context())
	h.method = http.MethodGet
	h.Send(t.Context())
	if want := []string{`POST {"status":"ready"}`, `POST {"status":"degraded","degraded":["Slack API"]}`, "GET"}; !slices.Equal(service.got, want) {
		t.Errorf("got %q, want %q", service.got, want)
	}
}

// A bot that cannot work, or that cannot notify people about a loss, sends no heartbeat.
func TestHeartbeat_StopsWithoutTheDatabaseOrAWay(t *testing.T) {
	service := newHeartbeatService(t)
	b := newBench(t, Part{Name: "mail", Check: func(time.Time) error { return errRefused }})
	h := b.heartbeat(service.URL, http.MethodPost)
	b.Readiness.set(t.Context(), "database", errors.New("disk full"))
	h.Send(t.Context())
	b.Readiness.set(t.Context(), "database", nil)
	b.sendErr = ErrNoWay
	b.pass(0)
	b.pass(noticeDelay)
	b.pass(noticeRetry)
	h.Send(t.Context())
	if len(service.got) != 0 {
		t.Errorf("got heartbeats %q, want none", service.got)
	}
	b.sendErr = nil
	b.pass(noticeRetry)
	h.Send(t.Context())
	if len(service.got) != 1 {
		t.Errorf("got heartbeats %q, want one", service.got)
	}
}

// A heartbeat that fails is degraded itself. The URL is a secret that no output has.
func TestHeartbeat_FailureIsDegradedWithoutTheURL(t *testing.T) {
	service := newHeartbeatService(t)
	b := newBench(t)
	h := b.heartbeat(service.URL+"/ping/s3cret", http.MethodPost)
	service.status = http.StatusNotFound
	h.Send(t.Context())
	b.pass(0)
	b.wantReadyz("degraded; heartbeat since 12:00:00: The heartbeat service answers with the HTTP status 404. Check the address in the configuration")
	service.status = http.StatusOK
	h.Send(t.Context())
	b.pass(0)
	b.wantReadyz("ready")
	b.pass(settleTime)

	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	h.url = secret.New("http://" + closed.Addr().String() + "/ping/s3cret")
	h.Send(t.Context())
	b.pass(0)
	b.wantReadyz("degraded; heartbeat since 12:06:00: The heartbeat service refuses connections. Check that the server runs, and the host and port in the configuration")
	slog.New(slog.NewTextHandler(&b.log, nil)).Info("printed", "config", Config{HeartbeatURL: h.url})
	if strings.Contains(b.log.String(), "s3cret") {
		t.Errorf("the log has the URL:\n%s", &b.log)
	}
}

func TestConfig_ValidateHeartbeat(t *testing.T) {
	good := Defaults()
	good.HeartbeatURL = secret.New("https://hc-ping.example/abc")
	if err := good.Validate().Err(); err != nil {
		t.Error(err)
	}
	for field, change := range map[string]func(*Config){
		"heartbeat_url":      func(c *Config) { c.HeartbeatURL = secret.New("hc-ping") },
		"heartbeat_interval": func(c *Config) { c.HeartbeatInterval = time.Second },
		"heartbeat_method":   func(c *Config) { c.HeartbeatMethod = "PUT" },
	} {
		c := good
		change(&c)
		if err := c.Validate().Err(); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: got error %v", field, err)
		}
	}
}
