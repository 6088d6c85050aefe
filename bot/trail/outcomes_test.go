package trail_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/cloudtrail"
	"tocsin/bot/incident"
	"tocsin/bot/sandbox/aws"
	"tocsin/bot/secret"
	"tocsin/bot/trail"
)

func TestABadFileStopsNobody(t *testing.T) {
	whole := logFile(500, 900)
	bomb := gzipped(strings.Repeat(" ", 64<<20))
	for name, tt := range map[string]struct {
		data    []byte
		outcome string
		records int // that can be read nevertheless
	}{
		"cut off":       {whole[:len(whole)-300], "broken", -1},
		"not gzip":      {append([]byte{0x1f, 0x8b}, "hello"...), "broken", 0},
		"bad checksum":  {append(slices.Clone(whole[:len(whole)-8]), "12345678"...), "broken", 400},
		"rubbish after": {append(slices.Clone(whole), "rubbish"...), "broken", 400},
		"plain cut off": {[]byte(`{"Records":[` + record(500) + `,` + record(501)[:40]), "broken", 1},
		"bomb":          {bomb, "too_big", 0},
		"too large":     {bytes.Repeat([]byte(" "), 3<<20), "too_big", 0},
	} {
		t.Run(name, func(t *testing.T) {
			runFixture(t, func(w *fixture) {
				w.change = func(c *trail.Config) { c.MaxObject, c.Pollers = 2<<20, 1 }
				w.aws.Put(bucket, folder+"bad.json.gz", tt.data)
				for i := range 12 {
					w.aws.Put(bucket, fmt.Sprintf("%s%d.json.gz", folder, i), logFile(i*10, i*10+10))
				}
				stop := w.run()
				w.waitFor("the bad one is put aside", func() bool { return w.empty() && len(w.aws.Messages("dead")) == 1 })
				stop()
				if n := len(w.inbox.of("cloudtrail")); tt.records >= 0 && n != 120+tt.records {
					t.Errorf("%d records, want 120 and %d of the bad file", n, tt.records)
				}
				if w.count.get("object "+tt.outcome) != 5 || w.count.get("message left") != 5 || w.count.get("message done") != 12 {
					t.Errorf("counted %v", w.count.n)
				}
				told := w.inbox.of("trail")
				if len(told) != 1 {
					t.Fatalf("told %d times", len(told))
				}
				a := w.alert(told[0])
				if a.Kind != "trail.unreadable" || a.Level != incident.LevelMedium || a.Account != "111122223333" || !strings.Contains(a.Title, tt.outcome) {
					t.Errorf("alert %+v", a)
				}
			})
		})
	}
}

func (w *fixture) alert(d trail.Delivery) incident.Alert {
	w.Helper()
	got, err := w.source().Decode(nil, d.Body)
	if err != nil || len(got) != 1 || got[0].Alert == nil {
		w.Fatalf("decode %s: %v, %v", d.Body, got, err)
	}
	return *got[0].Alert
}

func TestMissingAndDeniedAreTriedAgain(t *testing.T) {
	for code, want := range map[string]struct {
		status  int
		outcome string
	}{"NoSuchKey": {404, "missing"}, "AccessDenied": {403, "denied"}} {
		t.Run(code, func(t *testing.T) {
			runFixture(t, func(w *fixture) {
				key := folder + "a.json.gz"
				w.aws.Fail(aws.Fault{Op: "s3:GetObject", Resource: bucket + "/" + key, Times: 3, Status: want.status, Code: code})
				w.aws.Put(bucket, key, logFile(0, 10))
				start := time.Now()
				stop := w.run()
				w.waitFor("read", w.empty)
				took := time.Since(start)
				stop()
				w.wantRecords(10)
				if w.count.get("object "+want.outcome) != 3 || w.count.get("object read") != 1 {
					t.Errorf("counted %v", w.count.n)
				}
				if took < time.Minute || took > 10*time.Minute {
					t.Errorf("it took %s; the pauses should grow from half a minute", took)
				}
				if told := w.inbox.of("trail"); len(told) != 1 || !strings.Contains(w.alert(told[0]).Title, want.outcome) {
					t.Errorf("told %v, want it once, at the third attempt", told)
				}
			})
		})
	}
}

func TestAShortOutageIsNotWorthAnAlert(t *testing.T) {
	runFixture(t, func(w *fixture) {
		w.aws.Fail(aws.Fault{Op: "s3:GetObject", Times: 2, Status: 403, Code: "AccessDenied"})
		w.aws.Put(bucket, folder+"a.json.gz", logFile(0, 10))
		stop := w.run()
		w.waitFor("read", w.empty)
		stop()
		w.wantRecords(10)
		if told := w.inbox.of("trail"); len(told) != 0 {
			t.Errorf("told %v", told)
		}
	})
}

