package notary

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A Commitment binds a row to its content without revealing it. It is the beginning of the SHA-256 of a secret salt and
// the content. The owner of the key can reveal the salt of one row, and then its content can be checked without the key.
type Commitment [24]byte

// Commit returns the commitment to a content.
func Commit(salt, content []byte) Commitment {
	h := sha256.New()
	h.Write(salt)
	h.Write(content)
	return Commitment(h.Sum(make([]byte, 0, sha256.Size)))
}

func (c Commitment) String() string { return base64.RawURLEncoding.EncodeToString(c[:]) }

// ParseCommitment parses a result of [Commitment.String].
func ParseCommitment(text string) (c Commitment, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != len(c) {
		return c, errors.New("the commitment is malformed")
	}
	return Commitment(b), nil
}

// A Line of a leaf vouches for one row: for its content, or for the end of the row.
type Line struct {
	ID         int64
	Commitment Commitment // zero if the row has no content
	// Gone is the tombstone that proves the deletion of the row.
	Gone int64
	// IsMissing means that the row was absent without a reason when the line was written.
	IsMissing bool
	// Detail holds facts in clear that a verifier needs, such as the number of an event. It has no line break.
	Detail string
}

const (
	goneWord    = "gone"
	missingWord = "missing"
)

// append appends the text of the line.
func (l Line) append(b []byte) []byte {
	b = strconv.AppendInt(b, l.ID, 10)
	b = append(b, ' ')
	switch {
	case l.Gone != 0:
		b = append(b, goneWord+" "...)
		b = strconv.AppendInt(b, l.Gone, 10)
	case l.IsMissing:
		b = append(b, missingWord...)
	default:
		b = base64.RawURLEncoding.AppendEncode(b, l.Commitment[:])
		if l.Detail != "" {
			b = append(b, ' ')
			b = append(b, l.Detail...)
		}
	}
	return append(b, '\n')
}

// parseLine parses a result of append without the line break.
func parseLine(text string) (l Line, err error) {
	id, rest, _ := strings.Cut(text, " ")
	if l.ID, err = strconv.ParseInt(id, 10, 64); err != nil {
		return l, errors.New("the id is malformed")
	}
	word, detail, _ := strings.Cut(rest, " ")
	switch {
	case word == goneWord:
		l.Gone, err = parseNumber(detail)
		if err == nil && l.Gone == 0 {
			err = errors.New("the tombstone is missing")
		}
	case word == missingWord:
		l.IsMissing = true
	default:
		l.Detail = detail
		l.Commitment, err = ParseCommitment(word)
	}
	return l, err
}

// A Leaf is one entry of the log. It vouches for some rows of one subject.
type Leaf struct {
	Subject string
	Lines   []Line
}

// Text returns the encoding of the leaf, which is hashed and stored.
func (l Leaf) Text() []byte {
	b := append([]byte(l.Subject), '\n')
	for _, line := range l.Lines {
		b = line.append(b)
	}
	return b
}

// ParseLeaf calls fn for each line of a text of [Leaf.Text], and returns its subject.
func ParseLeaf(text []byte, fn func(Line)) (subject string, err error) {
	first, rest, found := bytes.Cut(text, []byte{'\n'})
	if !found {
		return "", errors.New("the leaf has no subject")
	}
	for len(rest) > 0 {
		line, next, found := bytes.Cut(rest, []byte{'\n'})
		parsed, err := parseLine(string(line))
		if err != nil || !found {
			return "", fmt.Errorf("a line of the leaf is malformed: %w", err)
		}
		fn(parsed)
		rest = next
	}
	return string(first), nil
}

// A Step is the first leaf that the log gets at one time. It records which changes the leaves after it cover, to
// record no change twice.
type Step struct {
	Changes Ranges
	// Last is the greatest id of a change that the log covers.
	Last int64
}

// StepSubject is the subject of the leaf of a [Step].
const StepSubject = "step"

// Text returns the encoding of the step as a leaf.
func (s Step) Text() []byte {
	return fmt.Appendf(nil, "%s\nlast %d\nchanges %s\n", StepSubject, s.Last, s.Changes)
}

// ParseStep parses a text of [Step.Text].
func ParseStep(text []byte) (s Step, err error) {
	lines := strings.Split(string(text), "\n")
	if len(lines) != 4 || lines[0] != StepSubject || lines[3] != "" {
		return s, errors.New("the step is malformed")
	}
	last, hasLast := strings.CutPrefix(lines[1], "last ")
	changes, hasChanges := strings.CutPrefix(lines[2], "changes ")
	if s.Last, err = parseNumber(last); err != nil || !hasLast || !hasChanges {
		return s, errors.New("the step is malformed")
	}
	if changes != "" {
		s.Changes, err = ParseRanges(changes)
	}
	return s, err
}

// IsStep reports whether a leaf is a [Step].
func IsStep(leaf []byte) bool { return bytes.HasPrefix(leaf, []byte(StepSubject+"\n")) }
