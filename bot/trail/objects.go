package trail

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"tocsin/bot/detect"
	"tocsin/bot/text"
)

const (
	// maxRecord is the maximum size of a record in bytes. CloudTrail's records are
	// smaller than 256 KiB.
	maxRecord = 1 << 20

	maxBatch      = 256     // deliveries in one commit
	maxBatchBytes = 4 << 20 // bytes of bodies that end a batch

	// A file is rejected as a gzip bomb if it expands to more than bombGrace bytes and
	// to more than bombRatio times its size. Log files expand 10 to 20 times.
	bombRatio, bombGrace = 200, 16 << 20

	// alertAfterAttempts is the number of failed attempts that causes an alert about an
	// unreadable file. Broken and too large files are reported at the first attempt,
	// because a retry does not help.
	alertAfterAttempts = 3
)

var (
	errTooBig    = errors.New("the file is larger than allowed")
	errBomb      = errors.New("the file expands far more than a log file")
	errBroken    = errors.New("the file is broken")
	errNotStored = errors.New("the records were not stored")
)

// processObject handles one notice. The message may be deleted if the error is nil.
func (s *Source) processObject(ctx context.Context, n notice) (ObjectOutcome, error) {
	logFile, findings := strings.Contains(n.Key, "/CloudTrail/"), strings.Contains(n.Key, "/GuardDuty/")
	switch {
	case n.isRemoval() && (logFile || strings.Contains(n.Key, "/CloudTrail-Digest/")):
		return ObjectRemoved, s.accept(ctx, []Delivery{s.newDelivery(n, noticeBody{Notice: noticeRemoved, Event: n.Event, At: n.At, Principal: n.Principal, Address: n.Address})})
	case !logFile && !findings, n.Event != "" && !strings.HasPrefix(n.Event, "ObjectCreated:"):
		return ObjectSkipped, nil
	case s.recent.has(n):
		return ObjectKnown, nil
	}
	ctx, cancel := context.WithTimeout(ctx, objectTimeout)
	defer cancel()
	err := s.readObject(ctx, n)
	outcome := outcomeOf(ctx, err)
	if err == nil || outcome == ObjectDenied || outcome == ObjectFailed {
		s.fileErr.Store(&err)
	}
	if err == nil {
		now := s.Clock()
		s.lastFile.Store(&now)
		s.recent.add(n)
		return outcome, nil
	}
	permanent := outcome == ObjectBroken || outcome == ObjectTooBig
	unrelated := outcome == ObjectStopped || outcome == ObjectNotStored // not caused by the file
	if permanent || !unrelated && n.attempt >= alertAfterAttempts {
		d := s.newDelivery(n, noticeBody{Notice: noticeUnreadable, Reason: string(outcome), Detail: err.Error()})
		if acceptErr := s.accept(ctx, []Delivery{d}); acceptErr != nil {
			return outcome, errors.Join(err, acceptErr)
		}
	}
	return outcome, err
}

// outcomeOf classifies the error of readObject.
func outcomeOf(ctx context.Context, err error) ObjectOutcome {
	var api smithy.APIError
	switch {
	case err == nil:
		return ObjectRead
	case errors.Is(ctx.Err(), context.Canceled):
		return ObjectStopped
	case errors.Is(err, errNotStored):
		return ObjectNotStored
	case errors.Is(err, errTooBig), errors.Is(err, errBomb):
		return ObjectTooBig
	case errors.Is(err, errBroken):
		return ObjectBroken
	case !errors.As(err, &api):
		return ObjectFailed
	}
	switch api.ErrorCode() {
	case "NoSuchKey", "NoSuchBucket", "NoSuchVersion":
		return ObjectMissing
	case "AccessDenied", "KMS.DisabledException", "KMS.NotFoundException", "InvalidObjectState":
		return ObjectDenied
	}
	return ObjectFailed
}

// readObject downloads one file and stores its records in batches.
func (s *Source) readObject(ctx context.Context, n notice) error {
	in := &s3.GetObjectInput{Bucket: &n.Bucket, Key: &n.Key}
	if n.Version != "" && n.Version != "null" {
		in.VersionId = &n.Version
	}
	out, err := s.bucket.GetObject(ctx, in, withRegion(n.Region))
	if err != nil {
		return fmt.Errorf("get %s: %w", n.uri(), err)
	}
	defer out.Body.Close()
	if out.ContentLength != nil && *out.ContentLength > s.MaxObject {
		return fmt.Errorf("%w: %d bytes", errTooBig, *out.ContentLength)
	}
	f := &file{source: s, notice: n}
	if err := f.read(ctx, out.Body); err != nil {
		return err
	}
	s.Observer.Records(f.stored, f.skipped, f.bad)
	return nil
}

