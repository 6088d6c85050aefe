package stream

import (
	"errors"
	"fmt"
	"time"
)

// magic is the beginning of a stream, with the version of the format.
const magic = "tocsin stream 1\n"

// Kinds of frames.
const (
	frameHeader   = 'H'
	frameTable    = 'T'
	frameRow      = 'R'
	frameManifest = 'M'
	frameEnd      = 'Z'
)

// Limits of a stream. A delivery has at most 16 MiB, and a row has one delivery at most.
const (
	maxRow      = 128 << 20
	maxJSON     = 16 << 20 // the manifest has the note of a checkpoint, which lists all erasures
	maxTables   = 1000
	maxColumns  = 1000
	maxWindow   = 8 << 20 // memory that a compressed block may refer to
	sumSize     = 32
	maxMAC      = 64
	bufferBytes = 256 << 10
)

// Header is the beginning of a stream.
type Header struct {
	// Schema is the version of the schema.
	Schema int64 `json:"schema"`
	// Origin names the instance, like the origin of a checkpoint.
	Origin string `json:"origin"`
	// Engine is the database that the rows come from: "sqlite" or "postgres".
	Engine string `json:"engine"`
	// At is when the export began, by the clock of the instance.
	At time.Time `json:"at"`
}

// Type is the type of a column.
type Type string

// Types of columns.
const (
	Int   Type = "int"
	Bool  Type = "bool"
	Text  Type = "text"
	Bytes Type = "bytes"
	Time  Type = "time"
)

// Column is a column of a table.
type Column struct {
	Name string `json:"name"`
	Type Type   `json:"type"`
}

// Table is the beginning of a table.
type Table struct {
	Name    string   `json:"table"`
	Columns []Column `json:"columns"` // in the order of their names
}

// TableSum is what a manifest has about one table.
type TableSum struct {
	Name   string `json:"name"`
	Rows   int64  `json:"rows"`
	SHA256 string `json:"sha256"`
	// NextID is the id that the database would have given to the next row, or 0 if the table's ids are not counted. It is
	// not part of the sum, because databases skip ids in different ways.
	NextID int64 `json:"next_id,omitempty"`
}

// Keys are the ids of the keys of a keyset that the rows need, as 8 hexadecimal digits.
type Keys struct {
	Seal []string `json:"seal"` // of ciphertexts
	MAC  []string `json:"mac"`  // of heads of timelines
}

// Manifest is the summary of a stream, at its end.
type Manifest struct {
	Header Header     `json:"-"`
	Tables []TableSum `json:"tables"`
	Keys   Keys       `json:"keys"`
	// Leaves is the size of the notary's log, and Checkpoint its newest signed checkpoint, or "" without one.
	Leaves     int64  `json:"leaves"`
	Checkpoint string `json:"checkpoint,omitempty"`
	// LastIncident is the number of the newest incident.
	LastIncident int64 `json:"last_incident"`
	// SHA256 is the hash of the whole stream, which identifies it.
	SHA256 string `json:"-"`
	// MAC is the keyed hash of SHA256.
	MAC []byte `json:"-"`
}

// Rows returns the number of rows of a table.
func (m Manifest) Rows(table string) int64 {
	for _, t := range m.Tables {
		if t.Name == table {
			return t.Rows
		}
	}
	return 0
}

// ErrDamaged means that a stream ends early or was altered.
var ErrDamaged = errors.New("the stream of rows is damaged: it ends early or was altered. Use another copy")

// VersionError means that the stream has a newer format.
type VersionError struct{ Version string }

func (e *VersionError) Error() string {
	return fmt.Sprintf("the stream has format version %.20q, and this program reads version 1. Use a newer version of Tocsin", e.Version)
}
