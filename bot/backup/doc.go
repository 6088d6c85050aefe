// Package backup stores encrypted copies of the database, and proves that they restore.
//
// A [Destination] is a folder or a bucket of S3. A backup is one object with the stream of
// [tocsin/store.Store.Export], encrypted with age to the recipients of the [Config]. Tocsin
// writes it, but has no identity that reads it. [Runner] writes the file to disk, and sends
// this file to every destination. [Open] decrypts it:
//
//	stream, err := backup.Open(ctx, "/backup/daily/20261130T000000Z-….tocsin.age", identities)
//
// The key of an object names its class, the time of its snapshot, the instance and the
// SHA-256 of its content. Its content can therefore be checked without an identity, and
// the destinations are the catalogue: no list of backups exists elsewhere. Objects never
// change. Only a folder deletes objects, and a bucket has rules for this.
//
// `tocsin backup verify` runs apart from the bot, as a user who has an identity. It restores
// a random copy each day and writes a [Report], which the bot reads.
package backup
