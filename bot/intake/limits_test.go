package intake_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
)

// named is the source signed under another name.
type named struct {
	signed
	name string
}

func (n named) Name() string { return n.name }

// sendTo sets the source and the remote address of a request.
func sendTo(source, from string, r *http.Request) *http.Request {
	r.URL.Path = "/hooks/" + source
	r.RemoteAddr = from
	return r
}

// forge replaces the signature of a request by a wrong one.
func forge(r *http.Request) *http.Request {
	r.Header.Set("X-Signature", "00")
	return r
}

func prefixes(ss ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range ss {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// newLimitedEdge returns an edge with the sources a and b. Only a has limits. The
// test sets the clock through the returned pointer.
func newLimitedEdge(t testing.TB, l intake.Limits, change func(*intake.Options)) (testEdge, *time.Time) {
	t.Helper()
	now := testTime
	return newTestEdge(t, func(o *intake.Options) {
		o.Sources = []intake.Source{named{name: "a"}, named{name: "b"}}
		o.Limits = map[string]intake.Limits{"a": l}
		o.Clock = func() time.Time { return now }
		if change != nil {
			change(o)
		}
	}), &now
}

func TestLimits(t *testing.T) {
	tests := []struct {
		name    string
		limits  intake.Limits
		from    string
		header  string // X-Forwarded-For
		body    []byte
		status  int
		code    string
		outcome string
	}{
		{"off", intake.Limits{Off: true}, "192.0.2.1:9", "", nil, 404, "disabled", "a/disabled"},
		{"in a network", intake.Limits{Networks: prefixes("10.0.0.0/8", "192.0.2.0/24")}, "192.0.2.1:9", "", nil, 202, "", "a/accepted"},
		{"in a network, mapped to IPv6", intake.Limits{Networks: prefixes("192.0.2.0/24")}, "[::ffff:192.0.2.1]:9", "", nil, 202, "", "a/accepted"},
		{"not in a network", intake.Limits{Networks: prefixes("10.0.0.0/8")}, "192.0.2.1:9", "", nil, 403, "network_denied", "a/network_denied"},
		{"untrusted X-Forwarded-For", intake.Limits{Networks: prefixes("10.0.0.0/8")}, "192.0.2.1:9", "10.1.1.1", nil, 403, "network_denied", "a/network_denied"},
		{"through a proxy", intake.Limits{Networks: prefixes("10.0.0.0/8")}, "203.0.113.7:9", "10.1.1.1", nil, 202, "", "a/accepted"},
		{"through two proxies", intake.Limits{Networks: prefixes("10.0.0.0/8")}, "203.0.113.7:9", "10.1.1.1, 203.0.113.9:4000", nil, 202, "", "a/accepted"},
		{"forged entry before the proxy", intake.Limits{Networks: prefixes("10.0.0.0/8")}, "203.0.113.7:9", "10.1.1.1, 192.0.2.1", nil, 403, "network_denied", "a/network_denied"},
		{"malformed entry", intake.Limits{Networks: prefixes("10.0.0.0/8")}, "203.0.113.7:9", "10.1.1.1, unknown", nil, 403, "network_denied", "a/network_denied"},
		{"no address", intake.Limits{Networks: prefixes("0.0.0.0/0")}, "@", "", nil, 403, "network_denied", "a/network_denied"},
		{"body within the limit", intake.Limits{MaxBody: 5000}, "192.0.2.1:9", "", jsonString(4000), 202, "", "a/accepted"},
		{"body above the limit", intake.Limits{MaxBody: 50}, "192.0.2.1:9", "", jsonString(51), 413, "too_large", "a/too_large"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, _ := newLimitedEdge(t, tt.limits, func(o *intake.Options) {
				o.MaxBody, o.Admission = 1000, intake.NewAdmission(intake.AdmissionOptions{TrustedProxies: prefixes("203.0.113.0/28")})
			})
			if tt.body == nil {
				tt.body = []byte(`{}`)
			}
			req := sendTo("a", tt.from, post("d", tt.body))
			req.Header.Set("X-Forwarded-For", tt.header)
			w := r.do(req)
			code := ""
			if w.Code != 202 {
				code, _ = errorReply(t, w)
			}
			if w.Code != tt.status || code != tt.code || r.metrics.count(tt.outcome) != 1 {
				t.Errorf("got status %d, code %q, outcomes %v, want %d %q %s", w.Code, code, r.metrics.outcomes, tt.status, tt.code, tt.outcome)
			}
			if w := r.do(sendTo("b", "192.0.2.1:9", post("d", []byte(`{}`)))); w.Code != 202 {
				t.Errorf("got status %d at source b, want 202", w.Code)
			}
		})
	}
}

func TestDrain_DisabledSource(t *testing.T) {
	r, _ := newLimitedEdge(t, intake.Limits{Off: true}, nil)
	r.store.rows = []intake.Row{{ID: 1, Delivery: intake.Delivery{Source: "a", Body: []byte(`{"title":"x"}`)}}}
	if err := r.Drain(t.Context(), 1, 1); err != nil || len(r.desk.batch) != 1 || len(r.desk.batch[0].Signals) != 1 {
		t.Errorf("got %+v and error %v, want one row with one signal", r.desk.batch, err)
	}
}

func TestLimits_Rate(t *testing.T) {
	r, now := newLimitedEdge(t, intake.Limits{Rate: 0.5, Burst: 3}, nil)
	from := func(addr string) *httptest.ResponseRecorder { return r.do(sendTo("a", addr, post("d", []byte(`{}`)))) }
	for range 3 {
		if w := from("192.0.2.1:9"); w.Code != 202 {
			t.Fatalf("got status %d within the burst, want 202", w.Code)
		}
	}
	w := from("192.0.2.1:10")
	if code, _ := errorReply(t, w); w.Code != 429 || code != "too_many_requests" || w.Header().Get("Retry-After") != "2" {
		t.Errorf("got status %d, code %s, Retry-After %q, want 429 too_many_requests 2", w.Code, code, w.Header().Get("Retry-After"))
	}
	if w := from("192.0.2.2:9"); w.Code != 202 {
		t.Errorf("got status %d for another sender, want 202", w.Code)
	}
	if w := r.do(sendTo("b", "192.0.2.1:9", post("d", []byte(`{}`)))); w.Code != 202 {
		t.Errorf("got status %d at another source, want 202", w.Code)
	}
	*now = now.Add(2 * time.Second)
	if w := from("192.0.2.1:9"); w.Code != 202 {
		t.Errorf("got status %d after Retry-After, want 202", w.Code)
	}
	if n := r.metrics.count("a/rate_limited"); n != 1 {
		t.Errorf("got outcome limited %d times, want 1", n)
	}
}

func TestLimits_IPv6PrefixIsOneSender(t *testing.T) {
	r, _ := newLimitedEdge(t, intake.Limits{Rate: 1, Burst: 1}, nil)
	codes := []int{}
	for _, from := range []string{"[2001:db8::1]:9", "[2001:db8::ffff]:9", "[2001:db8:0:1::1]:9"} {
		codes = append(codes, r.do(sendTo("a", from, post("d", []byte(`{}`)))).Code)
	}
	if want := []int{202, 429, 202}; !slices.Equal(codes, want) {
		t.Errorf("got status codes %v, want %v", codes, want)
	}
}

// A stranger with a wrong secret must not delay genuine deliveries from the same
// address, whatever the number of failures.
func TestWrongSecret_DoesNotDelayGenuineDeliveries(t *testing.T) {
	for _, forwarded := range []string{"", "198.51.100.1"} {
		synctest.Test(t, func(t *testing.T) {
			r, _ := newLimitedEdge(t, intake.Limits{Rate: 1, Burst: 5}, nil)
			defer func() { _ = r.Close() }()
			var strangers sync.WaitGroup
			for range 500 {
				strangers.Go(func() {
					req := sendTo("a", "192.0.2.1:9", forge(post("d", []byte(`{}`))))
					req.Header.Set("X-Forwarded-For", forwarded)
					if code := r.do(req).Code; code != 401 {
						t.Errorf("got status %d for a wrong secret, want 401", code)
					}
				})
			}
			synctest.Wait() // the rejections are being delayed
			for n := range 5 {
				start := time.Now()
				if code := r.do(sendTo("a", "192.0.2.1:9", post("d", []byte(`{}`)))).Code; code != 202 || time.Since(start) != 0 {
					t.Errorf("delivery %d: got status %d after %v, want 202 at once", n, code, time.Since(start))
				}
			}
			strangers.Wait()
		})
	}
}

// The delay of a rejection ends when the sender disconnects, and the number of
// delayed rejections is bounded.
func TestTarpit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newLimitedEdge(t, intake.Limits{}, nil)
		defer func() { _ = r.Close() }()
		postForged := func(ctx context.Context) (code int, took time.Duration) {
			start := time.Now()
			w := r.do(sendTo("a", "192.0.2.1:9", forge(post("d", []byte(`{}`)).WithContext(ctx))))
			return w.Code, time.Since(start)
		}
		for range 3 {
			if code, took := postForged(t.Context()); code != 401 || took != 0 {
				t.Fatalf("got status %d after %v, want 401 at once", code, took)
			}
		}
		for range 20 {
			if code, took := postForged(t.Context()); code != 401 || took < 500*time.Millisecond || took >= 1500*time.Millisecond {
				t.Errorf("got status %d after %v, want 401 after 0.5 to 1.5 s", code, took)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, took := postForged(ctx); took != 100*time.Millisecond {
			t.Errorf("got a delay of %v after the sender disconnected, want 100ms", took)
		}
		const maxTarpitted = 2048
		var all sync.WaitGroup
		var mu sync.Mutex
		delayed := 0
		for range maxTarpitted + 50 {
			all.Go(func() {
				if _, took := postForged(t.Context()); took > 0 {
					mu.Lock()
					delayed++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if delayed != maxTarpitted {
			t.Errorf("got %d delayed rejections at one time, want %d", delayed, maxTarpitted)
		}
	})
}

func TestSenders_MemoryIsBounded(t *testing.T) {
	r, _ := newLimitedEdge(t, intake.Limits{Rate: 1, Burst: 1}, nil)
	for n := range 20000 {
		from := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}).String() + ":9"
		if w := r.do(sendTo("a", from, forge(post("d", []byte(`{}`))))); w.Code != 401 {
			t.Fatalf("got status %d, want 401", w.Code)
		}
	}
	if n := r.Senders("a"); n > 2*4096 {
		t.Errorf("got %d stored senders, want at most %d", n, 2*4096)
	}
}

func TestQueue_FloodDoesNotDelayOtherSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newLimitedEdge(t, intake.Limits{MaxWaiting: 200}, func(o *intake.Options) {
			o.Store = &memoryStore{entered: make(chan int), hold: make(chan struct{})}
		})
		var wg sync.WaitGroup
		var mu sync.Mutex
		codes := map[string]int{}
		send := func(source string, n int) {
			wg.Go(func() {
				w := r.do(sendTo(source, "192.0.2.1:9", post(source+fmt.Sprint(n), []byte(`{}`))))
				mu.Lock()
				codes[source+" "+fmt.Sprint(w.Code)]++
				mu.Unlock()
			})
		}
		send("a", 0)
		<-r.store.entered
		for n := range 250 {
			send("a", n+1)
		}
		synctest.Wait()
		for n := range 3 {
			send("b", n)
		}
		synctest.Wait()
		r.store.hold <- struct{}{}
		if n := <-r.store.entered; n != 64+3 {
			t.Errorf("got a commit of %d deliveries, want 64 of the flooded source and 3 of the other", n)
		}
		r.store.hold <- struct{}{}
		for _, want := range []int{64, 64, 8} {
			if n := <-r.store.entered; n != want {
				t.Errorf("got a commit of %d deliveries, want %d", n, want)
			}
			r.store.hold <- struct{}{}
		}
		wg.Wait()
		if codes["a 202"] != 201 || codes["a 503"] != 50 || codes["b 202"] != 3 {
			t.Errorf("got replies %v, want 201 of 202 and 50 of 503 for a, 3 of 202 for b", codes)
		}
		_ = r.Close()
	})
}

