package backup_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bot/backup"
	"tocsin/bot/sandbox/aws"
	"tocsin/store"
)

// proof returns the options of a proof that reads the stream to its end.
func (i *instance) proof(t *testing.T, temp string) backup.ProofOptions {
	t.Helper()
	ids, err := backup.LoadIdentities(i.identity)
	if err != nil {
		t.Fatal(err)
	}
	return backup.ProofOptions{Config: i.Config, Origin: "tocsin/3f2a", Identities: ids, Clock: func() time.Time { return i.now }, Temp: temp,
		Restore: func(_ context.Context, folder string, open func() (io.ReadCloser, error)) (backup.Restored, error) {
			r, err := open()
			if err != nil {
				return backup.Restored{}, err
			}
			defer r.Close()
			raw, err := io.ReadAll(r)
			if err == nil {
				err = os.WriteFile(filepath.Join(folder, "proof.db"), raw, 0o600)
			}
			return backup.Restored{UsableAt: i.now.Add(2 * time.Second), BackupAt: i.now, Rows: int64(len(raw))}, err
		}}
}

// makeBackups makes a backup each hour.
func (i *instance) makeBackups(t *testing.T, a *aws.Account, number int) (keys []string) {
	t.Helper()
	for range number {
		result, err := i.runner(t, a).Run(context.Background(), i.now)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, result.Key)
		i.now = i.now.Add(time.Hour)
	}
	return keys
}

func newKeyset(t *testing.T) *store.Keyset {
	t.Helper()
	k, err := store.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestProve_ReportReachesTheBot(t *testing.T) {
	useSandboxKeys(t)
	i := newInstance(t, "dir:"+t.TempDir(), bucketAddress)
	keys := newKeyset(t)
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		a := newAccount(t, aws.Bucket{ObjectLock: true})
		i.now = time.Now().UTC()
		i.makeBackups(t, a, 3)
		ds, temp := open(t, a, i.Config), t.TempDir()
		if _, err := ds.NewestReport(ctx, "tocsin/3f2a", i.now, keys); !errors.Is(err, backup.ErrNotFound) {
			t.Errorf("got %v before the first report, want ErrNotFound", err)
		}
		report, err := ds.Prove(ctx, i.proof(t, temp))
		if err != nil || !report.IsProof() || report.Rows != 5 || report.RTOSeconds != 2 || report.RPOSeconds != 3600 {
			t.Fatalf("got %+v, %v, want a proof after 2 s with a backup of an hour ago", report, err)
		}
		if left := files(t, temp); left != nil {
			t.Errorf("got %v after the proof, want no files", left)
		}
		if err := ds.PutReport(ctx, report, keys); err != nil {
			t.Fatal(err)
		}
		if got, err := ds.NewestReport(ctx, "tocsin/3f2a", i.now, keys); err != nil || got.Key != report.Key || !got.At.Equal(report.At) {
			t.Errorf("got %+v, %v, want %+v", got, err, report)
		}
		if _, err := ds.NewestReport(ctx, "tocsin/3f2a", i.now, newKeyset(t)); err == nil || !strings.Contains(err.Error(), "is not signed with the keyset of this instance") {
			t.Errorf("another keyset: got %v, want a refusal", err)
		}
		if _, err := ds.NewestReport(ctx, "tocsin/aaaa", i.now, keys); !errors.Is(err, backup.ErrNotFound) {
			t.Errorf("another instance: got %v, want ErrNotFound", err)
		}
	})
}

