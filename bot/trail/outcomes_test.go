package trail_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tocsin/bot/cloudtrail"
	"tocsin/bot/detect"
	"tocsin/bot/incident"
	"tocsin/bot/sandbox/aws"
	"tocsin/bot/secret"
	"tocsin/bot/trail"
)

func TestRun_BadFileDoesNotBlockOthers(t *testing.T) {
	whole := logFile(500, 900)
	bomb := gzipped(strings.Repeat(" ", 64<<20))
	for name, tt := range map[string]struct {
		data    []byte
		outcome string
		records int // readable records of the bad file, -1 for any number
	}{
		"truncated":              {whole[:len(whole)-300], "broken", -1},
		"not gzip":               {append([]byte{0x1f, 0x8b}, "hello"...), "broken", 0},
		"bad checksum":           {append(slices.Clone(whole[:len(whole)-8]), "12345678"...), "broken", 400},
		"trailing data":          {append(slices.Clone(whole), "rubbish"...), "broken", 400},
		"truncated without gzip": {[]byte(`{"Records":[` + record(500) + `,` + record(501)[:40]), "broken", 1},
		"bomb":                   {bomb, "too_big", 0},
		"too large":              {bytes.Repeat([]byte(" "), 3<<20), "too_big", 0},
	} {
		t.Run(name, func(t *testing.T) {
			runFixture(t, func(w *fixture) {
				w.change = func(c *trail.Config, d *trail.Deps) { d.MaxObject, c.Pollers = 2<<20, 1 }
				w.aws.Put(bucket, folder+"bad.json.gz", tt.data)
				for i := range 12 {
					w.aws.Put(bucket, fmt.Sprintf("%s%d.json.gz", folder, i), logFile(i*10, i*10+10))
				}
				stop := w.run()
				w.waitFor("dead letter", func() bool { return w.empty() && len(w.aws.Messages("dead")) == 1 })
				stop()
				if n := len(w.inbox.of("cloudtrail")); tt.records >= 0 && n != 120+tt.records {
					t.Errorf("got %d records, want 120 and %d of the bad file", n, tt.records)
				}
				if w.count.get("object "+tt.outcome) != 5 || w.count.get("message left") != 5 || w.count.get("message done") != 12 {
					t.Errorf("got counts %v, want 5 failed attempts and 12 finished messages", w.count.n)
				}
				notices := w.inbox.of("trail")
				if len(notices) != 1 {
					t.Fatalf("got %d notices, want 1", len(notices))
				}
				a := w.alert(notices[0])
				if a.Kind != "trail.unreadable" || a.Level != incident.LevelMedium || a.Account != "111122223333" || !strings.Contains(a.Title, tt.outcome) {
					t.Errorf("got alert %+v, want trail.unreadable with outcome %s", a, tt.outcome)
				}
			})
		})
	}
}

// alert decodes a notice.
func (w *fixture) alert(d trail.Delivery) incident.Alert {
	w.Helper()
	got, err := w.source().Decode(nil, d.Body)
	if err != nil || len(got) != 1 || got[0].Alert == nil {
		w.Fatalf("decode %s: got %v, error %v, want one alert", d.Body, got, err)
	}
	return *got[0].Alert
}

func TestRun_RetriesMissingAndDenied(t *testing.T) {
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
					t.Errorf("got counts %v, want 3 failed attempts and 1 read", w.count.n)
				}
				if took < time.Minute || took > 10*time.Minute {
					t.Errorf("got a duration of %s, want 1 to 10 minutes with pauses from 30 s", took)
				}
				if notices := w.inbox.of("trail"); len(notices) != 1 || !strings.Contains(w.alert(notices[0]).Title, want.outcome) {
					t.Errorf("got notices %v, want one at the third attempt", notices)
				}
			})
		})
	}
}

