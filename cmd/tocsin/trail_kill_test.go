//go:build !race

package main_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/aws"
	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
	"tocsin/store/storetest"
)

// TestTrail_KilledWhileReading kills the bot repeatedly while it reads CloudTrail
// files announced by a queue. Half of the kills happen while a file is read, the
// others between the commit and the deletion of the message.
//
// S3 fails, responds late and truncates responses. SQS fails, loses responses and
// redelivers messages in progress. Some records are in several files, and are also
// delivered by EventBridge and in arrays. At the end, every record that raises an
// alert must be counted once, in one incident per identity. The queue must be empty.
// Unreadable files must be reported and their messages be in the dead-letter queue.
//
// TOCSIN_TEST_KILLS sets the number of kills, by default 3.
func TestTrail_KilledWhileReading(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIASANDBOX")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "sandbox-secret")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	kills := 3
	if n, err := strconv.Atoi(os.Getenv("TOCSIN_TEST_KILLS")); err == nil && n > 0 {
		kills = n
	}
	run := func(t *testing.T, url string) {
		account := aws.New(aws.Config{})
		t.Cleanup(func() { _ = account.Close() })
		endpoint, err := account.Start("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		account.AddQueue(aws.Queue{Name: "dead"})
		account.AddQueue(aws.Queue{Name: "trail", MaxReceiveCount: 40, DeadLetter: "dead"})
		account.AddBucket(aws.Bucket{Name: auditLogs, Notify: "trail"})
		s := startBot(t, url, company.Options{Seed: 17, Limits: chat.Limits{Off: true}}, func(config map[string]any) {
			config["sources"].(map[string]any)["trail"] = map[string]any{"queue_url": account.QueueURL("trail"), "region": "eu-west-1", "endpoint": endpoint}
		})
		f := &trailTest{botProcess: s, aws: account, random: rand.New(rand.NewPCG(7, uint64(kills))), expected: map[string]int{}}
		f.run(kills)
	}
	if fullSize {
		storetest.Databases(t, func(t *testing.T, url string) {
			t.Parallel()
			run(t, url)
		})
		return
	}
	run(t, storetest.SQLite(t))
}

const (
	auditLogs = "audit-logs"
	logFolder = "AWSLogs/111122223333/CloudTrail/eu-west-1/2026/11/20/"

	identityCount  = 6   // number of identities, each with one incident
	filesPerWave   = 6   // files with records between two kills
	recordsPerFile = 400 // records per file
	alertEvery     = 2   // every second record raises an alert
)

// trailTest is a bot that reads a trail, with the expected results.
type trailTest struct {
	*botProcess
	aws    *aws.Account
	random *rand.Rand

	recordCount int            // number of records made
	expected    map[string]int // number of records that raise an alert, by identity
	unreadable  int            // number of files that cannot be read
	killPoints  []string       // moment of each kill
}

func (f *trailTest) run(kills int) {
	began := time.Now()
	for n := range kills {
		f.injectFaults()
		f.addFiles(n)
		if n%2 == 0 {
			f.killWhileReading()
		} else {
			f.killBeforeDeletion()
		}
		f.start()
		f.aws.Duplicate("trail") // make the killed bot's messages visible
	}
	f.aws.Heal()
	last := time.Now()
	var lastRedelivery time.Time
	f.waitFor(3*time.Minute, "every readable file to be read", func() bool {
		// Redeliver rarely: a message redelivered while its file is read cannot be deleted.
		if time.Since(lastRedelivery) > 3*time.Second {
			f.aws.Duplicate("trail")
			lastRedelivery = time.Now()
		}
		return !slices.ContainsFunc(f.aws.Messages("trail"), func(m aws.Message) bool { return !isUnreadable(m.Body) })
	})
	f.waitFor(3*time.Minute, "messages of unreadable files in the dead-letter queue", func() bool {
		f.aws.Duplicate("trail")
		return len(f.aws.Messages("trail")) == 0
	})
	f.waitIdle(3 * time.Minute)
	f.checkOutcome()
	f.t.Logf("%d kills in %v (%s), idle %v after the last, %d of %d records raise alerts, %d receives, %d files read, %d messages deleted", kills,
		time.Since(began).Round(time.Second), strings.Join(f.killPoints, ", "), time.Since(last).Round(time.Second), sumCounts(f.expected), f.recordCount,
		f.aws.Count("sqs:ReceiveMessage", 200), f.aws.Count("s3:GetObject", 200), f.aws.Deleted("trail"))
}

// isUnreadable reports whether a message is about an unreadable file.
func isUnreadable(body string) bool {
	return slices.ContainsFunc([]string{"cut_", "bomb_", "gone_"}, func(file string) bool { return strings.Contains(body, file) })
}

func sumCounts(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

// injectFaults replaces the faults of S3 and SQS.
func (f *trailTest) injectFaults() {
	f.aws.Heal()
	for _, fault := range []aws.Fault{
		{Op: "s3:GetObject", Times: 4, Status: 500, Code: "InternalError"}, // more often than the SDK retries
		{Op: "s3:GetObject", Times: 1, Delay: 700 * time.Millisecond},
		{Op: "s3:GetObject", Times: 1, CutAfter: 500 + f.random.IntN(4000)},
		{Op: "s3:GetObject", Times: 1, Status: 503, Code: "SlowDown"},
		{Op: "sqs:ReceiveMessage", Times: 1, Status: 500, Code: "InternalFailure"},
		{Op: "sqs:ReceiveMessage", Times: 1, LoseAnswer: true},
		{Op: "sqs:DeleteMessage", Times: 1, LoseAnswer: true},
		{Op: "sqs:DeleteMessage", Times: 1, Status: 500, Code: "InternalFailure"},
		{Op: "sqs:ChangeMessageVisibilityBatch", Times: 2, Status: 500, Code: "InternalFailure"},
	} {
		f.aws.Fail(fault)
	}
}

// addFiles puts files of all kinds into the bucket and repeats some notifications.
func (f *trailTest) addFiles(n int) {
	var duplicates []string
	for k := range filesPerWave {
		records := f.records()
		key := fmt.Sprintf("%s111122223333_CloudTrail_eu-west-1_%03d_%d.json.gz", logFolder, n, k)
		f.aws.Put(auditLogs, key, gzipped(`{"Records":[`+strings.Join(records, ",")+`]}`))
		switch k {
		case 0: // announced three more times, in three formats
			f.aws.Send("trail", f.aws.Event(auditLogs, "ObjectCreated:Put", key))
			event, _ := json.Marshal(f.aws.Event(auditLogs, "ObjectCreated:Put", key))
			f.aws.Send("trail", `{"Type":"Notification","MessageId":"m","Message":`+string(event)+`}`)
			f.aws.Send("trail", fmt.Sprintf(`{"s3Bucket":%q,"s3ObjectKey":[%q]}`, auditLogs, key))
		case 1: // a second trail contains half of the records
			f.aws.Put(auditLogs, strings.Replace(key, "AWSLogs/", "AWSLogs/o-abc123/", 1), gzipped(`{"Records":[`+strings.Join(records[:recordsPerFile/2], ",")+`]}`))
		case 2: // some records are also delivered by EventBridge and in arrays
			for n := 0; n < len(records); n += alertEvery {
				duplicates = append(duplicates, records[n])
			}
			f.aws.Put(auditLogs, key+".bad", gzipped(`{"Records":[`+records[0]+`,{"eventName":]},`+records[1]+`]}`)) // one bad record
		}
	}
	f.aws.Put(auditLogs, strings.Replace(logFolder, "/CloudTrail/", "/CloudTrail-Digest/", 1)+fmt.Sprintf("digest_%d.json.gz", n), gzipped(`{"digestS3Object":"x"}`))
	f.aws.Put(auditLogs, fmt.Sprintf("%sdigest_%d.json.gz", logFolder, n), gzipped(`{"digestS3Object":"x","eventSource":"a","eventName":"b"}`))
	f.aws.Put(auditLogs, fmt.Sprintf("%sempty_%d.json.gz", logFolder, n), gzipped(`{}`))
	for _, message := range []string{`{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"audit-logs"}`, `{}`, "hello", `{"x":1}`} {
		f.aws.Send("trail", message)
	}
	complete := gzipped(`{"Records":[` + strings.Join(f.records(), ",") + `,` + strings.Join(f.irrelevantRecords(4000), ",") + `]}`)
	f.aws.Put(auditLogs, fmt.Sprintf("%scut_%d.json.gz", logFolder, n), complete[:len(complete)-200]) // truncated after the records that matter
	f.aws.Put(auditLogs, fmt.Sprintf("%sbomb_%d.json.gz", logFolder, n), gzipped(strings.Repeat(" ", 24<<20)))
	f.aws.Send("trail", fmt.Sprintf(`{"s3Bucket":%q,"s3ObjectKey":["%sgone_%d.json.gz"]}`, auditLogs, logFolder, n))
	f.unreadable += 3
	go f.postRecords(duplicates) // the bot may be killed during this
}

// postRecords posts records that are also in a file. It does not retry.
func (f *trailTest) postRecords(records []string) {
	post := func(body string) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url+"/hooks/cloudtrail", strings.NewReader(body))
		if err != nil {
			return
		}
		req.Header.Set("X-Api-Key", company.TrailKey)
		if res, err := http.DefaultClient.Do(req); err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
	}
	for n := 0; n+10 <= len(records); n += 10 {
		post(`[` + strings.Join(records[n:n+10], ",") + `]`)
		post(`{"version":"0","id":"e-` + strconv.Itoa(n) + `","detail-type":"AWS API Call via CloudTrail","source":"aws.cloudtrail","account":"111122223333","detail":` + records[n+5] + `}`)
	}
}

