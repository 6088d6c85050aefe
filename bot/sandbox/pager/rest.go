package pager

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (a *Account) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v2/enqueue", a.serve(EndpointEvents, a.enqueue))
	rest := func(pattern string, act endpoint) {
		mux.HandleFunc(pattern, a.serve(EndpointREST, a.requireToken(act)))
	}
	rest("GET /users", a.listUsers)
	rest("GET /users/{id}", a.getUser)
	rest("GET /oncalls", a.listOnCalls)
	rest("GET /incidents", a.listIncidents)
	rest("GET /incidents/{id}", a.getIncident)
	rest("POST /incidents", a.asUser(a.createIncident))
	rest("PUT /incidents", a.asUser(a.manageIncidents))
	rest("GET /incidents/{id}/notes", a.listNotes)
	rest("GET /services/{id}", a.getService)
	rest("POST /incidents/{id}/notes", a.asUser(a.createNote))
	rest("/", func(*Request, *http.Request, []byte, bool) reply { return notFound() })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", a.cfg.Now().UTC().Format(http.TimeFormat))
		mux.ServeHTTP(w, r)
	})
}

func restError(status, code int, message string, problems ...string) reply {
	if problems == nil {
		problems = []string{}
	}
	return reply{status, map[string]any{"error": map[string]any{"message": message, "code": code, "errors": problems}}}
}

func notFound() reply { return restError(http.StatusNotFound, 2100, "Not Found") }

func badInput(problems ...string) reply {
	return restError(http.StatusBadRequest, 2001, "Invalid Input Provided", problems...)
}

func (a *Account) requireToken(act endpoint) endpoint {
	return func(req *Request, r *http.Request, body []byte, swallow bool) reply {
		if a.cfg.APIToken == "" || r.Header.Get("Authorization") != "Token token="+a.cfg.APIToken {
			return restError(http.StatusUnauthorized, 2006, "Unauthorized")
		}
		return act(req, r, body, swallow)
	}
}

// writeEndpoint is an endpoint that changes the account as a user. The caller
// holds a.mu.
type writeEndpoint func(req *Request, r *http.Request, body []byte, by User) reply

// asUser finds the user of the From header, which every write needs. If swallow
// is true, it replies 200 with an empty object and does not call act.
func (a *Account) asUser(act writeEndpoint) endpoint {
	return func(req *Request, r *http.Request, body []byte, swallow bool) reply {
		a.mu.Lock()
		defer a.mu.Unlock()
		from := r.Header.Get("From")
		i := slices.IndexFunc(a.cfg.Users, func(u User) bool { return strings.EqualFold(u.Email, from) })
		if i < 0 {
			return restError(http.StatusBadRequest, 1008, "Requester User Not Found")
		}
		if swallow {
			return reply{http.StatusOK, struct{}{}}
		}
		return act(req, r, body, a.cfg.Users[i])
	}
}

type pagination struct {
	Limit  int  `json:"limit"`
	Offset int  `json:"offset"`
	More   bool `json:"more"`
	Total  *int `json:"total"`
}

// paginate returns one page of a list in PagerDuty's format.
func paginate[T any](r *http.Request, name string, all []T) reply {
	q := r.URL.Query()
	at := pagination{Limit: 25}
	if n, err := strconv.Atoi(q.Get("limit")); err == nil {
		at.Limit = min(max(n, 1), 100)
	}
	if n, err := strconv.Atoi(q.Get("offset")); err == nil {
		at.Offset = max(n, 0)
	}
	if at.Limit+at.Offset > 10000 {
		return badInput("Offset + limit cannot exceed 10000")
	}
	if q.Get("total") == "true" {
		n := len(all)
		at.Total = &n
	}
	from := min(at.Offset, len(all))
	to := min(from+at.Limit, len(all))
	at.More = to < len(all)
	return reply{http.StatusOK, map[string]any{
		name: append([]T{}, all[from:to]...), "limit": at.Limit, "offset": at.Offset, "more": at.More, "total": at.Total,
	}}
}

type restUser struct {
	Ref
	Name     string `json:"name"`
	Email    string `json:"email,omitempty"`
	TimeZone string `json:"time_zone"`
	Role     string `json:"role"`
}

func (a *Account) restUser(u User) restUser {
	ref := a.userRef(u.ID)
	ref.Type = "user"
	return restUser{Ref: ref, Name: u.Name, Email: u.Email, TimeZone: "Etc/UTC", Role: "user"}
}

func (a *Account) listUsers(_ *Request, r *http.Request, _ []byte, _ bool) reply {
	query := strings.ToLower(r.URL.Query().Get("query"))
	var all []restUser
	for _, u := range a.cfg.Users {
		if strings.Contains(strings.ToLower(u.Name+"\n"+u.Email), query) {
			all = append(all, a.restUser(u))
		}
	}
	return paginate(r, "users", all)
}

