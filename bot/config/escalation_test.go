package config

import "testing"

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
