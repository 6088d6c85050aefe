package backup_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bot/backup"
	"tocsin/bot/health"
	"tocsin/bot/sandbox/aws"
)

// large returns a content of three parts and a bit. Every seed has another one.
func large(seed byte) string {
	raw := make([]byte, 3*partSize+100)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(raw)
	return string(raw)
}

const (
	createParts   = "s3:CreateMultipartUpload"
	sendPart      = "s3:UploadPart"
	completeParts = "s3:CompleteMultipartUpload"
	abortParts    = "s3:AbortMultipartUpload"
)

func TestPartSizeOf(t *testing.T) {
	const gib = 1 << 30
	for size, want := range map[int64]int64{1: 64 << 20, 5 * gib: 64 << 20, 625 * gib: 64 << 20, 625*gib + 1: 64<<20 + 1, 50_000 * gib: 5 * gib} {
		got := backup.PartSizeOf(size, 64<<20)
		if parts := (size + got - 1) / got; got != want || parts > 10_000 {
			t.Errorf("%d bytes: got %d parts of %d bytes, want parts of %d", size, parts, got, want)
		}
	}
}

func TestParts_Lock(t *testing.T) {
	useSandboxKeys(t)
	for query, want := range map[string]string{"": "COMPLIANCE", "&lock=governance": "GOVERNANCE", "&lock=none": ""} {
		for _, size := range []int{partSize, partSize + 1, 2 * partSize, 3*partSize + 1} {
			synctest.Test(t, func(t *testing.T) {
				a := newAccount(t, aws.Bucket{ObjectLock: true})
				d := open(t, a, to(bucketAddress+query)).All()[0]
				u := upload(aKey, large(1)[:size])
				for range 2 { // a repeat is not an error
					if err := d.Put(context.Background(), u); err != nil {
						t.Fatal(err)
					}
				}
				o := a.Objects("backups")[0]
				if o.Lock != want || want != "" && o.Until.Sub(u.Until).Abs() > time.Second {
					t.Errorf("%q: got the lock %q until %s, want %q until %s", query, o.Lock, o.Until, want, u.Until)
				}
				parts := (size + partSize - 1) / partSize
				if parts == 1 {
					parts = 0 // one request
				}
				if got := a.Count(sendPart, 200); got != 2*parts {
					t.Errorf("%d bytes: got %d parts, want %d for each of 2 uploads", size, got, parts)
				}
				if list, err := d.List(context.Background(), "daily/", ""); err != nil || len(list) != 1 || list[0].Size != int64(size) || read(t, d, aKey) != large(1)[:size] {
					t.Errorf("%d bytes: got %v, %v, want the content", size, list, err)
				}
				if left := a.Unfinished("backups"); left != nil {
					t.Errorf("%d bytes: %v is unfinished", size, left)
				}
			})
		}
	}
}

// TestParts_Faults has rows for failures of each call that ends, and for those that do not.
func TestParts_Faults(t *testing.T) {
	useSandboxKeys(t)
	for _, op := range []string{createParts, sendPart, completeParts} {
		for name, tt := range map[string]struct {
			fault aws.Fault
			want  string // part of the error, or "" if the SDK overcomes the failure
		}{
			"500":            {aws.Fault{Status: 500, Code: "InternalError", Times: 2}, ""},
			"SlowDown":       {aws.Fault{Status: 503, Code: "SlowDown", Times: 3}, ""},
			"hang":           {aws.Fault{Delay: time.Hour, Times: 2}, ""},
			"lost answer":    {aws.Fault{LoseAnswer: true, Times: 1}, ""},
			"conflict":       {aws.Fault{Status: 409, Code: "ConditionalRequestConflict", Times: 1}, ""},
			"500 that stays": {aws.Fault{Status: 500, Code: "InternalError"}, `answers with the error "InternalError"`},
			"hang, stays":    {aws.Fault{Delay: time.Hour}, "does not answer in time"},
			"denied":         {aws.Fault{Status: 403, Code: "AccessDenied"}, "Allow the role of Tocsin to put, get and list objects"},
			"wrong checksum": {aws.Fault{Status: 400, Code: "BadDigest"}, "Check the disk of backup.spool"},
			"upload is gone": {aws.Fault{Status: 404, Code: "NoSuchUpload"}, "Let the lifecycle of the bucket retain unfinished uploads"},
		} {
			t.Run(op+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					a := newAccount(t, aws.Bucket{ObjectLock: true})
					d := open(t, a, to(bucketAddress)).All()[0]
					tt.fault.Op = op
					a.Fail(tt.fault)
					err := d.Put(context.Background(), upload(aKey, large(1)))
					isLate := tt.fault.Delay > 0 // S3 does the work, but the answer comes too late
					if left := a.Unfinished("backups"); len(left) > 0 && (op != createParts || !isLate && !tt.fault.LoseAnswer) {
						t.Errorf("%v is unfinished", left)
					}
					var problem *health.Problem
					switch {
					case tt.want == "":
						if err != nil || read(t, d, aKey) != large(1) {
							t.Errorf("got %v", err)
						}
					case !errors.As(err, &problem) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "s3://backups/tocsin"):
						t.Errorf("got %v, want %q with the name of the bucket", err, tt.want)
					case len(a.Objects("backups")) != 0 && !isLate:
						t.Error("the failure left an object")
					}
				})
			})
		}
	}
}