// file is the state while one file is read.
type file struct {
	source               *Source
	notice               notice
	batch                []Delivery
	size                 int
	stored, skipped, bad int
	firstBad             string // problem of the first bad record
}

// read stores the records of a file. If the file breaks off, it still stores the
// records before that point and returns the error.
func (f *file) read(ctx context.Context, body io.Reader) error {
	limits := detect.Limits{Record: maxRecord, Stored: f.source.MaxObject, Content: f.source.MaxContent, InflateFloor: bombGrace, InflateRatio: bombRatio}
	err := describeReadError(detect.ReadItems(body, limits, func(item *detect.Item) error { return f.addRecord(ctx, item) }))
	if ctx.Err() != nil {
		return fmt.Errorf("read %s: %w", f.notice.uri(), ctx.Err())
	}
	if f.bad > 0 {
		f.batch = append(f.batch, f.source.newDelivery(f.notice, noticeBody{Notice: noticeRecords, Bad: f.bad, Good: f.stored + f.skipped, Detail: f.firstBad}))
	}
	if flushed := f.flush(ctx); flushed != nil {
		return flushed
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", f.notice.uri(), err)
	}
	return nil
}

// fields are the fields of an element that identify it.
type fields struct {
	EventSource text.Flex       `json:"eventSource"`
	EventName   text.Flex       `json:"eventName"`
	EventID     text.Flex       `json:"eventID"`
	Account     text.Flex       `json:"recipientAccountId"`
	Digest      text.Flex       `json:"digestS3Object"`
	Records     json.RawMessage `json:"Records"`

	// Fields of an exported GuardDuty finding.
	FindingID text.Flex `json:"id"`
	Type      text.Flex `json:"type"`
	Severity  text.Flex `json:"severity"`
	UpdatedAt text.Flex `json:"updatedAt"`
	Service   struct {
		Count text.Flex `json:"count"`
	} `json:"service"`
}

var (
	fieldNames = detect.NewFields("eventSource", "eventName", "eventID", "recipientAccountId", "digestS3Object", "id", "type", "severity", "updatedAt", "Records", "service")
	countField = detect.NewFields("count")
)

// read reads the fields of a decoded element. Like encoding/json, it ignores fields of
// an unexpected type.
func (f *fields) read(v detect.Value) {
	texts := [...]*text.Flex{&f.EventSource, &f.EventName, &f.EventID, &f.Account, &f.Digest, &f.FindingID, &f.Type, &f.Severity, &f.UpdatedAt}
	for key, member := range v.Members() {
		switch i := fieldNames.Index(key); {
		case i < 0:
		case i < len(texts):
			*texts[i] = text.Flex(member.Text())
		case fieldNames.Name(i) == "Records":
			f.Records = member.Raw()
		default:
			for key, count := range member.Members() {
				if countField.Index(key) == 0 {
					f.Service.Count = text.Flex(count.Text())
				}
			}
		}
	}
}

// readFields reads the fields of an element. Package detect is stricter than JSON, and
// an element that it does not decode is still stored and reported if it is JSON.
func readFields(item *detect.Item) (f fields, err error) {
	if item.Record != nil {
		f.read(item.Record.Root())
		return f, nil
	}
	err = json.Unmarshal(item.Raw, &f)
	if mismatch := new(json.UnmarshalTypeError); errors.As(err, &mismatch) {
		err = nil
	}
	return f, err
}

// describeReadError returns the error of a file as outcomeOf and the alert expect it.
func describeReadError(err error) error {
	size, packed, short := new(detect.SizeError), new(detect.GzipError), new(detect.TruncatedError)
	switch {
	case errors.As(err, &size):
		return fmt.Errorf("%w: more than %d bytes", errTooBig, size.Limit)
	case errors.Is(err, detect.ErrInflateRatio):
		return errBomb
	case errors.As(err, &packed):
		return fmt.Errorf("%w: %w", errBroken, packed.Err)
	case errors.As(err, &short) && errors.Is(short.Err, io.EOF):
		return fmt.Errorf("%w: it ends inside a record", errBroken)
	case errors.As(err, &short):
		return short.Err
	}
	return err
}

