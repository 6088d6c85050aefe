package trail_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"pgregory.net/rapid"

	"tocsin/bot/intake/intaketest"
	"tocsin/bot/trail"
)

// taken splits a file and returns its records and the number of broken ones.
func taken(r io.Reader) (records []string, broken int, err error) {
	err = trail.Split(r, func(raw []byte, bad bool) error {
		if bad {
			broken++
		} else {
			records = append(records, string(raw))
		}
		return nil
	})
	return records, broken, err
}

func TestSplit(t *testing.T) {
	a, b, c := `{"a":1}`, `{"b":"}],\"{"}`, `{"c":[{"d":[]}]}`
	long := `{"x":"` + strings.Repeat("y", trail.MaxRecord) + `"}`
	for _, tt := range []struct {
		name, in string
		want     []string
		broken   int
		wantErr  bool
	}{
		{"empty", "", nil, 0, false},
		{"white space", " \r\n\t", nil, 0, false},
		{"file", `{"Records":[` + a + `,` + b + `,` + c + `]}`, []string{a, b, c}, 0, false},
		{"no records", `{"Records":[]}`, nil, 0, false},
		{"records are null", `{"Records":null}`, []string{`{"Records":null}`}, 0, false},
		{"other keys", `{"x":{"Records":[1]},"Records":[` + a + `],"y":[` + b + `]}`, []string{a}, 0, false},
		{"string Records", `{"x":"Records","y":[` + a + `]}`, []string{`{"x":"Records","y":[` + a + `]}`}, 0, false},
		{"file on several lines", "{\n  \"Records\" : [\n    {\n  \"a\":1}\n ,\n " + b + "\n  ]\n}\n", []string{"{\n  \"a\":1}", b}, 0, false},
		{"array", `[` + a + `,` + b + `]`, []string{a, b}, 0, false},
		{"array on several lines", "[\n" + a + ",\n" + b + "\n]\n", []string{a, b}, 0, false},
		{"array of one on several lines", "[\n" + a + "\n]\n", []string{a}, 0, false},
		{"bare record", c, []string{c}, 0, false},
		{"bare record on several lines", "{\n\"c\":[{\"d\":[]}]\n}", []string{`{"c":[{"d":[]}]}`}, 0, false},
		{"lines", a + "\n" + b + "\r\n\n" + c, []string{a, b, c}, 0, false},
		{"lines with commas", a + ",\n" + b + ",\n" + c + "\n", []string{a, b, c}, 0, false},
		{"files on lines", `{"Records":[` + a + `]}` + "\n" + `{"Records":[` + b + `]}`, []string{a, b}, 0, false},
		{"concatenated files", `{"Records":[` + a + `]}{"Records":[` + b + `]}`, []string{a, b}, 0, false},
		{"concatenated records", a + b + " " + c, []string{a, b, c}, 0, false},
		{"broken line", a + "\n" + `{"a":"x` + "\n" + b + "\n", []string{a, b}, 1, false},
		{"unclosed line", a + "\n" + `{"a":{` + "\n" + b + "\n", []string{a, b}, 1, false},
		{"broken first line", `{"a":"x` + "\n" + b + "\n" + c + "\n", []string{b, c}, 1, false},
		{"truncated last line", a + "\n" + b + "\n" + `{"c":`, []string{a, b}, 1, false},
		{"text line", a + "\nhello\n" + b, []string{a, b}, 1, false},
		{"bad record", `{"Records":[` + a + `,{"a":tru},` + b + `]}`, []string{a, `{"a":tru}`, b}, 0, false},
		{"scalars", `{"Records":[1, "x" ,null,` + a + `]}`, []string{"1", `"x"`, "null", a}, 0, false},
		{"too large", `{"Records":[` + a + `,` + long + `,` + b + `]}`, []string{a, b}, 1, false},
		{"too large and bare", long, nil, 1, false},
		{"truncated in a record", `{"Records":[` + a + `,{"b":`, []string{a}, 0, true},
		{"truncated between records", `{"Records":[` + a + `,`, []string{a}, 0, true},
		{"truncated at the end", `{"Records":[` + a + `]`, []string{a}, 0, true},
		{"deeply nested", `{"Records":[` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `,` + a + `]}`, []string{strings.Repeat("[", 1000) + strings.Repeat("]", 1000), a}, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, r := range map[string]io.Reader{"at once": strings.NewReader(tt.in), "byte by byte": iotest.OneByteReader(strings.NewReader(tt.in))} {
				got, broken, err := taken(r)
				if !slices.Equal(got, tt.want) || broken != tt.broken || (err != nil) != tt.wantErr {
					t.Errorf("%s: got %.300q, %d broken, error %v, want %.300q, %d broken, error %v", name, got, broken, err, tt.want, tt.broken, tt.wantErr)
				}
			}
		})
	}
}

