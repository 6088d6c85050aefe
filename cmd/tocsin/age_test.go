package main

import (
	"testing"
	"time"
)

func TestParseTimeOrAge(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"2h": 2 * time.Hour, "3d": 72 * time.Hour, "2h30": 150 * time.Minute, "2h30m": 150 * time.Minute, "90min": 90 * time.Minute,
		"2 weeks": 14 * 24 * time.Hour, "22h30": 22*time.Hour + 30*time.Minute, "02:30": 9*time.Hour + 30*time.Minute, "20 min ago": 20 * time.Minute, "2026-11-20": 12 * time.Hour,
	} {
		if got, err := parseTimeOrAge(text, now); err != nil || now.Sub(got) != want {
			t.Errorf("%s: got %v ago, error %v, want %v ago", text, now.Sub(got), err, want)
		}
	}
	for _, text := range []string{"90", "2h75", "soon", "-2h", ""} {
		if got, err := parseTimeOrAge(text, now); err == nil {
			t.Errorf("%s: got %v, want an error", text, got)
		}
	}
}
