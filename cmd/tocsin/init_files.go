package main

import (
	"cmp"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"text/template"

	"tocsin/bot/slack"
	"tocsin/store"
)

// The files of a folder that `tocsin init` writes, the configuration last.
const (
	manifestFile = "slack-manifest.yaml"
	unitFile     = "tocsin.service"
	keysetFile   = "keyset.json"
	secretsFile  = "secrets.env"
	configFile   = "tocsin.yaml"
	databaseFile = "tocsin.db"
)

//go:embed init_config.yaml.tmpl
var initConfigText string

//go:embed init_unit.service.tmpl
var initUnitText string

var initTemplates = template.Must(template.Must(template.New("config").Funcs(template.FuncMap{"yaml": yamlText, "path": filepath.Join, "unit": unitText, "percent": escapePercent, "list": yamlList}).
	Parse(initConfigText)).New("unit").Parse(initUnitText))

var plainYAML = regexp.MustCompile(`^[\p{L}0-9/][\p{L}0-9 ._@/:+-]*$`)

// numberYAML matches the texts that YAML could read as a number or a time.
var numberYAML = regexp.MustCompile(`^[0-9_:.+-]*([eExXoO][0-9a-fA-F+-]*)?$`)

// yamlText returns a value for a YAML file. A value that YAML could read as something
// else than text is quoted.
func yamlText(s string) string {
	switch strings.ToLower(s) {
	case "true", "false", "yes", "no", "on", "off", "null", "y", "n":
	default:
		if plainYAML.MatchString(s) && !strings.Contains(s+" ", ": ") && !strings.HasSuffix(s, " ") && !numberYAML.MatchString(s) {
			return s
		}
	}
	return strconv.Quote(s) // YAML reads the escapes of Go
}

