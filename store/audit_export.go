package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"tocsin/bot/incident"
	"tocsin/bot/notary"
)

// AuditLine is a line of an export of the audit log: an entry, and with proofs also the header and the leaves of the log.
// A leaf comes before the entries that it vouches for.
type AuditLine struct {
	*AuditEntry
	Proof *AuditProof       `json:"proof,omitempty"` // of the entry, nil if the checkpoint does not cover the entry yet
	Leaf  *notary.Inclusion `json:"leaf,omitempty"`
	// Verifier is the public key, and Checkpoint the signed text, of the header.
	Verifier   string `json:"verifier,omitempty"`
	Checkpoint string `json:"checkpoint,omitempty"`
}

// AuditProof proves that a leaf vouches for an entry, see [notary.RowProof].
type AuditProof struct {
	Leaf    int64  `json:"leaf"` // index
	Content string `json:"content"`
	Salt    []byte `json:"salt"`
}

// proofBatch is how many entries are proven with one scan of the log.
const proofBatch = 5000

// ExportAudit calls fn for each line of an export, the oldest entry first, until fn returns an error. With proofs, the
// entries are proven with the newest published checkpoint, or with the newest one if none was published.
func (s *Store) ExportAudit(ctx context.Context, q AuditQuery, proofs bool, fn func(AuditLine) error) error {
	if !proofs {
		return s.EachAudit(ctx, q, func(e AuditEntry) error { return fn(AuditLine{AuditEntry: &e}) })
	}
	c, _, err := s.LastPublished(ctx)
	if err == nil && c.Size == 0 {
		c, err = s.LatestCheckpoint(ctx)
	}
	if err != nil {
		return err
	}
	if c.Size == 0 {
		return incident.Conflict("there is no checkpoint yet. Start Tocsin and try again in two minutes")
	}
	verifier, err := s.NotaryVerifier()
	if err != nil {
		return err
	}
	if err := fn(AuditLine{Verifier: verifier, Checkpoint: c.Note}); err != nil {
		return err
	}
	p := auditProver{s, c, -1, fn}
	var batch []AuditEntry
	err = s.EachAudit(ctx, q, func(e AuditEntry) error {
		if batch = append(batch, e); len(batch) < proofBatch {
			return nil
		}
		defer func() { batch = batch[:0] }()
		return p.write(ctx, batch)
	})
	if err != nil {
		return err
	}
	return p.write(ctx, batch)
}

// auditProver writes entries with their proofs.
type auditProver struct {
	s          *Store
	checkpoint notary.Checkpoint
	leaf       int64 // index of the last leaf that was written, or -1
	fn         func(AuditLine) error
}

func (p *auditProver) write(ctx context.Context, batch []AuditEntry) error {
	if len(batch) == 0 {
		return nil
	}
	ids := make([]int64, len(batch))
	for n, e := range batch {
		ids[n] = e.ID
	}
	proofs, err := p.s.ProveAudit(ctx, p.checkpoint, ids)
	if err != nil {
		return err
	}
	for n := range batch {
		line := AuditLine{AuditEntry: &batch[n]}
		if proof, ok := proofs[batch[n].ID]; ok {
			if proof.Index != p.leaf {
				if err := p.fn(AuditLine{Leaf: &notary.Inclusion{Leaf: []byte(proof.Leaf), Index: proof.Index, Proof: proof.Proof}}); err != nil {
					return err
				}
				p.leaf = proof.Index
			}
			line.Proof = &AuditProof{proof.Index, proof.Content, proof.Salt}
		}
		if err := p.fn(line); err != nil {
			return err
		}
	}
	return nil
}

// AuditCheck is the result of a check of an export.
type AuditCheck struct {
	Verifier   string `json:"verifier"`
	Checkpoint string `json:"checkpoint"`
	Proven     int    `json:"proven"`
	Newer      int    `json:"newer"` // entries that the checkpoint does not cover yet
}

