package feed

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Sentry is an installed Sentry integration that posts webhooks. It is safe for
// concurrent use.
type Sentry struct {
	URL     string
	Secret  string           // client secret of the integration
	Client  *http.Client     // default http.DefaultClient
	Now     func() time.Time // default time.Now
	Timeout time.Duration    // limit for one request, default 1 s as in Sentry
}

// IssueCreated sends the webhook for a new issue.
func (s *Sentry) IssueCreated(ctx context.Context, i Issue, c Copy) (Answer, error) {
	return s.Send(ctx, s.NewDelivery("issue", SentryIssue("created", i, s.withTime(c)), s.requestID("issue.created", i, c)))
}

// IssueResolved sends the webhook for an issue that a person resolved.
func (s *Sentry) IssueResolved(ctx context.Context, i Issue, c Copy) (Answer, error) {
	return s.Send(ctx, s.NewDelivery("issue", SentryIssue("resolved", i, s.withTime(c)), s.requestID("issue.resolved", i, c)))
}

// EventAlert sends the webhook of an alert rule that fired on an event of the
// issue.
func (s *Sentry) EventAlert(ctx context.Context, i Issue, c Copy) (Answer, error) {
	return s.Send(ctx, s.EventAlertDelivery(i, c))
}

// EventAlertDelivery returns the request that [Sentry.EventAlert] sends.
func (s *Sentry) EventAlertDelivery(i Issue, c Copy) Delivery {
	return s.NewDelivery("event_alert", SentryEventAlert(i, s.withTime(c)), s.requestID("event_alert", i, c))
}

// MetricAlert sends the webhook of a metric alert. The action is critical,
// warning or resolved.
func (s *Sentry) MetricAlert(ctx context.Context, action string, i Issue, c Copy) (Answer, error) {
	return s.Send(ctx, s.NewDelivery("metric_alert", SentryMetricAlert(action, i, s.withTime(c)), s.requestID("metric_alert."+action, i, c)))
}

// ErrorCreated sends the webhook for one event of the issue. Sentry sends such
// a webhook for every event.
func (s *Sentry) ErrorCreated(ctx context.Context, i Issue, c Copy) (Answer, error) {
	return s.Send(ctx, s.NewDelivery("error", SentryError(i, s.withTime(c)), s.requestID("error", i, c)))
}

// NewDelivery returns a signed request for a body of any resource.
func (s *Sentry) NewDelivery(resource string, body []byte, requestID string) Delivery {
	return Delivery{ID: requestID, URL: s.URL, Body: body, Header: http.Header{
		"Content-Type":          {"application/json"},
		"User-Agent":            {"sentry.io/http-client (+https://sentry.io)"},
		"Request-Id":            {requestID},
		"Sentry-Hook-Resource":  {resource},
		"Sentry-Hook-Timestamp": {strconv.FormatInt(s.now().Unix(), 10)},
		"Sentry-Hook-Signature": {SignSentry(s.Secret, body)},
	}}
}

