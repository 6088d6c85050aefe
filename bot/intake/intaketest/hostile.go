package intaketest

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"tocsin/bot/incident"
	"tocsin/bot/intake"
)

// SourceCase is a source under test, with requests of its sender.
type SourceCase struct {
	Source  intake.Source
	Genuine []byte                        // a body that the sender sends, one JSON object
	Signed  func(body []byte) http.Header // returns the headers with the credential for a body
	// CredentialInBody is true if the credential is a field of the body. A body
	// without the sender's object is then rejected for the missing credential.
	CredentialInBody bool
	Now              time.Time // time of the edge's clock, default time.Now()
}

// internalPatterns matches details that a reply must not disclose: Go types, files,
// addresses and error texts of libraries.
var internalPatterns = regexp.MustCompile(`json:|jsontext|cannot unmarshal|into Go|Go (struct|value|type)|struct field|\.go\b|goroutine|runtime|panic|interface ?\{|map\[|0x[0-9a-f]{6}|%!|tocsin/|bot/|/root|/work|<nil>|\*?(sentry|pagerduty|cloudtrail|sns|alertmanager|generic|hackerone)\.[a-z]`)

// hostileBody is a request body and the expected result.
type hostileBody struct {
	name, body  string
	wantMessage string // part of the reason why the drain cannot read it, or "" for one JSON document
	hasOriginal bool   // the body contains the genuine one with its credential
}

// hostileBodies returns malformed and unusual bodies, most of them derived from a
// genuine one.

func hostileBodies(genuine string) []hostileBody {
	open := strings.TrimSuffix(strings.TrimSpace(genuine), "}")
	with := func(member string) string { return open + `,` + member + `}` }
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	objects := strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)
	digits := strings.Repeat("9", 400)
	return []hostileBody{
		{"genuine", genuine, "", true},
		{"trailing line break", genuine + "\r\n", "", true},
		{"unknown key", with(`"zz":{"zz":[1,null,true]}`), "", true},
		{"escaped NUL", with(`"zz":"a\u0000b"`), "", true},
		{"lone surrogate", with(`"zz":"\ud800","yy":"\udc00\ud800"`), "", true},
		{"very long string", with(`"zz":"` + strings.Repeat("x", 500_000) + `"`), "", true},
		{"many small keys", with(`"zz":[` + strings.Repeat(`{},`, 100_000) + `{}]`), "", true},
		{"10,000 nested arrays", with(`"zz":` + deep), "the body is nested deeper than 200 levels at /zz", true},
		{"10,000 nested objects", with(`"zz":` + objects), "the body is nested deeper than 200 levels at /zz", true},
		{"100,000 open brackets", strings.Repeat("[", 100_000), "the body is nested deeper than 200 levels", false},
		{"number 1e999999", with(`"zz":{"n":1e999999}`), "a number is too large at /zz/n (byte ", true},
		{"number -1e400", with(`"zz":[1,-1e400]`), "a number is too large at /zz/1 (byte ", true},
		{"integer of 400 digits", with(`"zz":` + digits), "a number is too large at /zz (byte ", true},
		{"invalid UTF-8", with("\"zz\":\"a\xffb\""), "the body is not valid UTF-8 (byte ", true},
		{"surrogate encoded as UTF-8", with("\"zz\":\"\xed\xa0\x80\""), "the body is not valid UTF-8 (byte ", true},
		{"invalid UTF-8 in a key", with("\"z\xc3\":1"), "the body is not valid UTF-8 (byte ", true},
		{"repeated key", with(`"zz":1,"yy":2,"zz":3`), "a key is repeated at /zz (byte ", true},
		{"repeated key, escaped", with(`"zz":1,"\u007a\u007a":3`), "a key is repeated at /zz (byte ", true},
		{"repeated key, nested", with(`"zz":[{"a":{"b":1,"b":2}}]`), "a key is repeated at /zz/0/a/b (byte ", true},
		{"all members repeated in one object", open + "," + strings.TrimPrefix(strings.TrimSpace(genuine), "{"), "a key is repeated at /", true},
		{"raw NUL", with("\"zz\":\"a\x00b\""), "the body is not JSON at /zz (byte ", true},
		{"trailing NUL", genuine + "\x00", "the body is not JSON (byte ", true},
		{"trailing comma", open + ",}", "the body is not JSON", true},
		{"truncated", open, "the JSON ends early", true},
		{"two documents", genuine + "{}", "the body contains more than one JSON document", true},
		{"lines of documents", genuine + "\n" + genuine, "the body contains more than one JSON document", true},
		{"byte order mark", "\ufeff" + genuine, "", true},
		{"two byte order marks", "\ufeff\ufeff" + genuine, "the body is not JSON (byte 0)", true},
		{"UTF-16", utf16Text(genuine), "", true},
		{"UTF-16, cut off", utf16Text(genuine[:len(genuine)/2]), "the JSON ends early", true},
		{"empty", "", "the body is empty", false},
		{"1 MiB of spaces", strings.Repeat(" ", 1<<20), "the body is empty", false},
		{"more than 1 MiB", strings.Repeat(" ", 1<<20+1), "the body is empty", false}, // refused unless its sender is known before
		{"null", "null", "", false},
		{"empty array", "[]", "", false},
		{"string", `"x"`, "", false},
		{"number", "7", "", false},
		{"empty object", "{}", "", false},
		{"NaN", `NaN`, "the body is not JSON (byte 0)", false},
		{"form", "payload=%7B%7D", "the body is not JSON (byte 0)", false},
		{"XML", `<?xml version="1.0"?><a/>`, "the body is not JSON (byte 0)", false},
	}
}

