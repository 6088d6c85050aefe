package detect_test

import (
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tocsin/bot/detect"
)

const (
	dataDir  = "../../../shared/data"
	sigmaDir = dataDir + "/sigma-cloudtrail/rules"
)

// trailFiles are the files with CloudTrail records of the data given.
func trailFiles(t testing.TB) []string {
	t.Helper()
	var out []string
	for _, dir := range []string{"cloudtrail-invictus", "cloudtrail-otrf", "aws-eventbridge"} {
		_ = filepath.WalkDir(filepath.Join(dataDir, dir), func(p string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() && strings.Contains(filepath.Ext(p), "json") {
				out = append(out, p)
			}
			return nil
		})
	}
	if len(out) == 0 {
		t.Skip("the data is not on this machine: " + dataDir)
	}
	return out
}

// recordsByEncodingJSON returns the records that [detect.Read] finds in a file, but
// decodes the file with encoding/json.
func recordsByEncodingJSON(t testing.TB, file string) (records []json.RawMessage) {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := json.NewDecoder(f)
	for {
		var raw json.RawMessage
		if err := d.Decode(&raw); err == io.EOF {
			return records
		} else if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		var v struct {
			Records    []json.RawMessage
			Detail     json.RawMessage `json:"detail"`
			DetailType string          `json:"detail-type"`
		}
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		list := []json.RawMessage{raw}
		switch {
		case v.Records != nil:
			list = v.Records
		case v.Detail != nil && v.DetailType != "":
			list = []json.RawMessage{v.Detail}
		}
		for _, r := range list {
			var m map[string]any
			_ = json.Unmarshal(r, &m)
			for _, key := range []string{"eventName", "eventSource", "eventVersion", "userIdentity"} {
				if _, ok := m[key]; ok {
					records = append(records, r)
					break
				}
			}
		}
	}
}

// compareHits checks that the rules and the reference find equal hits in the
// recorded data.
func compareHits(t *testing.T, rs *detect.Ruleset, refs []refRule) {
	total, fast, slow := 0, []string{}, []string{}
	for _, file := range trailFiles(t) {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		counts, err := detect.Read(f, func(r *detect.Record) error {
			rs.Match(r, func(h detect.Hit) { fast = append(fast, h.Rule.ID+" "+r.EventID()+" "+file) })
			return nil
		}, func(detect.Problem) {})
		f.Close()
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		records := recordsByEncodingJSON(t, file)
		if counts.Records != len(records) {
			t.Errorf("%s: got %d records, want %d", file, counts.Records, len(records))
		}
		total += len(records)
		for _, raw := range records {
			var v struct {
				EventID string `json:"eventID"`
			}
			_ = json.Unmarshal(raw, &v)
			event := refDecode(raw)
			for _, ref := range refs {
				if ref.matchesEvent(event) {
					slow = append(slow, ref.id+" "+v.EventID+" "+file)
				}
			}
		}
	}
	if got, want := refSorted(fast), refSorted(slow); !slices.Equal(got, want) {
		t.Errorf("got %d hits, want the %d hits of the reference", len(got), len(want))
	}
	t.Logf("%d records, %d rules, %d hits", total, len(refs), len(slow))
	if len(slow) == 0 {
		t.Error("got no hits, want some to compare")
	}
}

func sigmaRules(t testing.TB) []string {
	files, _ := filepath.Glob(sigmaDir + "/*.yml")
	if len(files) == 0 {
		t.Skip("the data is not on this machine: " + sigmaDir)
	}
	return files
}

func TestReference_ImportsNothingFromModule(t *testing.T) {
	for _, name := range []string{"reference_test.go", "reference_policy_test.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Imports {
			if strings.Contains(i.Path.Value, "tocsin") {
				t.Errorf("%s imports %s", name, i.Path.Value)
			}
		}
	}
}

