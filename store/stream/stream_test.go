package stream

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"
)

var (
	noon    = time.Date(2026, 11, 30, 12, 0, 0, 123456789, time.UTC)
	columns = []Column{{"at", Time}, {"body", Bytes}, {"id", Int}, {"live", Bool}, {"name", Text}}
)

func testMAC(sum []byte) []byte {
	mac := sha256.Sum256(append([]byte("key"), sum...))
	return mac[:]
}

// write returns a stream with one table of rows.
func write(t rapid.TB, rows [][]any) ([]byte, Manifest) {
	var b bytes.Buffer
	w, err := NewWriter(&b, Header{Schema: 21, Origin: "tocsin/1", Engine: "sqlite", At: noon})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Table("empty", nil), w.Table("things", columns)); err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if err := w.Row(row); err != nil {
			t.Fatal(err)
		}
	}
	m, err := w.Close(Manifest{Leaves: 3, Checkpoint: "note", LastIncident: 9, Keys: Keys{Seal: []string{"01234567"}}}, map[string]int64{"things": 12}, testMAC)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), m
}

// read returns the rows and the manifest of a stream.
func read(in io.Reader) (rows [][]any, m Manifest, err error) {
	r, err := NewReader(in)
	if err != nil {
		return nil, m, err
	}
	defer r.Close()
	for r.NextTable() {
		for r.NextRow() {
			row := slices.Clone(r.Row())
			for i, v := range row {
				if b, ok := v.([]byte); ok {
					row[i] = bytes.Clone(b)
				}
			}
			rows = append(rows, row)
		}
	}
	m, err = r.Manifest()
	return rows, m, err
}

var edges = [][]any{
	{noon.Truncate(time.Microsecond), []byte{0, 255}, int64(math.MinInt64), true, "é\n\t\\N"},
	{nil, nil, nil, nil, nil},
	{time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), []byte{}, int64(math.MaxInt64), false, ""},
	{time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), bytes.Repeat([]byte{7}, 1<<20), int64(-1), false, strings.Repeat("x", 300)},
}

func TestStream_RoundTrip(t *testing.T) {
	data, want := write(t, edges)
	rows, m, err := read(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(edges, rows); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Error(diff)
	}
	if m.Rows("things") != 4 || m.Header.Schema != 21 || !bytes.Equal(m.MAC, testMAC(mustHex(t, m.SHA256))) {
		t.Errorf("got %+v", m)
	}
}

func mustHex(t *testing.T, text string) []byte {
	t.Helper()
	var out []byte
	for i := 0; i < len(text); i += 2 {
		n := strings.IndexByte("0123456789abcdef", text[i])<<4 | strings.IndexByte("0123456789abcdef", text[i+1])
		out = append(out, byte(n))
	}
	return out
}

// TestStream_AnyValues writes rows of any values, and changes or cuts the stream at any place.
func TestStream_AnyValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		null := func(v any) any {
			if rapid.Bool().Draw(t, "null") {
				return nil
			}
			return v
		}
		var rows [][]any
		for range rapid.IntRange(0, 20).Draw(t, "rows") {
			text := strings.ReplaceAll(rapid.String().Draw(t, "text"), "\x00", "")
			rows = append(rows, []any{null(time.UnixMicro(rapid.Int64().Draw(t, "time")).UTC()), null(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")),
				null(rapid.Int64().Draw(t, "int")), null(rapid.Bool().Draw(t, "bool")), null(text)})
		}
		data, want := write(t, rows)
		got, m, err := read(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(rows, got) + cmp.Diff(want, m); diff != "" {
			t.Fatal(diff)
		}
		cut := rapid.IntRange(0, len(data)-1).Draw(t, "cut")
		if _, _, err := read(bytes.NewReader(data[:cut])); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut at %d of %d: got %v", cut, len(data), err)
		}
		changed := bytes.Clone(data)
		changed[rapid.IntRange(0, len(data)-1).Draw(t, "place")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		checkChanged(t, changed, got, m)
	})
}

// checkChanged accepts a changed stream only if its rows and manifest are equal. Some bits of the compression mean nothing.
func checkChanged(t rapid.TB, data []byte, rows [][]any, want Manifest) {
	got, m, err := read(bytes.NewReader(data))
	if err == nil && cmp.Diff(rows, got)+cmp.Diff(want, m) != "" {
		t.Fatal("accepted a changed stream with other contents")
	}
	if version := new(VersionError); err != nil && !errors.Is(err, ErrDamaged) && !errors.As(err, &version) {
		t.Fatalf("got %v, want %v", err, ErrDamaged)
	}
}

// plain returns the uncompressed content of a stream, and pack a stream with a content.
func plain(t rapid.TB, data []byte) []byte {
	d, err := zstd.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	out, err := io.ReadAll(d)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var encoder, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1)) // the options are valid

func pack(content []byte) []byte { return encoder.EncodeAll(content, nil) }

