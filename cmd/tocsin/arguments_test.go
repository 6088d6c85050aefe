package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestArguments_ErrorsNameTheFix gives every command too few arguments, too many and an
// unknown flag.
func TestArguments_ErrorsNameTheFix(t *testing.T) {
	var leaves int
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
		path := strings.Fields(cmd.CommandPath())[1:]
		if cmd.Args == nil || len(path) == 0 || path[0] == "completion" {
			return
		}
		leaves++
		for _, args := range [][]string{nil, {"one", "two", "three"}} {
			if err := cmd.Args(cmd, args); err != nil && !strings.Contains(err.Error(), "Usage: tocsin ") && !strings.HasPrefix(err.Error(), "unknown command") && !strings.Contains(err.Error(), "`tocsin incident alerts` lists alerts") {
				t.Errorf("%s with %d arguments: got %v, want the usage", cmd.CommandPath(), len(args), err)
			}
		}
	}
	visit(rootCommand())
	if leaves < 20 {
		t.Errorf("checked %d commands, want at least 20", leaves)
	}
	for line, want := range map[string]string{
		"init":                        "the argument DIR is missing. Usage: tocsin init DIR",
		"init a b":                    `"b" is too much: tocsin init takes one argument. Usage: tocsin init DIR`,
		"backup restore --identity f": "the argument BACKUP is missing. Usage: tocsin backup restore BACKUP --identity FILE",
		"effects drop":                "the argument EFFECT is missing. Usage: tocsin effects drop EFFECT",
		"serve now":                   `"now" is too much: tocsin serve takes no arguments. Usage: tocsin serve`,
		"doctor --pages":              "unknown flag: --pages. Run `tocsin doctor --help` for the flags",
		"alerts":                      "unknown command \"alerts\" for \"tocsin\" (did you mean `tocsin incident alerts`?)",
		"ack INC-1":                   "unknown command \"ack\" for \"tocsin\" (did you mean `tocsin incident ack`?)",
		"open sev1 leak --public":     "unknown command \"open\" for \"tocsin\" (did you mean `tocsin incident open`?)",
		"incidnt list":                `unknown command "incidnt" for "tocsin" (did you mean incident?)`,
	} {
		root := rootCommand()
		root.SetArgs(strings.Fields(line))
		if err := root.Execute(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("tocsin %s: got %v, want %q", line, err, want)
		}
	}
}