// SignSentry returns the Sentry-Hook-Signature of body, a hex HMAC-SHA256.
func SignSentry(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// Send posts a delivery once. Sentry does not retry.
func (s *Sentry) Send(ctx context.Context, d Delivery) (Answer, error) {
	timeout := s.Timeout
	if timeout == 0 {
		timeout = time.Second
	}
	return send(ctx, s.Client, d, timeout)
}

func (s *Sentry) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

func (s *Sentry) withTime(c Copy) Copy {
	if c.At.IsZero() {
		c.At = s.now()
	}
	return c
}

func (s *Sentry) requestID(event string, i Issue, c Copy) string {
	return uuid("request", event, i.ID, c.N, c.Redelivery)
}

// webhook is the JSON object around the data of every webhook.
type webhook struct {
	Action       string `json:"action"`
	Installation object `json:"installation"`
	Data         object `json:"data"`
	Actor        object `json:"actor"`
}

var application = object{"type": "application", "id": "sentry", "name": "Sentry"}

func newWebhook(i Issue, action string, data, actor object) webhook {
	return webhook{Action: action, Installation: object{"uuid": uuid("installation", i.Org)}, Data: data, Actor: actor}
}

func (i Issue) webURL() string {
	return "https://" + i.Org + ".sentry.io/issues/" + i.ID + "/"
}

func isoTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000+00:00") }

// SentryIssue returns the body of an issue webhook. The action is created,
// resolved, assigned, archived or unresolved.
func SentryIssue(action string, i Issue, c Copy) []byte {
	status, substatus := "unresolved", any("new")
	actor := application
	switch action {
	case "resolved":
		status, substatus = "resolved", nil
		actor = object{"type": "user", "id": 2187450, "name": "Robin Hale"}
	case "archived":
		status, substatus = "ignored", "archived_until_escalating"
	case "unresolved":
		substatus = "regressed"
	}
	return encodePadded(c.PadKB, func(padding string) any {
		metadata := object{
			"type": i.Type, "value": i.Value + padding, "title": i.Title(), "filename": i.Frames[len(i.Frames)-1].File,
			"function": i.Frames[len(i.Frames)-1].Function, "severity": 1, "severity_reason": "log_level_" + i.Level, "initial_priority": 75,
		}
		for n, marker := range c.Marker {
			metadata["planted_"+strconv.Itoa(n)] = marker
		}
		return newWebhook(i, action, object{"issue": object{
			"url":     "https://sentry.io/api/0/organizations/" + i.Org + "/issues/" + i.ID + "/",
			"web_url": i.webURL(), "permalink": i.webURL(),
			"project_url": fmt.Sprintf("https://%s.sentry.io/issues/?project=%d", i.Org, i.Project.ID),
			"id":          i.ID, "shareId": nil, "shortId": i.ShortID, "title": i.Title(), "culprit": i.Culprit, "logger": i.Logger,
			"level": i.Level, "status": status, "statusDetails": object{}, "substatus": substatus, "isPublic": false, "platform": i.Project.Platform,
			"project":  object{"id": strconv.FormatInt(i.Project.ID, 10), "name": i.Project.Name, "slug": i.Project.Slug, "platform": i.Project.Platform},
			"type":     "error",
			"metadata": metadata, "numComments": 0, "assignedTo": nil, "isBookmarked": false, "isSubscribed": false, "subscriptionDetails": nil,
			"hasSeen": false, "annotations": []any{}, "issueType": "error", "issueCategory": "error", "priority": i.Priority, "priorityLockedAt": nil,
			"seerFixabilityScore": nil, "seerAutofixLastTriggered": nil, "isUnhandled": true,
			"count": strconv.Itoa(c.N + 1), "userCount": min(c.N+1, 40),
			"firstSeen": isoTime(c.At.Add(-2 * time.Second)), "lastSeen": isoTime(c.At),
		}}, actor)
	})
}

// SentryEventAlert returns the body of the webhook of an alert rule that fired.
func SentryEventAlert(i Issue, c Copy) []byte {
	return encodePadded(c.PadKB, func(padding string) any {
		return newWebhook(i, "triggered", object{
			"event":          event(i, c, padding),
			"triggered_rule": i.Rule,
			"issue_alert": object{"title": i.Rule, "settings": []object{
				{"name": "team", "value": "security"}, {"name": "severity", "value": "high"},
			}},
		}, application)
	})
}

// SentryError returns the body of the webhook for a single event.
func SentryError(i Issue, c Copy) []byte {
	return encodePadded(c.PadKB, func(padding string) any {
		return newWebhook(i, "created", object{"error": event(i, c, padding)}, application)
	})
}

// SentryMetricAlert returns the body of a metric alert about the issue's
// project. All actions of one alert share its ID.
func SentryMetricAlert(action string, i Issue, c Copy) []byte {
	title := map[string]string{"critical": "Critical: ", "warning": "Warning: ", "resolved": "Resolved: "}[action] + i.Rule
	id := strconv.FormatUint(uint64(digest("metric", i.ID)[0])+uint64(digest("metric", i.ID)[1])<<8+1, 10)
	status := map[string]int{"critical": 20, "warning": 10, "resolved": 2}[action]
	var closed any
	if action == "resolved" {
		closed = isoTime(c.At)
	}
	created := isoTime(c.At.Add(-90 * 24 * time.Hour))
	return encodePadded(c.PadKB, func(padding string) any {
		return newWebhook(i, action, object{
			"description_title": title,
			"description_text":  fmt.Sprintf("%d events in the last 10 minutes\nFilter: level:%s", 1200+c.N, i.Level),
			"web_url":           "https://" + i.Org + ".sentry.io/alerts/rules/details/" + id + "/",
			"metric_alert": object{
				"id": id, "identifier": id, "organization_id": "5", "projects": []string{i.Project.Slug}, "status": status, "status_method": 3, "type": 2,
				"title": i.Rule, "date_created": isoTime(c.At), "date_detected": isoTime(c.At), "date_started": isoTime(c.At.Add(-time.Minute)), "date_closed": closed,
				"alert_rule": object{
					"id": "7" + id, "name": i.Rule, "aggregate": "count()", "dataset": "events", "query": "level:" + i.Level + padding,
					"environment": i.Environment, "time_window": 10, "resolution": 1, "threshold_type": 0, "threshold_period": 1, "resolve_threshold": nil,
					"include_all_projects": false, "projects": []string{i.Project.Slug}, "organization_id": "5", "status": 0, "created_by": nil,
					"date_created": created, "date_modified": created, "triggers": []object{{"id": "1", "label": "critical", "alert_threshold": 1000}},
				},
			},
		}, application)
	})
}

// event returns an event with its stack trace, request and user.
func event(i Issue, c Copy, padding string) object {
	id := hexID("event", i.ID, c.N)
	seconds := float64(c.At.UnixMilli()) / 1000
	top := i.Frames[len(i.Frames)-1]
	user := object{"id": i.User.ID, "email": i.User.Email, "name": i.User.Name, "ip_address": i.User.IP}
	extra := object{"attempt": c.N + 1}
	if padding != "" {
		extra["access_log"] = padding
	}
	vars := object{"tenant": "'request.tenant'", "retry": "False"}
	if len(c.Marker) > 0 {
		user["data"] = object{"notes": c.Marker}
		extra["form"], vars["payload"] = c.Marker, c.Marker[0]
	}
	frames := make([]object, len(i.Frames))
	for n, f := range i.Frames {
		frames[n] = object{
			"abs_path": "/srv/app/" + f.File, "filename": f.File, "module": f.Module, "function": f.Function, "lineno": f.Number, "colno": nil,
			"context_line": "    " + f.Line, "pre_context": []string{"", "    # …"}, "post_context": []string{"", "    return"},
			"in_app": f.InApp, "vars": vars, "data": object{"orig_in_app": 1}, "errors": nil, "image_addr": nil, "instruction_addr": nil,
			"package": nil, "platform": nil, "raw_function": nil, "symbol": nil, "symbol_addr": nil, "trust": nil,
		}
	}
	api := "https://sentry.io/api/0/"
	return object{
		"_ref": i.Project.ID, "_ref_version": 2, "event_id": id, "issue_id": i.ID, "issue_url": api + "issues/" + i.ID + "/",
		"url": api + "projects/" + i.Org + "/" + i.Project.Slug + "/events/" + id + "/", "web_url": i.webURL() + "events/" + id + "/",
		"project": i.Project.ID, "platform": i.Project.Platform, "release": i.Project.Slug + "@" + i.Release, "dist": nil, "environment": i.Environment,
		"level": i.Level, "logger": i.Logger, "type": "error", "title": i.Title(), "message": "", "culprit": i.Culprit, "location": top.File,
		"transaction": i.Transaction, "metadata": object{"type": i.Type, "value": i.Value, "filename": top.File, "function": top.Function},
		"datetime": c.At.UTC().Format("2006-01-02T15:04:05.000000Z"), "timestamp": seconds, "received": seconds + 0.25, "time_spent": nil, "version": "7",
		"key_id": "667532", "fingerprint": []string{"{{ default }}"}, "hashes": []string{i.Hash},
		"grouping_config": object{"id": "newstyle:2023-01-11", "enhancements": "eJybzDRxY3J-bm5-npWRgaGlroGxrpHxBABcTQcY"},
		"exception": object{"values": []object{{
			"type": i.Type, "value": i.Value, "module": top.Module, "stacktrace": object{"frames": frames},
			"mechanism": object{"type": "generic", "handled": false, "data": nil, "description": nil, "help_link": nil, "meta": nil, "synthetic": nil},
		}}},
		"request": object{
			"url": i.URL, "method": "GET", "fragment": nil, "cookies": [][2]string{{"sessionid", "[Filtered]"}}, "data": nil, "env": object{"REMOTE_ADDR": i.User.IP},
			"inferred_content_type": nil, "query_string": [][2]string{{"employee", i.User.Email}},
			"headers": [][2]string{{"User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"}, {"X-Forwarded-For", i.User.IP}, {"Authorization", "[Filtered]"}},
		},
		"user": user, "extra": extra, "tags": slices.Concat(i.Tags, [][2]string{{"handled", "no"}}),
		"contexts": object{"runtime": object{"name": "CPython", "version": "3.13.7", "type": "runtime"}, "trace": object{"trace_id": hexID("trace", id), "span_id": hexID("span", id)[:16], "type": "trace"}},
		"sdk":      object{"name": "sentry." + i.Project.Platform, "version": "2.38.0", "integrations": []string{"logging", "stdlib", "threading"}, "packages": []object{{"name": "pypi:sentry-sdk", "version": "2.38.0"}}},
	}
}
