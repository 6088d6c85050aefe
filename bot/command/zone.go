package command

import (
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // for time zones on hosts without a database of them, about 450 KB

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// abbreviation is the short name of a time zone that people type after a time.
type abbreviation struct {
	home string // the zone in which it is in force for a part of the year, or always
	// offset is the offset in hours. An abbreviation without summer time, such as ET,
	// has none and means home.
	offset float64
	local  bool
}

// abbreviations are the short names that one group of zones uses.
var abbreviations = map[string]abbreviation{
	"EST": {"America/New_York", -5, false}, "EDT": {"America/New_York", -4, false}, "ET": {"America/New_York", 0, true},
	"MST": {"America/Denver", -7, false}, "MDT": {"America/Denver", -6, false}, "MT": {"America/Denver", 0, true},
	"PST": {"America/Los_Angeles", -8, false}, "PDT": {"America/Los_Angeles", -7, false}, "PT": {"America/Los_Angeles", 0, true},
	"CT": {"America/Chicago", 0, true}, "AKST": {"America/Anchorage", -9, false}, "AKDT": {"America/Anchorage", -8, false},
	"HST": {"Pacific/Honolulu", -10, false}, "WEST": {"Europe/Lisbon", 1, false}, "CET": {"Europe/Paris", 1, false}, "CEST": {"Europe/Paris", 2, false},
	"MEZ": {"Europe/Berlin", 1, false}, "MESZ": {"Europe/Berlin", 2, false}, "EET": {"Europe/Helsinki", 2, false}, "EEST": {"Europe/Helsinki", 3, false},
	"MSK": {"Europe/Moscow", 3, false}, "SAST": {"Africa/Johannesburg", 2, false}, "JST": {"Asia/Tokyo", 9, false}, "KST": {"Asia/Seoul", 9, false},
	"SGT": {"Asia/Singapore", 8, false}, "HKT": {"Asia/Hong_Kong", 8, false}, "AWST": {"Australia/Perth", 8, false},
	"ACST": {"Australia/Adelaide", 9.5, false}, "ACDT": {"Australia/Adelaide", 10.5, false}, "AEST": {"Australia/Sydney", 10, false}, "AEDT": {"Australia/Sydney", 11, false},
	"NZST": {"Pacific/Auckland", 12, false}, "NZDT": {"Pacific/Auckland", 13, false}, "BRT": {"America/Sao_Paulo", -3, false}, "NST": {"America/St_Johns", -3.5, false},
}

// sharedAbbreviations are the short names that several zones share, or that are also
// words. They are rejected with the names of the zones.
var sharedAbbreviations = map[string][]string{
	"IST": {"Asia/Kolkata", "Europe/Dublin", "Asia/Jerusalem"}, "CST": {"America/Chicago", "Asia/Shanghai", "America/Havana"},
	"CDT": {"America/Chicago", "America/Havana"}, "BST": {"Europe/London", "Asia/Dhaka"}, "AST": {"America/Halifax", "Asia/Riyadh"},
	"ADT": {"America/Halifax", "Asia/Baghdad"}, "GST": {"Asia/Dubai", "Atlantic/South_Georgia"}, "SST": {"Pacific/Pago_Pago", "Asia/Singapore"},
	"WST": {"Australia/Perth", "Pacific/Apia"}, "PKT": {"Asia/Karachi"}, "WET": {"Europe/Lisbon"}, "EAT": {"Africa/Nairobi"}, "CAT": {"Africa/Maputo"},
	"WAT": {"Africa/Lagos"}, "ART": {"America/Argentina/Buenos_Aires"}, "MET": {"Europe/Paris"}, "WIB": {"Asia/Jakarta"}, "ICT": {"Asia/Bangkok"}, "PHT": {"Asia/Manila"},
}

// commonZones are the names that the error for an unknown zone suggests.
var commonZones = strings.Fields(`Africa/Cairo Africa/Casablanca Africa/Johannesburg Africa/Lagos Africa/Nairobi America/Anchorage
	America/Argentina/Buenos_Aires America/Bogota America/Chicago America/Denver America/Halifax America/Havana America/Lima America/Los_Angeles
	America/Mexico_City America/New_York America/Phoenix America/Santiago America/Sao_Paulo America/St_Johns America/Toronto America/Vancouver
	Asia/Bangkok Asia/Dhaka Asia/Dubai Asia/Hong_Kong Asia/Jakarta Asia/Jerusalem Asia/Karachi Asia/Kathmandu Asia/Kolkata Asia/Manila Asia/Riyadh
	Asia/Seoul Asia/Shanghai Asia/Singapore Asia/Taipei Asia/Tehran Asia/Tokyo Atlantic/Reykjavik Australia/Adelaide Australia/Brisbane
	Australia/Melbourne Australia/Perth Australia/Sydney Europe/Amsterdam Europe/Athens Europe/Belgrade Europe/Berlin Europe/Brussels Europe/Bucharest
	Europe/Budapest Europe/Copenhagen Europe/Dublin Europe/Helsinki Europe/Istanbul Europe/Kyiv Europe/Lisbon Europe/London Europe/Luxembourg
	Europe/Madrid Europe/Moscow Europe/Oslo Europe/Paris Europe/Prague Europe/Riga Europe/Rome Europe/Sofia Europe/Stockholm Europe/Tallinn
	Europe/Vienna Europe/Vilnius Europe/Warsaw Europe/Zagreb Europe/Zurich Pacific/Auckland Pacific/Honolulu`)

// proseWords are abbreviations that are also common words. In lower case before prose
// they are a part of it.
var proseWords = []string{"met", "cat", "eat", "art", "wat", "west", "wet", "ist", "mt", "ct", "pt", "et", "mst", "sst"}

var (
	offsetWord = regexp.MustCompile(`^(utc|gmt)?([+-])(\d{1,2})(?::?([0-5]\d))?$`)
	zoneRegion = regexp.MustCompile(`(?i)^(africa|america|antarctica|arctic|asia|atlantic|australia|europe|indian|pacific|us|etc)/[a-z_/+-]+\d*$`)
	zoneShaped = regexp.MustCompile(`^(?:[A-Z]{2,5}|[A-Za-z_]+/[A-Za-z_/]+)$`)
)

// zone consumes a time zone after a time of day. A word that can be a zone or a part
// of the prose that follows is an error.
func (p *parser) zone(m *moment) (bool, error) {
	at := p.pos
	w, ok := p.next()
	if !ok || w.quoted {
		p.pos = at
		return false, nil
	}
	name := strings.Trim(w.text, "()[],;:")
	lower := strings.ToLower(name)
	found := true
	var err error
	switch rows, shared := sharedAbbreviations[strings.ToUpper(name)]; {
	case lower == "utc" || lower == "gmt" || lower == "z" || lower == "zulu":
		if next, more := p.peek(); more && !strings.ContainsAny(w.text, ",;:") && offsetWord.MatchString(next.text) && (!p.prose || len(next.text) > 2) {
			p.next()
			m.zone, found = offsetZone(next.text)
			break
		}
		m.zone = time.UTC
	case offsetWord.MatchString(lower):
		if p.prose && len(lower) <= 3 {
			return false, incident.Invalid("zone", "%q after the time can be an offset or a part of the text. Type UTC%s, or type because before the text", name, name)
		}
		m.zone, found = offsetZone(lower)
	case zoneRegion.MatchString(name):
		m.zone, err = loadZone(name)
	case p.prose && name != strings.ToUpper(name) && slices.Contains(proseWords, lower):
		found = false
	case shared:
		if len(rows) == 1 {
			return false, incident.Invalid("zone", "%q is not clear as a time zone. Type %s", name, rows[0])
		}
		return false, incident.Invalid("zone", "%q is the name of several time zones. Type one of: %s", name, strings.Join(rows, ", "))
	default:
		row, known := abbreviations[strings.ToUpper(name)]
		switch {
		case !known:
			found = false
		case p.prose && name != strings.ToUpper(name):
			return false, incident.Invalid("zone", "%q after the time can be a time zone or a part of the text. Type %s, or type because before the text", name, strings.ToUpper(name))
		case row.local:
			m.zone, err = loadZone(row.home)
		default:
			m.zone, m.home = time.FixedZone(strings.ToUpper(name), int(row.offset*3600)), row.home
		}
	}
	if !found || err != nil {
		p.pos = at
	}
	return found && err == nil, err
}

// offsetZone returns the zone of an offset such as "+02:00" or "utc+2".
func offsetZone(s string) (*time.Location, bool) {
	f := offsetWord.FindStringSubmatch(strings.ToLower(s))
	if f == nil {
		return nil, false
	}
	seconds := atoi(f[3])*3600 + atoi(f[4])*60
	if seconds > 14*3600 {
		return nil, false
	}
	if f[2] == "-" {
		seconds = -seconds
	}
	return incident.OffsetZone("UTC", seconds), true
}

// loadZone returns a zone of the time zone database, without regard to case.
func loadZone(name string) (*time.Location, error) {
	parts := strings.Split(strings.ToLower(name), "/")
	for n, part := range parts {
		words := strings.Split(part, "_")
		for k, word := range words {
			if word != "" && word != "of" && word != "es" && word != "au" {
				words[k] = text.Capital(word)
			}
		}
		parts[n] = strings.Join(words, "_")
	}
	for _, spelling := range []string{name, strings.Join(parts, "/")} {
		if zone, err := time.LoadLocation(spelling); err == nil && spelling != "" && spelling != "Local" {
			return zone, nil
		}
	}
	if near := incident.Nearest(name, commonZones); near != "" {
		return nil, incident.Invalid("zone", "unknown time zone %q. Did you mean %q?", truncate(name), near)
	}
	return nil, incident.Invalid("zone", "unknown time zone %q. Use a name such as Europe/Paris", truncate(name))
}

// place returns the time of a clock on a day. It returns an error if the clocks of the
// zone skip or repeat the time, or if the abbreviation of the zone is not in force.
func (m *moment) place(day time.Time, zone *time.Location) (time.Time, error) {
	c := m.clock
	v := time.Date(day.Year(), day.Month(), day.Day(), c.hour, c.minute, c.second, c.nanos, zone)
	wall := time.Date(day.Year(), day.Month(), day.Day(), c.hour, c.minute, c.second, c.nanos, time.UTC)
	shown, date := wall.Format("15:04"), wall.Format(time.DateOnly)
	if onWall(v) != onWall(wall) {
		before, after := v.Add(-3*time.Hour), v.Add(3*time.Hour)
		return v, incident.Invalid("time", "%s does not exist on %s in %s, because the clocks go forward. Type the time with its offset: %s %s UTC%s or %s UTC%s", shown, date, zone,
			date, shown, before.Format("-07:00"), shown, after.Format("-07:00"))
	}
	for _, shift := range []time.Duration{-time.Hour, -30 * time.Minute, 30 * time.Minute, time.Hour} {
		if other := v.Add(shift); onWall(other) == onWall(wall) {
			first, second := v, other
			if shift < 0 {
				first, second = other, v
			}
			return v, incident.Invalid("time", "%s occurs twice on %s in %s, because the clocks go back. Type the time with its offset: %s %s UTC%s or %s UTC%s", shown, date, zone,
				date, shown, first.Format("-07:00"), shown, second.Format("-07:00"))
		}
	}
	if m.home != "" {
		home, err := time.LoadLocation(m.home)
		if err != nil {
			return v, incident.Invalid("zone", "unknown time zone %q. Use a name such as Europe/Paris", m.home)
		}
		_, have := v.Zone()
		if _, want := v.In(home).Zone(); have != want {
			return v, incident.Invalid("zone", "%s is not in force on %s. Type %s, or %s for the local time there", zone, date, v.In(home).Format("MST"), m.home)
		}
	}
	return v, nil
}

// onWall returns the date and time that a clock on the wall shows.
func onWall(t time.Time) string { return t.Format("2006-01-02 15:04:05.999999999") }
