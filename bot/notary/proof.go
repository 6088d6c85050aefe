package notary

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// A RowProof proves that the log of a checkpoint vouches for a row. It can be checked without the database and without the
// keyset: it reveals the salt of this row only, so the other rows of the leaf stay secret.
type RowProof struct {
	Subject string `json:"subject"`
	ID      int64  `json:"id"`
	// Content is the row as text: its table and number, then a line for each column.
	Content string `json:"content"`
	// Salt, followed by Content, has the SHA-256 that begins with the commitment in the leaf.
	Salt []byte `json:"salt"`
	// Leaf is the leaf with a line for the row, Index its number in the log, and Proof the hashes from the leaf to the root.
	Leaf  string           `json:"leaf"`
	Index int64            `json:"index"`
	Proof tlog.RecordProof `json:"proof"`
	// Checkpoint is the signed note.
	Checkpoint string `json:"checkpoint"`
}

// ErrNotInLeaf means that a leaf does not vouch for the content of a row.
var ErrNotInLeaf = errors.New("the leaf does not vouch for this content of the row")

// Check checks the proof with the public key of the instance and returns the checkpoint that vouches for the row. Errors
// include [ErrForeign], [ErrProof] and [ErrNotInLeaf].
func (p RowProof) Check(v Verifier) (Checkpoint, error) {
	c, err := v.Open(p.Checkpoint)
	if err != nil {
		return c, err
	}
	if err := (Inclusion{[]byte(p.Leaf), p.Index, p.Proof}).Check(c); err != nil {
		return c, err
	}
	want, found := Commit(p.Salt, []byte(p.Content)), false
	subject, err := ParseLeaf([]byte(p.Leaf), func(l Line) {
		found = found || l.ID == p.ID && l.Gone == 0 && !l.IsMissing && l.Commitment == want
	})
	if err != nil {
		return c, fmt.Errorf("%w: %w", ErrNotInLeaf, err)
	}
	if !found || subject != p.Subject {
		return c, ErrNotInLeaf
	}
	return c, nil
}
