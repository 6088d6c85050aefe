package bot

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// alertRules is the content of docs/alerts.yml.
type alertRules struct {
	Groups []struct {
		Name  string
		Rules []alertRule
	}
}

type alertRule struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

// metricRow is a row of the table that TestDocs_Metrics compares with the registry.
var metricRow = regexp.MustCompile("(?m)^\\| `(tocsin_[a-z_]+)` \\| (\\w+) \\| ([^|]*) \\|")

// documentedMetrics returns the labels of each metric, and of up.
func documentedMetrics(text string) map[string][]string {
	out := map[string][]string{"up": {"job"}}
	for _, m := range metricRow.FindAllStringSubmatch(text, -1) {
		names := regexp.MustCompile("[a-z_]+").FindAllString(m[3], -1)
		out[m[1]] = names
		if m[2] == "histogram" {
			out[m[1]+"_bucket"] = append(slices.Clone(names), "le")
		}
	}
	return out
}

// TestDocs_Alerts checks the alert rules with the parser of Prometheus: each expression is
// valid, and its metrics, labels and label values exist.
func TestDocs_Alerts(t *testing.T) {
	var rules alertRules
	if err := yaml.UnmarshalWithOptions([]byte(openPage(t, "docs/alerts.yml").text), &rules, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	page := openPage(t, "docs/operations.md").text
	metrics := documentedMetrics(page)
	if len(metrics) < 20 || len(rules.Groups) != 1 || len(rules.Groups[0].Rules) < 15 {
		t.Fatalf("got %d metrics and groups %+v", len(metrics), rules.Groups)
	}
	if !strings.Contains(page, "(alerts.yml)") {
		t.Error("docs/operations.md has no link to alerts.yml")
	}
	seen := map[string]bool{}
	for _, r := range rules.Groups[0].Rules {
		if seen[r.Alert] || !strings.HasPrefix(r.Alert, "Tocsin") {
			t.Errorf("got alert %q, want another name that begins with Tocsin", r.Alert)
		}
		seen[r.Alert] = true
		r.check(t, metrics, page)
	}
}

func (r alertRule) check(t *testing.T, metrics map[string][]string, page string) {
	t.Helper()
	if s := r.Labels["severity"]; s != "critical" && s != "warning" {
		t.Errorf("%s: got severity %q", r.Alert, s)
	}
	if r.Annotations["summary"] == "" || !strings.HasSuffix(r.Annotations["description"], ".") {
		t.Errorf("%s: want a summary, and a description with the action", r.Alert)
	}
	expr, err := parser.ParseExpr(r.Expr)
	if err != nil {
		t.Errorf("%s: %v", r.Alert, err)
		return
	}
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		selector, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		known, ok := metrics[selector.Name]
		if !ok {
			t.Errorf("%s: there is no metric %s", r.Alert, selector.Name)
		}
		for _, m := range selector.LabelMatchers {
			if m.Name == labels.MetricName {
				continue
			}
			if !slices.Contains(known, m.Name) {
				t.Errorf("%s: %s has no label %s", r.Alert, selector.Name, m.Name)
			}
			if m.Name == "outcome" || m.Name == "kind" {
				for value := range strings.SplitSeq(m.Value, "|") {
					if !strings.Contains(page, "`"+value+"`") && value != "page" {
						t.Errorf("%s: %s has no documented value %s", r.Alert, m.Name, value)
					}
				}
			}
		}
		return nil
	})
	for _, text := range r.Annotations {
		for _, m := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(text, -1) {
			if m[1] != "instance" && !strings.Contains(r.Expr, m[1]) && !anyHasLabel(expr, metrics, m[1]) {
				t.Errorf("%s: the annotation has the label %s, which the alert has not", r.Alert, m[1])
			}
		}
	}
}

// anyHasLabel reports whether a metric of an expression has a label.
func anyHasLabel(expr parser.Expr, metrics map[string][]string, label string) (found bool) {
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			found = found || slices.Contains(metrics[s.Name], label)
		}
		return nil
	})
	return found
}
