package incident

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"
)

// Audience is the group of people who may read a postmortem or an event.
type Audience string

// The audiences.
const (
	AudienceAll           Audience = "all"        // the whole company
	AudienceResponders    Audience = "responders" // participants and the departments that signed
	AudienceLegalSecurity Audience = "legal_and_security"
)

// ClosingRecord is the text that the four required departments sign.
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

// RecordField describes one field of the closing record.
type RecordField struct {
	Name     string // in JSON and forms: "root_cause"
	Label    string // for people
	Required bool   // must be filled in before submission
}

// RecordFields returns all fields in display order.
func RecordFields() []RecordField {
	return []RecordField{
		{"summary", "Summary", true},
		{"impact", "Impact", true},
		{"root_cause", "Root cause", true},
		{"contributing_factors", "Contributing factors", false},
		{"what_was_done", "Response", true},
		{"what_detected_it", "Detection", true},
		{"what_will_detect_it", "Future detection", true},
		{"what_will_prevent_it", "Prevention", true},
		{"audience", "Audience", true},
		{"language", "Language", true},
	}
}

// Get returns the field with a name, or "" if there is none.
func (r ClosingRecord) Get(name string) string {
	if p := r.field(name); p != nil {
		return *p
	}
	if name == "audience" {
		return string(r.Audience)
	}
	return ""
}

// set sets the field with a name. It returns false if there is none.
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

// Kind and schema version of the signed document.
const (
	DocumentKind   = "postmortem"
	DocumentSchema = "tocsin.record/1"
)

// SignedDocument is the content that the digest covers. The postmortem contains its
// RFC 8785 JSON, and every reader can recompute the digest.
type SignedDocument struct {
	Kind     string        `json:"kind"`
	Schema   string        `json:"schema"`
	Incident string        `json:"incident"`
	Revision int           `json:"revision"`
	Record   ClosingRecord `json:"record"`
	Facts    Facts         `json:"facts"`
	Severity Severity      `json:"severity"`
	Head     string        `json:"timeline_head"`   // hash of the chain at submission
	Events   int           `json:"timeline_events"` // number of events in the chain at submission
	Evidence []string      `json:"evidence_sha256"` // sorted
	// Unfinished lists the steps that were open at the resolution, with the reason.
	Unfinished *Unfinished `json:"unfinished_steps,omitempty"`
}

// Canonical returns the RFC 8785 JSON of the document.
func (d SignedDocument) Canonical() []byte { return canonical(d) }

// Digest returns "sha256:" and the hexadecimal SHA-256 of [SignedDocument.Canonical].
func (d SignedDocument) Digest() string {
	sum := sha256.Sum256(d.Canonical())
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Submission is a closing record that is frozen for signing.
type Submission struct {
	By       PersonID       `json:"by"`
	At       time.Time      `json:"at"`
	Digest   string         `json:"digest"`
	Document SignedDocument `json:"document"`
}

// SubmissionOf returns the submission that covers a number of events, from the timeline, or
// nil.
func SubmissionOf(id ID, timeline []Event, events int) *Submission {
	n := slices.IndexFunc(timeline, func(e Event) bool {
		return (e.Kind == EventSubmitted || e.Kind == EventRevised) && e.number("events") == events
	})
	if n < 0 {
		return nil
	}
	return Fold(id, timeline[:n+1]).Submission
}

// document returns the document to sign if the record were submitted now.
func (i Incident) document(revision int) SignedDocument {
	hashes := []string{}
	for _, e := range i.Evidence {
		if e.SHA256 != "" {
			hashes = append(hashes, e.SHA256)
		}
	}
	slices.Sort(hashes)
	return SignedDocument{Kind: DocumentKind, Schema: DocumentSchema, Incident: i.ID.String(), Revision: revision,
		Record: i.Record, Facts: i.Facts, Severity: i.Severity, Head: i.Head.Hash, Events: i.Head.Seq, Evidence: hashes, Unfinished: i.Unfinished}
}

// Unchanged reports whether the record and what it covers are as they were submitted.
func (i Incident) Unchanged() bool {
	if i.Submission == nil {
		return false
	}
	was := i.Submission.Document
	now := i.document(was.Revision)
	now.Head, now.Events = was.Head, was.Events // which every event changes
	return now.Digest() == was.Digest()
}
