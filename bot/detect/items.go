package detect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// MaxRecord is the maximum size of a record in bytes. It limits the memory that
// reading a stream uses.
const MaxRecord = 8 << 20

// Item is one value of a stream, which usually is a record. It is valid until the
// function that received it returns.
type Item struct {
	// Raw is the JSON text of the value. It is nil if the text is too large or is
	// not a value.
	Raw []byte
	// Record is the decoded value, or nil if Err is set.
	Record *Record
	// Err is the reason why the value was not decoded. For a [SyntaxError], its
	// offset counts from the beginning of the value.
	Err error
	// Offset is the position of the value in the unpacked stream, in bytes.
	Offset int64

	topLevel bool // outside an array
}

// Text returns a copy of Raw to store. An object outside an array loses the white space
// between its members.
func (i *Item) Text() []byte {
	if !i.topLevel || i.Record == nil || i.Record.rawIsCompact {
		return bytes.Clone(i.Raw)
	}
	return withoutOuterSpace(i.Raw)
}

// TruncatedError means that a stream ends within a value.
type TruncatedError struct {
	Record bool  // within a record
	Array  bool  // within an array
	Start  int64 // position of the record or of the end
	End    int64
	Err    error // of the source, such as [io.EOF]
}

func (e *TruncatedError) Error() string {
	return fmt.Sprintf("stream ends within a value at byte %d: %v", e.End, e.Err)
}

// Unwrap returns the cause.
func (e *TruncatedError) Unwrap() error { return e.Err }

// Reasons for items that are not records.
var (
	errNotObject    = errors.New("not a JSON object")
	errElement      = errors.New("an array element is not a JSON object")
	errWrongBracket = errors.New("the array ends with the wrong bracket")
	errShortLine    = errors.New("the line ends within a record")
)

// SizeError means that a record or a stream is larger than allowed.
type SizeError struct {
	What  string // "a record" or "the stream"
	Limit int64  // in bytes
}

func (e *SizeError) Error() string { return fmt.Sprintf("%s is larger than %d bytes", e.What, e.Limit) }

// ReadItems calls each for every element of a stream, in order. The stream contains
// {"Records": […]}, arrays, and objects one after another or one per line, optionally
// compressed with gzip. The elements of Records and of arrays are separate items.
// Each item is decoded once, and the memory is bounded by one item.
//
// A value that does not decode is an item with an error, and does not affect its
// neighbours: its brackets and quotes delimit it, or the end of its line if the
// stream has one value per line. ReadItems returns the first error of each, of src
// and of the decompression, and a [TruncatedError] if the stream ends within a value.
func ReadItems(src io.Reader, limits Limits, each func(*Item) error) error {
	s, _ := streams.Get().(*stream)
	if s == nil {
		s = &stream{buf: make([]byte, 0, 64<<10)}
	}
	s.reset(src, limits, each)
	err := s.unpack()
	if err == nil {
		err = s.run()
	}
	s.src, s.each, s.item = nil, nil, Item{}
	if cap(s.buf) <= 1<<20 {
		streams.Put(s)
	}
	return err
}

// streams reuses buffers, because log folders contain many small files.
var streams sync.Pool

// stream is the state of one [ReadItems].
type stream struct {
	src    io.Reader
	gzip   gzipSource
	limits Limits
	each   func(*Item) error
	item   Item
	rec    Record

	buf  []byte // buf[pos:] is unread
	pos  int
	base int64 // offset of buf[0]
	err  error // first error of src, such as io.EOF

	newLine  bool    // a line has begun since the last top-level value
	lines    bool    // the stream has one value per line
	oneLine  bool    // the array Records so far is on one line and has only records
	reported bool    // the current line has an item for its text that is not a value
	text     []byte  // the last value that was delimited without decoding
	large    bool    // the value is larger than limits.Record, and text holds its beginning
	object   []byte  // a top-level object without the space between its members
	line     *stream // reads one line, reused
}

// reset prepares s for another stream. It keeps the buffers.
func (s *stream) reset(src io.Reader, limits Limits, each func(*Item) error) {
	if limits.Record == 0 {
		limits.Record = MaxRecord
	}
	s.src, s.limits, s.each = src, limits, each
	s.buf, s.pos, s.base, s.err = s.buf[:0], 0, 0, nil
	s.newLine, s.lines, s.reported = true, false, false
}

