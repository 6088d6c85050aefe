package outbound_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tocsin/bot/outbound"
)

var now = time.Date(2026, 11, 30, 2, 0, 0, 0, time.UTC)

func TestParseRetryAfter(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"0": 0, "30": 30 * time.Second, " 7 ": 7 * time.Second, "1.5": 1500 * time.Millisecond, "-5": 0, "300": 5 * time.Minute,
		"301": 5 * time.Minute, "99999999999": 5 * time.Minute, "9223372036854775808": 5 * time.Minute, "18446744073709551617": 5 * time.Minute,
		"1e300": 5 * time.Minute, "1e999": 5 * time.Minute, "-1e999": 0, strings.Repeat("9", 399): 5 * time.Minute,
		now.Add(time.Minute).Format(http.TimeFormat):   time.Minute,
		now.Add(-time.Hour).Format(http.TimeFormat):    0,
		now.AddDate(300, 0, 0).Format(http.TimeFormat): 5 * time.Minute,
		"Fri, 31 Dec 9999 23:59:59 GMT":                5 * time.Minute,
		now.Add(2 * time.Minute).Format(time.RFC850):   2 * time.Minute,
		now.Add(3 * time.Minute).Format(time.ANSIC):    3 * time.Minute,
		"Mon, 01 Jan 0001 00:00:00 GMT":                0,
	} {
		if got, ok := outbound.ParseRetryAfter(in, now); got != want || !ok {
			t.Errorf("ParseRetryAfter(%q): got %v, %v, want %v", in, got, ok, want)
		}
	}
	for _, in := range []string{"", "soon", "5m", "NaN", "Inf", "-Inf", "0x10", "1_000", "５", "1-2", strings.Repeat("9", 401), "Mon, 31 Feb 2026 00:00:00 GMT"} {
		if got, ok := outbound.ParseRetryAfter(in, now); ok {
			t.Errorf("ParseRetryAfter(%q): got %v, want it rejected", in, got)
		}
	}
}

// FuzzParseRetryAfter checks the bounds for any text.
func FuzzParseRetryAfter(f *testing.F) {
	f.Add("99999999999")
	f.Add("Fri, 31 Dec 9999 23:59:59 GMT")
	f.Fuzz(func(t *testing.T, v string) {
		if d, _ := outbound.ParseRetryAfter(v, now); d < 0 || d > outbound.MaxRetryAfter {
			t.Errorf("ParseRetryAfter(%q): got %v, want 0 to %v", v, d, outbound.MaxRetryAfter)
		}
	})
}

func get(t *testing.T, limits outbound.Limits, handler http.HandlerFunc) (*http.Response, []byte, error) {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	limits.Clock = func() time.Time { return now }
	client := outbound.NewClient(time.Minute, limits)
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res, body, err
}

func TestTransport_BoundsHeaders(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"Retry-After", "99999999999", "300"},
		{"Retry-After", "12", "12"},
		{"Retry-After", "0.2", "1"},
		{"Retry-After", "-3", "0"},
		{"Retry-After", "tomorrow", ""},
		{"Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT", "300"},
		{"Retry-After", now.Add(time.Minute).Format(http.TimeFormat), "60"},
		{"X-Amz-Retry-After", "99999999999999999", "300000"},
		{"X-Amz-Retry-After", "1500", "1500"},
		{"X-Amz-Retry-After", "x", ""},
		{"X-Sentry-Rate-Limits", "99999999999:error;transaction:org, 60:default:key", "300:error;transaction:org, 60:default:key"},
		{"X-Sentry-Rate-Limits", "soon:error, 5::org", "5::org"},
		{"X-Sentry-Rate-Limits", "x", ""},
	} {
		res, _, err := get(t, outbound.Limits{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(c.name, c.value)
			w.WriteHeader(http.StatusTooManyRequests)
		})
		if got := res.Header.Get(c.name); got != c.want || err != nil {
			t.Errorf("%s: %s: got %q, %v, want %q", c.name, c.value, got, err, c.want)
		}
		for name, values := range res.Header {
			if slices.Contains(values, "") {
				t.Errorf("%s: %s: got an empty %s, want it removed", c.name, c.value, name)
			}
		}
	}
}

func TestTransport_BoundsBody(t *testing.T) {
	for size, wantErr := range map[int]bool{0: false, 99: false, 100: false, 101: true, 5000: true} {
		_, body, err := get(t, outbound.Limits{MaxResponse: 100}, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("x", size))
		})
		if errors.Is(err, outbound.ErrTooLarge) != wantErr || len(body) != min(size, 100) {
			t.Errorf("%d bytes: got %d, %v, want ErrTooLarge to be %v", size, len(body), err, wantErr)
		}
	}
}

// TestTransport_BodyStaysTooLarge reads again after the error.
func TestTransport_BodyStaysTooLarge(t *testing.T) {
	res := &http.Response{Header: http.Header{}, Body: io.NopCloser(strings.NewReader("0123456789"))}
	outbound.NewTransport(outbound.Limits{MaxResponse: 4}).Bound(res)
	p := make([]byte, 8)
	for _, want := range []int{4, 0, 0} {
		if n, err := res.Body.Read(p); n != want || !errors.Is(err, outbound.ErrTooLarge) {
			t.Errorf("got %d, %v, want %d bytes and ErrTooLarge", n, err, want)
		}
	}
}

// failingTransport returns an error instead of a response.
type failingTransport struct{ err error }

func (f failingTransport) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

func TestTransport_ReturnsErrors(t *testing.T) {
	want := errors.New("connection refused")
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	res, err := outbound.NewTransport(outbound.Limits{Base: failingTransport{want}}).RoundTrip(req)
	if res != nil || !errors.Is(err, want) {
		t.Errorf("got %v, %v, want %v", res, err, want)
	}
}

// TestTransport_UpgradedConnection requires the original body of a response to an
// upgrade, because callers also write to it.
func TestTransport_UpgradedConnection(t *testing.T) {
	body := io.NopCloser(strings.NewReader(""))
	res := &http.Response{StatusCode: http.StatusSwitchingProtocols, Header: http.Header{}, Body: body}
	outbound.NewTransport(outbound.Limits{}).Bound(res)
	if res.Body != body {
		t.Error("got another body, want the connection")
	}
}

// TestTransport_EndlessBody reads from a server that never stops writing.
func TestTransport_EndlessBody(t *testing.T) {
	_, body, err := get(t, outbound.Limits{}, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	if !errors.Is(err, outbound.ErrTooLarge) || len(body) != outbound.DefaultMaxResponse {
		t.Errorf("got %d bytes, %v, want ErrTooLarge", len(body), err)
	}
}

// TestClient_SilentServer reads a response whose body never ends.
func TestClient_SilentServer(t *testing.T) {
	gone := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(10))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(gone)
	}))
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := outbound.NewClient(50*time.Millisecond, outbound.Limits{}).Do(req)
	if err == nil {
		_, err = io.ReadAll(res.Body)
		res.Body.Close()
	}
	var timeout interface{ Timeout() bool }
	if !errors.As(err, &timeout) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want a timeout", err)
	}
	<-gone
}
