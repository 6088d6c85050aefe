package detect_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tocsin/bot/detect"
	"tocsin/bot/intake/intaketest"
)

// sigmaDir holds rules in the style of SigmaHQ that use the features of its
// CloudTrail rules.
const sigmaDir = "testdata/sigma"

// trailFixtures and trailCorpus match files with CloudTrail records.
var (
	trailFixtures = []string{"testdata/trail/*.json", "testdata/trail/*.ndjson", "testdata/trail/*/*.json"}
	trailCorpus   = []string{"cloudtrail-invictus/records/*.json", "cloudtrail-otrf/*.ndjson", "aws-eventbridge/*/*.json"}
)

// sigmaCorpus returns the folder of SigmaHQ's rules in the recorded corpus.
func sigmaCorpus() string {
	return filepath.Join(os.Getenv(intaketest.CorpusEnv), "sigma-cloudtrail")
}

// recordsByEncodingJSON returns the records that [detect.Read] finds in a file, but
// decodes the file with encoding/json.
func recordsByEncodingJSON(t testing.TB, file intaketest.Payload) (records []json.RawMessage) {
	d := json.NewDecoder(bytes.NewReader(file.Body))
	for {
		var raw json.RawMessage
		if err := d.Decode(&raw); err == io.EOF {
			return records
		} else if err != nil {
			t.Fatalf("%s: %v", file.Path, err)
		}
		var v struct {
			Records    []json.RawMessage
			Detail     json.RawMessage `json:"detail"`
			DetailType string          `json:"detail-type"`
		}
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Fatalf("%s: %v", file.Path, err)
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

// compareHits compares the hits of both implementations on files and returns the
// number of hits of each rule.
func compareHits(t *testing.T, rs *detect.Ruleset, refs []refRule, files []intaketest.Payload) map[string]int {
	t.Helper()
	total, fast, slow, hits := 0, []string{}, []string{}, map[string]int{}
	for _, file := range files {
		counts, err := detect.Read(bytes.NewReader(file.Body), func(r *detect.Record) error {
			rs.Match(r, func(h detect.Hit) { fast = append(fast, h.Rule.ID+" "+r.EventID()+" "+file.Path) })
			return nil
		}, func(detect.Problem) {})
		if err != nil {
			t.Fatalf("%s: %v", file.Path, err)
		}
		records := recordsByEncodingJSON(t, file)
		if counts.Records != len(records) {
			t.Errorf("%s: got %d records, want %d", file.Path, counts.Records, len(records))
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
					slow = append(slow, ref.id+" "+v.EventID+" "+file.Path)
					hits[ref.id]++
				}
			}
		}
	}
	if got, want := refSorted(fast), refSorted(slow); !slices.Equal(got, want) {
		t.Errorf("got %d hits, want the %d of the reference", len(got), len(want))
	}
	t.Logf("%d records, %d rules, %d hits", total, len(refs), len(slow))
	if len(slow) == 0 {
		t.Error("got no hit, want at least one")
	}
	return hits
}

