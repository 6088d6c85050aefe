package backup_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bot/backup"
	"tocsin/bot/health"
	"tocsin/bot/sandbox/aws"
)

// instance is an instance with a content that changes.
type instance struct {
	backup.Config
	spool, identity string
	content         string
	now             time.Time
	exportErr       error
	exports         int
}

// newInstance returns an instance that encrypts to a new identity.
func newInstance(t *testing.T, addresses ...string) *instance {
	t.Helper()
	i := &instance{Config: to(addresses...), spool: filepath.Join(t.TempDir(), "spool"), content: "first", now: time.Date(2026, 11, 30, 21, 0, 0, 0, time.UTC)}
	file, recipient := newIdentity(t)
	i.identity, i.Recipients, i.CopiesRequired = file, []string{recipient}, len(addresses)
	return i
}

func (i *instance) runner(t *testing.T, a *aws.Account) *backup.Runner {
	return backup.NewRunner(i.Config, open(t, a, i.Config), backup.Deps{Origin: "tocsin/3f2a", SpoolFolder: i.spool, Clock: func() time.Time { return i.now },
		Export: func(_ context.Context, w io.Writer) (backup.Snapshot, error) {
			i.exports++
			_, err := io.WriteString(w, i.content)
			return backup.Snapshot{At: i.now, Rows: 7}, errors.Join(err, i.exportErr)
		}})
}

// files returns the paths of all files below folders, without locks.
func files(t *testing.T, folders ...string) (out []string) {
	t.Helper()
	for _, folder := range folders {
		_ = filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() && e.Name() != ".lock" {
				out = append(out, path)
			}
			return nil
		})
	}
	return out
}

// decrypted returns the content of a backup.
func (i *instance) decrypted(t *testing.T, file string) string {
	t.Helper()
	ids, err := backup.LoadIdentities(i.identity)
	if err != nil {
		t.Fatal(err)
	}
	r, err := backup.Open(context.Background(), file, ids)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestRun_TwoCopies(t *testing.T) {
	useSandboxKeys(t)
	dir := t.TempDir()
	i := newInstance(t, "dir:"+dir, bucketAddress)
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, aws.Bucket{ObjectLock: true})
		i.now = time.Now().UTC()
		for n, class := range []string{"monthly", "hourly", "daily", "monthly"} {
			i.now = i.now.Add([]time.Duration{0, time.Hour, 24 * time.Hour, 31 * 24 * time.Hour}[n])
			i.content = class
			result, err := i.runner(t, a).Run(context.Background(), i.now)
			if err != nil || result.Stored() != 2 || !strings.HasPrefix(result.Key, class+"/") || result.Rows != 7 {
				t.Fatalf("got %+v, %v, want 2 copies of the class %s", result, err, class)
			}
			if got := i.decrypted(t, filepath.Join(dir, result.Key)); got != class {
				t.Errorf("got %q", got)
			}
			objects := a.Objects("backups")
			at := slices.IndexFunc(objects, func(o aws.StoredObject) bool { return o.Key == "tocsin/"+result.Key })
			if at < 0 {
				t.Fatalf("got no %s in the bucket", result.Key)
			}
			keep := map[string]time.Duration{"hourly": 72 * time.Hour, "daily": 35 * 24 * time.Hour, "monthly": 400 * 24 * time.Hour}[class]
			if got := objects[at].Until; !got.Equal(i.now.Truncate(time.Second).Add(keep)) {
				t.Errorf("%s is locked until %s, want %s after %s", class, got, keep, i.now)
			}
			if raw, _ := os.ReadFile(filepath.Join(dir, result.Key)); string(raw) != string(objects[at].Data) {
				t.Error("the destinations have different files")
			}
		}
	})
	if left := files(t, i.spool); left != nil {
		t.Errorf("the spool has %v, want nothing", left)
	}
}

