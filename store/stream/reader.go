package stream

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// A Reader reads one stream and checks it. Only after [Reader.Manifest] returned a manifest, the rows are known to be
// whole. It needs about 10 MB of memory, and the largest row twice. It is not safe for concurrent use.
//
//	for r.NextTable() {
//		for r.NextRow() {
//			use(r.Table(), r.Row())
//		}
//	}
//	manifest, err := r.Manifest()
type Reader struct {
	source *source
	zip    *zstd.Decoder
	in     *bufio.Reader
	header Header
	whole  hash.Hash
	sum    hash.Hash // of the table, nil outside of a table
	table  Table
	rows   int64
	tables []TableSum

	kind    byte // of the frame that is read and not used yet, or 0
	content []byte
	values  []any
	err     error
}

// source remembers the error of the compressed stream, which does not mean that the stream is damaged.
type source struct {
	io.Reader
	err error
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		s.err = err
	}
	return n, err
}

// NewReader reads the header of a stream. The caller must call [Reader.Close]. An error is that of in, or wraps
// [ErrDamaged], or is a [VersionError] if the stream has another format.
func NewReader(in io.Reader) (*Reader, error) {
	from := &source{Reader: in}
	zip, err := zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, fmt.Errorf("decompress stream: %w", err)
	}
	r := &Reader{source: from, zip: zip, in: bufio.NewReaderSize(zip, bufferBytes), whole: sha256.New()}
	if err := r.begin(); err != nil {
		zip.Close()
		return nil, err
	}
	return r, nil
}

func (r *Reader) begin() error {
	first := make([]byte, len(magic))
	if _, err := io.ReadFull(r.in, first); err != nil {
		return r.fail("read the beginning: %w", err)
	}
	name, version, _ := strings.Cut(strings.TrimSuffix(magic, "\n"), " 1")
	if version, ok := strings.CutPrefix(string(first), name+" "+version); ok && string(first) != magic {
		return &VersionError{strings.TrimSpace(version)}
	}
	if string(first) != magic {
		return r.fail("it does not begin as a stream of rows")
	}
	r.whole.Write(first)
	r.peek()
	if !r.take(frameHeader) {
		return r.fail("the header is missing")
	}
	return r.decode("header", &r.header)
}

// Header returns the beginning of the stream.
func (r *Reader) Header() Header { return r.header }

// Close releases the memory of the reader.
func (r *Reader) Close() { r.zip.Close() }

// NextTable goes to the next table. It skips the rest of the rows of the table before. It returns false after the last
// table and after an error.
func (r *Reader) NextTable() bool {
	for r.NextRow() {
		continue
	}
	r.endTable()
	if r.err != nil || r.peek() != frameTable {
		return false
	}
	if len(r.tables) == maxTables {
		_ = r.fail("more than %d tables", maxTables)
		return false
	}
	r.sum, r.rows, r.table = sha256.New(), 0, Table{}
	r.take(frameTable)
	if r.decode("table", &r.table) != nil {
		return false
	}
	if len(r.table.Columns) > maxColumns || !slices.IsSortedFunc(r.table.Columns, compareColumns) {
		_ = r.fail("the columns of table %.50q are malformed", r.table.Name)
		return false
	}
	r.values = make([]any, len(r.table.Columns))
	return true
}

// endTable completes the sum of the table, if the reader is in one.
func (r *Reader) endTable() {
	if r.sum == nil {
		return
	}
	r.tables = append(r.tables, TableSum{Name: r.table.Name, Rows: r.rows, SHA256: hex.EncodeToString(r.sum.Sum(nil))})
	r.sum = nil
}

// Table returns the table that the reader is in.
func (r *Reader) Table() Table { return r.table }

// NextRow goes to the next row of the table. It returns false after the last row and after an error.
func (r *Reader) NextRow() bool {
	if r.err != nil || r.sum == nil || r.peek() != frameRow {
		return false
	}
	r.take(frameRow)
	rest := r.content
	for i, c := range r.table.Columns {
		var err error
		if r.values[i], rest, err = readValue(rest, c.Type); err != nil {
			_ = r.fail("column %.50q of row %d of table %.50q: %w", c.Name, r.rows+1, r.table.Name, err)
			return false
		}
	}
	if len(rest) > 0 {
		_ = r.fail("row %d of table %.50q is too long", r.rows+1, r.table.Name)
		return false
	}
	r.rows++
	return true
}

// Row returns the values of the row: nil, int64, bool, string, []byte or [time.Time]. They are valid until the next call
// of NextRow.
func (r *Reader) Row() []any { return r.values }

// Err returns the error that ended NextRow or NextTable, if any.
func (r *Reader) Err() error { return r.err }

