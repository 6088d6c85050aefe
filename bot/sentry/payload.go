package sentry

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// payload holds the fields of a webhook that Tocsin reads. Sentry writes IDs as numbers
// and as strings, writes actors in four forms, and omits fields. A field of an
// unexpected type is treated as absent.
type payload struct {
	Action       text  `json:"action"`
	Actor        actor `json:"actor"`
	Installation struct {
		UUID text `json:"uuid"`
	} `json:"installation"`
	Data struct {
		Issue         *issue  `json:"issue"`
		Event         *event  `json:"event"`
		Error         *event  `json:"error"`
		MetricAlert   *metric `json:"metric_alert"`
		TriggeredRule text    `json:"triggered_rule"`
		IssueAlert    struct {
			Title text `json:"title"`
		} `json:"issue_alert"`
		Activity struct {
			Type text `json:"type"`
		} `json:"activity"`
		Alert struct {
			Title text `json:"title"`
		} `json:"alert"`
		Installation struct {
			UUID         text `json:"uuid"`
			Organization struct {
				Slug text `json:"slug"`
			} `json:"organization"`
			App struct {
				Slug text `json:"slug"`
			} `json:"app"`
		} `json:"installation"`
		DescriptionTitle text `json:"description_title"`
		DescriptionText  text `json:"description_text"`
		WebURL           text `json:"web_url"`
	} `json:"data"`
}

func parse(body []byte) (*payload, error) {
	var p payload
	if err := decode(body, &p); err != nil {
		return nil, err
	}
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return nil, errors.New("the body is not a JSON object")
	}
	return &p, nil
}

type issue struct {
	ID            text    `json:"id"`
	ShortID       text    `json:"shortId"`
	Title         text    `json:"title"`
	Culprit       text    `json:"culprit"`
	Level         text    `json:"level"`
	Status        text    `json:"status"`
	Substatus     text    `json:"substatus"`
	IssueCategory text    `json:"issueCategory"`
	Priority      text    `json:"priority"`
	Count         text    `json:"count"`
	UserCount     text    `json:"userCount"`
	FirstSeen     text    `json:"firstSeen"`
	LastSeen      text    `json:"lastSeen"`
	URL           text    `json:"url"`
	WebURL        text    `json:"web_url"`
	ProjectURL    text    `json:"project_url"`
	Permalink     text    `json:"permalink"`
	Project       project `json:"project"`
	AssignedTo    actor   `json:"assignedTo"`
	LastRelease   struct {
		Version text `json:"version"`
	} `json:"lastRelease"`
}

func (is *issue) urls() []text { return []text{is.URL, is.WebURL, is.ProjectURL, is.Permalink} }

func (is *issue) label() string {
	return strings.TrimSpace(first(string(is.ShortID), "issue "+string(is.ID)) + " " + strconv.Quote(string(is.Title)))
}

type project struct {
	ID   text `json:"id"`
	Slug text `json:"slug"`
}

func (p project) key() text {
	if p.Slug != "" {
		return p.Slug
	}
	return p.ID
}

type event struct {
	EventID     text `json:"event_id"`
	IssueID     text `json:"issue_id"`
	Project     text `json:"project"` // a number (URL contains the slug)
	Title       text `json:"title"`
	Message     text `json:"message"`
	Culprit     text `json:"culprit"`
	Level       text `json:"level"`
	Datetime    text `json:"datetime"`
	Timestamp   text `json:"timestamp"`
	Received    text `json:"received"`
	Release     text `json:"release"`
	Environment text `json:"environment"`
	URL         text `json:"url"`
	WebURL      text `json:"web_url"`
	IssueURL    text `json:"issue_url"`
	Tags        tags `json:"tags"`
	User        struct {
		ID       text `json:"id"`
		Username text `json:"username"`
		Email    text `json:"email"`
		IP       text `json:"ip_address"`
	} `json:"user"`
	Request struct {
		Method text `json:"method"`
		URL    text `json:"url"`
	} `json:"request"`
	Exception struct {
		Values []exception `json:"values"`
	} `json:"exception"`
}

type exception struct {
	Type       text `json:"type"`
	Value      text `json:"value"`
	Stacktrace struct {
		Frames []frame `json:"frames"` // outermost call first
	} `json:"stacktrace"`
}

type frame struct {
	Function text `json:"function"`
	Filename text `json:"filename"`
	Module   text `json:"module"`
	Line     text `json:"lineno"`
	InApp    bool `json:"in_app"`
}

// maxFrames is the maximum number of stack frames in the detail of an alert.
const maxFrames = 5

