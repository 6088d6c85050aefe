package intake

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func TestShorten_KeepsTheFirstItems(t *testing.T) {
	item := func(n int) string { return fmt.Sprintf(`{"status":"firing","labels":{"n":"%04d"}}`, n) }
	var items []string
	for n := range 1000 {
		items = append(items, item(n))
	}
	list := strings.Join(items, ", ")
	for name, document := range map[string]string{
		"list":                 "[" + list + "]",
		"list in an object":    `{"receiver":"r","alerts":[` + list + `],"version":"4","groupKey":"g"}`,
		"list deep in objects": `{"detail-type":"x","detail":{"findings":[` + list + `],"b":1},"a":[1,2]}`,
	} {
		short, leftOut, err := shorten([]byte(document), 10_000, 0)
		if err != nil || len(short) > 10_000 || len(short) < 9_000 || !json.Valid(short) {
			t.Fatalf("%s: got %d bytes, error %v; want a valid document of nearly 10,000", name, len(short), err)
		}
		kept := strings.Count(string(short), `"status"`)
		if kept+leftOut != 1000 || !strings.Contains(string(short), item(kept-1)) || strings.Contains(string(short), item(kept)) {
			t.Errorf("%s: got %d items kept and %d left out, want the first ones of 1000", name, kept, leftOut)
		}
		for _, rest := range []string{`"groupKey":"g"`, `"b":1`, `"a":[1,2]`} {
			if strings.Contains(document, rest) != strings.Contains(string(short), rest) {
				t.Errorf("%s: got %s…, want %s", name, short[:100], rest)
			}
		}
	}
	for name, document := range map[string]string{
		"long text":         `{"title":"t","stack":"` + strings.Repeat("é\\u0001", 5000) + `","level":"fatal"}`,
		"one large item":    `{"alerts":[{"status":"firing","annotations":{"description":"` + strings.Repeat("x", 50_000) + `"}}]}`,
		"two large texts":   `{"a":"` + strings.Repeat("x", 50_000) + `","b":"` + strings.Repeat("y", 50_000) + `","level":"fatal"}`,
		"several lists":     `{"a":[` + list + `],"b":[` + list + `],"level":"fatal"}`,
		"a list in an item": `[{"a":[` + list + `]},{"a":2}]`,
	} {
		short, _, err := shorten([]byte(document), 10_000, 0)
		if err != nil || len(short) > 10_000 || !json.Valid(short) || strings.Contains(document, "fatal") != strings.Contains(string(short), "fatal") {
			t.Errorf("%s: got %d bytes, error %v; want a valid document with the short members", name, len(short), err)
		}
	}
}

// Hostile documents of the largest size need time and memory in proportion to their size.
func TestShorten_HostileDocuments(t *testing.T) {
	var flat strings.Builder
	for n := range maxLargeBody / 12 {
		fmt.Fprintf(&flat, `,"%07d":1`, n)
	}
	long := strings.Repeat("x", maxLargeBody-10_000)
	for name, document := range map[string]string{
		"many small members": "{" + flat.String()[1:] + "}",
		"many small items":   "[" + strings.Repeat("1,", maxLargeBody/2-1) + "1]",
		"deep objects":       strings.Repeat(`{"a":`, maxDepth) + `"` + long + `"` + strings.Repeat("}", maxDepth),
		"deep lists":         strings.Repeat("[", maxDepth) + `"` + long + `"` + strings.Repeat("]", maxDepth),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, _ = shorten([]byte(document), defaultMaxBody, 0)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 30*maxLargeBody {
			t.Errorf("%s: got %d MiB allocated, want at most 30 times the body of 8 MiB", name, used>>20)
		}
	}
}

// FuzzShorten checks that the result is a valid document within the limit.
func FuzzShorten(f *testing.F) {
	f.Add(`{"a":[{"b":"c"},{"b":"`+strings.Repeat("d", 300)+`"}],"e":{"f":[1,2,3]}}`, 100)
	f.Add(`"`+strings.Repeat(`\u00e9`, 100)+`"`, 64)
	f.Add(`"`+strings.Repeat("0", 140)+`\u0000\b0000"`, 152)
	f.Add("{\"a\":["+strings.Repeat(" ", 300)+"]}", 100)
	f.Add(`[[[[[["`+strings.Repeat("x", 300)+`"]]]]]]`, 70)
	f.Fuzz(func(t *testing.T, document string, limit int) {
		if limit < 0 || limit > 10_000 || validateJSON([]byte(document)) != nil {
			return
		}
		short, leftOut, err := shorten([]byte(document), limit, 0)
		switch {
		case err != nil:
			return
		case len(short) > limit || leftOut < 0 || validateJSON(short) != nil:
			t.Fatalf("%q to %d: got %q and %d left out", document, limit, short, leftOut)
		case len(strings.TrimSpace(document)) <= limit && string(short) != strings.Trim(document, " \t\r\n"):
			t.Fatalf("%q to %d: got %q, want it unchanged", document, limit, short)
		}
	})
}

// FuzzCompleteJSON cuts documents at every place. The result must be valid and begin like
// the document.
func FuzzCompleteJSON(f *testing.F) {
	f.Add(`{"alerts":[{"a":"b\u00e9","c":[1,2.5,null,true]},{}],"d":{"e":"f"}}`)
	f.Add(`[[],[[]],{"a":{}}]`)
	f.Fuzz(func(t *testing.T, document string) {
		if validateJSON([]byte(document)) != nil || len(document) > 2000 {
			return
		}
		for cut := range len(document) {
			got, err := completeJSON([]byte(document[:cut]))
			if err != nil {
				continue
			}
			if err := validateJSON(got); err != nil {
				t.Fatalf("%q: got %q, %v", document[:cut], got, err)
			}
			if begin := strings.TrimRight(string(got), "}]"); !strings.HasPrefix(document, begin) {
				t.Fatalf("%q: got %q, want its beginning", document[:cut], got)
			}
			if jsontext.Value(got).Kind() != jsontext.Value(document).Kind() {
				t.Fatalf("%q: got %q, want a document of the same kind", document[:cut], got)
			}
		}
	})
}
