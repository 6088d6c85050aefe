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
	"tocsin/bot/text"
)

func TestEdge_StoresBodyUnchanged(t *testing.T) {
	r := newTestEdge(t, nil)
	body := []byte("{\"title\": \"é\",\n \"key\" : 1}  ")
	if w := r.do(post("d-1", body)); w.Code != http.StatusAccepted {
		t.Fatalf("got status %d %s, want 202", w.Code, w.Body)
	}
	rows := r.store.stored()
	if len(rows) != 1 {
		t.Fatalf("got %d stored rows, want 1", len(rows))
	}
	row := rows[0]
	if !bytes.Equal(row.Body, body) {
		t.Errorf("got stored body %q, want %q", row.Body, body)
	}
	if row.Source != "signed" || row.Delivery.ID != "d-1" || !row.Received.Equal(testTime) || row.Sender != "192.0.2.1" {
		t.Errorf("got row %+v, want delivery d-1 of signed from 192.0.2.1", row)
	}
	if len(row.Header) != 1 || row.Header["X-Kind"] != "signed.test" {
		t.Errorf("got stored headers %v, want X-Kind only", row.Header)
	}
}

// slowSource is a source whose verification, in either form, takes until its context
// ends.
type slowSource struct{ signed }

func (slowSource) Verify(ctx context.Context, _ http.Header, _ []byte, _ time.Time) (string, error) {
	<-ctx.Done()
	return "", ctx.Err()
}

type slowSenderVerifier struct{ slowSource }

func (s slowSenderVerifier) VerifyFrom(ctx context.Context, _ netip.Addr, h http.Header, body []byte, now time.Time) (string, error) {
	return s.Verify(ctx, h, body, now)
}

func TestEdge_VerificationEndsWithRequest(t *testing.T) {
	for _, source := range []intake.Source{slowSource{}, slowSenderVerifier{}} {
		synctest.Test(t, func(t *testing.T) {
			r := newTestEdge(t, func(o *intake.Options) { o.Sources = []intake.Source{source} })
			ctx, hangUp := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, hangUp)
			if w := r.do(post("d-1", []byte(`{}`)).WithContext(ctx)); w.Code != http.StatusServiceUnavailable {
				t.Errorf("%T: got status %d, want 503", source, w.Code)
			}
			_ = r.Close()
		})
	}
}

func TestEdge_StoresDuplicateOnce(t *testing.T) {
	r := newTestEdge(t, nil)
	for range 3 {
		if w := r.do(post("same", []byte(`{}`))); w.Code != http.StatusAccepted {
			t.Fatalf("got status %d, want 202", w.Code)
		}
	}
	if n := len(r.store.stored()); n != 1 {
		t.Errorf("got %d stored rows, want 1", n)
	}
}

func TestEdge_HashesUnstorableIDs(t *testing.T) {
	r := newTestEdge(t, nil)
	for i, id := range []string{"", "a\x00b", "a\nb", "\xff", strings.Repeat("x", 5000)} {
		if w := r.do(post(id, fmt.Appendf(nil, "%d", i))); w.Code != http.StatusAccepted {
			t.Errorf("ID %.20q: got status %d, want 202", id, w.Code)
		}
	}
	rows := r.store.stored()
	if len(rows) != 5 {
		t.Fatalf("got %d stored rows, want 5", len(rows))
	}
	for _, row := range rows {
		if !strings.HasPrefix(row.Delivery.ID, "sha256:") {
			t.Errorf("got stored ID %.20q, want a hash", row.Delivery.ID)
		}
	}
}

