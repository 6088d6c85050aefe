package story

import (
	"testing"
	"time"
)

// TestTypedTime types every quarter of an hour of the days when summer time begins and
// ends. Each text must mean one time.
func TestTypedTime(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	for _, day := range []time.Time{time.Date(2026, 3, 29, 0, 0, 0, 0, paris), time.Date(2026, 10, 25, 0, 0, 0, 0, paris), time.Date(2028, 2, 29, 0, 0, 0, 0, paris)} {
		seen := map[string]time.Time{}
		for at := day; at.Before(day.AddDate(0, 0, 1)); at = at.Add(15 * time.Minute) {
			text := typedTime(at, "2006-01-02 15:04")
			if earlier, ok := seen[text]; ok {
				t.Errorf("%s is both %s and %s", text, earlier, at)
			}
			seen[text] = at
		}
	}
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC), "02:30 UTC+02:00"},
		{time.Date(2026, 10, 25, 1, 30, 0, 0, time.UTC), "02:30 UTC+01:00"},
		{time.Date(2026, 10, 25, 2, 0, 0, 0, time.UTC), "03:00"},
	} {
		if got := typedTime(c.at.In(paris), "15:04"); got != c.want {
			t.Errorf("%s: got %s, want %s", c.at, got, c.want)
		}
	}
}
