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
	maxBatchBytes = 4 << 20 // of their bodies

	// A gzip bomb is what unpacks to more than bombRatio times its size, once it is
	// larger than bombGrace. Logs come to 10 or 20 times.
	bombRatio, bombGrace = 200, 16 << 20

	// alertAfterAttempts is the attempt at which an alert says that a file cannot be read.
	// One that is broken inside does not get better and is told at once.
	alertAfterAttempts = 3
)

var (
	errTooBig    = errors.New("the file is larger than allowed")
	errBomb      = errors.New("the file unpacks to much more than logs do")
	errBroken    = errors.New("the file is broken")
	errNotStored = errors.New("the records were not stored")
)

// processObject works one notice off. Without an error its message may be deleted.
func (s *Source) processObject(ctx context.Context, n notice) (ObjectOutcome, error) {
	logFile, findings := strings.Contains(n.Key, "/CloudTrail/"), strings.Contains(n.Key, "/GuardDuty/")
	switch {
	case n.removed() && (logFile || strings.Contains(n.Key, "/CloudTrail-Digest/")):
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
	lasting := outcome == ObjectBroken || outcome == ObjectTooBig
	again := outcome == ObjectStopped || outcome == ObjectNotStored
	if lasting || !again && n.attempt >= alertAfterAttempts {
		t := s.newDelivery(n, noticeBody{Notice: noticeUnreadable, Reason: string(outcome), Detail: err.Error()})
		if told := s.accept(ctx, []Delivery{t}); told != nil {
			return outcome, errors.Join(err, told)
		}
	}
	return outcome, err
}

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

// readObject takes one file apart and commits its records on the way.
func (s *Source) readObject(ctx context.Context, n notice) error {
	in := &s3.GetObjectInput{Bucket: &n.Bucket, Key: &n.Key}
	if n.Version != "" && n.Version != "null" {
		in.VersionId = &n.Version
	}
	out, err := s.bucket.GetObject(ctx, in, withRegion(n.Region))
	if err != nil {
		return fmt.Errorf("get %s: %w", n.where(), err)
	}
	defer out.Body.Close()
	if out.ContentLength != nil && *out.ContentLength > s.MaxObject {
		return fmt.Errorf("%w: %d bytes", errTooBig, *out.ContentLength)
	}
	f := &file{source: s, notice: n}
	if err := f.read(ctx, out.Body); err != nil {
		return err
	}
	s.Observer.Records(f.kept, f.skipped, f.bad)
	return nil
}

// file is one file being read.
type file struct {
	source             *Source
	notice             notice
	batch              []Delivery
	size               int
	kept, skipped, bad int
	firstBad           string // the first bad record is bad
}

// read commits what could be read even where the rest could not.
func (f *file) read(ctx context.Context, body io.Reader) error {
	content, err := unpack(body, f.source.MaxObject, f.source.MaxContent)
	if err == nil {
		err = split(bufio.NewReaderSize(content, maxLine), func(raw []byte, broken bool) error { return f.addRecord(ctx, raw, broken) })
	}
	if ctx.Err() != nil {
		return fmt.Errorf("read %s: %w", f.notice.where(), ctx.Err())
	}
	if f.bad > 0 {
		f.batch = append(f.batch, f.source.newDelivery(f.notice, noticeBody{Notice: noticeRecords, Bad: f.bad, Good: f.kept + f.skipped, Detail: f.firstBad}))
	}
	if flushed := f.flush(ctx); flushed != nil {
		return flushed
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", f.notice.where(), err)
	}
	return nil
}

// addRecord judges one element of the file.
func (f *file) addRecord(ctx context.Context, raw []byte, broken bool) error {
	var r struct {
		EventSource incident.FlexString `json:"eventSource"`
		EventName   incident.FlexString `json:"eventName"`
		EventID     incident.FlexString `json:"eventID"`
		Account     incident.FlexString `json:"recipientAccountId"`
		Digest      incident.FlexString `json:"digestS3Object"`
		Records     json.RawMessage

		// Of a finding, as GuardDuty exports it.
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
		return f.countBad("it is larger than a record can be, or no JSON")
	case err != nil && !errors.As(err, &mismatch):
		return f.countBad(err.Error())
	case string(raw) == "{}", string(r.Records) == "null", r.Digest != "": // nothing in it, or a digest under a log's name
		return nil
	case !finding && (len(raw) == 0 || raw[0] != '{' || r.EventSource == "" || r.EventName == ""):
		return f.countBad("it has no eventSource and eventName, and is no finding")
	case !f.source.Filter(raw):
		f.skipped++
		return nil
	}
	id := recordID(string(r.Account), string(r.EventID), raw)
	if finding {
		id = findingID(string(r.FindingID), string(r.UpdatedAt), string(r.Service.Count), raw)
	}
	f.kept++
	f.size += len(raw)
	f.batch = append(f.batch, Delivery{Source: recordSource, ID: id, Body: bytes.Clone(raw), Received: f.source.Clock(), Sender: f.notice.where()})
	if len(f.batch) < maxBatch && f.size < maxBatchBytes {
		return nil
	}
	return f.flush(ctx)
}

func (f *file) countBad(why string) error {
	if f.bad++; f.bad == 1 {
		f.firstBad = why
	}
	return nil
}

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

// recordID is the id under which the cloudtrail source takes a bare record: the
// same record by another way is the same delivery. A record without an id is
// told by its bytes.
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

// findingID is the same for a finding: each of its updates is a delivery, and so
// is a higher count without one.
func findingID(id, updated, count string, raw []byte) string {
	if updated == "" {
		return sha256ID(raw)
	}
	if count != "" {
		updated += "/" + count
	}
	return boundedID(id + "/" + updated)
}

// boundedID is an id as the inbox takes it: a long or odd one by its hash.
func boundedID(id string) string {
	odd := func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
	if len(id) > 200 || strings.ContainsFunc(id, odd) {
		return sha256ID([]byte(id))
	}
	return id
}

func sha256ID(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// unpack bounds a file, and unpacks it if it is packed, by its first bytes: the
// name and the headers may say what they like.
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
	z, err := gzip.NewReader(head) // one member after the other
	if err != nil {
		if !packed.readFailed {
			err = fmt.Errorf("%w: %w", errBroken, err)
		}
		return nil, err
	}
	return &limitedReader{r: z, limit: maxContent, packed: packed}, nil
}

// limitedReader counts what is read.
type limitedReader struct {
	r           io.Reader
	read, limit int64
	packed      *limitedReader // what this is unpacked from
	readFailed  bool           // to come, by a fault of the network
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
	case b.packed != nil && !b.packed.readFailed: // all of it came; it is the packing that is wrong
		err = fmt.Errorf("%w: %w", errBroken, err)
	default:
		b.readFailed = true
	}
	return n, err
}

// recentObjects remembers the files that were read last, so that a message that comes
// twice costs no second reading.
type recentObjects struct {
	mu    sync.Mutex
	known map[string]bool
	order []string
	next  int
}

func newRecentObjects(n int) *recentObjects {
	return &recentObjects{known: map[string]bool{}, order: make([]string, n)}
}

// objectVersion is empty for an object whose content the notice does not name.
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
