package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tocsin/bot/detect"
)

// detectFlags are what detect and its subcommands have in common.
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

// fileLateness is the lateness of correlations over files, which come in any order.
const fileLateness = 20 * 365 * 24 * time.Hour

// options is how to load the rules. Rules that somebody names in person run even
// where they are off by default.
func (f *detectFlags) options() (detect.Options, error) {
	o := detect.Options{
		Builtin: f.builtin || len(f.rules) == 0, All: f.all || len(f.rules) > 0,
		Enable: f.enable, Disable: f.disable, Placeholders: map[string][]string{}, Lateness: fileLateness,
	}
	for _, p := range f.placeholders {
		name, values, ok := strings.Cut(p, "=")
		if !ok || name == "" || values == "" {
			return o, fmt.Errorf("--placeholder %q: write name=value,value", p)
		}
		o.Placeholders[name] = append(o.Placeholders[name], strings.Split(values, ",")...)
	}
	if f.format != "json" && f.format != "text" {
		return o, fmt.Errorf("--format %q: choose json or text", f.format)
	}
	return o, nil
}

func detectCommand() *cobra.Command {
	f := &detectFlags{}
	stats := false
	cmd := &cobra.Command{
		Use: "detect [FILE…]", Short: "Run Sigma rules over CloudTrail files",
		Long: "Run Sigma rules over CloudTrail files and print each hit.\n\n" +
			"A file holds {\"Records\": […]}, an array, one record a line or EventBridge envelopes, plain or compressed with\n" +
			"gzip. A folder stands for the files in it, - for the standard input. What is no record is reported and passed\n" +
			"over. Without --rules the built-in rules run, except those that are off because ordinary work makes them hit;\n" +
			"with --rules every rule of the folders runs. A rule that cannot be used is reported with file, line and reason.",
		Example: "  tocsin detect AWSLogs/\n" +
			"  tocsin detect --rules sigma/rules/cloud/aws --format json trail.json.gz\n" +
			"  zcat *.gz | tocsin detect --stats -",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("name the files to look at, or - for the standard input")
			}
			o, err := f.parse(cmd)
			if err != nil {
				return err
			}
			rs, report := detect.Load(o, f.rules...)
			printLoadErrors(cmd.ErrOrStderr(), report)
			if report.Usable == 0 {
				return fmt.Errorf("none of the rules can be used: %d are off, %d are for something else, %s",
					len(report.Off), len(report.Skipped), countErrors(len(report.Refused)))
			}
			return newDetection(cmd, rs, f).run(args, stats)
		},
	}
	p := cmd.PersistentFlags()
	p.StringSliceVar(&f.rules, "rules", nil, "folder or file with Sigma rules instead of the built-in ones. Repeatable")
	p.BoolVar(&f.builtin, "builtin", false, "with --rules: the built-in rules too")
	p.StringSliceVar(&f.enable, "enable", nil, "id or name of a rule to switch on")
	p.StringSliceVar(&f.disable, "disable", nil, "id or name of a rule to switch off")
	p.StringArrayVar(&f.placeholders, "placeholder", nil, "name=value,value of a %name% in rules that expand it. Repeatable")
	p.StringVar(&f.format, "format", "text", "json (one line a hit) or text")
	p.BoolVar(&f.all, "all", false, "run the built-in rules that are off by default too")
	cmd.Flags().BoolVar(&f.detail, "detail", false, "with json: the author of the rule, and the events of a correlation, in each line too")
	cmd.Flags().BoolVar(&stats, "stats", false, "sum up at the end, on the standard error")
	cmd.AddCommand(detectLintCommand(f), detectTestCommand(f))
	return cmd
}

// parse reads the flags; --json of the root means the format too.
func (f *detectFlags) parse(cmd *cobra.Command) (detect.Options, error) {
	if asJSON, err := cmd.Flags().GetBool("json"); err == nil && asJSON {
		f.format = "json"
	}
	return f.options()
}

// printLoadErrors says which rules are not used.
func printLoadErrors(w io.Writer, report detect.LoadResult) {
	for _, r := range report.Refused {
		fmt.Fprintln(w, "not used:", r)
	}
	for _, r := range report.Warnings {
		fmt.Fprintln(w, "warning:", r)
	}
}

func detectLintCommand(f *detectFlags) *cobra.Command {
	return &cobra.Command{
		Use: "lint [FOLDER…]", Short: "Say which rules cannot be used, and why",
		Long: "Compile every rule and list those that cannot be used, with file, line and reason. Rules for other logs are\n" +
			"counted and passed over. The exit code is 1 when a rule cannot be used.",
		RunE: func(cmd *cobra.Command, args []string) error {
			f.rules = append(f.rules, args...)
			o, err := f.parse(cmd)
			if err != nil {
				return err
			}
			o.All = f.all
			_, report := detect.Load(o, f.rules...)
			if f.format == "json" {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(report)
			} else {
				err = lintText(cmd.OutOrStdout(), report)
			}
			switch {
			case err != nil:
				return err
			case len(report.Refused) > 0:
				return exitCode(1)
			case report.Files == 0:
				return errors.New("there is no .yml or .yaml file to look at")
			}
			return nil
		},
	}
}

func lintText(w io.Writer, report detect.LoadResult) error {
	for _, r := range report.Off {
		fmt.Fprintln(w, "off:", r)
	}
	printLoadErrors(w, report)
	_, err := fmt.Fprintf(w, "%d files: %d rules to use, %d off, %d for something else, %s\n",
		report.Files, report.Usable, len(report.Off), len(report.Skipped), countErrors(len(report.Refused)))
	return err
}

// countErrors counts them in words.
func countErrors(n int) string {
	if n == 1 {
		return "1 fault"
	}
	return fmt.Sprintf("%d faults", n)
}

func detectTestCommand(f *detectFlags) *cobra.Command {
	return &cobra.Command{
		Use: "test [FOLDER…]", Short: "Run the fixtures of the rules",
		Long: "Run the fixtures that stand in folders named fixtures beside the rules: records that match, and near misses\n" +
			"that differ in one field. Then drop every condition from every rule in turn. A fixture has to notice.",
		Example: "  # rules/fixtures/any-name.yaml, one document a rule:\n" +
			"  rule: trail-stopped                                  # its id or name\n" +
			"  records: [{eventName: StopLogging, errorCode: null}] # each matches\n" +
			"  also: [{eventName: DeleteTrail}]                     # so does the first record with this one field changed\n" +
			"  not: [{of: 1, errorCode: AccessDenied}]              # and so it does not; <absent> takes a field away\n\n" +
			"  # of a correlation: the records, repeated with new ids and times\n" +
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
				err = json.NewEncoder(out).Encode(report)
			} else {
				for _, fault := range report.Problems {
					fmt.Fprintln(out, fault)
				}
				for _, id := range report.Untested {
					fmt.Fprintf(out, "no fixtures: rule %s\n", id)
				}
				_, err = fmt.Fprintf(out, "%d rules, %d records, %d conditions dropped in turn: %s, %d rules without fixtures\n",
					report.Rules, report.Records, report.Mutants, countErrors(len(report.Problems)), len(report.Untested))
			}
			switch {
			case err != nil:
				return err
			case len(report.Problems) > 0:
				return exitCode(1)
			case report.Rules+len(report.Untested) == 0:
				return errors.New("there is no rule to test")
			}
			return nil
		},
	}
}
