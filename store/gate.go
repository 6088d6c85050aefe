package store

import (
	"context"
	"slices"
	"sync"
)

// gate lets one at a time through. Some go ahead of the others; where both wait they alternate, so that nobody is held
// up for ever. Within each of the two the order is that of coming.
type gate struct {
	mu       sync.Mutex
	inside   bool
	wasAhead bool // who is inside
	ahead    []chan struct{}
	others   []chan struct{}
}

// enter waits to be let in. Whoever got no error leaves again.
func (g *gate) enter(ctx context.Context, ahead bool) error {
	g.mu.Lock()
	if !g.inside {
		g.inside, g.wasAhead = true, ahead
		g.mu.Unlock()
		return nil
	}
	waiting, called := &g.others, make(chan struct{})
	if ahead {
		waiting = &g.ahead
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
		g.callNext()
	}
	return ctx.Err()
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.callNext()
}

func (g *gate) callNext() {
	g.wasAhead = len(g.ahead) > 0 && !(g.wasAhead && len(g.others) > 0)
	waiting := &g.others
	if g.wasAhead {
		waiting = &g.ahead
	}
	if g.inside = len(*waiting) > 0; g.inside {
		close((*waiting)[0])
		*waiting = slices.Delete(*waiting, 0, 1)
	}
}
