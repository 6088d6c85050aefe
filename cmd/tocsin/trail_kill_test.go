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

// TestKillWhileReadingTheTrail kills the bot again and again while it fetches
// CloudTrail's files by way of their queue: half of the times while a file is
// read, half of the times between the commit and the deletion of the message.
// S3 fails, thinks for long and breaks off; SQS fails, loses answers and brings
// messages again while they are worked on; the same records are in several files
// and come by EventBridge and in arrays as well. In the end every record that
// has to raise an alert is counted once, in one incident for each identity, and
// the queue is empty but for what cannot be read, which is reported.
//
// TOCSIN_TEST_KILLS is how often; 3 if unset.
func TestKillWhileReadingTheTrail(t *testing.T) {
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
		storetest.Databases(t, run)
		return
	}
	run(t, storetest.SQLite(t))
}

const (
	auditLogs = "audit-logs"
	logFolder = "AWSLogs/111122223333/CloudTrail/eu-west-1/2026/11/20/"

	identityCount  = 6   // whose records are one incident each
	filesPerWave   = 6   // files of records between two kills
	recordsPerFile = 400 // records of a file
	alertEvery     = 2   // of which every second one has to raise an alert
)

// trailTest is a bot that reads a trail, and what the test knows of the trail.
type trailTest struct {
	*botProcess
	aws    *aws.Account
	random *rand.Rand

	recordCount int            // of records made
	expected    map[string]int // records that have to raise an alert, by who did it
	unreadable  int            // files that cannot be read
	killPoints  []string       // of the kills: what they hit
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
		f.aws.Duplicate("trail") // what the dead one had in its hands is visible again
	}
	f.aws.Heal()
	last := time.Now()
	var again time.Time
	f.waitFor(3*time.Minute, "all that can be read is read", func() bool {
		// Not at every look: whoever reads a file while its message comes again cannot delete it.
		if time.Since(again) > 3*time.Second {
			f.aws.Duplicate("trail")
			again = time.Now()
		}
		return !slices.ContainsFunc(f.aws.Messages("trail"), func(m aws.Message) bool { return !isUnreadable(m.Body) })
	})
	f.waitFor(3*time.Minute, "what cannot be read is put aside", func() bool {
		f.aws.Duplicate("trail")
		return len(f.aws.Messages("trail")) == 0
	})
	f.waitIdle(3 * time.Minute)
	f.checkOutcome()
	f.t.Logf("%d kills in %v (%s), the rest within %v; %d records of %d raised alerts, %d receipts, %d files got, %d messages deleted", kills,
		time.Since(began).Round(time.Second), strings.Join(f.killPoints, ", "), time.Since(last).Round(time.Second), sumCounts(f.expected), f.recordCount,
		f.aws.Count("sqs:ReceiveMessage", 200), f.aws.Count("s3:GetObject", 200), f.aws.Deleted("trail"))
}

// isUnreadable is a message about a file that cannot be read.
func isUnreadable(body string) bool {
	return slices.ContainsFunc([]string{"cut_", "bomb_", "gone_"}, func(file string) bool { return strings.Contains(body, file) })
}

