package detect_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"tocsin/bot/detect"
)

const recordFormat = `{"eventName":"E","eventID":"%d"}`

// readAll returns the event IDs and the problems of a stream.
func readAll(t testing.TB, src io.Reader) (ids string, problems []string, counts detect.Counts, err error) {
	t.Helper()
	counts, err = detect.Read(src, func(r *detect.Record) error { ids += r.EventID() + " "; return nil },
		func(p detect.Problem) { problems = append(problems, p.Error()) })
	return strings.TrimSpace(ids), problems, counts, err
}

func gzipped(parts ...string) string {
	var b bytes.Buffer
	for _, p := range parts {
		z := gzip.NewWriter(&b)
		_, _ = z.Write([]byte(p))
		_ = z.Close()
	}
	return b.String()
}

func TestRead(t *testing.T) {
	r1, r2, r3 := fmt.Sprintf(recordFormat, 1), fmt.Sprintf(recordFormat, 2), fmt.Sprintf(recordFormat, 3)
	envelope := `{"version":"0","id":"x","detail-type":"AWS API Call via CloudTrail","source":"aws.iam","detail":` + r1 + `}`
	for _, c := range []struct {
		name, src, ids string
		problems       []string
	}{
		{"records", `{"Records":[` + r1 + `,` + r2 + `]}`, "1 2", nil},
		{"records with spaces", "\xef\xbb\xbf {\n \"Records\" : [\n" + r1 + " ,\n" + r2 + "\n]\n}\n", "1 2", nil},
		{"records after other keys", `{"a":[1],"Records":[` + r1 + `],"b":{}}`, "1", nil},
		{"keys after the records", `{"Records":[` + r1 + `],"b":{"c":"]}"}}` + r2, "1 2", nil},
		{"array", `[` + r1 + `,` + r2 + `]`, "1 2", nil},
		{"lines", r1 + "\n" + r2 + "\r\n\n" + r3, "1 2 3", nil},
		{"adjacent objects", r1 + r2, "1 2", nil},
		{"envelope", envelope, "1", nil},
		{"envelopes on lines", envelope + "\n" + envelope, "1 1", nil},
		{"array of envelopes and records", `[` + envelope + `,` + r2 + `]`, "1 2", nil},
		{"adjacent files", `{"Records":[` + r1 + `]}` + "\n" + `{"Records":[` + r2 + `]}`, "1 2", nil},
		{"gzip", gzipped(`{"Records":[` + r1 + `]}`), "1", nil},
		{"gzip members", gzipped(r1+"\n", r2), "1 2", nil},
		{"empty", "", "", nil},
		{"empty object", "{}", "", nil},
		{"no records", `{"Records":[]}`, "", nil},
		{"null records", `{"Records":null}`, "", nil},
		{"digest file", `{"awsAccountId":"1","digestStartTime":"x"}`, "", nil},
		{"other event", `{"detail-type":"EC2 Instance State-change Notification","detail":{"state":"running"}}`, "", nil},
		{"invalid record among valid ones", `{"Records":[` + r1 + `,{"eventName":"x","eventName":"y"},` + r3 + `]}`, "1 3", []string{`the key "eventName" is repeated`}},
		{"other values among records", `{"Records":[` + r1 + `,7,"x",null,[` + r2 + `],` + r3 + `]}`, "1 3", []string{"not a JSON object", "not a JSON object", "not a JSON object", "not a JSON object"}},
		{"other object among records", `[` + r1 + `,{"x":1},` + r3 + `]`, "1 3", []string{"not a CloudTrail record"}},
		{"invalid line", r1 + "\n{\"eventName\":}\n" + r3, "1 3", []string{"at byte 45: not a JSON value"}},
		{"line of text", r1 + "\nhello {\n" + r3, "1 3", []string{"not a JSON object"}},
		{"incomplete record", `{"Records":[` + r1 + `,{"eventName":"x`, "1", []string{"ends within a record", "ends within an array"}},
		{"file without its last bracket", `{"Records":[` + r1 + `]`, "1", []string{"ends within a value"}},
		{"file of a later key without its last bracket", `{"a":1,"Records":[` + r1 + `,` + r2, "1 2", []string{"ends within an array"}},
		{"broken lines", r1 + "\n{\"eventName\":{\n" + r2 + "\n{\"eventName\":\"x\n" + r3, "1 2 3", []string{"line ends within a record", "line ends within a record"}},
		{"wrong bracket", `[` + r1 + `}` + r2, "1 2", []string{"wrong bracket"}},
		{"only brackets", "[}]", "", []string{"wrong bracket", "not a JSON object"}},
		{"invalid UTF-8", `[{"eventName":"` + "\xff" + `"},` + r2 + `]`, "2", []string{"UTF-8"}},
		{"invalid record on several lines", "{\n\"eventName\":tru,\n\"x\":{}}\n" + r2, "2", []string{"not a JSON value"}},
	} {
		for how, src := range map[string]io.Reader{
			"large reads": strings.NewReader(c.src), "single bytes": iotest.OneByteReader(strings.NewReader(c.src)),
			"data with EOF": iotest.DataErrReader(strings.NewReader(c.src)),
		} {
			ids, problems, counts, err := readAll(t, src)
			if err != nil || ids != c.ids || len(problems) != len(c.problems) || counts.Invalid != len(problems) {
				t.Errorf("%s, %s: got records %q, problems %q, counts %+v, error %v, want records %q, problems %q", c.name, how, ids, problems, counts, err, c.ids, c.problems)
				continue
			}
			for i, want := range c.problems {
				if !strings.Contains(problems[i], want) {
					t.Errorf("%s, %s: got problem %q, want %q", c.name, how, problems[i], want)
				}
			}
		}
	}
}