// AuditChecker checks the lines of an export with proofs, in their order. It needs no database and no keyset.
type AuditChecker struct {
	// Verifier is the public key. If it is "", the key of the header is used, which proves nothing about the origin.
	Verifier string
	// Published are texts with checkpoints from outside of the instance. If there are any, the checkpoint of the export must
	// be one of them.
	Published []string

	verifier   notary.Verifier
	checkpoint notary.Checkpoint
	leaf       notary.Inclusion
	lastID     int64
	result     AuditCheck
}

// Result returns the result of the lines until now.
func (c *AuditChecker) Result() AuditCheck { return c.result }

// Check returns an error if the line is not proven.
func (c *AuditChecker) Check(line AuditLine) error {
	switch {
	case line.Checkpoint != "":
		return c.open(line)
	case c.checkpoint.Size == 0:
		return incident.Invalid("file", "the file has no proofs. Export it again with --proof")
	case line.Leaf != nil:
		c.leaf = *line.Leaf
		if err := c.leaf.Check(c.checkpoint); err != nil {
			return fmt.Errorf("leaf %d: %w", c.leaf.Index, err)
		}
		return nil
	case line.AuditEntry == nil:
		return nil
	case line.ID <= c.lastID:
		return incident.Invalid("file", "entry %d follows entry %d. The order of the file was changed: export it again", line.ID, c.lastID)
	case line.Proof == nil:
		c.lastID = line.ID
		c.result.Newer++
		return nil
	}
	c.lastID = line.ID
	if !line.matches(line.Proof.Content) {
		return incident.Invalid("file", "entry %d differs from its proof. The file was changed: export it again", line.ID)
	}
	row := notary.RowProof{Subject: subjectAudit, ID: line.ID, Content: line.Proof.Content, Salt: line.Proof.Salt, Leaf: string(c.leaf.Leaf), Index: c.leaf.Index, Proof: c.leaf.Proof, Checkpoint: c.checkpoint.Note}
	if _, err := row.Check(c.verifier); err != nil {
		return fmt.Errorf("entry %d: %w", line.ID, err)
	}
	c.result.Proven++
	return nil
}

func describeCheckpoint(c notary.Checkpoint) string {
	return fmt.Sprintf("%s, %d leaves", c.At.UTC().Format("2006-01-02 15:04:05 UTC"), c.Size)
}

// open reads the header.
func (c *AuditChecker) open(line AuditLine) (err error) {
	if c.Verifier == "" {
		c.Verifier = line.Verifier
	}
	if c.verifier, err = notary.NewVerifier(c.Verifier); err != nil {
		return err
	}
	if c.checkpoint, err = c.verifier.Open(line.Checkpoint); err != nil {
		return err
	}
	c.result.Verifier, c.result.Checkpoint = c.Verifier, describeCheckpoint(c.checkpoint)
	for _, text := range c.Published {
		known, err := c.verifier.OpenAll(text)
		if err != nil {
			return err
		}
		for _, one := range known {
			if one.Size == c.checkpoint.Size && one.Root == c.checkpoint.Root {
				return nil
			}
		}
	}
	if len(c.Published) > 0 {
		return incident.Conflict("the checkpoint of the export (%s) is not one of those given. Use the published checkpoint with this size, or export again", describeCheckpoint(c.checkpoint))
	}
	return nil
}

// matches reports whether an entry is the content of a row, apart from the place in the chain. The name of the person is
// not part of a row.
func (e *AuditEntry) matches(content string) bool {
	detail, err := json.Marshal(auditDetail{e.Account, e.Reason})
	if err != nil {
		return false
	}
	var left bytes.Buffer
	for line := range strings.Lines(content) {
		if !strings.HasPrefix(line, "position ") && !strings.HasPrefix(line, "chain ") {
			left.WriteString(line)
		}
	}
	return bytes.Equal(left.Bytes(), auditContent(e.ID, dbTime(e.At), string(e.Person), e.Action, int64(e.Incident), e.Allowed, detail))
}