// The records of a file are emitted unchanged and in order, in every form of a file.
func TestSplit_EmitsAllRecords(t *testing.T) {
	value := rapid.MapOf(rapid.String(), rapid.OneOf(rapid.Just(any(nil)), rapid.Map(rapid.String(), func(s string) any { return s }),
		rapid.Map(rapid.Int(), func(i int) any { return i }), rapid.Just(any([]any{"}", "]", map[string]any{"Records": []any{1}}}))))
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 20).Draw(t, "records")
		var raw, want []string
		for range n {
			m := value.Draw(t, "record")
			delete(m, "Records")
			b, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			raw, want = append(raw, string(b)), append(want, string(b))
		}
		form := rapid.SampledFrom([]string{"file", "array", "lines", "members"}).Draw(t, "form")
		var file string
		switch form {
		case "file":
			file = `{"k":["Records"],"Records":[` + strings.Join(raw, ", ") + `],"z":{}}`
		case "array":
			file = "[\n" + strings.Join(raw, ",\n") + "\n]"
		case "lines":
			file = strings.Join(raw, "\n")
		case "members":
			for _, r := range raw {
				file += `{"Records":[` + r + `]}`
			}
		}
		got, broken, err := taken(strings.NewReader(file))
		if err != nil || broken > 0 || !slices.Equal(got, want) {
			t.Fatalf("%s: got %q, %d broken, error %v, want %q", file, got, broken, err, want)
		}
	})
}

