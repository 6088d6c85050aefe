package publication

import (
	"tocsin/bot/setting"
	"tocsin/bot/syslog"
)

// Config configures the ways out for checkpoints. The destinations of the backups are
// another one.
type Config struct {
	Channel bool     `yaml:"channel"` // the announce channel of the chat
	Mail    []string `yaml:"mail"`    // addresses
	Syslog  string   `yaml:"syslog"`  // address of a syslog server, see [syslog.Open], or ""
}

// Defaults returns the configuration that the file changes.
func Defaults() Config { return Config{Channel: true} }

// Validate returns the problems of the configuration.
func (c Config) Validate() setting.Problems {
	var p setting.Problems
	p.CheckAddresses("mail", c.Mail)
	if c.Syslog != "" {
		if _, err := syslog.Open(c.Syslog); err != nil {
			p.Add("syslog", "%v", err)
		}
	}
	return p
}
