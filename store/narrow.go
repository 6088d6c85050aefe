package store

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// mostBarren is how many drains may panic one after the other, without one between them that works, before none is
// narrowed down any more.
const mostBarren = 16

// narrowing gives the rows of a drain that panicked to smaller drains, for as long as that helps: while others work.
// Where every drain panics it is no row's fault, and each would end as many jobs of one row, all of which fail.
type narrowing struct {
	s      *Store
	barren atomic.Int64 // drains of many rows that panicked since one worked
}

func (n *narrowing) worked() { n.barren.Store(0) }

// panicked narrows the drain down to the two halves of what it read, and what lies behind. A row that a fault of ours
// makes impossible to work is alone after some rounds, and everything beside it is worked meanwhile. A drain of one row
// is left to be tried again: nothing is given up, and its failures are reported. So is one when narrowing does not help.
func (n *narrowing) panicked(ctx context.Context, task Task) (narrowed bool, err error) {
	from, to := task.IDs[0], task.IDs[1]
	if from == to || n.barren.Add(1) > mostBarren {
		return false, nil
	}
	err = n.s.tx(ctx, func(t *tx) error {
		narrowed = false
		var ids []int64
		err := t.db.Raw("SELECT id FROM inbox WHERE id BETWEEN ? AND ? AND handled_at IS NULL ORDER BY id LIMIT ?", from, to, drainRows).Scan(&ids).Error
		if err != nil {
			return fmt.Errorf("read the rows of a drain: %w", err)
		}
		if len(ids) == 0 {
			return nil
		}
		last, half := ids[len(ids)-1], len(ids)/2
		part := func(from, to int64) job { return job{kind: kindDrain, queue: queueIntake, ids: []int64{from, to}} }
		var parts []job
		if half > 0 {
			parts = append(parts, part(ids[0], ids[half-1]))
		}
		parts = append(parts, part(ids[half], last))
		if len(ids) == drainRows {
			parts = append(parts, part(last+1, to))
		}
		if err := t.enqueue(parts...); err != nil {
			return err
		}
		narrowed = true
		return t.complete(task)
	})
	return narrowed && err == nil, err
}

// panicEvery is how often a panic from the same site is reported.
const panicEvery = time.Minute

// panics remembers when a panic from each site was reported last: what fails thousands of times is one fault.
type panics struct {
	clock func() time.Time
	mu    sync.Mutex
	told  map[site]time.Time
}

// site is the stack of a panic, without what differs from one to the next.
type site [64]uintptr

// here is the site of the panic that is being recovered.
func here() (at site) {
	runtime.Callers(2, at[:])
	return at
}

// due reports whether a panic is to be reported, and remembers that it was. Sites of longer ago are forgotten.
func (p *panics) due(at site) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock()
	for known, told := range p.told {
		if now.Sub(told) >= panicEvery {
			delete(p.told, known)
		}
	}
	if _, lately := p.told[at]; lately {
		return false
	}
	if p.told == nil {
		p.told = map[site]time.Time{}
	}
	p.told[at] = now
	return true
}
