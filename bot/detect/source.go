package detect

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"tocsin/bot/text"
)

// file is a rule file with its unmodified text.
type file struct {
	Name   string `json:"name"`
	Source string `json:"source"`
}

// rulesetSource holds all input of a ruleset: the options and the files.
type rulesetSource struct {
	Options Options `json:"options"`
	Files   []file  `json:"files"`
}

// encodeSource returns the loaded files and options as JSON. Equal rules give
// equal bytes. Files that contain only rules for other logs are not included.
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
		panic(err) // strings and numbers always encode
	}
	return b
}

// Digest returns a SHA-256 digest of the rules in the form "sha256:…". It covers
// the files, the rules that are on, their levels and the placeholder values.
func (rs *Ruleset) Digest() string {
	return text.Digest(rs.source)
}

// Files returns the digests of the rule files by name. Files that contain only rules for
// other logs are not included.
func (rs *Ruleset) Files() map[string]string {
	var input rulesetSource
	if err := json.Unmarshal(rs.source, &input); err != nil {
		panic(err) // encodeSource wrote it
	}
	out := make(map[string]string, len(input.Files))
	for _, f := range input.Files {
		out[f.Name] = text.Digest([]byte(f.Source))
	}
	return out
}

// RulesIn returns the names of the rules in a file, or their ids if they have no name,
// sorted.
func (rs *Ruleset) RulesIn(file string) []string {
	var out []string
	for _, r := range slices.Concat(rs.rules, rs.correlations) {
		if r.File == file {
			out = append(out, cmp.Or(r.Name, r.ID, r.Title))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Source returns the input of the ruleset, compressed. [Restore] compiles the
// ruleset from it again.
func (rs *Ruleset) Source() []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(rs.source) // writes to a buffer do not fail
	_ = w.Close()
	return out.Bytes()
}

// maxSourceSize is the largest decompressed size, in bytes, that Restore reads.
const maxSourceSize = 256 << 20

// Restore compiles the rules that [Ruleset.Source] returned. It returns an error
// if this version of Tocsin rejects any of them, because the remaining rules
// would not be equal to the original ruleset.
func Restore(source []byte) (*Ruleset, error) {
	r, err := gzip.NewReader(bytes.NewReader(source))
	if err != nil {
		return nil, fmt.Errorf("decompress stored rules: %w", err)
	}
	var stored rulesetSource
	if err := json.NewDecoder(io.LimitReader(r, maxSourceSize)).Decode(&stored); err != nil {
		return nil, fmt.Errorf("decode stored rules: %w", err)
	}
	l := newLoader(stored.Options)
	for _, f := range stored.Files {
		l.loadFile(f.Name, []byte(f.Source), nil)
	}
	rs, result := l.link()
	if err := result.Err(); err != nil {
		return nil, fmt.Errorf("compile stored rules: %w", err)
	}
	return rs, nil
}
