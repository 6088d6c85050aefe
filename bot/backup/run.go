package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"tocsin/bot/health"
)

// Snapshot describes the content of a backup.
type Snapshot struct {
	At   time.Time
	Rows int64
}

// Deps are the parts of the process that a [Runner] uses. Origin, SpoolFolder and
// Export are required.
type Deps struct {
	// Origin is the name of the instance, as in checkpoints.
	Origin string
	// SpoolFolder is the folder for the file that is sent, see [Config.SpoolFolder].
	SpoolFolder string
	// Export writes one snapshot of the database.
	Export func(context.Context, io.Writer) (Snapshot, error)
	// Born returns when the instance of the database began, or the zero time if this does not matter. Nil means the latter.
	Born   func(context.Context) (time.Time, error)
	Clock  func() time.Time // default time.Now
	Logger *slog.Logger     // default slog.Default
}

// A Runner makes backups. It is safe for concurrent use, and makes one at a time.
type Runner struct {
	Config
	Destinations
	Deps
}

// NewRunner returns a Runner.
func NewRunner(c Config, ds Destinations, d Deps) *Runner {
	if d.Clock == nil {
		d.Clock = time.Now
	}
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	d.Logger = d.Logger.With("component", "backup")
	return &Runner{c, ds, d}
}

// Copy is the result for one destination.
type Copy struct {
	Destination string `json:"destination"`
	Problem     string `json:"problem,omitempty"` // why it has no copy, with the fix

	err error
}

// Result is a backup that was made.
type Result struct {
	Key    string    `json:"key"`
	At     time.Time `json:"at"`
	Size   int64     `json:"size"`
	Rows   int64     `json:"rows,omitempty"`
	Copies []Copy    `json:"copies"`
}

// Stored returns how many destinations have the backup.
func (r Result) Stored() (n int) {
	for _, c := range r.Copies {
		if c.Problem == "" {
			n++
		}
	}
	return n
}

// A CopyError means that a destination has no copy of a backup. IsFailed reports that
// fewer than copies_required have one.
type CopyError struct {
	*health.Problem
	IsFailed bool
}

// Unwrap returns the problem for people.
func (e *CopyError) Unwrap() error { return e.Problem }

// Ensure is [Runner.Run], unless every destination has a backup from since or later. If
// some have one, it makes no other: it sends the file of the earlier attempt, or returns a
// [*CopyError] if another machine has this file. The result is empty if nothing was due.
func (r *Runner) Ensure(ctx context.Context, since time.Time) (Result, error) {
	all := r.Catalogue(ctx, r.Origin, r.Clock(), false)
	e, ok := all.Newest(r.CopiesRequired)
	if !ok || e.At.Before(since.Truncate(time.Second)) || e.count(CopyOK) < r.CopiesRequired {
		return r.Run(ctx, since)
	}
	if e.count(CopyOK) == len(r.list) {
		return Result{}, nil
	}
	if _, err := os.Stat(filepath.Join(r.Deps.SpoolFolder, e.Key)); err == nil {
		return r.Run(ctx, since)
	}
	out := Result{Key: e.Key, At: e.At, Size: e.Size}
	for n, c := range e.Copies {
		one := Copy{Destination: c.Destination}
		if c.State != CopyOK {
			one.err = &health.Problem{Cause: "The copy at " + c.Destination + " is " + string(c.State), Fix: "Check the destination. The next backup is stored there"}
			if err := all.Destinations[n].err; err != nil {
				one.err = err
			}
			one.Problem = one.err.Error()
		}
		out.Copies = append(out.Copies, one)
	}
	return out, r.judge(out)
}

