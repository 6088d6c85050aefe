package intake_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"tocsin/bot/intake"
	"tocsin/bot/intake/intaketest"
)

func TestEdgeKeepsWhatItAnswered202(t *testing.T) {
	r := newTestEdge(t, nil)
	body := []byte("{\"title\": \"é\",\n \"key\" : 1}  ")
	if w := r.do(post("d-1", body)); w.Code != http.StatusAccepted {
		t.Fatalf("answered %d %s", w.Code, w.Body)
	}
	rows := r.store.stored()
	if len(rows) != 1 {
		t.Fatalf("%d rows are stored, want 1", len(rows))
	}
	row := rows[0]
	if !bytes.Equal(row.Body, body) {
		t.Errorf("stored body is %q, sent %q", row.Body, body)
	}
	if row.Source != "signed" || row.Delivery.ID != "d-1" || !row.Received.Equal(epoch) || row.Sender != "192.0.2.1" {
		t.Errorf("stored %+v", row)
	}
	if len(row.Header) != 1 || row.Header["X-Kind"] != "signed.test" {
		t.Errorf("kept headers %v, want X-Kind alone", row.Header)
	}
}

func TestEdgeSecondDeliveryChangesNothing(t *testing.T) {
	r := newTestEdge(t, nil)
	for range 3 {
		if w := r.do(post("same", []byte(`{}`))); w.Code != http.StatusAccepted {
			t.Fatalf("answered %d", w.Code)
		}
	}
	if n := len(r.store.stored()); n != 1 {
		t.Errorf("%d rows are stored, want 1", n)
	}
}

func TestEdgeDeliveryIDsAreStorable(t *testing.T) {
	r := newTestEdge(t, nil)
	for i, id := range []string{"", "a\x00b", "a\nb", "\xff", strings.Repeat("x", 5000)} {
		if w := r.do(post(id, fmt.Appendf(nil, "%d", i))); w.Code != http.StatusAccepted {
			t.Errorf("id %.20q: answered %d", id, w.Code)
		}
	}
	rows := r.store.stored()
	if len(rows) != 5 {
		t.Fatalf("%d rows are stored, want 5", len(rows))
	}
	for _, row := range rows {
		if !strings.HasPrefix(row.Delivery.ID, "sha256:") {
			t.Errorf("id %.20q is stored as it came", row.Delivery.ID)
		}
	}
}

func TestEdgeRefuses(t *testing.T) {
	req := func(change func(*http.Request)) *http.Request {
		r := post("d", []byte(`{"title":"x"}`))
		change(r)
		return r
	}
	forged := func(body string) *http.Request {
		r := post("d", []byte(body))
		r.Header.Set("X-Signature", sign([]byte("else")))
		return r
	}
	unsized := post("d", big(2000))
	unsized.ContentLength = -1
	tests := []struct {
		name    string
		req     *http.Request
		status  int
		code    string
		outcome string
	}{
		{"bad signature", forged(`{}`), 401, "unauthorized", "signed/refused"},
		{"bad signature on what is no JSON", forged(`no`), 401, "unauthorized", "signed/refused"},
		{"not JSON", post("d", []byte(`title=x`)), 400, "not_json", "signed/malformed"},
		{"empty", post("d", nil), 400, "not_json", "signed/malformed"},
		{"nested too deep", post("d", []byte(strings.Repeat("[", 400))), 400, "not_json", "signed/malformed"},
		{"an id the source calls invalid", post("bad", []byte(`{}`)), 400, "invalid", "signed/malformed"},
		{"larger than allowed", post("d", big(1001)), 413, "too_large", "signed/too_large"},
		{"larger than allowed, length unknown", unsized, 413, "too_large", "signed/too_large"},
		{"unknown source", req(func(r *http.Request) { r.URL.Path = "/hooks/nobody" }), 404, "unknown_source", "/unknown_source"},
		{"no source", req(func(r *http.Request) { r.URL.Path = "/hooks/" }), 404, "unknown_source", "/unknown_source"},
		{"another method", req(func(r *http.Request) { r.Method = http.MethodGet }), 405, "method_not_allowed", "signed/wrong_method"},
		{"compressed", req(func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }), 415, "compressed", "signed/malformed"},
		{"our own fault", req(func(r *http.Request) { r.Header.Set("X-Broken", "1") }), 503, "unavailable", "signed/failed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newTestEdge(t, func(o *intake.Options) { o.MaxBody = 1000 })
			w := r.do(tt.req)
			code, message := errorReply(t, w)
			if w.Code != tt.status || code != tt.code {
				t.Errorf("answered %d %s (%s), want %d %s", w.Code, code, message, tt.status, tt.code)
			}
			if n := r.seen.count(tt.outcome); n != 1 {
				t.Errorf("outcome %s counted %d times", tt.outcome, n)
			}
			if len(r.store.sizes()) != 0 {
				t.Error("something was stored")
			}
			if retry := w.Header().Get("Retry-After"); (retry != "") != (w.Code == 503) {
				t.Errorf("Retry-After is %q with status %d", retry, w.Code)
			}
		})
	}
}

