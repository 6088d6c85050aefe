package pager

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// The statuses of an incident, as the wire spells them.
const (
	Triggered    = "triggered"
	Acknowledged = "acknowledged"
	Resolved     = "resolved"
)

// Ref is PagerDuty's reference to an object.
type Ref struct {
	HTMLURL string `json:"html_url"`
	ID      string `json:"id"`
	Self    string `json:"self"`
	Summary string `json:"summary"`
	Type    string `json:"type"`
}

// Client is what an event said about its sender.
type Client struct {
	Name string `json:"name"`
	URL  string `json:"url,omitempty"`
}

// Incident is one alert and the incident it opened; this account never groups
// several alerts into one incident.
type Incident struct {
	ID        string          `json:"id"`
	Number    int             `json:"number"`
	HTMLURL   string          `json:"html_url"`
	Key       string          `json:"incident_key"` // the dedup_key of the event that opened it
	Title     string          `json:"title"`
	Status    string          `json:"status"`
	Urgency   string          `json:"urgency"`
	Service   string          `json:"service"`
	Assignees []string        `json:"assignees"`
	AckedBy   []string        `json:"acknowledged_by,omitempty"` // users; an acknowledgement by the API has none
	CreatedAt time.Time       `json:"created_at"`
	ChangedAt time.Time       `json:"changed_at"` // of the last change of status
	Manual    bool            `json:"manual,omitempty"`
	Event     json.RawMessage `json:"event,omitempty"` // the payload of the event that opened it
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

// LogEntry says what happened to an incident: triggered, acknowledged,
// resolved, annotated; also a trigger with the key of an open alert, which
// pages nobody again.
type LogEntry struct {
	At   time.Time `json:"at"`
	Kind string    `json:"kind"`
	By   string    `json:"by,omitempty"` // user id; empty for the API
	Text string    `json:"text,omitempty"`
}

// Page is one incident ringing at one person.
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

// Errors of what a person tries to do.
var (
	ErrNoIncident = errors.New("no such incident")
	ErrNoUser     = errors.New("no such user")
	ErrNoService  = errors.New("no such service")
	ErrResolved   = errors.New("the incident is resolved")
)

// Incident returns one incident by its id.
func (a *Account) Incident(id string) (Incident, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if in := a.find(id); in != nil {
		return in.copy(), true
	}
	return Incident{}, false
}

// ByKey returns every incident that an event with this dedup_key opened,
// oldest first.
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

// Acknowledge is a person pressing "Acknowledge". An incident may be
// acknowledged by several people; by the same one a second time it changes
// nothing.
func (a *Account) Acknowledge(incident, user string) error {
	return a.person(incident, user, func(in *Incident, u User) error {
		if in.Status == Resolved {
			return ErrResolved
		}
		if slices.Contains(in.AckedBy, u.ID) {
			return nil
		}
		in.AckedBy = append(in.AckedBy, u.ID)
		a.move(in, Acknowledged, u.ID, nil)
		return nil
	})
}

// Resolve is a person pressing "Resolve".
func (a *Account) Resolve(incident, user string) error {
	return a.person(incident, user, func(in *Incident, u User) error {
		if in.Status == Resolved {
			return ErrResolved
		}
		a.move(in, Resolved, u.ID, nil)
		return nil
	})
}

// Annotate is a person writing a note, which is allowed at any status.
func (a *Account) Annotate(incident, user, content string) error {
	return a.person(incident, user, func(in *Incident, u User) error {
		a.annotate(in, u.ID, content)
		return nil
	})
}

// Raise is a person opening an incident by hand on a service, without any
// event behind it. It returns the incident's id.
func (a *Account) Raise(title, service, user string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u, ok := a.user(user)
	if !ok {
		return "", fmt.Errorf("raise an incident as %q: %w", user, ErrNoUser)
	}
	s, ok := a.service(service)
	if !ok {
		return "", fmt.Errorf("raise an incident on %q: %w", service, ErrNoService)
	}
	return a.trigger(s, Incident{Title: title, Urgency: "high", Manual: true}, u.ID).ID, nil
}

func (a *Account) person(incident, user string, act func(*Incident, User) error) error {
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

// The functions below change the account; the lock is held.

func (a *Account) find(id string) *Incident {
	for _, in := range a.incidents {
		if in.ID == id {
			return in
		}
	}
	return nil
}

// trigger opens an incident, pages whoever is on call and tells the webhooks.
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
	a.touch()
	return p
}

// move changes the status and tells the webhooks. by is empty and client set
// when the Events API did it.
func (a *Account) move(in *Incident, status, by string, client *Client) {
	in.Status, in.ChangedAt = status, a.cfg.Now().UTC()
	in.Log = append(in.Log, LogEntry{At: in.ChangedAt, Kind: status, By: by})
	if status == Resolved {
		delete(a.open, alertKey{in.Service, in.Key})
	}
	a.publish(in, "incident."+status, by, client, a.incidentData(in))
	a.touch()
}

func (a *Account) annotate(in *Incident, by, content string) Note {
	n := Note{ID: a.nextID("note", "N", 13), User: by, Content: content, At: a.cfg.Now().UTC()}
	in.Notes = append(in.Notes, n)
	in.Log = append(in.Log, LogEntry{At: n.At, Kind: "annotated", By: by, Text: content})
	a.publish(in, "incident.annotated", by, nil, a.noteData(in, n))
	a.touch()
	return n
}

func (a *Account) userRef(id string) Ref {
	u, _ := a.user(id)
	return a.ref("user_reference", "users", id, u.Name)
}

// ref builds a reference; collection is the path element of both URLs.
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

// policyID derives the id of a service's only escalation policy.
func policyID(service string) string { return "E" + service }