func TestLoad_SigmaHQ(t *testing.T) {
	files := sigmaRules(t)
	rs, report := detect.Load(detect.Options{All: true}, sigmaDir)
	if report.Usable != 57 || len(rs.Rules()) != 57 || len(files) != 57 || report.Err() != nil || len(report.Skipped) > 0 {
		t.Errorf("%d of %d usable: %v, skipped %v", report.Usable, len(files), report.Err(), report.Skipped)
	}
	_, report = detect.Load(detect.Options{}, sigmaDir)
	if len(report.Off) != 6 {
		t.Errorf("%d rules are off, not 6", len(report.Off))
	}
	placeholder := dataDir + "/sigma-cloudtrail/placeholder"
	if _, report = detect.Load(detect.Options{}, placeholder); len(report.Refused) != 2 || !strings.Contains(report.Err().Error(), "Legitimate_Countries") {
		t.Errorf("without values: %v", report.Err())
	}
	values := map[string][]string{"Legitimate_Countries": {"FR"}, "Legitimate_IP_Ranges": {"192.0.2.*"}}
	if _, report = detect.Load(detect.Options{Placeholders: values}, placeholder); report.Usable != 1 {
		t.Errorf("with values: %v", report.Err())
	}
}

func TestMatch_SigmaHQAgreesWithReference(t *testing.T) {
	rs, _ := detect.Load(detect.Options{All: true}, sigmaDir)
	var refs []refRule
	for _, file := range sigmaRules(t) {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, refParse(src))
	}
	compareHits(t, rs, refs)
}

// The rules are made for the recorded data and have many matches.
func TestMatch_ManyRulesAgreeWithReference(t *testing.T) {
	dir := t.TempDir()
	var refs []refRule
	conditions := []string{
		"s:\n  eventSource: [ec2.amazonaws.com, IAM.amazonaws.com]\n  eventName|startswith: ['Create', 'delete']\ncondition: s",
		"s: {eventName|endswith: s}\nnot_s: {eventSource|contains: ec2}\ncondition: s and not not_s",
		"s: {userAgent|re|i: 'TERRAFORM'}\nf: {errorCode: null}\ncondition: s and not f",
		"s: {sourceIPAddress|cidr: [192.168.0.0/16, 10.0.0.0/8]}\nt: {readOnly: true}\ncondition: s and not t",
		"s: {requestParameters|contains: '\"key\":\"Name\"'}\ncondition: s",
		"s: {requestParameters.tagSpecificationSet.items.tags.key: labattacktools}\ncondition: s",
		"s: {userIdentity.sessionContext.attributes.mfaAuthenticated|exists: true}\ncondition: s",
		"s: {responseElements: null}\nt: {requestParameters|neq: null}\ncondition: all of them",
		"s:\n  - 'SendCommand'\n  - 'PutBucketPolicy'\ncondition: s",
		"s: {userIdentity.accountId|fieldref: recipientAccountId}\nt: {eventName: 'Get*'}\ncondition: not s or t",
		"s: {eventName: '?et*Policy*'}\ncondition: s",
		"s: {userIdentity.arn|fieldref|contains: userIdentity.userName}\nt: {responseElements.createTime|gt: 1688990000000}\ncondition: s and t",
		"s: {eventVersion|gte: 1.08}\nt: {eventTime|hour: 12}\ncondition: s and not t",
		"s: {eventName|re: '[A-Z][a-z]+V?[0-9]+'}\nt: {eventName: ''}\ncondition: 1 of *",
		"s: {eventSource: s3.amazonaws.com}\ncondition: s",
	}
	if testing.Short() { // set with the race detector, which is slow
		conditions = conditions[:3]
	}
	for i, d := range conditions {
		src := strings.Replace(ruleHead, "id: t", fmt.Sprintf("id: r%d", i), 1) + indent(d)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.yml", i)), []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
		refs = append(refs, refParse([]byte(src)))
	}
	rs, report := detect.Load(detect.Options{}, dir)
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	compareHits(t, rs, refs)
}