func (a *Account) getUser(_ *Request, r *http.Request, _ []byte, _ bool) reply {
	u, ok := a.user(r.PathValue("id"))
	if !ok {
		return notFound()
	}
	return reply{http.StatusOK, map[string]any{"user": a.restUser(u)}}
}

type onCall struct {
	User             any     `json:"user"`
	Schedule         *Ref    `json:"schedule"`
	EscalationPolicy Ref     `json:"escalation_policy"`
	EscalationLevel  int     `json:"escalation_level"`
	Start            *string `json:"start"` // null if always on call
	End              *string `json:"end"`
}

func (a *Account) listOnCalls(_ *Request, r *http.Request, _ []byte, _ bool) reply {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := r.URL.Query()
	matches := func(param, id string) bool { return len(q[param]) == 0 || slices.Contains(q[param], id) }
	var all []onCall
	for _, s := range a.cfg.Services {
		for _, id := range s.OnCall {
			if !matches("user_ids[]", id) || !matches("escalation_policy_ids[]", policyID(s.ID)) || len(q["schedule_ids[]"]) > 0 {
				continue
			}
			entry := onCall{User: a.userRef(id), EscalationPolicy: a.policyRef(s.ID), EscalationLevel: 1}
			if u, ok := a.user(id); ok && slices.Contains(q["include[]"], "users") {
				entry.User = a.restUser(u)
			}
			all = append(all, entry)
		}
	}
	return paginate(r, "oncalls", all)
}

type restAcknowledgement struct {
	At           string `json:"at"`
	Acknowledger Ref    `json:"acknowledger"`
}

type restAssignment struct {
	At       string `json:"at"`
	Assignee Ref    `json:"assignee"`
}

type restIncident struct {
	Ref
	IncidentNumber   int                   `json:"incident_number"`
	Title            string                `json:"title"`
	CreatedAt        string                `json:"created_at"`
	Status           string                `json:"status"`
	IncidentKey      string                `json:"incident_key"`
	Service          Ref                   `json:"service"`
	Assignments      []restAssignment      `json:"assignments"`
	Acknowledgements []restAcknowledgement `json:"acknowledgements"`
	LastChangeAt     string                `json:"last_status_change_at"`
	EscalationPolicy Ref                   `json:"escalation_policy"`
	Urgency          string                `json:"urgency"`
}

func (a *Account) restIncident(in *Incident) restIncident {
	ref := a.ref("incident", "incidents", in.ID, "[#"+strconv.Itoa(in.Number)+"] "+in.Title)
	out := restIncident{
		Ref: ref, IncidentNumber: in.Number, Title: in.Title, CreatedAt: in.CreatedAt.Format(time.RFC3339),
		Status: in.Status, IncidentKey: in.Key, Service: a.serviceRef(in.Service), EscalationPolicy: a.policyRef(in.Service),
		Assignments: []restAssignment{}, Acknowledgements: []restAcknowledgement{},
		LastChangeAt: in.ChangedAt.Format(time.RFC3339), Urgency: in.Urgency,
	}
	if in.Status == Resolved {
		return out // as in PagerDuty, a resolved incident has no assignees
	}
	for _, u := range in.Assignees {
		out.Assignments = append(out.Assignments, restAssignment{in.CreatedAt.Format(time.RFC3339), a.userRef(u)})
	}
	for _, e := range in.Log {
		if e.Kind == Acknowledged {
			by := a.serviceRef(in.Service)
			if e.By != "" {
				by = a.userRef(e.By)
			}
			out.Acknowledgements = append(out.Acknowledgements, restAcknowledgement{e.At.Format(time.RFC3339), by})
		}
	}
	return out
}

func (a *Account) listIncidents(_ *Request, r *http.Request, _ []byte, _ bool) reply {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := r.URL.Query()
	var all []restIncident
	for _, in := range a.incidents {
		if (q.Has("incident_key") && in.Key != q.Get("incident_key")) ||
			(len(q["statuses[]"]) > 0 && !slices.Contains(q["statuses[]"], in.Status)) ||
			(len(q["service_ids[]"]) > 0 && !slices.Contains(q["service_ids[]"], in.Service)) {
			continue
		}
		all = append(all, a.restIncident(in))
	}
	if q.Get("sort_by") == "created_at:desc" {
		slices.Reverse(all)
	}
	return paginate(r, "incidents", all)
}

func (a *Account) getIncident(_ *Request, r *http.Request, _ []byte, _ bool) reply {
	a.mu.Lock()
	defer a.mu.Unlock()
	in := a.find(r.PathValue("id"))
	if in == nil {
		return notFound()
	}
	return reply{http.StatusOK, map[string]any{"incident": a.restIncident(in)}}
}

