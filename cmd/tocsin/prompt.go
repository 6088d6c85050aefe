package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// prompt asks questions on a terminal, one line each. Plain lines work over a slow
// connection and with a screen reader. After the first error it asks nothing more.
type prompt struct {
	ctx   context.Context
	in    *os.File
	lines *bufio.Reader
	out   io.Writer
	err   error
}

// newPrompt returns a prompt, or nil if in is not a terminal.
func newPrompt(ctx context.Context, in io.Reader, out io.Writer) *prompt {
	f, ok := in.(*os.File)
	if !ok || !isatty.IsTerminal(f.Fd()) {
		return nil
	}
	return &prompt{ctx: ctx, in: f, lines: bufio.NewReader(f), out: out}
}

// errNoAnswer reports that a person ended the questions.
var errNoAnswer = errors.New("the questions were ended before the last answer. Nothing was written. Run the command again")

func (p *prompt) say(text string) {
	if p.err == nil {
		p.err = writeText(p.out, text)
	}
	if f, ok := p.out.(interface{ Flush() error }); ok && p.err == nil {
		p.err = f.Flush()
	}
}

// read runs a read that blocks, and returns early if the command is interrupted.
func (p *prompt) read(fn func() (string, error)) string {
	if p.err != nil {
		return ""
	}
	type answer struct {
		text string
		err  error
	}
	done := make(chan answer, 1)
	go func() { // ends with the process, because nothing ends a read from a terminal
		text, err := fn()
		done <- answer{text, err}
	}()
	select {
	case <-p.ctx.Done():
		p.err = errNoAnswer
	case a := <-done:
		if a.err == nil {
			return a.text
		}
		p.err = errNoAnswer
		if !errors.Is(a.err, io.EOF) {
			p.err = fmt.Errorf("read answer: %w", a.err)
		}
	}
	return ""
}

// text asks for a text, unless the flag is set. An empty answer leaves value as it is.
// If check returns an error, it prints the error and asks again.
func (p *prompt) text(flags *pflag.FlagSet, flag, question string, value *string, check func(string) error) {
	if flags != nil && flags.Changed(flag) {
		return
	}
	for p.err == nil {
		bracket := ""
		if *value != "" {
			bracket = " [" + *value + "]"
		}
		p.say(question + bracket + ": ")
		answer := strings.TrimSpace(p.read(func() (string, error) { return p.lines.ReadString('\n') }))
		if answer == "" {
			answer = *value
		}
		if p.err != nil {
			return
		}
		if check != nil {
			if err := check(answer); err != nil {
				p.say("  " + err.Error() + "\n")
				continue
			}
		}
		*value = answer
		return
	}
}

// yes asks a question whose answer is yes or no, unless the flag is set.
func (p *prompt) yes(flags *pflag.FlagSet, flag, question string, value *bool) {
	if flag != "" && flags.Changed(flag) {
		return
	}
	text := map[bool]string{true: "yes", false: "no"}[*value]
	p.text(nil, "", question+", yes or no", &text, func(s string) error {
		switch strings.ToLower(s) {
		case "y", "yes", "n", "no":
			return nil
		}
		return errors.New("write yes or no")
	})
	*value = strings.HasPrefix(strings.ToLower(text), "y")
}

// hidden asks for a secret. The terminal does not show the answer. If check returns an
// error, it prints the error and asks again.
func (p *prompt) hidden(question string, check func(string) error) string {
	for p.err == nil {
		answer := p.readHidden(question)
		if err := check(answer); err != nil && p.err == nil {
			p.say("  " + err.Error() + "\n")
			continue
		}
		return answer
	}
	return ""
}

func (p *prompt) readHidden(question string) string {
	p.say(question + ": ")
	if p.err != nil {
		return ""
	}
	fd := int(p.in.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		p.err = fmt.Errorf("read the state of the terminal: %w", err)
		return ""
	}
	defer func() { _ = term.Restore(fd, before) }() // an interrupted read leaves the echo off
	answer := strings.TrimSpace(p.read(func() (string, error) {
		raw, err := term.ReadPassword(fd)
		return string(raw), err
	}))
	p.say("\n")
	return answer
}
