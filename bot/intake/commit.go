package intake

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	maxBatch          = 256      // deliveries in one commit
	maxBatchPerSource = 64       // deliveries of one source in one commit, because a flood of one source must not delay the others
	maxBatchBytes     = 8 << 20  // bytes of bodies that end a batch, because a drain loads the batch into memory
	maxQueuedBytes    = 64 << 20 // bytes of bodies in memory, or two of the largest allowed bodies if that is more
	commitTimeout     = 10 * time.Second
)

// Errors of an [Edge] without capacity for a delivery. Both are temporary, and a
// retry is safe.
var (
	ErrFull    = errors.New("too many deliveries are waiting")
	ErrStopped = errors.New("the server is stopping")
)

// pending is a delivery whose request waits for the commit.
type pending struct {
	Delivery
	queue  *sourceQueue
	result chan error // buffered, because the commit loop never waits for a request
}

// sourceQueue holds the uncommitted deliveries of one source.
type sourceQueue struct {
	max       int // length of pending
	pending   []*pending
	heldBytes int64 // bytes of the deliveries of the source, until they are committed
}

// queue holds the uncommitted deliveries of all sources. It is safe for
// concurrent use once every source is added.
type queue struct {
	mu        sync.Mutex
	notEmpty  sync.Cond
	sources   []*sourceQueue
	first     int   // number of rounds so far, modulo len(sources) the source that is served first
	freeBytes int64 // not held by any source
	closed    bool
}

// newQueue returns a queue without sources. The argument is the largest allowed
// body in bytes.
func newQueue(maxBody int64) *queue {
	q := &queue{freeBytes: max(maxQueuedBytes, 2*maxBody)}
	q.notEmpty.L = &q.mu
	return q
}

// addSource adds a source that may queue up to maxPending deliveries. It must
// not be called once the queue is in use.
func (q *queue) addSource(maxPending int) *sourceQueue {
	s := &sourceQueue{max: maxPending}
	q.sources = append(q.sources, s)
	return s
}

// put appends a delivery and counts its bytes. It returns [ErrStopped] or
// [ErrFull] if it cannot.
//
// A source may hold as many bytes as remain free for the others. One flooding
// source therefore gets half of the memory and a second one a quarter, and memory
// is always left for the next source.
func (q *queue) put(p *pending) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := int64(len(p.Body))
	switch {
	case q.closed:
		return ErrStopped
	case len(p.queue.pending) >= p.queue.max || p.queue.heldBytes+n > q.freeBytes-n:
		return ErrFull
	}
	p.queue.heldBytes += n
	q.freeBytes -= n
	p.queue.pending = append(p.queue.pending, p)
	q.notEmpty.Signal()
	return nil
}

// release stops counting the bytes of a delivery.
func (q *queue) release(p *pending) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p.queue.heldBytes -= int64(len(p.Body))
	q.freeBytes += int64(len(p.Body))
}

// close makes put return [ErrStopped]. nextBatch still returns the queued
// deliveries.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.notEmpty.Signal()
}

// nextBatch waits for a delivery and removes a batch from the queue. It takes one
// delivery of each source in turn, because a full source must not delay the
// others. It returns nil when the queue is closed and empty.
func (q *queue) nextBatch() []*pending {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed && !q.hasPending() {
		q.notEmpty.Wait()
	}
	var batch []*pending
	size := 0
	for range maxBatchPerSource {
		before := len(batch)
		for n := range q.sources {
			s := q.sources[(q.first+n)%len(q.sources)]
			if len(s.pending) == 0 || len(batch) == maxBatch || size >= maxBatchBytes {
				continue
			}
			p := s.pending[0]
			s.pending[0] = nil
			s.pending = s.pending[1:]
			batch = append(batch, p)
			size += len(p.Body)
		}
		if len(batch) == before {
			break
		}
		q.first++
	}
	return batch
}

func (q *queue) hasPending() bool {
	for _, s := range q.sources {
		if len(s.pending) > 0 {
			return true
		}
	}
	return false
}

// commitLoop commits batches until the queue is closed and empty. A lone
// delivery is committed at once. Deliveries that arrive during a commit share the
// next one. Batches therefore grow with the load, and no delivery waits for
// others.
func (e *Edge) commitLoop() {
	defer close(e.stopped)
	for batch := e.queue.nextBatch(); len(batch) > 0; batch = e.queue.nextBatch() {
		e.commitBatch(batch)
	}
}

// commitBatch stores a batch and sends the result to every waiting request. Its
// context is independent of the requests, because a sender that disconnects must
// not abort the commit of other deliveries.
func (e *Edge) commitBatch(batch []*pending) {
	ds := make([]Delivery, len(batch))
	for i, p := range batch {
		ds[i] = p.Delivery
	}
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	start := time.Now()
	err := e.store.Accept(ctx, ds)
	e.observer.Commit(len(ds), time.Since(start), err)
	if err != nil {
		err = fmt.Errorf("store %d deliveries: %w", len(ds), err)
		e.log.Error("store deliveries failed", "deliveries", len(ds), "err", err)
	}
	for _, p := range batch {
		e.queue.release(p)
		p.result <- err
	}
}
