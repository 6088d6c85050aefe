// Package syslog writes messages of RFC 5424, as lines or to a syslog server.
//
//	s, err := syslog.Open("tcp://logs.example.com:601")
//	err = s.Send(ctx, syslog.Message{At: now, Severity: syslog.Notice, ID: "checkpoint", Text: note})
//
// The facility of every message is 13, log audit. A [Server] is safe for concurrent use.
package syslog
