package store

import (
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"

	"tocsin/bot/incident"
)

// writerCache holds what the last transactions of a single writer read and did not change: the directory and incidents.
// Most transactions of an incident's effects change neither. Only a transaction of the single writer of SQLite uses it:
// it sees every earlier commit, and no other process can write the file. Callers must not modify the values.
type writerCache struct {
	mu        sync.Mutex
	directory *incident.Directory
	incidents *lru.Cache[incident.ID, incident.Incident]
}

func newWriterCache() *writerCache {
	incidents, _ := lru.New[incident.ID, incident.Incident](decodedRows) // fails only for a size below 1
	return &writerCache{incidents: incidents}
}

// cachesReads reports whether the transaction may use the cache: it is the single writer and has not written an incident
// or the directory. After that, it could cache what it then rolls back.
func (t domainTx) cachesReads() bool { return t.lockClause == "" && !t.tx.wrote }

// Directory implements [response.Tx].
func (t domainTx) Directory() (incident.Directory, error) {
	if !t.cachesReads() {
		return t.reader.Directory()
	}
	c := t.s.writer
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.directory == nil {
		d, err := t.reader.Directory()
		if err != nil {
			return d, err
		}
		c.directory = &d
	}
	return *c.directory, nil
}

// Incident implements [response.Tx].
func (t domainTx) Incident(id incident.ID) (incident.Incident, error) {
	if !t.cachesReads() {
		return t.reader.Incident(id)
	}
	if inc, ok := t.s.writer.incidents.Get(id); ok {
		return inc, nil
	}
	inc, err := t.reader.Incident(id)
	if err == nil {
		t.s.writer.incidents.Add(id, inc)
	}
	return inc, err
}

// wroteIncident removes an incident from the cache before it changes.
func (t domainTx) wroteIncident(id incident.ID) {
	t.tx.wrote = true
	t.s.writer.incidents.Remove(id)
}

// wroteDirectory removes the directory from the cache before it changes.
func (t domainTx) wroteDirectory() {
	t.tx.wrote = true
	t.s.writer.mu.Lock()
	defer t.s.writer.mu.Unlock()
	t.s.writer.directory = nil
}
