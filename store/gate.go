package store

import (
	"context"
	"slices"
	"sync"
)

// gate lets one at a time through, in the order in which they came. Who goes ahead of the others waits for nobody but
// the one who is inside.
type gate struct {
	mu     sync.Mutex
	inside bool
	ahead  []chan struct{}
	others []chan struct{}
}

// enter waits to be let in. Whoever got no error leaves again.
func (g *gate) enter(ctx context.Context, ahead bool) error {
	g.mu.Lock()
	if !g.inside {
		g.inside = true
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
	for _, waiting := range []*[]chan struct{}{&g.ahead, &g.others} {
		if len(*waiting) > 0 {
			close((*waiting)[0])
			*waiting = slices.Delete(*waiting, 0, 1)
			return
		}
	}
	g.inside = false
}
