package mailtext

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// TNEFMessage is the content of a winmail.dat file, which Outlook sends.
type TNEFMessage struct {
	Subject  string
	Text     string   // plain text, or the text of RTF or HTML
	Files    []string // names of its attachments
	Problems []string // sentences about content that could not be read
}

// Attributes and properties of TNEF that are read.
const (
	tnefSignature   = 0x223e9f78
	tnefSubject     = 0x8004
	tnefBody        = 0x800c
	tnefMessage     = 0x9003
	tnefCodePage    = 0x9007
	tnefFileStart   = 0x9002
	tnefFileTitle   = 0x8010
	tnefFile        = 0x9005
	mapiSubject     = 0x0037
	mapiBody        = 0x1000
	mapiRTF         = 0x1009
	mapiHTML        = 0x1013
	mapiFileName    = 0x3704
	mapiLongName    = 0x3707
	maxTNEFFiles    = 20
	maxTNEFElements = 10_000 // attributes and properties
)

// IsTNEF reports whether b begins like a winmail.dat file.
func IsTNEF(b []byte) bool { return len(b) >= 6 && binary.LittleEndian.Uint32(b) == tnefSignature }

// tnefReader reads little-endian numbers and bytes. After the end it returns zeros and
// sets bad.
type tnefReader struct {
	b   []byte
	bad bool
}

