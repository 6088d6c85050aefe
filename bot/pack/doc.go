// Package pack writes and verifies evidence packs: one file with everything that proves how an
// incident was handled and who signed its closing record.
//
// [Build] writes a pack from its [Parts]. [Verify] checks a pack on another machine, without the
// database, the keyset and the network:
//
//	report := pack.Verify(data, pack.Options{Key: notaryKey})
//	if !report.Verified { … }
//
// A pack is a ZIP archive without compression. Its bytes follow from its files, and its manifest has
// the SHA-256 of each file, so every changed byte is found. docs/evidence-pack.md describes the files.
// The package is pure: it has no clock and reads no files.
package pack
