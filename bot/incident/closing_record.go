package incident

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"
)

// Audience is who gets to read the postmortem.
type Audience string

// The audiences of a record, and of an event.
const (
	AudienceAll           Audience = "all"        // the whole company
	AudienceResponders    Audience = "responders" // who took part, and the departments that signed
	AudienceLegalSecurity Audience = "legal_and_security"
)

// ClosingRecord is the closing record: what four departments put their names to.
type ClosingRecord struct {
	Summary      string   `json:"summary"`
	Impact       string   `json:"impact"`
	RootCause    string   `json:"root_cause"`
	Contributing string   `json:"contributing_factors"`
	Response     string   `json:"what_was_done"`
	DetectedBy   string   `json:"what_detected_it"`
	WillDetect   string   `json:"what_will_detect_it"`
	WillPrevent  string   `json:"what_will_prevent_it"`
	Audience     Audience `json:"audience"`
	Language     string   `json:"language"` // BCP 47
}

// RecordField names one field of the record.
type RecordField struct {
	Name     string // as on the wire and in modals: "root_cause"
	Label    string // as people read it
	Required bool   // has to be filled in before submission
}

// RecordFields lists the fields in the order they are written.
func RecordFields() []RecordField {
	return []RecordField{
		{"summary", "Summary", true},
		{"impact", "Impact", true},
		{"root_cause", "Root cause", true},
		{"contributing_factors", "Contributing factors", false},
		{"what_was_done", "What was done", true},
		{"what_detected_it", "What detected it", true},
		{"what_will_detect_it", "What will detect it next time", true},
		{"what_will_prevent_it", "What will prevent it", true},
		{"audience", "Audience", true},
		{"language", "Language", true},
	}
}

// Get returns a field by name.
func (r ClosingRecord) Get(name string) string {
	if p := r.field(name); p != nil {
		return *p
	}
	if name == "audience" {
		return string(r.Audience)
	}
	return ""
}

// set writes a field by name; false for an unknown name.
func (r *ClosingRecord) set(name, value string) bool {
	if p := r.field(name); p != nil {
		*p = value
		return true
	}
	if name == "audience" {
		r.Audience = Audience(value)
		return true
	}
	return false
}

func (r *ClosingRecord) field(name string) *string {
	switch name {
	case "summary":
		return &r.Summary
	case "impact":
		return &r.Impact
	case "root_cause":
		return &r.RootCause
	case "contributing_factors":
		return &r.Contributing
	case "what_was_done":
		return &r.Response
	case "what_detected_it":
		return &r.DetectedBy
	case "what_will_detect_it":
		return &r.WillDetect
	case "what_will_prevent_it":
		return &r.WillPrevent
	case "language":
		return &r.Language
	}
	return nil
}

// The document that is signed, and the version of its shape.
const (
	DocumentKind   = "postmortem"
	DocumentSchema = "tocsin.record/1"
)

// SignedDocument is exactly what the digest covers. Its RFC 8785 JSON stands
// in the postmortem, so that anybody can compute the digest again.
type SignedDocument struct {
	Kind     string        `json:"kind"`
	Schema   string        `json:"schema"`
	Incident string        `json:"incident"`
	Revision int           `json:"revision"`
	Record   ClosingRecord `json:"record"`
	Facts    Facts         `json:"facts"`
	Severity Severity      `json:"severity"`
	Head     string        `json:"timeline_head"`   // chain head at submission
	Events   int           `json:"timeline_events"` // number of events under that head
	Evidence []string      `json:"evidence_sha256"` // sorted
}

// Canonical returns the RFC 8785 JSON of the document.
func (d SignedDocument) Canonical() []byte { return canonical(d) }

// Digest is "sha256:" and the hex SHA-256 of the canonical document.
func (d SignedDocument) Digest() string {
	sum := sha256.Sum256(d.Canonical())
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Submission is the record as it was frozen for signing.
type Submission struct {
	By       PersonID       `json:"by"`
	At       time.Time      `json:"at"`
	Digest   string         `json:"digest"`
	Document SignedDocument `json:"document"`
}

// document builds what would be signed if the record were submitted now.
func (i Incident) document(revision int) SignedDocument {
	hashes := []string{}
	for _, e := range i.Evidence {
		if e.SHA256 != "" {
			hashes = append(hashes, e.SHA256)
		}
	}
	slices.Sort(hashes)
	return SignedDocument{Kind: DocumentKind, Schema: DocumentSchema, Incident: i.ID.String(), Revision: revision,
		Record: i.Record, Facts: i.Facts, Severity: i.Severity, Head: i.Head.Hash, Events: i.Head.Seq, Evidence: hashes}
}
