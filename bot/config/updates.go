package config

import (
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/setting"
)

// Updates configures who reads updates besides the responders, and their texts.
type Updates struct {
	FirstWithin FirstWithin     `yaml:"first_within"`
	Audiences   []Audience      `yaml:"audiences"`
	Statements  []StatementText `yaml:"statements"`
}

// FirstWithin is the time until the first update is due, by severity. 0 means never.
type FirstWithin struct {
	Sev1 time.Duration `yaml:"sev1"`
	Sev2 time.Duration `yaml:"sev2"`
	Sev3 time.Duration `yaml:"sev3"`
	Sev4 time.Duration `yaml:"sev4"`
}

// Audience is a group of readers of updates.
type Audience struct {
	Name         string   `yaml:"name"`
	SlackChannel string   `yaml:"slack_channel"`
	Mail         []string `yaml:"mail"`
	Restricted   bool     `yaml:"restricted"`
}

// StatementText is a text of updates with placeholders.
type StatementText struct {
	Name       string `yaml:"name"`
	Playbook   string `yaml:"playbook"`
	Text       string `yaml:"text"`
	ApprovedBy string `yaml:"approved_by"`
}

// BySeverity returns the times of the first update for the lifecycle.
func (f FirstWithin) BySeverity() map[incident.Severity]time.Duration {
	return map[incident.Severity]time.Duration{incident.Sev1: f.Sev1, incident.Sev2: f.Sev2, incident.Sev3: f.Sev3, incident.Sev4: f.Sev4}
}

// addUpdates adds the audiences and statements to the directory. The audience of the
// announce channel uses its thread.
func (c Config) addUpdates(d *incident.Directory) {
	for _, a := range c.Updates.Audiences {
		channel := strings.TrimPrefix(a.SlackChannel, "#")
		if channel != "" && channel == strings.TrimPrefix(c.Slack.AnnounceChannel, "#") {
			channel = incident.AnnounceAudience
		}
		d.Audiences = append(d.Audiences, incident.UpdateAudience{Name: a.Name, Channel: channel, Mail: a.Mail, Restricted: a.Restricted})
	}
	for _, s := range c.Updates.Statements {
		statement := incident.Statement{Name: s.Name, Playbook: s.Playbook, Text: s.Text}
		if p := c.findPerson(s.ApprovedBy); p != nil {
			statement.ApprovedBy = p.Name
		}
		d.Statements = append(d.Statements, statement)
	}
}

// validateUpdates checks the audiences and statements.
func (c Config) validateUpdates(p *setting.Problems) {
	seen := map[string]bool{}
	for n, a := range c.Updates.Audiences {
		key := setting.Index("updates.audiences", n)
		name := strings.ToLower(a.Name)
		switch {
		case !isWord(a.Name):
			p.Add(key+".name", "is not one word. Write a clear name without spaces or commas, such as customers")
		case seen[name]:
			p.Add(key+".name", "is used twice. Write another name")
		}
		seen[name] = true
		if a.SlackChannel == "" && len(a.Mail) == 0 {
			p.Add(key+".slack_channel", "is missing. Set slack_channel, mail or both")
		}
		if len(a.Mail) > 0 && c.Mail.Host == "" {
			p.Add(key+".mail", "needs mail. Configure mail, or omit the key")
		}
		for k, address := range a.Mail {
			p.CheckAddress(setting.Index(key+".mail", k), address)
		}
	}
	statements := map[string]bool{}
	for n, s := range c.Updates.Statements {
		key := setting.Index("updates.statements", n)
		id := strings.ToLower(s.Name + "/" + s.Playbook)
		switch {
		case !isWord(s.Name):
			p.Add(key+".name", "is not one word. Write a clear name without spaces or commas, such as holding")
		case statements[id]:
			p.Add(key+".name", "is used twice for one playbook. Write another name")
		}
		statements[id] = true
		c.validateStatement(p, key, s)
	}
}

// validateStatement checks the text of a statement and who approved it.
func (c Config) validateStatement(p *setting.Problems, key string, s StatementText) {
	if strings.TrimSpace(s.Text) == "" {
		p.Add(key+".text", "is missing. Write the text of the statement")
	}
	rest := s.Text
	for _, known := range incident.StatementPlaceholders() {
		rest = strings.ReplaceAll(rest, known, "")
	}
	if strings.ContainsAny(rest, "{}") {
		p.Add(key+".text", "has an unknown placeholder. Use %s", strings.Join(incident.StatementPlaceholders(), ", "))
	}
	if s.ApprovedBy == "" {
		return
	}
	if strings.Contains(s.Text, incident.PlaceholderText) {
		p.Add(key+".approved_by", "is set, but the text has the placeholder %s, whose words nobody approved. Remove one of them", incident.PlaceholderText)
	}
	approver := c.findPerson(s.ApprovedBy)
	if approver == nil || !slices.ContainsFunc([]incident.Department{incident.Legal, incident.Communications}, func(name incident.Department) bool {
		return slices.Contains(c.teamMembers(c.Departments[string(name)]), approver.id())
	}) {
		p.Add(key+".approved_by", "is not a member of legal or communications. Write the mail address of the person who approved the words")
	}
}

// isWord reports whether a name can be typed as one word.
func isWord(name string) bool {
	return name != "" && len(name) <= 40 && !strings.ContainsAny(name, " \t\n,;:\"'")
}