func (a *Account) createIncident(req *Request, r *http.Request, body []byte, by User) reply {
	var in struct {
		Incident struct {
			Title       string                 `json:"title"`
			Service     struct{ ID string }    `json:"service"`
			Urgency     string                 `json:"urgency"`
			IncidentKey string                 `json:"incident_key"`
			Body        *struct{ Details any } `json:"body"`
			Assignments []struct {
				Assignee struct{ ID string } `json:"assignee"`
			} `json:"assignments"`
		} `json:"incident"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return badInput("JSON is invalid")
	}
	if in.Incident.Title == "" {
		return badInput("Title cannot be blank.")
	}
	s, ok := a.service(in.Incident.Service.ID)
	if !ok {
		return badInput("Service cannot be found.")
	}
	if a.open[alertKey{s.ID, in.Incident.IncidentKey}] != nil {
		return badInput("Open incident with matching dedup key already exists on this service")
	}
	made := Incident{Title: in.Incident.Title, Key: in.Incident.IncidentKey, Urgency: in.Incident.Urgency, Manual: true}
	if made.Urgency != "low" {
		made.Urgency = "high"
	}
	if chosen := in.Incident.Assignments; len(chosen) > 0 { // instead of the people on call
		s.OnCall = nil
		for _, c := range chosen {
			if _, known := a.user(c.Assignee.ID); !known {
				return badInput("Assignee cannot be found.")
			}
			s.OnCall = append(s.OnCall, c.Assignee.ID)
		}
	}
	p := a.trigger(s, made, by.ID)
	a.recordEffect(req, r, EffectPaged, p.ID)
	return reply{http.StatusCreated, map[string]any{"incident": a.restIncident(p)}}
}

// manageIncidents acknowledges, resolves and renames incidents. It rejects every other
// change instead of ignoring it.
func (a *Account) manageIncidents(req *Request, r *http.Request, body []byte, by User) reply {
	var in struct {
		Incidents []struct{ ID, Status, Title string } `json:"incidents"`
	}
	if err := json.Unmarshal(body, &in); err != nil || len(in.Incidents) == 0 {
		return badInput("Incidents cannot be blank.")
	}
	for _, want := range in.Incidents {
		at := a.find(want.ID)
		switch {
		case at == nil:
			return notFound()
		case at.Status == Resolved:
			return badInput("Incident Already Resolved")
		case want.Status != Acknowledged && want.Status != Resolved && (want.Status != "" || want.Title == ""):
			return badInput("Status is not included in the list")
		}
	}
	changed := []restIncident{}
	for _, want := range in.Incidents {
		at := a.find(want.ID)
		effect := EffectResolved
		if want.Title != "" {
			effect = EffectRenamed
			at.Title = want.Title
			a.notifyChange()
		}
		switch {
		case want.Status == "":
		case want.Status == Resolved:
			a.setStatus(at, Resolved, by.ID, nil)
		case slices.Contains(at.AckedBy, by.ID):
			effect = EffectIgnored
		default:
			effect = EffectAcknowledged
			at.AckedBy = append(at.AckedBy, by.ID)
			a.setStatus(at, Acknowledged, by.ID, nil)
		}
		a.recordEffect(req, r, effect, at.ID)
		changed = append(changed, a.restIncident(at))
	}
	return reply{http.StatusOK, map[string]any{"incidents": changed}}
}

func (a *Account) listNotes(_ *Request, r *http.Request, _ []byte, _ bool) reply {
	a.mu.Lock()
	defer a.mu.Unlock()
	in := a.find(r.PathValue("id"))
	if in == nil {
		return notFound()
	}
	notes := []map[string]any{}
	for _, n := range in.Notes {
		notes = append(notes, map[string]any{"id": n.ID, "content": n.Content, "created_at": n.At.Format(time.RFC3339), "user": a.userRef(n.User)})
	}
	return reply{http.StatusOK, map[string]any{"notes": notes}}
}

func (a *Account) getService(_ *Request, r *http.Request, _ []byte, _ bool) reply {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := a.service(r.PathValue("id"))
	if !ok {
		return notFound()
	}
	ref := a.serviceRef(s.ID)
	ref.Type = "service"
	return reply{http.StatusOK, map[string]any{"service": struct {
		Ref
		Name             string `json:"name"`
		Status           string `json:"status"`
		EscalationPolicy Ref    `json:"escalation_policy"`
	}{ref, s.Name, "active", a.policyRef(s.ID)}}}
}

func (a *Account) createNote(req *Request, r *http.Request, body []byte, by User) reply {
	in := a.find(r.PathValue("id"))
	if in == nil {
		return notFound()
	}
	var want struct {
		Note struct{ Content string } `json:"note"`
	}
	if err := json.Unmarshal(body, &want); err != nil || want.Note.Content == "" {
		return badInput("Content cannot be blank.")
	}
	n := a.annotate(in, by.ID, want.Note.Content)
	a.recordEffect(req, r, EffectAnnotated, in.ID)
	return reply{http.StatusCreated, map[string]any{"note": map[string]any{
		"id": n.ID, "content": n.Content, "created_at": n.At.Format(time.RFC3339), "user": a.userRef(by.ID),
	}}}
}
