package sentry

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/bot/text"
)

// payload holds the fields of a webhook that Tocsin reads. Sentry writes IDs as numbers
// and as strings, writes actors in four forms, and omits fields. A field of an
// unexpected type is treated as absent.
type payload struct {
	Action       scalar `json:"action"`
	Actor        actor  `json:"actor"`
	Installation struct {
		UUID scalar `json:"uuid"`
	} `json:"installation"`
	Data struct {
		Issue         *issue  `json:"issue"`
		Event         *event  `json:"event"`
		Error         *event  `json:"error"`
		MetricAlert   *metric `json:"metric_alert"`
		TriggeredRule scalar  `json:"triggered_rule"`
		IssueAlert    struct {
			Title scalar `json:"title"`
		} `json:"issue_alert"`
		Activity struct {
			Type scalar `json:"type"`
		} `json:"activity"`
		Alert struct {
			Title scalar `json:"title"`
		} `json:"alert"`
		Installation struct {
			UUID         scalar `json:"uuid"`
			Organization struct {
				Slug scalar `json:"slug"`
			} `json:"organization"`
			App struct {
				Slug scalar `json:"slug"`
			} `json:"app"`
		} `json:"installation"`
		DescriptionTitle scalar `json:"description_title"`
		DescriptionText  scalar `json:"description_text"`
		WebURL           scalar `json:"web_url"`
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
	ID            scalar  `json:"id"`
	ShortID       scalar  `json:"shortId"`
	Title         scalar  `json:"title"`
	Culprit       scalar  `json:"culprit"`
	Level         scalar  `json:"level"`
	Status        scalar  `json:"status"`
	Substatus     scalar  `json:"substatus"`
	IssueCategory scalar  `json:"issueCategory"`
	Priority      scalar  `json:"priority"`
	Count         scalar  `json:"count"`
	UserCount     scalar  `json:"userCount"`
	FirstSeen     scalar  `json:"firstSeen"`
	LastSeen      scalar  `json:"lastSeen"`
	URL           scalar  `json:"url"`
	WebURL        scalar  `json:"web_url"`
	ProjectURL    scalar  `json:"project_url"`
	Permalink     scalar  `json:"permalink"`
	Project       project `json:"project"`
	AssignedTo    actor   `json:"assignedTo"`
	LastRelease   struct {
		Version scalar `json:"version"`
	} `json:"lastRelease"`
}

func (is *issue) urls() []scalar { return []scalar{is.URL, is.WebURL, is.ProjectURL, is.Permalink} }

func (is *issue) label() string {
	return strings.TrimSpace(cmp.Or(string(is.ShortID), "issue "+string(is.ID)) + " " + strconv.Quote(string(is.Title)))
}

type project struct {
	ID   scalar `json:"id"`
	Slug scalar `json:"slug"`
}

func (p project) key() scalar {
	if p.Slug != "" {
		return p.Slug
	}
	return p.ID
}

type event struct {
	EventID     scalar `json:"event_id"`
	IssueID     scalar `json:"issue_id"`
	Project     scalar `json:"project"` // a number (URL contains the slug)
	Title       scalar `json:"title"`
	Message     scalar `json:"message"`
	Culprit     scalar `json:"culprit"`
	Level       scalar `json:"level"`
	Datetime    scalar `json:"datetime"`
	Timestamp   scalar `json:"timestamp"`
	Received    scalar `json:"received"`
	Release     scalar `json:"release"`
	Environment scalar `json:"environment"`
	URL         scalar `json:"url"`
	WebURL      scalar `json:"web_url"`
	IssueURL    scalar `json:"issue_url"`
	Tags        tags   `json:"tags"`
	User        struct {
		ID       scalar `json:"id"`
		Username scalar `json:"username"`
		Email    scalar `json:"email"`
		IP       scalar `json:"ip_address"`
	} `json:"user"`
	Request struct {
		Method scalar `json:"method"`
		URL    scalar `json:"url"`
	} `json:"request"`
	Exception struct {
		Values []exception `json:"values"`
	} `json:"exception"`
}

type exception struct {
	Type       scalar `json:"type"`
	Value      scalar `json:"value"`
	Stacktrace struct {
		Frames []frame `json:"frames"` // outermost call first
	} `json:"stacktrace"`
}

type frame struct {
	Function scalar `json:"function"`
	Filename scalar `json:"filename"`
	Module   scalar `json:"module"`
	Line     scalar `json:"lineno"`
	InApp    bool   `json:"in_app"`
}

// maxFrames is the maximum number of stack frames in the detail of an alert.
const maxFrames = 5

func (ev *event) title() string {
	if t := cmp.Or(string(ev.Title), string(ev.Message)); t != "" {
		return t
	}
	if n := len(ev.Exception.Values); n > 0 {
		return text.Join(": ", ev.Exception.Values[n-1].Type, ev.Exception.Values[n-1].Value)
	}
	return "Sentry event " + string(ev.EventID)
}

// stack returns the thrown exception, which Sentry writes last, and its innermost calls,
// innermost first. It prefers the calls of the application.
func (ev *event) stack() scalar {
	n := len(ev.Exception.Values)
	if n == 0 {
		return ""
	}
	thrown := ev.Exception.Values[n-1]
	frames := thrown.Stacktrace.Frames
	if slices.ContainsFunc(frames, func(f frame) bool { return f.InApp }) {
		frames = slices.DeleteFunc(slices.Clone(frames), func(f frame) bool { return !f.InApp })
	}
	out := []scalar{scalar(text.Join(": ", thrown.Type, thrown.Value))}
	for i := len(frames) - 1; i >= 0 && len(out) <= maxFrames; i-- {
		f := frames[i]
		out = append(out, scalar(fmt.Sprintf("  at %s (%s)", cmp.Or(string(f.Function), "?"),
			text.Join(":", scalar(cmp.Or(string(f.Filename), string(f.Module))), f.Line))))
	}
	return scalar(text.Lines(out...))
}

// request returns the method and the URL of the request without the query, which may
// contain credentials.
func (ev *event) request() scalar {
	u, err := url.Parse(string(ev.Request.URL))
	if err != nil || u.Host == "" {
		return ""
	}
	return scalar(text.Join(" ", ev.Request.Method, scalar((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String())))
}

func (ev *event) at() time.Time { return text.Timestamp(ev.Datetime, ev.Timestamp, ev.Received) }

type metric struct {
	ID       scalar   `json:"id"`
	Title    scalar   `json:"title"`
	Projects []string `json:"projects"`
	Started  scalar   `json:"date_started"`
	Detected scalar   `json:"date_detected"`
	Created  scalar   `json:"date_created"`
	Rule     struct {
		ID          scalar   `json:"id"`
		Name        scalar   `json:"name"`
		Query       scalar   `json:"query"`
		Environment scalar   `json:"environment"`
		Projects    []string `json:"projects"`
	} `json:"alert_rule"`
}

// location identifies a project of Sentry.
type location struct{ org, project string }

func (p location) correlation() string {
	return text.Join(":", sourceName, scalar(p.org+"/"+p.project))
}

// locate returns the organisation and the project of a webhook. It prefers the slugs
// in urls, because events contain only the number of their project and no
// organisation. The fallbacks are the ID of the installation and projectKey.
func (p *payload) locate(projectKey scalar, urls ...scalar) location {
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
				out.org = cmp.Or(out.org, parts[i+1])
			case part == "projects" && i+2 < len(parts):
				out.org, out.project = cmp.Or(out.org, parts[i+1]), cmp.Or(out.project, parts[i+2])
			}
		}
	}
	out.org = cmp.Or(out.org, string(p.Installation.UUID))
	out.project = cmp.Or(out.project, string(projectKey))
	return out
}
