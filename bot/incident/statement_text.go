package incident

// Text returns the bytes whose SHA-256 is the challenge: the domain and the statement as RFC 8785 JSON.
func (s ActStatement) Text() []byte { return append([]byte(statementDomain), canonical(s)...) }
