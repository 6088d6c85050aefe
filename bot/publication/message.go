package publication

import (
	"os"
	"strconv"
	"strings"

	"tocsin/bot/notary"
	"tocsin/bot/syslog"
)

// Message returns a checkpoint as a syslog message in one line, because servers change
// line feeds. A line feed of the signed text is written as a backslash and an n.
func Message(c notary.Checkpoint) syslog.Message {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	return syslog.Message{At: c.At, Severity: syslog.Notice, Host: host, ID: "checkpoint",
		Data: [][2]string{{"size", strconv.FormatInt(c.Size, 10)}, {"root", c.Root.String()}}, Text: strings.ReplaceAll(c.Note, "\n", `\n`)}
}