func TestEdge_Rejects(t *testing.T) {
	changed := func(change func(*http.Request)) *http.Request {
		r := post("d", []byte(`{"title":"x"}`))
		change(r)
		return r
	}
	wronglySigned := func(body string) *http.Request {
		r := post("d", []byte(body))
		r.Header.Set("X-Signature", sign([]byte("else")))
		return r
	}
	unknownLength := post("d", jsonString(2000))
	unknownLength.ContentLength = -1
	tests := []struct {
		name    string
		req     *http.Request
		status  int
		code    string
		outcome string
	}{
		{"bad signature", wronglySigned(`{}`), 401, "unauthorized", "signed/refused"},
		{"bad signature, not JSON", wronglySigned(`no`), 401, "unauthorized", "signed/refused"},
		{"invalid ID", post("bad", []byte(`{}`)), 400, "invalid", "signed/malformed"},
		{"too large", post("d", jsonString(1001)), 413, "too_large", "signed/too_large"},
		{"too large, unknown length", unknownLength, 413, "too_large", "signed/too_large"},
		{"unknown source", changed(func(r *http.Request) { r.URL.Path = "/hooks/missing" }), 404, "unknown_source", "/unknown_source"},
		{"no source", changed(func(r *http.Request) { r.URL.Path = "/hooks/" }), 404, "unknown_source", "/unknown_source"},
		{"wrong method", changed(func(r *http.Request) { r.Method = http.MethodGet }), 405, "method_not_allowed", "signed/wrong_method"},
		{"compressed", changed(func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }), 415, "compressed", "signed/malformed"},
		{"verification unavailable", changed(func(r *http.Request) { r.Header.Set("X-Broken", "1") }), 503, "unavailable", "signed/failed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newTestEdge(t, func(o *intake.Options) { o.MaxBody = 1000 })
			w := r.do(tt.req)
			code, message := errorReply(t, w)
			if w.Code != tt.status || code != tt.code {
				t.Errorf("got status %d, code %s (%s), want %d %s", w.Code, code, message, tt.status, tt.code)
			}
			if n := r.metrics.count(tt.outcome); n != 1 {
				t.Errorf("got outcome %s %d times, want 1", tt.outcome, n)
			}
			if n := len(r.store.commitSizes()); n != 0 {
				t.Errorf("got %d commits, want none", n)
			}
			if retry := w.Header().Get("Retry-After"); (retry != "") != (w.Code == 503) {
				t.Errorf("got Retry-After %q with status %d, want it with 503 only", retry, w.Code)
			}
		})
	}
}

func TestEdge_AcceptsBodyOfMaximumSize(t *testing.T) {
	r := newTestEdge(t, func(o *intake.Options) { o.MaxBody = 1000 })
	if w := r.do(post("d", jsonString(1000))); w.Code != http.StatusAccepted {
		t.Errorf("got status %d, want 202", w.Code)
	}
}

func TestEdge_StoreFails(t *testing.T) {
	r := newTestEdge(t, func(o *intake.Options) {
		o.Store = &memoryStore{fail: errors.New("no space left on device: secret path")}
	})
	w := r.do(post("d", []byte(`{}`)))
	if code, message := errorReply(t, w); w.Code != 503 || code != "not_stored" || strings.Contains(message, "secret path") {
		t.Errorf("got status %d, code %s, message %q, want 503 not_stored without the cause", w.Code, code, message)
	}
	if n := r.metrics.count("signed/failed"); n != 1 {
		t.Errorf("got outcome failed %d times, want 1", n)
	}
}

// postConcurrently starts n requests. The store blocks the commit of the first
// request, and the others stay in the queue. The returned function waits for all
// replies and counts their status codes.
func postConcurrently(t *testing.T, r testEdge, n int) (codes func() map[int]int) {
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
		t.Errorf("got a first commit of %d deliveries, want 1", n)
	}
	for i := 1; i < n; i++ {
		start(i)
	}
	return func() map[int]int { wg.Wait(); return got }
}

func TestEdge_GroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestEdge(t, func(o *intake.Options) {
			o.Store = &memoryStore{entered: make(chan int), hold: make(chan struct{})}
		})
		codes := postConcurrently(t, r, 50)
		synctest.Wait() // until 49 are in the queue
		r.store.hold <- struct{}{}
		if n := <-r.store.entered; n != 49 {
			t.Errorf("got a second commit of %d deliveries, want 49", n)
		}
		r.store.hold <- struct{}{}
		if got := codes(); got[202] != 50 {
			t.Errorf("got status codes %v, want 50 of 202", got)
		}
		_ = r.Close()
	})
}

