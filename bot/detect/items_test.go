package detect_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"tocsin/bot/detect"
	"tocsin/bot/intake/intaketest"
)

// smallRecord is the maximum size of a record in these tests.
const smallRecord = 1 << 20

// smallLimits are the limits of a reader of small files.
var smallLimits = detect.Limits{Record: smallRecord, InflateFloor: 16 << 20, InflateRatio: 200}

// split calls emit for each item of a file. broken is true for an item without text.
func split(r io.Reader, emit func(raw []byte, broken bool) error) error {
	return detect.ReadItems(r, smallLimits, func(item *detect.Item) error { return emit(item.Text(), item.Raw == nil) })
}

// unpack returns the content of a file within limits.
func unpack(r io.Reader, maxStored, maxContent int64) (io.Reader, error) {
	limits := smallLimits
	limits.Stored, limits.Content = maxStored, maxContent
	return detect.Unpack(r, limits)
}

// taken splits a file and returns its records and the number of broken ones.
func taken(r io.Reader) (records []string, broken int, err error) {
	err = split(r, func(raw []byte, bad bool) error {
		if bad {
			broken++
		} else {
			records = append(records, string(raw))
		}
		return nil
	})
	return records, broken, err
}

func TestReadItems(t *testing.T) {
	a, b, c := `{"a":1}`, `{"b":"}],\"{"}`, `{"c":[{"d":[]}]}`
	long := `{"x":"` + strings.Repeat("y", smallRecord) + `"}`
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
func TestReadItems_EmitsAllRecords(t *testing.T) {
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
	for name, in := range map[string][]byte{"plain": []byte(text), "packed": []byte(gzipped(text)), "several members": []byte(gzipped(text[:100], text[100:300], text[300:]))} {
		r, err := unpack(bytes.NewReader(in), 1<<20, 1<<20)
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
		"too large packed":   {[]byte(gzipped(text)), 10, 1 << 20},
		"too large unpacked": {[]byte(gzipped(text)), 1 << 20, 1000},
		"a bomb":             {[]byte(gzipped(strings.Repeat("x", 40<<20))), 1 << 30, 1 << 30},
	} {
		r, err := unpack(bytes.NewReader(tt.in), tt.maxObject, tt.maxContent)
		var n int64
		if err == nil {
			n, err = io.Copy(io.Discard, r)
		}
		if err == nil || n > 20<<20 {
			t.Errorf("%s: got %d bytes, error %v, want an early error", name, n, err)
		}
	}
	network := errors.New("connection reset")
	packed := []byte(gzipped(text))
	for _, n := range []int{5, len(packed) / 2} {
		r, err := unpack(io.MultiReader(bytes.NewReader(packed[:n]), iotest.ErrReader(network)), 1<<20, 1<<20)
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if !errors.Is(err, network) || strings.Contains(err.Error(), "broken") {
			t.Errorf("network error after %d bytes: got error %v, want %v", n, err, network)
		}
	}
}

func TestReadItems_RecordedFiles(t *testing.T) {
	intaketest.OnBoth(t, []string{"testdata/items/*.json"}, []string{"cloudtrail-invictus/records/*.json"}, func(t *testing.T, payloads []intaketest.Payload) {
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

// FuzzReadItems checks that every file ends, that no record exceeds the limit, that the
// size of the reads does not change the result, and that the reference agrees on files
// without errors.
func FuzzReadItems(f *testing.F) {
	f.Add([]byte(`{"Records":[` + numbered(1) + `,{"a":tru},7]}`))
	f.Add([]byte(numbered(1) + "\n" + numbered(2) + "\n{"))
	f.Add(numberedFile(0, 3))
	f.Add([]byte("[1,2"))
	seeds := intaketest.Fixtures(f, "testdata/items/*", "../trail/testdata/messages/s3-*.json")
	for _, p := range append(seeds, intaketest.Corpus(f, "cloudtrail-invictus/records/*.json", "cloudtrail-otrf/*", "aws-sqs-s3/*.json")...) {
		f.Add(p.Body)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		read := func(r io.Reader) string {
			content, err := unpack(r, 1<<20, 4<<20)
			if err != nil {
				return "not unpacked"
			}
			got, broken, err := taken(content)
			for _, g := range got {
				if len(g) > smallRecord+1 {
					t.Errorf("got a record of %d bytes, want at most %d", len(g), smallRecord+1)
				}
			}
			return fmt.Sprint(got, broken, err)
		}
		once := read(bytes.NewReader(data))
		if twice := read(iotest.OneByteReader(bytes.NewReader(data))); once != twice {
			t.Errorf("%q: got %s at once and %s byte by byte", data, once, twice)
		}
		if isStream(data) && !bytes.Contains(data, []byte(`\u`)) { // the reference does not decode keys
			got, broken, err := taken(bytes.NewReader(data))
			want, wantBroken, wantErr := refTaken(bytes.NewReader(data))
			if !slices.Equal(got, want) || broken != wantBroken || (err == nil) != (wantErr == nil) {
				t.Errorf("%q: got %q, %d broken, error %v, want %q, %d broken, error %v", data, got, broken, err, want, wantBroken, wantErr)
			}
		}
		var list []json.RawMessage
		if json.Unmarshal(data, &list) == nil && list != nil { // a valid array loses no element
			if got, broken, err := taken(bytes.NewReader(data)); err != nil || broken > 0 || len(got) != len(list) {
				t.Errorf("%q: got %d elements, %d broken, error %v, want %d", data, len(got), broken, err, len(list))
			}
		}
	})
}

// hostileFiles are broken in ways that a writer or a sender can cause.
var hostileFiles = map[string]string{
	"repeated keys":        `{"Records":[{"eventName":"A","eventName":"B","eventSource":"s"},` + numbered(1) + `]}`,
	"invalid UTF-8":        `{"Records":[{"eventName":"A` + "\xff" + `","eventSource":"s"},` + numbered(1) + `]}`,
	"control character":    `{"Records":[{"eventName":"A` + "\x01" + `","eventSource":"s"},` + numbered(1) + `]}`,
	"lone surrogate":       `{"Records":[{"eventName":"\ud800","eventSource":"s"},` + numbered(1) + `]}`,
	"deeply nested":        `{"Records":[{"eventName":"A","x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `},` + numbered(1) + `]}`,
	"another case":         `{"Records":[{"EVENTNAME":"A","EventSource":"s"}]}`,
	"repeated Records":     `{"Records":[` + numbered(1) + `],"x":1,"Records":[` + numbered(2) + `]}`,
	"Records in a record":  `{"Records":[{"eventName":"A","Records":[` + numbered(1) + `]}]}`,
	"Records after a list": `{"x":[{"Records":[1]}],"Records":[` + numbered(1) + `,{"a":tru}]}`,
	"escaped text":         `{"Records":["\u0041\n","x\"]}"],"x":"\\"}`,
	"files on lines":       `{"Records":[` + numbered(1) + `]}` + "\n" + `{"Records":[` + numbered(2) + "\n" + `{"Records":[` + numbered(3) + `]}`,
	"spaced lines":         `{"a": 1, "b": {"c": 2}}` + "\n" + ` { "a" : "x  y" } ` + "\n",
	"broken lines":         numbered(1) + "\n{\"a\":\n" + numbered(2) + "\n{\"a\":\"\n" + numbered(3) + "\n[" + numbered(4) + "\n" + numbered(5),
	"truncated":            `{"Records":[` + numbered(1) + `,{"eventName":"x`,
	"empty":                `{"Records":[{},null,[],""]}`,
}

// refTaken is taken with the reference.
func refTaken(r io.Reader) (records []string, broken int, err error) {
	err = refSplit(bufio.NewReaderSize(r, refMaxLine), func(raw []byte, bad bool) error {
		if bad {
			broken++
		} else {
			records = append(records, string(raw))
		}
		return nil
	})
	return records, broken, err
}

func TestReadItems_AgreesWithReference(t *testing.T) {
	files := append(intaketest.Fixtures(t, append([]string{"testdata/items/*"}, trailFixtures...)...), intaketest.Corpus(t, trailCorpus...)...)
	for name, text := range hostileFiles {
		files = append(files, intaketest.Payload{Path: name, Body: []byte(text)})
	}
	rules, _ := detect.Load(detect.Options{All: true, Builtin: true})
	hits := func(r *detect.Record) (ids []string) {
		for _, rule := range rules.Evaluate(r) {
			ids = append(ids, rule.ID)
		}
		return ids
	}
	items, matched := 0, 0
	for _, file := range files {
		want, wantBroken, wantErr := refTaken(bytes.NewReader(file.Body))
		var got []string
		broken := 0
		err := detect.ReadItems(strings.NewReader(gzipped(string(file.Body))), smallLimits, func(item *detect.Item) error {
			if item.Raw == nil {
				broken++
				return nil
			}
			got = append(got, string(item.Text()))
			var ids, again []string
			if item.Record != nil {
				ids = hits(item.Record)
			}
			if alone, err := detect.DecodeRecord(item.Raw); err == nil {
				again = hits(alone)
			}
			if !slices.Equal(ids, again) {
				t.Errorf("%s: got hits %v of %s, want %v", file.Path, ids, item.Raw, again)
			}
			matched += len(ids)
			return nil
		})
		if !slices.Equal(got, want) || broken != wantBroken || (err == nil) != (wantErr == nil) {
			t.Errorf("%s: got %d items, %d broken, error %v, want %d items, %d broken, error %v", file.Path, len(got), broken, err, len(want), wantBroken, wantErr)
		}
		items += len(got)
	}
	t.Logf("%d files, %d items, %d hits", len(files), items, matched)
}

// isStream reports whether a file consists of valid objects and arrays.
func isStream(data []byte) bool {
	for d := json.NewDecoder(bytes.NewReader(data)); ; {
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return errors.Is(err, io.EOF)
		}
		if value[0] != '{' && value[0] != '[' {
			return false
		}
	}
}

func BenchmarkReadItems(b *testing.B) {
	z, err := gzip.NewReader(bytes.NewReader(numberedFile(0, 20000)))
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

// numbered returns a record with a number in its ID.
func numbered(id int) string {
	return fmt.Sprintf(`{"eventVersion":"1.11","eventSource":"iam.amazonaws.com","eventName":"CreateUser","eventID":"event-%05d","recipientAccountId":"111122223333"}`, id)
}

// numberedFile returns a compressed log file.
func numberedFile(from, to int) []byte {
	var rs []string
	for i := from; i < to; i++ {
		rs = append(rs, numbered(i))
	}
	return []byte(gzipped(`{"Records":[` + strings.Join(rs, ",") + `]}`))
}
