package detect_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// refMaxLine is the length within which refSplit looks for the end of a line. Its
// reader must have a buffer of this size.
const refMaxLine = 256 << 10

var errRefBroken = errors.New("the file is broken")

// refSplit is a second implementation of detect.ReadItems, which reads byte by byte
// and decodes nothing. It calls emit for each record of a file, in order. The bytes are valid until
// emit returns. A file can be {"Records": [...]}, an array, one record per line, or a
// sequence of these. It never holds a whole file in memory. If an element is too
// large, or a line or a top-level value is not JSON, it calls emit with broken
// set and continues.
//
// It interprets only brackets and quotes. The caller must check that an element
// is JSON. One bad record therefore does not affect the others. It returns
// errRefBroken if the file ends inside a record.
func refSplit(r *bufio.Reader, emit func(raw []byte, broken bool) error) error {
	s := &refSplitter{r: r, emit: emit, newLine: true}
	for {
		c, err := s.nextNonSpace()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var line []byte
		ended := false
		if s.newLine { // once for each line, because a line may have any number of values
			line, ended = s.peekLine(c)
		}
		s.newLine = false
		switch {
		case ended && c == '{' && json.Valid(line):
			s.lines = true
			if err = s.skip(len(line) - 1); err == nil {
				err = s.splitLine(line)
			}
		case ended && (s.lines || s.linesFollow(line)):
			s.lines = true
			if err = s.skip(len(line) - 1); err == nil {
				err = s.splitLine(line)
			}
		default:
			err = s.splitValue(c)
		}
		if err != nil {
			return err
		}
	}
}

type refSplitter struct {
	r       *bufio.Reader
	emit    func([]byte, bool) error
	buf     []byte       // last value read
	large   bool         // the value is larger than smallRecord, and buf holds only its beginning
	lines   bool         // the file has one record per line
	newLine bool         // a line has begun since the last value
	line    *refSplitter // reads one line, reused
}

// peekLine returns the line that begins with c, without consuming it. It reports
// false if the line does not end within the buffer. The bytes are a copy.
func (s *refSplitter) peekLine(c byte) ([]byte, bool) {
	ahead, err := s.peekLines(1)
	end := bytes.IndexByte(ahead, '\n')
	if end < 0 {
		if err == nil || !errors.Is(err, io.EOF) {
			return nil, false
		}
		end = len(ahead)
	}
	return append([]byte{c}, ahead[:end]...), true
}

// peekLines returns at least n whole lines, without consuming them, or all that fit in
// the buffer. It fills the buffer only if necessary, because that moves all its bytes.
func (s *refSplitter) peekLines(n int) ([]byte, error) {
	ahead, _ := s.r.Peek(s.r.Buffered())
	rest := ahead
	for ; n > 0; n-- {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			return s.r.Peek(refMaxLine)
		}
		rest = rest[end+1:]
	}
	return ahead, nil
}

// linesFollow reports whether the file has one record per line although its first
// line is broken. It is true if the next line is a JSON object. Otherwise the first
// line belongs to a value with several lines.
func (s *refSplitter) linesFollow(first []byte) bool {
	first = bytes.TrimSpace(first)
	if bytes.HasSuffix(first, []byte("[")) || bytes.HasSuffix(first, []byte("{")) || bytes.HasSuffix(first, []byte(",")) || bytes.HasSuffix(first, []byte(":")) {
		return false
	}
	ahead, _ := s.peekLines(2) // the next read returns the error
	_, rest, _ := bytes.Cut(ahead, []byte("\n"))
	second, _, ended := bytes.Cut(rest, []byte("\n"))
	second = bytes.TrimSpace(second)
	return ended && len(second) > 0 && second[0] == '{' && json.Valid(second)
}

func (s *refSplitter) skip(n int) error {
	if _, err := s.r.Discard(n); err != nil {
		return fmt.Errorf("read line: %w", err)
	}
	return nil
}

// splitLine emits the records of one line. A broken line does not affect the next
// one.
func (s *refSplitter) splitLine(line []byte) error {
	if s.line == nil {
		s.line = &refSplitter{r: bufio.NewReader(nil), emit: s.emit}
	}
	in := s.line
	in.r.Reset(bytes.NewReader(line))
	for {
		c, err := in.nextNonSpace()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = in.splitValue(c)
		}
		if errors.Is(err, errRefBroken) {
			return s.emit(nil, true)
		}
		if err != nil {
			return err
		}
	}
}

