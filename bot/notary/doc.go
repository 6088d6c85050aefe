// Package notary makes the history of an instance verifiable: an append-only Merkle log of commitments, and signed
// checkpoints of the log that leave the machine.
//
// Whoever has an old checkpoint can prove that the log of today contains the log of then. A commitment is a keyed hash, so
// the log reveals no content, and erasing a text or rotating the keys does not change it.
//
// The package is pure: it has no database and no clock. The package store keeps the log.
package notary
