package detect_test

import (
	"io"
	"runtime"
	"testing"
)

// repeatReader reads text n times.
func repeatReader(text string, n int) io.Reader {
	return io.LimitReader(&repeater{text: text}, int64(n*len(text)))
}

type repeater struct {
	text string
	at   int
}

func (r *repeater) Read(p []byte) (n int, err error) {
	for n < len(p) {
		c := copy(p[n:], r.text[r.at:])
		n, r.at = n+c, (r.at+c)%len(r.text)
	}
	return n, nil
}

// TestReadItems_WorkIsLinear splits files whose lines or values are tiny. A copy of the
// rest of the line for each value would allocate gigabytes.
func TestReadItems_WorkIsLinear(t *testing.T) {
	for name, text := range map[string]string{"values in one line": "1 ", "lines": "1\n", "objects in one line": "{} ", "open objects": "{\n", "commas": ",", "records": `{"a":1}` + "\n"} {
		t.Run(name, func(t *testing.T) {
			const size = 4 << 20
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			n := 0
			_ = split(repeatReader(text, size/len(text)), func([]byte, bool) error { n++; return nil })
			runtime.ReadMemStats(&after)
			limit := uint64(64 << 20)
			if name == "records" { // each line and each record is copied
				limit = 256 << 20
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > limit {
				t.Errorf("split %d values of %d bytes: allocated %d MiB, want at most %d", n, size, got>>20, limit>>20)
			}
		})
	}
}
