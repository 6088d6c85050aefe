package pager

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Statuses of an incident, in the spelling of the API.
const (
	Triggered    = "triggered"
	Acknowledged = "acknowledged"
	Resolved     = "resolved"
)

// Ref is a reference to an object in PagerDuty's format.
type Ref struct {
	HTMLURL string `json:"html_url"`
	ID      string `json:"id"`
	Self    string `json:"self"`
	Summary string `json:"summary"`
	Type    string `json:"type"`
}

// Client identifies the sender of an event.
type Client struct {
	Name string `json:"name"`
	URL  string `json:"url,omitempty"`
}

// Incident is an alert and the incident it opened. This account never groups
// several alerts into one incident.
type Incident struct {
	ID        string          `json:"id"`
	Number    int             `json:"number"`
	HTMLURL   string          `json:"html_url"`
	Key       string          `json:"incident_key"` // dedup_key of the event that opened it
	Title     string          `json:"title"`
	Status    string          `json:"status"`
	Urgency   string          `json:"urgency"`
	Service   string          `json:"service"`
	Assignees []string        `json:"assignees"`
	AckedBy   []string        `json:"acknowledged_by,omitempty"` // user IDs, without acknowledgements by the Events API
	CreatedAt time.Time       `json:"created_at"`
	ChangedAt time.Time       `json:"changed_at"` // time of the last status change
	Manual    bool            `json:"manual,omitempty"`
	Event     json.RawMessage `json:"event,omitempty"` // payload of the event that opened it
	Client    *Client         `json:"client,omitempty"`
	Links     []Link          `json:"links,omitempty"`
	Notes     []Note          `json:"notes,omitempty"`
	Log       []LogEntry      `json:"log"`
}

// Note is a note that a person wrote on an incident.
type Note struct {
	ID      string    `json:"id"`
	User    string    `json:"user"`
	Content string    `json:"content"`
	At      time.Time `json:"at"`
}

// LogEntry is an entry in the log of an incident. Its kind is triggered,
// acknowledged, resolved or annotated. A trigger for an open alert is logged
// too but pages no one.
type LogEntry struct {
	At   time.Time `json:"at"`
	Kind string    `json:"kind"`
	By   string    `json:"by,omitempty"` // user ID, empty for the Events API
	Text string    `json:"text,omitempty"`
}

// Page is the notification of one person about one incident.
type Page struct {
	At       time.Time `json:"at"`
	Incident string    `json:"incident"`
	Key      string    `json:"incident_key"`
	User     string    `json:"user"`
	Text     string    `json:"text"`
}

type alertKey struct{ service, key string }

func (in *Incident) copy() Incident {
	c := *in
	c.Assignees, c.AckedBy = slices.Clone(in.Assignees), slices.Clone(in.AckedBy)
	c.Links, c.Notes, c.Log = slices.Clone(in.Links), slices.Clone(in.Notes), slices.Clone(in.Log)
	return c
}

// Errors of the methods that act as a person.
var (
	ErrNoIncident = errors.New("no such incident")
	ErrNoUser     = errors.New("no such user")
	ErrNoService  = errors.New("no such service")
	ErrResolved   = errors.New("incident is resolved")
)

// Incident returns the incident with the given ID and whether it exists.
func (a *Account) Incident(id string) (Incident, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if in := a.find(id); in != nil {
		return in.copy(), true
	}
	return Incident{}, false
}

// ByKey returns all incidents opened with this dedup_key, oldest first.
func (a *Account) ByKey(key string) []Incident {
	a.mu.Lock()
	defer a.mu.Unlock()
	var found []Incident
	for _, in := range a.incidents {
		if in.Key == key {
			found = append(found, in.copy())
		}
	}
	return found
}

// Acknowledge acknowledges an incident as the given user. Several users may
// acknowledge one incident. A repeated acknowledgement by one user changes
// nothing. The error wraps [ErrNoUser], [ErrNoIncident] or [ErrResolved].
func (a *Account) Acknowledge(incident, user string) error {
	return a.actOn(incident, user, func(in *Incident, u User) error {
		if in.Status == Resolved {
			return ErrResolved
		}
		if slices.Contains(in.AckedBy, u.ID) {
			return nil
		}
		in.AckedBy = append(in.AckedBy, u.ID)
		a.setStatus(in, Acknowledged, u.ID, nil)
		return nil
	})
}

// Resolve resolves an incident as the given user. The error wraps [ErrNoUser],
// [ErrNoIncident] or [ErrResolved].
func (a *Account) Resolve(incident, user string) error {
	return a.actOn(incident, user, func(in *Incident, u User) error {
		if in.Status == Resolved {
			return ErrResolved
		}
		a.setStatus(in, Resolved, u.ID, nil)
		return nil
	})
}

