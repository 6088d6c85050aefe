// Package response is the only write path to incidents. Adapters pass commands
// and decoded deliveries to a [Desk]. The Desk resolves the identity of the
// caller, decides with [incident.Decide], and commits state, history and effects
// in one transaction of a [Store].
//
// [Desk.Do] carries out one command of a person:
//
//	desk, err := response.New(response.Options{Store: store, Redact: redactor, RenderPostmortem: render})
//	...
//	result, err := desk.Do(ctx, incident.Command{Verb: incident.VerbNote, For: id, By: who, Text: "looking at it"})
//
// [Desk.Ingest] routes the alerts of a batch of deliveries. [Desk.Perform] makes
// one attempt at an effect of an event. Texts are redacted before they reach a
// [Handler] or a caller at an external provider.
package response
