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
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
)

// A Writer writes one stream. It needs about 10 MB of memory, and the largest row twice. It is not safe for concurrent
// use.
type Writer struct {
	zip      *zstd.Encoder
	out      *bufio.Writer
	whole    hash.Hash
	table    hash.Hash // nil before the first table
	columns  []Column
	manifest Manifest
	row      []byte
	head     []byte
}

// NewWriter begins a stream. The caller calls [Writer.Close] or, to give up, [Writer.Abort].
func NewWriter(out io.Writer, h Header) (*Writer, error) {
	// Most bytes are ciphertexts, which no level makes smaller.
	zip, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(maxWindow/8))
	if err != nil {
		return nil, fmt.Errorf("compress stream: %w", err)
	}
	h.At = h.At.UTC()
	w := &Writer{zip: zip, out: bufio.NewWriterSize(zip, bufferBytes), whole: sha256.New(), manifest: Manifest{Header: h}}
	if _, err := io.MultiWriter(w.out, w.whole).Write([]byte(magic)); err != nil {
		return nil, err
	}
	return w, w.json(frameHeader, h)
}

// Table begins the next table. The columns must be in the order of their names.
func (w *Writer) Table(name string, columns []Column) error {
	if !slices.IsSortedFunc(columns, compareColumns) {
		return fmt.Errorf("write table %s: the columns are not in the order of their names", name)
	}
	w.endTable()
	w.table, w.columns = sha256.New(), columns
	w.manifest.Tables = append(w.manifest.Tables, TableSum{Name: name})
	return w.json(frameTable, Table{name, columns})
}

func compareColumns(a, b Column) int { return strings.Compare(a.Name, b.Name) }

func (w *Writer) endTable() {
	if w.table != nil {
		w.manifest.Tables[len(w.manifest.Tables)-1].SHA256 = hex.EncodeToString(w.table.Sum(nil))
		w.table = nil
	}
}

// A ValueError names the value that cannot be written. Column is the position of the value in its row.
type ValueError struct {
	Column int
	Err    error
}

func (e *ValueError) Error() string { return e.Err.Error() }
func (e *ValueError) Unwrap() error { return e.Err }

// Errors of a [ValueError].
var (
	ErrNUL  = errors.New("the text has a NUL character")
	ErrUTF8 = errors.New("the text is not UTF-8")
)

// Row writes the next row of the table. Its values are nil, int64, bool, string, []byte and [time.Time]. A text may be a
// []byte, and times are truncated to microseconds. An error about a value is a [ValueError].
func (w *Writer) Row(values []any) error {
	if len(values) != len(w.columns) {
		return fmt.Errorf("write row: got %d values, want %d", len(values), len(w.columns))
	}
	w.row = w.row[:0]
	for i, v := range values {
		var err error
		if w.row, err = appendValue(w.row, w.columns[i].Type, v); err != nil {
			return &ValueError{i, err}
		}
	}
	if len(w.row) > maxRow {
		return fmt.Errorf("write row: it has %d bytes, more than %d", len(w.row), maxRow)
	}
	w.manifest.Tables[len(w.manifest.Tables)-1].Rows++
	return w.frame(frameRow, w.row)
}

func appendValue(b []byte, t Type, v any) ([]byte, error) {
	if v == nil {
		return append(b, 0), nil
	}
	b = append(b, 1)
	switch v := v.(type) {
	case int64:
		if t == Int {
			return binary.AppendVarint(b, v), nil
		}
	case bool:
		if t == Bool {
			return append(b, boolByte(v)), nil
		}
	case time.Time:
		if t == Time {
			return binary.AppendVarint(b, v.UnixMicro()), nil
		}
	case string:
		if t == Text {
			b = binary.AppendUvarint(b, uint64(len(v)))
			return append(b, v...), checkText([]byte(v))
		}
	case []byte:
		if t == Text || t == Bytes {
			b = append(binary.AppendUvarint(b, uint64(len(v))), v...)
			if t == Text {
				return b, checkText(v)
			}
			return b, nil
		}
	}
	return b, fmt.Errorf("the value is a %T, want %s", v, t)
}

func boolByte(v bool) byte {
	if v {
		return 1
	}
	return 0
}

func checkText(v []byte) error {
	switch {
	case bytes.IndexByte(v, 0) >= 0:
		return ErrNUL
	case !utf8.Valid(v):
		return ErrUTF8
	}
	return nil
}

// Close ends the stream with its manifest and returns it. The caller sets the fields about keys and notary and the next
// ids by table. mac returns the keyed hash of the stream's SHA-256.
func (w *Writer) Close(m Manifest, nextIDs map[string]int64, mac func(sum []byte) []byte) (Manifest, error) {
	defer w.Abort()
	w.endTable()
	m.Header, m.Tables = w.manifest.Header, w.manifest.Tables
	for i, t := range m.Tables {
		m.Tables[i].NextID = nextIDs[t.Name]
	}
	if err := w.json(frameManifest, m); err != nil {
		return m, err
	}
	sum := w.whole.Sum(nil)
	m.SHA256, m.MAC = hex.EncodeToString(sum), mac(sum)
	if err := w.frame(frameEnd, append(sum, m.MAC...)); err != nil {
		return m, err
	}
	if err := w.out.Flush(); err != nil {
		return m, err
	}
	return m, w.zip.Close()
}

// Abort releases the memory of a stream that is given up. It may be called more than once.
func (w *Writer) Abort() { w.zip.Reset(nil) }

func (w *Writer) json(kind byte, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode stream: %w", err)
	}
	if len(data) > maxJSON {
		return fmt.Errorf("encode stream: %d bytes in one frame, want at most %d", len(data), maxJSON)
	}
	return w.frame(kind, data)
}

func (w *Writer) frame(kind byte, content []byte) error {
	w.head = binary.AppendUvarint(append(w.head[:0], kind), uint64(len(content)))
	for _, part := range [2][]byte{w.head, content} {
		if _, err := w.out.Write(part); err != nil {
			return fmt.Errorf("write stream: %w", err)
		}
		if kind != frameEnd {
			w.whole.Write(part)
		}
		if w.table != nil {
			w.table.Write(part)
		}
	}
	return nil
}
