package notary

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A Checkpoint is a statement of an instance about its log at one time.
type Checkpoint struct {
	// Origin names the instance, such as "tocsin/3f2a…".
	Origin string
	// Size is the number of leaves, and Root the Merkle hash of these leaves.
	Size int64
	Root tlog.Hash
	At   time.Time // to the second, in UTC
	// LastIncident is the number of the newest incident.
	LastIncident int64
	// LastTrust is the number of the newest event of the log of keys and providers that the log of the notary has.
	LastTrust int64
	// Erasures are the erased texts of incidents. A restore of an older backup erases them again.
	Erasures []Erasure
	// Note is the signed text. [Key.Sign] and [Verifier.Open] set it.
	Note string
}

// An Erasure names texts that were erased from the timeline of an incident. Refs have the form "17/reason": the event
// and its field.
type Erasure struct {
	Incident int64
	Event    int64 // the event that records the erasure
	Refs     []string
}

const (
	timeLine     = "time "
	incidentLine = "last-incident "
	trustLine    = "last-trust " // absent before the first event
	erasureLine  = "erased "
)

// text returns the signed text of a checkpoint in the format tlog-checkpoint of C2SP. The lines after the root are
// extension lines of the format.
func (c Checkpoint) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%d\n%s\n%s%s\n%s%d\n", c.Origin, c.Size, c.Root, timeLine, c.At.UTC().Format(time.RFC3339), incidentLine, c.LastIncident)
	if c.LastTrust > 0 {
		fmt.Fprintf(&b, "%s%d\n", trustLine, c.LastTrust)
	}
	for _, e := range c.Erasures {
		fmt.Fprintf(&b, "%s%d %d %s\n", erasureLine, e.Incident, e.Event, strings.Join(e.Refs, ","))
	}
	return b.String()
}

// parseText parses a result of text.
func parseText(text string) (c Checkpoint, err error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) < 5 {
		return c, errors.New("lines are missing")
	}
	c.Origin = lines[0]
	if c.Size, err = parseNumber(lines[1]); err != nil {
		return c, fmt.Errorf("size: %w", err)
	}
	if c.Root, err = tlog.ParseHash(lines[2]); err != nil {
		return c, fmt.Errorf("root: %w", err)
	}
	at, ok := strings.CutPrefix(lines[3], timeLine)
	if c.At, err = time.Parse(time.RFC3339, at); err != nil || !ok {
		return c, errors.New("the time is missing or malformed")
	}
	last, ok := strings.CutPrefix(lines[4], incidentLine)
	if c.LastIncident, err = parseNumber(last); err != nil || !ok {
		return c, errors.New("the last incident is missing or malformed")
	}
	lines = lines[5:]
	if len(lines) > 0 && strings.HasPrefix(lines[0], trustLine) {
		if c.LastTrust, err = parseNumber(strings.TrimPrefix(lines[0], trustLine)); err != nil {
			return c, fmt.Errorf("last event of the log of keys: %w", err)
		}
		lines = lines[1:]
	}
	for _, line := range lines {
		fields := strings.Fields(strings.TrimPrefix(line, erasureLine))
		if !strings.HasPrefix(line, erasureLine) || len(fields) != 3 {
			return c, errors.New("an erasure is malformed")
		}
		e := Erasure{Refs: strings.Split(fields[2], ",")}
		var errs [2]error
		e.Incident, errs[0] = parseNumber(fields[0])
		e.Event, errs[1] = parseNumber(fields[1])
		if err := errors.Join(errs[:]...); err != nil {
			return c, fmt.Errorf("erasure: %w", err)
		}
		c.Erasures = append(c.Erasures, e)
	}
	return c, nil
}

func parseNumber(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%.20q is not a number", text)
	}
	return n, nil
}

// A Key signs checkpoints. It is derived from a secret seed, so it needs no key file.
type Key struct {
	origin   string
	signer   note.Signer
	verifier Verifier
}

// NewKey returns the key of an origin and a secret seed of [ed25519.SeedSize] bytes.
func NewKey(origin string, seed []byte) (Key, error) {
	private := ed25519.NewKeyFromSeed(seed)
	public, err := note.NewEd25519VerifierKey(origin, private.Public().(ed25519.PublicKey))
	if err != nil {
		return Key{}, fmt.Errorf("create verifier key: %w", err)
	}
	parts := strings.Split(public, "+") // name, hash, key
	const algorithm = 1                 // Ed25519 in package note
	signer, err := note.NewSigner("PRIVATE+KEY+" + parts[0] + "+" + parts[1] + "+" + base64.StdEncoding.EncodeToString(append([]byte{algorithm}, seed...)))
	if err != nil {
		return Key{}, fmt.Errorf("create signer: %w", err)
	}
	verifier, err := NewVerifier(public)
	return Key{origin, signer, verifier}, err
}

// Verifier returns the public half of the key.
func (k Key) Verifier() Verifier { return k.verifier }

// Sign returns the checkpoint with the origin of the key and its signed note.
func (k Key) Sign(c Checkpoint) (Checkpoint, error) {
	c.Origin, c.At = k.origin, c.At.UTC().Truncate(time.Second)
	signed, err := note.Sign(&note.Note{Text: c.text()}, k.signer)
	if err != nil {
		return c, fmt.Errorf("sign checkpoint: %w", err)
	}
	c.Note = string(signed)
	return c, nil
}

// A Verifier opens the checkpoints of one instance. Its text is public.
type Verifier struct {
	text     string
	verifier note.Verifier
}

// NewVerifier parses the text of a verifier, "tocsin/ID+HASH+KEY".
func NewVerifier(text string) (Verifier, error) {
	v, err := note.NewVerifier(text)
	if err != nil {
		return Verifier{}, fmt.Errorf("parse verifier key: %w", err)
	}
	return Verifier{text, v}, nil
}

func (v Verifier) String() string { return v.text }

// ErrForeign means that a checkpoint carries no valid signature of the instance.
var ErrForeign = errors.New("the checkpoint is not signed by this instance")

// storedForms replaces the line feeds of files from Windows and of messages in syslog. A
// note contains neither backslashes nor number signs.
var storedForms = strings.NewReplacer("\r\n", "\n", `\n`, "\n", "#012", "\n")

// Open verifies the signature of a note and returns its checkpoint. Other text may surround the note, for example if it
// was copied from a message. The note begins at the line with the origin.
func (v Verifier) Open(text string) (Checkpoint, error) {
	text = storedForms.Replace(text)
	start := strings.Index(text, v.verifier.Name()+"\n")
	if start < 0 {
		return Checkpoint{}, ErrForeign
	}
	text = text[start:]
	if end := strings.Index(text, "\n\n"); end >= 0 { // signature lines follow the empty line
		rest := text[end+2:]
		signatures := ""
		for line := range strings.Lines(rest) {
			if !strings.HasPrefix(line, "— ") {
				break
			}
			signatures += strings.TrimRight(line, " \n") + "\n"
		}
		text = text[:end+2] + signatures
	}
	opened, err := note.Open([]byte(text), note.VerifierList(v.verifier))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrForeign, err)
	}
	c, err := parseText(opened.Text)
	if err != nil {
		return c, fmt.Errorf("parse checkpoint: %w", err)
	}
	c.Note = text
	return c, nil
}
