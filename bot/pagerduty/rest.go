package pagerduty

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/PagerDuty/go-pagerduty"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// REST uses PagerDuty's REST API, which can do what the Events API cannot: change a page,
// page a chosen person, and read who is on call and who acknowledged. It looks before it
// acts, so each call can be repeated. It is safe for concurrent use.
type REST struct {
	cfg  Config
	http *http.Client
}

// NewREST returns a client, or nil if the configuration has no API key.
func NewREST(c Config, client *http.Client) *REST {
	if c.APIKey.IsZero() {
		return nil
	}
	return &REST{cfg: c, http: client}
}

// call makes one call and classifies its error.
func (r *REST) call(ctx context.Context, what string, f func(context.Context, *pagerduty.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	recorder := &responseRecorder{http: r.http, isREST: true}
	api := pagerduty.NewClient(r.cfg.APIKey.Reveal(), pagerduty.WithAPIEndpoint(strings.TrimRight(cmp.Or(r.cfg.APIURL, "https://api.pagerduty.com"), "/")))
	api.HTTPClient = recorder
	if err := f(ctx, api); err != nil {
		return fmt.Errorf("%s in PagerDuty: %w", what, recorder.classify(err))
	}
	return nil
}

// find returns the newest PagerDuty incident with a key, or nil.
func (r *REST) find(ctx context.Context, key string) (found *pagerduty.Incident, err error) {
	err = r.call(ctx, "find the page", func(ctx context.Context, api *pagerduty.Client) error {
		list, err := api.ListIncidentsWithContext(ctx, pagerduty.ListIncidentsOptions{IncidentKey: key, DateRange: "all", SortBy: "created_at:desc", Limit: 1})
		if err == nil && len(list.Incidents) > 0 {
			found = &list.Incidents[0]
		}
		return err
	})
	return found, err
}

// maxPages is the maximum number of pages that are read of the list of open PagerDuty
// incidents, which is sorted from the newest.
const maxPages = 10

// eachIncident calls f for the newest PagerDuty incidents of the service in some statuses.
func (r *REST) eachIncident(ctx context.Context, what string, statuses []string, f func(pagerduty.Incident)) error {
	o := pagerduty.ListIncidentsOptions{Statuses: statuses, ServiceIDs: []string{r.cfg.Service}, DateRange: "all", SortBy: "created_at:desc", Limit: 100}
	for range maxPages {
		var list *pagerduty.ListIncidentsResponse
		err := r.call(ctx, what, func(ctx context.Context, api *pagerduty.Client) (err error) {
			list, err = api.ListIncidentsWithContext(ctx, o)
			return err
		})
		if err != nil {
			return err
		}
		for _, in := range list.Incidents {
			f(in)
		}
		if !list.More {
			break
		}
		o.Offset += o.Limit
	}
	return nil
}

// appearsWithin is how long PagerDuty may take until an accepted event is an incident.
const appearsWithin = time.Minute

// updatedRounds is the number of paging rounds, from the last one, whose pages are updated.
const updatedRounds = 3

// UpdatePage is the handler of [incident.EffectPagerUpdate]: it sets the title of the open
// pages of the last rounds and adds a note about the event to the newest one. A page that is
// not in PagerDuty is left alone.
func (r *REST) UpdatePage(ctx context.Context, b incident.Brief, _ incident.Effect) (incident.Command, error) {
	var newest *pagerduty.Incident
	for _, round := range b.Incident.LastRounds(updatedRounds) {
		if !slices.ContainsFunc(b.Incident.Pages, func(p incident.PageRef) bool { return p.Round == round }) {
			continue
		}
		found, err := r.find(ctx, incident.PageKey(b.Incident.ID, round))
		switch {
		case err != nil:
			return incident.Command{}, err
		case found == nil && newest == nil && b.Now.Before(b.Event.RecordedAt.Add(appearsWithin)):
			return incident.Command{}, &incident.RetryAfter{After: 10 * time.Second, Err: errors.New("PagerDuty does not show the page yet")}
		case found == nil:
			continue
		case newest == nil:
			newest = found
		}
		if title := summary(b, round); found.Title != title && found.Status != "resolved" {
			if err := r.change(ctx, "change the title of the page", pagerduty.ManageIncidentsOptions{ID: found.ID, Title: title}); err != nil {
				return incident.Command{}, err
			}
		}
	}
	if note := noteOf(b); note != "" && newest != nil {
		if err := r.addNote(ctx, newest.ID, note); err != nil {
			return incident.Command{}, err
		}
	}
	if b.Incident.Status.Responding() {
		return incident.Command{}, nil
	}
	return incident.Command{}, r.resolvePersonalPages(ctx, b.Incident.ID)
}

// change changes PagerDuty incidents in the name of the configured user.
func (r *REST) change(ctx context.Context, what string, changes ...pagerduty.ManageIncidentsOptions) error {
	return r.call(ctx, what, func(ctx context.Context, api *pagerduty.Client) error {
		_, err := api.ManageIncidentsWithContext(ctx, r.cfg.From, changes)
		return err
	})
}

// ownNote matches the notes of [noteOf].
var ownNote = regexp.MustCompile(`^INC-\d+ .* at \d\d:\d\d UTC \(Tocsin \d+\)$`)

// noteOf returns the note about an event, or "". It names no person of a restricted
// incident.
func noteOf(b incident.Brief) string {
	by := ""
	if !b.Incident.Restricted && b.Event.By != "" {
		by = " by " + b.Directory.Name(b.Event.By)
	}
	said := ""
	switch b.Event.Kind {
	case incident.EventAcknowledged:
		said = "acknowledged" + by
	case incident.EventContained:
		said = "contained" + by
	case incident.EventResolved:
		said = "resolved" + by
	case incident.EventSeveritySet:
		said = "severity changed from " + b.Event.Field("from") + " to " + b.Event.Field("severity") + by
	default:
		return ""
	}
	return text.Line(fmt.Sprintf("%s %s at %s (Tocsin %d)", b.Incident.ID, said, b.Event.HappenedAt.UTC().Format("15:04 UTC"), b.Event.Seq))
}

// addNote adds a note to a PagerDuty incident, unless it has the note.
func (r *REST) addNote(ctx context.Context, id, content string) error {
	isThere := false
	err := r.call(ctx, "read the notes", func(ctx context.Context, api *pagerduty.Client) error {
		notes, err := api.ListIncidentNotesWithContext(ctx, id)
		isThere = slices.ContainsFunc(notes, func(n pagerduty.IncidentNote) bool { return n.Content == content })
		return err
	})
	if err != nil || isThere {
		return err
	}
	return r.call(ctx, "add a note", func(ctx context.Context, api *pagerduty.Client) error {
		_, err := api.CreateIncidentNoteWithContext(ctx, id, pagerduty.IncidentNote{User: pagerduty.APIObject{Summary: r.cfg.From}, Content: content})
		return err
	})
}

// personalPrefix begins the key of a page to a chosen person. It is no page of a round, so
// Tocsin must not open an incident about it.
const personalPrefix = "tocsin-page/"

// PagePerson pages one person about an incident, whoever is on call. name identifies the
// page among those of the incident: a repeat pages nobody.
func (r *REST) PagePerson(ctx context.Context, b incident.Brief, user, name string) error {
	key := personalPrefix + b.Incident.ID.String() + "/" + name + "/" + user
	if found, err := r.find(ctx, key); err != nil || found != nil {
		return err
	}
	lines := []string{incident.AcknowledgeHint}
	for _, l := range b.Page.Links.List() {
		lines = append(lines, l.Label+": "+l.URL)
	}
	return r.call(ctx, "page a person", func(ctx context.Context, api *pagerduty.Client) error {
		_, err := api.CreateIncidentWithContext(ctx, r.cfg.From, &pagerduty.CreateIncidentOptions{Title: text.Truncate(text.Line(b.PageTitle()), maxSummary), IncidentKey: key, Urgency: "high",
			Service: &pagerduty.APIReference{ID: r.cfg.Service, Type: "service_reference"}, Body: &pagerduty.APIDetails{Type: "incident_body", Details: strings.Join(lines, "\n")},
			Assignments: []pagerduty.Assignee{{Assignee: pagerduty.APIObject{ID: user, Type: "user_reference"}}}})
		return err
	})
}

// resolvePersonalPages ends the pages to chosen persons, which nobody else ends.
func (r *REST) resolvePersonalPages(ctx context.Context, id incident.ID) error {
	var open []pagerduty.ManageIncidentsOptions
	err := r.eachIncident(ctx, "find the pages to persons", []string{"triggered", "acknowledged"}, func(in pagerduty.Incident) {
		if strings.HasPrefix(in.IncidentKey, personalPrefix+id.String()+"/") {
			open = append(open, pagerduty.ManageIncidentsOptions{ID: in.ID, Status: "resolved"})
		}
	})
	if err != nil || len(open) == 0 {
		return err
	}
	return r.change(ctx, "end the pages to persons", open...)
}

// pagedIncident returns the reference to the incident of a page: of a round, or to a chosen
// person, whose acknowledgement belongs to no round.
func pagedIncident(key string) (incident.IncidentRef, bool) {
	if _, _, ok := incident.ParsePageKey(key); ok {
		return incident.IncidentRef{PageKey: key}, true
	}
	rest, personal := strings.CutPrefix(key, personalPrefix)
	number, _, _ := strings.Cut(rest, "/")
	ref := incident.IncidentRef{PageKey: number + "/0"}
	_, _, ok := incident.ParsePageKey(ref.PageKey)
	return ref, personal && ok
}

// OnCall is a user who is on call.
type OnCall struct {
	User, Name string
	Level      int // of the escalation policy, from 1
}

// OnCall returns who is on call for the configured service, the first level first.
func (r *REST) OnCall(ctx context.Context) (out []OnCall, err error) {
	service, err := r.service(ctx)
	if err != nil {
		return nil, err
	}
	err = r.call(ctx, "read who is on call", func(ctx context.Context, api *pagerduty.Client) error {
		list, err := api.ListOnCallsWithContext(ctx, pagerduty.ListOnCallOptions{EscalationPolicyIDs: []string{service.EscalationPolicy.ID}, Earliest: true, Limit: 100})
		if err != nil {
			return err
		}
		for _, o := range list.OnCalls {
			one := OnCall{User: o.User.ID, Name: cmp.Or(o.User.Name, o.User.Summary), Level: int(o.EscalationLevel)}
			if !slices.ContainsFunc(out, func(have OnCall) bool { return have.User == one.User }) {
				out = append(out, one)
			}
		}
		return nil
	})
	slices.SortStableFunc(out, func(a, b OnCall) int { return a.Level - b.Level })
	return out, err
}

func (r *REST) service(ctx context.Context) (service *pagerduty.Service, err error) {
	err = r.call(ctx, "read the service", func(ctx context.Context, api *pagerduty.Client) (err error) {
		service, err = api.GetServiceWithContext(ctx, r.cfg.Service, &pagerduty.GetServiceOptions{})
		return err
	})
	return service, err
}

// Probe returns an error if the API key, the service or the user of From does not work.
func (r *REST) Probe(ctx context.Context) error {
	if _, err := r.service(ctx); err != nil {
		return err
	}
	isKnown := false
	err := r.call(ctx, "find the user of pagerduty.from", func(ctx context.Context, api *pagerduty.Client) error {
		list, err := api.ListUsersWithContext(ctx, pagerduty.ListUsersOptions{Query: r.cfg.From, Limit: 100})
		if err == nil {
			isKnown = slices.ContainsFunc(list.Users, func(u pagerduty.User) bool { return strings.EqualFold(u.Email, r.cfg.From) })
		}
		return err
	})
	if err == nil && !isKnown {
		return blocked(incident.Say("PagerDuty has no user with the address of pagerduty.from"),
			incident.Say("Write the login address of a PagerDuty user to pagerduty.from and reload Tocsin"), errors.New("unknown user"))
	}
	return err
}

// Acknowledgement is an acknowledgement by a user in PagerDuty.
type Acknowledgement struct {
	Key  string // of the page
	User string
	Name string
	At   time.Time
}

// Acknowledgements returns the acknowledgements of users of the open pages of the service,
// for an installation that receives no webhooks.
func (r *REST) Acknowledgements(ctx context.Context) (out []Acknowledgement, err error) {
	err = r.eachIncident(ctx, "read acknowledgements", []string{"acknowledged"}, func(in pagerduty.Incident) {
		for _, ack := range in.Acknowledgements {
			if ack.Acknowledger.Type == "user_reference" || ack.Acknowledger.Type == "user" {
				out = append(out, Acknowledgement{Key: in.IncidentKey, User: ack.Acknowledger.ID, Name: ack.Acknowledger.Summary, At: text.Timestamp(text.Flex(ack.At))})
			}
		}
	})
	return out, err
}

// Command returns the acknowledgement as a command, or false if it is not about a page of
// an incident.
func (a Acknowledgement) Command() (incident.Command, bool) {
	ref, _ := pagedIncident(a.Key)
	id, round, ok := incident.ParsePageKey(ref.PageKey)
	return incident.Command{Key: "pagerduty:ack/" + a.Key + "/" + a.User, For: id, Round: round, Verb: incident.VerbAcknowledge, Via: incident.ViaPager,
		By: incident.Identity{Provider: incident.ProviderPagerDuty, ID: a.User}, HappenedAt: a.At}, ok
}

// TestPage returns the acknowledgement of a test page, or false if it is about another page.
func (a Acknowledgement) TestPage() (incident.TestPageAck, bool) {
	code := testPageCode(a.Key)
	return incident.TestPageAck{Code: code, By: incident.Identity{Provider: incident.ProviderPagerDuty, ID: a.User}, Name: a.Name, At: a.At}, code != ""
}
