package publication

import (
	"strconv"
	"strings"

	"tocsin/bot/notary"
	"tocsin/bot/syslog"
)

// Message returns a checkpoint as a syslog message in one line, because servers change
// line feeds. A line feed of the signed text is written as a backslash and an n.
func Message(c notary.Checkpoint) syslog.Message {
	return syslog.Message{At: c.At, Severity: syslog.Notice, Host: syslog.Host(), ID: "checkpoint",
		Data: [][2]string{{"size", strconv.FormatInt(c.Size, 10)}, {"root", c.Root.String()}}, Text: strings.ReplaceAll(c.Note, "\n", `\n`)}
}
