// Command tocsin is a self-hosted security incident response chatbot.
//
// It exits with status 0 on success and 1 on failure, which includes a wrong
// command line. The commands verify, detect lint and detect test also exit
// with 1 if they find a problem.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func main() { os.Exit(run()) }

// run runs the command line and returns the exit status.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once. One signal is enough, even if
	// nothing reads the output and a write blocks.
	context.AfterFunc(ctx, func() {
		stop()
		time.AfterFunc(exitTimeout, func() { os.Exit(1) })
	})
	root := rootCommand()
	flush := escapeOutput(root, os.Stdout, os.Stderr)
	err := root.ExecuteContext(ctx)
	defer flush()
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	printError(root, err)
	return 1
}

// printError prints the error of a command.
func printError(cmd *cobra.Command, err error) {
	_ = writeText(cmd.ErrOrStderr(), fmt.Sprintf("tocsin: %v\n", err)) // nothing can report an error of the last line
}

// exitTimeout is how long a command may take to end after a signal. A shutdown of
// the bot waits for requests and jobs, and takes less.
const exitTimeout = time.Minute

// exitCode is an error that has already been printed. It is the exit status.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit %d", int(e)) }
