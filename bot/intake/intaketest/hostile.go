package intaketest

import (
	"bytes"
	"context"
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

	"tocsin/bot/incident"
	"tocsin/bot/intake"
)

// SourceCase is a source as its sender sees it.
type SourceCase struct {
	Source  intake.Source
	Genuine []byte                        // a body that its sender sends: one JSON object
	Signed  func(body []byte) http.Header // the credential for a body
	// Inside says that the credential is a field of the body, so that a body that is
	// no object of the sender's is refused for want of it, whatever else is wrong.
	CredentialInBody bool
	Now              time.Time // by the clock of the edge
}

// internalPatterns are what an answer may not show: our types, files and addresses, and
// the words of the libraries that we use.
var internalPatterns = regexp.MustCompile(`json:|jsontext|cannot unmarshal|into Go|Go (struct|value|type)|struct field|\.go\b|goroutine|runtime|panic|interface ?\{|map\[|0x[0-9a-f]{6}|%!|tocsin/|bot/|/root|/work|<nil>|\*?(sentry|pagerduty|cloudtrail|sns|alertmanager|generic|hackerone)\.[a-z]`)

// hostileBody is a body, and what its sender is told: "" stands for 202.
type hostileBody struct {
	name, body  string
	wantMessage string // what the message begins with
	signed      bool   // the body is made from a genuine one, which a credential inside still covers
}

func hostileBodies(genuine string) []hostileBody {
	open := strings.TrimSuffix(strings.TrimSpace(genuine), "}")
	with := func(member string) string { return open + `,` + member + `}` }
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	objects := strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)
	digits := strings.Repeat("9", 400)
	return []hostileBody{
		{"genuine", genuine, "", true},
		{"a line break at the end", genuine + "\r\n", "", true},
		{"a key that nobody knows", with(`"zz":{"zz":[1,null,true]}`), "", true},
		{"NUL, escaped", with(`"zz":"a\u0000b"`), "", true},
		{"half of a surrogate pair", with(`"zz":"\ud800","yy":"\udc00\ud800"`), "", true},
		{"a very long text", with(`"zz":"` + strings.Repeat("x", 500_000) + `"`), "", true},
		{"many small keys", with(`"zz":[` + strings.Repeat(`{},`, 100_000) + `{}]`), "", true},
		{"10,000 lists within each other", with(`"zz":` + deep), "the body is nested deeper than 200 levels at /zz", true},
		{"10,000 objects within each other", with(`"zz":` + objects), "the body is nested deeper than 200 levels at /zz", true},
		{"100,000 brackets", strings.Repeat("[", 100_000), "the body is nested deeper than 200 levels", false},
		{"1e999999", with(`"zz":{"n":1e999999}`), "a number is too large at /zz/n (byte ", true},
		{"-1e400", with(`"zz":[1,-1e400]`), "a number is too large at /zz/1 (byte ", true},
		{"an int of 400 digits", with(`"zz":` + digits), "a number is too large at /zz (byte ", true},
		{"bad UTF-8", with("\"zz\":\"a\xffb\""), "the text is not valid UTF-8 (byte ", true},
		{"UTF-8 of a surrogate", with("\"zz\":\"\xed\xa0\x80\""), "the text is not valid UTF-8 (byte ", true},
		{"a key of bad UTF-8", with("\"z\xc3\":1"), "the text is not valid UTF-8 (byte ", true},
		{"a repeated key", with(`"zz":1,"yy":2,"zz":3`), "a key is repeated at /zz (byte ", true},
		{"a repeated key, escaped", with(`"zz":1,"\u007a\u007a":3`), "a key is repeated at /zz (byte ", true},
		{"a repeated key, deep inside", with(`"zz":[{"a":{"b":1,"b":2}}]`), "a key is repeated at /zz/0/a/b (byte ", true},
		{"the whole body twice over in one object", open + "," + strings.TrimPrefix(strings.TrimSpace(genuine), "{"), "a key is repeated at /", true},
		{"NUL, raw", with("\"zz\":\"a\x00b\""), "the body is not JSON at /zz (byte ", true},
		{"NUL after the end", genuine + "\x00", "the body is not JSON (byte ", true},
		{"a comma too many", open + ",}", "the body is not JSON", true},
		{"cut off", open, "the JSON ends early", true},
		{"two documents", genuine + "{}", "the body holds more than one JSON document", true},
		{"lines of documents", genuine + "\n" + genuine, "the body holds more than one JSON document", true},
		{"a byte order mark", "\ufeff" + genuine, "the body is not JSON (byte 0)", true},
		{"empty", "", "the body is empty", false},
		{"1 MiB of spaces", strings.Repeat(" ", 1<<20), "the body is empty", false},
		{"more than 1 MiB", strings.Repeat(" ", 1<<20+1), "the body is larger than 1048576 bytes", false},
		{"null", "null", "", false},
		{"a list", "[]", "", false},
		{"a text", `"x"`, "", false},
		{"a number", "7", "", false},
		{"an object", "{}", "", false},
		{"not a number", `NaN`, "the body is not JSON (byte 0)", false},
		{"a form", "payload=%7B%7D", "the body is not JSON (byte 0)", false},
		{"XML", `<?xml version="1.0"?><a/>`, "the body is not JSON (byte 0)", false},
	}
}