func TestRun_ShortOutageCausesNoAlert(t *testing.T) {
	runFixture(t, func(w *fixture) {
		w.aws.Fail(aws.Fault{Op: "s3:GetObject", Times: 2, Status: 403, Code: "AccessDenied"})
		w.aws.Put(bucket, folder+"a.json.gz", logFile(0, 10))
		stop := w.run()
		w.waitFor("read", w.empty)
		stop()
		w.wantRecords(10)
		if notices := w.inbox.of("trail"); len(notices) != 0 {
			t.Errorf("got notices %v, want none", notices)
		}
	})
}

// A message that is not a notification of S3 is reported, and no other message waits for it.
func TestRun_DeletesMessagesWithoutObjects(t *testing.T) {
	runFixture(t, func(w *fixture) {
		for _, body := range []string{`{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"b"}`, `{}`, `{"Records":[]}`, `{"x":1}`, `[1]`, `hello`, `{"Records":[{"x":1}]}`, `hello`} {
			w.aws.Send("trail", body)
		}
		stop := w.run()
		w.waitFor("all deleted", w.empty)
		stop()
		for name, want := range map[string]int{"message test": 1, "message empty": 2, "message unknown": 3, "message not_json": 2} {
			if w.count.get(name) != want {
				t.Errorf("%s: got %d, want %d", name, w.count.get(name), want)
			}
		}
		if n := w.aws.Count("s3:GetObject", 200); n != 0 {
			t.Errorf("got %d downloads, want none", n)
		}
		ids := map[string]bool{}
		for _, d := range w.inbox.of("trail") {
			ids[d.ID] = true
			if _, err := w.source().Decode(nil, d.Body); err == nil || !strings.Contains(err.Error(), "is not a notification of S3") {
				t.Errorf("decode %s: got error %v, want one that names the message", d.Body, err)
			}
		}
		if len(ids) != 4 {
			t.Errorf("got %d reports, want one for each of 4 messages and none for a repeated one", len(ids))
		}
	})
}

func TestRun_ObjectKeys(t *testing.T) {
	runFixture(t, func(w *fixture) {
		unusualKey := "my logs+ü/AWSLogs/o-abc123/111122223333/CloudTrail/eu-west-1/a b%2F(1).json.gz"
		w.aws.Put(bucket, unusualKey, logFile(0, 5))
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
			t.Errorf("got counts %v, want 5 skipped objects and 2 downloads", w.count.n)
		}
	})
}

func TestRun_RemovedLogFileIsAlert(t *testing.T) {
	runFixture(t, func(w *fixture) {
		w.aws.Put(bucket, folder+"a.json.gz", logFile(0, 1))
		stop := w.run()
		w.waitFor("read", w.empty)
		w.aws.Remove(bucket, folder+"a.json.gz")
		w.aws.Send("trail", w.aws.Event(bucket, "ObjectRemoved:DeleteMarkerCreated", "AWSLogs/111122223333/CloudTrail-Digest/eu-west-1/d.json.gz"))
		w.aws.Send("trail", w.aws.Event(bucket, "ObjectRemoved:Delete", "readme.txt"))
		w.aws.Send("trail", w.aws.Event(bucket, "LifecycleExpiration:Delete", folder+"old.json.gz"))
		w.waitFor("removals handled", w.empty)
		stop()
		notices := w.inbox.of("trail")
		if len(notices) != 2 || w.count.get("object removed") != 2 || w.count.get("object skipped") != 2 {
			t.Fatalf("got notices %v and counts %v, want 2 removed and 2 skipped objects", notices, w.count.n)
		}
		one, two := w.alert(notices[0]), w.alert(notices[1])
		if one.Kind != "trail.log_removed" || one.Level != incident.LevelHigh || one.Principal != "AWS:AROASANDBOX:someone" || one.Address != "203.0.113.7" ||
			one.Account != "111122223333" || one.URL == "" || one.At.IsZero() || one.Fingerprint != two.Fingerprint {
			t.Errorf("got alerts %+v and %+v, want two of trail.log_removed with one fingerprint", one, two)
		}
	})
}

