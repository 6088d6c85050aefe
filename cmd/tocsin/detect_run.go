package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bot/detect"
)

// detection is one run of rules over log files.
type detection struct {
	ctx      context.Context
	in       io.Reader
	out      *bufio.Writer
	errs     io.Writer
	json     bool
	rules    *detect.Ruleset
	tracker  detect.Tracker
	progress *progress
	eager    bool // flush after each match
	detail   bool // include the author and the events of a correlation in JSON

	file         string
	counts       detect.Counts
	files        int
	failed       int // files that could not be read completely
	hits         map[*detect.Rule]int
	fileProblems int // invalid records in the current file
	err          error
}

func newDetection(cmd *cobra.Command, rules *detect.Ruleset, f *detectFlags) *detection {
	d := &detection{
		ctx: cmd.Context(), in: cmd.InOrStdin(), out: bufio.NewWriter(cmd.OutOrStdout()), errs: cmd.ErrOrStderr(),
		rules: rules, hits: map[*detect.Rule]int{}, detail: f.detail,
	}
	d.json = f.format == "json"
	d.progress = newProgress(cmd.ErrOrStderr())
	d.eager = terminalFile(cmd.OutOrStdout()) != nil
	return d
}

// hitLine is the JSON of one match. The author and the events are present only
// with --detail, because existing readers expect six fields.
type hitLine struct {
	RuleID    string   `json:"rule_id"`
	RuleTitle string   `json:"rule_title"`
	Level     string   `json:"level"`
	EventID   string   `json:"event_id"`
	EventTime string   `json:"event_time"`
	File      string   `json:"file"`
	Author    string   `json:"rule_author,omitempty"`
	Events    []string `json:"events,omitempty"` // of a correlation
}

// run reads every file and prints the matches. A file that cannot be read does not
// stop the run, but run then returns exit status 1.
func (d *detection) run(args []string, stats bool) error {
	began := time.Now()
	names, total := d.findFiles(args)
	d.progress.total = total
	for _, name := range names {
		if d.ctx.Err() != nil || d.err != nil {
			break
		}
		d.readFile(name)
	}
	d.progress.clear()
	if err := cmp.Or(d.err, d.out.Flush(), d.ctx.Err()); err != nil {
		return err
	}
	switch {
	case stats:
		d.printSummary(time.Since(began))
	case d.json && !d.detail:
		d.printAuthors()
	}
	if d.tracker.Forgotten > 0 {
		_ = writeLine(d.errs, "too many correlation groups: %d were discarded", d.tracker.Forgotten)
	}
	if d.failed > 0 {
		return exitCode(1)
	}
	return nil
}

// printAuthors prints the author of each matched rule once. SigmaHQ's licence
// requires the author to be named with the findings of a rule.
func (d *detection) printAuthors() {
	for _, r := range d.rankedRules() {
		if r.Author != "" && r.Author != builtinAuthor {
			_ = writeLine(d.errs, "%s (%s) was written by %s", r.Title, r.ID, r.Author)
		}
	}
}

// builtinAuthor is the author of the built-in rules.
const builtinAuthor = "Tocsin"

// findFiles returns the log files that the arguments name, and their total size in
// bytes. It reports files and folders that cannot be read.
func (d *detection) findFiles(args []string) (names []string, total int64) {
	for _, arg := range args {
		if arg == "-" {
			names = append(names, arg)
			continue
		}
		before, failed := len(names), d.failed
		err := filepath.WalkDir(arg, func(p string, e fs.DirEntry, err error) error {
			switch {
			case err != nil:
				d.fail(p, err)
				return nil
			case e.IsDir() && p != arg && isDigestFolder(e.Name()):
				return fs.SkipDir
			case e.IsDir(), p != arg && !isLogFile(e.Name()):
				return nil
			}
			if info, err := e.Info(); err == nil {
				total += info.Size()
			}
			names = append(names, p)
			return nil
		})
		switch {
		case err != nil:
			d.fail(arg, err)
		case len(names) == before && d.failed == failed:
			d.fail(arg, errors.New("no log files in this folder: their names must end in .json, .jsonl, .ndjson, .log or .gz"))
		}
	}
	return names, total
}

// isDigestFolder reports whether a folder of a trail's bucket contains no records.
// These are hidden folders, digests, Insights, AWS Config and VPC flow logs.
func isDigestFolder(folder string) bool {
	return strings.HasPrefix(folder, ".") || slices.Contains([]string{"CloudTrail-Digest", "CloudTrail-Insight", "Config", "vpcflowlogs"}, folder)
}