func TestEdge_QueueFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestEdge(t, func(o *intake.Options) {
			o.Store = &memoryStore{entered: make(chan int), hold: make(chan struct{})}
			o.MaxQueue = 3
		})
		codes := postConcurrently(t, r, 11)
		synctest.Wait()
		r.store.hold <- struct{}{}
		<-r.store.entered
		r.store.hold <- struct{}{}
		if got := codes(); got[202] != 4 || got[503] != 7 {
			t.Errorf("got status codes %v, want 4 of 202 and 7 of 503", got)
		}
		if n := r.metrics.count("signed/queue_full"); n != 7 {
			t.Errorf("got outcome full %d times, want 7", n)
		}
		if n := len(r.store.stored()); n != 4 {
			t.Errorf("got %d stored rows, want 4", n)
		}
		_ = r.Close()
	})
}

func TestEdge_StoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestEdge(t, func(o *intake.Options) {
			o.Store = &memoryStore{entered: make(chan int, 1), hold: make(chan struct{})}
		})
		w := r.do(post("d", []byte(`{}`)))
		if code, _ := errorReply(t, w); w.Code != 503 || code != "too_slow" {
			t.Errorf("got status %d, code %s, want 503 too_slow", w.Code, code)
		}
		_ = r.Close()
	})
}

func TestEdge_ClientGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestEdge(t, func(o *intake.Options) {
			o.Store = &memoryStore{entered: make(chan int), hold: make(chan struct{})}
		})
		codes := postConcurrently(t, r, 3)
		ctx, disconnect := context.WithCancel(t.Context())
		replied := make(chan struct{})
		go func() {
			defer close(replied)
			if w := r.do(post("gone", []byte(`{}`)).WithContext(ctx)); w.Code != http.StatusServiceUnavailable {
				t.Errorf("got status %d before the commit, want 503", w.Code)
			}
		}()
		synctest.Wait()
		disconnect()
		<-replied
		if n := r.metrics.count("signed/client_gone"); n != 1 {
			t.Errorf("got outcome gone %d times, want 1", n)
		}
		r.store.hold <- struct{}{}
		<-r.store.entered
		r.store.hold <- struct{}{}
		if got := codes(); got[202] != 3 {
			t.Errorf("got status codes %v, want 3 of 202", got)
		}
		if n := len(r.store.stored()); n != 4 {
			t.Errorf("got %d stored rows, want 4", n)
		}
		_ = r.Close()
	})
}

// The read timeout ends the request's context although the sender is still
// connected. If the handler wrote nothing, net/http would answer 200.
func TestEdge_BodyStalls(t *testing.T) {
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
	body, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || !strings.Contains(string(body), "did not arrive in time") {
		t.Errorf("got status %d, headers %v, body %s, want 503 with Retry-After", res.StatusCode, res.Header, body)
	}
	if n := len(r.store.stored()); n != 0 {
		t.Errorf("got %d stored rows, want none", n)
	}
}

func TestEdgeClose_CommitsWaitingDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestEdge(t, func(o *intake.Options) {
			o.Store = &memoryStore{entered: make(chan int), hold: make(chan struct{})}
		})
		codes := postConcurrently(t, r, 5)
		synctest.Wait()
		closed := make(chan struct{})
		go func() { defer close(closed); _ = r.Close() }()
		synctest.Wait()
		w := r.do(post("late", []byte(`{}`)))
		if code, _ := errorReply(t, w); w.Code != 503 || code != "stopping" {
			t.Errorf("after Close: got status %d, code %s, want 503 stopping", w.Code, code)
		}
		r.store.hold <- struct{}{}
		<-r.store.entered
		r.store.hold <- struct{}{}
		<-closed
		if got := codes(); got[202] != 5 {
			t.Errorf("got status codes %v, want 5 of 202", got)
		}
		if n := len(r.store.stored()); n != 5 {
			t.Errorf("got %d stored rows, want 5", n)
		}
	})
}

