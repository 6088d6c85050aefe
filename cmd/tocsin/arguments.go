package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// noArguments requires a command line without arguments.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("%q is too much: %s takes no arguments. Usage: %s", args[0], cmd.CommandPath(), cmd.UseLine())
}

// oneArgument requires the argument that the usage of the command names.
func oneArgument(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		_, name, _ := strings.Cut(cmd.Use, " ")
		name, _, _ = strings.Cut(name, " --") // a flag of the usage may be given
		return fmt.Errorf("the argument %s is missing. Usage: %s", name, cmd.UseLine())
	}
	return optionalArgument(cmd, args)
}

// optionalArgument allows one argument.
func optionalArgument(cmd *cobra.Command, args []string) error {
	if len(args) < 2 {
		return nil
	}
	return fmt.Errorf("%q is too much: %s takes one argument. Usage: %s", args[1], cmd.CommandPath(), cmd.UseLine())
}

// twoArguments requires both arguments that the usage of the command names.
func twoArguments(cmd *cobra.Command, args []string) error {
	names := strings.Fields(cmd.Use)[1:]
	switch {
	case len(args) < 2:
		return fmt.Errorf("the argument %s is missing. Usage: %s", names[len(args)], cmd.UseLine())
	case len(args) > 2:
		return fmt.Errorf("%q is too much: %s takes two arguments. Usage: %s", args[2], cmd.CommandPath(), cmd.UseLine())
	}
	return nil
}

// flagError names the usage after the error of a flag. A wrong command is the more
// important error.
func flagError(cmd *cobra.Command, err error) error {
	if args := cmd.Flags().Args(); cmd.HasSubCommands() && len(args) > 0 {
		if unknown := cmd.Args(cmd, args); unknown != nil {
			return unknown
		}
	}
	return fmt.Errorf("%w. Run `%s --help` for the flags", err, cmd.CommandPath())
}