// records returns the records of one file. A record that raises an alert stops a
// trail with a unique name.
func (f *trailTest) records() []string {
	out := make([]string, recordsPerFile)
	for n := range out {
		f.recordCount++
		who := fmt.Sprintf("case-%03d", f.random.IntN(identityCount))
		event := fmt.Sprintf(`"eventSource":"cloudtrail.amazonaws.com","eventName":"StopLogging","requestParameters":{"name":"trail-%d"}`, f.recordCount)
		if n%alertEvery != 0 {
			event = `"eventSource":"s3.amazonaws.com","eventName":"ListBuckets","requestParameters":null,"readOnly":true`
		} else {
			f.expected[who]++
		}
		out[n] = fmt.Sprintf(`{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","userName":%q,"arn":"arn:aws:iam::111122223333:user/%s"},"eventTime":%q,%s,`+
			`"awsRegion":"eu-west-1","sourceIPAddress":"203.0.113.7","eventID":"%08x-0000-4000-8000-%012x","eventType":"AwsApiCall","recipientAccountId":"111122223333"}`,
			who, who, time.Now().UTC().Format(time.RFC3339), event, f.random.Uint32(), f.recordCount)
	}
	return out
}

// irrelevantRecords returns n records that match no rule.
func (f *trailTest) irrelevantRecords(n int) []string {
	out := make([]string, n)
	for k := range out {
		out[k] = fmt.Sprintf(`{"eventSource":"s3.amazonaws.com","eventName":"ListBuckets","eventID":"%x"}`, f.random.Uint64())
	}
	return out
}