// yamlList returns a list of values on one line.
func yamlList(values []string) string {
	out := make([]string, len(values))
	for n, v := range values {
		out[n] = yamlText(v)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// escapePercent writes a value that is the rest of a line of a systemd unit.
func escapePercent(s string) string { return strings.ReplaceAll(s, "%", "%%") }

// unitText quotes one of several words for a systemd unit.
func unitText(s string) string {
	s = escapePercent(s)
	if strings.ContainsAny(s, " \t\"'\\$") {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", "$$").Replace(s) + `"`
	}
	return s
}

// initData is the data of the templates.
type initData struct {
	initAnswers
	Binary      string
	HomeFolder  bool // the folder or the program is below a home
	TempFolder  bool // the folder is a temporary one
	LocalUser   string
	Departments []initDepartment
	DPO         string
	SourceLines []string
	Routing     string
}

// initDepartment is a department or a team with the addresses of its members.
type initDepartment struct {
	Name    string
	Signs   bool
	Members []string
}

// data returns the data of the templates. The people must be complete.
func (a initAnswers) data() initData {
	d := initData{initAnswers: a, Binary: binaryPath(), LocalUser: cmp.Or(os.Getenv("SUDO_USER"), currentUser())}
	for _, temporary := range []string{"/tmp/", "/var/tmp/"} {
		d.TempFolder = d.TempFolder || strings.HasPrefix(a.Dir+"/", temporary)
	}
	for _, home := range []string{"/home/", "/root/", "/run/user/"} {
		d.HomeFolder = d.HomeFolder || strings.HasPrefix(a.Dir+"/", home) || strings.HasPrefix(d.Binary, home)
	}
	index := map[string]int{}
	for _, p := range a.People {
		n, known := index[p.Department]
		if !known {
			n = len(d.Departments)
			index[p.Department] = n
			d.Departments = append(d.Departments, initDepartment{Name: p.Department, Signs: n < len(initDepartments())})
		}
		d.Departments[n].Members = append(d.Departments[n].Members, p.Email)
		if p.Department == "legal" && d.DPO == "" {
			d.DPO = p.Email
		}
	}
	if _, known := index["dpo"]; known {
		d.DPO = ""
	}
	for _, s := range a.sourcesOf() {
		d.SourceLines = append(d.SourceLines, s.name+":\n    "+fmt.Sprintf(s.keys, s.secret.name))
		d.Routing += s.routing
	}
	return d
}

// binaryPath returns the path of this program for a unit. A program of `go run` is gone
// when it ends.
func binaryPath() string {
	path, err := os.Executable()
	if err != nil || strings.Contains(path, "/go-build") || strings.HasPrefix(path, os.TempDir()+"/") {
		return "/usr/local/bin/tocsin"
	}
	return path
}

// render returns the text of a template.
func render(name string, d initData) (string, error) {
	var b strings.Builder
	err := initTemplates.ExecuteTemplate(&b, name, d)
	return b.String(), err
}

var plainSecret = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]+$`)

// secretsText returns the file with the variables of the configuration. It chooses the
// secrets that Tocsin may choose.
func (a initAnswers) secretsText() (string, error) {
	var b strings.Builder
	b.WriteString("# Secrets of Tocsin, one NAME=VALUE in each line. A value with other characters than letters, digits and ._/:@%+=,-\n" +
		"# needs single quotes. Only the user of Tocsin may read this file.\n")
	for _, s := range a.secretsOf() {
		value := a.secrets[s.name]
		if value == "" && s.own {
			raw := make([]byte, 24)
			_, _ = rand.Read(raw) // never fails
			value = hex.EncodeToString(raw)
		}
		switch {
		case value == "" || plainSecret.MatchString(value):
		case strings.ContainsAny(value, "'\r\n\x00"):
			return "", fmt.Errorf("%s has a quote or a line break, which the file of secrets cannot hold. Choose another secret, or set it in the environment of Tocsin", s.name)
		default:
			value = "'" + value + "'"
		}
		b.WriteString("\n# " + s.comment + "\n" + s.name + "=" + value + "\n")
	}
	return b.String(), nil
}

// manifest returns the manifest of the Slack app.
func (a initAnswers) manifest() string {
	return "# Manifest of the Slack app. Open https://api.slack.com/apps, Create New App, From a manifest, and paste it.\n" + slack.Manifest("", a.SlackURL)
}

// initResult is what happened to one file.
type initResult struct {
	Name    string `json:"name"`
	Created bool   `json:"created"` // false: it existed and was not changed
}

// errKeysetLost reports a folder with a database whose keyset is gone.
var errKeysetLost = errors.New("has a database, but no " + keysetFile + ". Restore your copy of the keyset, because a new one cannot open the database")

// write writes the files that the folder does not have yet. Each appears with its whole
// content or not at all. It returns what happened to each.
func (a initAnswers) write() ([]initResult, error) {
	a.complete()
	d := a.data()
	config, err := render("config", d)
	if err != nil {
		return nil, err
	}
	unit, err := render("unit", d)
	if err != nil {
		return nil, err
	}
	secrets, err := a.secretsText()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(a.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("the folder cannot be created: %w. Choose another folder, or run the command as a user who may write there", err)
	}
	if exists(filepath.Join(a.Dir, databaseFile)) && !exists(filepath.Join(a.Dir, keysetFile)) {
		return nil, fmt.Errorf("%s %w", a.Dir, errKeysetLost)
	}
	plain := func(text string, mode fs.FileMode) func(string) error {
		return func(path string) error { return writeNew(path, text, mode) }
	}
	var out []initResult
	for _, file := range []struct {
		name  string
		write func(path string) error
	}{
		{manifestFile, plain(a.manifest(), 0o644)}, {unitFile, plain(unit, 0o644)}, {keysetFile, store.CreateKeyset},
		{secretsFile, plain(secrets, 0o600)}, {configFile, plain(config, 0o600)},
	} {
		created, err := createOnce(filepath.Join(a.Dir, file.name), file.write)
		if err != nil {
			return out, err
		}
		out = append(out, initResult{file.name, created})
	}
	return out, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// createOnce lets write create a file beside path and then gives it the name path. It
// returns false if path exists already. A file of an earlier run that was killed before
// it had its name is replaced.
func createOnce(path string, write func(string) error) (created bool, err error) {
	if exists(path) {
		return false, nil
	}
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("remove the rest of an earlier run: %w", err)
	}
	defer func() { _ = os.Remove(temporary) }()
	if err := write(temporary); err != nil {
		return false, fmt.Errorf("write %s: %w", path, err)
	}
	switch err := os.Link(temporary, path); {
	case errors.Is(err, fs.ErrExist): // another run was faster
		return false, nil
	case err != nil:
		return false, fmt.Errorf("write %s: %w", path, err)
	}
	return true, syncFolder(filepath.Dir(path))
}

// writeNew writes a file that does not exist and syncs it.
func writeNew(path, text string, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// sandboxURL returns the address of the setup of a sandbox.
func sandboxURL(page string) (string, error) {
	u, err := url.Parse(page)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", fmt.Errorf("--sandbox %q is not a URL. Write the address that `tocsin sandbox` prints, such as http://127.0.0.1:8081", page)
	}
	return u.JoinPath("/api/setup").String(), nil
}
