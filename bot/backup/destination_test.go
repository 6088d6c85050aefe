package backup_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tocsin/bot/backup"
	"tocsin/bot/health"
	"tocsin/bot/notary"
	"tocsin/bot/sandbox/aws"
)

const aKey = "daily/20261130T000000Z-3f2a-0123456789abcdef0123456789abcdef.tocsin.age"

// TestDestination checks both kinds of destination in the same way.
func TestDestination(t *testing.T) {
	useSandboxKeys(t)
	for name, address := range map[string]string{"folder": "dir:" + t.TempDir(), "bucket": bucketAddress} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := context.Background()
				d := open(t, newAccount(t, aws.Bucket{ObjectLock: true, PageSize: 3}), to(address)).All()[0]
				if err := d.Probe(ctx); err != nil {
					t.Fatal(err)
				}
				if err := d.Probe(ctx); err != nil {
					t.Fatalf("second probe: %v", err)
				}
				if list, err := d.List(ctx, "daily/", ""); err != nil || len(list) != 0 {
					t.Fatalf("got %v, %v from an empty destination", list, err)
				}
				if _, err := d.Get(ctx, aKey); !errors.Is(err, backup.ErrNotFound) {
					t.Errorf("get a missing object: got %v, want ErrNotFound", err)
				}
				var want []string
				for n := range 8 {
					u := upload(strings.Replace(aKey, "T000000Z", fmt.Sprintf("T0%d0000Z", n), 1), fmt.Sprint("content ", n))
					want = append(want, u.Key)
					for range 2 { // a repeat is not an error
						if err := d.Put(ctx, u); err != nil {
							t.Fatal(err)
						}
					}
				}
				list, err := d.List(ctx, "daily/", "")
				var got []string
				for _, s := range list {
					got = append(got, s.Key)
				}
				if err != nil || !slices.Equal(got, want) || list[0].Size != 9 {
					t.Errorf("got %v, %v, want %v of 9 bytes", list, err, want)
				}
				if rest, err := d.List(ctx, "daily/", want[5]); err != nil || len(rest) != 2 {
					t.Errorf("got %v, %v after %s, want 2", rest, err, want[5])
				}
				if got := read(t, d, want[3]); got != "content 3" {
					t.Errorf("got %q", got)
				}
			})
		})
	}
}

// TestBucket_Faults has a row for each failure of S3 that ends.
func TestBucket_Faults(t *testing.T) {
	useSandboxKeys(t)
	for name, tt := range map[string]struct {
		fault aws.Fault
		want  string // part of the error, or "" if the SDK overcomes the failure
	}{
		"500":               {aws.Fault{Status: 500, Code: "InternalError", Times: 2}, ""},
		"SlowDown":          {aws.Fault{Status: 503, Code: "SlowDown", Times: 3}, ""},
		"hang":              {aws.Fault{Delay: time.Hour, Times: 2}, ""},
		"lost answer":       {aws.Fault{LoseAnswer: true, Times: 1}, ""},
		"conflict":          {aws.Fault{Status: 409, Code: "ConditionalRequestConflict", Times: 1}, ""},
		"500 that stays":    {aws.Fault{Status: 500, Code: "InternalError"}, `answers with the error "InternalError". Check backup.to and the status page`},
		"SlowDown, stays":   {aws.Fault{Status: 503, Code: "SlowDown"}, "Wait. Tocsin tries again"},
		"hang that stays":   {aws.Fault{Delay: time.Hour}, "does not answer in time"},
		"denied":            {aws.Fault{Status: 403, Code: "AccessDenied"}, "Allow the role of Tocsin to put, get and list objects"},
		"unknown key":       {aws.Fault{Status: 403, Code: "InvalidAccessKeyId"}, "Renew the AWS credentials"},
		"clock an hour off": {aws.Fault{Status: 403, Code: "RequestTimeTooSkewed"}, "Correct the clock of this machine"},
		"wrong checksum":    {aws.Fault{Status: 400, Code: "BadDigest"}, "Check the disk of backup.spool and the network"},
		"another region":    {aws.Fault{Status: 301, Code: "PermanentRedirect"}, "Add the region of the bucket to backup.to"},
		"bucket is gone":    {aws.Fault{Status: 404, Code: "NoSuchBucket"}, "Create the bucket, or correct backup.to"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAccount(t, aws.Bucket{ObjectLock: true})
				d := open(t, a, to(bucketAddress)).All()[0]
				tt.fault.Op = "s3:PutObject"
				a.Fail(tt.fault)
				err := d.Put(context.Background(), upload(aKey, "content"))
				var problem *health.Problem
				switch {
				case tt.want == "":
					if err != nil || read(t, d, aKey) != "content" {
						t.Errorf("got %v", err)
					}
				case !errors.As(err, &problem) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "s3://backups/tocsin"):
					t.Errorf("got %v, want %q with the name of the bucket", err, tt.want)
				}
			})
		})
	}
}

