//go:build !race

package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/company"
	"tocsin/store/storetest"
)

// TestAsk_CommandLine asks a running bot about records that it received.
func TestAsk_CommandLine(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, url string) {
		s := startBot(t, url, company.Options{Seed: 44})
		call := func(n int, name, failure string) string {
			return fmt.Sprintf(`{"eventVersion":"1.08","eventTime":%q,"eventID":"00000000-0000-4000-8000-%012d","eventSource":"iam.amazonaws.com","eventName":%q,"errorCode":%q,"awsRegion":"us-east-1",
				"recipientAccountId":"123456789012","sourceIPAddress":"198.51.100.7","userAgent":"aws-cli/2.1","userIdentity":{"type":"AssumedRole","accountId":"123456789012","accessKeyId":"ASIAIOSFODNN7EXAMPLE",
				"arn":"arn:aws:sts::123456789012:assumed-role/Admin/ada","sessionContext":{"sessionIssuer":{"arn":"arn:aws:iam::123456789012:role/Admin"}}}}`,
				time.Now().Add(time.Duration(n-10)*time.Minute).UTC().Format(time.RFC3339), n, name, failure)
		}
		file := filepath.Join(t.TempDir(), "records.json")
		if err := os.WriteFile(file, []byte("["+call(1, "CreateAccessKey", "")+","+call(2, "DeleteUser", "AccessDenied")+"]"), 0o600); err != nil {
			t.Fatal(err)
		}
		s.mustRun("replay", "--source", "cloudtrail", file)
		s.waitIdle(time.Minute)
		for _, subject := range []string{"arn:aws:iam::123456789012:role/Admin", "arn:aws:sts::123456789012:assumed-role/Admin/ada", "role/Admin", "ASIAIOSFODNN7EXAMPLE", "198.51.100.7", "123456789012"} {
			var got incident.Trail
			if err := json.Unmarshal([]byte(s.mustRun("ask", subject, "last", "1h", "--json")), &got); err != nil {
				t.Fatal(err)
			}
			if got.Count != 2 || len(got.Events) != 2 || got.Events[0].Call != "iam CreateAccessKey" || got.Events[1].Result != "AccessDenied" || got.Events[0].UserAgent != "aws-cli/2.1" || got.Next != 0 {
				t.Errorf("%s: got %+v", subject, got)
			}
		}
		text := s.mustRun("ask", "key", "ASIAIOSFODNN7EXAMPLE", "last", "1h", "limit", "1")
		for _, want := range []string{"2 events, first ", "iam DeleteUser: AccessDenied (1)", "Page 1 of 2. Add page 2", "Searched: ", "The answer has only records and alerts that you may read."} {
			if !strings.Contains(text, want) {
				t.Errorf("got %s\nwant %q", text, want)
			}
		}
		if page := s.mustRun("audit", "list", "--action", "ask"); !strings.Contains(page, "key ASIAIOSFODNN7EXAMPLE from ") {
			t.Errorf("got %s, want the question in the audit log", page)
		}
	})
}
