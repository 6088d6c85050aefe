package command_test

import (
	"fmt"
	"time"

	"tocsin/bot/command"
)

// The context supplies the incident of the channel and the current time.
func ExampleParse() {
	c := command.Context{
		Incident: 42,
		Now:      time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC),
	}
	parsed, err := command.Parse("contain at 02:31 disabled the key", c)
	if err != nil {
		fmt.Println(err)
		return
	}
	cmd := parsed.Command
	fmt.Println(cmd.For, cmd.Verb, cmd.HappenedAt.Format(time.RFC3339), cmd.Text)

	_, err = command.Parse("sevrity sev1", c)
	fmt.Println(err)
	// Output:
	// INC-42 contain 2026-11-24T02:31:00Z disabled the key
	// unknown command "sevrity". Did you mean "severity"?
}