// Two flooding sources must not use all memory for bodies.
func TestQueue_MemoryIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestEdge(t, func(o *intake.Options) {
			o.Sources = []intake.Source{named{name: "a"}, named{name: "b"}, named{name: "c"}}
			o.Store = &memoryStore{entered: make(chan int), hold: make(chan struct{})}
		})
		body := jsonString(1 << 20)
		var wg sync.WaitGroup
		send := func(source string, n int) {
			wg.Go(func() { r.do(sendTo(source, "192.0.2.1:9", post(fmt.Sprint(n), body))) })
		}
		send("a", 0)
		<-r.store.entered
		for n := range 100 {
			send("a", n+1)
			send("b", n+1)
		}
		synctest.Wait()
		rejected := func(source string) int {
			return r.metrics.count(source+"/queue_full") + r.metrics.count(source+"/evicted")
		}
		if a, b := rejected("a"), rejected("b"); a < 60 || b < 60 {
			t.Errorf("got %d and %d rejections of 100 bodies each, want at least 60", a, b)
		}
		send("c", 0)
		synctest.Wait()
		if n := rejected("c"); n != 0 {
			t.Errorf("got %d rejections of the third source, want none", n)
		}
		go func() {
			for range r.store.entered {
			}
		}()
		close(r.store.hold)
		wg.Wait()
		if n := r.metrics.count("c/accepted"); n != 1 {
			t.Errorf("got outcomes %v, want c/accepted once", r.metrics.outcomes)
		}
		_ = r.Close()
		close(r.store.entered)
	})
}