// GuardDuty exports one finding per line. An update or a higher count of a finding
// is a separate delivery, with the ID that it has at the webhook.
func TestRun_ExportedFindings(t *testing.T) {
	source := cloudtrail.New(cloudtrail.Config{APIKeys: []secret.String{secret.New("k")}}, nil)
	const finding = `{"schemaVersion":"2.0","accountId":"111122223333","region":"eu-west-1","id":"f1","type":"T:R/F","severity":8,"title":"t","updatedAt":"2026-11-20T03:00:00.000Z","service":{"count":1}}`
	lines := []string{finding, strings.Replace(finding, "03:00", "04:00", 1), strings.Replace(finding, `"updatedAt":"2026-11-20T03:00:00.000Z",`, "", 1), finding,
		strings.Replace(finding, `"count":1`, `"count":2`, 1), strings.Replace(finding, `,"service":{"count":1}`, "", 1), `{"id":"x"}`}
	runFixture(t, func(w *fixture) {
		w.aws.Put(bucket, "AWSLogs/111122223333/GuardDuty/eu-west-1/2026/11/20/a.jsonl.gz", gzipped(strings.Join(lines, "\n")+"\n"))
		stop := w.run()
		w.waitFor("read", w.empty)
		stop()
		got := w.inbox.of("cloudtrail")
		if len(got) != 5 || w.count.get("stored") != 6 || w.count.get("bad") != 1 {
			t.Fatalf("got %d findings and counts %v, want 5 findings, 6 stored and 1 bad", len(got), w.count.n)
		}
		for _, d := range got {
			want, err := source.Verify(t.Context(), map[string][]string{"X-Api-Key": {"k"}}, d.Body, time.Time{})
			if err != nil || want != "" && d.ID != want {
				t.Errorf("got ID %q, error %v, want %q as at the webhook", d.ID, err, want)
			}
			if signals, err := source.Decode(nil, d.Body); err != nil || len(signals) != 1 || signals[0].Alert.Kind != "guardduty.T:R/F" || !notable(source, d.Body) {
				t.Errorf("got signals %v, error %v, want one notable finding", signals, err)
			}
		}
	})
}

// notable reports whether a record needs to be stored.
func notable(source *cloudtrail.Source, record []byte) bool {
	item := new(detect.Record).DecodeItem(record)
	_, ok := source.Evaluate(&item)
	return ok
}

// A record in a file and at the webhook is one delivery.
func TestRun_RecordIDsMatchWebhook(t *testing.T) {
	source := cloudtrail.New(cloudtrail.Config{APIKeys: []secret.String{secret.New("k")}}, nil)
	runFixture(t, func(w *fixture) {
		rs := []string{record(0), `{"eventSource":"s","eventName":"n","eventID":"alone"}`, `{"eventSource":"s","eventName":"n","eventID":7,"recipientAccountId":111122223333}`}
		w.aws.Put(bucket, folder+"a.json", []byte(`[`+strings.Join(rs, ",")+`]`))
		stop := w.run()
		w.waitFor("read", w.empty)
		stop()
		got := w.inbox.of("cloudtrail")
		if len(got) != len(rs) {
			t.Fatalf("got %d deliveries, want %d: %v", len(got), len(rs), got)
		}
		for _, d := range got {
			want, err := source.Verify(t.Context(), map[string][]string{"X-Api-Key": {"k"}}, d.Body, time.Time{})
			if err != nil || d.ID != want {
				t.Errorf("got ID %q, error %v, want %q as at the webhook", d.ID, err, want)
			}
			if signals, err := source.Decode(nil, d.Body); err != nil || len(signals) != 1 {
				t.Errorf("got signals %v, error %v, want one", signals, err)
			}
		}
	})
}

