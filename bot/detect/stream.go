package detect

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Limits of [Read].
const (
	// MaxRecord is the maximum size of a record in bytes. It limits the memory that
	// Read uses.
	MaxRecord = 8 << 20
	// A compressed stream may expand to inflateFloor bytes or to maxInflateRatio
	// times its compressed size. Logs expand by 10 to 100, gzip bombs by 1,000.
	inflateFloor    = 64 << 20
	maxInflateRatio = 250
)

// Counts reports the contents of a stream.
type Counts struct {
	Records int `json:"records"`
	Invalid int `json:"invalid"` // values that are not records, each reported as a Problem
	Other   int `json:"other"`   // empty objects, digest files, other EventBridge events
}

// Problem is a part of a stream that is not a record.
type Problem struct {
	Offset int64 // in bytes of the decompressed stream
	Reason string
}

func (p Problem) Error() string { return fmt.Sprintf("at byte %d: %s", p.Offset, p.Reason) }

// Read calls each for every CloudTrail record of a stream. The stream contains
// {"Records": […]}, arrays, objects one after another or one per line, or
// EventBridge envelopes, optionally compressed with gzip.
//
// A record is valid until each returns. If each returns an error, Read stops and
// returns it. Read calls bad for each part of the stream that is not a record and
// continues after it. It also returns errors of src and of the decompression.
func Read(src io.Reader, each func(*Record) error, bad func(Problem)) (Counts, error) {
	s, _ := streams.Get().(*stream)
	if s == nil {
		s = &stream{buf: make([]byte, 0, 64<<10)}
	}
	*s = stream{src: src, buf: s.buf[:0], rec: s.rec, each: each, bad: bad}
	err := s.decompress()
	if err == nil {
		err = s.run()
	}
	if err == nil && !errors.Is(s.err, io.EOF) {
		err = s.err
	}
	counts := s.counts
	if cap(s.buf) <= 1<<20 {
		streams.Put(s)
	}
	return counts, err
}

// streams reuses buffers, because log folders contain many small files.
var streams sync.Pool

// decompress inserts a gzip reader if the stream begins with the gzip magic number.
func (s *stream) decompress() error {
	for len(s.buf) < 2 && s.fill() {
		continue
	}
	if !bytes.HasPrefix(s.buf, []byte{0x1f, 0x8b}) {
		return nil
	}
	counted := &countingReader{src: io.MultiReader(bytes.NewReader(bytes.Clone(s.buf)), s.src)}
	if s.err != nil && !errors.Is(s.err, io.EOF) {
		return s.err
	}
	z, err := gzip.NewReader(counted)
	if err != nil {
		return fmt.Errorf("read gzip: %w", err)
	}
	s.src, s.buf, s.err = &boundedReader{src: z, read: counted}, s.buf[:0], nil
	return nil
}

// countingReader counts the compressed bytes.
type countingReader struct {
	src io.Reader
	n   int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.src.Read(p)
	c.n += int64(n)
	return n, err
}

// boundedReader returns errInflateRatio if a stream expands too much.
type boundedReader struct {
	src  io.Reader
	read *countingReader
	n    int64
}

var errInflateRatio = errors.New("decompressed stream is too large for its compressed size")

func (b *boundedReader) Read(p []byte) (int, error) {
	n, err := b.src.Read(p)
	b.n += int64(n)
	if b.n > inflateFloor && b.n > maxInflateRatio*b.read.n {
		return n, errInflateRatio
	}
	return n, err
}

type stream struct {
	src    io.Reader
	buf    []byte // buf[pos:] is unread
	pos    int
	base   int64 // offset of buf[0]
	err    error // first error of src, such as io.EOF
	rec    Record
	each   func(*Record) error
	bad    func(Problem)
	counts Counts
}

// fill reads at least as many bytes as are unread. This doubling makes repeated
// attempts to decode a long value take linear time. It reports whether it read
// any bytes.
func (s *stream) fill() bool {
	waiting := len(s.buf) - s.pos
	if s.pos > 0 {
		copy(s.buf, s.buf[s.pos:])
		s.buf, s.base, s.pos = s.buf[:waiting], s.base+int64(s.pos), 0
	}
	for got := 0; got <= waiting && s.err == nil; {
		if len(s.buf) == cap(s.buf) {
			s.buf = append(s.buf, 0)[:len(s.buf)]
		}
		n, err := s.src.Read(s.buf[len(s.buf):cap(s.buf)])
		s.buf = s.buf[:len(s.buf)+n]
		got += n
		if err != nil {
			s.err = err
		}
	}
	return len(s.buf) > waiting
}

// peek skips spaces and returns the next byte, or false at the end of the stream.
func (s *stream) peek() (byte, bool) {
	for {
		for s.pos < len(s.buf) {
			if c := s.buf[s.pos]; c > ' ' {
				return c, true
			}
			s.pos++
		}
		if !s.fill() {
			return 0, false
		}
	}
}

func (s *stream) reportProblem(at int, format string, args ...any) {
	s.counts.Invalid++
	s.bad(Problem{s.base + int64(at), fmt.Sprintf(format, args...)})
}

func (s *stream) run() error {
	for len(s.buf) < 3 && s.fill() {
		continue
	}
	if bytes.HasPrefix(s.buf, []byte("\xef\xbb\xbf")) {
		s.pos = 3
	}
	for {
		c, ok := s.peek()
		var err error
		switch {
		case !ok:
			return nil
		case c == '{' && s.enterRecords():
			if err = s.readArray(); err == nil {
				s.skip(1)
			}
		case c == '{':
			err = s.readObject(true)
		case c == '[':
			s.pos++
			err = s.readArray()
		default:
			s.reportProblem(s.pos, "not a JSON object")
			s.skipLine()
		}
		if err != nil {
			return err
		}
	}
}

