package detect

import (
	"bytes"
	"errors"
)

// enterRecords skips {"Records": [ and reports whether it was there. The records
// of a large file are then decoded one by one.
func (s *stream) enterRecords() bool {
	for len(s.buf)-s.pos < 64 && s.fill() {
		continue
	}
	at := s.pos
	for _, token := range []string{"{", `"Records"`, ":", "["} {
		for at < len(s.buf) && isSpace(s.buf[at]) {
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

// readFile emits the elements of Records after [stream.enterRecords], without decoding
// the whole file.
func (s *stream) readFile() error {
	start := s.offset()
	s.oneLine = true
	if err := s.readArray(); err != nil {
		return err
	}
	if err := s.readMembers(true, nil); err != nil {
		return err
	}
	oneLine := s.oneLine && s.offset()-start <= maxLine
	began := s.newLine
	s.newLine = false
	s.peek()
	s.lines = s.lines || oneLine && s.newLine
	s.newLine = s.newLine || began
	return nil
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// decode decodes the object at s.pos. It reads more bytes if the object does not end
// in the buffer. It returns the size of the object, or the reason why the object is
// not a record.
func (s *stream) decode() (int, error) {
	for {
		n, err := s.rec.decode(s.buf[s.pos:])
		switch {
		case err == nil && n > s.limits.Record, errors.Is(err, errShort) && len(s.buf)-s.pos > s.limits.Record:
			return 0, &SizeError{"a record", int64(s.limits.Record)}
		case errors.Is(err, errShort) && s.fill():
		default:
			return n, err
		}
	}
}

// readObject emits the items of the top-level object at s.pos.
func (s *stream) readObject() error {
	n, err := s.decode()
	if err == nil {
		return s.emitObject(n, n)
	}
	return s.readMembers(false, err)
}

// readMembers delimits the members of a top-level object that does not decode. It
// emits the elements of each array Records. If the object has none, it emits the
// object itself with the reason. If isFile is true, the array was already emitted,
// and s.pos is after it.
func (s *stream) readMembers(isFile bool, reason error) error {
	at, large, key := s.offset(), false, ""
	object := append(s.object[:0], '{')
	if !isFile {
		s.pos++
	}
	for {
		c, ok := s.peek()
		switch {
		case !ok:
			return s.truncated(at, !isFile)
		case c == '}':
			s.pos++
			if isFile {
				return nil
			}
			if object = append(object, '}'); large {
				object = nil
			}
			return s.emitBroken(object, reason, at)
		case c == '[' && key == `"Records"`:
			isFile = true
			s.pos++
			if err := s.readArray(); err != nil {
				return err
			}
			continue
		case !s.readValue():
			return s.truncated(at, !isFile)
		}
		switch {
		case c == '"' && key == "":
			key = string(s.text[:min(len(s.text), len(`"Records"`)+1)])
		case c == ',':
			key = ""
		}
		if large = large || s.large || len(object)+len(s.text) > s.limits.Record; !large && !isFile {
			object = append(object, s.text...)
			s.object = object
		}
	}
}

// readArray emits the elements of an array, whose opening bracket was read.
func (s *stream) readArray() error {
	for {
		c, ok := s.peek()
		at := s.offset()
		var reason error
		switch {
		case !ok:
			return s.truncatedArray(at, false)
		case c == ']':
			s.pos++
			return nil
		case c == ',':
			s.pos++
			continue
		case c == '}':
			s.pos++
			return s.emitBroken(nil, errWrongBracket, at)
		case c != '{':
			reason = errElement
		default:
			var n int
			if n, reason = s.decode(); reason == nil {
				s.item = Item{Raw: s.buf[s.pos : s.pos+n], Record: &s.rec, Offset: at}
				s.oneLine = s.oneLine && (s.rec.rawIsCompact || bytes.IndexByte(s.item.Raw, '\n') < 0)
				s.pos += n
				if err := s.each(&s.item); err != nil {
					return err
				}
				continue
			}
		}
		if !s.readValue() {
			return s.truncatedArray(at, c == '{')
		}
		raw := s.text
		if s.large {
			raw, reason = nil, &SizeError{"a record", int64(s.limits.Record)}
		}
		if err := s.emitBroken(raw, reason, at); err != nil {
			return err
		}
	}
}

func (s *stream) truncatedArray(at int64, record bool) error {
	err := s.truncated(at, record)
	if short := (*TruncatedError)(nil); errors.As(err, &short) {
		short.Array = true
	}
	return err
}

// readValue delimits one value by its brackets and quotes, without a check of its
// syntax, and copies it into text. A value ends with its closing bracket or quote, or
// before the delimiter of a scalar. A punctuation character is a value too. readValue
// reports false if the stream ends before the value.
func (s *stream) readValue() bool {
	s.text, s.large = s.text[:0], false
	c, ok := s.next()
	if !ok {
		return false
	}
	s.append(c)
	switch c {
	case '"':
		return s.readString()
	case '{', '[':
	case ',', ':', '}', ']':
		return true
	default:
		s.readScalar()
		return true
	}
	for depth := 1; depth > 0; {
		c, ok := s.next()
		if !ok {
			return false
		}
		s.append(c)
		switch c {
		case '"':
			if !s.readString() {
				return false
			}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
	}
	return true
}

// readString reads the rest of a string, including the closing quote.
func (s *stream) readString() bool {
	for escaped := false; ; {
		c, ok := s.next()
		if !ok {
			return false
		}
		s.append(c)
		switch {
		case escaped:
			escaped = false
		case c == '\\':
			escaped = true
		case c == '"':
			return true
		}
	}
}

// readScalar reads the rest of a number, a literal or other text.
func (s *stream) readScalar() {
	for {
		c, ok := s.next()
		if !ok {
			return
		}
		switch c {
		case ',', ':', '{', '}', '[', ']', '"', ' ', '\t', '\r', '\n':
			s.pos--
			return
		}
		s.append(c)
	}
}

// next returns the next byte, or false at the end of the stream.
func (s *stream) next() (byte, bool) {
	if s.pos == len(s.buf) && !s.fill() {
		return 0, false
	}
	s.pos++
	return s.buf[s.pos-1], true
}

// append appends c to text, up to limits.Record bytes.
func (s *stream) append(c byte) {
	if len(s.text) < s.limits.Record {
		s.text = append(s.text, c)
	} else {
		s.large = true
	}
}

// withoutOuterSpace returns a copy of an object without the white space between its
// members.
func withoutOuterSpace(raw []byte) []byte {
	out, depth, quoted := make([]byte, 0, len(raw)), 0, false
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case quoted && c == '\\':
			out = append(out, c)
			i++
			c = raw[i]
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case depth == 1 && isSpace(c):
			continue
		}
		out = append(out, c)
	}
	return out
}