// TestRun_OneMonthlyBackupAMonth makes a backup each day of some months, which have different lengths.
func TestRun_OneMonthlyBackupAMonth(t *testing.T) {
	dir := t.TempDir()
	i := newInstance(t, "dir:"+dir)
	i.Keep.Daily, i.now = 400*24*time.Hour, time.Date(2026, 1, 1, 3, 0, 0, 0, time.UTC)
	for ; i.now.Month() < time.July; i.now = i.now.AddDate(0, 0, 1) {
		result, err := i.runner(t, nil).Run(context.Background(), i.now)
		if err != nil {
			t.Fatal(err)
		}
		if isFirst := i.now.Day() == 1; strings.HasPrefix(result.Key, "monthly/") != isFirst {
			t.Errorf("%s: got %s", i.now.Format(time.DateOnly), result.Key)
		}
	}
}

// TestRun_RetrySendsTheSameFile fails at one destination first.
func TestRun_RetrySendsTheSameFile(t *testing.T) {
	useSandboxKeys(t)
	dir := t.TempDir()
	i := newInstance(t, "dir:"+dir, bucketAddress)
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, aws.Bucket{ObjectLock: true})
		i.now = time.Now().UTC()
		due := i.now
		a.Fail(aws.Fault{Op: "s3:PutObject", Status: 403, Code: "AccessDenied"})
		first, err := i.runner(t, a).Run(context.Background(), due)
		var failed *backup.CopyError
		if !errors.As(err, &failed) || !failed.IsFailed || !strings.Contains(err.Error(), "it has 1 copies, and copies_required is 2. The bucket s3://backups/tocsin") || !strings.Contains(err.Error(), "Allow the role") {
			t.Fatalf("got %+v, %v", first, err)
		}
		if first.Copies[0].Problem != "" || !strings.Contains(first.Copies[1].Problem, "Allow the role") {
			t.Errorf("got %+v", first.Copies)
		}
		i.CopiesRequired = 1
		if _, err := i.runner(t, a).Run(context.Background(), due); !errors.As(err, &failed) || failed.IsFailed || !strings.Contains(err.Error(), "has 1 of 2 copies") {
			t.Errorf("enough copies: got %v, want an error that is not a failure", err)
		}
		a.Heal()
		i.now, i.content = i.now.Add(5*time.Minute), "second"
		second, err := i.runner(t, a).Run(context.Background(), due)
		if err != nil || second.Key != first.Key || i.exports != 1 || len(a.Objects("backups")) != 1 || len(files(t, dir)) != 1 {
			t.Errorf("got %+v, %v after %d exports, want the file of the first attempt", second, err, i.exports)
		}
		if left := files(t, i.spool); left != nil {
			t.Errorf("the spool has %v, want nothing", left)
		}
		// The file of a failed attempt is not the backup of the next interval.
		a.Fail(aws.Fault{Op: "s3:PutObject", Status: 403, Code: "AccessDenied"})
		_, _ = i.runner(t, a).Run(context.Background(), i.now)
		a.Heal()
		i.now, i.content = i.now.Add(time.Hour), "third"
		third, err := i.runner(t, a).Run(context.Background(), i.now)
		if err != nil || i.decrypted(t, filepath.Join(dir, third.Key)) != "third" || files(t, i.spool) != nil {
			t.Errorf("got %+v, %v, want a new export and an empty spool", third, err)
		}
	})
}

func TestRun_FailedExportLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	i := newInstance(t, "dir:"+dir)
	i.exportErr = errors.New("the database is gone")
	if _, err := i.runner(t, nil).Run(context.Background(), i.now); !errors.Is(err, i.exportErr) {
		t.Errorf("got %v, want the error of the export", err)
	}
	if left := files(t, i.spool, dir); left != nil {
		t.Errorf("got %v, want no files", left)
	}
}

