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

// named is the signed source under another name.
type named struct {
	signed
	name string
}

func (n named) Name() string { return n.name }

// to addresses a request to a source and gives it a sender.
func to(source, from string, r *http.Request) *http.Request {
	r.URL.Path = "/hooks/" + source
	r.RemoteAddr = from
	return r
}

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

// limited is a testEdge of two sources, a with limits, whose clock is moved by hand.
func limited(t testing.TB, l intake.Limits, change func(*intake.Options)) (testEdge, *time.Time) {
	t.Helper()
	now := epoch
	return newTestEdge(t, func(o *intake.Options) {
		o.Sources = []intake.Source{named{name: "a"}, named{name: "b"}}
		o.Limits = map[string]intake.Limits{"a": l}
		o.Clock = func() time.Time { return now }
		if change != nil {
			change(o)
		}
	}), &now
}

func TestLimitsOfOneSource(t *testing.T) {
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
		{"off", intake.Limits{Off: true}, "192.0.2.1:9", "", nil, 404, "switched_off", "a/switched_off"},
		{"in a network", intake.Limits{Networks: prefixes("10.0.0.0/8", "192.0.2.0/24")}, "192.0.2.1:9", "", nil, 202, "", "a/accepted"},
		{"in a network of the other family", intake.Limits{Networks: prefixes("192.0.2.0/24")}, "[::ffff:192.0.2.1]:9", "", nil, 202, "", "a/accepted"},
		{"not in a network", intake.Limits{Networks: prefixes("10.0.0.0/8")}, "192.0.2.1:9", "", nil, 403, "foreign_network", "a/foreign"},
		{"a stranger who claims to be forwarded", intake.Limits{Networks: prefixes("10.0.0.0/8")}, "192.0.2.1:9", "10.1.1.1", nil, 403, "foreign_network", "a/foreign"},
		{"through the proxy", intake.Limits{Networks: prefixes("10.0.0.0/8")}, "203.0.113.7:9", "10.1.1.1", nil, 202, "", "a/accepted"},
		{"through two proxies", intake.Limits{Networks: prefixes("10.0.0.0/8")}, "203.0.113.7:9", "10.1.1.1, 203.0.113.9:4000", nil, 202, "", "a/accepted"},
		{"claimed before the proxy", intake.Limits{Networks: prefixes("10.0.0.0/8")}, "203.0.113.7:9", "10.1.1.1, 192.0.2.1", nil, 403, "foreign_network", "a/foreign"},
		{"the proxy says nonsense", intake.Limits{Networks: prefixes("10.0.0.0/8")}, "203.0.113.7:9", "10.1.1.1, unknown", nil, 403, "foreign_network", "a/foreign"},
		{"no address at all", intake.Limits{Networks: prefixes("0.0.0.0/0")}, "@", "", nil, 403, "foreign_network", "a/foreign"},
		{"a body within its own limit", intake.Limits{MaxBody: 5000}, "192.0.2.1:9", "", big(4000), 202, "", "a/accepted"},
		{"a body above its own limit", intake.Limits{MaxBody: 50}, "192.0.2.1:9", "", big(51), 413, "too_large", "a/too_large"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, _ := limited(t, tt.limits, func(o *intake.Options) {
				o.MaxBody, o.TrustedProxies = 1000, prefixes("203.0.113.0/28")
			})
			if tt.body == nil {
				tt.body = []byte(`{}`)
			}
			req := to("a", tt.from, post("d", tt.body))
			req.Header.Set("X-Forwarded-For", tt.header)
			w := r.do(req)
			code := ""
			if w.Code != 202 {
				code, _ = errorReply(t, w)
			}
			if w.Code != tt.status || code != tt.code || r.seen.count(tt.outcome) != 1 {
				t.Errorf("answered %d %s, counted %v; want %d %s", w.Code, code, r.seen.seen, tt.status, tt.code)
			}
			if w := r.do(to("b", "192.0.2.1:9", post("d", []byte(`{}`)))); w.Code != 202 {
				t.Errorf("the other source answered %d", w.Code)
			}
		})
	}
}

