// Package store persists everything that must survive a crash. It writes rows through GORM and jobs through River in
// one transaction, to an embedded SQLite file or to PostgreSQL.
//
// [Open] returns a [Store] that reads, writes and enqueues jobs. [Store.Run] starts working the queues. A unit of work
// is one short transaction with the rows, the timeline events and the follow-up jobs. It must not use the network.
//
// Jobs carry row ids only. Text written by people and deliveries from sources are encrypted with the [Keyset], which is
// a file outside the database. Every ciphertext is bound to its table, row and column.
//
//	s, err := store.Open(ctx, store.Config{URL: "sqlite:tocsin.db"}, store.Deps{Keyset: keys})
//	if err != nil {
//		return err
//	}
//	defer s.Close()
//	err = s.Run(ctx, store.JobFuncs{Drain: drain, Perform: perform})
//
// # SQLite and PostgreSQL
//
// On SQLite one process owns the file and holds a flock on FILE.lock. One writer connection serves GORM and River, and
// a read-only pool serves reads.
//
// On PostgreSQL one pgxpool serves both. River inserts on the connection with GORM's transaction, so its NOTIFY is sent
// at commit.
//
// All differences are behind the unexported backend interface, and the same tests run on both databases.
//
// # When a job runs again
//
// A handler may start more than once: after a failure, after a crash, or after a shutdown that interrupted it.
// [Task.Attempt] counts every start. If it is greater than 1, the handler must look for its earlier effect before it
// acts. A result, its ledger row and the completion of the job are committed together, and only while this attempt
// still holds the job.
//
// A running job that its worker lost is requeued as a new job with a new id, because River completes jobs by id. The
// sweep of effects enqueues a job for each due effect that has none. Only river.go contains SQL on River's tables.
package store