// TestRun_DamagedSpool changes the file of a failed attempt.
func TestRun_DamagedSpool(t *testing.T) {
	dir := t.TempDir()
	i := newInstance(t, "dir:"+filepath.Join(dir, "later"))
	if _, err := i.runner(t, nil).Run(context.Background(), i.now); err == nil {
		t.Fatal("got no error from a destination that does not exist")
	}
	left := files(t, i.spool)
	if len(left) != 1 {
		t.Fatalf("got %v, want the file in the spool", left)
	}
	if err := os.Truncate(left[0], 50); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "later"), 0o700); err != nil {
		t.Fatal(err)
	}
	result, err := i.runner(t, nil).Run(context.Background(), i.now)
	if err != nil || i.exports != 2 || i.decrypted(t, filepath.Join(dir, "later", result.Key)) != "first" {
		t.Errorf("got %+v, %v after %d exports, want another export", result, err, i.exports)
	}
}

func TestRun_OneAtATime(t *testing.T) {
	i := newInstance(t, "dir:"+t.TempDir())
	var inner error
	r := backup.NewRunner(i.Config, open(t, nil, i.Config), backup.Deps{Origin: "tocsin/3f2a", SpoolFolder: i.spool, Export: func(ctx context.Context, _ io.Writer) (backup.Snapshot, error) {
		_, inner = i.runner(t, nil).Run(ctx, i.now)
		return backup.Snapshot{At: i.now}, nil
	}})
	if _, err := r.Run(context.Background(), i.now); err != nil {
		t.Fatal(err)
	}
	if inner == nil || !strings.Contains(inner.Error(), "another backup is being made") {
		t.Errorf("got %v from the second backup, want a refusal", inner)
	}
}

func TestRun_Prune(t *testing.T) {
	dir := t.TempDir()
	i := newInstance(t, "dir:"+dir)
	i.Every, i.Keep.Hourly = 6*time.Hour, 24*time.Hour
	foreign := []string{"hourly/notes.txt", "hourly/20200101T000000Z-aaaa-0123456789abcdef0123456789abcdef.tocsin.age"}
	if err := os.Mkdir(filepath.Join(dir, "hourly"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range foreign {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	count := func(class string) (n int) {
		for _, f := range files(t, filepath.Join(dir, class)) {
			if strings.Contains(f, "-3f2a-") {
				n++
			}
		}
		return n
	}
	start := i.now
	for n := range 40 {
		i.now = start.Add(time.Duration(n) * 6 * time.Hour)
		if _, err := i.runner(t, nil).Run(context.Background(), i.now); err != nil {
			t.Fatal(err)
		}
	}
	if got := count("hourly"); got < 4 || got > 5 {
		t.Errorf("got %d hourly backups of 24h, want 4 or 5", got)
	}
	before := count("hourly")
	i.now = i.now.AddDate(10, 0, 0) // a wrong clock
	if _, err := i.runner(t, nil).Run(context.Background(), i.now); err != nil {
		t.Fatal(err)
	}
	if got := count("hourly"); got < before-1 {
		t.Errorf("a wrong clock left %d of %d hourly backups", got, before)
	}
	for _, name := range foreign {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRun_RefusesReplacedDatabase makes no backup of a database that began after a backup of the instance.
func TestRun_RefusesReplacedDatabase(t *testing.T) {
	dir := t.TempDir()
	i := newInstance(t, "dir:"+dir)
	run := func(born time.Time) error {
		r := i.runner(t, nil)
		r.Born = func(context.Context) (time.Time, error) { return born, nil }
		_, err := r.Ensure(t.Context(), i.now)
		return err
	}
	first := i.now
	if err := run(first.Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	i.now, i.content = i.now.Add(time.Hour), "second"
	before := files(t, dir)
	var problem *health.Problem
	if err := run(first.Add(30 * time.Minute)); !errors.As(err, &problem) || !strings.Contains(problem.Cause, "2026-11-30 21:00 UTC") || !strings.Contains(problem.Fix, "restore the backup") {
		t.Errorf("a database that began after the backup: got %v", err)
	}
	if after := files(t, dir); !slices.Equal(before, after) {
		t.Errorf("got the files %v, want %v", after, before)
	}
	for name, born := range map[string]time.Time{"the same database": first.Add(-time.Minute), "a restored one": {}, "another clock": first.Add(4 * time.Minute)} {
		if err := run(born); err != nil {
			t.Errorf("%s: got %v", name, err)
		}
		i.now = i.now.Add(time.Hour)
	}
}
