package command_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	. "tocsin/bot/command"
	. "tocsin/bot/incident"
)

func parseAlertCommand(t *testing.T, text string) (Parsed, error) {
	t.Helper()
	return Parse(text, Context{Who: "eng1", Directory: testContext(t).Directory, Now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)})
}

func TestParseCommandLine_AlertRequests(t *testing.T) {
	for text, want := range map[string]AlertRequest{
		"alerts":                 {Query: QueryAlerts, Disposition: DispositionWatched},
		"alerts dropped":         {Query: QueryAlerts, Disposition: DispositionDropped},
		"alerts maintenance":     {Query: QueryAlerts, Disposition: DispositionMaintenance},
		"explain A17":            {Query: QueryExplain, Alert: 17},
		"explain d2041":          {Query: QueryExplain, Delivery: 2041},
		"maintenance":            {Query: QueryMaintenance},
		"maintenance end #3":     {Query: QueryMaintenance, End: 3},
		"maintenance confirm M3": {Query: QueryMaintenance, Confirm: 3},
	} {
		w, err := parseAlertCommand(t, text)
		if err != nil || w.AlertRequest == nil || *w.AlertRequest != want {
			t.Errorf("%s: got %+v, %v, want %+v", text, w.AlertRequest, err, want)
		}
	}
}

func TestParseCommandLine_MaintenanceWindow(t *testing.T) {
	noon := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]MaintenanceWindow{
		`maintenance add 2h project == "web" because the database moves`:              {From: noon, To: noon.Add(2 * time.Hour), When: `project == "web"`, Reason: "the database moves"},
		`maintenance add 3 days source == "sentry" because x`:                         {From: noon, To: noon.Add(72 * time.Hour), When: `source == "sentry"`, Reason: "x"},
		`maintenance add until 18:00 title contains “because” because of noise`:       {From: noon, To: noon.Add(6 * time.Hour), When: `title contains "because"`, Reason: "of noise"},
		`maintenance add 22:00 to 01:30 when level == "low" || sample because nights`: {From: noon.Add(10 * time.Hour), To: noon.Add(13*time.Hour + 30*time.Minute), When: `level == "low" || sample`, Reason: "nights"},
		`maintenance add 2h30 project == "web" because x`:                             {From: noon, To: noon.Add(150 * time.Minute), When: `project == "web"`, Reason: "x"},
		`maintenance add 2h30m project == "web" because x`:                            {From: noon, To: noon.Add(150 * time.Minute), When: `project == "web"`, Reason: "x"},
		`maintenance add 2h30 min project == "web" because x`:                         {From: noon, To: noon.Add(150 * time.Minute), When: `project == "web"`, Reason: "x"},
		`maintenance add for 1 day 2h05 project == "web" because x`:                   {From: noon, To: noon.Add(26*time.Hour + 5*time.Minute), When: `project == "web"`, Reason: "x"},
		`maintenance add 90min sample because x`:                                      {From: noon, To: noon.Add(90 * time.Minute), When: "sample", Reason: "x"},
		`maintenance add 90 min sample because x`:                                     {From: noon, To: noon.Add(90 * time.Minute), When: "sample", Reason: "x"},
		`maintenance add 22h30 to 23h sample because x`:                               {From: noon.Add(10*time.Hour + 30*time.Minute), To: noon.Add(11 * time.Hour), When: "sample", Reason: "x"},
		`maintenance add 22h to 23h30 sample because x`:                               {From: noon.Add(10 * time.Hour), To: noon.Add(11*time.Hour + 30*time.Minute), When: "sample", Reason: "x"},
		`maintenance add from 22h30 until 1h sample because x`:                        {From: noon.Add(10*time.Hour + 30*time.Minute), To: noon.Add(13 * time.Hour), When: "sample", Reason: "x"},
	} {
		want.Owner = "eng1"
		w, err := parseAlertCommand(t, text)
		if err != nil || w.AlertRequest.Add == nil || *w.AlertRequest.Add != want {
			t.Errorf("%s: got %+v, %v, want %+v", text, w.AlertRequest, err, want)
		}
	}
	for text, zone := range map[string]string{"until 18:00 EST": "EST", "22:00 to 23:00 America/New_York": "America/New_York", "until tomorrow noon UTC+2": "UTC+02:00"} {
		w, err := parseAlertCommand(t, "maintenance add "+text+" sample because x")
		if err != nil || w.AlertRequest.Add.To.Location().String() != zone {
			t.Errorf("%s: got %+v, %v, want a time in %s", text, w.AlertRequest, err, zone)
		}
	}
	for text, want := range map[string]string{
		"2h 30 sample":   `"30" has no unit. Type a length of time such as 2h30m`,
		"2:30 sample":    `the end after "2:30" is missing. Type 2:30 to 23:30, or a length of time such as 2h30m`,
		"2h75 sample":    `"2h75" is not a date or time`,
		"2:30 to sample": `"sample" is not a date or time`,
		"90 sample":      `"90 sample" is not a date or time`,
	} {
		if _, err := parseAlertCommand(t, "maintenance add "+text+" because x"); CodeOf(err) != CodeInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
	for _, text := range []string{"maintenance add 2h sample", "maintenance add whenever sample because x", "maintenance end soon", "maintenance stop", "maintenance frobnicate", "maintenance confirm", "maintenance confirm it", "maintenance confirm M0", "maintenance end 0"} {
		if _, err := parseAlertCommand(t, text); CodeOf(err) != CodeInvalid {
			t.Errorf("%s: got %v, want invalid", text, err)
		}
	}
}