// isLogFile reports whether a file of this name may contain records.
func isLogFile(name string) bool {
	ext := strings.ToLower(filepath.Ext(strings.TrimSuffix(strings.ToLower(name), ".gz")))
	return !strings.HasPrefix(name, ".") && (slices.Contains([]string{".json", ".ndjson", ".jsonl", ".log"}, ext) || ext == "" && strings.HasSuffix(strings.ToLower(name), ".gz"))
}

func (d *detection) fail(name string, err error) {
	d.failed++
	d.progress.clear()
	_ = writeLine(d.errs, "%s: %v", name, err)
}

// maxProblems is the maximum number of invalid records reported per file.
const maxProblems = 10

func (d *detection) readFile(name string) {
	src := d.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			d.fail(name, err)
			return
		}
		defer func() { _ = f.Close() }() // only read
		src = f
	}
	d.files++
	d.file, d.fileProblems = name, 0
	counts, err := detect.Read(d.progress.reader(src), d.record, d.invalid)
	d.counts.Records += counts.Records
	d.counts.Invalid += counts.Invalid
	d.counts.Other += counts.Other
	if d.fileProblems > maxProblems {
		_ = writeLine(d.errs, "%s: %d more invalid records", name, d.fileProblems-maxProblems)
	}
	if err != nil && d.err == nil && d.ctx.Err() == nil {
		d.fail(name, err)
	}
}

func (d *detection) invalid(p detect.Problem) {
	if d.fileProblems++; d.fileProblems <= maxProblems {
		d.progress.clear()
		_ = writeLine(d.errs, "%s: %v", d.file, p)
	}
}

func (d *detection) record(r *detect.Record) error {
	d.rules.Match(r, func(h detect.Hit) {
		if !h.Rule.Silent {
			d.print(h.Rule, hitLine{EventID: r.EventID(), EventTime: r.EventTime()})
		}
		d.tracker.Take(h, time.Now(), func(f detect.Firing) {
			if !f.Correlation.Silent {
				d.print(f.Correlation, hitLine{EventID: f.Events[len(f.Events)-1], EventTime: f.To.Format(time.RFC3339), Events: f.Events})
			}
		})
	})
	if d.err != nil {
		return d.err
	}
	return d.ctx.Err()
}

func (d *detection) print(rule *detect.Rule, l hitLine) {
	d.hits[rule]++
	l.RuleID, l.RuleTitle, l.Level, l.File = rule.ID, rule.Title, string(rule.Level), d.file
	if d.detail {
		l.Author = rule.Author
	} else {
		l.Events = nil
	}
	var err error
	if d.json {
		err = writeJSON(d.out, l)
	} else {
		err = writeLine(d.out, "%-13s %s  %s  %s  (%s, by %s)  %s", l.Level, cmp.Or(l.EventTime, "no time"), l.RuleTitle, cmp.Or(l.EventID, "no id"), l.RuleID, cmp.Or(rule.Author, "unknown author"), l.File)
	}
	if d.eager || d.file == "-" {
		d.progress.clear()
		err = cmp.Or(err, d.out.Flush())
	}
	d.err = cmp.Or(d.err, err)
}

// rankedRules returns the rules that matched, by descending level and then by
// descending number of matches.
func (d *detection) rankedRules() []*detect.Rule {
	return slices.SortedFunc(maps.Keys(d.hits), func(a, b *detect.Rule) int {
		return cmp.Or(b.Level.Compare(a.Level), d.hits[b]-d.hits[a], cmp.Compare(a.ID, b.ID))
	})
}

// printSummary prints the matches per rule and the totals.
func (d *detection) printSummary(took time.Duration) {
	rules, hits := d.rankedRules(), 0
	for _, r := range rules {
		hits += d.hits[r]
		by := ""
		if r.Author != "" && r.Author != builtinAuthor {
			by = ", by " + r.Author
		}
		_ = writeLine(d.errs, "%8d  %-13s %s (%s%s)", d.hits[r], r.Level, r.Title, r.ID, by)
	}
	_ = writeLine(d.errs, "%d matches of %d of %d rules in %d records of %d files, %d invalid, %d other, in %s, %.0f records/s",
		hits, len(rules), len(d.rules.Rules()), d.counts.Records, d.files, d.counts.Invalid, d.counts.Other,
		took.Round(time.Millisecond), float64(d.counts.Records)/max(took.Seconds(), 1e-9))
}
