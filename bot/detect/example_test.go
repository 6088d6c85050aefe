package detect_test

import (
	"fmt"
	"log"
	"time"

	"tocsin/bot/detect"
)

// This example compiles the rules in a folder and prints those that match a record.
func Example() {
	rules, result := detect.Load(detect.Options{}, "testdata/example")
	if err := result.Err(); err != nil {
		log.Fatal(err)
	}
	record, err := detect.DecodeRecord([]byte(`{
		"eventSource": "iam.amazonaws.com",
		"eventName": "CreateAccessKey",
		"eventID": "4f1a",
		"userIdentity": {"type": "IAMUser", "userName": "alice"},
		"requestParameters": {"userName": "deploy"}
	}`))
	if err != nil {
		log.Fatal(err)
	}
	rules.Match(record, func(h detect.Hit) {
		fmt.Printf("%s: %s (%s, by %s)\n", h.Record.EventID(), h.Rule.Title, h.Rule.Level, h.Rule.Author)
	})
	// Output:
	// 4f1a: Access key created for another user (high, by Ada Lovelace)
}

// This example explains why a rule does not match: AWS refused the call.
func ExampleRuleset_Trace() {
	rules, result := detect.Load(detect.Options{}, "testdata/example")
	if err := result.Err(); err != nil {
		log.Fatal(err)
	}
	record, err := detect.DecodeRecord([]byte(`{
		"eventSource": "iam.amazonaws.com",
		"eventName": "CreateAccessKey",
		"errorCode": "AccessDenied",
		"userIdentity": {"type": "IAMUser", "userName": "alice"},
		"requestParameters": {"userName": "deploy"}
	}`))
	if err != nil {
		log.Fatal(err)
	}
	traces, others := rules.Trace(record)
	for _, t := range traces {
		fmt.Printf("%s: match %t\n", t.Rule.ID, t.Hit)
		for _, c := range t.Compared {
			fmt.Printf("  line %d: %s: expected %s, got %s\n", c.Line, c.Field, c.Expected, c.Actual)
		}
	}
	fmt.Println("rules for other events:", others)
	// Output:
	// access-key-for-another-user: match false
	//   line 10: errorCode: expected null, got "AccessDenied"
	// rules for other events: 0
}

// This example loads the built-in rules and counts hits for their correlations.
func ExampleTracker() {
	rules, result := detect.Load(detect.Options{Builtin: true})
	if err := result.Err(); err != nil {
		log.Fatal(err)
	}
	var tracker detect.Tracker
	start := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	for i := range 10 {
		at := start.Add(time.Duration(i) * 30 * time.Second)
		record, err := detect.DecodeRecord(fmt.Appendf(nil, `{
			"eventSource": "signin.amazonaws.com",
			"eventName": "ConsoleLogin",
			"eventID": "event-%d",
			"eventTime": %q,
			"sourceIPAddress": "198.51.100.7",
			"recipientAccountId": "111122223333",
			"responseElements": {"ConsoleLogin": "Failure"}
		}`, i, at.Format(time.RFC3339)))
		if err != nil {
			log.Fatal(err)
		}
		rules.Match(record, func(h detect.Hit) {
			tracker.Take(h, at, func(f detect.Firing) {
				if f.Correlation.Name == "console-login-failures-by-address" {
					fmt.Printf("%s: %d events in %s\n", f.Correlation.Title, len(f.Events), f.To.Sub(f.From))
				}
			})
		})
	}
	// Output:
	// Many console logins failed from one address: 10 events in 4m30s
}