// gzipped returns the compressed text.
func gzipped(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text)) // a bytes.Buffer does not fail
	_ = z.Close()
	return b.Bytes()
}

const storedRecords = `SELECT count(*) FROM inbox WHERE source = 'cloudtrail'`

// killWhileReading kills the bot when some more records are in the inbox.
func (f *trailTest) killWhileReading() {
	want := f.queryInt(storedRecords) + 1 + f.random.IntN(filesPerWave*recordsPerFile/alertEvery/2)
	polls := 0
	f.waitFor(time.Minute, "more records in the inbox", func() bool {
		if polls++; polls%25 == 0 { // every half second, the visibility timeouts end
			f.aws.Duplicate("trail")
		}
		return f.queryInt(storedRecords) >= want
	})
	f.killPoints = append(f.killPoints, "while reading")
	f.kill()
}

// killBeforeDeletion kills the bot while deletions of messages fail.
func (f *trailTest) killBeforeDeletion() {
	before := f.aws.Count("sqs:DeleteMessage", 500)
	f.aws.Fail(aws.Fault{Op: "sqs:DeleteMessage", Status: 500, Code: "InternalFailure"})
	more := 1 + f.random.IntN(3)
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	if err := f.aws.Until(ctx, func() bool { return f.aws.Count("sqs:DeleteMessage", 500) >= before+more }); err != nil {
		f.t.Fatal("no deletion of a message within a minute")
	}
	f.killPoints = append(f.killPoints, "before a deletion")
	f.kill()
	f.aws.Heal()
}

