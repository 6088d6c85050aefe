package trail

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

const (
	// maxRecord bounds a record. CloudTrail's own are below 256 KiB.
	maxRecord = 1 << 20
	// maxLine is how far the end of a line is looked for; it is the size of the
	// buffer that split reads through.
	maxLine = 256 << 10
)

// split takes a file apart into its records and calls emit for each of them, in
// order, with bytes that are valid until the next call. A file may be
// {"Records": [...]}, an array, one record a line, or several of these one after
// the other. It is never in memory as a whole. An element that is no JSON, or
// too large, is emitted as broken and holds up none of the others.
//
// It looks at brackets and quotes only; whether an element between two commas
// is JSON is a question for later. So one bad record costs one record.
func split(r *bufio.Reader, emit func(raw []byte, broken bool) error) error {
	s := &splitter{r: r, emit: emit}
	for {
		c, err := s.nextNonSpace()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		line, ended := s.peekLine(c)
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

type splitter struct {
	r     *bufio.Reader
	emit  func([]byte, bool) error
	buf   []byte
	large bool // buf is not all of it
	lines bool // there is a record a line
}

// peekLine is the rest of the line that begins with c, if it ends within the buffer.
// The bytes are a copy.
func (s *splitter) peekLine(c byte) ([]byte, bool) {
	ahead, err := s.r.Peek(maxLine)
	end := bytes.IndexByte(ahead, '\n')
	if end < 0 {
		if err == nil || !errors.Is(err, io.EOF) {
			return nil, false
		}
		end = len(ahead)
	}
	return append([]byte{c}, ahead[:end]...), true
}

// linesFollow tells a broken first line of many from the first line of one
// value that is spread over several: the next line stands for itself.
func (s *splitter) linesFollow(first []byte) bool {
	first = bytes.TrimSpace(first)
	if bytes.HasSuffix(first, []byte("[")) || bytes.HasSuffix(first, []byte("{")) || bytes.HasSuffix(first, []byte(",")) || bytes.HasSuffix(first, []byte(":")) {
		return false
	}
	ahead, _ := s.r.Peek(maxLine) // what there is; its error comes again
	_, rest, _ := bytes.Cut(ahead, []byte("\n"))
	second, _, ended := bytes.Cut(rest, []byte("\n"))
	second = bytes.TrimSpace(second)
	return ended && len(second) > 0 && second[0] == '{' && json.Valid(second)
}

func (s *splitter) skip(n int) error {
	if _, err := s.r.Discard(n); err != nil {
		return fmt.Errorf("read a line: %w", err)
	}
	return nil
}

// splitLine takes a line apart by itself, so that what is wrong with it ends with it.
func (s *splitter) splitLine(line []byte) error {
	in := &splitter{r: bufio.NewReader(bytes.NewReader(line)), emit: s.emit}
	for {
		c, err := in.nextNonSpace()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = in.splitValue(c)
		}
		if errors.Is(err, errBroken) {
			return s.emit(nil, true)
		}
		if err != nil {
			return err
		}
	}
}

// splitValue takes one value apart that stands for itself.
func (s *splitter) splitValue(c byte) error {
	switch c {
	case '{':
		return s.splitObject()
	case '[':
		return s.splitArray()
	case ',':
		return nil // somebody took the brackets off a list
	}
	if err := s.readValue(c); err != nil {
		return err
	}
	return s.emit(nil, true) // a text or a number is no record, nor is what is no JSON
}

// splitObject is a record, or holds them in an array called Records.
func (s *splitter) splitObject() error {
	record := []byte{'{'}
	large, holds := false, false
	key := ""
	for {
		c, err := s.mustNextNonSpace()
		if err != nil {
			return err
		}
		switch {
		case c == '}':
			if holds {
				return nil
			}
			return s.emit(append(record, '}'), large)
		case c == '[' && key == `"Records"`:
			holds = true
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
		if large = large || s.large || len(record)+len(s.buf) > maxRecord; !large && !holds {
			record = append(record, s.buf...)
		}
	}
}

// splitArray emits what stands in an array.
func (s *splitter) splitArray() error {
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

// readValue reads one value into buf, from its first byte c to the bracket or quote
// that ends it, or up to what ends a number. Punctuation is a value of its own.
func (s *splitter) readValue(c byte) error {
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

// readString reads to the end of a text.
func (s *splitter) readString() error {
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

func (s *splitter) readScalar() error {
	for {
		c, err := s.r.ReadByte()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a value: %w", err)
		}
		switch c {
		case ',', ':', '{', '}', '[', ']', '"', ' ', '\t', '\r', '\n':
			return s.r.UnreadByte()
		}
		s.appendByte(c)
	}
}

func (s *splitter) appendByte(c byte) {
	if len(s.buf) < maxRecord {
		s.buf = append(s.buf, c)
	} else {
		s.large = true
	}
}

// nextNonSpace is the first byte that is no white space.
func (s *splitter) nextNonSpace() (byte, error) {
	for {
		c, err := s.r.ReadByte()
		if err != nil || c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return c, err
		}
	}
}

// mustNextNonSpace is next where the file cannot end; byte is the same with white space.
func (s *splitter) mustNextNonSpace() (byte, error) { return noEOF(s.nextNonSpace()) }
func (s *splitter) mustReadByte() (byte, error)     { return noEOF(s.r.ReadByte()) }

func noEOF(c byte, err error) (byte, error) {
	if errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("%w: it ends in the middle of a record", errBroken)
	}
	return c, err
}
