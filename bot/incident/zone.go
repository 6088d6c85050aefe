package incident

import (
	"fmt"
	"regexp"
	"time"
)

// zoneOffset matches the name of a zone with a fixed offset: "UTC+02:00" and
// "EST-05:00".
var zoneOffset = regexp.MustCompile(`^([A-Z]{2,5})([+-])(\d{2}):(\d{2})$`)

// OffsetZone returns a zone with a fixed offset in seconds. The zone of the
// abbreviation UTC is named after the offset, such as "UTC+02:00".
func OffsetZone(abbreviation string, seconds int) *time.Location {
	if abbreviation != "UTC" {
		return time.FixedZone(abbreviation, seconds)
	}
	if seconds == 0 {
		return time.UTC
	}
	return time.FixedZone("UTC"+offsetText(seconds), seconds)
}

func offsetText(seconds int) string {
	sign := '+'
	if seconds < 0 {
		sign, seconds = '-', -seconds
	}
	return fmt.Sprintf("%c%02d:%02d", sign, seconds/3600, seconds/60%60)
}

// ZoneName returns the name under which [ParseZone] finds a zone: "UTC",
// "Europe/Paris", "UTC+02:00" or, for an abbreviation, "EST-05:00".
func ZoneName(zone *time.Location) string {
	name, seconds := time.Unix(0, 0).In(zone).Zone()
	switch {
	case zone == time.UTC:
		return "UTC"
	case zone.String() != name || zoneOffset.MatchString(name):
		return zone.String()
	}
	return name + offsetText(seconds)
}

// ParseZone returns the zone with a name of [ZoneName].
func ParseZone(name string) (*time.Location, error) {
	if m := zoneOffset.FindStringSubmatch(name); m != nil {
		seconds := atoi(m[3])*3600 + atoi(m[4])*60
		if m[2] == "-" {
			seconds = -seconds
		}
		return OffsetZone(m[1], seconds), nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		return nil, Invalid("zone", "unknown time zone %q. Use a name such as Europe/Paris", truncate(name))
	}
	return zone, nil
}

// HasZone reports whether a time was stated in a zone that is not UTC. Times of stored
// events are in UTC unless a person typed another zone.
func HasZone(t time.Time) bool {
	_, offset := t.Zone()
	name := t.Location().String()
	return offset != 0 || name != "UTC" && name != "Local" && name != ""
}

// TimeText returns a time as people read it, in its own zone and in UTC: "2026-11-28
// 10:00 EST (15:00 UTC)".
func TimeText(t time.Time) string {
	utc := t.UTC()
	if !HasZone(t) {
		return LocalText(utc)
	}
	inUTC := utc.Format(timeLayout(t))
	if utc.YearDay() != t.YearDay() {
		inUTC = utc.Format(time.DateOnly + " " + timeLayout(t))
	}
	return LocalText(t) + " (" + inUTC + " UTC)"
}

// LocalText returns a time in its own zone: "2026-11-28 10:00 EST".
func LocalText(t time.Time) string {
	zone := t.Location().String()
	if zone == "" || zone == "Local" {
		zone = t.Format("-07:00")
	}
	return t.Format(time.DateOnly+" "+timeLayout(t)) + " " + zone
}

// timeLayout is the layout of a time of day, with seconds if there are any.
func timeLayout(t time.Time) string {
	if t.Second() != 0 {
		return "15:04:05"
	}
	return "15:04"
}

// Stated returns a time of the event in the zone that the person typed, by default
// UTC.
func (e Event) Stated(t time.Time) time.Time {
	if zone, err := ParseZone(e.Field("zone")); err == nil && !t.IsZero() {
		return t.In(zone)
	}
	return t.UTC()
}

// stated returns the time in a field in the zone that the person typed.
func (e Event) stated(field string) time.Time { return e.Stated(parseInstant(e.Field(field))) }
