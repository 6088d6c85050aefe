// Package response is the only write path: every door makes a command or a
// signal, the Desk resolves who is speaking, asks incident.Decide, and commits
// state, history and follow-up work in one transaction. perform.go carries the
// follow-up work out; effects.go says which event calls for which.
package response
