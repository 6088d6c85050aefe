package templates

import (
	"fmt"
	"strings"
	"time"
)

// CheckpointPurpose is the sentence that each published checkpoint has.
const CheckpointPurpose = "Keep it: `tocsin verify --checkpoint FILE` then proves that the history of Tocsin up to this time was not rewritten."

// CheckpointMail returns the mail with a checkpoint of the notary, and with its public key.
func CheckpointMail(at time.Time, size int64, note, key string) Message {
	text := fmt.Sprintf("Checkpoint of %s with %d entries.\n%s\n\n%s\nThe attachment is such a FILE, and so is a copy of this text. docs/security.md describes the check.\n\nPublic key: %s\n", formatUTC(at), size, strings.ReplaceAll(CheckpointPurpose, "`", ""), note, key)
	return Message{Subject: "Tocsin checkpoint of " + formatUTC(at), Text: text}
}
