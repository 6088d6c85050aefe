package incident

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Reporter describes an account that belongs to no person of the configuration, as
// its provider does. Nobody verified the name, which the owner of an account
// chooses.
type Reporter struct {
	User string `json:"user"`           // id of the account at the provider
	Team string `json:"team,omitempty"` // id of the workspace of the account
	Name string `json:"name,omitempty"`
}

// Sentence describes the reporter of an incident.
func (r Reporter) Sentence() Sentence {
	if r.Name == "" {
		r.Name = r.User
	}
	if r.Team == "" {
		return Say("“%s” (account %s, unknown to Tocsin, name not verified)", Quoted(r.Name), Quoted(r.User))
	}
	return Say("“%s” of team %s (account %s, unknown to Tocsin, name not verified)", Quoted(r.Name), Quoted(r.Team), Quoted(r.User))
}

// maxReporterText is the maximum length of a part of a [Reporter], in runes.
const maxReporterText = 100

// ReportReceived is the answer to a report by an account that belongs to no person.
var ReportReceived = Say("Your report was saved, and responders can read it. They decide about its severity and contact you if they need more. " +
	"You get no access to the incident and no updates from Tocsin. To add details, use open again")

// ReportSeverity returns the severity of an incident that somebody unknown to the
// configuration reports. It does not page, but a responder can raise it.
func (p Policy) ReportSeverity() Severity {
	if p.NoPageFrom == "" {
		return Sev4
	}
	return p.NoPageFrom
}

// ByOutsider reports whether the author of a command belongs to no person of the
// configuration.
func (e Env) ByOutsider() bool { return !e.System && e.Actor == "" }

func (d *decider) byOutsider() bool { return d.env.ByOutsider() }

// openReport opens an incident for somebody unknown to the configuration. It is
// restricted, has the severity from which incidents are not paged, and starts no
// playbook until a responder acknowledges it. The severity that the reporter asked
// for is recorded.
func (d *decider) openReport(title string, asked Severity) {
	if d.cmd.Severity == "" {
		asked = ""
	}
	reporter := d.cmd.Reporter
	if reporter == nil {
		reporter = &Reporter{User: d.cmd.By.ID}
	}
	t := reporter.texts()
	t["title"], t["text"] = title, d.cmd.Text
	d.emit(EventOpened, fields{"status": string(Triage), "severity": string(d.env.Policy.ReportSeverity()), "restricted": "true", "reported": "true",
		"asked_severity": string(asked), "time_zone": d.env.Policy.TimeZone, "language": d.env.Policy.Language, "provider": string(d.cmd.By.Provider)}, t)
}

// texts returns the reporter as texts of an event, which can be erased.
func (r *Reporter) texts() texts {
	if r == nil {
		return texts{}
	}
	return texts{"reporter_user": cleanName(r.User), "reporter_team": cleanName(r.Team), "reporter_name": cleanName(r.Name)}
}

// cleanName returns s as one line of printable characters, at most maxReporterText
// of them.
func cleanName(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(s, "\uFFFD"))
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) > maxReporterText {
		s = string([]rune(s)[:maxReporterText-1]) + "…"
	}
	return s
}
