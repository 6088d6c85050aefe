// Package command is the grammar of the commands that people type, in chat and on
// the command line.
//
// [Parse] reads one line. It returns a [Parsed] line with an [incident.Command] for
// the desk, a query, or the form that asks for what is missing:
//
//	parsed, err := command.Parse("contain at 02:31 disabled the key", c)
//
// [Specs] lists the words of the grammar with their help and examples. Parsing is
// pure: the [Context] supplies the author, the channel, the people and the time.
package command