func TestASourceThatIsOffStillDecodesWhatItTook(t *testing.T) {
	r, _ := limited(t, intake.Limits{Off: true}, nil)
	r.store.rows = []intake.Row{{ID: 1, Delivery: intake.Delivery{Source: "a", Body: []byte(`{"title":"x"}`)}}}
	if err := r.Drain(t.Context(), 1, 1); err != nil || len(r.desk.batch) != 1 || len(r.desk.batch[0].Signals) != 1 {
		t.Errorf("drained %+v, %v", r.desk.batch, err)
	}
}

func TestRateOfOneSender(t *testing.T) {
	r, now := limited(t, intake.Limits{Rate: 0.5, Burst: 3}, nil)
	from := func(addr string) *httptest.ResponseRecorder { return r.do(to("a", addr, post("d", []byte(`{}`)))) }
	for range 3 {
		if w := from("192.0.2.1:9"); w.Code != 202 {
			t.Fatalf("answered %d within the burst", w.Code)
		}
	}
	w := from("192.0.2.1:10")
	if code, _ := errorReply(t, w); w.Code != 429 || code != "too_many_requests" || w.Header().Get("Retry-After") != "2" {
		t.Errorf("answered %d %s, Retry-After %q", w.Code, code, w.Header().Get("Retry-After"))
	}
	if w := from("192.0.2.2:9"); w.Code != 202 {
		t.Errorf("another sender is answered %d", w.Code)
	}
	if w := r.do(to("b", "192.0.2.1:9", post("d", []byte(`{}`)))); w.Code != 202 {
		t.Errorf("the same sender at another source is answered %d", w.Code)
	}
	*now = now.Add(2 * time.Second)
	if w := from("192.0.2.1:9"); w.Code != 202 {
		t.Errorf("answered %d after Retry-After", w.Code)
	}
	if n := r.seen.count("a/limited"); n != 1 {
		t.Errorf("limited counted %d times", n)
	}
}

func TestOneHostIsOneSenderWhateverItsIPv6Address(t *testing.T) {
	r, _ := limited(t, intake.Limits{Rate: 1, Burst: 1}, nil)
	codes := []int{}
	for _, from := range []string{"[2001:db8::1]:9", "[2001:db8::ffff]:9", "[2001:db8:0:1::1]:9"} {
		codes = append(codes, r.do(to("a", from, post("d", []byte(`{}`)))).Code)
	}
	if !slices.Equal(codes, []int{202, 429, 202}) {
		t.Errorf("answers %v", codes)
	}
}

func TestFailedVerificationsSuspendTheAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, now := limited(t, intake.Limits{}, nil)
		defer func() { _ = r.Close() }()
		bad := func(from string) int { return r.do(to("a", from, forge(post("d", []byte(`{}`))))).Code }
		good := func(from string) int { return r.do(to("a", from, post("d", []byte(`{}`)))).Code }
		for n := range 20 {
			if code := bad("192.0.2.1:9"); code != 401 {
				t.Fatalf("failure %d is answered %d", n, code)
			}
		}
		w := r.do(to("a", "192.0.2.1:9", post("d", []byte(`{}`))))
		if code, _ := errorReply(t, w); w.Code != 429 || code != "too_many_failures" || w.Header().Get("Retry-After") != "5" {
			t.Errorf("answered %d %s, Retry-After %q", w.Code, code, w.Header().Get("Retry-After"))
		}
		if code := good("192.0.2.2:9"); code != 202 {
			t.Errorf("another address is answered %d", code)
		}
		if code := r.do(to("b", "192.0.2.1:9", post("d", []byte(`{}`)))).Code; code != 202 {
			t.Errorf("another source answers %d", code)
		}
		*now = now.Add(5 * time.Second)
		if code := good("192.0.2.1:9"); code != 202 {
			t.Errorf("answered %d after the suspension", code)
		}
		if r.seen.count("a/suspended") != 1 || r.seen.count("a/refused") != 20 {
			t.Errorf("counted %v", r.seen.seen)
		}
	})
}

