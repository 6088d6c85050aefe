package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"

	"tocsin/bot/setting"
)

// Error is a problem with one key of the configuration. Fix describes the problem
// and its fix, without secrets.
type Error struct {
	// Place is where the value is written: FILE:LINE:COLUMN, or the name of an
	// environment variable. It is empty if the configuration was not read from a file.
	Place string `json:"place"`
	Key   string `json:"key"`
	Fix   string `json:"fix"`
}

func (e Error) String() string {
	if e.Place == "" {
		return e.Key + ": " + e.Fix
	}
	return e.Place + ": " + e.Key + ": " + e.Fix
}

// Errors are all problems of a configuration. [Load] returns the errors of
// environment variables that set no key first, then the others, in the order of the file.
type Errors []Error

func (e Errors) Error() string { return "the configuration has " + e.list("error") }

// Warnings returns the problems as a list of warnings.
func (e Errors) Warnings() string { return e.list("warning") }

// list returns the number of problems and a line for each.
func (e Errors) list(word string) string {
	lines := make([]string, len(e))
	for n, one := range e {
		lines[n] = "  " + one.String()
	}
	if len(e) != 1 {
		word += "s"
	}
	return fmt.Sprintf("%d %s:\n%s", len(e), word, strings.Join(lines, "\n"))
}

// Add adds a problem without a place.
func (e *Errors) Add(key, format string, args ...any) {
	*e = append(*e, Error{Key: key, Fix: fmt.Sprintf(format, args...)})
}

// Load reads and validates a configuration file. It replaces ${NAME} with the
// environment variable NAME, or with the value that the file of secrets_file has for
// NAME, and TOCSIN_… variables override single keys. It
// returns all problems of the configuration as [Errors], and another error if the
// file cannot be read or parsed.
func Load(path string) (Config, error) {
	c, _, err := load(path, Config.problems)
	return c, err
}

// load is Load that also returns warnings.
func load(path string, validate func(Config) setting.Problems) (Config, Errors, error) {
	src, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, nil, fmt.Errorf("read configuration %s: %w. Choose another file with --config, or write a new folder with: tocsin init DIR", path, err)
	}
	if err != nil {
		return Config{}, nil, fmt.Errorf("read configuration %s: %w%s", path, err, adviceOf(err))
	}
	return parse(path, src, os.Environ(), os.LookupEnv, validate)
}

// adviceOf returns how to read a file that exists, for the end of an error.
func adviceOf(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return ". Run the command as the user of Tocsin, for example with: sudo -u tocsin tocsin …"
	}
	return ". Choose another file with --config"
}

// readFile reads a file up to the first byte that is too much.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}

// Parse is [Load] for the text of a file. environ are the variables that may override
// keys, as NAME=VALUE, and lookup returns the variables that the file refers to.
func Parse(name string, src []byte, environ []string, lookup func(string) (string, bool)) (Config, error) {
	c, _, err := parse(name, src, environ, lookup, Config.problems)
	return c, err
}

// parse is Parse with the validation of the decoded configuration. It also returns the
// warnings about a valid one.
func parse(name string, src []byte, environ []string, lookup func(string) (string, bool), validate func(Config) setting.Problems) (Config, Errors, error) {
	root, err := parseTree(src)
	if err != nil {
		var at *syntaxError
		if errors.As(err, &at) {
			return Config{}, nil, fmt.Errorf("read configuration %s: %w", at.at.in(name), err)
		}
		return Config{}, nil, fmt.Errorf("read configuration %s: %w", name, err)
	}
	root, unknown := override(root, environ)
	secrets, problems := readSecrets(root)
	d := decoder{lookup: lookup, secrets: secrets, problems: problems, places: map[string]place{}, unread: map[string]bool{}, left: maxValues}
	c := Defaults()
	d.decode(root, reflect.ValueOf(&c).Elem(), "", false)
	if d.left < 0 {
		d.problems = setting.Problems{{Key: "configuration", Fix: fmt.Sprintf("has more than %d values. Use fewer aliases", maxValues)}}
	} else {
		d.problems = append(d.problems, withoutParents(validate(c), d.problems)...)
	}
	// The problem of the file is named alone. Its variables are not missing.
	d.problems = slices.DeleteFunc(d.problems, func(p setting.Problem) bool { return d.unread[p.Key] })
	if errs := append(unknown, d.located(name, d.problems)...); len(errs) > 0 {
		return c, nil, errs
	}
	return c, d.located(name, d.ownWarnings(c)), nil
}

// located returns the first problem of each key with its place, in the order of the file.
// The values of environment variables come first.
func (d *decoder) located(name string, problems setting.Problems) (errs Errors) {
	slices.SortStableFunc(problems, func(a, b setting.Problem) int {
		x, y := d.place(a.Key), d.place(b.Key)
		return cmp.Or(cmp.Compare(x.line, y.line), cmp.Compare(x.column, y.column), strings.Compare(a.Key, b.Key))
	})
	for _, p := range slices.CompactFunc(problems, func(a, b setting.Problem) bool { return a.Key == b.Key }) {
		errs = append(errs, Error{d.place(p.Key).in(name), p.Key, p.Fix})
	}
	return errs
}

// ownWarnings returns the warnings about what the file says. The routing rules of
// [Defaults] are for every source.
func (d *decoder) ownWarnings(c Config) setting.Problems {
	return slices.DeleteFunc(c.warnings(), func(p setting.Problem) bool {
		_, written := d.places["routing"]
		return !written && strings.HasPrefix(p.Key, "routing[")
	})
}

// withoutParents returns the problems in found, except those about a parent of a
// key in known. If a day cannot be parsed, for example, its department is
// incomplete only for that reason.
func withoutParents(found, known setting.Problems) setting.Problems {
	return slices.DeleteFunc(found, func(f setting.Problem) bool {
		return slices.ContainsFunc(known, func(k setting.Problem) bool {
			return strings.HasPrefix(k.Key, f.Key+".") || strings.HasPrefix(k.Key, f.Key+"[")
		})
	})
}

// place returns where the value of a key is written. For a missing key it is the
// place of the nearest parent.
func (d *decoder) place(key string) place {
	for key != "" {
		if at, known := d.places[key]; known {
			return at
		}
		key = key[:max(strings.LastIndexAny(key, ".["), 0)]
	}
	return start
}

// in returns the place in a file.
func (p place) in(file string) string {
	if p.variable != "" {
		return p.variable
	}
	return fmt.Sprintf("%s:%d:%d", file, p.line, p.column)
}