// Run makes a backup, unless an earlier attempt made one after since: it sends the file of
// this attempt to the destinations that do not have it. The error is a [*CopyError] if a
// destination has no copy.
func (r *Runner) Run(ctx context.Context, since time.Time) (out Result, err error) {
	s := spool{folder{r.Deps.SpoolFolder}}
	unlock, err := s.open()
	if err != nil {
		return out, err
	}
	defer unlock()
	r.prepareFolders()
	b, err := s.find(ctx, since)
	if err != nil {
		return out, err
	}
	if b == nil {
		if err := r.RefuseReplaced(ctx); err != nil {
			return out, err
		}
		if b, out.Rows, err = r.write(ctx, s); err != nil {
			return out, err
		}
	}
	out.Key, out.At, out.Size = b.Key(), b.At, b.size
	if out.Copies, err = r.send(ctx, b); err != nil {
		return out, err
	}
	problem := r.judge(out)
	if problem == nil || !problem.IsFailed {
		for _, d := range r.list {
			if f, ok := d.(folder); ok {
				r.prune(ctx, f)
			}
		}
	}
	if problem != nil { // the next attempt sends the same file
		return out, problem
	}
	if err := s.remove(out.Key); err != nil {
		return out, err
	}
	r.Logger.Info("backup stored", "key", out.Key, "bytes", out.Size, "copies", out.Stored())
	return out, nil
}

// bornTolerance is how much the clocks of the database and of the bot may differ.
const bornTolerance = 5 * time.Minute

// RefuseReplaced returns a [*health.Problem] if a destination has backups of the instance from before the database began.
// Then the database was lost, and a new and empty one is in its place: its backups would be the newest and hide the others.
// A destination that does not answer causes no error.
func (r *Runner) RefuseReplaced(ctx context.Context) error {
	if r.Born == nil {
		return nil
	}
	born, err := r.Born(ctx)
	if err != nil || born.IsZero() {
		return err
	}
	for _, o := range r.objects(ctx, "") {
		if o.At.Before(born.Add(-bornTolerance)) {
			return &health.Problem{Cause: fmt.Sprintf("The database is new, but there is a backup of this instance from %s: the database was lost or replaced", o.At.Format("2006-01-02 15:04 UTC")),
				Fix: "Stop Tocsin, remove the new database and restore the backup: see “The machine is lost” in docs/operations.md. If the new database is intended, write another folder or prefix to backup.to"}
		}
	}
	return nil
}

// write exports the database to the spool.
func (r *Runner) write(ctx context.Context, s spool) (*spooled, int64, error) {
	recipients, err := parseRecipients(r.Recipients)
	if err != nil {
		return nil, 0, fmt.Errorf("backup.recipients: %w", err)
	}
	existing := r.objects(ctx, r.Clock().UTC().Format("200601")) // the first key of the month is greater
	b, snapshot, err := s.write(ctx, r.Export, recipients, func(n Snapshot) Object {
		at := n.At.UTC().Truncate(time.Second)
		return Object{Class: classOf(at, existing), At: at, Origin: shortOrigin(r.Origin)}
	})
	return b, snapshot.Rows, err
}

// objects returns the backups of the instance whose time begins with from or is later, at all
// destinations that answer. The others cause an error when the backup is sent.
func (r *Runner) objects(ctx context.Context, from string) (out []Object) {
	for _, d := range r.list {
		for _, class := range classes {
			list, err := d.List(ctx, string(class)+"/", string(class)+"/"+from)
			if err != nil {
				break
			}
			for _, s := range list {
				if o, ok := parseKey(s.Key); ok && o.Origin == shortOrigin(r.Origin) {
					out = append(out, o)
				}
			}
		}
	}
	return out
}

// classOf returns the class of a new backup: the first of a month is monthly, and the
// first of another day is daily.
func classOf(at time.Time, existing []Object) Class {
	has := func(layout string, classes ...Class) bool {
		return slices.ContainsFunc(existing, func(o Object) bool {
			return slices.Contains(classes, o.Class) && o.At.Format(layout) == at.Format(layout)
		})
	}
	switch {
	case !has("200601", Monthly):
		return Monthly
	case !has("20060102", Monthly, Daily):
		return Daily
	}
	return Hourly
}

