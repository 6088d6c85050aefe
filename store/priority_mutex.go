package store

import (
	"context"
	"slices"
	"sync"
)

// priorityMutex is a mutual exclusion lock with two queues, each first in, first out. Priority callers are served
// first. If callers wait in both queues, the lock alternates between them, so neither queue starves. The zero value is
// unlocked.
type priorityMutex struct {
	mu              sync.Mutex
	locked          bool
	lastPriority    bool // the lock was last granted to a priority caller
	priorityWaiters []chan struct{}
	waiters         []chan struct{}
}

// lock acquires m, waiting until ctx ends. It returns ctx.Err() if ctx ends first. Otherwise the caller must call
// unlock.
func (m *priorityMutex) lock(ctx context.Context, priority bool) error {
	m.mu.Lock()
	if !m.locked {
		m.locked, m.lastPriority = true, priority
		m.mu.Unlock()
		return nil
	}
	queue, granted := &m.waiters, make(chan struct{})
	if priority {
		queue = &m.priorityWaiters
	}
	*queue = append(*queue, granted)
	m.mu.Unlock()
	select {
	case <-granted:
		return nil
	case <-ctx.Done():
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if at := slices.Index(*queue, granted); at >= 0 {
		*queue = slices.Delete(*queue, at, at+1)
	} else { // the lock was granted when ctx ended
		m.handOff()
	}
	return ctx.Err()
}

func (m *priorityMutex) unlock() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.handOff()
}

// handOff grants the lock to the next waiter, or releases it. The caller holds mu.
func (m *priorityMutex) handOff() {
	m.lastPriority = len(m.priorityWaiters) > 0 && !(m.lastPriority && len(m.waiters) > 0)
	queue := &m.waiters
	if m.lastPriority {
		queue = &m.priorityWaiters
	}
	if m.locked = len(*queue) > 0; m.locked {
		close((*queue)[0])
		*queue = slices.Delete(*queue, 0, 1)
	}
}