func sumCounts(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

// injectFaults switches on what the services are known for.
func (f *trailTest) injectFaults() {
	f.aws.Heal()
	for _, fault := range []aws.Fault{
		{Op: "s3:GetObject", Times: 4, Status: 500, Code: "InternalError"}, // more than the SDK tries by itself
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

// addFiles puts files of all sorts into the bucket and tells of some of them again.
func (f *trailTest) addFiles(n int) {
	var before []string
	for k := range filesPerWave {
		records := f.records()
		key := fmt.Sprintf("%s111122223333_CloudTrail_eu-west-1_%03d_%d.json.gz", logFolder, n, k)
		f.aws.Put(auditLogs, key, gzipped(`{"Records":[`+strings.Join(records, ",")+`]}`))
		switch k {
		case 0: // told of twice more, and in two other ways
			f.aws.Send("trail", f.aws.Event(auditLogs, "ObjectCreated:Put", key))
			event, _ := json.Marshal(f.aws.Event(auditLogs, "ObjectCreated:Put", key))
			f.aws.Send("trail", `{"Type":"Notification","MessageId":"m","Message":`+string(event)+`}`)
			f.aws.Send("trail", fmt.Sprintf(`{"s3Bucket":%q,"s3ObjectKey":[%q]}`, auditLogs, key))
		case 1: // a second trail has some of the same records
			f.aws.Put(auditLogs, strings.Replace(key, "AWSLogs/", "AWSLogs/o-abc123/", 1), gzipped(`{"Records":[`+strings.Join(records[:recordsPerFile/2], ",")+`]}`))
		case 2: // EventBridge brings some of the same, and an array does
			for n := 0; n < len(records); n += alertEvery {
				before = append(before, records[n])
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
	whole := gzipped(`{"Records":[` + strings.Join(f.records(), ",") + `,` + strings.Join(f.irrelevantRecords(4000), ",") + `]}`)
	f.aws.Put(auditLogs, fmt.Sprintf("%scut_%d.json.gz", logFolder, n), whole[:len(whole)-200]) // behind what matters
	f.aws.Put(auditLogs, fmt.Sprintf("%sbomb_%d.json.gz", logFolder, n), gzipped(strings.Repeat(" ", 24<<20)))
	f.aws.Send("trail", fmt.Sprintf(`{"s3Bucket":%q,"s3ObjectKey":["%sgone_%d.json.gz"]}`, auditLogs, logFolder, n))
	f.unreadable += 3
	go f.postRecords(before) // it may be killed meanwhile
}

// postRecords posts records that stand in a file as well. Nobody repeats what was
// not answered.
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

// records makes those of one file. Each that matters stops another trail.
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

// irrelevantRecords makes records that nobody is interested in.
func (f *trailTest) irrelevantRecords(n int) []string {
	out := make([]string, n)
	for k := range out {
		out[k] = fmt.Sprintf(`{"eventSource":"s3.amazonaws.com","eventName":"ListBuckets","eventID":"%x"}`, f.random.Uint64())
	}
	return out
}

func gzipped(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text)) // a buffer takes everything
	_ = z.Close()
	return b.Bytes()
}

const storedRecords = `SELECT count(*) FROM inbox WHERE source = 'cloudtrail'`

// killWhileReading kills after some more records are in the inbox.
func (f *trailTest) killWhileReading() {
	want := f.queryInt(storedRecords) + 1 + f.random.IntN(filesPerWave*recordsPerFile/alertEvery/2)
	again := 0
	f.waitFor(time.Minute, "the records come", func() bool {
		if again++; again%25 == 0 { // every half second their time-outs are over, whoever works on them
			f.aws.Duplicate("trail")
		}
		return f.queryInt(storedRecords) >= want
	})
	f.killPoints = append(f.killPoints, "while reading")
	f.kill()
}

// killBeforeDeletion kills when a message is to be deleted and is not.
func (f *trailTest) killBeforeDeletion() {
	before := f.aws.Count("sqs:DeleteMessage", 500)
	f.aws.Fail(aws.Fault{Op: "sqs:DeleteMessage", Status: 500, Code: "InternalFailure"})
	more := 1 + f.random.IntN(3)
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	if err := f.aws.Until(ctx, func() bool { return f.aws.Count("sqs:DeleteMessage", 500) >= before+more }); err != nil {
		f.t.Fatal("no message came to its deletion")
	}
	f.killPoints = append(f.killPoints, "before a deletion")
	f.kill()
	f.aws.Heal()
}

func (f *trailTest) checkOutcome() {
	t := f.t
	if n := f.queryInt(`SELECT count(*) FROM alerts WHERE source = 'cloudtrail' AND incident_id <= 0`); n != 0 {
		t.Errorf("%d alerts are in no incident", n)
	}
	found := map[string]int{}
	for n := range f.queryInt("SELECT count(*) FROM incidents") {
		v := f.view(incident.ID(n + 1))
		at := strings.Index(v.Incident.Title, "case-")
		if at < 0 {
			t.Errorf("%s: %s", v.Incident.ID, v.Incident.Title)
			continue
		}
		who := v.Incident.Title[at : at+len("case-000")]
		if found[who] != 0 {
			t.Errorf("%s has two incidents", who)
		}
		counts := f.queryRows(fmt.Sprintf("SELECT count(*), sum(count), max(count) FROM alerts WHERE incident_id = %d", n+1))[0]
		found[who], _ = strconv.Atoi(counts[0])
		if counts[0] != counts[1] || counts[2] != "1" || found[who] != f.expected[who] {
			t.Errorf("%s: %d records have to raise an alert; %s alerts, counted %s times, one of them %s times", who, f.expected[who], counts[0], counts[1], counts[2])
		}
	}
	if len(found) != len(f.expected) {
		t.Errorf("%d incidents for %d identities", len(found), len(f.expected))
	}
	if pages := len(f.company.Pager.Snapshot().Incidents); pages != len(f.expected) {
		t.Errorf("%d pages for %d incidents", pages, len(f.expected))
	}
	for _, row := range f.queryRows(`SELECT outcome, count(*), sum(CASE WHEN incident_id = 0 THEN 1 ELSE 0 END) FROM inbox WHERE source = 'cloudtrail' GROUP BY outcome`) {
		if row[0] != "opened" && row[0] != "attached" && row[0] != "counted" || row[2] != "0" {
			t.Errorf("%s deliveries became %q, %s of them in no incident", row[1], row[0], row[2])
		}
	}
	dead := f.aws.Messages("dead")
	for _, m := range dead {
		if !isUnreadable(m.Body) {
			t.Errorf("received %d times and given up: %s", m.Received, m.Body)
		}
	}
	if len(dead) != f.unreadable {
		t.Errorf("%d messages were put aside, want %d", len(dead), f.unreadable)
	}
	reported := map[string]int{}
	for _, row := range f.queryRows(`SELECT kind, sum(count) FROM alerts WHERE source = 'trail' GROUP BY kind`) {
		reported[row[0]], _ = strconv.Atoi(row[1])
	}
	// A file that S3 did not give away three times is reported as well, for another reason.
	if n := f.unreadable / 3; reported["trail.unreadable"] < f.unreadable || reported["trail.records"] != n {
		t.Errorf("reported %v, want each of %d files, and %d bad records", reported, f.unreadable, n)
	}
	f.checkVerify()
}