// send stores the file at every destination that does not have it, all at once.
func (r *Runner) send(ctx context.Context, b *spooled) ([]Copy, error) {
	file, err := os.Open(b.file)
	if err != nil {
		return nil, spool{folder{r.Deps.SpoolFolder}}.explain(err)
	}
	defer func() { _ = file.Close() }()
	keep, _ := r.of(b.Class)
	copies := make([]Copy, len(r.list))
	var wg sync.WaitGroup
	for n, d := range r.list {
		wg.Go(func() {
			copies[n] = Copy{Destination: d.Label()}
			err := r.sendTo(ctx, d, Upload{Key: b.Key(), Content: file, Size: b.size, SHA256: b.sha256, Until: b.At.Add(keep)})
			if err != nil {
				p := health.Explain("The destination "+d.Label(), err)
				copies[n].err, copies[n].Problem = p, p.Error()
				r.Logger.Warn("store backup failed", "destination", d.Label(), "key", b.Key(), "err", err)
			}
		})
	}
	wg.Wait()
	return copies, ctx.Err()
}

func (r *Runner) sendTo(ctx context.Context, d Destination, u Upload) error {
	start, _, _ := strings.Cut(u.Key, "-") // the class and the time
	list, err := d.List(ctx, path.Dir(u.Key)+"/", start)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(list, func(s Stored) bool { return s.Key == u.Key && s.Size == u.Size }) {
		return nil
	}
	return d.Put(ctx, u)
}

// judge returns an error if a destination has no copy.
func (r *Runner) judge(out Result) *CopyError {
	stored, total := out.Stored(), len(out.Copies)
	if stored == total {
		return nil
	}
	first := out.Copies[slices.IndexFunc(out.Copies, func(c Copy) bool { return c.err != nil })]
	p := health.Explain("The destination "+first.Destination, first.err)
	e := &CopyError{&health.Problem{Cause: fmt.Sprintf("A backup has %d of %d copies: %s", stored, total, p.Cause), Fix: p.Fix, Err: first.err}, stored < r.CopiesRequired}
	if e.IsFailed {
		e.Cause = fmt.Sprintf("A backup failed: it has %d copies, and copies_required is %d. %s", stored, r.CopiesRequired, p.Cause)
	}
	return e
}

// prepareFolders removes the rests of killed processes in folders, and creates the one for
// reports.
func (r *Runner) prepareFolders() {
	for _, d := range r.list {
		f, ok := d.(folder)
		if !ok {
			continue
		}
		_ = f.makeFolder(filepath.Join(f.path, proofFolder)) // for the user of the proof. Sending reports its failure
		for _, class := range classes {
			removePartial(f.path+"/"+string(class), time.Now())
		}
		for _, other := range []string{"", checkpointFolder, proofFolder} { // these have several writers
			removePartial(f.path+"/"+other, time.Now().Add(-time.Hour))
		}
	}
}

// prune deletes expired backups from a folder. A backup is expired if it is older than keep
// of its class, and as many newer ones exist as fit into this time. A clock that is wrong
// therefore deletes one backup at a time. Files with other names stay.
func (r *Runner) prune(ctx context.Context, f folder) {
	var errs []error
	for _, class := range classes {
		keep, interval := r.of(class)
		list, err := f.List(ctx, string(class)+"/", "")
		errs = append(errs, err)
		list = slices.DeleteFunc(list, func(s Stored) bool {
			o, ok := parseKey(s.Key)
			return !ok || o.Origin != shortOrigin(r.Origin)
		})
		least := max(int(keep/interval), 1)
		for n, s := range list {
			o, _ := parseKey(s.Key)
			if len(list)-n > least && r.Clock().Sub(o.At) > keep {
				errs = append(errs, f.remove(s.Key))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		r.Logger.Warn("prune backups failed", "destination", f.Label(), "err", err)
	}
}