func TestRun_FiltersRecords(t *testing.T) {
	runFixture(t, func(w *fixture) {
		w.change = func(_ *trail.Config, d *trail.Deps) {
			d.Evaluate = func(item *detect.Item) (string, bool) { return "", !bytes.Contains(item.Raw, []byte("event-00003")) }
		}
		file := `{"Records":[` + record(0) + `,7,` + record(1) + `,{"x":1},{"eventSource":"s","eventName":tru},` + record(3) + `,` + record(2) + `]}`
		w.aws.Put(bucket, folder+"a.json.gz", gzipped(file))
		stop := w.run()
		w.waitFor("read", w.empty)
		stop()
		w.wantRecords(3)
		if w.count.get("stored") != 3 || w.count.get("skipped") != 1 || w.count.get("bad") != 3 {
			t.Errorf("got counts %v, want 3 stored, 1 skipped and 3 bad", w.count.n)
		}
		notices := w.inbox.of("trail")
		if len(notices) != 1 {
			t.Fatalf("got notices %v, want 1", notices)
		}
		if a := w.alert(notices[0]); a.Kind != "trail.records" || !strings.HasPrefix(a.Title, "3 of 7 ") {
			t.Errorf("got alert %+v, want trail.records about 3 of 7", a)
		}
	})
}

func TestErr_WrongCredentials(t *testing.T) {
	runFixture(t, func(w *fixture) {
		t.Setenv("AWS_SECRET_ACCESS_KEY", "another secret")
		stop := w.run()
		w.waitFor("refused", func() bool { return w.aws.Count("sqs:ReceiveMessage", 403) >= 3 })
		stop()
		if w.reader.Err() == nil {
			t.Error("got no error after refused calls")
		}
		if w.count.get("poll error") == 0 || w.aws.Count("sqs:ReceiveMessage", 403) > 10 {
			t.Errorf("got counts %v and %d refused calls, want errors and at most 10 calls", w.count.n, w.aws.Count("sqs:ReceiveMessage", 403))
		}
		t.Setenv("AWS_SECRET_ACCESS_KEY", "sandbox-secret")
		stop = w.run()
		w.waitFor("answered", func() bool { return w.aws.Count("sqs:ReceiveMessage", 200) >= 1 })
		stop()
		if err := w.reader.Err(); err != nil {
			t.Errorf("got error %v after a successful call, want none", err)
		}
	})
}

func TestNew_NamesInvalidField(t *testing.T) {
	good := trail.Config{QueueURL: "https://sqs.eu-west-1.amazonaws.com/111122223333/trail"}
	for name, tt := range map[string]struct {
		change func(*trail.Config, *trail.Deps)
		field  string
	}{
		"no queue":       {func(c *trail.Config, _ *trail.Deps) { c.QueueURL = "" }, "queue_url"},
		"an ARN":         {func(c *trail.Config, _ *trail.Deps) { c.QueueURL = "arn:aws:sqs:eu-west-1:111122223333:trail" }, "queue_url"},
		"unknown region": {func(c *trail.Config, _ *trail.Deps) { c.QueueURL = "https://example.com/q" }, "region"},
		"invalid region": {func(c *trail.Config, _ *trail.Deps) { c.Region = "evil.example/" }, "region"},
		"too short":      {func(_ *trail.Config, d *trail.Deps) { d.Visibility = time.Second }, "visibility"},
	} {
		c, d := good, trail.Deps{Sink: &inbox{}}
		tt.change(&c, &d)
		_, err := trail.New(c, d)
		var e *incident.Error
		if !errors.As(err, &e) || e.Field != tt.field {
			t.Errorf("%s: got error %v, want one of field %s", name, err, tt.field)
		}
	}
	s, err := trail.New(good, trail.Deps{Sink: &inbox{}})
	if err != nil || s.Region != "eu-west-1" {
		t.Errorf("got %+v, error %v, want region eu-west-1", s, err)
	}
	if _, err := s.Verify(t.Context(), nil, nil, time.Time{}); incident.CodeOf(err) != incident.CodeForbidden {
		t.Errorf("Verify: got error %v, want code %s", err, incident.CodeForbidden)
	}
}