func (r *tnefReader) bytes(n int64) []byte {
	if n < 0 || n > int64(len(r.b)) {
		r.bad = true
		out := r.b
		r.b = nil
		return out
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *tnefReader) uint32() int64 {
	if b := r.bytes(4); len(b) == 4 {
		return int64(binary.LittleEndian.Uint32(b))
	}
	r.bad = true
	return 0
}

func (r *tnefReader) uint16() int64 {
	if b := r.bytes(2); len(b) == 2 {
		return int64(binary.LittleEndian.Uint16(b))
	}
	r.bad = true
	return 0
}

// tnefDecoder collects the content of a TNEF stream.
type tnefDecoder struct {
	TNEFMessage
	limit          int
	elements       int
	charset        string
	plain          []byte
	body, rtf, doc string
	file           string // name of the present attachment
	inFile         bool
	hiddenFiles    int
}

// TNEF reads a winmail.dat file. The text has at most about limit bytes.
func TNEF(b []byte, limit int) TNEFMessage {
	d := tnefDecoder{limit: limit, charset: "windows-1252"}
	r := tnefReader{b: b}
	r.bytes(6) // signature and key
	for len(r.b) > 0 && !r.bad && d.count() {
		r.bytes(1) // level
		id, size := r.uint32()&0xffff, r.uint32()
		value := r.bytes(size)
		r.bytes(2) // checksum
		d.attribute(id, value)
	}
	if r.bad {
		d.Problems = append(d.Problems, "The winmail.dat file is truncated or damaged.")
	}
	d.endFile()
	if d.hiddenFiles > 0 {
		d.Problems = append(d.Problems, fmt.Sprintf("%d files in winmail.dat are not listed.", d.hiddenFiles))
	}
	if len(d.plain) > 0 && d.body == "" {
		d.body = d.string(d.plain)
	}
	for _, text := range []string{d.body, d.doc, d.rtf} {
		if d.Text == "" {
			d.Text = strings.TrimSpace(strings.ReplaceAll(text, "\x00", ""))
		}
	}
	d.Subject = strings.TrimSpace(strings.ReplaceAll(d.Subject, "\x00", ""))
	return d.TNEFMessage
}

func (d *tnefDecoder) count() bool {
	if d.elements++; d.elements == maxTNEFElements {
		d.Problems = append(d.Problems, "The winmail.dat file has more properties than Tocsin reads.")
	}
	return d.elements < maxTNEFElements
}

func (d *tnefDecoder) cut(b []byte) []byte { return b[:min(len(b), 4*d.limit)] }

// string decodes a text in the code page of the message.
func (d *tnefDecoder) string(b []byte) string {
	s, _ := Charset(d.cut(b), d.charset)
	return s
}

func (d *tnefDecoder) attribute(id int64, value []byte) {
	switch id {
	case tnefCodePage:
		r := tnefReader{b: value}
		if page := r.uint32(); page > 0 {
			d.charset = codePage(page)
		}
	case tnefSubject:
		d.Subject = d.string(value)
	case tnefBody:
		d.plain = value
	case tnefMessage:
		d.properties(value)
	case tnefFileStart:
		d.endFile()
		d.inFile = true
	case tnefFileTitle:
		if d.file == "" {
			d.file = d.string(value)
		}
	case tnefFile:
		d.properties(value)
	}
}

// codePage returns the charset with a number of Windows.
func codePage(n int64) string {
	switch n {
	case 65001:
		return "utf-8"
	case 20866:
		return "koi8-r"
	case 28591:
		return "windows-1252"
	case 50220, 50221, 50222:
		return "iso-2022-jp"
	case 54936:
		return "gb18030"
	}
	if n >= 1250 && n <= 1258 {
		return fmt.Sprintf("windows-%d", n)
	}
	return fmt.Sprintf("cp%d", n)
}

// endFile lists the present attachment.
func (d *tnefDecoder) endFile() {
	name := strings.TrimSpace(strings.ReplaceAll(d.file, "\x00", ""))
	if name == "" && d.inFile {
		name = "unnamed"
	}
	if name != "" {
		if len(d.Files) < maxTNEFFiles {
			d.Files = append(d.Files, name)
		} else {
			d.hiddenFiles++
		}
	}
	d.file, d.inFile = "", false
}

// properties reads a list of MAPI properties.
func (d *tnefDecoder) properties(b []byte) {
	r := tnefReader{b: b}
	for n := r.uint32(); n > 0 && !r.bad && d.count(); n-- {
		kind, id := r.uint16(), r.uint16()
		if id >= 0x8000 { // a named property
			r.bytes(16)
			if r.uint32() == 0 {
				r.bytes(4)
			} else {
				padded(&r, r.uint32())
			}
		}
		values := int64(1)
		if kind&0x1000 != 0 || variable(kind) {
			values = r.uint32()
		}
		for ; values > 0 && !r.bad && d.count(); values-- {
			value := d.value(&r, kind&^0x1000)
			d.property(id, kind&^0x1000, value)
		}
	}
	if r.bad {
		d.Problems = append(d.Problems, "A property of the winmail.dat file is damaged.")
	}
}

func variable(kind int64) bool {
	return kind == 0x1e || kind == 0x1f || kind == 0x0d || kind == 0x102
}

func padded(r *tnefReader, size int64) []byte {
	value := r.bytes(size)
	if rest := size % 4; rest > 0 && !r.bad {
		r.bytes(min(4-rest, int64(len(r.b))))
	}
	return value
}

func (d *tnefDecoder) value(r *tnefReader, kind int64) []byte {
	switch kind {
	case 0x1e, 0x1f, 0x0d, 0x102:
		return padded(r, r.uint32())
	case 0x05, 0x06, 0x07, 0x14, 0x40:
		return r.bytes(8)
	case 0x48:
		return r.bytes(16)
	default:
		return r.bytes(4)
	}
}

func (d *tnefDecoder) property(id, kind int64, value []byte) {
	text := func() string {
		if kind == 0x1f {
			s, _ := Charset(d.cut(value), "utf-16le")
			return s
		}
		return d.string(value)
	}
	if id == mapiBody && d.body != "" || id == mapiHTML && d.doc != "" || id == mapiRTF && d.rtf != "" {
		return // a message has one text of each kind
	}
	switch id {
	case mapiSubject:
		d.Subject = text()
	case mapiBody:
		d.body = text()
	case mapiHTML:
		if kind == 0x102 {
			charset := HTMLCharset(value)
			if charset == "" {
				charset = d.charset
			}
			s, _ := Charset(d.cut(value), charset)
			d.doc, _ = HTML(s)
		} else {
			d.doc, _ = HTML(text())
		}
	case mapiRTF:
		rtf, err := decompressRTF(value, 8*d.limit)
		if err != nil {
			d.Problems = append(d.Problems, "The RTF text of the winmail.dat file is damaged.")
		}
		d.rtf = RTF(rtf, d.limit)
	case mapiLongName:
		d.file = text()
	case mapiFileName:
		if d.file == "" {
			d.file = text()
		}
	}
}
