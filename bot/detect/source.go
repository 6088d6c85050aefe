package detect

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// file is a rule file as it was read.
type file struct {
	Name   string `json:"name"`
	Source string `json:"source"`
}

// rulesetSource are everything that makes a ruleset what it is: the files and how
// their rules are switched.
type rulesetSource struct {
	Options Options `json:"options"`
	Files   []file  `json:"files"`
}

// encodeSource writes down what was loaded, the same for the same rules. A file of
// rules for other logs is none of them.
func (l *loader) encodeSource() []byte {
	o := l.options
	o.Disable, o.Enable = slices.Compact(slices.Sorted(slices.Values(o.Disable))), slices.Compact(slices.Sorted(slices.Values(o.Enable)))
	if len(o.Levels) == 0 {
		o.Levels = nil
	}
	if len(o.Placeholders) == 0 {
		o.Placeholders = nil
	}
	b, err := json.Marshal(rulesetSource{o, l.files})
	if err != nil {
		panic(err) // texts and numbers can be written
	}
	return b
}

// Digest identifies the rules: their files, which of them are on, their levels
// and what their placeholders stand for.
func (rs *Ruleset) Digest() string {
	sum := sha256.Sum256(rs.source)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Source is what Restore makes the same rules of, packed.
func (rs *Ruleset) Source() []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(rs.source) // a buffer takes everything
	_ = w.Close()
	return out.Bytes()
}

// maxSourceSize bounds what Restore unpacks.
const maxSourceSize = 256 << 20

// Restore loads rules as they were when Source was called. Rules that this
// version cannot compile any more are an error: others would not be the rules
// of then.
func Restore(source []byte) (*Ruleset, error) {
	r, err := gzip.NewReader(bytes.NewReader(source))
	if err != nil {
		return nil, fmt.Errorf("unpack kept rules: %w", err)
	}
	var kept rulesetSource
	if err := json.NewDecoder(io.LimitReader(r, maxSourceSize)).Decode(&kept); err != nil {
		return nil, fmt.Errorf("decode kept rules: %w", err)
	}
	l := newLoader(kept.Options)
	for _, f := range kept.Files {
		l.loadFile(f.Name, []byte(f.Source), nil)
	}
	rs, report := l.link()
	if err := report.Err(); err != nil {
		return nil, fmt.Errorf("compile kept rules: %w", err)
	}
	return rs, nil
}