func (ev *event) title() string {
	if t := first(string(ev.Title), string(ev.Message)); t != "" {
		return t
	}
	if n := len(ev.Exception.Values); n > 0 {
		return join(": ", ev.Exception.Values[n-1].Type, ev.Exception.Values[n-1].Value)
	}
	return "Sentry event " + string(ev.EventID)
}

// stack returns the thrown exception, which Sentry writes last, and its innermost calls,
// innermost first. It prefers the calls of the application.
func (ev *event) stack() text {
	n := len(ev.Exception.Values)
	if n == 0 {
		return ""
	}
	thrown := ev.Exception.Values[n-1]
	frames := thrown.Stacktrace.Frames
	if slices.ContainsFunc(frames, func(f frame) bool { return f.InApp }) {
		frames = slices.DeleteFunc(slices.Clone(frames), func(f frame) bool { return !f.InApp })
	}
	out := []text{text(join(": ", thrown.Type, thrown.Value))}
	for i := len(frames) - 1; i >= 0 && len(out) <= maxFrames; i-- {
		f := frames[i]
		out = append(out, text(fmt.Sprintf("  at %s (%s)", first(string(f.Function), "?"),
			join(":", text(first(string(f.Filename), string(f.Module))), f.Line))))
	}
	return text(lines(out...))
}

// request returns the method and the URL of the request without the query, which may
// contain credentials.
func (ev *event) request() text {
	u, err := url.Parse(string(ev.Request.URL))
	if err != nil || u.Host == "" {
		return ""
	}
	return text(join(" ", ev.Request.Method, text((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String())))
}

func (ev *event) at() time.Time { return instant(ev.Datetime, ev.Timestamp, ev.Received) }

type metric struct {
	ID       text     `json:"id"`
	Title    text     `json:"title"`
	Projects []string `json:"projects"`
	Started  text     `json:"date_started"`
	Detected text     `json:"date_detected"`
	Created  text     `json:"date_created"`
	Rule     struct {
		ID          text     `json:"id"`
		Name        text     `json:"name"`
		Query       text     `json:"query"`
		Environment text     `json:"environment"`
		Projects    []string `json:"projects"`
	} `json:"alert_rule"`
}

// location identifies a project of Sentry.
type location struct{ org, project string }

func (p location) correlation() string { return join(":", sourceName, text(p.org+"/"+p.project)) }

// locate returns the organisation and the project of a webhook. It prefers the slugs
// in urls, because events contain only the number of their project and no
// organisation. The fallbacks are the ID of the installation and projectKey.
func (p *payload) locate(projectKey text, urls ...text) location {
	var out location
	for _, s := range urls {
		u, err := url.Parse(string(s))
		if err != nil || u.Host == "" {
			continue
		}
		parts := strings.Split(strings.Trim(u.Path, "/"), "/")
		for i, part := range parts {
			switch {
			case part == "organizations" && i+1 < len(parts):
				out.org = first(out.org, parts[i+1])
			case part == "projects" && i+2 < len(parts):
				out.org, out.project = first(out.org, parts[i+1]), first(out.project, parts[i+2])
			}
		}
	}
	out.org = first(out.org, string(p.Installation.UUID))
	out.project = first(out.project, string(projectKey))
	return out
}

// instant returns the first candidate that is a time in RFC 3339 or in seconds since
// 1970 with an optional fraction.
func instant(candidates ...text) time.Time {
	for _, c := range candidates {
		if t, err := time.Parse(time.RFC3339Nano, string(c)); err == nil {
			return t.UTC()
		}
		if f, err := strconv.ParseFloat(string(c), 64); err == nil && f > 0 && f < 1e11 {
			return time.UnixMicro(int64(f * 1e6)).UTC()
		}
	}
	return time.Time{}
}

// webURL returns the first candidate that is an absolute http or https URL, or "".
func webURL(candidates ...text) string {
	for _, c := range candidates {
		if u, err := url.Parse(string(c)); err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") {
			return string(c)
		}
	}
	return ""
}

func first(ss ...string) string {
	for _, s := range ss {
		if s != "" {
			return s
		}
	}
	return ""
}

// join joins the texts that are not empty.
func join(sep string, ts ...text) string {
	var out []string
	for _, t := range ts {
		if t != "" {
			out = append(out, string(t))
		}
	}
	return strings.Join(out, sep)
}

func lines(ts ...text) string { return join("\n", ts...) }

func field(label string, t text) text {
	if t == "" {
		return ""
	}
	return text(label) + ": " + t
}