// splitValue emits the records of a top-level value that begins with c.
func (s *refSplitter) splitValue(c byte) error {
	switch c {
	case '{':
		return s.splitObject()
	case '[':
		return s.splitArray()
	case ',':
		return nil // elements of an array without its brackets
	}
	if err := s.readValue(c); err != nil {
		return err
	}
	return s.emit(nil, true) // not an object
}

// splitObject emits an object as one record, or the elements of its array Records.
func (s *refSplitter) splitObject() error {
	record := []byte{'{'}
	large, isFile := false, false // isFile: the object has an array Records
	key := ""
	for {
		c, err := s.mustNextNonSpace()
		if err != nil {
			return err
		}
		switch {
		case c == '}':
			if isFile {
				return nil
			}
			return s.emit(append(record, '}'), large)
		case c == '[' && key == `"Records"`:
			isFile = true
			if err := s.splitArray(); err != nil {
				return err
			}
			continue
		}
		if err := s.readValue(c); err != nil {
			return err
		}
		switch {
		case c == '"' && key == "":
			key = string(s.buf[:min(len(s.buf), len(`"Records"`)+1)])
		case c == ',':
			key = ""
		}
		if large = large || s.large || len(record)+len(s.buf) > smallRecord; !large && !isFile {
			record = append(record, s.buf...)
		}
	}
}

// splitArray emits the elements of an array.
func (s *refSplitter) splitArray() error {
	for {
		c, err := s.mustNextNonSpace()
		switch {
		case err != nil:
			return err
		case c == ']':
			return nil
		case c == ',':
			continue
		}
		if err := s.readValue(c); err != nil {
			return err
		}
		if err := s.emit(s.buf, s.large); err != nil {
			return err
		}
	}
}

// readValue reads one value into buf. The value begins with c and ends with its
// closing bracket or quote, or before the delimiter of a scalar. A punctuation
// character is a value too.
func (s *refSplitter) readValue(c byte) error {
	s.buf, s.large = s.buf[:0], false
	s.appendByte(c)
	switch c {
	case '"':
		return s.readString()
	case '{', '[':
	case ',', ':', '}', ']':
		return nil
	default:
		return s.readScalar()
	}
	for depth := 1; depth > 0; {
		c, err := s.mustReadByte()
		if err != nil {
			return err
		}
		s.appendByte(c)
		switch c {
		case '"':
			if err := s.readString(); err != nil {
				return err
			}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
	}
	return nil
}

// readString reads the rest of a string, including the closing quote.
func (s *refSplitter) readString() error {
	for escaped := false; ; {
		c, err := s.mustReadByte()
		if err != nil {
			return err
		}
		s.appendByte(c)
		switch {
		case escaped:
			escaped = false
		case c == '\\':
			escaped = true
		case c == '"':
			return nil
		}
	}
}

// readScalar reads the rest of a number, a literal or invalid text.
func (s *refSplitter) readScalar() error {
	for {
		c, err := s.r.ReadByte()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read value: %w", err)
		}
		switch c {
		case ',', ':', '{', '}', '[', ']', '"', ' ', '\t', '\r', '\n':
			return s.r.UnreadByte()
		}
		s.appendByte(c)
	}
}

// appendByte appends c to buf, up to smallRecord bytes.
func (s *refSplitter) appendByte(c byte) {
	if len(s.buf) < smallRecord {
		s.buf = append(s.buf, c)
	} else {
		s.large = true
	}
}

// nextNonSpace returns the next byte that is not white space, or io.EOF.
func (s *refSplitter) nextNonSpace() (byte, error) {
	for {
		c, err := s.r.ReadByte()
		if err != nil || c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return c, err
		}
		s.newLine = s.newLine || c == '\n'
	}
}

// mustNextNonSpace is like nextNonSpace, but returns errRefBroken at the end of the file.
func (s *refSplitter) mustNextNonSpace() (byte, error) { return refNoEOF(s.nextNonSpace()) }

// mustReadByte returns the next byte, or errRefBroken at the end of the file.
func (s *refSplitter) mustReadByte() (byte, error) { return refNoEOF(s.r.ReadByte()) }

// refNoEOF replaces io.EOF by errRefBroken.
func refNoEOF(c byte, err error) (byte, error) {
	if errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("%w: it ends inside a record", errRefBroken)
	}
	return c, err
}
