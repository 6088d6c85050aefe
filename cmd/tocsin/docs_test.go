package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tocsin/bot/command"
	"tocsin/bot/incident"
)

var updateDocs = flag.Bool("update", false, "rewrite the generated part of docs/commands.md")

const commandsPage = "../../docs/commands.md"

// TestDocs_CommandLine compares the table of subcommands and flags in
// docs/commands.md with the program.
func TestDocs_CommandLine(t *testing.T) {
	raw, err := os.ReadFile(commandsPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(raw), "<!-- cli:begin -->\n")
	got, after, ok2 := strings.Cut(rest, "<!-- cli:end -->\n")
	if !ok || !ok2 {
		t.Fatal("docs/commands.md: the markers <!-- cli:begin --> and <!-- cli:end --> are missing; add them around the table")
	}
	want := commandTable()
	switch {
	case got == want:
	case *updateDocs:
		if err := os.WriteFile(commandsPage, []byte(before+"<!-- cli:begin -->\n"+want+"<!-- cli:end -->\n"+after), 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("docs/commands.md is out of date; run: go test ./cmd/tocsin -run TestDocs -update\ngot:\n%s\nwant:\n%s", got, want)
	}
}

// commandTable lists every subcommand and its flags. The commands of `tocsin
// incident` have a table of their own.
func commandTable() string {
	var b strings.Builder
	b.WriteString("| Command | Flag | Default | Meaning |\n|---|---|---|---|\n")
	row := func(cells ...string) {
		for n := range cells {
			cells[n] = strings.ReplaceAll(strings.Join(strings.Fields(cells[n]), " "), "|", `\|`)
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
	}
	flags := func(set *pflag.FlagSet) {
		set.VisitAll(func(f *pflag.Flag) {
			name := "`--" + f.Name + "`"
			if f.Shorthand != "" {
				name = "`-" + f.Shorthand + "`, " + name
			}
			standard := ""
			if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" {
				standard = "`" + f.DefValue + "`"
			}
			row("", name, standard, f.Usage)
		})
	}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		row("`"+strings.TrimSpace(cmd.CommandPath()+strings.TrimPrefix(cmd.Use, cmd.Name()))+"`", "", "", cmd.Short)
		flags(cmd.LocalNonPersistentFlags())
		flags(cmd.PersistentFlags())
		if cmd.CommandPath() == "tocsin incident" {
			return
		}
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() && sub.Name() != "help" && sub.Name() != "completion" {
				walk(sub)
			}
		}
	}
	walk(rootCommand())
	return b.String()
}

var (
	consolePattern = regexp.MustCompile("(?ms)^```console\n(.*?)^```$")
	promptPattern  = regexp.MustCompile(`(?m)^\$ (?:tocsin|go run \./cmd/tocsin)(?: (.*))?$`)
	argPattern     = regexp.MustCompile(`"[^"]*"|'[^']*'|\S+`)
)

// TestDocs_Console checks every example of the command line in the pages: its
// subcommand and flags exist, and words after `tocsin incident` are valid.
func TestDocs_Console(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range append(pages, "../../README.md") {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range consolePattern.FindAllStringSubmatch(string(raw), -1) {
			for _, line := range promptPattern.FindAllStringSubmatch(block[1], -1) {
				found++
				if err := checkExample(line[1]); err != nil {
					t.Errorf("%s: got %v, want an example that runs: tocsin %s", filepath.Base(name), err, line[1])
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("got %d examples, want at least 20; the pattern no longer finds them", found)
	}
}

// checkExample parses one command line without running it.
func checkExample(line string) error {
	for _, end := range []string{" # ", " | ", " > ", " && ", " 2>"} {
		line, _, _ = strings.Cut(line, end)
	}
	var args []string
	for _, arg := range argPattern.FindAllString(line, -1) {
		args = append(args, strings.Trim(arg, `"'`))
	}
	cmd, rest, err := rootCommand().Find(args)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	rest = cmd.Flags().Args()
	if slices.Contains(args, "completion") {
		return nil
	}
	if cmd.HasSubCommands() && len(rest) > 0 && cmd.Name() != "detect" {
		return fmt.Errorf("unknown command %q", rest[0])
	}
	if cmd.Parent() != nil && cmd.Parent().Name() == "incident" {
		dir := incident.Directory{People: []incident.Person{{ID: "p-ada", Name: "Ada"}}}
		_, err := command.Parse(cmd.Name()+" "+command.JoinArgs(rest), command.Context{Who: "p-ada", Directory: dir})
		return err
	}
	return cmd.ValidateArgs(rest)
}
