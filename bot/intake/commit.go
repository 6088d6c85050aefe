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
	maxBatchPerSource = 64       // of one source in one commit: nobody's commit takes long because of another's flood
	maxBatchBytes     = 8 << 20  // of bodies in one commit, so that a drain of it fits into memory
	maxQueuedBytes    = 64 << 20 // of bodies in memory
	commitTimeout     = 10 * time.Second
)

// Why there is no room for a delivery. Both pass; the sender tries again.
var (
	ErrFull    = errors.New("too many deliveries are waiting")
	ErrStopped = errors.New("the bot is stopping")
)

// pending is a delivery whose sender waits for the commit.
type pending struct {
	Delivery
	queue  *sourceQueue
	result chan error // has room for the result: the committer never waits for a sender
}

// sourceQueue is where the deliveries of one source wait.
type sourceQueue struct {
	max       int
	pending   []*pending
	heldBytes int64 // bytes of its bodies in memory, waiting or being read
}

// queue is what waits for the committer, by source.
type queue struct {
	mu        sync.Mutex
	notEmpty  sync.Cond
	sources   []*sourceQueue
	first     int   // whose turn it is to be the first
	freeBytes int64 // bytes that may still be held
	closed    bool
}

// newQueue makes a queue without lanes; all are added before it is used.
func newQueue(largest int64) *queue {
	q := &queue{freeBytes: max(maxQueuedBytes, 2*largest)}
	q.notEmpty.L = &q.mu
	return q
}

func (q *queue) addSource(waiting int) *sourceQueue {
	l := &sourceQueue{max: waiting}
	q.sources = append(q.sources, l)
	return l
}

// reserve sets n bytes aside for a body of a lane. A lane may hold as much as is
// left free for the others: one that floods gets half of the memory, a second
// one a quarter, and there is always something left for the next.
func (q *queue) reserve(l *sourceQueue, n int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l.heldBytes+n > q.freeBytes-n {
		return false
	}
	l.heldBytes += n
	q.freeBytes -= n
	return true
}

func (q *queue) release(l *sourceQueue, n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l.heldBytes -= n
	q.freeBytes += n
}

// put appends a delivery whose bytes are reserved.
func (q *queue) put(p *pending) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return ErrStopped
	case len(p.queue.pending) >= p.queue.max:
		return ErrFull
	}
	p.queue.pending = append(p.queue.pending, p)
	q.notEmpty.Signal()
	return nil
}

// close lets nothing more in; what waits is still taken.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.notEmpty.Signal()
}

// nextBatch waits for a delivery and takes it, with everything that waits and fits:
// one of each lane in turn, so that a full lane delays no other. It returns
// nothing when the queue is closed and empty.
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
			l := q.sources[(q.first+n)%len(q.sources)]
			if len(l.pending) == 0 || len(batch) == maxBatch || size >= maxBatchBytes {
				continue
			}
			p := l.pending[0]
			l.pending[0] = nil
			l.pending = l.pending[1:]
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
	for _, l := range q.sources {
		if len(l.pending) > 0 {
			return true
		}
	}
	return false
}

// commitLoop commits what waits, again and again. A delivery that is alone is
// committed at once; what arrives meanwhile shares the next commit. So the
// batches grow with the load and nobody waits for company.
func (e *Edge) commitLoop() {
	defer close(e.stopped)
	for batch := e.queue.nextBatch(); len(batch) > 0; batch = e.queue.nextBatch() {
		e.commitBatch(batch)
	}
}

// commitBatch stores a batch under a context of its own: a sender that hangs up
// takes nobody else's delivery with it.
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
		err = fmt.Errorf("accept %d deliveries: %w", len(ds), err)
		e.log.Error("deliveries not stored", "deliveries", len(ds), "error", err)
	}
	for _, p := range batch {
		e.queue.release(p.queue, int64(len(p.Body)))
		p.result <- err
	}
}
