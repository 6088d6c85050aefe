package detect

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
)

// Limits are the limits of [ReadItems]. A zero field means the default.
type Limits struct {
	Record  int   // maximum size of a record in bytes, default MaxRecord
	Stored  int64 // maximum size of the stream in bytes, default no maximum
	Content int64 // maximum size of the unpacked stream in bytes, default no maximum

	// A compressed stream may expand to InflateFloor bytes or to InflateRatio times
	// its compressed size. Logs expand by 10 to 100, gzip bombs by 1,000. The
	// defaults are 64 MiB and 250.
	InflateFloor, InflateRatio int64
}

const (
	defaultInflateFloor = 64 << 20
	defaultInflateRatio = 250
)

// ErrInflateRatio means that a stream is a gzip bomb.
var ErrInflateRatio = errors.New("decompressed stream is too large for its compressed size")

// GzipError means that a stream is not valid gzip although it begins like gzip.
type GzipError struct{ Err error }

func (e *GzipError) Error() string { return "read gzip: " + e.Err.Error() }

// Unwrap returns the error of the decompression.
func (e *GzipError) Unwrap() error { return e.Err }

// gzipSource unpacks a stream within its limits. Its reader is reused, because it
// has large tables.
type gzipSource struct {
	reader *gzip.Reader
	packed countingReader
	limits Limits
	n      int64 // unpacked bytes
}

// countingReader counts the bytes of a stream, up to a limit.
type countingReader struct {
	src    io.Reader
	n      int64
	limit  int64
	failed bool // src returned an error other than io.EOF, or was too large
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.src.Read(p)
	c.n += int64(n)
	if c.limit > 0 && c.n > c.limit {
		n, err = 0, &SizeError{"the stream", c.limit}
	}
	c.failed = c.failed || err != nil && !errors.Is(err, io.EOF)
	return n, err
}

// unpack inserts a gzip reader if the stream begins with the magic number of gzip.
// Names and headers can be wrong.
func (s *stream) unpack() error {
	z := &s.gzip
	z.packed = countingReader{src: s.src, limit: s.limits.Stored}
	s.src = &z.packed
	for len(s.buf) < 2 && s.fill() {
		continue
	}
	if !bytes.HasPrefix(s.buf, []byte{0x1f, 0x8b}) {
		return nil
	}
	if s.err != nil && !errors.Is(s.err, io.EOF) {
		return s.err
	}
	z.limits, z.n = s.limits, 0
	if z.limits.InflateFloor == 0 {
		z.limits.InflateFloor, z.limits.InflateRatio = defaultInflateFloor, defaultInflateRatio
	}
	src := io.MultiReader(bytes.NewReader(bytes.Clone(s.buf)), &z.packed)
	var err error
	if z.reader == nil {
		z.reader, err = gzip.NewReader(src)
	} else {
		err = z.reader.Reset(src)
	}
	if err != nil && z.packed.failed {
		return err
	}
	if err != nil {
		return &GzipError{err}
	}
	s.src, s.buf, s.err = z, s.buf[:0], nil
	return nil
}

// Read returns unpacked bytes.
func (z *gzipSource) Read(p []byte) (int, error) {
	n, err := z.reader.Read(p)
	z.n += int64(n)
	switch {
	case z.limits.Content > 0 && z.n > z.limits.Content:
		return 0, &SizeError{"the unpacked stream", z.limits.Content}
	case z.n > z.limits.InflateFloor && z.n > z.limits.InflateRatio*z.packed.n:
		return n, ErrInflateRatio
	case err == nil || errors.Is(err, io.EOF) || z.packed.failed:
		return n, err
	}
	return n, &GzipError{err}
}