// A refusal of somebody who is not heard any more is held back, where there is a
// place to wait, and never longer than its sender stays.
func TestRefusalsOfTheSuspendedAreHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := limited(t, intake.Limits{}, nil)
		defer func() { _ = r.Close() }()
		forged := func(ctx context.Context) (code int, took time.Duration) {
			began := time.Now()
			w := r.do(to("a", "192.0.2.1:9", forge(post("d", []byte(`{}`)).WithContext(ctx))))
			return w.Code, time.Since(began)
		}
		for range 3 {
			if code, took := forged(t.Context()); code != 401 || took != 0 {
				t.Fatalf("answered %d after %v", code, took)
			}
		}
		held := func(want int) {
			t.Helper()
			if code, took := forged(t.Context()); code != want || took < 500*time.Millisecond || took >= 1500*time.Millisecond {
				t.Errorf("answered %d after %v", code, took)
			}
		}
		for range 17 {
			held(401)
		}
		for range 10 { // one more is heard every five seconds
			_, _ = forged(t.Context())
		}
		held(429)
		gone, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, took := forged(gone); took != 100*time.Millisecond {
			t.Errorf("held for %v, and nobody waits", took)
		}
		const places = 2048
		var all sync.WaitGroup
		var mu sync.Mutex
		stalled := 0
		for range places + 50 {
			all.Go(func() {
				if _, took := forged(t.Context()); took > 0 {
					mu.Lock()
					stalled++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if stalled != places {
			t.Errorf("%d refusals were held back at a time, want %d", stalled, places)
		}
	})
}

// Behind a proxy that nobody named, an attacker must not silence the senders
// who seem to have the same address.
func TestAnUnknownProxyIsNotSuspended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := limited(t, intake.Limits{}, nil)
		defer func() { _ = r.Close() }()
		through := func(req *http.Request) int {
			req.Header.Set("X-Forwarded-For", "198.51.100.1")
			return r.do(to("a", "127.0.0.1:9", req)).Code
		}
		for range 100 {
			through(forge(post("d", []byte(`{}`))))
		}
		if code := through(post("d", []byte(`{}`))); code != 202 {
			t.Errorf("a genuine delivery is answered %d", code)
		}
	})
}

func TestManySendersTakeBoundedMemory(t *testing.T) {
	r, _ := limited(t, intake.Limits{Rate: 1, Burst: 1}, nil)
	for n := range 20000 {
		from := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}).String() + ":9"
		if w := r.do(to("a", from, forge(post("d", []byte(`{}`))))); w.Code != 401 {
			t.Fatalf("answered %d", w.Code)
		}
	}
	if n := r.Senders("a"); n > 2*4096 {
		t.Errorf("%d senders are remembered", n)
	}
}

func TestAFloodedSourceLeavesRoomForTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := limited(t, intake.Limits{MaxWaiting: 200}, func(o *intake.Options) {
			o.Store = &memoryStore{entered: make(chan int), hold: make(chan struct{})}
		})
		var wg sync.WaitGroup
		var mu sync.Mutex
		codes := map[string]int{}
		send := func(source string, n int) {
			wg.Go(func() {
				w := r.do(to(source, "192.0.2.1:9", post(source+fmt.Sprint(n), []byte(`{}`))))
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
			t.Errorf("the next commit has %d deliveries, want 64 of the flooded source and all 3 of the other", n)
		}
		r.store.hold <- struct{}{}
		for _, want := range []int{64, 64, 8} {
			if n := <-r.store.entered; n != want {
				t.Errorf("a commit has %d deliveries, want %d", n, want)
			}
			r.store.hold <- struct{}{}
		}
		wg.Wait()
		if codes["a 202"] != 201 || codes["a 503"] != 50 || codes["b 202"] != 3 {
			t.Errorf("answers %v", codes)
		}
		_ = r.Close()
	})
}

