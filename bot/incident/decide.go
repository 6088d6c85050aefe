package incident

// Decide judges one command: it returns the events the command leads to, none
// where what it asks for is already true, or an *Error that says why not and
// what is possible now. inc is the incident the command is for (the zero
// Incident for VerbOpen). It is pure.
func Decide(cmd Command, inc Incident, env Env) ([]Event, error) {
	return nil, nil
}

// DecideMerge judges VerbMerge, the one command that sees two incidents: the
// events for the source, which ends, and for the target, which goes on.
func DecideMerge(cmd Command, source, target Incident, env Env) (ofSource, ofTarget []Event, err error) {
	return nil, nil, nil
}

// Apply folds one sealed event into the incident. It never fails: what Decide
// let pass can be applied.
func Apply(inc Incident, e Event) Incident { return inc }

// Fold replays a timeline from nothing.
func Fold(id ID, events []Event) Incident {
	inc := Incident{ID: id, Head: Genesis(id)}
	for _, e := range events {
		inc = Apply(inc, e)
	}
	return inc
}