// Annotate adds a note as the given user, in any status. The error wraps [ErrNoUser]
// or [ErrNoIncident].
func (a *Account) Annotate(incident, user, content string) error {
	return a.actOn(incident, user, func(in *Incident, u User) error {
		a.annotate(in, u.ID, content)
		return nil
	})
}

// Raise opens an incident on a service as the given user, without an event, and
// returns its ID. The error wraps [ErrNoUser] or [ErrNoService].
func (a *Account) Raise(title, service, user string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u, ok := a.user(user)
	if !ok {
		return "", fmt.Errorf("raise incident as %q: %w", user, ErrNoUser)
	}
	s, ok := a.service(service)
	if !ok {
		return "", fmt.Errorf("raise incident on %q: %w", service, ErrNoService)
	}
	return a.trigger(s, Incident{Title: title, Urgency: "high", Manual: true}, u.ID).ID, nil
}

func (a *Account) actOn(incident, user string, act func(*Incident, User) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	u, ok := a.user(user)
	if !ok {
		return fmt.Errorf("act as %q: %w", user, ErrNoUser)
	}
	in := a.find(incident)
	if in == nil {
		return fmt.Errorf("act on incident %q: %w", incident, ErrNoIncident)
	}
	if err := act(in, u); err != nil {
		return fmt.Errorf("act on incident %s: %w", in.ID, err)
	}
	return nil
}

// For all functions below, the caller holds a.mu.

func (a *Account) find(id string) *Incident {
	for _, in := range a.incidents {
		if in.ID == id {
			return in
		}
	}
	return nil
}

// trigger opens an incident, pages the users on call and publishes the event to
// the webhooks.
func (a *Account) trigger(s Service, in Incident, by string) *Incident {
	now := a.cfg.Now().UTC()
	in.ID = a.nextID("incident", "Q", 13)
	in.Number = len(a.incidents) + 1
	in.HTMLURL = a.cfg.Site + "/incidents/" + in.ID
	in.Status, in.Service = Triggered, s.ID
	in.CreatedAt, in.ChangedAt = now, now
	in.Assignees = slices.Clone(s.OnCall)
	if in.Key == "" {
		in.Key = a.nextID("key", "", 32)
	}
	in.Log = []LogEntry{{At: now, Kind: Triggered, By: by, Text: in.Title}}
	p := &in
	a.incidents = append(a.incidents, p)
	a.open[alertKey{s.ID, in.Key}] = p
	for _, u := range in.Assignees {
		a.pages = append(a.pages, Page{At: now, Incident: in.ID, Key: in.Key, User: u, Text: in.Title})
	}
	a.publish(p, "incident.triggered", by, in.Client, a.incidentData(p))
	a.notifyChange()
	return p
}

// setStatus sets the status and publishes the event to the webhooks. For the
// Events API, by is empty and client may be set.
func (a *Account) setStatus(in *Incident, status, by string, client *Client) {
	in.Status, in.ChangedAt = status, a.cfg.Now().UTC()
	in.Log = append(in.Log, LogEntry{At: in.ChangedAt, Kind: status, By: by})
	if status == Resolved {
		delete(a.open, alertKey{in.Service, in.Key})
	}
	a.publish(in, "incident."+status, by, client, a.incidentData(in))
	a.notifyChange()
}

func (a *Account) annotate(in *Incident, by, content string) Note {
	n := Note{ID: a.nextID("note", "N", 13), User: by, Content: content, At: a.cfg.Now().UTC()}
	in.Notes = append(in.Notes, n)
	in.Log = append(in.Log, LogEntry{At: n.At, Kind: "annotated", By: by, Text: content})
	a.publish(in, "incident.annotated", by, nil, a.noteData(in, n))
	a.notifyChange()
	return n
}

func (a *Account) userRef(id string) Ref {
	u, _ := a.user(id)
	return a.ref("user_reference", "users", id, u.Name)
}

// ref returns a reference. The collection is the path element of both URLs.
func (a *Account) ref(kind, collection, id, summary string) Ref {
	return Ref{
		HTMLURL: a.cfg.Site + "/" + collection + "/" + id, ID: id,
		Self: "https://api.pagerduty.com/" + collection + "/" + id, Summary: summary, Type: kind,
	}
}

func (a *Account) serviceRef(id string) Ref {
	s, _ := a.service(id)
	return a.ref("service_reference", "services", id, s.Name)
}

func (a *Account) policyRef(service string) Ref {
	s, _ := a.service(service)
	return a.ref("escalation_policy_reference", "escalation_policies", policyID(service), s.Name+" escalation")
}

// policyID returns the ID of a service's only escalation policy.
func policyID(service string) string { return "E" + service }
