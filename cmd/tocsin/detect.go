package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bot/detect"
)

// detectFlags are the flags shared by detect and its subcommands.
type detectFlags struct {
	rules        []string
	builtin      bool
	all          bool
	enable       []string
	disable      []string
	placeholders []string
	format       string
	detail       bool
}

// fileLateness is the lateness of correlations over files. It is long because
// files can contain records of any age in any order.
const fileLateness = 20 * 365 * 24 * time.Hour

// options returns the options for loading the rules. Rules from --rules run even
// if they are off by default.
func (f *detectFlags) options() (detect.Options, error) {
	o := detect.Options{
		Builtin: f.builtin || len(f.rules) == 0, All: f.all || len(f.rules) > 0,
		Enable: f.enable, Disable: f.disable, Placeholders: map[string][]string{}, Lateness: fileLateness,
	}
	for _, p := range f.placeholders {
		name, values, ok := strings.Cut(p, "=")
		if !ok || name == "" || values == "" {
			return o, fmt.Errorf("invalid --placeholder %q. Write name=value,value", p)
		}
		o.Placeholders[name] = append(o.Placeholders[name], strings.Split(values, ",")...)
	}
	if f.format != "json" && f.format != "text" {
		return o, fmt.Errorf("unknown --format %q. Use json or text", f.format)
	}
	return o, nil
}

func detectCommand() *cobra.Command {
	f := &detectFlags{}
	stats := false
	cmd := &cobra.Command{
		Use: "detect [FILE…]", Short: "Run Sigma rules over CloudTrail files",
		Long: "Run Sigma rules over CloudTrail files and print each hit.\n\n" +
			"A file contains {\"Records\": […]}, an array, one record per line, or EventBridge envelopes, optionally compressed with\n" +
			"gzip. For a folder, all log files in it are read. For -, the standard input is read. Invalid records are reported and\n" +
			"skipped. By default the built-in rules run, except rules that often match ordinary work and are therefore off. With\n" +
			"--rules, every rule in the given files and folders runs instead. A rule that cannot be loaded is reported with file,\n" +
			"line and reason.\n\n" +
			"The exit status is 1 if a file cannot be read or no rule can be loaded. Matches do not change it.",
		Example: "  tocsin detect AWSLogs/\n" +
			"  tocsin detect --rules sigma/rules/cloud/aws --format json trail.json.gz\n" +
			"  zcat *.gz | tocsin detect --stats -",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("no files: name files or folders with CloudTrail records, or - for the standard input")
			}
			o, err := f.parse(cmd)
			if err != nil {
				return err
			}
			rs, report := detect.Load(o, f.rules...)
			printLoadErrors(cmd.ErrOrStderr(), report)
			if report.Usable == 0 {
				return fmt.Errorf("no rule can run: %d are off, %d are for other logs, %s",
					len(report.Off), len(report.Skipped), countErrors(len(report.Refused)))
			}
			return newDetection(cmd, rs, f).run(args, stats)
		},
	}
	p := cmd.PersistentFlags()
	p.StringSliceVar(&f.rules, "rules", nil, "`folder` or file with Sigma rules to run instead of the built-in ones (repeatable)")
	p.BoolVar(&f.builtin, "builtin", false, "with --rules: run the built-in rules too")
	p.StringSliceVar(&f.enable, "enable", nil, "`id` or name of a rule to enable (repeatable)")
	p.StringSliceVar(&f.disable, "disable", nil, "`id` or name of a rule to disable (repeatable)")
	p.StringArrayVar(&f.placeholders, "placeholder", nil, "`name=value,value` for %name% in rules with the expand modifier (repeatable)")
	p.StringVar(&f.format, "format", "text", "output `format`: text, or json with one line per match")
	p.BoolVar(&f.all, "all", false, "also run the built-in rules that are off by default")
	cmd.Flags().BoolVar(&f.detail, "detail", false, "with JSON output: add the rule's author and the events of a correlation to each line")
	cmd.Flags().BoolVar(&stats, "stats", false, "print a summary to the standard error at the end")
	cmd.AddCommand(detectLintCommand(f), detectTestCommand(f))
	return cmd
}

// parse returns the options from the flags. The global flag --json selects the
// JSON format, too.
func (f *detectFlags) parse(cmd *cobra.Command) (detect.Options, error) {
	if asJSON, err := cmd.Flags().GetBool("json"); err == nil && asJSON {
		f.format = "json"
	}
	return f.options()
}

