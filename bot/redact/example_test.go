package redact_test

import (
	"fmt"

	"tocsin/bot/redact"
)

func ExampleRedactor_Text() {
	r := redact.New(redact.Options{
		KeepEmails: []string{"status@example.com"},
		Literals:   []string{"Jean Dupont"},
	})
	fmt.Println(r.Text("Jean Dupont (jean.dupont@example.com, +33 6 12 34 56 78) leaked AKIAIOSFODNN7EXAMPLE."))
	fmt.Println(r.Text("Card 4111 1111 1111 1111, password=hunter2, write to status@example.com."))
	// Output:
	// [redacted] ([email], [phone]) leaked AKIAIOSFODNN7EXAMPLE.
	// Card [card], password=[secret], write to status@example.com.
}
