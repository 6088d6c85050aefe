package store

import (
	"context"
	"slices"
	"sync"
)

// priorityMutex lets one at a time through. Some go ahead of the others; where both wait they alternate, so that nobody is held
// up for ever. Within each of the two the order is that of coming.
type priorityMutex struct {
	mu              sync.Mutex
	locked          bool
	lastPriority    bool // who is inside
	priorityWaiters []chan struct{}
	waiters         []chan struct{}
}

// lock waits to be let in. Whoever got no error leaves again.
func (g *priorityMutex) lock(ctx context.Context, ahead bool) error {
	g.mu.Lock()
	if !g.locked {
		g.locked, g.lastPriority = true, ahead
		g.mu.Unlock()
		return nil
	}
	waiting, called := &g.waiters, make(chan struct{})
	if ahead {
		waiting = &g.priorityWaiters
	}
	*waiting = append(*waiting, called)
	g.mu.Unlock()
	select {
	case <-called:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if at := slices.Index(*waiting, called); at >= 0 {
		*waiting = slices.Delete(*waiting, at, at+1)
	} else { // called in while giving up
		g.handOff()
	}
	return ctx.Err()
}

func (g *priorityMutex) unlock() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.handOff()
}

func (g *priorityMutex) handOff() {
	g.lastPriority = len(g.priorityWaiters) > 0 && !(g.lastPriority && len(g.waiters) > 0)
	waiting := &g.waiters
	if g.lastPriority {
		waiting = &g.priorityWaiters
	}
	if g.locked = len(*waiting) > 0; g.locked {
		close((*waiting)[0])
		*waiting = slices.Delete(*waiting, 0, 1)
	}
}