// Hostile posts bodies of every malice, with the source's own credential, to a
// real edge. Each is either kept, byte for byte, or refused with a status that
// the sender will not repeat and a message that says what is wrong and where, in
// words that are not our libraries'. What is kept and cannot be read is told to
// a person in such words, too.
func Hostile(t *testing.T, d SourceCase) {
	t.Helper()
	for _, h := range hostileBodies(string(d.Genuine)) {
		t.Run(h.name, func(t *testing.T) {
			r := newTestEdge(t, d)
			status, code, message := r.post(t, d, []byte(h.body), "")
			kept := r.stored()
			switch {
			case internalPatterns.MatchString(message) || strings.ContainsFunc(message, func(r rune) bool { return r < ' ' }) || len(message) > 400:
				t.Errorf("the sender is told of our insides: %.500q", message)
			case status == http.StatusAccepted && (len(kept) != 1 || !bytes.Equal(kept[0].Body, []byte(h.body))):
				t.Errorf("answered 202 and kept %d deliveries, or not as they came", len(kept))
			case status != http.StatusAccepted && (len(kept) != 0 || status/100 != 4 || code == "" || message == ""):
				t.Errorf("answered %d %s %q and kept %d deliveries", status, code, message, len(kept))
			case d.CredentialInBody && !h.signed: // refused for want of the credential, or for the fault
				if status == http.StatusAccepted {
					t.Errorf("let in without a credential")
				}
			case h.wantMessage == "" && !h.signed && status == http.StatusBadRequest: // a source may want more than JSON
			case h.wantMessage == "" && status != http.StatusAccepted:
				t.Errorf("answered %d %s %q, want 202", status, code, message)
			case h.wantMessage != "" && !strings.HasPrefix(message, h.wantMessage) && (!d.CredentialInBody || status == http.StatusAccepted):
				t.Errorf("answered %d %s %q, want %q", status, code, message, h.wantMessage)
			}
			r.drain(t, d)
		})
	}
	t.Run("compressed", func(t *testing.T) {
		r := newTestEdge(t, d)
		status, code, message := r.post(t, d, d.Genuine, "gzip")
		if status != http.StatusUnsupportedMediaType || code != "compressed" || !strings.Contains(message, "gzip") || len(r.stored()) != 0 {
			t.Errorf("answered %d %s %q", status, code, message)
		}
	})
}

// testEdge is a real edge over HTTP, with a store and a desk that remember.
type testEdge struct {
	*intake.Edge
	url string

	mu       sync.Mutex
	rows     []intake.Row
	ingested []incident.DecodedDelivery
}

func newTestEdge(t *testing.T, d SourceCase) *testEdge {
	t.Helper()
	r := &testEdge{}
	now := d.Now
	if now.IsZero() {
		now = time.Now()
	}
	r.Edge = intake.New(intake.Options{Store: r, Desk: r, Sources: []intake.Source{d.Source}, Clock: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler)})
	server := httptest.NewServer(r.Edge)
	t.Cleanup(func() {
		server.Close()
		_ = r.Close()
	})
	r.url = server.URL + "/hooks/" + d.Source.Name()
	return r
}

// post sends a body and returns what was answered.
func (r *testEdge) post(t *testing.T, d SourceCase, body []byte, encoding string) (status int, code, message string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = d.Signed(body).Clone()
	req.Header.Set("Content-Type", "application/json")
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	said, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal(said, &answer); err != nil {
		t.Fatalf("answered %d %q, which is no JSON", res.StatusCode, said)
	}
	return res.StatusCode, answer.Error.Code, answer.Error.Message
}

// drain drains what was kept, and looks at what people are told of it.
func (r *testEdge) drain(t *testing.T, d SourceCase) {
	t.Helper()
	if err := r.Drain(t.Context(), 0, 10); err != nil {
		t.Fatalf("drain: %v", err)
	}
	for _, row := range r.stored() {
		header := http.Header{}
		for k, v := range row.Header {
			header.Set(k, v)
		}
		_, _ = Decode(t, d.Source, header, row.Body)
	}
	for _, told := range r.ingested {
		if internalPatterns.MatchString(told.Failed) {
			t.Errorf("a person is told of our insides: %.500q", told.Failed)
		}
	}
}

func (r *testEdge) stored() []intake.Row {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rows
}

// Accept implements intake.Store.
func (r *testEdge) Accept(_ context.Context, ds []intake.Delivery) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range ds {
		r.rows = append(r.rows, intake.Row{ID: int64(len(r.rows) + 1), Delivery: d})
	}
	return nil
}

// Rows implements intake.Store.
func (r *testEdge) Rows(context.Context, int64, int64) ([]intake.Row, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rows[len(r.ingested):], nil
}

// Ingest implements intake.Desk.
func (r *testEdge) Ingest(_ context.Context, batch []incident.DecodedDelivery) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ingested = append(r.ingested, batch...)
	return nil
}
