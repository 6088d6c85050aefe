package setting

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Day is a calendar day, such as 2026-12-20.
type Day struct{ time.Time }

// UnmarshalText parses a day in the form 2006-01-02.
func (d *Day) UnmarshalText(b []byte) (err error) {
	d.Time, err = time.Parse(time.DateOnly, string(b))
	return err
}

// ParseDuration parses a number of days, such as 400d, or a duration of package
// time.
func ParseDuration(s string) (time.Duration, error) {
	count, inDays := strings.CutSuffix(s, "d")
	if !inDays {
		return time.ParseDuration(s)
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > 100*365 {
		return 0, fmt.Errorf("%q is not a number of days from 0 to 36500", s)
	}
	return Days(n), nil
}

// Days returns the duration of n days of 24 hours.
func Days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

// ParseNetwork parses a prefix or an address. An address becomes a prefix of its
// full length.
func ParseNetwork(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}
