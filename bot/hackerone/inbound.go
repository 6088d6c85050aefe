package hackerone

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/secret"
	"tocsin/bot/text"
)

// SignsTimes returns true because the signature covers the whole body.
func (*Source) SignsTimes() bool { return true }

// errNoSecret is a configuration error. The edge answers it with a 5xx status.
var errNoSecret = errors.New("hackerone: no webhook secret is configured")

// Verify checks the HMAC of the raw body against every configured secret. The
// signature does not cover the headers, so an attacker could replay a genuine body
// with another X-H1-Delivery. Verify therefore returns an empty ID, and the edge
// identifies the delivery by its body, which contains the ID of its activity.
func (s *Source) Verify(_ context.Context, h http.Header, body []byte, _ time.Time) (string, error) {
	sum, prefixed := strings.CutPrefix(strings.TrimSpace(h.Get(headerSignature)), "sha256=")
	got, err := hex.DecodeString(sum)
	genuine, configured := secret.VerifyAny(s.secrets, body, got)
	switch {
	case !configured:
		return "", errNoSecret
	case !prefixed || err != nil || !genuine:
		return "", incident.Forbidden("%s must be sha256= followed by the hex HMAC-SHA256 of the body", headerSignature)
	}
	return "", nil
}

// payload holds the fields of the JSON:API document that Tocsin reads. A field of an
// unexpected type is treated as absent.
type payload struct {
	Data struct {
		Activity struct {
			Type       text.Flex `json:"type"`
			ID         text.Flex `json:"id"`
			Attributes struct {
				Internal  text.Flex `json:"internal"`
				Message   text.Flex `json:"message"`
				CreatedAt text.Flex `json:"created_at"`
			} `json:"attributes"`
			Relationships struct {
				Actor relationship `json:"actor"`
			} `json:"relationships"`
		} `json:"activity"`
		Report *report `json:"report"`
	} `json:"data"`
}

type report struct {
	ID         text.Flex `json:"id"`
	Attributes struct {
		Title       text.Flex `json:"title"`
		State       text.Flex `json:"state"`
		CreatedAt   text.Flex `json:"created_at"`
		Information text.Flex `json:"vulnerability_information"`
	} `json:"attributes"`
	Relationships struct {
		Reporter relationship `json:"reporter"`
		Program  relationship `json:"program"`
		Severity relationship `json:"severity"`
		Weakness relationship `json:"weakness"`
		Asset    relationship `json:"structured_scope"`
	} `json:"relationships"`
}

// relationship is a related object. It holds the attributes of all object types.
type relationship struct {
	Data struct {
		Attributes struct {
			Username text.Flex `json:"username"`
			Handle   text.Flex `json:"handle"`
			Rating   text.Flex `json:"rating"`
			Score    text.Flex `json:"score"`
			Name     text.Flex `json:"name"`
			Asset    text.Flex `json:"asset_identifier"`
		} `json:"attributes"`
	} `json:"data"`
}

// Decode returns an alert for a new report and a note for any other event of a
// report. It returns nothing for events of the program and for internal comments.
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
		return nil, errors.New("decode hackerone webhook: X-H1-Event and data.activity.type are both missing")
	case r == nil || r.ID == "":
		return nil, errors.New("decode hackerone webhook: data.report.id is missing")
	case p.Data.Activity.Attributes.Internal == "true":
		return nil, nil // visible only to the program's team
	case activity == "activity-bug-filed" || activity == "" && event == "report_created":
		return []incident.Signal{{Alert: r.alert()}}, nil
	}
	return []incident.Signal{p.note(event)}, nil
}

func (r *report) key() string { return sourceName + ":" + string(r.ID) }

// alert returns the alert for a new report. A report without a severity is low and
// can wait for working hours.
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
		Detail: text.Lines(text.Field("Report", "HackerOne "+r.ID), text.Field("Reporter", rel.Reporter.Data.Attributes.Username),
			text.Field("Severity", rating), text.Field("Weakness", rel.Weakness.Data.Attributes.Name),
			text.Field("Asset", rel.Asset.Data.Attributes.Asset), text.Field("Time", text.UnreadTime(text.Timestamp(r.Attributes.CreatedAt), r.Attributes.CreatedAt)), r.Attributes.Information),
		Fingerprint: r.key(), Correlation: r.key(), EventID: string(r.ID), At: text.Timestamp(r.Attributes.CreatedAt), URL: link,
		Project: string(rel.Program.Data.Attributes.Handle),
		// Reply stays nil because HackerOne acknowledges the report itself.
		Report: &incident.VulnReport{DuplicateKeys: incident.DuplicateKeys(string(rel.Reporter.Data.Attributes.Username), string(r.Attributes.Title),
			string(rel.Asset.Data.Attributes.Asset), string(r.Attributes.Information))},
	}
}

// note returns a note about an event of a report, with the actor and the message.
func (p *payload) note(event string) incident.Signal {
	a := p.Data.Activity
	note := strings.TrimPrefix(event, "report_")
	if note == "" {
		note = strings.TrimPrefix(strings.TrimPrefix(string(a.Type), "activity-"), "bug-")
	}
	note = strings.NewReplacer("_", " ", "-", " ").Replace(note)
	if actor := a.Relationships.Actor.Data.Attributes.Username; actor != "" {
		note += " by " + string(actor)
	}
	if a.Attributes.Message != "" {
		note += ": " + string(a.Attributes.Message)
	}
	c := &incident.Command{
		Verb: incident.VerbSourceNote, By: incident.Identity{Provider: incident.ProviderSource, ID: sourceName}, Auth: "hackerone webhook",
		Via: incident.ViaSource, HappenedAt: text.Timestamp(a.Attributes.CreatedAt), Text: text.WithUnreadTime("HackerOne: "+note, a.Attributes.CreatedAt),
	}
	if a.ID != "" {
		c.Key = sourceName + ":activity:" + string(a.ID)
	}
	return incident.Signal{Command: c, Subject: incident.IncidentRef{Correlation: p.Data.Report.key()}}
}

func level(rating text.Flex) incident.Level {
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
