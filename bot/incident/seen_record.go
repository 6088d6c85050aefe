package incident

import "time"

// SeenRecord is a submitted record as a person saw it.
type SeenRecord struct {
	At       time.Time      `json:"at"`
	Document SignedDocument `json:"document"`
}
