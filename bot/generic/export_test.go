package generic

import "tocsin/bot/incident"

// Evaluate returns a function that applies the mapping to a parsed body.
func (s *Source) Evaluate(body []byte) (func() []incident.Signal, error) {
	doc, err := parse(body)
	return func() []incident.Signal { return s.signals(nil, doc) }, err
}
