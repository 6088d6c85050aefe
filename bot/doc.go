// Package bot puts the program together: Config says what to connect to, New
// builds it, Run works until its context ends, Close lets go.
//
// Nothing is decided here. setup.go is a list of who gets whom; the lifecycle
// is in package incident, the write path in package response, and each outside
// system in a package of its own.
package bot
