package intake

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	maxBatch       = 256      // deliveries in one commit
	maxBatchBytes  = 8 << 20  // of bodies in one commit, so that a drain of it fits into memory
	maxQueuedBytes = 64 << 20 // of bodies that wait
	commitWithin   = 10 * time.Second
)

// pending is a delivery whose sender waits for the commit.
type pending struct {
	Delivery
	result chan error // has room for the result: the committer never waits for a sender
}

// budget is how many bytes of bodies may still wait.
type budget struct {
	mu   sync.Mutex
	left int64
}

func (b *budget) take(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if int64(n) > b.left {
		return false
	}
	b.left -= int64(n)
	return true
}

func (b *budget) give(n int) {
	b.mu.Lock()
	b.left += int64(n)
	b.mu.Unlock()
}

// enqueue puts a delivery into the queue, or says why there is no room.
func (e *Edge) enqueue(p *pending) *answer {
	e.gate.RLock()
	defer e.gate.RUnlock()
	if e.closed {
		return &answer{Failed, http.StatusServiceUnavailable, "stopping", "the bot is stopping; try again"}
	}
	full := &answer{Full, http.StatusServiceUnavailable, "full", "too many deliveries are waiting; try again"}
	if !e.budget.take(len(p.Body)) {
		return full
	}
	select {
	case e.queue <- p:
		return nil
	default:
		e.budget.give(len(p.Body))
		return full
	}
}

// commitLoop commits what waits, again and again. A delivery that is alone is
// committed at once; what arrives meanwhile shares the next commit. So the
// batches grow with the load and nobody waits for company.
func (e *Edge) commitLoop() {
	defer close(e.done)
	for p := range e.queue {
		e.commitBatch(e.company(p))
	}
}

// company takes everything that waits behind the first delivery and fits.
func (e *Edge) company(first *pending) []*pending {
	batch, size := []*pending{first}, len(first.Body)
	for len(batch) < maxBatch && size < maxBatchBytes {
		select {
		case p, open := <-e.queue:
			if !open {
				return batch
			}
			batch = append(batch, p)
			size += len(p.Body)
		default:
			return batch
		}
	}
	return batch
}

// commitBatch stores a batch under a context of its own: a sender that hangs up
// takes nobody else's delivery with it.
func (e *Edge) commitBatch(batch []*pending) {
	ds := make([]Delivery, len(batch))
	for i, p := range batch {
		ds[i] = p.Delivery
	}
	ctx, cancel := context.WithTimeout(context.Background(), commitWithin)
	defer cancel()
	start := time.Now()
	err := e.store.Accept(ctx, ds)
	e.observer.Commit(len(ds), time.Since(start), err)
	if err != nil {
		err = fmt.Errorf("accept %d deliveries: %w", len(ds), err)
		e.log.Error("deliveries not stored", "deliveries", len(ds), "error", err)
	}
	for _, p := range batch {
		e.budget.give(len(p.Body))
		p.result <- err
	}
}
