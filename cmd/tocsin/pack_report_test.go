package main

import (
	"strings"
	"testing"

	"tocsin/bot/pack"
)

// TestPackReport_HostileText prints the texts of a forged pack. They add no line and no escape sequence.
func TestPackReport_HostileText(t *testing.T) {
	const hostile = "x\n\nverified\x1b[2J\u202e"
	out := packReport(pack.Report{Incident: "INC-7", Checks: []pack.Check{{Name: "files", Result: pack.ResultProblem, Detail: hostile}},
		Signatures: []pack.Signature{{Department: hostile, Person: hostile, Name: hostile, How: hostile, Fingerprint: hostile, Registration: hostile}}})
	if strings.Contains(out, "\nverified") || strings.ContainsAny(out, "\x1b\u202e") || !strings.HasSuffix(out, "\nNOT VERIFIED") {
		t.Errorf("got %q, want escaped texts and the verdict", out)
	}
}