func TestEdgeTakesABodyOfExactlyTheLimit(t *testing.T) {
	r := newTestEdge(t, func(o *intake.Options) { o.MaxBody = 1000 })
	if w := r.do(post("d", big(1000))); w.Code != http.StatusAccepted {
		t.Errorf("answered %d", w.Code)
	}
}

func TestEdgeNeverAnswers202WhenNothingWasStored(t *testing.T) {
	r := newTestEdge(t, func(o *intake.Options) {
		o.Store = &memoryStore{fail: errors.New("no space left on device: secret path")}
	})
	w := r.do(post("d", []byte(`{}`)))
	if code, message := errorReply(t, w); w.Code != 503 || code != "not_stored" || strings.Contains(message, "secret path") {
		t.Errorf("answered %d %s %q", w.Code, code, message)
	}
	if r.seen.count("signed/failed") != 1 {
		t.Error("the failure is not counted")
	}
}

// together starts n requests while the store holds the first of them, so that
// the others wait in the queue.
func together(t *testing.T, r testEdge, n int) (codes func() map[int]int) {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[int]int{}
	start := func(i int) {
		wg.Go(func() {
			w := r.do(post(fmt.Sprint("d", i), []byte(`{}`)))
			mu.Lock()
			got[w.Code]++
			mu.Unlock()
		})
	}
	start(0)
	if n := <-r.store.entered; n != 1 {
		t.Errorf("a request that was alone waited for %d others", n-1)
	}
	for i := 1; i < n; i++ {
		start(i)
	}
	return func() map[int]int { wg.Wait(); return got }
}

func TestEdgeSharesACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestEdge(t, func(o *intake.Options) {
			o.Store = &memoryStore{entered: make(chan int), hold: make(chan struct{})}
		})
		codes := together(t, r, 50)
		synctest.Wait() // all 49 are in the queue
		r.store.hold <- struct{}{}
		if n := <-r.store.entered; n != 49 {
			t.Errorf("the second commit has %d deliveries, want 49", n)
		}
		r.store.hold <- struct{}{}
		if got := codes(); got[202] != 50 {
			t.Errorf("answers %v, want 50 of 202", got)
		}
		_ = r.Close()
	})
}

func TestEdgeFullQueueAnswers503(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestEdge(t, func(o *intake.Options) {
			o.Store = &memoryStore{entered: make(chan int), hold: make(chan struct{})}
			o.MaxQueue = 3
		})
		codes := together(t, r, 11)
		synctest.Wait()
		r.store.hold <- struct{}{}
		<-r.store.entered
		r.store.hold <- struct{}{}
		if got := codes(); got[202] != 4 || got[503] != 7 {
			t.Errorf("answers %v, want 4 of 202 and 7 of 503", got)
		}
		if n := r.seen.count("signed/full"); n != 7 {
			t.Errorf("outcome full counted %d times, want 7", n)
		}
		if n := len(r.store.stored()); n != 4 {
			t.Errorf("%d rows are stored, want 4", n)
		}
		_ = r.Close()
	})
}

func TestEdgeAnswersWhileTheStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestEdge(t, func(o *intake.Options) {
			o.Store = &memoryStore{entered: make(chan int, 1), hold: make(chan struct{})}
		})
		w := r.do(post("d", []byte(`{}`)))
		if code, _ := errorReply(t, w); w.Code != 503 || code != "too_slow" {
			t.Errorf("answered %d %s", w.Code, code)
		}
		_ = r.Close()
	})
}

func TestEdgeClientThatWentAwayLosesNobodysDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestEdge(t, func(o *intake.Options) {
			o.Store = &memoryStore{entered: make(chan int), hold: make(chan struct{})}
		})
		codes := together(t, r, 3)
		ctx, hangUp := context.WithCancel(t.Context())
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			if w := r.do(post("gone", []byte(`{}`)).WithContext(ctx)); w.Code != http.StatusServiceUnavailable {
				t.Errorf("answered %d before it was stored", w.Code)
			}
		}()
		synctest.Wait()
		hangUp()
		<-gone
		if r.seen.count("signed/gone") != 1 {
			t.Error("that the sender went away is not counted")
		}
		r.store.hold <- struct{}{}
		<-r.store.entered
		r.store.hold <- struct{}{}
		if got := codes(); got[202] != 3 {
			t.Errorf("answers %v, want 3 of 202", got)
		}
		if n := len(r.store.stored()); n != 4 {
			t.Errorf("%d rows are stored, want 4", n)
		}
		_ = r.Close()
	})
}