// TestParts_OnePartIsRepeated checks that a failure does not send the other parts again.
func TestParts_OnePartIsRepeated(t *testing.T) {
	useSandboxKeys(t)
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, aws.Bucket{ObjectLock: true})
		d := open(t, a, to(bucketAddress)).All()[0]
		u := upload(aKey, large(1))
		var once sync.Once
		u.Content = hookedReader{u.Content, func(at int64) {
			if at == partSize {
				once.Do(func() { a.Fail(aws.Fault{Op: sendPart, Status: 500, Code: "InternalError", Times: 2}) })
			}
		}}
		if err := d.Put(context.Background(), u); err != nil || read(t, d, aKey) != large(1) {
			t.Fatal(err)
		}
		if ok, failed := a.Count(sendPart, 200), a.Count(sendPart, 500); ok != 4 || failed != 2 {
			t.Errorf("got %d parts and %d failures, want 4 and 2", ok, failed)
		}
	})
}

// hookedReader calls a function before each read.
type hookedReader struct {
	io.ReaderAt
	hook func(at int64)
}

func (r hookedReader) ReadAt(p []byte, at int64) (int, error) {
	r.hook(at)
	return r.ReaderAt.ReadAt(p, at)
}

// TestParts_LostAnswer loses answers to the call that makes the object.
func TestParts_LostAnswer(t *testing.T) {
	useSandboxKeys(t)
	for _, code := range []string{"PreconditionFailed", "NoSuchUpload"} {
		synctest.Test(t, func(t *testing.T) {
			a := newAccount(t, aws.Bucket{ObjectLock: true})
			d := open(t, a, to(bucketAddress)).All()[0]
			a.Fail(aws.Fault{Op: completeParts, LoseAnswer: true, Times: 1})
			a.Fail(aws.Fault{Op: completeParts, Status: map[string]int{"PreconditionFailed": 412, "NoSuchUpload": 404}[code], Code: code, Times: 1})
			if err := d.Put(context.Background(), upload(aKey, large(1))); err != nil || read(t, d, aKey) != large(1) {
				t.Errorf("%s: got %v", code, err)
			}
			other := upload(aKey, large(2))
			if err := d.Put(context.Background(), other); err == nil || !strings.Contains(err.Error(), "has another object with the name of the new backup") {
				t.Errorf("%s: replace an object: got %v", code, err)
			}
			a.Fail(aws.Fault{Op: completeParts, Status: 404, Code: "NoSuchUpload", Times: 1})
			if err := d.Put(context.Background(), other); err == nil || !strings.Contains(err.Error(), "has another object with the name of the new backup") {
				t.Errorf("%s: replace an object after its upload is gone: got %v", code, err)
			}
			if left := a.Unfinished("backups"); left != nil || read(t, d, aKey) != large(1) {
				t.Errorf("%s: got the unfinished uploads %v, and want the first content", code, left)
			}
		})
	}
}

// TestParts_Changed sends a file that changes, or is cut, after its checksum was made.
func TestParts_Changed(t *testing.T) {
	useSandboxKeys(t)
	for name, change := range map[string]func(*backup.Upload){
		"changed": func(u *backup.Upload) { u.Content = strings.NewReader(large(2)) },
		"cut":     func(u *backup.Upload) { u.Content = strings.NewReader(large(1)[:2*partSize+5]) },
		"changes between checksum and request": func(u *backup.Upload) {
			first, reads := u.Content, 0
			u.Content = readerFunc(func(p []byte, at int64) (int, error) {
				if reads++; reads == 1 {
					return first.ReadAt(p, at)
				}
				return strings.NewReader(large(2)).ReadAt(p, at)
			})
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := newAccount(t, aws.Bucket{ObjectLock: true})
			d := open(t, a, to(bucketAddress)).All()[0]
			u := upload(aKey, large(1))
			change(&u)
			if err := d.Put(context.Background(), u); err == nil || !strings.Contains(err.Error(), "Check the disk of backup.spool") {
				t.Errorf("%s: got %v", name, err)
			}
			if objects, left := a.Objects("backups"), a.Unfinished("backups"); objects != nil || left != nil {
				t.Errorf("%s: got %v and %v, want no object and no upload", name, objects, left)
			}
		})
	}
}

