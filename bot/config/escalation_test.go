package config

import (
	"testing"
	"time"
)

func TestPageTest_Next(t *testing.T) {
	now := time.Date(2026, 11, 30, 18, 0, 0, 0, time.UTC) // a Monday
	for _, test := range []struct{ at, zone, want string }{
		{"Tue 10:00", "Europe/Paris", "2026-12-01T09:00:00Z"}, {"Mon 18:00", "UTC", "2026-12-07T18:00:00Z"}, {"Mon 20:00", "Europe/Paris", "2026-11-30T19:00:00Z"},
		{"", "UTC", "0001-01-01T00:00:00Z"}, {"Tue 10:00", "Nowhere", "0001-01-01T00:00:00Z"},
	} {
		if got := (PageTest{At: test.at}).Next(now, test.zone).Format(time.RFC3339); got != test.want {
			t.Errorf("%q in %s: got %s, want %s", test.at, test.zone, got, test.want)
		}
	}
}

func TestPageTest_Cron(t *testing.T) {
	for at, want := range map[string]string{"Tue 10:00": "00 10 * * TUE", "sun 9:05": "05 9 * * SUN", "FRI 23:59": "59 23 * * FRI", "": ""} {
		test := PageTest{At: at}
		if got := test.Cron(); got != want || len(test.Validate()) != 0 {
			t.Errorf("%q: got %q and %v, want %q", at, got, test.Validate(), want)
		}
	}
	for _, at := range []string{"Tue", "10:00", "Tue 24:00", "Tue 10:60", "Tuesday 10:00", "Tue 10:00 UTC", " Tue 10:00", "0 10 * * TUE", "Die 10:00", "Tue\n10:00"} {
		test := PageTest{At: at}
		if test.Cron() != "" || len(test.Validate()) != 1 {
			t.Errorf("%q: got %q and %v, want one problem", at, test.Cron(), test.Validate())
		}
	}
}
