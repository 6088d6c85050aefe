// Package notary makes the history of an instance verifiable. An append-only Merkle log stores commitments, and signed
// checkpoints of the log leave the machine.
//
// Anyone with an old checkpoint can prove that the current log contains the earlier one. A commitment is a keyed hash, so
// the log reveals no content. Erasing a text or rotating the keys does not change it.
//
// The package is pure: it has no database and no clock. Package store writes the log.
package notary
