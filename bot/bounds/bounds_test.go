package bounds_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"tocsin/bot/bounds"
)

func TestBudget_Counts(t *testing.T) {
	b := bounds.New(10)
	for _, tt := range []struct {
		n                   int64
		ok                  bool
		left, used, refused int64
	}{{4, true, 6, 4, 0}, {7, false, 6, 4, 7}, {6, true, 0, 10, 7}, {1, false, 0, 10, 8}, {0, true, 0, 10, 8}} {
		if ok := b.Take(tt.n); ok != tt.ok || b.Left() != tt.left || b.Used() != tt.used || b.Refused() != tt.refused {
			t.Errorf("take %d: got %v with %d left, %d used, %d refused; want %+v", tt.n, ok, b.Left(), b.Used(), b.Refused(), tt)
		}
	}
	c := bounds.New(10)
	if got := c.TakeUpTo(7) + c.TakeUpTo(7); got != 10 || c.Refused() != 4 {
		t.Errorf("got %d taken, %d refused; want 10 and 4", got, c.Refused())
	}
}

// The limit is the total of all readers of a budget.
func TestReader_LimitIsATotal(t *testing.T) {
	for _, size := range []int{0, 1, 5, 10} {
		for _, wrap := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.DataErrReader} {
			b := bounds.New(10)
			text := strings.Repeat("x", size)
			first, err := io.ReadAll(b.Reader(wrap(strings.NewReader(text))))
			if string(first) != text || err != nil {
				t.Fatalf("size %d: got %q, %v", size, first, err)
			}
			rest := bytes.NewReader(make([]byte, 100))
			second, err := io.ReadAll(b.Reader(rest))
			if len(second) != 10-size || !errors.Is(err, bounds.ErrExceeded) || b.Left() != 0 {
				t.Errorf("size %d: got %d more bytes, %v, %d left; want %d and an error", size, len(second), err, b.Left(), 10-size)
			}
			if read := 100 - rest.Len(); read > 10-size+1 {
				t.Errorf("size %d: read %d bytes of the source, want at most one beyond the limit", size, read)
			}
		}
	}
}