// Every delivery with the reply 202 is stored, even if the queue fills up or the
// edge closes under load.
func TestEdge_UnderLoad(t *testing.T) {
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
					t.Errorf("got status %d, want 202 or 503", w.Code)
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
			t.Errorf("delivery %s has the reply 202 but is not stored", id)
		}
	}
	if len(accepted) == 0 {
		t.Error("got no reply 202, want some")
	}
}

// FuzzEdge posts arbitrary bodies. With a valid signature, the edge answers 202 and stores
// the body byte for byte, unless the source refuses it. The drain reports a body that is not
// one JSON document. With a forged signature, the edge answers 401 and stores nothing.
func FuzzEdge(f *testing.F) {
	f.Add("d-1", []byte(`{"title":"x"}`), true)
	f.Add("", []byte(`{"a":1,"a":2}`), true)
	f.Add("", []byte(`{"n":[1e999999,-0.0,"\ud800"]}`), true)
	f.Add("\x00", []byte("[[[[[["), true)
	f.Add("", []byte(strings.Repeat("[", 300)), true)
	f.Add("d", []byte("\xff\xfe"), false)
	seeds := intaketest.Fixtures(f, "../sentry/testdata/*/*.json", "../pagerduty/testdata/*/*.json", "../cloudtrail/testdata/*/*/*.json", "../cloudtrail/testdata/guardduty/*.json", "../sns/testdata/*/*.json", "../slack/testdata/payloads/*.json")
	seeds = append(seeds, intaketest.Corpus(f, "sentry/*.json", "pagerduty/*.json", "aws-eventbridge/*/*.json", "aws-guardduty/*.json", "aws-sns/*.json", "slack/payload-shapes/*/*.json")...)
	for _, p := range seeds {
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
			t.Fatalf("got status %d with %d stored rows, want one row with 202 only", w.Code, len(rows))
		case !genuine && w.Code != http.StatusUnauthorized && id != "bad":
			t.Fatalf("got status %d for a forged delivery, want 401", w.Code)
		case w.Code != http.StatusAccepted:
			code, message := errorReply(t, w)
			if w.Code/100 != 4 || code == "" || !utf8.ValidString(message) || len(message) > 1000 || strings.Contains(message, "json") || genuine && id != "bad" {
				t.Fatalf("got status %d, code %s, message %q, want 4xx with a plain message", w.Code, code, message)
			}
			return
		}
		row := rows[0]
		if got := sha256.Sum256(row.Body); got != hash || !bytes.Equal(row.Body, body) {
			t.Fatalf("got stored body %q, want %q", row.Body, body)
		}
		if want := "sha256:" + hex.EncodeToString(hash[:]); id == "" && isStrictJSON(body) && row.Delivery.ID != want {
			t.Fatalf("got ID %s, want %s", row.Delivery.ID, want)
		}
		if err := r.Drain(t.Context(), 0, 10); err != nil {
			t.Fatalf("drain: %v", err)
		}
		if n := len(r.desk.batch); n != 1 {
			t.Fatalf("got %d ingested rows, want 1", n)
		}
		if got := r.desk.batch[0]; !isStrictJSON(body) && !isStrictJSON(text.UTF8(body)) && (got.Failed == "" || len(got.Signals) != 1 || !got.Signals[0].Unreadable) {
			t.Fatalf("got %+v for an ambiguous body %q, want one alert about it", got, body)
		}
	})
}