type readerFunc func(p []byte, at int64) (int, error)

func (f readerFunc) ReadAt(p []byte, at int64) (int, error) { return f(p, at) }

// TestParts_Canceled stops the bot between two parts.
func TestParts_Canceled(t *testing.T) {
	useSandboxKeys(t)
	for _, canAbort := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			a := newAccount(t, aws.Bucket{ObjectLock: true})
			d := open(t, a, to(bucketAddress)).All()[0]
			if !canAbort {
				a.Fail(aws.Fault{Op: abortParts, Status: 403, Code: "AccessDenied"})
			}
			ctx, cancel := context.WithCancel(context.Background())
			u := upload(aKey, large(1))
			u.Content = hookedReader{u.Content, func(at int64) {
				if at >= partSize {
					cancel()
				}
			}}
			if err := d.Put(ctx, u); !errors.Is(err, context.Canceled) || a.Count(sendPart, 200) != 1 {
				t.Errorf("got %v after %d parts, want canceled after one", err, a.Count(sendPart, 200))
			}
			if list, err := d.List(context.Background(), "daily/", ""); err != nil || len(list) != 0 || len(a.Objects("backups")) != 0 {
				t.Errorf("got %v, %v, want no object", list, err)
			}
			if left := a.Unfinished("backups"); (len(left) == 0) != canAbort {
				t.Errorf("can abort: %t, but %v is unfinished", canAbort, left)
			}
			if err := d.Put(context.Background(), upload(aKey, large(1))); err != nil || read(t, d, aKey) != large(1) {
				t.Errorf("after the rest of an upload: %v", err)
			}
		})
	}
}

// childAccount is the environment variable that makes TestParts_Killed a process to kill.
const childAccount = "TOCSIN_TEST_BACKUP_ACCOUNT"

// TestParts_Killed kills a process while it sends the second part.
func TestParts_Killed(t *testing.T) {
	if address := os.Getenv(childAccount); address != "" {
		ds, _ := to(address).Destinations(backup.DestinationDeps{PartSize: 1 << 20})
		_ = ds.All()[0].Put(context.Background(), backup.Upload{Key: aKey, Size: 3 << 20, Content: waitingReader{func() {
			_, _ = os.Stdout.WriteString(childReady)
			select {}
		}}})
		return
	}
	useSandboxKeys(t)
	a := newAccount(t, aws.Bucket{ObjectLock: true})
	base, err := a.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "s3://backups/tocsin?region=eu-west-1&endpoint=" + base
	cmd := exec.Command(os.Args[0], "-test.run=^TestParts_Killed$")
	cmd.Env = append(os.Environ(), childAccount+"="+address)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len(childReady))); err != nil {
		t.Fatalf("the process did not reach the second part: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	d := open(t, nil, to(address)).All()[0]
	if list, err := d.List(context.Background(), "daily/", ""); err != nil || len(list) != 0 || len(a.Unfinished("backups")) != 1 || a.Count(sendPart, 200) != 1 {
		t.Fatalf("got %v, %v and the uploads %v, want one part and no object", list, err, a.Unfinished("backups"))
	}
	if err := d.Put(context.Background(), upload(aKey, large(1))); err != nil || read(t, d, aKey) != large(1) {
		t.Errorf("after the kill: %v", err)
	}
}

// TestParts_Proof makes, lists and proves backups that were sent in parts.
func TestParts_Proof(t *testing.T) {
	useSandboxKeys(t)
	i := newInstance(t, bucketAddress)
	i.content = large(1)
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, aws.Bucket{ObjectLock: true})
		i.now = time.Now().UTC()
		i.makeBackups(t, a, 2)
		if got := a.Count(completeParts, 200); got != 2 {
			t.Fatalf("got %d uploads in parts, want 2", got)
		}
		ctx, ds := context.Background(), open(t, a, i.Config)
		if all := ds.Catalogue(ctx, "tocsin/3f2a", i.now, true); all.HasProblem() || len(all.Backups) != 2 {
			t.Errorf("got %+v, want two whole backups", all)
		}
		if report, err := ds.Prove(ctx, i.proof(t, t.TempDir())); err != nil || !report.IsProof() || report.Rows != int64(len(i.content)) {
			t.Errorf("got %+v, %v, want a proof of %d bytes", report, err, len(i.content))
		}
		damaged := bytes.Clone(a.Objects("backups")[0].Data)
		damaged[2*partSize] ^= 1
		a.Put("backups", a.Objects("backups")[0].Key, damaged)
		if all := ds.Catalogue(ctx, "tocsin/3f2a", i.now, true); !all.HasProblem() {
			t.Errorf("got %+v, want a damaged copy", all)
		}
	})
}