// A body that stalls ends the request's context without the sender being gone. A
// handler that wrote nothing then would have said 200 to what nobody has.
func TestEdgeSaysNothingOfSuccessToABodyThatStalls(t *testing.T) {
	r := newTestEdge(t, nil)
	server := httptest.NewUnstartedServer(r.Edge)
	server.Config.ReadTimeout = 50 * time.Millisecond
	server.Start()
	defer server.Close()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "POST /hooks/signed HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	said, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || !strings.Contains(string(said), "did not come in time") {
		t.Errorf("answered %d %v %s", res.StatusCode, res.Header, said)
	}
	if n := len(r.store.stored()); n != 0 {
		t.Errorf("%d rows are stored", n)
	}
}

func TestEdgeCloseCommitsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestEdge(t, func(o *intake.Options) {
			o.Store = &memoryStore{entered: make(chan int), hold: make(chan struct{})}
		})
		codes := together(t, r, 5)
		synctest.Wait()
		closed := make(chan struct{})
		go func() { defer close(closed); _ = r.Close() }()
		synctest.Wait()
		w := r.do(post("late", []byte(`{}`)))
		if code, _ := errorReply(t, w); w.Code != 503 || code != "stopping" {
			t.Errorf("after Close: answered %d %s", w.Code, code)
		}
		r.store.hold <- struct{}{}
		<-r.store.entered
		r.store.hold <- struct{}{}
		<-closed
		if got := codes(); got[202] != 5 {
			t.Errorf("answers %v, want 5 of 202", got)
		}
		if n := len(r.store.stored()); n != 5 {
			t.Errorf("%d rows are stored, want 5", n)
		}
	})
}

// What was answered 202 is stored, whatever else happens at the same time.
func TestEdgeUnderLoad(t *testing.T) {
	r := newTestEdge(t, func(o *intake.Options) { o.MaxQueue = 8 })
	var wg sync.WaitGroup
	var mu sync.Mutex
	accepted := map[string]bool{}
	for c := range 16 {
		wg.Go(func() {
			for i := range 100 {
				id := fmt.Sprintf("%d-%d", c, i)
				w := r.do(post(id, []byte(`{}`)))
				switch w.Code {
				case http.StatusAccepted:
					mu.Lock()
					accepted[id] = true
					mu.Unlock()
				case http.StatusServiceUnavailable:
				default:
					t.Errorf("answered %d", w.Code)
				}
				if c == 0 && i == 60 {
					go r.Close()
				}
			}
		})
	}
	wg.Wait()
	_ = r.Close()
	stored := map[string]bool{}
	for _, row := range r.store.stored() {
		stored[row.Delivery.ID] = true
	}
	for id := range accepted {
		if !stored[id] {
			t.Errorf("%s was answered 202 and is not stored", id)
		}
	}
	if len(accepted) == 0 {
		t.Error("nothing was accepted")
	}
}

// FuzzEdge: whatever is posted with a good signature is answered 202, and then
// it is stored byte for byte under its own hash and drained, or with a 4xx that
// names the fault; and what is forged is neither.
func FuzzEdge(f *testing.F) {
	f.Add("d-1", []byte(`{"title":"x"}`), true)
	f.Add("", []byte(`{"a":1,"a":2}`), true)
	f.Add("", []byte(`{"n":[1e999999,-0.0,"\ud800"]}`), true)
	f.Add("\x00", []byte("[[[[[["), true)
	f.Add("", []byte(strings.Repeat("[", 300)), true)
	f.Add("d", []byte("\xff\xfe"), false)
	for _, p := range intaketest.Recorded(f, "sentry/*.json", "pagerduty/*.json", "aws-eventbridge/*/*.json", "aws-guardduty/*.json", "aws-sns/*.json", "slack/payload-shapes/*/*.json") {
		f.Add("", p.Body, true)
	}
	f.Fuzz(func(t *testing.T, id string, body []byte, genuine bool) {
		r := newTestEdge(t, nil)
		req := post(id, body)
		if !genuine {
			req.Header.Set("X-Signature", "00")
		}
		hash := sha256.Sum256(body)
		w := r.do(req)
		rows := r.store.stored()
		switch {
		case (w.Code == http.StatusAccepted) != (len(rows) == 1):
			t.Fatalf("answered %d with %d rows stored", w.Code, len(rows))
		case !genuine && w.Code != http.StatusUnauthorized && id != "bad":
			t.Fatalf("a forged delivery was answered %d", w.Code)
		case w.Code != http.StatusAccepted:
			code, message := errorReply(t, w)
			if w.Code/100 != 4 || code == "" || !utf8.ValidString(message) || len(message) > 1000 || strings.Contains(message, "json") || genuine && code == "not_json" && sound(body) {
				t.Fatalf("answered %d %s %q", w.Code, code, message)
			}
			return
		}
		row := rows[0]
		if got := sha256.Sum256(row.Body); got != hash || !bytes.Equal(row.Body, body) {
			t.Fatal("the stored body differs from the one sent")
		}
		if id == "" && row.Delivery.ID != "sha256:"+hex.EncodeToString(hash[:]) {
			t.Fatalf("a body without an id is stored under %s", row.Delivery.ID)
		}
		if !sound(body) {
			t.Fatal("a body was accepted that does not mean the same to everybody")
		}
		if err := r.Drain(t.Context(), 0, 10); err != nil {
			t.Fatalf("drain: %v", err)
		}
		if n := len(r.desk.batch); n != 1 {
			t.Fatalf("%d rows were reported", n)
		}
	})
}