// utf16Text returns s in UTF-16 with a byte order mark.
func utf16Text(s string) string {
	out := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(s)) {
		out = binary.LittleEndian.AppendUint16(out, unit)
	}
	return string(out)
}

// Hostile posts malformed and unusual bodies, each with a valid credential, to an
// Edge over HTTP. The Edge must store a body byte for byte, and the drain must report one
// that is not a JSON document. A source with the credential in the body may reject it with
// a 4xx status. Messages and reasons must describe the problem without text of a library.
func Hostile(t *testing.T, c SourceCase) {
	t.Helper()
	for _, h := range hostileBodies(string(c.Genuine)) {
		t.Run(h.name, func(t *testing.T) {
			e := newTestEdge(t, c)
			status, code, message := e.post(t, c, []byte(h.body), "")
			stored := e.stored()
			switch {
			case internalPatterns.MatchString(message) || strings.ContainsFunc(message, func(r rune) bool { return r < ' ' }) || len(message) > 400:
				t.Errorf("message discloses internals, has control characters or is too long: %.500q", message)
			case status == http.StatusAccepted && (len(stored) != 1 || !bytes.Equal(stored[0].Body, []byte(h.body)[:min(len(h.body), 1<<20)])):
				t.Errorf("got status 202 with %d stored deliveries, want 1 with an unchanged body", len(stored))
			case status != http.StatusAccepted && (len(stored) != 0 || status/100 != 4 || code == "" || message == ""):
				t.Errorf("got status %d, code %q, message %q and %d stored deliveries, want 4xx with a message and none", status, code, message, len(stored))
			case c.CredentialInBody && !h.hasOriginal: // rejected for the missing credential or for the body
				if status == http.StatusAccepted {
					t.Errorf("got status 202 without a credential")
				}
			case h.wantMessage == "" && !h.hasOriginal && status == http.StatusBadRequest: // a source may require more than JSON
			case h.wantMessage == "" && status != http.StatusAccepted:
				t.Errorf("got status %d, code %q, message %q, want 202", status, code, message)
			case h.wantMessage != "" && (status == http.StatusAccepted) == c.CredentialInBody && status != http.StatusRequestEntityTooLarge:
				t.Errorf("got status %d, code %q, message %q, want 202 unless the credential is in the body", status, code, message)
			}
			e.drain(t, c)
			if failed := e.failed(); status == http.StatusAccepted && h.wantMessage != "" && !strings.Contains(failed, h.wantMessage) {
				t.Errorf("got the reason %q, want %q in it", failed, h.wantMessage)
			}
		})
	}
	t.Run("compressed", func(t *testing.T) {
		e := newTestEdge(t, c)
		status, code, message := e.post(t, c, c.Genuine, "gzip")
		if status != http.StatusUnsupportedMediaType || code != "compressed" || !strings.Contains(message, "gzip") || len(e.stored()) != 0 {
			t.Errorf("got status %d, code %q, message %q, want 415 compressed", status, code, message)
		}
	})
}

// testEdge is an Edge behind an HTTP server. It is also the Edge's store and desk.
type testEdge struct {
	*intake.Edge
	url string

	mu       sync.Mutex
	rows     []intake.Row
	ingested []incident.DecodedDelivery
}

func newTestEdge(t *testing.T, c SourceCase) *testEdge {
	t.Helper()
	e := &testEdge{}
	now := c.Now
	if now.IsZero() {
		now = time.Now()
	}
	e.Edge = intake.New(intake.Options{Store: e, Desk: e, Sources: []intake.Source{c.Source}, Clock: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler)})
	server := httptest.NewServer(e.Edge)
	t.Cleanup(func() {
		server.Close()
		_ = e.Close()
	})
	e.url = server.URL + "/hooks/" + c.Source.Name()
	return e
}

// post sends a body with its credential and returns the reply.
func (e *testEdge) post(t *testing.T, c SourceCase, body []byte, encoding string) (status int, code, message string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = c.Signed(body).Clone()
	req.Header.Set("Content-Type", "application/json")
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err = io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatalf("got status %d with body %q, want JSON", res.StatusCode, body)
	}
	return res.StatusCode, answer.Error.Code, answer.Error.Message
}

// drain drains the stored deliveries and checks the reasons of decode failures.
func (e *testEdge) drain(t *testing.T, c SourceCase) {
	t.Helper()
	if err := e.Drain(t.Context(), 0, 10); err != nil {
		t.Fatalf("drain: %v", err)
	}
	for _, row := range e.stored() {
		header := http.Header{}
		for k, v := range row.Header {
			header.Set(k, v)
		}
		_, _ = Decode(t, c.Source, header, row.Body)
	}
	for _, d := range e.ingested {
		if internalPatterns.MatchString(d.Failed) {
			t.Errorf("reason of the decode failure discloses internals: %.500q", d.Failed)
		}
	}
}

// failed returns the reason why the last delivery cannot be read, or "".
func (e *testEdge) failed() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.ingested) == 0 {
		return ""
	}
	return e.ingested[len(e.ingested)-1].Failed
}

func (e *testEdge) stored() []intake.Row {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rows
}

// Accept implements intake.Store.
func (e *testEdge) Accept(_ context.Context, ds []intake.Delivery) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, d := range ds {
		e.rows = append(e.rows, intake.Row{ID: int64(len(e.rows) + 1), Delivery: d})
	}
	return nil
}

// Rows implements intake.Store.
func (e *testEdge) Rows(context.Context, int64, int64) ([]intake.Row, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rows[len(e.ingested):], nil
}

// Ingest implements intake.Desk.
func (e *testEdge) Ingest(_ context.Context, batch []incident.DecodedDelivery) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ingested = append(e.ingested, batch...)
	return nil
}
