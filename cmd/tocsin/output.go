package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"tocsin/bot/terminal"
)

// Stored text and file names come from outside. Every command writes through the
// functions of this file, so that such text neither controls a terminal nor forges
// a row. A test finds commands that write in another way.

// escapeOutput makes cmd and its subcommands escape harmful characters in all
// output. It returns a function that writes the rest of the output.
func escapeOutput(cmd *cobra.Command, out, errs io.Writer) (flush func()) {
	o, e := terminal.NewWriter(out), terminal.NewWriter(errs)
	cmd.SetOut(o)
	cmd.SetErr(e)
	return func() {
		_ = o.Flush() // the reader of the output is gone
		_ = e.Flush()
	}
}

// writeLine writes one line. Line feeds and harmful characters in it are escaped.
func writeLine(w io.Writer, format string, args ...any) error {
	_, err := io.WriteString(w, terminal.Line(fmt.Sprintf(format, args...))+"\n")
	return err
}

// writeText writes text with line feeds, such as help. Its other harmful characters
// are escaped.
func writeText(w io.Writer, text string) error {
	_, err := io.WriteString(w, terminal.Text(text))
	return err
}

// writeJSON writes v as one line of JSON. Harmful characters are escaped as \uXXXX,
// which decodes to equal values.
func writeJSON(w io.Writer, v any) error {
	var doc bytes.Buffer
	encoder := json.NewEncoder(&doc)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(terminal.JSON(doc.Bytes()))
	return err
}

// table aligns rows in columns. Call flush after the last row.
type table struct{ t *tabwriter.Writer }

func newTable(w io.Writer) table { return table{tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)} }

// row writes a row. Line feeds, tabs and harmful characters in a cell are escaped.
func (t table) row(cells ...any) {
	for n, cell := range cells {
		if n > 0 {
			_, _ = io.WriteString(t.t, "\t") // flush returns the error
		}
		_, _ = io.WriteString(t.t, terminal.Line(fmt.Sprint(cell)))
	}
	_, _ = io.WriteString(t.t, "\n")
}

func (t table) flush() error { return t.t.Flush() }

// terminalFile returns the terminal that w writes to, or nil. Its output is not
// escaped.
func terminalFile(w io.Writer) *os.File {
	if escaped, ok := w.(*terminal.Writer); ok {
		w = escaped.Unwrap()
	}
	f, ok := w.(*os.File)
	if !ok {
		return nil
	}
	raw, err := f.SyscallConn() // Fd would make a pipe block
	if err != nil {
		return nil
	}
	isTerminal := false
	if err := raw.Control(func(fd uintptr) { isTerminal = isatty.IsTerminal(fd) }); err != nil || !isTerminal {
		return nil
	}
	return f
}
