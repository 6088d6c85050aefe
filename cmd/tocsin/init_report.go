package main

import (
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"tocsin/bot/terminal"
)

// initFileTexts describe the files.
var initFileTexts = map[string]string{
	configFile:   "the configuration",
	secretsFile:  "its secrets",
	keysetFile:   "opens the database. Store a copy on another machine, apart from the backups, before you store data",
	unitFile:     "the systemd unit",
	manifestFile: "the Slack app. Paste it at https://api.slack.com/apps, Create New App, From a manifest",
}

// sandboxFileTexts describe the files that a sandbox does not need.
var sandboxFileTexts = map[string]string{
	unitFile:     "a systemd unit, as in a real installation",
	manifestFile: "a Slack app, as in a real installation",
}

// builtByGoRun reports whether `go run` built this program, which is gone after its end.
func builtByGoRun() bool {
	self, err := os.Executable()
	return err == nil && strings.Contains(self, "/go-build")
}

// programName returns how the person who runs this program can run it again.
func programName() string {
	if builtByGoRun() {
		return "go run ./cmd/tocsin"
	}
	return shellWord(os.Args[0])
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]+$`)

// shellWord quotes a word for a shell, if it needs quotes.
func shellWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// installCommand returns the command that runs Tocsin as a service. It also installs the
// program and gives the folder to the user of the unit, if that is necessary.
func (a initAnswers) installCommand() string {
	var steps []string
	switch self, err := os.Executable(); {
	case builtByGoRun():
		steps = append(steps, "go build ./cmd/tocsin", "sudo install tocsin "+binaryPath())
	case err == nil && self != binaryPath():
		if strings.Contains(os.Args[0], "/") {
			self = os.Args[0]
		}
		steps = append(steps, "sudo install "+shellWord(self)+" "+binaryPath())
	}
	if a.User != currentUser() {
		if _, err := user.Lookup(a.User); err != nil {
			steps = append(steps, "sudo useradd --system "+shellWord(a.User))
		}
		steps = append(steps, "sudo chown -R "+shellWord(a.User+":")+" "+shellWord(a.Dir))
	}
	return strings.Join(append(steps, "sudo systemctl enable --now "+shellWord(filepath.Join(a.Dir, unitFile))), " && ")
}

// nextStep is a command that follows `tocsin init`.
type nextStep struct{ command, text string }

// nextSteps returns the commands until Tocsin runs and a page has reached a person. With
// a sandbox there is nothing to install.
func (a initAnswers) nextSteps(dir string) []nextStep {
	run := programName() + " -c " + shellWord(filepath.Join(dir, configFile)) + " "
	steps := []nextStep{
		{run + "config check", "names each value that is missing"},
		{run + "serve", "runs Tocsin. Ctrl-C stops it"},
		{run + "doctor", "in another terminal: checks each system"},
		{run + "doctor --page", "sends test pages and waits until a person acknowledges them"},
	}
	if a.Sandbox {
		return steps
	}
	return append(steps, nextStep{a.installCommand(), "runs Tocsin as a service, instead of serve"})
}

// reportInit prints what happened to the files, and the next commands.
func (g *globalFlags) reportInit(out io.Writer, dir string, a initAnswers, files []initResult) error {
	created := slices.ContainsFunc(files, func(f initResult) bool { return f.Created })
	steps := a.nextSteps(dir)
	if g.json {
		next := make([]string, len(steps))
		for n, s := range steps {
			next[n] = s.command
		}
		if err := writeJSON(out, map[string]any{"dir": a.Dir, "files": files, "next": next}); err != nil || created {
			return err
		}
		return exitCode(1)
	}
	lines := []string{terminal.Line(a.Dir)}
	for _, f := range files {
		state, text := "created", initFileTexts[f.Name]
		if !f.Created {
			state = "exists, not changed"
		}
		if other, ok := sandboxFileTexts[f.Name]; ok && a.Sandbox {
			text = other
		}
		lines = append(lines, fmt.Sprintf("  %-19s  %-19s  %s", f.Name, state, text))
	}
	if !created {
		if err := writeText(out, strings.Join(lines, "\n")+"\n"); err != nil {
			return err
		}
		return fmt.Errorf("%s is complete, and nothing was written. Delete a file to have it written again, or choose another folder", a.Dir)
	}
	lines = append(lines, "", "Next:")
	for _, s := range steps {
		lines = append(lines, "  # "+s.text, "  "+terminal.Line(s.command))
	}
	if !a.Sandbox {
		lines = append(lines, "", "Tocsin makes no backups yet. Configure backup in "+configFile+": docs/operations.md describes it")
	}
	return writeText(out, strings.Join(lines, "\n")+"\n")
}