// However many bytes two sources try to hold, a third one gets in.
func TestMemoryIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestEdge(t, func(o *intake.Options) {
			o.Sources = []intake.Source{named{name: "a"}, named{name: "b"}, named{name: "c"}}
			o.Store = &memoryStore{entered: make(chan int), hold: make(chan struct{})}
		})
		body := big(1 << 20)
		var wg sync.WaitGroup
		send := func(source string, n int) {
			wg.Go(func() { r.do(to(source, "192.0.2.1:9", post(fmt.Sprint(n), body))) })
		}
		send("a", 0)
		<-r.store.entered
		for n := range 100 {
			send("a", n+1)
			send("b", n+1)
		}
		synctest.Wait()
		if a, b := r.seen.count("a/full"), r.seen.count("b/full"); a < 60 || b < 60 {
			t.Errorf("%d and %d of 100 MiB each were turned away", a, b)
		}
		send("c", 0)
		synctest.Wait()
		if n := r.seen.count("c/full"); n != 0 {
			t.Error("the third source was turned away")
		}
		go func() {
			for range r.store.entered {
			}
		}()
		close(r.store.hold)
		wg.Wait()
		if n := r.seen.count("c/accepted"); n != 1 {
			t.Errorf("the third source was answered %v", r.seen.seen)
		}
		_ = r.Close()
		close(r.store.entered)
	})
}

func TestDeliver(t *testing.T) {
	r, _ := limited(t, intake.Limits{}, nil)
	d := intake.Delivery{Source: "a", ID: "m-1", Body: []byte("From: x\r\n\r\nno JSON"), Sender: "mailbox"}
	for range 2 {
		if err := r.Deliver(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	rows := r.store.stored()
	if len(rows) != 1 || !bytes.Equal(rows[0].Body, d.Body) || !rows[0].Received.Equal(epoch) || r.seen.count("a/accepted") != 2 {
		t.Errorf("stored %+v, counted %v", rows, r.seen.seen)
	}
	if err := r.Deliver(t.Context(), intake.Delivery{Source: "nobody"}); incident.CodeOf(err) != incident.CodeUnknown {
		t.Errorf("an unknown source gives %v", err)
	}
	r.store.fail = errors.New("disk full")
	if err := r.Deliver(t.Context(), d); err == nil {
		t.Error("a delivery that was not stored gives no error")
	}
	_ = r.Close()
	if err := r.Deliver(t.Context(), d); !errors.Is(err, intake.ErrStopped) {
		t.Errorf("after Close: %v", err)
	}
}

// disk is a store that writes and syncs a file, as a database does.
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

// BenchmarkFairness measures how long source b waits for its answer while
// nothing else happens, while one sender floods source a with genuine
// deliveries, and while a thousand addresses flood it with forged ones. Each
// flood offers 5,000 requests a second. The last one has no rate to stop it, only
// the queue. ns/op is of no interest.
func BenchmarkFairness(b *testing.B) {
	body := big(7 << 10)
	genuine := func(n int) *http.Request { return to("a", "198.51.100.1:9", post(strconv.Itoa(n), body)) }
	forged := func(n int) *http.Request {
		return to("a", fmt.Sprintf("198.18.%d.%d:9", n/250%4, n%250), forge(post(strconv.Itoa(n), body)))
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
	for _, flood := range floods {
		b.Run(flood.name, func(b *testing.B) {
			file, err := os.Create(filepath.Join(b.TempDir(), "wal"))
			if err != nil {
				b.Fatal(err)
			}
			defer file.Close()
			r, _ := limited(b, flood.limits, func(o *intake.Options) {
				o.Store, o.Clock = &diskStore{file: file}, nil
			})
			ctx, stop := context.WithCancel(b.Context())
			var wg sync.WaitGroup
			defer wg.Wait()
			defer stop()
			if flood.request != nil {
				wg.Go(func() { offer(ctx, &wg, r, flood.request) })
			}
			var took []time.Duration
			tick := time.NewTicker(2 * time.Millisecond)
			defer tick.Stop()
			for n := 0; b.Loop(); n++ {
				<-tick.C
				start := time.Now()
				if w := r.do(to("b", "192.0.2.1:9", post(strconv.Itoa(n), body))); w.Code != 202 {
					b.Fatal(w.Code)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			p99 := took[len(took)*99/100]
			if flood.request == nil {
				quiet = p99
			}
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(p99.Microseconds()), "p99-µs")
			b.ReportMetric(float64(p99)/float64(max(quiet, 1)), "p99/quiet")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// offer sends 5,000 requests a second, whether they are answered or not.
func offer(ctx context.Context, wg *sync.WaitGroup, r testEdge, request func(int) *http.Request) {
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