// printLoadErrors prints the rules that cannot be used, and the warnings.
func printLoadErrors(w io.Writer, report detect.LoadResult) {
	for _, r := range report.Refused {
		_ = writeLine(w, "not used: %v", r)
	}
	for _, r := range report.Warnings {
		_ = writeLine(w, "warning: %v", r)
	}
}

func detectLintCommand(f *detectFlags) *cobra.Command {
	return &cobra.Command{
		Use: "lint [FOLDER…]", Short: "List the rules that cannot be used, with the reason",
		Long: "Compile every rule and list the rules that cannot be used, with file, line and reason. Rules that are off are listed\n" +
			"too. Rules for other logs are only counted. The exit status is 1 if a rule cannot be used.",
		Example: "  tocsin detect lint\n  tocsin detect lint sigma/rules/cloud/aws",
		RunE: func(cmd *cobra.Command, args []string) error {
			f.rules = append(f.rules, args...)
			o, err := f.parse(cmd)
			if err != nil {
				return err
			}
			o.All = f.all
			_, report := detect.Load(o, f.rules...)
			if f.format == "json" {
				err = writeJSON(cmd.OutOrStdout(), report)
			} else {
				err = lintText(cmd.OutOrStdout(), report)
			}
			switch {
			case err != nil:
				return err
			case len(report.Refused) > 0:
				return exitCode(1)
			case report.Files == 0:
				return errors.New("no .yml or .yaml file found")
			}
			return nil
		},
	}
}

func lintText(w io.Writer, report detect.LoadResult) error {
	for _, r := range report.Off {
		_ = writeLine(w, "off: %v", r)
	}
	printLoadErrors(w, report)
	return writeLine(w, "%d files: %d usable rules, %d off, %d for other logs, %s",
		report.Files, report.Usable, len(report.Off), len(report.Skipped), countErrors(len(report.Refused)))
}

// countErrors returns n with the noun.
func countErrors(n int) string {
	if n == 1 {
		return "1 error"
	}
	return fmt.Sprintf("%d errors", n)
}

func detectTestCommand(f *detectFlags) *cobra.Command {
	return &cobra.Command{
		Use: "test [FOLDER…]", Short: "Test the rules with their fixtures",
		Long: "Run the fixtures in folders named fixtures next to the rules. A fixture contains records that match, and records\n" +
			"that differ from them in one field and do not match. Then every condition and every value of a list is removed from its\n" +
			"rule in turn, and at least one fixture must fail without it. The exit status is 1 if a fixture fails or a condition is\n" +
			"not tested.",
		Example: "  tocsin detect test\n  tocsin detect test rules\n\n" +
			"  # rules/fixtures/any-name.yaml, one document per rule:\n" +
			"  rule: trail-stopped                                  # id or name of the rule\n" +
			"  records: [{eventName: StopLogging, errorCode: null}] # each record matches\n" +
			"  also: [{eventName: DeleteTrail}]                     # the first record matches with this field changed, too\n" +
			"  not: [{of: 1, errorCode: AccessDenied}]              # record 1 does not match with this field changed (<absent> removes it)\n\n" +
			"  # for a correlation: the records, repeated with new ids and times\n" +
			"  fires: [{times: 10, every: 30s, vary: requestParameters.secretId}]\n" +
			"  quiet: [{times: 9, every: 30s, vary: requestParameters.secretId}]",
		RunE: func(cmd *cobra.Command, args []string) error {
			f.rules = append(f.rules, args...)
			o, err := f.parse(cmd)
			if err != nil {
				return err
			}
			report := detect.Check(o, f.rules...)
			out := cmd.OutOrStdout()
			if f.format == "json" {
				err = writeJSON(out, report)
			} else {
				for _, problem := range report.Problems {
					_ = writeLine(out, "%v", problem)
				}
				for _, id := range report.Untested {
					_ = writeLine(out, "no fixtures: rule %s", id)
				}
				err = writeLine(out, "%d rules, %d records, %d conditions removed in turn: %s, %d rules without fixtures",
					report.Rules, report.Records, report.Mutants, countErrors(len(report.Problems)), len(report.Untested))
			}
			switch {
			case err != nil:
				return err
			case len(report.Problems) > 0:
				return exitCode(1)
			case report.Rules+len(report.Untested) == 0:
				return errors.New("no rule to test")
			}
			return nil
		},
	}
}