// addRecord adds one element of the file to the batch, or counts it as bad or
// skipped.
func (f *file) addRecord(ctx context.Context, item *detect.Item) error {
	raw := item.Raw
	if raw == nil {
		return f.countBad(fmt.Sprintf("the record is not JSON or is larger than %d bytes", maxRecord))
	}
	r, err := readFields(item)
	if err != nil {
		return f.countBad(err.Error())
	}
	finding := r.EventName == "" && r.FindingID != "" && r.Type != "" && r.Severity != ""
	switch {
	case isEmptyObject(raw), string(r.Records) == "null", r.Digest != "": // empty, or a digest with the name of a log file
		return nil
	case !finding && (raw[0] != '{' || r.EventSource == "" || r.EventName == ""):
		return f.countBad("the record is not a finding and has no eventSource or eventName")
	}
	evaluation, notable := f.source.Evaluate(item)
	if !notable {
		f.skipped++
		return nil
	}
	body := item.Text()
	id := recordID(string(r.Account), string(r.EventID), body)
	if finding {
		id = findingID(string(r.FindingID), string(r.UpdatedAt), string(r.Service.Count), body)
	}
	f.stored++
	f.size += len(body)
	f.batch = append(f.batch, Delivery{Source: recordSource, ID: id, Body: body, Evaluation: evaluation, Received: f.source.Clock(), Sender: f.notice.uri()})
	if len(f.batch) < maxBatch && f.size < maxBatchBytes {
		return nil
	}
	return f.flush(ctx)
}

func isEmptyObject(raw []byte) bool {
	members, ok := bytes.CutPrefix(raw, []byte("{"))
	return ok && string(bytes.TrimSpace(members)) == "}"
}

// countBad counts a bad record and always returns nil, because a bad record does
// not stop the file.
func (f *file) countBad(problem string) error {
	if f.bad++; f.bad == 1 {
		f.firstBad = problem
	}
	return nil
}

// flush stores the batch.
func (f *file) flush(ctx context.Context) error {
	if len(f.batch) == 0 {
		return nil
	}
	if err := f.source.accept(ctx, f.batch); err != nil {
		return err
	}
	f.batch, f.size = nil, 0
	return nil
}

func (s *Source) accept(ctx context.Context, ds []Delivery) error {
	if err := s.Sink.Accept(ctx, ds); err != nil {
		return fmt.Errorf("%w: %w", errNotStored, err)
	}
	return nil
}

// recordID returns the delivery ID of a record. The cloudtrail source gives a bare
// record an identical ID, because one record must be one delivery on every path.
// Without an event ID, it returns the hash of the record.
func recordID(account, event string, raw []byte) string {
	id := event
	if account != "" && event != "" {
		id = account + "/" + event
	}
	if event == "" {
		return text.Digest(raw)
	}
	return text.ID(id)
}

// findingID returns the delivery ID of a finding. Each update of the finding and
// each higher count is a separate delivery.
func findingID(id, updated, count string, raw []byte) string {
	if updated == "" {
		return text.Digest(raw)
	}
	if count != "" {
		updated += "/" + count
	}
	return text.ID(id + "/" + updated)
}

// recentObjects is a set of the last files that were read. A repeated message about
// one of them does not cause a second download. It is safe for concurrent use.
type recentObjects struct {
	mu    sync.Mutex
	known map[string]bool
	order []string // ring of the known objects
	next  int      // index of the oldest
}

func newRecentObjects(n int) *recentObjects {
	return &recentObjects{known: map[string]bool{}, order: make([]string, n)}
}

// objectVersion identifies the content of an object. It is empty if the notice has
// no ETag.
func objectVersion(n notice) string {
	if n.ETag == "" {
		return ""
	}
	return n.Bucket + "\x00" + n.Key + "\x00" + n.Version + "\x00" + n.ETag
}

func (r *recentObjects) has(n notice) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known[objectVersion(n)]
}

func (r *recentObjects) add(n notice) {
	id := objectVersion(n)
	if id == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known[id] {
		return
	}
	delete(r.known, r.order[r.next])
	r.order[r.next], r.known[id] = id, true
	r.next = (r.next + 1) % len(r.order)
}
