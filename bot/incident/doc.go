// Package incident is the domain: what an incident is, what may happen to it
// and who may make it happen.
//
// A Command is judged by Decide, which returns the events it leads to or the
// reason why not; Apply folds events into an Incident. Both are pure: time,
// ids, salts and the directory of people are parameters, and nothing here
// knows a database, a chat or a clock. lifecycle.go shows the whole life of
// an incident in one file.
package incident