func TestMessagesThatAnnounceNothing(t *testing.T) {
	runFixture(t, func(w *fixture) {
		for _, body := range []string{`{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"b"}`, `{}`, `{"Records":[]}`, `{"x":1}`, `[1]`, `hello`, `{"Records":[{"x":1}]}`} {
			w.aws.Send("trail", body)
		}
		stop := w.run()
		w.waitFor("all deleted", w.empty)
		stop()
		for name, want := range map[string]int{"message test": 1, "message empty": 2, "message unknown": 3, "message not_json": 1} {
			if w.count.get(name) != want {
				t.Errorf("%s: %d, want %d", name, w.count.get(name), want)
			}
		}
		if w.aws.Count("s3:GetObject", 200)+w.inbox.calls != 0 {
			t.Error("something was done for them")
		}
	})
}

func TestKeys(t *testing.T) {
	runFixture(t, func(w *fixture) {
		odd := "my logs+ü/AWSLogs/o-abc123/111122223333/CloudTrail/eu-west-1/a b%2F(1).json.gz"
		w.aws.Put(bucket, odd, logFile(0, 5))
		for _, k := range []string{"AWSLogs/111122223333/CloudTrail-Digest/eu-west-1/d.json.gz", "AWSLogs/111122223333/CloudTrail-Insight/eu-west-1/i.json.gz",
			"AWSLogs/111122223333/Config/x.json.gz", "AWSLogs/111122223333/vpcflowlogs/x.log.gz", "readme.txt"} {
			w.aws.Put(bucket, k, []byte("x"))
		}
		w.aws.AddBucket(aws.Bucket{Name: "elsewhere", Region: "us-east-1", Notify: "trail"})
		w.aws.Put("elsewhere", folder+"b.json.gz", logFile(5, 10))
		stop := w.run()
		w.waitFor("all read", w.empty)
		stop()
		w.wantRecords(10)
		if w.count.get("object skipped") != 5 || w.aws.Count("s3:GetObject", 200) != 2 {
			t.Errorf("counted %v", w.count.n)
		}
	})
}

func TestRemovedLogFilesAreAnAlert(t *testing.T) {
	runFixture(t, func(w *fixture) {
		w.aws.Put(bucket, folder+"a.json.gz", logFile(0, 1))
		stop := w.run()
		w.waitFor("read", w.empty)
		w.aws.Remove(bucket, folder+"a.json.gz")
		w.aws.Send("trail", w.aws.Event(bucket, "ObjectRemoved:DeleteMarkerCreated", "AWSLogs/111122223333/CloudTrail-Digest/eu-west-1/d.json.gz"))
		w.aws.Send("trail", w.aws.Event(bucket, "ObjectRemoved:Delete", "readme.txt"))
		w.aws.Send("trail", w.aws.Event(bucket, "LifecycleExpiration:Delete", folder+"old.json.gz"))
		w.waitFor("told", w.empty)
		stop()
		told := w.inbox.of("trail")
		if len(told) != 2 || w.count.get("object removed") != 2 || w.count.get("object skipped") != 2 {
			t.Fatalf("told %v, counted %v", told, w.count.n)
		}
		one, two := w.alert(told[0]), w.alert(told[1])
		if one.Kind != "trail.log_removed" || one.Level != incident.LevelHigh || one.Principal != "AWS:AROASANDBOX:someone" || one.Address != "203.0.113.7" ||
			one.Account != "111122223333" || one.URL == "" || one.At.IsZero() || one.Fingerprint != two.Fingerprint {
			t.Errorf("alerts %+v and %+v", one, two)
		}
	})
}

// What GuardDuty exports is one finding a line. Its updates are deliveries of
// their own, and so are higher counts, by the ids that the webhook gives them.
func TestExportedFindings(t *testing.T) {
	source := cloudtrail.New(cloudtrail.Config{APIKeys: []secret.String{secret.New("k")}})
	const finding = `{"schemaVersion":"2.0","accountId":"111122223333","region":"eu-west-1","id":"f1","type":"T:R/F","severity":8,"title":"t","updatedAt":"2026-11-20T03:00:00.000Z","service":{"count":1}}`
	lines := []string{finding, strings.Replace(finding, "03:00", "04:00", 1), strings.Replace(finding, `"updatedAt":"2026-11-20T03:00:00.000Z",`, "", 1), finding,
		strings.Replace(finding, `"count":1`, `"count":2`, 1), strings.Replace(finding, `,"service":{"count":1}`, "", 1), `{"id":"x"}`}
	runFixture(t, func(w *fixture) {
		w.aws.Put(bucket, "AWSLogs/111122223333/GuardDuty/eu-west-1/2026/11/20/a.jsonl.gz", gzipped(strings.Join(lines, "\n")+"\n"))
		stop := w.run()
		w.waitFor("read", w.empty)
		stop()
		got := w.inbox.of("cloudtrail")
		if len(got) != 5 || w.count.get("kept") != 6 || w.count.get("bad") != 1 {
			t.Fatalf("%d findings, counted %v", len(got), w.count.n)
		}
		for _, d := range got {
			want, err := source.Verify(map[string][]string{"X-Api-Key": {"k"}}, d.Body, time.Time{})
			if err != nil || want != "" && d.ID != want {
				t.Errorf("id %q, by webhook %q, %v", d.ID, want, err)
			}
			if signals, err := source.Decode(nil, d.Body); err != nil || len(signals) != 1 || signals[0].Alert.Kind != "guardduty.T:R/F" || !source.Notable(d.Body) {
				t.Errorf("decoded %v, %v", signals, err)
			}
		}
	})
}

