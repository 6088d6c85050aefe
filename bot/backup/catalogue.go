package backup

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"tocsin/bot/health"
)

// futureTolerance is how far the time of a backup may be ahead of the clock. One that is
// further ahead was made with a wrong clock, and does not count as the newest.
const futureTolerance = 5 * time.Minute

// CopyState is the state of a copy at a destination.
type CopyState string

// The states.
const (
	CopyOK          CopyState = "ok"
	CopyMissing     CopyState = "missing"
	CopyDamaged     CopyState = "damaged"
	CopyUnknown     CopyState = "unknown"     // the content could not be read
	CopyUnreachable CopyState = "unreachable" // the destination does not answer
)

// ListedCopy is a copy of a backup.
type ListedCopy struct {
	Destination string    `json:"destination"`
	State       CopyState `json:"state"`
	Size        int64     `json:"size,omitempty"`
	Address     string    `json:"address,omitempty"` // for [Open], if the copy exists
}

// Entry is a backup in a [Catalogue].
type Entry struct {
	Class  Class         `json:"class"`
	At     time.Time     `json:"at"`
	Age    time.Duration `json:"age"` // in nanoseconds, never negative
	Size   int64         `json:"size"`
	Key    string        `json:"key"`
	Copies []ListedCopy  `json:"copies"`
	// IsFuture reports that its time is in the future: a clock is or was wrong.
	IsFuture bool `json:"is_future,omitempty"`
}

// Stored returns how many destinations have the backup.
func (e Entry) Stored() int { return e.count(CopyOK) }

// count returns how many copies have one of some states.
func (e Entry) count(states ...CopyState) (n int) {
	for _, c := range e.Copies {
		if slices.Contains(states, c.State) {
			n++
		}
	}
	return n
}

// Catalogue are the backups of all destinations.
type Catalogue struct {
	Destinations []Copy  `json:"destinations"` // with their problems
	Backups      []Entry `json:"backups"`      // newest first
}

// Newest returns the newest backup that enough destinations have, or could have because
// they do not answer.
func (c Catalogue) Newest(copiesRequired int) (Entry, bool) {
	n := slices.IndexFunc(c.Backups, func(e Entry) bool {
		return !e.IsFuture && e.count(CopyOK, CopyUnknown) > 0 && e.count(CopyOK, CopyUnknown, CopyUnreachable) >= copiesRequired
	})
	if n < 0 {
		return Entry{}, false
	}
	return c.Backups[n], true
}

// HasProblem reports whether a destination does not answer, or a copy is damaged.
func (c Catalogue) HasProblem() bool {
	return c.Err() != nil || slices.ContainsFunc(c.Backups, func(e Entry) bool { return e.count(CopyDamaged, CopyUnknown) > 0 })
}

// Err returns the problem of the first destination that does not answer.
func (c Catalogue) Err() error {
	for _, d := range c.Destinations {
		if d.err != nil {
			return d.err
		}
	}
	return nil
}

// Catalogue lists the backups of an instance, or of all if origin is "", at all
// destinations. With check it reads
// every copy, otherwise only copies of different sizes, and compares the SHA-256.
func (ds Destinations) Catalogue(ctx context.Context, origin string, now time.Time, check bool) Catalogue {
	listed := make([]map[Object]int64, len(ds.list))
	out := Catalogue{Destinations: make([]Copy, len(ds.list))}
	var wg sync.WaitGroup
	for n, d := range ds.list {
		wg.Go(func() {
			var err error
			listed[n], err = listBackups(ctx, d, origin)
			out.Destinations[n] = newCopy(d, err)
		})
	}
	wg.Wait()
	all := map[Object]*Entry{}
	for n := range ds.list {
		for o, size := range listed[n] {
			if all[o] == nil {
				all[o] = &Entry{Class: o.Class, At: o.At, Age: max(now.Sub(o.At), 0), Key: o.Key(), IsFuture: o.At.Sub(now) > futureTolerance}
			}
			all[o].Size = max(all[o].Size, size)
		}
	}
	for o, e := range all {
		for n, d := range ds.list {
			c := ListedCopy{Destination: d.Label(), State: CopyMissing}
			if size, has := listed[n][o]; has {
				c.State, c.Size, c.Address = CopyOK, size, addressOf(d, e.Key)
			} else if out.Destinations[n].err != nil {
				c.State = CopyUnreachable
			}
			e.Copies = append(e.Copies, c)
		}
		ds.checkCopies(ctx, o, e, check)
		out.Backups = append(out.Backups, *e)
	}
	slices.SortFunc(out.Backups, func(a, b Entry) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.Key, b.Key)) })
	return out
}

// newCopy returns the result for a destination.
func newCopy(d Destination, err error) Copy {
	c := Copy{Destination: d.Label(), err: err}
	if err != nil {
		c.Problem = err.Error()
	}
	return c
}

// listBackups returns the sizes of the backups at a destination.
func listBackups(ctx context.Context, d Destination, origin string) (map[Object]int64, error) {
	out := map[Object]int64{}
	for _, class := range classes {
		list, err := d.List(ctx, string(class)+"/", "")
		if err != nil {
			return nil, err
		}
		for _, s := range list {
			if o, ok := parseKey(s.Key); ok && (origin == "" || o.Origin == shortOrigin(origin)) {
				out[o] = s.Size
			}
		}
	}
	return out, nil
}

// checkCopies compares copies with the digest of the backup. Of copies with one size, it
// reads none unless all is set.
func (ds Destinations) checkCopies(ctx context.Context, o Object, e *Entry, all bool) {
	for n := range e.Copies {
		c := &e.Copies[n]
		isOdd := slices.ContainsFunc(e.Copies, func(other ListedCopy) bool {
			return other.State != CopyMissing && other.State != CopyUnreachable && other.Size != c.Size
		})
		if c.State != CopyOK || !all && !isOdd {
			continue
		}
		switch err := checkDigest(ctx, ds.list[n], o); {
		case errors.Is(err, errDigest):
			c.State = CopyDamaged
		case err != nil:
			c.State = CopyUnknown
		}
	}
}

// errDigest means that the content of a copy was changed.
var errDigest = errors.New("the copy is damaged: its SHA-256 is not the one in its name")

// checkDigest reads a copy and compares its SHA-256.
func checkDigest(ctx context.Context, d Destination, o Object) error {
	r, err := d.Get(ctx, o.Key())
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return fmt.Errorf("read %s: %w", o.Key(), err)
	}
	if digestOf([sha256.Size]byte(h.Sum(nil))) != o.Digest {
		return errDigest
	}
	return nil
}

// addressOf returns the address of an object for [Open].
func addressOf(d Destination, key string) string {
	if b, ok := d.(*bucket); ok {
		return b.label() + "/" + key + b.parameters
	}
	return d.(folder).path + "/" + key
}

// MaxLate is how late a backup may be before this is a problem.
const MaxLate = 10 * time.Minute

// Late returns why the newest backup is too old, or nil.
func (c Config) Late(all Catalogue) *health.Problem {
	const fix = "Run `tocsin backup now`, and read its error or the log"
	newest, ok := all.Newest(c.CopiesRequired)
	switch {
	case !ok:
		return &health.Problem{Cause: fmt.Sprintf("No backup has %d copies", c.CopiesRequired), Fix: fix}
	case newest.Age > c.Every+MaxLate:
		return &health.Problem{Cause: "The newest backup was made at " + newest.At.UTC().Format("2006-01-02 15:04 MST"), Fix: fix, Since: newest.At.Add(c.Every)}
	}
	return nil
}