// TestReader_FindsEveryChange flips each bit and cuts at each byte below the compression, so its checksum does not help.
// Only the MAC at the end is for the caller to check.
func TestReader_FindsEveryChange(t *testing.T) {
	data, _ := write(t, edges[:3])
	content := plain(t, data)
	body := len(content) - sumSize // without the MAC
	for at := range content {
		if _, _, err := read(bytes.NewReader(pack(content[:at]))); err == nil && at < body {
			t.Fatalf("accepted a cut at %d of %d", at, len(content))
		}
		for bit := range 8 {
			changed := bytes.Clone(content)
			changed[at] ^= 1 << bit
			if _, _, err := read(bytes.NewReader(pack(changed))); err == nil && at < body {
				t.Fatalf("accepted bit %d of byte %d changed: %q", bit, at, content[max(0, at-20):at+1])
			}
		}
	}
	for _, more := range [][]byte{{0}, content, content[len(magic):]} {
		if _, _, err := read(bytes.NewReader(pack(append(bytes.Clone(content), more...)))); !errors.Is(err, ErrDamaged) {
			t.Errorf("%d bytes more: got %v", len(more), err)
		}
	}
	if _, _, err := read(bytes.NewReader(append(bytes.Clone(data), data...))); !errors.Is(err, ErrDamaged) {
		t.Errorf("twice: got %v", err)
	}
}

// TestReader_ErrorOfSource requires that an error of the disk or network is not taken for damage.
func TestReader_ErrorOfSource(t *testing.T) {
	data, _ := write(t, edges)
	failed := errors.New("connection lost")
	for n := range len(data) {
		_, _, err := read(io.MultiReader(bytes.NewReader(data[:n]), iotest.ErrReader(failed)))
		if !errors.Is(err, failed) || errors.Is(err, ErrDamaged) {
			t.Fatalf("after %d bytes: got %v, want %v", n, err, failed)
		}
	}
}

func TestNewReader_NamesOtherVersion(t *testing.T) {
	var version *VersionError
	_, err := NewReader(bytes.NewReader(pack([]byte("tocsin stream 2\nanything"))))
	if !errors.As(err, &version) || version.Version != "2" {
		t.Errorf("got %v", err)
	}
}

// TestReader_Bounds announces lengths that are not there, and more than the limits.
func TestReader_Bounds(t *testing.T) {
	data, _ := write(t, nil)
	content := plain(t, data)
	length, n := binary.Uvarint(content[len(magic)+1:])
	header := content[:len(magic)+1+n+int(length)]
	for name, test := range map[string]struct {
		frame []byte
		want  string
	}{
		"longest row":   {binary.AppendUvarint([]byte{'R'}, maxRow), "unexpected EOF"},
		"too long":      {binary.AppendUvarint([]byte{'R'}, maxRow+1), "length"},
		"longest JSON":  {binary.AppendUvarint([]byte{'T'}, maxJSON), "unexpected EOF"},
		"JSON too long": {binary.AppendUvarint([]byte{'T'}, maxJSON+1), "length"},
		"endless":       {append([]byte{'M'}, bytes.Repeat([]byte{0xff}, 20)...), "length"},
		"unknown":       {[]byte{'X', 0}, "manifest is missing"},
		"row first":     {[]byte{'R', 0}, "manifest is missing"},
		"many columns":  {append(binary.AppendUvarint([]byte{'T'}, 12+3*maxColumns+4), `{"columns":[`+strings.Repeat("{},", maxColumns)+"{}]}"...), "columns"},
	} {
		_, _, err := read(bytes.NewReader(pack(append(bytes.Clone(header), test.frame...))))
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
	many := bytes.Clone(header)
	for range maxTables + 1 {
		many = append(many, 'T', 2, '{', '}')
	}
	if _, _, err := read(bytes.NewReader(pack(many))); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "tables") {
		t.Errorf("many tables: got %v", err)
	}
}

func TestWriter_RefusesValues(t *testing.T) {
	for name, row := range map[string][]any{
		"NUL":        {nil, nil, nil, nil, "a\x00b"},
		"not UTF-8":  {nil, nil, nil, nil, []byte{0xff}},
		"other type": {nil, nil, 1.5, nil, nil},
	} {
		w, err := NewWriter(io.Discard, Header{})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Table("things", columns); err != nil {
			t.Fatal(err)
		}
		var value *ValueError
		if err := w.Row(row); !errors.As(err, &value) || row[value.Column] == nil {
			t.Errorf("%s: got %v", name, err)
		}
		if err := w.Row(row[:3]); err == nil {
			t.Errorf("%s: accepted a short row", name)
		}
	}
}

// FuzzReader reads any content below the compression.
func FuzzReader(f *testing.F) {
	data, _ := write(f, edges[:3])
	content := plain(f, data)
	f.Add(content)
	f.Add(content[:len(content)/2])
	f.Fuzz(func(t *testing.T, content []byte) {
		_, _, err := read(bytes.NewReader(pack(content)))
		if version := new(VersionError); err != nil && !errors.Is(err, ErrDamaged) && !errors.As(err, &version) {
			t.Errorf("got %v", err)
		}
	})
}