// checkOutcome compares the incidents, pages, deliveries and reports with the
// records and files.
func (f *trailTest) checkOutcome() {
	t := f.t
	if n := f.queryInt(`SELECT count(*) FROM alerts WHERE source = 'cloudtrail' AND incident_id <= 0`); n != 0 {
		t.Errorf("got %d alerts without an incident, want 0", n)
	}
	found, unread := map[string]int{}, 0
	for n := range f.queryInt("SELECT count(*) FROM incidents") {
		v := f.view(incident.ID(n + 1))
		if v.Alerts[0].Source == "trail" { // about the files, or the messages, that cannot be read
			unread++
			continue
		}
		at := strings.Index(v.Incident.Title, "case-")
		if at < 0 {
			t.Errorf("%s: title without an identity: %s", v.Incident.ID, v.Incident.Title)
			continue
		}
		who := v.Incident.Title[at : at+len("case-000")]
		if found[who] != 0 {
			t.Errorf("%s: got two incidents, want one", who)
		}
		counts := f.queryRows(fmt.Sprintf("SELECT count(*), sum(count), max(count) FROM alerts WHERE incident_id = %d", n+1))[0]
		found[who], _ = strconv.Atoi(counts[0])
		if counts[0] != counts[1] || counts[2] != "1" || found[who] != f.expected[who] {
			t.Errorf("%s: got %s alerts with total count %s and maximum count %s, want %d alerts counted once", who, counts[0], counts[1], counts[2], f.expected[who])
		}
	}
	if len(found) != len(f.expected) {
		t.Errorf("got %d incidents, want %d", len(found), len(f.expected))
	}
	if pages := len(f.company.Pager.Snapshot().Incidents); pages != len(f.expected)+2 || unread != 2 {
		t.Errorf("got %d pages and %d incidents about unread files and messages, want %d and 2", pages, unread, len(f.expected)+2)
	}
	for _, row := range f.queryRows(`SELECT outcome, count(*), sum(CASE WHEN incident_id = 0 THEN 1 ELSE 0 END) FROM inbox WHERE source = 'cloudtrail' GROUP BY outcome`) {
		if row[0] != "opened" && row[0] != "attached" && row[0] != "counted" || row[2] != "0" {
			t.Errorf("%s deliveries have outcome %q, %s of them without an incident", row[1], row[0], row[2])
		}
	}
	dead := f.aws.Messages("dead")
	for _, m := range dead {
		if !isUnreadable(m.Body) {
			t.Errorf("got dead letter of a readable file after %d receives: %s", m.Received, m.Body)
		}
	}
	if len(dead) != f.unreadable {
		t.Errorf("got %d dead letters, want %d", len(dead), f.unreadable)
	}
	reported := map[string]int{}
	for _, row := range f.queryRows(`SELECT kind, sum(count) FROM alerts WHERE source = 'trail' GROUP BY kind`) {
		reported[row[0]], _ = strconv.Atoi(row[1])
	}
	// A file that S3 failed to return three times is reported, too.
	if n := f.unreadable / 3; reported["trail.unreadable"] < f.unreadable || reported["trail.records"] != n {
		t.Errorf("got reports %v, want at least %d files and %d with bad records", reported, f.unreadable, n)
	}
	f.checkVerify()
}