// A record is the same delivery whichever way it comes.
func TestRecordsKeepTheIDOfTheCloudTrailSource(t *testing.T) {
	source := cloudtrail.New(cloudtrail.Config{APIKeys: []secret.String{secret.New("k")}})
	runFixture(t, func(w *fixture) {
		rs := []string{record(0), `{"eventSource":"s","eventName":"n","eventID":"alone"}`, `{"eventSource":"s","eventName":"n","eventID":7,"recipientAccountId":111122223333}`}
		w.aws.Put(bucket, folder+"a.json", []byte(`[`+strings.Join(rs, ",")+`]`))
		stop := w.run()
		w.waitFor("read", w.empty)
		stop()
		got := w.inbox.of("cloudtrail")
		if len(got) != len(rs) {
			t.Fatalf("got %v", got)
		}
		for _, d := range got {
			want, err := source.Verify(map[string][]string{"X-Api-Key": {"k"}}, d.Body, time.Time{})
			if err != nil || d.ID != want {
				t.Errorf("id %q, by webhook %q, %v", d.ID, want, err)
			}
			if signals, err := source.Decode(nil, d.Body); err != nil || len(signals) != 1 {
				t.Errorf("decoded %v, %v", signals, err)
			}
		}
	})
}

func TestOnlyWhatMattersIsKept(t *testing.T) {
	runFixture(t, func(w *fixture) {
		w.change = func(c *trail.Config) {
			c.Filter = func(raw json.RawMessage) bool { return !bytes.Contains(raw, []byte("event-00003")) }
		}
		file := `{"Records":[` + record(0) + `,7,` + record(1) + `,{"x":1},{"eventSource":"s","eventName":tru},` + record(3) + `,` + record(2) + `]}`
		w.aws.Put(bucket, folder+"a.json.gz", gzipped(file))
		stop := w.run()
		w.waitFor("read", w.empty)
		stop()
		w.wantRecords(3)
		if w.count.get("kept") != 3 || w.count.get("skipped") != 1 || w.count.get("bad") != 3 {
			t.Errorf("counted %v", w.count.n)
		}
		told := w.inbox.of("trail")
		if len(told) != 1 {
			t.Fatalf("told %v", told)
		}
		if a := w.alert(told[0]); a.Kind != "trail.records" || !strings.HasPrefix(a.Title, "3 of 7 ") {
			t.Errorf("alert %+v", a)
		}
	})
}

func TestWrongCredentialsAreSeen(t *testing.T) {
	runFixture(t, func(w *fixture) {
		t.Setenv("AWS_SECRET_ACCESS_KEY", "another secret")
		stop := w.run()
		w.waitFor("refused", func() bool { return w.aws.Count("sqs:ReceiveMessage", 403) >= 3 })
		stop()
		if w.reader.Err() == nil {
			t.Error("the reader finds no fault with its queue")
		}
		if w.count.get("poll error") == 0 || w.aws.Count("sqs:ReceiveMessage", 403) > 10 {
			t.Errorf("counted %v", w.count.n)
		}
		t.Setenv("AWS_SECRET_ACCESS_KEY", "sandbox-secret")
		stop = w.run()
		w.waitFor("answered", func() bool { return w.aws.Count("sqs:ReceiveMessage", 200) >= 1 })
		stop()
		if err := w.reader.Err(); err != nil {
			t.Errorf("the queue answers, and the fault is %v", err)
		}
	})
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	good := trail.Config{QueueURL: "https://sqs.eu-west-1.amazonaws.com/111122223333/trail", Sink: &inbox{}}
	for name, tt := range map[string]struct {
		change func(*trail.Config)
		field  string
	}{
		"no queue":       {func(c *trail.Config) { c.QueueURL = "" }, "queue_url"},
		"an ARN":         {func(c *trail.Config) { c.QueueURL = "arn:aws:sqs:eu-west-1:111122223333:trail" }, "queue_url"},
		"unknown region": {func(c *trail.Config) { c.QueueURL = "https://example.com/q" }, "region"},
		"odd region":     {func(c *trail.Config) { c.Region = "evil.example/" }, "region"},
		"too short":      {func(c *trail.Config) { c.Visibility = time.Second }, "visibility"},
	} {
		c := good
		tt.change(&c)
		_, err := trail.New(c)
		var e *incident.Error
		if !errors.As(err, &e) || e.Field != tt.field {
			t.Errorf("%s: %v", name, err)
		}
	}
	s, err := trail.New(good)
	if err != nil || s.Region != "eu-west-1" {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := s.Verify(nil, nil, time.Time{}); incident.CodeOf(err) != incident.CodeForbidden {
		t.Errorf("a delivery to its path: %v", err)
	}
}