func TestBucket_Lock(t *testing.T) {
	useSandboxKeys(t)
	for query, want := range map[string]string{"": "COMPLIANCE", "&lock=governance": "GOVERNANCE", "&lock=none": ""} {
		synctest.Test(t, func(t *testing.T) {
			a := newAccount(t, aws.Bucket{ObjectLock: true})
			d := open(t, a, to(bucketAddress+query)).All()[0]
			u := upload(aKey, "content")
			if err := d.Put(context.Background(), u); err != nil {
				t.Fatal(err)
			}
			got := a.Objects("backups")[0]
			if got.Lock != want || want != "" && got.Until.Sub(u.Until).Abs() > time.Second {
				t.Errorf("%q: got the lock %q until %s, want %q until %s", query, got.Lock, got.Until, want, u.Until)
			}
			other := upload(aKey, "another content")
			if err := d.Put(context.Background(), other); err == nil || !strings.Contains(err.Error(), "has another object with the name of the new backup") {
				t.Errorf("replace an object: got %v", err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		d := open(t, newAccount(t, aws.Bucket{}), to(bucketAddress)).All()[0]
		if err := d.Put(context.Background(), upload(aKey, "content")); err == nil || !strings.Contains(err.Error(), "Create the bucket with an object lock, or write lock=none") {
			t.Errorf("bucket without a lock: got %v", err)
		}
	})
}

// TestBucket_WrongChecksum sends content that is not the one of the checksum.
func TestBucket_WrongChecksum(t *testing.T) {
	useSandboxKeys(t)
	for _, address := range []string{"dir:" + t.TempDir(), bucketAddress} {
		synctest.Test(t, func(t *testing.T) {
			a := newAccount(t, aws.Bucket{ObjectLock: true})
			d := open(t, a, to(address)).All()[0]
			u := upload(aKey, "content")
			u.SHA256[0]++
			if err := d.Put(context.Background(), u); err == nil || !strings.Contains(err.Error(), "Check the disk of backup.spool") {
				t.Errorf("%s: got %v", address, err)
			}
			if list, err := d.List(context.Background(), "daily/", ""); err != nil || len(list) != 0 {
				t.Errorf("%s: got %v, %v, want no object", address, list, err)
			}
		})
	}
}

func TestBucket_NothingAnswers(t *testing.T) {
	useSandboxKeys(t)
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, aws.Bucket{})
		d := open(t, a, to(bucketAddress)).All()[0]
		_ = a.Close()
		var problem *health.Problem
		if err := d.Put(context.Background(), upload(aKey, "content")); !errors.As(err, &problem) {
			t.Errorf("got %v, want a problem with a fix", err)
		}
	})
}

func TestFolder_Problems(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "not mounted")
	d := open(t, nil, to("dir:"+missing)).All()[0]
	for name, err := range map[string]error{"put": d.Put(context.Background(), upload(aKey, "x")), "probe": d.Probe(context.Background())} {
		if err == nil || !strings.Contains(err.Error(), "does not exist. Mount its file system") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := d.List(context.Background(), "daily/", ""); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("list: got %v", err)
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("the folder of a file system that is not mounted was created")
	}
}

func TestCheckpoints(t *testing.T) {
	useSandboxKeys(t)
	key, err := notary.NewKey("tocsin/3f2a", make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := notary.NewKey("tocsin/3f2a", append(make([]byte, 31), 1))
	if err != nil {
		t.Fatal(err)
	}
	sign := func(k notary.Key, size int64) notary.Checkpoint {
		c, err := k.Sign(notary.Checkpoint{Size: size, At: time.Now().Add(time.Duration(size) * time.Minute)})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, dir := context.Background(), t.TempDir()
		ds := open(t, newAccount(t, aws.Bucket{ObjectLock: true, PageSize: 2}), to("dir:"+dir, bucketAddress))
		if _, err := ds.NewestCheckpoint(ctx, key.Verifier()); !errors.Is(err, backup.ErrNotFound) {
			t.Fatalf("got %v without checkpoints, want ErrNotFound", err)
		}
		for size := range int64(5) {
			if err := ds.PutCheckpoint(ctx, sign(key, size)); err != nil {
				t.Fatal(err)
			}
		}
		if err := ds.PutCheckpoint(ctx, sign(foreign, 9)); err != nil {
			t.Fatal(err)
		}
		if c, err := ds.NewestCheckpoint(ctx, key.Verifier()); err != nil || c.Size != 4 {
			t.Errorf("got size %d, %v, want 4", c.Size, err)
		}
		if err := os.Rename(dir, dir+".lost"); err != nil {
			t.Fatal(err)
		}
		if c, err := ds.NewestCheckpoint(ctx, key.Verifier()); err != nil || c.Size != 4 {
			t.Errorf("one destination is lost: got size %d, %v, want 4", c.Size, err)
		}
		if err := ds.PutCheckpoint(ctx, sign(key, 5)); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("got %v, want an error of the lost destination", err)
		}
		if c, _ := ds.NewestCheckpoint(ctx, key.Verifier()); c.Size != 5 {
			t.Errorf("got size %d, want 5", c.Size)
		}
	})
}