func TestParseCommandLine_SplitPromoteLegalHold(t *testing.T) {
	w, err := parseAlertCommand(t, "split INC-42 alerts A3, A4 and #5 sev1 2 keys leaked because they are others")
	if c := w.Command; err != nil || c.Verb != VerbSplit || c.For != 42 || !slices.Equal(c.Alerts, []int64{3, 4, 5}) || c.Severity != Sev1 ||
		c.Title != "2 keys leaked" || c.Text != "they are others" {
		t.Errorf("got %+v, %v", c, err)
	}
	w, err = parseAlertCommand(t, "split INC-42 alert A3 2 keys leaked")
	if c := w.Command; err != nil || !slices.Equal(c.Alerts, []int64{3}) || c.Title != "2 keys leaked" {
		t.Errorf("got %+v, %v", c, err)
	}
	w, err = parseAlertCommand(t, "alerts promote A17 sev2 into INC-7")
	if c := w.Command; err != nil || c.Verb != VerbPromote || c.For != 7 || !slices.Equal(c.Alerts, []int64{17}) || c.Severity != Sev2 {
		t.Errorf("got %+v, %v", c, err)
	}
	for _, text := range []string{"alerts promote A17 please", "alerts promote A1,A2", "alerts lost", "explain", "explain everything",
		"split INC-42 alerts", "split alerts A3 x"} {
		if _, err := parseAlertCommand(t, text); CodeOf(err) != CodeInvalid {
			t.Errorf("%s: got %v, want invalid", text, err)
		}
	}
	for text, verb := range map[string]Verb{"alerts promote": VerbPromote, "split INC-42 alerts A3": VerbSplit} {
		if w, err := parseAlertCommand(t, text); err != nil || w.Form != verb {
			t.Errorf("%s: got %+v, %v; want the form", text, w, err)
		}
	}
	w, err = parseAlertCommand(t, "legal-hold release INC-42 because it is over")
	if err == nil {
		t.Errorf("incident after release: got %+v, want an error", w.Command)
	}
	w, err = parseAlertCommand(t, "legal-hold INC-42 release because it is over")
	if c := w.Command; err != nil || c.Verb != VerbReleaseLegalHold || c.Text != "it is over" {
		t.Errorf("got %+v, %v", c, err)
	}
}