// compareHitsOnBoth compares the hits on the fixtures and on the recorded corpus.
// Each rule has to match some records of the fixtures, but not all.
func compareHitsOnBoth(t *testing.T, rs *detect.Ruleset, refs []refRule) {
	t.Run("fixtures", func(t *testing.T) {
		files, total := intaketest.Fixtures(t, trailFixtures...), 0
		for _, file := range files {
			total += len(recordsByEncodingJSON(t, file))
		}
		hits := compareHits(t, rs, refs, files)
		for _, ref := range refs {
			if n := hits[ref.id]; n == 0 || n == total {
				t.Errorf("rule %s: got %d hits on %d records, want some", ref.id, n, total)
			}
		}
	})
	if intaketest.HasCorpus() {
		t.Run("corpus", func(t *testing.T) { compareHits(t, rs, refs, intaketest.Corpus(t, trailCorpus...)) })
	}
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

// sigmaExpectation is the result of loading a folder with the rules of SigmaHQ.
type sigmaExpectation struct {
	dir          string
	usable, off  int
	placeholders map[string][]string
}

func (want sigmaExpectation) check(t *testing.T, files []intaketest.Payload) {
	rules, placeholder := filepath.Join(want.dir, "rules"), filepath.Join(want.dir, "placeholder")
	rs, report := detect.Load(detect.Options{All: true}, rules)
	if report.Usable != want.usable || len(rs.Rules()) != want.usable || len(files) != want.usable || report.Err() != nil || len(report.Skipped) > 0 {
		t.Errorf("got %d of %d usable, want %d: %v, skipped %v", report.Usable, len(files), want.usable, report.Err(), report.Skipped)
	}
	_, report = detect.Load(detect.Options{}, rules)
	if len(report.Off) != want.off {
		t.Errorf("got %d rules that are off, want %d", len(report.Off), want.off)
	}
	_, report = detect.Load(detect.Options{}, placeholder)
	if len(report.Refused) != len(want.placeholders) {
		t.Errorf("without values: got %v, want %d refusals", report.Err(), len(want.placeholders))
	}
	for name := range want.placeholders {
		if err := report.Err(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without values: got %v, want an error that names %s", err, name)
		}
	}
	if _, report = detect.Load(detect.Options{Placeholders: want.placeholders}, placeholder); report.Usable != 1 {
		t.Errorf("with values: got %v, want one usable rule", report.Err())
	}
}

func TestLoad_SigmaHQ(t *testing.T) {
	t.Run("fixtures", func(t *testing.T) {
		values := map[string][]string{"Tidewater_Countries": {"FR"}, "Tidewater_Networks": {"192.0.2.*"}}
		sigmaExpectation{sigmaDir, 20, 1, values}.check(t, intaketest.Fixtures(t, sigmaDir+"/rules/*.yml"))
	})
	if intaketest.HasCorpus() {
		t.Run("corpus", func(t *testing.T) {
			values := map[string][]string{"Legitimate_Countries": {"FR"}, "Legitimate_IP_Ranges": {"192.0.2.*"}}
			sigmaExpectation{sigmaCorpus(), 57, 6, values}.check(t, intaketest.Corpus(t, "sigma-cloudtrail/rules/*.yml"))
		})
	}
}

// TestLoad_RulesOfSigmaHQOffByDefault loads a rule under each id that is off by
// default.
func TestLoad_RulesOfSigmaHQOffByDefault(t *testing.T) {
	for id, reason := range detect.OffByDefault {
		rule := strings.Replace(ruleHead, "id: t", "id: "+id, 1) + indent("s: {eventName: x}\ncondition: s")
		_, report := detect.LoadText(detect.Options{}, []byte(rule))
		if report.Usable != 0 || len(report.Off) != 1 || !strings.Contains(report.Off[0].Reason, reason) {
			t.Errorf("%s: got %+v, want the rule off because %s", id, report, reason)
		}
		if _, report = detect.LoadText(detect.Options{Enable: []string{id}}, []byte(rule)); report.Usable != 1 {
			t.Errorf("%s, enabled: got %+v, want a usable rule", id, report)
		}
	}
}

// sigmaRefs returns the rules of files for the reference.
func sigmaRefs(files []intaketest.Payload) (refs []refRule) {
	for _, file := range files {
		refs = append(refs, refParse(file.Body))
	}
	return refs
}

func TestMatch_SigmaHQAgreesWithReference(t *testing.T) {
	rs, _ := detect.Load(detect.Options{All: true}, sigmaDir+"/rules")
	compareHitsOnBoth(t, rs, sigmaRefs(intaketest.Fixtures(t, sigmaDir+"/rules/*.yml")))
	if intaketest.HasCorpus() {
		t.Run("corpus rules", func(t *testing.T) {
			rs, _ := detect.Load(detect.Options{All: true}, sigmaCorpus()+"/rules")
			refs := sigmaRefs(intaketest.Corpus(t, "sigma-cloudtrail/rules/*.yml"))
			compareHits(t, rs, refs, intaketest.Corpus(t, trailCorpus...))
		})
	}
}

// The rules have many matches in the fixtures and in the recorded corpus.
func TestMatch_ManyRulesAgreeWithReference(t *testing.T) {
	dir := t.TempDir()
	var refs []refRule
	conditions := []string{
		"s:\n  eventSource: [ec2.amazonaws.com, IAM.amazonaws.com]\n  eventName|startswith: ['Create', 'delete']\ncondition: s",
		"s: {eventName|endswith: s}\nnot_s: {eventSource|contains: ec2}\ncondition: s and not not_s",
		"s: {userAgent|re|i: 'TERRAFORM'}\nf: {errorCode: null}\ncondition: s and not f",
		"s: {sourceIPAddress|cidr: [192.168.0.0/16, 10.0.0.0/8]}\nt: {readOnly: true}\ncondition: s and not t",
		"s: {requestParameters|contains: '\"key\":\"Name\"'}\ncondition: s",
		"s: {requestParameters.tagSpecificationSet.items.tags.key: name}\ncondition: s",
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
	compareHitsOnBoth(t, rs, refs)
}
