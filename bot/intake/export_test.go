package intake

// Senders returns the number of stored addresses of a source.
func (e *Edge) Senders(source string) int {
	s := e.sources[source].senders
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.recent) + len(s.previous)
}
