package intake

// Senders is how many addresses a source remembers.
func (e *Edge) Senders(source string) int {
	s := e.sources[source].senders
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.recent) + len(s.previous)
}