func TestRead_Limits(t *testing.T) {
	whole := gzipped(fmt.Sprintf(recordFormat, 1))
	if _, _, _, err := readAll(t, strings.NewReader(whole[:len(whole)-9])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("truncated gzip: got error %v, want %v", err, io.ErrUnexpectedEOF)
	}
	if _, _, _, err := readAll(t, strings.NewReader("\x1f\x8bnonsense")); err == nil {
		t.Error("invalid gzip: got no error")
	}
	var bomb bytes.Buffer
	z, _ := gzip.NewWriterLevel(&bomb, gzip.BestSpeed)
	block := bytes.Repeat([]byte(" "), 1<<20)
	for range 200 {
		_, _ = z.Write(block)
	}
	_ = z.Close()
	if _, _, _, err := readAll(t, &bomb); err == nil || !strings.Contains(err.Error(), "too large for its compressed size") {
		t.Errorf("gzip bomb: got error %v", err)
	}
	huge := `[{"eventName":"` + strings.Repeat("x", detect.MaxRecord+10) + `"},` + fmt.Sprintf(recordFormat, 2) + `]`
	ids, problems, _, err := readAll(t, strings.NewReader(huge))
	if err != nil || ids != "2" || len(problems) != 1 || !strings.Contains(problems[0], "larger than") {
		t.Errorf("too large record: got records %q, problems %q, error %v", ids, problems, err)
	}
	stop := errors.New("stop")
	if _, err := detect.Read(strings.NewReader(`{"Records":[`+fmt.Sprintf(recordFormat, 1)+`]}`), func(*detect.Record) error { return stop }, nil); !errors.Is(err, stop) {
		t.Errorf("error of each: got error %v, want %v", err, stop)
	}
	if _, _, _, err := readAll(t, iotest.ErrReader(stop)); !errors.Is(err, stop) {
		t.Errorf("error of the source: got error %v, want %v", err, stop)
	}
}

func TestDecodeRecord_Values(t *testing.T) {
	deep := strings.Repeat(`{"a":`, detect.MaxDepth) + "1" + strings.Repeat("}", detect.MaxDepth)
	if _, err := detect.DecodeRecord([]byte(deep)); err != nil {
		t.Errorf("deepest nesting: got error %v", err)
	}
	many := new(strings.Builder)
	for i := range 200 {
		fmt.Fprintf(many, `"k%d":1,`, i)
	}
	for src, reason := range map[string]string{
		``: "ends within", `{`: "ends within", `[]`: "not a JSON object", `"x"`: "not a JSON object", `{} x`: "unexpected text after",
		`{"a":1,"a":2}`: "repeated", `{"a":{"b":1,"c":2,"b":3}}`: "repeated", `{"a":1,"\u0061":2}`: "repeated",
		`{` + many.String() + `"k150":1}`: "repeated", `{` + many.String() + `"k199":1}`: "repeated",
		`{"a":01}`: "comma", `{"a":1.}`: "not a JSON value", `{"a":+1}`: "not a JSON value", `{"a":NaN}`: "not a JSON value", `{"a":tru}`: "not a JSON value",
		`{"a":1,}`: "key must be a string", `{a:1}`: "key must be a string", `{"a" 1}`: "colon", `{"a":[1 2]}`: "comma",
		`{"a":"\x"}`: "unknown escape", `{"a":"\u12g4"}`: "hexadecimal", "{\"a\":\"\x01\"}": "control character", "{\"a\":\"\xc3\"}": "UTF-8",
		"{\"a\":\"\\n\xc3\"}": "UTF-8", `{"a":` + deep + `}`: "deeper than",
	} {
		_, err := detect.DecodeRecord([]byte(src))
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%.60s: got error %v, want %s", src, err, reason)
		}
	}
	r, err := detect.DecodeRecord([]byte(`{"s":"\ud83d\ude00 \ud800 \u00e9\n\"\\\/","n":1e400,"m":-0.50,"a":{"b":[{"c":1},{"c":2}]},"z":null,"eventTime":"2026-01-02T03:04:05Z"}`))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"s": "😀 \ufffd é\n\"\\/", "n": "1e400", "m": "-0.5", "a.b.c": "1", "a.b": `[{"c":1},{"c":2}]`, "z": "", "none": ""} {
		if got := r.Field(path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	if r.Time().Hour() != 3 {
		t.Errorf("got time %v, want 03:04:05", r.Time())
	}
	for given, want := range map[string]bool{
		"2026-01-02T03:04:05Z": true, "2026-01-02T04:04:05+01:00": true, "2026-01-02 03:04:05": true, "2026-01-02 03:04:05.000000000": true, "2026-01-02T03:04:05": true,
		"1767323045000": true, "": false, "03:04:05": false, "soon": false,
	} {
		decoded, err := detect.DecodeRecord([]byte(`{"eventTime":"` + given + `"}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := decoded.Time(); got.IsZero() == want || want && !got.Equal(r.Time()) {
			t.Errorf("%q: got %v, want the time of the record: %t", given, got, want)
		}
	}
}
