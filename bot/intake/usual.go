package intake

import (
	"cmp"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/setting"
)

// Usual is what is usual for a source. Tocsin reports the source if it is silent for
// longer, and judges by it what it cannot read.
type Usual struct {
	// Severity is the severity of an incident about a delivery that cannot be read,
	// default sev3.
	Severity string `yaml:"usual_severity"`
	// ExpectedInterval is the longest time between two deliveries. Zero means that any
	// silence is normal.
	ExpectedInterval time.Duration `yaml:"expected_interval" unit:"days"`
}

// Bounds of Usual.ExpectedInterval.
const (
	minExpectedInterval = time.Minute
	maxExpectedInterval = 90 * 24 * time.Hour
)

// Validate returns the problems, by key.
func (u Usual) Validate() setting.Problems {
	var p setting.Problems
	if _, err := incident.ParseSeverity(cmp.Or(u.Severity, string(incident.Sev3))); err != nil {
		p.Add("usual_severity", "is unknown. Use sev1 (most severe), sev2, sev3 or sev4")
	}
	if d := u.ExpectedInterval; d != 0 && (d < minExpectedInterval || d > maxExpectedInterval) {
		p.Add("expected_interval", "is out of range. Write a duration from 1m to 90d, or 0 if silence is normal")
	}
	return p
}

// UnreadSeverity returns the severity of an incident about a delivery that cannot be
// read. The configuration must be valid.
func (u Usual) UnreadSeverity() incident.Severity {
	severity, _ := incident.ParseSeverity(cmp.Or(u.Severity, string(incident.Sev3)))
	return severity
}