// TestNewestReport_Replayed stores an old report under a new name.
func TestNewestReport_Replayed(t *testing.T) {
	dir := t.TempDir()
	i := newInstance(t, "dir:"+dir)
	keys, ctx := newKeyset(t), context.Background()
	i.makeBackups(t, nil, 1)
	ds := open(t, nil, i.Config)
	if err := ds.PutReport(ctx, backup.Report{Origin: "tocsin/3f2a", At: i.now.Truncate(time.Second)}, keys); err != nil {
		t.Fatal(err)
	}
	old := files(t, filepath.Join(dir, "proofs"))[0]
	raw, err := os.ReadFile(old)
	if err != nil {
		t.Fatal(err)
	}
	later := filepath.Join(dir, "proofs", i.now.Add(24*time.Hour).Format("20060102T150405Z")+"-3f2a.json")
	if err := os.WriteFile(later, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	failed := backup.Report{Origin: "tocsin/3f2a", At: i.now.Add(time.Hour).Truncate(time.Second), Problems: []string{"damaged"}}
	if err := ds.PutReport(ctx, failed, keys); err != nil {
		t.Fatal(err)
	}
	if got, err := ds.NewestReport(ctx, "tocsin/3f2a", i.now.Add(25*time.Hour), keys); err != nil || got.IsProof() {
		t.Errorf("got %+v, %v, want the failed proof, which the copy of the old report does not hide", got, err)
	}
	if err := os.WriteFile(old, []byte(strings.Replace(string(raw), `"rows":0`, `"rows":7`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := ds.NewestReport(ctx, "tocsin/3f2a", i.now, keys); err == nil {
		t.Errorf("got the altered report %+v, want an error", got)
	}
}

// TestProve_Failures has a row for each copy that does not restore.
func TestProve_Failures(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(t *testing.T, i *instance, file string)
		want   string
	}{
		"truncated": {func(t *testing.T, _ *instance, file string) {
			if err := os.Truncate(file, 220); err != nil {
				t.Fatal(err)
			}
		}, "damaged or truncated"},
		"replaced by another backup of the recipient": {func(t *testing.T, i *instance, file string) {
			i.now, i.content = i.now.Add(time.Hour), "other"
			other := *i
			other.Config = to("dir:" + t.TempDir())
			other.Recipients = i.Recipients
			key := other.makeBackups(t, nil, 1)[0]
			raw, err := os.ReadFile(filepath.Join(strings.TrimPrefix(other.To[0], "dir:"), key))
			if err == nil {
				err = os.WriteFile(file, raw, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, "its SHA-256 is not the one in its name"},
		"lost recipient": {func(t *testing.T, i *instance, _ string) { i.identity, _ = newIdentity(t) }, "does not open this backup, which is encrypted to age1"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, temp := t.TempDir(), t.TempDir()
			i := newInstance(t, "dir:"+dir)
			key := i.makeBackups(t, nil, 1)[0]
			tt.change(t, i, filepath.Join(dir, key))
			report, err := open(t, nil, i.Config).Prove(context.Background(), i.proof(t, temp))
			if err != nil || len(report.Problems) != 1 || !strings.Contains(report.Problems[0], tt.want) {
				t.Errorf("got %+v, %v, want %q", report, err, tt.want)
			}
			report, err = open(t, nil, i.Config).ProveFile(context.Background(), filepath.Join(dir, key), i.proof(t, temp))
			if err != nil || report.IsProof() || report.RPOSeconds != 0 {
				t.Errorf("one file: got %+v, %v, want a problem and no age", report, err)
			}
			if left := files(t, temp); left != nil {
				t.Errorf("got %v after the proof, want no files", left)
			}
		})
	}
}

func TestProve_ChoosesEveryCopy(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	i := newInstance(t, "dir:"+first, "dir:"+second)
	i.makeBackups(t, nil, 3)
	seen := map[string]bool{}
	for range 200 {
		report, err := open(t, nil, i.Config).Prove(context.Background(), i.proof(t, t.TempDir()))
		if err != nil || !report.IsProof() {
			t.Fatalf("got %+v, %v", report, err)
		}
		seen[report.From+report.Key] = true
	}
	if len(seen) != 6 {
		t.Errorf("got %d different copies in 200 proofs, want all 6", len(seen))
	}
	o := i.proof(t, t.TempDir())
	o.From = "dir:" + second
	if report, err := open(t, nil, i.Config).Prove(context.Background(), o); err != nil || report.From != o.From {
		t.Errorf("got %+v, %v, want a copy of %s", report, err, o.From)
	}
	o.From = "dir:/elsewhere"
	if _, err := open(t, nil, i.Config).Prove(context.Background(), o); err == nil || !strings.Contains(err.Error(), "Use one of: dir:"+first) {
		t.Errorf("got %v, want the destinations", err)
	}
}

func TestProofStatus(t *testing.T) {
	c := backup.Defaults()
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	day := func(d, h, m int) time.Time { return time.Date(2026, 11, d, h, m, 0, 0, paris) }
	for name, tt := range map[string]struct {
		report, oldest, now time.Time
		problems            []string
		want                string
	}{
		"no backup":                  {now: day(30, 8, 0)},
		"backup of today":            {oldest: day(30, 5, 0), now: day(30, 8, 0)},
		"never proven":               {oldest: day(29, 5, 0), now: day(30, 7, 1), want: "Nothing has proven"},
		"still time for the first":   {oldest: day(29, 5, 0), now: day(30, 6, 59)},
		"proven today":               {report: day(30, 4, 0), oldest: day(1, 0, 0), now: day(30, 23, 0)},
		"proven by hand before":      {report: day(29, 22, 0), oldest: day(1, 0, 0), now: day(30, 7, 1), want: "The last proof"},
		"late, within the tolerance": {report: day(29, 4, 5), oldest: day(1, 0, 0), now: day(30, 6, 59)},
		"stale":                      {report: day(29, 4, 5), oldest: day(1, 0, 0), now: day(30, 7, 0), want: "The last proof that a backup restores was at 2026-11-29 03:05 UTC"},
		"failed":                     {report: day(30, 4, 0), oldest: day(1, 0, 0), now: day(30, 5, 0), problems: []string{"the copy is damaged"}, want: "does not restore: the copy is damaged"},
		"clock an hour back":         {report: day(30, 4, 0), oldest: day(1, 0, 0), now: day(30, 3, 0)},
	} {
		s := c.ProofStatus(backup.Report{At: tt.report, Problems: tt.problems}, tt.oldest, tt.now, paris)
		switch {
		case tt.want == "" && s.Problem != nil, tt.want != "" && (s.Problem == nil || !strings.Contains(s.Problem.Cause, tt.want)):
			t.Errorf("%s: got %v, want %q", name, s.Problem, tt.want)
		case s.Problem != nil && s.Problem.Since.After(tt.now):
			t.Errorf("%s: the problem begins in the future, at %s", name, s.Problem.Since)
		}
	}
}

func TestCatalogue(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	i := newInstance(t, "dir:"+first, "dir:"+second)
	keys := i.makeBackups(t, nil, 4)
	ctx, ds := context.Background(), open(t, nil, i.Config)
	remove := func(path string) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	remove(filepath.Join(first, keys[3]))
	if err := os.Truncate(filepath.Join(second, keys[2]), 100); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(second, keys[1]))
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-1] ^= 1
	if err := os.WriteFile(filepath.Join(second, keys[1]), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	states := func(all backup.Catalogue) (out []string) {
		for _, e := range all.Backups {
			out = append(out, string(e.Copies[0].State)+" "+string(e.Copies[1].State))
		}
		return out
	}
	all := ds.Catalogue(ctx, "tocsin/3f2a", i.now, false)
	if got, want := strings.Join(states(all), ", "), "missing ok, ok damaged, ok ok, ok ok"; got != want || !all.HasProblem() {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := strings.Join(states(ds.Catalogue(ctx, "", i.now, true)), ", "), "missing ok, ok damaged, ok damaged, ok ok"; got != want {
		t.Errorf("with check: got %s, want %s", got, want)
	}
	if e, ok := all.Newest(2); !ok || e.Key != keys[1] {
		t.Errorf("got %s with two copies, want %s", e.Key, keys[1])
	}
	if e, ok := all.Newest(1); !ok || e.Key != keys[3] || e.Age != time.Hour {
		t.Errorf("got %s of %s with a copy, want %s of an hour ago", e.Key, e.Age, keys[3])
	}
	// The clock was an hour ahead when the last backups were made.
	early := ds.Catalogue(ctx, "tocsin/3f2a", i.now.Add(-2*time.Hour), false)
	if e, _ := early.Newest(1); e.Key != keys[2] || early.Backups[0].Age != 0 || !early.Backups[0].IsFuture {
		t.Errorf("got %s, and %+v for a backup of the future", e.Key, early.Backups[0])
	}
	if err := os.Rename(first, first+".lost"); err != nil {
		t.Fatal(err)
	}
	lost := ds.Catalogue(ctx, "tocsin/3f2a", i.now, false)
	if lost.Err() == nil || lost.Destinations[0].Problem == "" || lost.Backups[0].Copies[0].State != backup.CopyUnreachable {
		t.Errorf("got %+v, want the destination that does not answer", lost.Destinations)
	}
}