// fill reads at least as many bytes as are unread. This doubling makes repeated
// attempts to decode a long value take linear time. It reports whether it read
// any bytes.
func (s *stream) fill() bool {
	if s.err != nil {
		return false
	}
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

// offset returns the position of the next byte in the stream.
func (s *stream) offset() int64 { return s.base + int64(s.pos) }

// peek skips spaces and returns the next byte, or false at the end of the stream.
func (s *stream) peek() (byte, bool) {
	for {
		for s.pos < len(s.buf) {
			switch c := s.buf[s.pos]; c {
			case '\n':
				s.newLine, s.reported, s.oneLine = true, false, false
			case ' ', '\t', '\r':
			default:
				return c, true
			}
			s.pos++
		}
		if !s.fill() {
			return 0, false
		}
	}
}

// errUTF16 is the error of a stream in UTF-16.
var errUTF16 = errors.New("the file is in UTF-16. Save it as UTF-8")

// skipByteOrderMark skips the mark that some exports begin with. It returns an error if
// the mark is that of UTF-16.
func (s *stream) skipByteOrderMark() error {
	for len(s.buf) < 3 && s.fill() {
		continue
	}
	switch {
	case bytes.HasPrefix(s.buf, []byte("\xef\xbb\xbf")):
		s.pos = 3
	case bytes.HasPrefix(s.buf, []byte("\xff\xfe")), bytes.HasPrefix(s.buf, []byte("\xfe\xff")):
		return errUTF16
	}
	return nil
}

// run emits the items of the unpacked stream.
func (s *stream) run() error {
	if err := s.skipByteOrderMark(); err != nil {
		return err
	}
	for {
		c, ok := s.peek()
		if !ok {
			if !errors.Is(s.err, io.EOF) {
				return s.err
			}
			return nil
		}
		if s.newLine { // once for each line, because a line may have any number of values
			s.newLine = false
			if done, err := s.readLine(c); err != nil {
				return err
			} else if done {
				continue
			}
		}
		if err := s.readTopLevel(c); err != nil {
			return err
		}
	}
}

// readTopLevel emits the items of a value outside an array, which begins with c.
func (s *stream) readTopLevel(c byte) error {
	switch c {
	case ',': // between the elements of an array without its brackets
		s.pos++
		return nil
	case '[':
		s.pos++
		return s.readArray()
	case '{':
		if s.enterRecords() {
			return s.readFile()
		}
		return s.readObject()
	}
	at := s.offset()
	if !s.readValue() {
		return s.truncated(at, false)
	}
	if s.reported { // words of one line are not separate items
		return nil
	}
	s.reported = true
	return s.emitBroken(nil, errNotObject, at)
}

// maxLine is the length within which readLine looks for the end of a line.
const maxLine = 256 << 10

// readLine emits the items of a line if the stream has one value per line. It reports
// whether it read the line. Broken lines then do not affect the following ones.
func (s *stream) readLine(c byte) (done bool, err error) {
	if c == '{' && !s.lines && s.enterRecords() {
		return true, s.readFile()
	}
	line, whole := s.peekLine()
	if !whole {
		return false, nil
	}
	if c == '{' && len(line) <= s.limits.Record {
		n, err := s.rec.decode(line)
		if err == nil && len(bytes.Trim(line[n:], " \t\r,")) == 0 {
			s.lines = true
			return true, s.emitObject(n, len(line))
		}
	}
	size := len(line)
	if !s.lines && !s.linesFollow(line) {
		return false, nil
	}
	s.lines = true
	line = s.buf[s.pos : s.pos+size] // linesFollow can move the buffer
	if s.line == nil {
		s.line = new(stream)
	}
	in := s.line
	in.reset(nil, s.limits, s.each)
	in.buf, in.base, in.err, in.newLine = line, s.offset(), io.EOF, false
	err = in.run()
	s.pos += size
	in.buf = nil
	if short := (*TruncatedError)(nil); err != nil && errors.As(err, &short) {
		if err = nil; !in.reported {
			err = s.emitBroken(nil, errShortLine, short.Start)
		}
	}
	return true, err
}

// peekLine returns the rest of the line. It reports false if the line does not end
// within maxLine bytes.
func (s *stream) peekLine() (line []byte, whole bool) {
	for searched := 0; ; {
		ahead := s.buf[s.pos:]
		if end := bytes.IndexByte(ahead[searched:min(len(ahead), maxLine)], '\n'); end >= 0 {
			return ahead[:searched+end], true
		}
		if searched = min(len(ahead), maxLine); searched == maxLine {
			return nil, false
		}
		if !s.fill() {
			return s.buf[s.pos:], errors.Is(s.err, io.EOF)
		}
	}
}

// linesFollow reports whether the stream has one value per line although its first
// line is broken. It is true if the next line is a JSON object. Otherwise the first
// line belongs to a value with several lines.
func (s *stream) linesFollow(first []byte) bool {
	size := len(first)
	first = bytes.TrimSpace(first)
	for _, c := range []string{"[", "{", ",", ":"} {
		if bytes.HasSuffix(first, []byte(c)) {
			return false
		}
	}
	for {
		ahead := s.buf[s.pos:]
		ahead = ahead[min(size+1, len(ahead)):min(len(ahead), maxLine)]
		second, _, ended := bytes.Cut(ahead, []byte("\n"))
		if !ended && len(s.buf)-s.pos < maxLine && s.fill() {
			continue
		}
		second = bytes.TrimSpace(second)
		return ended && len(second) > 0 && second[0] == '{' && json.Valid(second)
	}
}

// emitObject emits the top-level object in s.rec, or the elements of its array
// Records, and skips size bytes. The object is n bytes long.
func (s *stream) emitObject(n, size int) error {
	r, raw, at := &s.rec, s.buf[s.pos:s.pos+n], s.offset()
	list, ok := r.child("Records")
	if !ok || r.nodes[list].kind != kindArray {
		s.pos += size
		s.item = Item{Raw: raw, Record: r, Offset: at, topLevel: true}
		return s.each(&s.item)
	}
	s.pos += size
	for c := list + 1; c < r.nodes[list].next; c = r.nodes[c].next {
		r.root = c
		start, end := r.span(c)
		s.item = Item{Raw: r.raw[start:end], Record: r, Offset: at + int64(start)}
		if r.nodes[c].kind != kindObject {
			s.item.Record, s.item.Err = nil, errElement
		}
		if err := s.each(&s.item); err != nil {
			return err
		}
	}
	return nil
}

// emitBroken emits an item that was not decoded.
func (s *stream) emitBroken(raw []byte, reason error, at int64) error {
	s.oneLine = false
	s.item = Item{Raw: raw, Err: reason, Offset: at}
	return s.each(&s.item)
}

// truncated returns the error for a value at a position that does not end. record is
// true if the value is a record.
func (s *stream) truncated(at int64, record bool) error {
	return &TruncatedError{Record: record, Start: at, End: s.base + int64(len(s.buf)), Err: s.err}
}
