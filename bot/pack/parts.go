package pack

import (
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/notary"
)

// Parts are the contents of a pack.
type Parts struct {
	Incident     incident.ID
	At           time.Time // of the export
	RelyingParty incident.RelyingParty
	// IsWithheld leaves out the texts that only legal and security may read. Their commitments remain.
	IsWithheld bool
	Timeline   []incident.Event // complete
	People     map[incident.PersonID]string
	Documents  []Document
	Proofs     Proofs
}

// Document is one revision of the postmortem.
type Document struct {
	Revision int
	Files    []incident.File
}

// Query selects the proofs of a pack.
type Query struct {
	Incident incident.ID
	Seqs     []int   // events whose first leaf is necessary
	Cuts     []int   // withheld events: the last leaf before each of them is necessary
	Keys     []int64 // events of the log of keys to open
	// Documents opens the rows of the documents, which have the SHA-256 of the whole documents.
	Documents bool
}

// Proofs are the proofs of the notary about an incident.
type Proofs struct {
	Verifier   string // public key of the notary, see [notary.Verifier]
	Checkpoint string // the newest signed note
	Earlier    []Earlier
	Leaves     []notary.Inclusion
	Salt       []byte // of the commitments to the heads of the timeline
	Keys       []Row  // of the log of keys
	Documents  []DocumentRow
}

// Earlier is a published checkpoint, with the proof that the log of the newest one continues its log.
type Earlier struct {
	Size  int64
	Note  string
	Proof []notary.Hash
}

// Row is a row of the database as the notary saw it: its content and the salt of the commitment to it.
type Row struct {
	ID      int64
	Content string
	Salt    []byte
}

// DocumentRow is the row of a document, with the stored bytes of the document.
type DocumentRow struct {
	Row
	Revision int
	Stored   []byte
}

// meta is the file pack.json.
type meta struct {
	Format       string                       `json:"format"`
	Incident     string                       `json:"incident"`
	ExportedAt   time.Time                    `json:"exported_at"`
	IsWithheld   bool                         `json:"withheld"`
	RelyingParty string                       `json:"rp_id,omitempty"`
	Origin       string                       `json:"origin,omitempty"`
	People       map[incident.PersonID]string `json:"people"`
}

// format names the version of the file layout.
const format = "tocsin-evidence-pack/1"

// The names of files.
const (
	metaName       = "pack.json"
	readmeName     = "README.txt"
	timelineName   = "timeline.jsonl"
	chainName      = "chain.jsonl"
	evidenceName   = "evidence.tsv"
	noteName       = "notary/checkpoint.txt"
	noteTextName   = "notary/checkpoint-text.bin"
	noteSigName    = "notary/checkpoint-signature.bin"
	notaryKeyName  = "notary/key.txt"
	notaryPEMName  = "notary/public-key.pem"
	headSaltName   = "notary/incident.salt"
	leavesFolder   = "notary/leaves/"
	earlierFolder  = "notary/earlier/"
	keysFolder     = "keys/"
	recordsFolder  = "records/"
	signFolder     = "signatures/"
	documentFolder = "documents/"
)

// withheldEvent is the line of an event that only legal and security may know.
type withheldEvent struct {
	Withheld int    `json:"withheld"` // its number
	Hash     string `json:"hash"`
}
