package hackerone

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/secret"
)

// errNoSecret is our own fault, not the sender's: the edge answers 5xx.
var errNoSecret = errors.New("hackerone: no webhook secret is configured")

// Verify checks the HMAC of the raw body against every configured secret. The
// headers are not signed, X-H1-Delivery among them: somebody who replays a
// genuine body could write another. So the id is empty, and the edge tells
// deliveries apart by the body, which names its activity.
func (s *Source) Verify(h http.Header, body []byte, _ time.Time) (string, error) {
	hexed, prefixed := strings.CutPrefix(strings.TrimSpace(h.Get(headerSignature)), "sha256=")
	got, err := hex.DecodeString(hexed)
	genuine, known := secret.VerifyAny(s.secrets, body, got)
	switch {
	case !known:
		return "", errNoSecret
	case !prefixed || err != nil || !genuine:
		return "", incident.Forbidden("%s must be sha256= and the hex HMAC-SHA256 of the body", headerSignature)
	}
	return "", nil
}

// payload is the JSON:API document, as far as it is read. What is of an
// unexpected type reads as absent.
type payload struct {
	Data struct {
		Activity struct {
			Type       text `json:"type"`
			ID         text `json:"id"`
			Attributes struct {
				Internal  text `json:"internal"`
				Message   text `json:"message"`
				CreatedAt text `json:"created_at"`
			} `json:"attributes"`
			Relationships struct {
				Actor linked `json:"actor"`
			} `json:"relationships"`
		} `json:"activity"`
		Report *report `json:"report"`
	} `json:"data"`
}

type report struct {
	ID         text `json:"id"`
	Attributes struct {
		Title       text `json:"title"`
		State       text `json:"state"`
		CreatedAt   text `json:"created_at"`
		Information text `json:"vulnerability_information"`
	} `json:"attributes"`
	Relationships struct {
		Reporter linked `json:"reporter"`
		Program  linked `json:"program"`
		Severity linked `json:"severity"`
		Weakness linked `json:"weakness"`
		Asset    linked `json:"structured_scope"`
	} `json:"relationships"`
}

// linked is a related object with the attributes that any of them has.
type linked struct {
	Data struct {
		Attributes struct {
			Username text `json:"username"`
			Handle   text `json:"handle"`
			Rating   text `json:"rating"`
			Score    text `json:"score"`
			Name     text `json:"name"`
			Asset    text `json:"asset_identifier"`
		} `json:"attributes"`
	} `json:"data"`
}

// Decode says what a webhook means: a new report is an alert, any other event of
// a report is noted. What concerns the program and no report is nothing to us.
func (*Source) Decode(h http.Header, body []byte) ([]incident.Signal, error) {
	var p payload
	err := json.Unmarshal(body, &p)
	var mismatch *json.UnmarshalTypeError
	if err != nil && !errors.As(err, &mismatch) {
		return nil, fmt.Errorf("decode hackerone webhook: not JSON: %w", err)
	}
	event, activity, r := strings.ToLower(h.Get(headerEvent)), string(p.Data.Activity.Type), p.Data.Report
	switch {
	case strings.HasPrefix(event, "program_"):
		return nil, nil
	case event == "" && activity == "":
		return nil, errors.New("decode hackerone webhook: neither X-H1-Event nor data.activity.type is there")
	case r == nil || r.ID == "":
		return nil, errors.New("decode hackerone webhook: data.report.id is missing")
	case p.Data.Activity.Attributes.Internal == "true":
		return nil, nil // our own side talking to itself
	case activity == "activity-bug-filed" || activity == "" && event == "report_created":
		return []incident.Signal{{Alert: r.alert()}}, nil
	}
	return []incident.Signal{p.note(event)}, nil
}

func (r *report) key() string { return name + ":" + string(r.ID) }

// alert is what a report opens. Without a stated severity it is a matter for
// working hours.
func (r *report) alert() *incident.Alert {
	rel, severity := r.Relationships, r.Relationships.Severity.Data.Attributes
	rating := severity.Rating
	if rating != "" && severity.Score != "" {
		rating += " (" + severity.Score + ")"
	}
	link := ""
	if strings.Trim(string(r.ID), "0123456789") == "" {
		link = "https://hackerone.com/reports/" + string(r.ID)
	}
	return &incident.Alert{
		Source: "report", Kind: "report.hackerone", Level: level(severity.Rating),
		Title: cmp.Or(strings.TrimSpace(string(r.Attributes.Title)), "HackerOne report "+string(r.ID)),
		Detail: lines(field("Report", "HackerOne "+r.ID), field("Reporter", rel.Reporter.Data.Attributes.Username),
			field("Severity", rating), field("Weakness", rel.Weakness.Data.Attributes.Name),
			field("Asset", rel.Asset.Data.Attributes.Asset), r.Attributes.Information),
		Fingerprint: r.key(), Correlation: r.key(), EventID: string(r.ID), At: instant(r.Attributes.CreatedAt), URL: link,
		Project: string(rel.Program.Data.Attributes.Handle),
		// Whoever reports there is answered there, by the platform itself.
		Report: &incident.VulnReport{DuplicateKeys: incident.DuplicateKeys(string(rel.Reporter.Data.Attributes.Username), string(r.Attributes.Title),
			string(rel.Asset.Data.Attributes.Asset), string(r.Attributes.Information))},
	}
}

// note is what happened to a report, with what was said about it.
func (p *payload) note(event string) incident.Signal {
	a := p.Data.Activity
	what := strings.TrimPrefix(event, "report_")
	if what == "" {
		what = strings.TrimPrefix(strings.TrimPrefix(string(a.Type), "activity-"), "bug-")
	}
	what = strings.NewReplacer("_", " ", "-", " ").Replace(what)
	if who := a.Relationships.Actor.Data.Attributes.Username; who != "" {
		what += " by " + string(who)
	}
	if a.Attributes.Message != "" {
		what += ": " + string(a.Attributes.Message)
	}
	c := &incident.Command{
		Verb: incident.VerbSourceNote, By: incident.Identity{Provider: incident.ProviderSource, ID: name}, Auth: "hackerone webhook",
		Via: incident.ViaSource, HappenedAt: instant(a.Attributes.CreatedAt), Text: "HackerOne: " + what,
	}
	if a.ID != "" {
		c.Key = name + ":activity:" + string(a.ID)
	}
	return incident.Signal{Command: c, Subject: incident.IncidentRef{Correlation: p.Data.Report.key()}}
}

func level(rating text) incident.Level {
	switch strings.ToLower(string(rating)) {
	case "critical":
		return incident.LevelCritical
	case "high":
		return incident.LevelHigh
	case "medium":
		return incident.LevelMedium
	}
	return incident.LevelLow
}

func field(label string, v text) text {
	if v == "" {
		return ""
	}
	return text(label) + ": " + v
}

func lines(ts ...text) string {
	var out []string
	for _, t := range ts {
		if t != "" {
			out = append(out, string(t))
		}
	}
	return strings.Join(out, "\n")
}

func instant(s text) time.Time {
	t, err := time.Parse(time.RFC3339Nano, string(s))
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// text is what may also come as a number or a boolean.
type text = incident.FlexString
