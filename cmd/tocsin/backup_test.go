//go:build !race

package main_test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"tocsin/bot/backup"
	"tocsin/bot/notary"
	"tocsin/bot/sandbox/aws"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/feed"
	"tocsin/store"
	"tocsin/store/storetest"
)

// backupTest is a bot with two destinations: a folder and a bucket.
type backupTest struct {
	*botProcess
	aws              *aws.Account
	folder, identity string
	alerts           int
}

func startBackupTest(t *testing.T) *backupTest {
	t.Helper()
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "AKIASANDBOX", "AWS_SECRET_ACCESS_KEY": "sandbox-secret", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull} {
		t.Setenv(name, value)
	}
	f := &backupTest{aws: aws.New(aws.Config{}), folder: t.TempDir(), identity: filepath.Join(t.TempDir(), "identity.txt")}
	t.Cleanup(func() { _ = f.aws.Close() })
	f.aws.AddBucket(aws.Bucket{Name: "backups", ObjectLock: true})
	endpoint, err := f.aws.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	id, err := age.GenerateX25519Identity()
	if err == nil {
		err = os.WriteFile(f.identity, []byte(id.String()+"\n"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.botProcess = startBot(t, storetest.SQLite(t), company.Options{Seed: 29, Limits: chat.Limits{Off: true}}, func(config map[string]any) {
		config["backup"] = map[string]any{"recipients": []any{id.Recipient().String()}, "copies_required": 2,
			"to": []any{"dir:" + f.folder, "s3://backups/tocsin?region=eu-west-1&endpoint=" + endpoint}}
	})
	return f
}

// tocsin runs a command and returns its output with its error message.
func (f *backupTest) tocsin(args ...string) (string, error) {
	out, err := f.run(args...)
	if err != nil {
		out += err.Error()
	}
	return out, err
}

// list returns the backups, and requires that no copy is damaged.
func (f *backupTest) list() []backup.Entry {
	f.t.Helper()
	out, err := f.tocsin("backup", "list", "--check", "--json")
	var all backup.Catalogue
	if err != nil || json.Unmarshal([]byte(out), &all) != nil {
		f.t.Fatalf("list: got %v, %s", err, out)
	}
	return all.Backups
}

// sendAlert requires that the bot accepts an alert and opens an incident.
func (f *backupTest) sendAlert() {
	f.t.Helper()
	f.alerts++
	answer, err := f.company.Trail.Deliver(f.t.Context(), feed.StopLogging(uint64(f.alerts)), feed.Copy{N: f.alerts})
	if err != nil || answer.Status != http.StatusAccepted {
		f.t.Fatalf("alert %d: got %+v, %v", f.alerts, answer, err)
	}
	f.waitFor(time.Minute, "an incident", func() bool { return f.queryInt("SELECT count(*) FROM alerts") == f.alerts })
}

// verify runs the proof.
func (f *backupTest) verify(args ...string) (string, error) {
	return f.tocsin(append([]string{"backup", "verify", "--identity", f.identity, "--temp", f.dir}, args...)...)
}

func (f *backupTest) readyz() string { _, body := f.httpGet("/readyz"); return body }

func TestBackup_ThroughTheDoors(t *testing.T) {
	f := startBackupTest(t)
	f.sendAlert()
	if out, err := f.tocsin("backup", "now"); err != nil || !strings.Contains(out, "at 2 of 2 destinations") {
		t.Fatalf("now: got %v, %s", err, out)
	}
	if list := f.list(); len(list) != 1 || list[0].Stored() != 2 || list[0].Class != backup.Monthly {
		t.Fatalf("got %+v, want a monthly backup with two copies", list)
	}
	for _, from := range []string{"dir:" + f.folder, "s3://backups/tocsin"} {
		if out, err := f.verify("--from", from); err != nil || !strings.Contains(out, "restores\n") {
			t.Fatalf("verify from %s: got %v, %s", from, err, out)
		}
	}
	// The bot reads the report with its next probe.
	f.mustRun("backup", "now")
	f.waitFor(time.Minute, "the report in the metrics", func() bool {
		_, body := f.httpGet("/metrics")
		return !strings.Contains(body, "tocsin_backup_verified_age_seconds NaN") && !strings.Contains(body, "tocsin_backup_rto_seconds NaN") && !strings.Contains(body, "tocsin_backup_age_seconds NaN")
	})
	f.makeDue("backup_proof")
	f.waitFor(time.Minute, "the audit entry", func() bool { return f.queryInt("SELECT count(*) FROM audit WHERE action = 'backup proof'") == 1 })

	if out, err := f.verify("--identity", f.newIdentity()); err == nil {
		t.Errorf("got %s with another identity, want an error", out)
	}
	f.mustRun("backup", "now")
	f.waitFor(time.Minute, "the part backup proof", func() bool { return strings.Contains(f.readyz(), `"part":"backup proof"`) })

	// Backups fail, and alerts go on.
	for name, fault := range map[string]aws.Fault{"denied": {Status: 403, Code: "AccessDenied"}, "hang": {Delay: time.Hour}, "wrong checksum": {Status: 400, Code: "BadDigest"}} {
		fault.Op = "s3:PutObject"
		if name == "hang" {
			f.testHang(fault)
			continue
		}
		f.aws.Fail(fault)
		out, err := f.tocsin("backup", "now")
		if err == nil || !strings.Contains(out, "A backup failed: it has 1 copies, and copies_required is 2") || !strings.Contains(out, fault.Code) {
			t.Errorf("%s: got %v, %s", name, err, out)
		}
		f.waitFor(time.Minute, "the degraded part", func() bool { return strings.Contains(f.readyz(), `"part":"backup"`) })
		f.sendAlert()
		f.aws.Heal()
	}
	f.makeDue("backup")
	before := f.aws.Count("s3:PutObject", http.StatusOK)
	f.waitFor(time.Minute, "the scheduled backup", func() bool { return f.aws.Count("s3:PutObject", http.StatusOK) > before })
	f.waitFor(time.Minute, "its end", func() bool { return f.list()[0].Stored() == 2 })
	f.checkVerify()

	f.updateConfig(func(config map[string]any) {
		config["backup"].(map[string]any)["to"] = []any{"dir:" + f.folder}
		config["backup"].(map[string]any)["copies_required"] = 1
	})
	f.mustRun("reload")
	if out := f.mustRun("backup", "now"); !strings.Contains(out, "at 1 of 1 destinations") {
		t.Errorf("after a reload: got %s, want one destination", out)
	}
}

// testHang kills the bot while it sends a backup to a bucket that does not answer.
func (f *backupTest) testHang(fault aws.Fault) {
	f.t.Helper()
	known := len(f.list())
	f.aws.Fail(fault)
	proc := exec.CommandContext(f.t.Context(), f.binary, "backup", "now", "-c", f.config)
	if err := proc.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.waitFor(time.Minute, "the copy in the folder", func() bool { return len(f.list()) > known })
	f.sendAlert()
	f.kill()
	_ = proc.Wait()
	f.aws.Heal()
	f.start()
	f.list() // no copy is damaged
	if out, err := f.tocsin("backup", "now"); err != nil {
		f.t.Errorf("after the kill: got %v, %s", err, out)
	}
	if left, _ := filepath.Glob(filepath.Join(f.folder, "*", ".partial-*")); left != nil {
		f.t.Errorf("got %v, want no rests", left)
	}
}

// makeDue makes a schedule due, after the second of the last backup.
func (f *backupTest) makeDue(name string) {
	f.t.Helper()
	db, err := sql.Open("sqlite", "file:"+strings.TrimPrefix(f.database, "sqlite:")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		f.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(f.t.Context(), "UPDATE schedules SET next_run_at = ? WHERE name = ?", time.Now().UTC().Add(2*time.Second).Format("2006-01-02 15:04:05+00:00"), name); err != nil {
		f.t.Fatal(err)
	}
}

func TestBackup_WithoutABot(t *testing.T) {
	f := startBackupTest(t)
	f.sendAlert()
	f.waitIdle(time.Minute)
	f.stop()
	f.mustRun("backup", "now")

	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"another identity": {[]string{"--identity", f.newIdentity()}, "does not open this backup, which is encrypted to age1"},
		"another keyset":   {[]string{"--keyset", f.newKeyset()}, "no destination has a backup of this instance"},
		"no destination":   {[]string{"--from", "dir:/elsewhere"}, "has no backup of this instance. Use one of: dir:" + f.folder},
		"a missing file":   {[]string{filepath.Join(f.dir, "missing.tocsin.age")}, "is neither a file nor the address of a backup"},
	} {
		if out, err := f.verify(tt.args...); err == nil || !strings.Contains(out, tt.want) {
			t.Errorf("%s: got %v, %s, want %q", name, err, out, tt.want)
		}
	}
	key := f.list()[0].Key
	for _, where := range []string{key, filepath.Join(f.folder, key), "s3://backups/tocsin/" + key, f.list()[0].Copies[1].Address} {
		if out, err := f.verify(where); err != nil {
			t.Errorf("%s: got %v, %s", where, err, out)
		}
	}

	// A killed proof leaves a folder, which the next one removes.
	f.aws.Fail(aws.Fault{Op: "s3:GetObject", Delay: time.Hour})
	proc := exec.CommandContext(t.Context(), f.binary, "backup", "verify", "-c", f.config, "--identity", f.identity, "--temp", f.dir, "--from", "s3://backups/tocsin")
	if err := proc.Start(); err != nil {
		t.Fatal(err)
	}
	rests := func() int { left, _ := filepath.Glob(filepath.Join(f.dir, "tocsin-proof-*")); return len(left) }
	f.waitFor(time.Minute, "the folder of the proof", func() bool { return rests() == 1 })
	if err := proc.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = proc.Wait()
	f.aws.Heal()
	if rests() != 1 {
		t.Fatal("the killed proof left no folder, so the test shows nothing")
	}
	if out, err := f.verify(); err != nil || rests() != 0 {
		t.Errorf("got %v, %s and %d folders, want none", err, out, rests())
	}

	// A published checkpoint of another history.
	checkpoint := f.contradictingCheckpoint()
	file := filepath.Join(f.dir, "checkpoint.txt")
	if err := os.WriteFile(file, []byte(checkpoint), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := f.verify("--checkpoint", file); err == nil || !strings.Contains(out, "does not restore") {
		t.Errorf("given checkpoint: got %v, %s", err, out)
	}
	published := filepath.Join(f.folder, "checkpoints", time.Now().UTC().Add(-time.Hour).Format("20060102T150405Z")+"-"+strings.Split(key, "-")[1]+"-7.txt")
	if err := os.MkdirAll(filepath.Dir(published), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(published, []byte(checkpoint), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := f.verify(); err == nil || !strings.Contains(out, "does not restore") {
		t.Errorf("published checkpoint: got %v, %s", err, out)
	}
	if err := os.Remove(published); err != nil {
		t.Fatal(err)
	}

	// A damaged copy is named, and the other one restores.
	file = filepath.Join(f.folder, key)
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(bytes.Clone(raw[:len(raw)-1]), raw[len(raw)-1]^1), 0o640); err != nil {
		t.Fatal(err)
	}
	if out, err := f.tocsin("backup", "list", "--check"); err == nil || !strings.Contains(out, "1 of 2, damaged at dir:"+f.folder) {
		t.Errorf("list: got %v, %s", err, out)
	}
	if out, err := f.verify("--from", "dir:"+f.folder); err == nil || !strings.Contains(out, "does not restore: 1 error") {
		t.Errorf("verify: got %v, %s", err, out)
	}
}

// contradictingCheckpoint returns a signed checkpoint of an hour ago with leaves that the
// backup does not have.
func (f *backupTest) contradictingCheckpoint() string {
	keys, err := store.LoadKeyset(f.keyset)
	if err != nil {
		f.t.Fatal(err)
	}
	key, err := keys.Notary()
	if err != nil {
		f.t.Fatal(err)
	}
	c, err := key.Sign(notary.Checkpoint{Size: 7, At: time.Now().Add(-time.Hour)})
	if err != nil {
		f.t.Fatal(err)
	}
	return c.Note
}

func (f *backupTest) newIdentity() string {
	id, err := age.GenerateX25519Identity()
	file := filepath.Join(f.dir, "other-identity.txt")
	if err == nil {
		err = os.WriteFile(file, []byte(id.String()+"\n"), 0o600)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return file
}

func (f *backupTest) newKeyset() string {
	file := filepath.Join(f.dir, "other-keyset")
	f.mustRun("keys", "create", file)
	return file
}

// TestBackup_ReadableIdentity starts the bot as a user who can read the identity.
func TestBackup_ReadableIdentity(t *testing.T) {
	f := startBackupTest(t)
	f.stop()
	f.updateConfig(func(config map[string]any) {
		config["backup"].(map[string]any)["verify"] = map[string]any{"identity": f.identity}
	})
	out, err := f.tocsin("serve")
	if err == nil || !strings.Contains(out, "backup.verify.identity: the user of Tocsin can read "+f.identity) {
		t.Errorf("got %v, %s, want a refusal", err, out)
	}
}
