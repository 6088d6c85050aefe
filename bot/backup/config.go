package backup

import (
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"tocsin/bot/setting"
)

// Config configures the backups. Without To there are none.
type Config struct {
	Every time.Duration `yaml:"every"`
	// Recipients are the age recipients that can read the backups.
	Recipients []string `yaml:"recipients"`
	To         []string `yaml:"to"` // addresses of destinations
	// CopiesRequired is how many destinations must have a backup. Fewer are a failure.
	CopiesRequired int    `yaml:"copies_required"`
	Keep           Keep   `yaml:"keep"`
	Spool          string `yaml:"spool"` // folder of the file that is sent, "" for the default
	Verify         Verify `yaml:"verify"`
}

// Keep is how long the backups of each class are retained.
type Keep struct {
	Hourly  time.Duration `yaml:"hourly" unit:"days"`
	Daily   time.Duration `yaml:"daily" unit:"days"`
	Monthly time.Duration `yaml:"monthly" unit:"days"`
}

// of returns how long a class is retained, and the time between two backups of it.
func (c Config) of(class Class) (keep, interval time.Duration) {
	switch class {
	case Daily:
		return c.Keep.Daily, setting.Days(1)
	case Monthly:
		return c.Keep.Monthly, setting.Days(31)
	}
	return c.Keep.Hourly, c.Every
}

// Verify configures the daily proof, which `tocsin backup verify` makes.
type Verify struct {
	At         string        `yaml:"at"` // time of day, such as 04:00, or "" without a proof
	StaleAfter time.Duration `yaml:"stale_after"`
	// Identity is the file with the age identity. The user of the bot must not be able to
	// read it.
	Identity string `yaml:"identity"`
}

// Defaults returns the configuration that the file changes.
func Defaults() Config {
	return Config{Every: time.Hour, CopiesRequired: 1, Keep: Keep{Hourly: setting.Days(3), Daily: setting.Days(35), Monthly: setting.Days(400)},
		Verify: Verify{At: "04:00", StaleAfter: 3 * time.Hour}}
}

// On reports whether Tocsin makes backups.
func (c Config) On() bool { return len(c.To) > 0 }

// SpoolFolder returns the folder for the file that is sent. The default is next to the
// SQLite database.
func (c Config) SpoolFolder(databaseURL string) string {
	if c.Spool != "" {
		return c.Spool
	}
	if path, ok := strings.CutPrefix(databaseURL, "sqlite:"); ok {
		return path + ".spool"
	}
	return "tocsin.spool"
}

// Validate returns the problems of the configuration.
func (c Config) Validate() setting.Problems {
	var p setting.Problems
	if reflect.DeepEqual(c, Defaults()) {
		return nil // the file has no key of it
	}
	if c.Every < 5*time.Minute || c.Every > 24*time.Hour {
		p.Add("every", "is out of range. Write 5m to 24h, such as 1h")
	}
	if len(c.To) == 0 {
		p.Add("to", "is missing. %s", addressForms)
	}
	seen := map[string]int{}
	for n, s := range c.To {
		at, problem := parseAddress(s)
		if problem != "" {
			p.Add(setting.Index("to", n), "%s", problem)
			continue
		}
		if first, twice := seen[at.label()]; twice {
			p.Add(setting.Index("to", n), "is the same destination as to[%d]. Write another, or remove it", first)
		}
		seen[at.label()] = n
	}
	if len(c.To) > 0 && (c.CopiesRequired < 1 || c.CopiesRequired > len(c.To)) {
		p.Add("copies_required", "is not a number from 1 to the %d destinations. Correct it, or add a destination", len(c.To))
	}
	for _, k := range []struct {
		name string
		keep time.Duration
	}{{"keep.hourly", c.Keep.Hourly}, {"keep.daily", c.Keep.Daily}, {"keep.monthly", c.Keep.Monthly}} {
		if k.keep < setting.Days(1) || k.keep > setting.Days(3660) {
			p.Add(k.name, "is out of range. Write 1d to 3660d, such as 35d")
		}
	}
	if c.Spool != "" && !filepath.IsAbs(c.Spool) {
		p.Add("spool", "is not an absolute path. Write one such as /var/lib/tocsin/spool, or omit the key")
	}
	c.validateRecipients(&p)
	c.validateVerify(&p)
	return p
}

func (c Config) validateRecipients(p *setting.Problems) {
	if len(c.Recipients) == 0 {
		p.Add("recipients", "is missing. Run age-keygen on another machine and write its public key, such as age1…")
	}
	for n, s := range c.Recipients {
		if _, err := parseRecipient(s); err != nil {
			p.Add(setting.Index("recipients", n), "is not an age recipient. Write the public key that age-keygen prints. It begins with age1")
		}
	}
	if _, err := parseRecipients(c.Recipients); err != nil && len(*p) == 0 {
		p.Add("recipients", "has post-quantum recipients (age1pq1) and others, so the weaker ones would decide. Write only one kind")
	}
}

func (c Config) validateVerify(p *setting.Problems) {
	if c.Verify.At == "" {
		return
	}
	if _, err := time.Parse("15:04", c.Verify.At); err != nil {
		p.Add("verify.at", "is not a time of day. Write one such as 04:00")
	}
	if c.Verify.StaleAfter < time.Minute || c.Verify.StaleAfter > 20*time.Hour {
		p.Add("verify.stale_after", "is out of range. Write 1m to 20h, such as 3h")
	}
}

// Warnings returns valid values that leave an instance without protection.
func (c Config) Warnings() setting.Problems {
	var p setting.Problems
	switch {
	case !c.On():
		p.Add("", "is not configured, so Tocsin makes no backups: a lost disk loses every incident. Add the keys of `tocsin config example`")
		return p
	case len(c.To) == 1:
		p.Add("to", "has one destination, which can be lost together with the database. Add another on other hardware")
	}
	if c.Verify.At == "" {
		p.Add("verify.at", "is empty, so nothing proves that the backups restore. Write a time of day such as 04:00, and run `tocsin backup verify` then")
	}
	return p
}