// enterRecords skips {"Records": [ and reports whether it was there. The records
// of a large file are then decoded one by one.
func (s *stream) enterRecords() bool {
	for len(s.buf)-s.pos < 64 && s.fill() {
		continue
	}
	at := s.pos
	for _, token := range []string{"{", `"Records"`, ":", "["} {
		for at < len(s.buf) && (s.buf[at] == ' ' || s.buf[at] == '\n' || s.buf[at] == '\r' || s.buf[at] == '\t') {
			at++
		}
		if !bytes.HasPrefix(s.buf[at:], []byte(token)) {
			return false
		}
		at += len(token)
	}
	s.pos = at
	return true
}

// readArray reads the elements of an array and its closing bracket.
func (s *stream) readArray() error {
	for {
		c, ok := s.peek()
		switch {
		case !ok:
			s.reportProblem(len(s.buf), "the stream ends within an array")
			return nil
		case c == ']':
			s.pos++
			return nil
		case c == ',':
			s.pos++
		case c == '{':
			if err := s.readObject(false); err != nil {
				return err
			}
		case c == '}':
			s.reportProblem(s.pos, "the array ends with the wrong bracket")
			s.pos++
			return nil
		default:
			s.reportProblem(s.pos, "an array element is not a JSON object")
			s.skip(0)
		}
	}
}

// readObject decodes the object at s.pos and emits its records. top is true for an
// object outside an array.
func (s *stream) readObject(top bool) error {
	for {
		n, err := s.rec.decode(s.buf[s.pos:])
		switch {
		case err == nil && n > MaxRecord, errors.Is(err, errShort) && len(s.buf)-s.pos > MaxRecord:
			s.reportProblem(s.pos, "a record is larger than %d bytes", MaxRecord)
			s.skip(0)
			return nil
		case err == nil:
			s.pos += n
			return s.emit()
		case errors.Is(err, errShort) && s.fill():
		case errors.Is(err, errShort):
			s.reportProblem(s.pos, "the stream ends within a record")
			s.pos = len(s.buf)
			return nil
		default:
			s.skipInvalid(top, err)
			return nil
		}
	}
}

// skipInvalid reports an invalid value and skips it. It skips the line if the value
// is at the top level and the error is on its first line. Otherwise it skips to the
// closing bracket.
func (s *stream) skipInvalid(top bool, err error) {
	at, reason := s.pos, err.Error()
	var syntax *SyntaxError
	if errors.As(err, &syntax) {
		at, reason = s.pos+syntax.Offset, syntax.Reason
	}
	s.reportProblem(at, "%s", reason)
	if top && bytes.IndexByte(s.buf[s.pos:min(at, len(s.buf))], '\n') < 0 {
		s.skipLine()
		return
	}
	s.skip(0)
}

// skip moves s.pos after the value there, or out of depth open brackets.
func (s *stream) skip(depth int) {
	quoted, escaped := false, false
	for {
		for ; s.pos < len(s.buf); s.pos++ {
			c := s.buf[s.pos]
			switch {
			case escaped:
				escaped = false
			case quoted && c == '\\':
				escaped = true
			case c == '"':
				quoted = !quoted
			case quoted:
			case c == '{' || c == '[':
				depth++
			case c == '}' || c == ']':
				if depth == 0 {
					return // the end of the enclosing array
				}
				if depth--; depth == 0 {
					s.pos++
					return
				}
			case c == ',' && depth == 0:
				return
			}
		}
		if !s.fill() {
			return
		}
	}
}

func (s *stream) skipLine() {
	for {
		if i := bytes.IndexByte(s.buf[s.pos:], '\n'); i >= 0 {
			s.pos += i + 1
			return
		}
		s.pos = len(s.buf)
		if !s.fill() {
			return
		}
	}
}

// emit calls each for the records in the decoded object.
func (s *stream) emit() error {
	r := &s.rec
	if n, ok := r.child("Records"); ok {
		return s.emitList(n)
	}
	if n, ok := r.child("detail"); ok && r.nodes[n].kind == kindObject {
		if _, envelope := r.child("detail-type"); envelope {
			r.root = n
			if !r.isCloudTrail() {
				s.counts.Other++
				return nil
			}
		}
	}
	if r.isCloudTrail() {
		s.counts.Records++
		return s.each(r)
	}
	if _, digest := r.child("digestStartTime"); digest || r.nodes[r.root].next == r.root+1 {
		s.counts.Other++
		return nil
	}
	s.reportProblem(s.pos, "not a CloudTrail record")
	return nil
}

// emitList calls each for the elements of Records in a decoded object. This is the
// case if Records is not the first key.
func (s *stream) emitList(n int32) error {
	r := &s.rec
	if r.nodes[n].kind != kindArray {
		s.counts.Other++
		return nil
	}
	for c := n + 1; c < r.nodes[n].next; c = r.nodes[c].next {
		r.root = c
		if r.nodes[c].kind != kindObject || !r.isCloudTrail() {
			s.reportProblem(s.pos, "not a CloudTrail record")
			continue
		}
		s.counts.Records++
		if err := s.each(r); err != nil {
			return err
		}
	}
	return nil
}

// child returns the node of a key in the record's top-level object.
func (r *Record) child(key string) (int32, bool) {
	n, used := r.member(r.root, key)
	return n, n >= 0 && used == len(key)
}

// isCloudTrail reports whether the record has a key that CloudTrail records have.
func (r *Record) isCloudTrail() bool {
	for _, key := range []string{"eventName", "eventSource", "eventVersion", "userIdentity"} {
		if _, ok := r.child(key); ok {
			return true
		}
	}
	return false
}
