// Package bot assembles the program. [Load] reads a [Config], [New] builds a
// [Bot] from it, [Bot.Run] serves until its context ends, and [Bot.Close]
// releases the database and the listeners.
//
// This package makes no decisions about incidents. Package incident implements
// the lifecycle, package response the write path, package chat the messages,
// and each external system has an adapter package. setup.go connects them.
package bot
