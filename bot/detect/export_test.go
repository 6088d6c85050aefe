package detect

import (
	"bytes"
	"io"
)

// Unpack returns the content of a stream within limits.
func Unpack(r io.Reader, limits Limits) (io.Reader, error) {
	s := new(stream)
	s.reset(r, limits, nil)
	if err := s.unpack(); err != nil {
		return nil, err
	}
	return io.MultiReader(bytes.NewReader(s.buf), &unpacked{s}), nil
}

// unpacked reads the stream after its buffer.
type unpacked struct{ *stream }

func (u *unpacked) Read(p []byte) (int, error) {
	if u.err != nil {
		return 0, u.err
	}
	return u.src.Read(p)
}

// LoadText loads one rule file from memory.
func LoadText(o Options, src []byte) (*Ruleset, LoadResult) {
	l := newLoader(o)
	l.loadFile("rule.yml", src, nil)
	return l.link()
}

// OffByDefault exports offByDefault.
var OffByDefault = offByDefault
