package doctor_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tocsin/bot/backup"
	"tocsin/bot/doctor"
	"tocsin/bot/sandbox/aws"
	"tocsin/store"
)

const recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"

// withBackups configures a folder and a bucket, and makes a backup of some time ago.
func (i *installation) withBackups(age time.Duration) (folder string) {
	i.Helper()
	folder = i.TempDir()
	i.aws.AddBucket(aws.Bucket{Name: "backups", ObjectLock: true})
	c := &i.config.Backup
	c.Recipients, c.To = []string{recipient}, []string{"dir:" + folder, "s3://backups/tocsin?region=eu-west-1&endpoint=" + i.config.Sources.Trail.Endpoint}
	c.CopiesRequired = 2
	ds, err := c.Destinations(backup.DestinationDeps{})
	if err != nil {
		i.Fatal(err)
	}
	at := time.Now().Add(-age)
	r := backup.NewRunner(*c, ds, backup.Deps{Origin: i.origin(), SpoolFolder: i.TempDir(), Clock: func() time.Time { return at },
		Export: func(_ context.Context, w io.Writer) (backup.Snapshot, error) {
			_, err := io.WriteString(w, "rows")
			return backup.Snapshot{At: at}, err
		}})
	if _, err := r.Run(i.Context(), at); err != nil {
		i.Fatal(err)
	}
	return folder
}

func (i *installation) keys() *store.Keyset {
	i.Helper()
	keys, err := store.LoadKeyset(i.keyset)
	if err != nil {
		i.Fatal(err)
	}
	return keys
}

// origin returns the name of the instance.
func (i *installation) origin() string {
	i.Helper()
	key, err := i.keys().Notary()
	if err != nil {
		i.Fatal(err)
	}
	return backup.Origin(key.Verifier())
}

// report stores a report of a proof.
func (i *installation) report(at time.Time, problems ...string) {
	i.Helper()
	ds, err := i.config.Backup.Destinations(backup.DestinationDeps{})
	if err == nil {
		err = ds.PutReport(i.Context(), backup.Report{Origin: i.origin(), At: at.Truncate(time.Second), Key: "daily/x", Problems: problems}, i.keys())
	}
	if err != nil {
		i.Fatal(err)
	}
}

func TestRun_Backup(t *testing.T) {
	const bucket = "backup to s3://backups/tocsin"
	for name, test := range map[string]struct {
		change func(*installation, string)
		check  string
		status doctor.Status
		want   string
	}{
		"works":        {func(*installation, string) {}, "newest backup", doctor.OK, "and 2 destinations have it"},
		"writable":     {func(*installation, string) {}, bucket, doctor.OK, "Tocsin can write to it"},
		"not proven":   {func(*installation, string) {}, "backup proof", doctor.Warning, "Nothing has proven yet"},
		"proven":       {func(i *installation, _ string) { i.report(time.Now()) }, "backup proof", doctor.OK, "A backup restored in"},
		"failed proof": {func(i *installation, _ string) { i.report(time.Now(), "the copy is damaged") }, "backup proof", doctor.Failed, "does not restore: the copy is damaged"},
		"no backups":   {func(i *installation, _ string) { i.config.Backup = backup.Defaults() }, "backup", doctor.Warning, "a lost disk loses every incident"},
		"folder is gone": {func(i *installation, folder string) {
			if err := os.Rename(folder, folder+".lost"); err != nil {
				i.Fatal(err)
			}
		}, "backup to dir:", doctor.Failed, "does not exist"},
		"bucket is gone": {func(i *installation, _ string) {
			i.config.Backup.To[1] = strings.Replace(i.config.Backup.To[1], "backups", "other", 1)
		}, "backup to s3://other/tocsin", doctor.Failed, "NoSuchBucket"},
		"denied": {func(i *installation, _ string) {
			i.aws.Fail(aws.Fault{Op: "s3:PutObject", Status: 403, Code: "AccessDenied"})
		}, bucket, doctor.Failed, "AccessDenied"},
		"no backup yet": {func(i *installation, folder string) {
			i.config.Backup.To, i.config.Backup.CopiesRequired = []string{"dir:" + i.TempDir()}, 1
		}, "newest backup", doctor.Warning, "There is none yet"},
		"fewer copies": {func(i *installation, folder string) {
			if err := os.Rename(filepath.Join(folder, "monthly"), filepath.Join(folder, "elsewhere")); err != nil {
				i.Fatal(err)
			}
		}, "newest backup", doctor.Failed, "No backup has 2 copies"},
	} {
		t.Run(name, func(t *testing.T) {
			i := install(t)
			folder := i.withBackups(10 * time.Minute)
			test.change(i, folder)
			if test.check == "backup to dir:" {
				test.check += folder
			}
			found, failed := i.run()
			got := found[test.check]
			if got.Status != test.status || !strings.Contains(got.Text, test.want) || got.Status != doctor.OK && got.Fix == "" || failed != (test.status == doctor.Failed) {
				t.Errorf("got %+v and failed %v, want %s with %q and a fix", got, failed, test.status, test.want)
			}
		})
	}
	t.Run("late", func(t *testing.T) {
		i := install(t)
		i.withBackups(3 * time.Hour)
		if found, failed := i.run(); !failed || !strings.Contains(found["newest backup"].Text, "The newest backup was made at") {
			t.Errorf("got %+v, want a late backup", found["newest backup"])
		}
	})
}
