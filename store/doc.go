// Package store keeps everything that must survive a SIGKILL: rows through GORM, jobs through River, both in the
// same transaction, on an embedded SQLite file or on PostgreSQL.
//
// Open gives a Store that reads, writes and enqueues. Run lets it work the queues. A unit of work is always one
// short transaction that holds the rows, the history and the follow-up jobs; nothing inside it may touch the
// network. A job carries ids only: what a person wrote or a sender sent is sealed with the Keyset, which lives in a
// file outside the database, and every ciphertext is bound to its table, row and column.
//
// # What the two databases share and where they differ
//
// On SQLite one process owns the file (a flock beside it); one writer connection serves GORM and River, and a
// read-only pool serves reads. On PostgreSQL one pgxpool serves both, and River inserts on the very connection that
// carries GORM's transaction, so that its NOTIFY fires at commit. The unexported backend interface is the whole
// difference; one conformance suite runs over both.
//
// # When a job runs again
//
// A handler may be started more than once: after a failure, after a crash, after a shutdown that came too soon.
// Task.Attempt counts every start, so a handler that sees more than 1 looks for its earlier effect before it acts.
// A result, its ledger row and the completion of the job are committed together, and only while this attempt still
// holds the job.
package store
