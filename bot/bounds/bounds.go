// Package bounds limits the work for one message from outside. A limit holds for the
// whole message, because limits of its parts multiply: a hundred parts of 8 MiB are
// 800 MiB.
//
//	plaintext := bounds.New(8 << 20)
//	for _, block := range blocks {
//		text, err := io.ReadAll(plaintext.Reader(decrypt(block)))
//		...
//	}
//
// The zero [Budget] is exhausted. A Budget is not safe for concurrent use.
package bounds

import (
	"errors"
	"io"
)

// ErrExceeded is returned by readers of a budget that is exhausted.
var ErrExceeded = errors.New("the message exceeds a limit")

// Budget counts bytes, parts or operations of one message down to zero. It also counts
// the refused units, to report the omitted content.
type Budget struct{ left, used, refused int64 }

// New returns a budget of n units.
func New(n int64) *Budget { return &Budget{left: n} }

// Take takes n units and reports whether the budget had them. If not, it takes none.
func (b *Budget) Take(n int64) bool {
	if n > b.left {
		b.refused += n
		return false
	}
	b.left -= n
	b.used += n
	return true
}

// TakeUpTo takes at most n units and returns the number taken.
func (b *Budget) TakeUpTo(n int64) int64 {
	taken := min(n, b.left)
	b.left, b.used, b.refused = b.left-taken, b.used+taken, b.refused+n-taken
	return taken
}

// Refuse counts n units as refused.
func (b *Budget) Refuse(n int64) { b.refused += n }

// Left returns the number of units that remain.
func (b *Budget) Left() int64 { return b.left }

// Used returns the number of units taken.
func (b *Budget) Used() int64 { return b.used }

// Refused returns the number of refused units. It does not include the bytes after the
// end of a [Budget.Reader].
func (b *Budget) Refused() int64 { return b.refused }

// Reader returns a reader of r that takes each byte from the budget. It fails with
// [ErrExceeded] at the first byte beyond the budget and reads at most one byte more
// from r.
func (b *Budget) Reader(r io.Reader) io.Reader { return reader{r, b} }

type reader struct {
	r io.Reader
	b *Budget
}

func (l reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if l.b.left == 0 {
		var one [1]byte
		n, err := l.r.Read(one[:])
		if n > 0 {
			return 0, ErrExceeded
		}
		return 0, err
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.b.left)])
	l.b.left, l.b.used = l.b.left-int64(n), l.b.used+int64(n)
	return n, err
}