// Manifest reads to the end of the stream, checks the whole of it and returns its manifest.
func (r *Reader) Manifest() (Manifest, error) {
	for r.NextTable() {
		continue
	}
	m := Manifest{Header: r.header}
	if r.err != nil {
		return m, r.err
	}
	if !r.take(frameManifest) {
		return m, r.fail("the manifest is missing")
	}
	if err := r.decode("manifest", &m); err != nil {
		return m, err
	}
	if len(m.Tables) != len(r.tables) {
		return m, r.fail("the manifest has %d tables, the stream %d", len(m.Tables), len(r.tables))
	}
	for i, want := range m.Tables {
		if want.NextID = 0; r.tables[i] != want {
			return m, r.fail("table %.50q is not the one of the manifest", r.tables[i].Name)
		}
	}
	sum := r.whole.Sum(nil)
	if r.peek(); !r.take(frameEnd) || !bytes.HasPrefix(r.content, sum) || len(r.content) > sumSize+maxMAC {
		return m, r.fail("the sum at the end is missing or wrong")
	}
	m.SHA256, m.MAC = hex.EncodeToString(sum), bytes.Clone(r.content[sumSize:])
	if _, err := r.in.ReadByte(); !errors.Is(err, io.EOF) {
		return m, r.fail("bytes follow after its end")
	}
	return m, nil
}

// peek reads the next frame, unless it is read already, and returns its kind, or 0 after an error.
func (r *Reader) peek() byte {
	if r.kind != 0 || r.err != nil {
		return r.kind
	}
	kind, err := r.in.ReadByte()
	if err != nil {
		_ = r.fail("read a frame: %w", noEOF(err))
		return 0
	}
	size, err := binary.ReadUvarint(r.in)
	limit := uint64(maxJSON)
	if kind == frameRow {
		limit = maxRow
	}
	if err != nil || size > limit {
		_ = r.fail("the length of a frame is wrong")
		return 0
	}
	// The buffer grows with the bytes that are there, not with the announced length.
	buffer := bytes.NewBuffer(r.content[:0])
	if _, err := io.CopyN(buffer, r.in, int64(size)); err != nil {
		_ = r.fail("read a frame: %w", noEOF(err))
		return 0
	}
	r.kind, r.content = kind, buffer.Bytes()
	return kind
}

// take consumes the frame that was read, if it is of a kind.
func (r *Reader) take(kind byte) bool {
	if r.err != nil || r.kind != kind {
		return false
	}
	r.kind = 0
	if kind == frameEnd {
		return true
	}
	head := binary.AppendUvarint([]byte{kind}, uint64(len(r.content)))
	for _, part := range [2][]byte{head, r.content} {
		r.whole.Write(part)
		if r.sum != nil && (kind == frameTable || kind == frameRow) {
			r.sum.Write(part)
		}
	}
	return true
}

func (r *Reader) decode(name string, v any) error {
	if err := json.Unmarshal(r.content, v); err != nil {
		return r.fail("decode the %s: %w", name, err)
	}
	return nil
}

// fail sets the error of the reader, unless it has one.
func (r *Reader) fail(format string, args ...any) error {
	switch {
	case r.err != nil:
	case r.source.err != nil:
		r.err = fmt.Errorf("read stream: %w", r.source.err)
	default:
		r.err = fmt.Errorf("%w (%w)", ErrDamaged, fmt.Errorf(format, args...))
	}
	return r.err
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

var errShort = errors.New("the value ends early")

// readValue decodes a value at the beginning of b and returns the rest of b.
func readValue(b []byte, t Type) (v any, rest []byte, err error) {
	if len(b) == 0 {
		return nil, b, errShort
	}
	there, b := b[0], b[1:]
	switch {
	case there == 0:
		return nil, b, nil
	case there != 1:
		return nil, b, errors.New("the value begins with a wrong byte")
	}
	switch t {
	case Int, Time:
		n, size := binary.Varint(b)
		if size <= 0 {
			return nil, b, errShort
		}
		if t == Time {
			return time.UnixMicro(n).UTC(), b[size:], nil
		}
		return n, b[size:], nil
	case Bool:
		if len(b) == 0 || b[0] > 1 {
			return nil, b, errors.New("the value is not a bool")
		}
		return b[0] == 1, b[1:], nil
	case Text, Bytes:
		length, size := binary.Uvarint(b)
		if size <= 0 || length > uint64(len(b)-size) {
			return nil, b, errShort
		}
		content, rest := b[size:size+int(length)], b[size+int(length):]
		if t == Bytes {
			return content, rest, nil
		}
		return string(content), rest, checkText(content)
	}
	return nil, b, errors.New("the type is unknown")
}