// isStrictJSON is a slow reference implementation of the edge's JSON check.
func isStrictJSON(body []byte) bool {
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

// FuzzSender checks that a peer outside the trusted proxies is always the sender.
// For a trusted peer, the sender is the last address that is not a trusted proxy.
func FuzzSender(f *testing.F) {
	f.Add("192.0.2.1:80", "10.0.0.1")
	f.Add("10.0.0.1:80", "198.51.100.7, 10.0.0.2")
	f.Add("10.0.0.1:80", "evil, 198.51.100.7:1234, [2001:db8::1]:80,")
	f.Add("[::ffff:10.0.0.1%eth0]:80", "::1%lo0, 2001:db8::1")
	f.Add("@", "unknown")
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	r := intake.NewAdmission(intake.AdmissionOptions{TrustedProxies: trusted})
	proxy := func(a netip.Addr) bool {
		return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	f.Fuzz(func(t *testing.T, remote, forwarded string) {
		req := httptest.NewRequest(http.MethodPost, "/hooks/signed", nil)
		req.RemoteAddr = remote
		req.Header["X-Forwarded-For"] = []string{forwarded}
		got := r.Sender(req)
		if second := r.Sender(req); got != second {
			t.Fatalf("got %s in the first call and %s in the second", got, second)
		}
		if got.Zone() != "" || got.Is4In6() {
			t.Fatalf("got %s, want a canonical address", got)
		}
		req.Header.Del("X-Forwarded-For")
		peer := r.Sender(req)
		if !proxy(peer) {
			if got != peer {
				t.Fatalf("got %s for the untrusted peer %q, want the peer", got, remote)
			}
			return
		}
		if got != peer && !strings.Contains(forwarded, ",") && !strings.ContainsAny(forwarded, ":%[") && strings.TrimSpace(forwarded) != got.String() {
			t.Fatalf("got %s from X-Forwarded-For %q", got, forwarded)
		}
		if !got.IsValid() {
			t.Fatal("got no address behind a trusted proxy")
		}
	})
}

func BenchmarkEdgeAlone(b *testing.B) {
	r := newTestEdge(b, nil)
	body := jsonString(7 << 10)
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
	body := jsonString(7 << 10)
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
	b.ReportMetric(float64(b.N)/float64(max(len(r.store.commitSizes()), 1)), "deliveries/commit")
}

// bearer is a source whose header has a credential, apart from its signature.
type bearer struct{ signed }

func (bearer) Name() string { return "bearer" }

func (bearer) Verify(_ context.Context, h http.Header, _ []byte, _ time.Time) (string, error) {
	return h.Get("X-Delivery"), nil
}

func (bearer) VerifyHeader(http.Header) (possible bool, err error) { return true, nil }

// TestEdge_SlowLargeBodies lets verified senders stop in the middle of bodies that are too
// large even to be shortened. Other large bodies are served meanwhile.
func TestEdge_SlowLargeBodies(t *testing.T) {
	r := newTestEdge(t, func(o *intake.Options) {
		o.Sources = []intake.Source{bearer{}}
		o.Limits = map[string]intake.Limits{"bearer": {MaxBody: 1000}}
	})
	server := httptest.NewServer(r)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	deliver := func(id string, size int64, body io.Reader) (int, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/hooks/bearer", body)
		if err != nil {
			return 0, err
		}
		req.ContentLength = size
		req.Header.Set("X-Delivery", id)
		res, err := server.Client().Do(req)
		if err != nil {
			return 0, err
		}
		_ = res.Body.Close()
		return res.StatusCode, nil
	}
	start := []byte(`{"title":"x","items":[` + strings.Repeat(`"0123456789",`, 2<<20) + `"`) // 26 MiB, more than is read of it and the buffers hold
	rest := []byte(strings.Repeat("x", 1<<20) + `"]}`)
	var slow []*io.PipeWriter
	answers := make(chan int, 2)
	for n := range 2 { // as many as there are slots
		read, write := io.Pipe()
		slow = append(slow, write)
		go func() {
			status, err := deliver(fmt.Sprint("slow", n), int64(len(start)+len(rest)), read)
			if err != nil {
				t.Error(err)
			}
			answers <- status
		}()
	}
	for _, write := range slow {
		if _, err := write.Write(start); err != nil {
			t.Fatal(err)
		}
	}
	body := `{"title":"y","items":["` + strings.Repeat("y", 5000) + `"]}`
	if status, err := deliver("other", int64(len(body)), strings.NewReader(body)); status != http.StatusAccepted {
		t.Errorf("got status %d, error %v for a large body beside slow ones, want 202", status, err)
	}
	for _, write := range slow {
		_, _ = write.Write(rest)
		_ = write.Close()
		if status := <-answers; status != http.StatusAccepted {
			t.Errorf("got status %d for a slow body, want 202", status)
		}
	}
}