func TestUnpack(t *testing.T) {
	text := strings.Repeat("log ", 1000)
	for name, in := range map[string][]byte{"plain": []byte(text), "packed": gzipped(text), "several members": gzipped(text[:100], text[100:300], text[300:])} {
		r, err := trail.Unpack(bytes.NewReader(in), 1<<20, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != text {
			t.Errorf("%s: got %d bytes, error %v, want the text", name, len(got), err)
		}
	}
	for name, tt := range map[string]struct {
		in                    []byte
		maxObject, maxContent int64
	}{
		"too large":          {[]byte(text), 100, 1 << 20},
		"too large packed":   {gzipped(text), 10, 1 << 20},
		"too large unpacked": {gzipped(text), 1 << 20, 1000},
		"a bomb":             {gzipped(strings.Repeat("x", 40<<20)), 1 << 30, 1 << 30},
	} {
		r, err := trail.Unpack(bytes.NewReader(tt.in), tt.maxObject, tt.maxContent)
		var n int64
		if err == nil {
			n, err = io.Copy(io.Discard, r)
		}
		if err == nil || n > 20<<20 {
			t.Errorf("%s: got %d bytes, error %v, want an early error", name, n, err)
		}
	}
	network := errors.New("connection reset")
	packed := gzipped(text)
	for _, n := range []int{5, len(packed) / 2} {
		r, err := trail.Unpack(io.MultiReader(bytes.NewReader(packed[:n]), iotest.ErrReader(network)), 1<<20, 1<<20)
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if !errors.Is(err, network) || strings.Contains(err.Error(), "broken") {
			t.Errorf("network error after %d bytes: got error %v, want %v", n, err, network)
		}
	}
}

func TestUnwrap(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	quote := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	s3, bridge := read("s3.json"), read("eventbridge.json")
	object := trail.Object{Bucket: "audit-logs", Key: "my logs/AWSLogs/111122223333/CloudTrail/eu-west-1/a+b.json.gz", Region: "eu-west-1", ETag: "10cdfb72", Event: "ObjectCreated:Put"}
	plain := trail.Object{Bucket: "audit-logs", Key: "my+logs/AWSLogs/111122223333/CloudTrail/eu-west-1/a%20b.json.gz", Region: "eu-west-1", ETag: "10cdfb72", Version: "v1", Event: "ObjectCreated:PutObject"}
	for _, tt := range []struct {
		name, in string
		want     []trail.Object
		outcome  trail.MessageOutcome
	}{
		{"S3", s3, []trail.Object{object}, trail.MessageDone},
		{"S3 in SNS", `{"Type":"Notification","Message":` + quote(s3) + `}`, []trail.Object{object}, trail.MessageDone},
		{"SNS in SNS", `{"Type":"Notification","Message":` + quote(`{"Type":"Notification","Message":`+quote(s3)+`}`) + `}`, []trail.Object{object}, trail.MessageDone},
		{"EventBridge", bridge, []trail.Object{plain}, trail.MessageDone},
		{"EventBridge in SNS", `{"Type":"Notification","Message":` + quote(bridge) + `}`, []trail.Object{plain}, trail.MessageDone},
		{"EventBridge, deleted", `{"source":"aws.s3","detail-type":"Object Deleted","detail":{"bucket":{"name":"b"},"object":{"key":"k"},"reason":"DeleteObject"}}`, []trail.Object{{Bucket: "b", Key: "k", Event: "ObjectRemoved:DeleteObject"}}, trail.MessageDone},
		{"EventBridge, expired", `{"source":"aws.s3","detail-type":"Object Deleted","detail":{"bucket":{"name":"b"},"object":{"key":"k"},"reason":"Lifecycle Expiration"}}`, []trail.Object{{Bucket: "b", Key: "k", Event: "Object Deleted"}}, trail.MessageDone},
		{"CloudTrail", `{"s3Bucket":"b","s3ObjectKey":["k+1","k2"]}`, []trail.Object{{Bucket: "b", Key: "k+1"}, {Bucket: "b", Key: "k2"}}, trail.MessageDone},
		{"one malformed record", strings.Replace(s3, `"Records":[`, `"Records":[{"s3":7},`, 1), []trail.Object{object}, trail.MessageDone},
		{"unencoded key", `{"Records":[{"s3":{"bucket":{"name":"b"},"object":{"key":"100%"}}}]}`, []trail.Object{{Bucket: "b", Key: "100%"}}, trail.MessageDone},
		{"test event", `{"Service":"Amazon S3","Event":"s3:TestEvent"}`, nil, trail.MessageTest},
		{"test event in SNS", `{"Type":"Notification","Message":` + quote(`{"Event":"s3:TestEvent"}`) + `}`, nil, trail.MessageTest},
		{"empty object", `{}`, nil, trail.MessageEmpty},
		{"no records", `{"Records":[]}`, nil, trail.MessageEmpty},
		{"other JSON", `{"x":1}`, nil, trail.MessageUnknown},
		{"number", `1`, nil, trail.MessageUnknown},
		{"not JSON", `hello`, nil, trail.MessageNotJSON},
		{"empty", ``, nil, trail.MessageNotJSON},
		{"text in SNS", `{"Type":"Notification","Message":"hello"}`, nil, trail.MessageNotJSON},
		{"nested too deep", func() string {
			s := s3
			for range 6 {
				s = `{"Type":"Notification","Message":` + quote(s) + `}`
			}
			return s
		}(), nil, trail.MessageUnknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, outcome := trail.Unwrap([]byte(tt.in)); !slices.Equal(got, tt.want) || outcome != tt.outcome {
				t.Errorf("got %+v, %s, want %+v, %s", got, outcome, tt.want, tt.outcome)
			}
		})
	}
}

func TestUnwrap_RecordedMessages(t *testing.T) {
	for fixture, tt := range map[string]struct {
		corpus string
		want   trail.MessageOutcome
	}{
		"s3-cloudtrail.json":          {"aws-sqs-s3/s3-cloudtrail-1.json", trail.MessageDone},
		"s3-testevent.json":           {"aws-sqs-s3/s3-testevent.json", trail.MessageTest},
		"empty-object.json":           {"aws-sqs-s3/empty-object.json", trail.MessageEmpty},
		"s3-event.json":               {"aws-lambda-go/s3-event.json", trail.MessageDone},
		"s3-event-with-decoded.json":  {"aws-lambda-go/s3-event-with-decoded.json", trail.MessageDone},
		"codebuild-state-change.json": {"aws-lambda-go/codebuild-state-change.json", trail.MessageUnknown},
		"sqs-event.json":              {"aws-lambda-go/sqs-event.json", trail.MessageUnknown},
	} {
		t.Run(fixture, func(t *testing.T) {
			intaketest.OnBoth(t, []string{"testdata/messages/" + fixture}, []string{tt.corpus}, func(t *testing.T, payloads []intaketest.Payload) {
				if _, outcome := trail.Unwrap(payloads[0].Body); outcome != tt.want {
					t.Errorf("%s: got %s, want %s", payloads[0].Path, outcome, tt.want)
				}
			})
		})
	}
}

