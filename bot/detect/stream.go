package detect

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Limits of what Read takes.
const (
	// MaxRecord is the size of the largest record, and so what Read holds in memory.
	MaxRecord = 8 << 20
	// A compressed stream may grow to bombFloor, and beyond that to bombRatio times
	// what was read of it. Logs shrink ten to a hundredfold, bombs a thousandfold.
	inflateFloor    = 64 << 20
	maxInflateRatio = 250
)

// Counts says what a stream held.
type Counts struct {
	Records int `json:"records"`
	Invalid int `json:"invalid"` // values that are no record; each was reported
	Other   int `json:"other"`   // empty objects, digest files, other events of EventBridge
}

// Problem is something in a stream that is no record.
type Problem struct {
	Offset int64 // in bytes of the decompressed stream
	Reason string
}

func (p Problem) Error() string { return fmt.Sprintf("at byte %d: %s", p.Offset, p.Reason) }

// Read calls each with every CloudTrail record of a stream: {"Records": […]},
// arrays, one object a line or one after the other, EventBridge envelopes, and
// any of these compressed with gzip. A record is good until each returns; an
// error from each ends the reading. What is no record is reported to bad, and
// reading goes on behind it.
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

// streams keeps buffers; a folder has many small files.
var streams sync.Pool

// decompress looks at the beginning and puts gzip in between if it is wanted.
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

type countingReader struct {
	src io.Reader
	n   int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.src.Read(p)
	c.n += int64(n)
	return n, err
}

type boundedReader struct {
	src  io.Reader
	read *countingReader
	n    int64
}

var errInflateRatio = errors.New("the compressed stream grows out of all proportion")

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
	buf    []byte // buf[pos:] is not yet taken
	pos    int
	base   int64 // offset of buf[0]
	err    error // why there is no more: io.EOF or worse
	rec    Record
	each   func(*Record) error
	bad    func(Problem)
	counts Counts
}

// fill reads at least as much again as is waiting, so that trying a long value
// again and again takes linear time. It reports whether anything came.
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

// peek skips spaces and returns the next byte; false at the end.
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

// enterRecords takes {"Records": [ so that a large file is not held at once.
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

// readArray reads an array behind its opening bracket.
func (s *stream) readArray() error {
	for {
		c, ok := s.peek()
		switch {
		case !ok:
			s.reportProblem(len(s.buf), "the array does not end")
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
			s.reportProblem(s.pos, "an element is no JSON object")
			s.skip(0)
		}
	}
}

// readObject reads the object at s.pos and hands on the records in it.
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

// skipInvalid reports a value that is not acceptable and goes behind it: behind the
// line where records stand on lines, else behind the closing bracket.
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

// skip goes behind the value at s.pos, or out of that many brackets.
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
					return // the end of what the value stands in
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

// emit hands on the records in the value that was decoded.
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

// emitList hands on the elements of a list of records that is not the first key.
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

// child finds a key of the record's own object.
func (r *Record) child(key string) (int32, bool) {
	n, used := r.member(r.root, key)
	return n, n >= 0 && used == len(key)
}

// isCloudTrail reports whether the record looks like one of CloudTrail's.
func (r *Record) isCloudTrail() bool {
	for _, key := range []string{"eventName", "eventSource", "eventVersion", "userIdentity"} {
		if _, ok := r.child(key); ok {
			return true
		}
	}
	return false
}