// sound is what the edge asks of a body, written down a second time and slowly.
func sound(body []byte) bool {
	if !utf8.Valid(body) || !json.Valid(body) {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var value func(depth int) bool
	value = func(depth int) bool {
		token, err := d.Token()
		if err != nil || depth > 200 {
			return false
		}
		switch v := token.(type) {
		case json.Number:
			_, err := strconv.ParseFloat(v.String(), 64)
			return err == nil
		case json.Delim:
			if depth == 200 {
				return false
			}
			keys := map[string]bool{}
			for d.More() {
				if v == '{' {
					key, _ := d.Token()
					if keys[key.(string)] {
						return false
					}
					keys[key.(string)] = true
				}
				if !value(depth + 1) {
					return false
				}
			}
			_, err := d.Token()
			return err == nil
		}
		return true
	}
	return value(0)
}

// FuzzSender: an address that is not a trusted proxy's is taken as it is,
// whatever it claims; behind a trusted one it is the first address from the
// right that no trusted proxy has; and nothing else ever comes out.
func FuzzSender(f *testing.F) {
	f.Add("192.0.2.1:80", "10.0.0.1")
	f.Add("10.0.0.1:80", "198.51.100.7, 10.0.0.2")
	f.Add("10.0.0.1:80", "evil, 198.51.100.7:1234, [2001:db8::1]:80,")
	f.Add("[::ffff:10.0.0.1%eth0]:80", "::1%lo0, 2001:db8::1")
	f.Add("@", "unknown")
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	r := newTestEdge(f, func(o *intake.Options) { o.TrustedProxies = trusted })
	proxy := func(a netip.Addr) bool {
		return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	f.Fuzz(func(t *testing.T, remote, forwarded string) {
		req := httptest.NewRequest(http.MethodPost, "/hooks/signed", nil)
		req.RemoteAddr = remote
		req.Header["X-Forwarded-For"] = []string{forwarded}
		got := r.Sender(req)
		if again := r.Sender(req); got != again {
			t.Fatalf("%s and then %s", got, again)
		}
		if got.Zone() != "" || got.Is4In6() {
			t.Fatalf("%s has another spelling", got)
		}
		req.Header.Del("X-Forwarded-For")
		peer := r.Sender(req)
		if !proxy(peer) {
			if got != peer {
				t.Fatalf("a stranger %q calls itself %s", remote, got)
			}
			return
		}
		if got != peer && !strings.Contains(forwarded, ",") && !strings.ContainsAny(forwarded, ":%[") && strings.TrimSpace(forwarded) != got.String() {
			t.Fatalf("%q is read as %s", forwarded, got)
		}
		if !got.IsValid() {
			t.Fatal("behind a proxy somebody has no address")
		}
	})
}

func BenchmarkEdgeAlone(b *testing.B) {
	r := newTestEdge(b, nil)
	body := big(7 << 10)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		if w := r.do(post(fmt.Sprint(i), body)); w.Code != http.StatusAccepted {
			b.Fatal(w.Code)
		}
	}
}

func BenchmarkEdgeTogether(b *testing.B) {
	r := newTestEdge(b, nil)
	body := big(7 << 10)
	b.ReportAllocs()
	b.SetParallelism(8)
	var n sync.Mutex
	next := 0
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n.Lock()
			next++
			id := fmt.Sprint(next)
			n.Unlock()
			if w := r.do(post(id, body)); w.Code != http.StatusAccepted {
				b.Fatal(w.Code)
			}
		}
	})
	b.ReportMetric(float64(b.N)/float64(max(len(r.store.sizes()), 1)), "deliveries/commit")
}