func TestSplit_RecordedFiles(t *testing.T) {
	intaketest.OnBoth(t, []string{"testdata/records/*.json"}, []string{"cloudtrail-invictus/records/*.json"}, func(t *testing.T, payloads []intaketest.Payload) {
		all := 0
		for _, p := range payloads {
			var whole struct{ Records []json.RawMessage }
			if err := json.Unmarshal(p.Body, &whole); err != nil {
				t.Fatalf("%s: %v", p.Path, err)
			}
			got, broken, err := taken(bytes.NewReader(p.Body))
			if err != nil || broken > 0 || len(got) != len(whole.Records) {
				t.Errorf("%s: got %d records, %d broken, %v, want %d", p.Path, len(got), broken, err, len(whole.Records))
			}
			all += len(got)
		}
		t.Logf("%d records", all)
	})
}

// FuzzFile checks that every file ends, that no record exceeds MaxRecord, and that
// the size of the reads does not change the result.
func FuzzFile(f *testing.F) {
	f.Add([]byte(`{"Records":[` + record(1) + `,{"a":tru},7]}`))
	f.Add([]byte(record(1) + "\n" + record(2) + "\n{"))
	f.Add(logFile(0, 3))
	f.Add([]byte("[1,2"))
	seeds := intaketest.Fixtures(f, "testdata/records/*", "testdata/messages/s3-*.json")
	for _, p := range append(seeds, intaketest.Corpus(f, "cloudtrail-invictus/records/*.json", "cloudtrail-otrf/*", "aws-sqs-s3/*.json")...) {
		f.Add(p.Body)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		read := func(r io.Reader) string {
			content, err := trail.Unpack(r, 1<<20, 4<<20)
			if err != nil {
				return "not unpacked"
			}
			got, broken, err := taken(content)
			for _, g := range got {
				if len(g) > trail.MaxRecord+1 {
					t.Errorf("got a record of %d bytes, want at most %d", len(g), trail.MaxRecord+1)
				}
			}
			return fmt.Sprint(got, broken, err)
		}
		once := read(bytes.NewReader(data))
		if twice := read(iotest.OneByteReader(bytes.NewReader(data))); once != twice {
			t.Errorf("%q: got %s at once and %s byte by byte", data, once, twice)
		}
		var list []json.RawMessage
		if json.Unmarshal(data, &list) == nil && list != nil { // a valid array loses no element
			if got, broken, err := taken(bytes.NewReader(data)); err != nil || broken > 0 || len(got) != len(list) {
				t.Errorf("%q: got %d elements, %d broken, error %v, want %d", data, len(got), broken, err, len(list))
			}
		}
	})
}

// FuzzMessage checks that Unwrap is deterministic, and that it returns objects with
// a bucket and a key only with the outcome done.
func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"Records":[{"s3":{"bucket":{"name":"b"},"object":{"key":"k%20"}}}]}`))
	f.Add([]byte(`{"Type":"Notification","Message":"{}"}`))
	f.Add([]byte(`{"source":"aws.s3","detail-type":"Object Deleted","detail":{"bucket":{"name":"b"},"object":{"key":"k"}}}`))
	f.Add([]byte(`{"s3Bucket":"b","s3ObjectKey":["k"]}`))
	seeds := intaketest.Fixtures(f, "testdata/messages/*.json")
	for _, p := range append(seeds, intaketest.Corpus(f, "aws-sqs-s3/*.json", "aws-lambda-go/s3*.json", "aws-lambda-go/sqs*.json", "aws-lambda-go/sns*.json")...) {
		f.Add(p.Body)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		once, outcome := trail.Unwrap(data)
		twice, outcome2 := trail.Unwrap(bytes.Clone(data))
		if !slices.Equal(once, twice) || outcome != outcome2 {
			t.Errorf("%q: got %v in the first call and %v in the second", data, once, twice)
		}
		if (len(once) > 0) != (outcome == trail.MessageDone) {
			t.Errorf("%q: got outcome %s with %v, want objects only with %s", data, outcome, once, trail.MessageDone)
		}
		for _, o := range once {
			if o.Bucket == "" || !utf8.ValidString(o.Bucket+o.Key) {
				t.Errorf("%q: got %+v, want a bucket and valid UTF-8", data, o)
			}
		}
		if len(once) > len(data) {
			t.Errorf("%q: got %d objects from %d bytes", data, len(once), len(data))
		}
	})
}

func BenchmarkSplit(b *testing.B) {
	z, err := gzip.NewReader(bytes.NewReader(logFile(0, 20000)))
	if err != nil {
		b.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, _, err := taken(bytes.NewReader(data)); err != nil {
			b.Fatal(err)
		}
	}
}