func TestDeliver(t *testing.T) {
	r, _ := newLimitedEdge(t, intake.Limits{}, nil)
	d := intake.Delivery{Source: "a", ID: "m-1", Body: []byte("From: x\r\n\r\nno JSON"), Sender: "mailbox"}
	for range 2 {
		if err := r.Deliver(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	rows := r.store.stored()
	if len(rows) != 1 || !bytes.Equal(rows[0].Body, d.Body) || !rows[0].Received.Equal(testTime) || r.metrics.count("a/accepted") != 2 {
		t.Errorf("got rows %+v and outcomes %v, want one unchanged row and two accepted", rows, r.metrics.outcomes)
	}
	if err := r.Deliver(t.Context(), intake.Delivery{Source: "missing"}); incident.CodeOf(err) != incident.CodeUnknown {
		t.Errorf("unknown source: got error %v, want code %s", err, incident.CodeUnknown)
	}
	r.store.fail = errors.New("disk full")
	if err := r.Deliver(t.Context(), d); err == nil {
		t.Error("store fails: got no error")
	}
	_ = r.Close()
	if err := r.Deliver(t.Context(), d); !errors.Is(err, intake.ErrStopped) {
		t.Errorf("after Close: got error %v, want %v", err, intake.ErrStopped)
	}
}

// diskStore is a store that writes and syncs a file like a database.
type diskStore struct {
	memoryStore
	file *os.File
}

func (d *diskStore) Accept(_ context.Context, ds []intake.Delivery) error {
	for _, v := range ds {
		if _, err := d.file.Write(v.Body); err != nil {
			return err
		}
	}
	return d.file.Sync()
}

// BenchmarkFairness measures the response time of source b during a flood of
// source a with 5,000 requests per second. The floods are: none, genuine deliveries
// of one sender, forged deliveries of 1,000 addresses, and genuine deliveries
// without a rate limit. It reports percentiles instead of ns/op.
func BenchmarkFairness(b *testing.B) {
	body := jsonString(7 << 10)
	genuine := func(n int) *http.Request { return sendTo("a", "198.51.100.1:9", post(strconv.Itoa(n), body)) }
	forged := func(n int) *http.Request {
		return sendTo("a", fmt.Sprintf("198.18.%d.%d:9", n/250%4, n%250), forge(post(strconv.Itoa(n), body)))
	}
	limits := intake.Limits{Rate: 500, Burst: 500}
	floods := []struct {
		name    string
		limits  intake.Limits
		request func(n int) *http.Request
	}{
		{"quiet", limits, nil},
		{"genuine", limits, genuine},
		{"forged", limits, forged},
		{"unlimited", intake.Limits{}, genuine},
	}
	var quiet time.Duration
	for _, bench := range floods {
		b.Run(bench.name, func(b *testing.B) {
			file, err := os.Create(filepath.Join(b.TempDir(), "wal"))
			if err != nil {
				b.Fatal(err)
			}
			defer file.Close()
			r, _ := newLimitedEdge(b, bench.limits, func(o *intake.Options) {
				o.Store, o.Clock = &diskStore{file: file}, nil
			})
			ctx, stop := context.WithCancel(b.Context())
			var wg sync.WaitGroup
			defer wg.Wait()
			defer stop()
			if bench.request != nil {
				wg.Go(func() { flood(ctx, &wg, r, bench.request) })
			}
			var took []time.Duration
			tick := time.NewTicker(2 * time.Millisecond)
			defer tick.Stop()
			for n := 0; b.Loop(); n++ {
				<-tick.C
				start := time.Now()
				if w := r.do(sendTo("b", "192.0.2.1:9", post(strconv.Itoa(n), body))); w.Code != 202 {
					b.Fatal(w.Code)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			p99 := took[len(took)*99/100]
			if bench.request == nil {
				quiet = p99
			}
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(p99.Microseconds()), "p99-µs")
			b.ReportMetric(float64(p99)/float64(max(quiet, 1)), "p99/quiet")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// flood sends 5,000 requests per second without waiting for the replies.
func flood(ctx context.Context, wg *sync.WaitGroup, r testEdge, request func(int) *http.Request) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for range 5 {
			n++
			req := request(n)
			wg.Go(func() { r.do(req) })
		}
	}
}
