package trail

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"tocsin/bot/incident"
)

const (
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
	if err == nil {
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
	content, err := unpack(body, f.source.MaxObject, f.source.MaxContent)
	if err == nil {
		err = split(bufio.NewReaderSize(content, maxLine), func(raw []byte, broken bool) error { return f.addRecord(ctx, raw, broken) })
	}
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

// addRecord adds one element of the file to the batch, or counts it as bad or
// skipped.
func (f *file) addRecord(ctx context.Context, raw []byte, broken bool) error {
	var r struct {
		EventSource incident.FlexString `json:"eventSource"`
		EventName   incident.FlexString `json:"eventName"`
		EventID     incident.FlexString `json:"eventID"`
		Account     incident.FlexString `json:"recipientAccountId"`
		Digest      incident.FlexString `json:"digestS3Object"`
		Records     json.RawMessage

		// Fields of an exported GuardDuty finding.
		FindingID incident.FlexString `json:"id"`
		Type      incident.FlexString `json:"type"`
		Severity  incident.FlexString `json:"severity"`
		UpdatedAt incident.FlexString `json:"updatedAt"`
		Service   struct {
			Count incident.FlexString `json:"count"`
		} `json:"service"`
	}
	err := json.Unmarshal(raw, &r)
	var mismatch *json.UnmarshalTypeError
	finding := r.EventName == "" && r.FindingID != "" && r.Type != "" && r.Severity != ""
	switch {
	case broken:
		return f.countBad(fmt.Sprintf("the record is not JSON or is larger than %d bytes", maxRecord))
	case err != nil && !errors.As(err, &mismatch):
		return f.countBad(err.Error())
	case string(raw) == "{}", string(r.Records) == "null", r.Digest != "": // empty, or a digest with the name of a log file
		return nil
	case !finding && (len(raw) == 0 || raw[0] != '{' || r.EventSource == "" || r.EventName == ""):
		return f.countBad("the record is not a finding and has no eventSource or eventName")
	case !f.source.Filter(raw):
		f.skipped++
		return nil
	}
	id := recordID(string(r.Account), string(r.EventID), raw)
	if finding {
		id = findingID(string(r.FindingID), string(r.UpdatedAt), string(r.Service.Count), raw)
	}
	f.stored++
	f.size += len(raw)
	f.batch = append(f.batch, Delivery{Source: recordSource, ID: id, Body: bytes.Clone(raw), Received: f.source.Clock(), Sender: f.notice.uri()})
	if len(f.batch) < maxBatch && f.size < maxBatchBytes {
		return nil
	}
	return f.flush(ctx)
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
		return sha256ID(raw)
	}
	return boundedID(id)
}

// findingID returns the delivery ID of a finding. Each update of the finding and
// each higher count is a separate delivery.
func findingID(id, updated, count string, raw []byte) string {
	if updated == "" {
		return sha256ID(raw)
	}
	if count != "" {
		updated += "/" + count
	}
	return boundedID(id + "/" + updated)
}

// boundedID returns id, or its hash if id is long or unprintable. The inbox
// requires short printable IDs.
func boundedID(id string) string {
	unprintable := func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
	if len(id) > 200 || strings.ContainsFunc(id, unprintable) {
		return sha256ID([]byte(id))
	}
	return id
}

func sha256ID(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// unpack returns a reader of the content of r, which fails with errTooBig, errBomb
// or errBroken. It detects gzip by the first bytes, because names and headers can be
// wrong.
func unpack(r io.Reader, maxObject, maxContent int64) (io.Reader, error) {
	packed := &limitedReader{r: r, limit: maxObject}
	head := bufio.NewReader(packed)
	magic, err := head.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return head, nil
	}
	z, err := gzip.NewReader(head) // reads all members
	if err != nil {
		if !packed.readFailed {
			err = fmt.Errorf("%w: %w", errBroken, err)
		}
		return nil, err
	}
	return &limitedReader{r: z, limit: maxContent, packed: packed}, nil
}

// limitedReader fails after limit bytes. If packed is set, it also detects gzip
// bombs and marks unpacking errors with errBroken.
type limitedReader struct {
	r           io.Reader
	read, limit int64
	packed      *limitedReader // source of the gzip reader r, or nil
	readFailed  bool           // r returned an error other than io.EOF
}

func (b *limitedReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.read += int64(n)
	switch {
	case b.read > b.limit:
		return 0, fmt.Errorf("%w: more than %d bytes", errTooBig, b.limit)
	case b.packed != nil && b.read > bombGrace && b.read > bombRatio*b.packed.read:
		return 0, errBomb
	case err == nil || errors.Is(err, io.EOF):
	case b.packed != nil && !b.packed.readFailed: // the download succeeded, but the gzip data is invalid
		err = fmt.Errorf("%w: %w", errBroken, err)
	default:
		b.readFailed = true
	}
	return n, err
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
