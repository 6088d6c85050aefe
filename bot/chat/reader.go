package chat

import (
	"context"
	"fmt"
	"time"

	"tocsin/bot/command"
	"tocsin/bot/incident"
)

// Desk is the part of the read path that this package uses.
type Desk interface {
	Show(ctx context.Context, who incident.Identity, id incident.ID, reason string) (incident.View, error)
	List(ctx context.Context, who incident.Identity, f incident.Filter) ([]incident.Summary, error)
	Overview(ctx context.Context, who incident.Identity) (incident.Overview, error)
	Alerts(ctx context.Context, who incident.Identity, e incident.AlertRequest) (incident.AlertResult, error)
	Directory(ctx context.Context) (incident.Directory, error)
	OpenForm(ctx context.Context, who incident.Identity, key incident.FormKey, reads bool) (incident.FormMemory, error)
}

// Reader answers the questions of a person in the chat.
type Reader struct {
	Desk Desk
	Who  incident.Identity
	Via  incident.Via // the chat
	Now  time.Time
}

// IsQuestion reports whether a typed command is a question for [Reader.Answer].
func IsQuestion(typed command.Parsed) bool { return typed.Query != "" || typed.AlertRequest != nil }

// Answer returns the answer to a typed question.
func (r Reader) Answer(ctx context.Context, typed command.Parsed) (Message, error) {
	switch typed.Query {
	case command.QueryHelp:
		return Help(typed.Topic), nil
	case command.QueryList:
		found, err := r.Desk.List(ctx, r.Who, typed.Filter)
		if err != nil {
			return Message{}, err
		}
		return Incidents(found), nil
	case command.QueryMenu:
		return r.menu(ctx, typed.Command.For)
	case command.QueryMy:
		return r.Overview(ctx, false)
	case command.QueryActions:
		v, err := r.Desk.Overview(ctx, r.Who)
		if err != nil {
			return Message{}, err
		}
		return ActionItems(v, typed.Topic, typed.Command.For, r.Now), nil
	case command.QueryTimeline:
		v, err := r.view(ctx, typed.Command.For, "timeline")
		if err != nil {
			return Message{}, err
		}
		return Timeline(v, typed.Timeline, r.Now), nil
	case command.QueryPlaybooks:
		v, err := r.view(ctx, typed.Command.For, "playbooks")
		if err != nil {
			return Message{}, err
		}
		return Playbooks(v, r.Now), nil
	case command.QueryStatus:
		return r.Status(ctx, typed.Command.For)
	case command.QueryUpdates:
		v, err := r.Desk.Show(ctx, r.Who, typed.Command.For, "opened the updates in "+incident.SystemName(string(r.Via)))
		if err != nil {
			return Message{}, err
		}
		return Updates(incident.Brief{Incident: v.Incident, Directory: v.Directory, Now: r.Now}, v.Timeline), nil
	case command.QueryRecord:
		v, err := r.view(ctx, typed.Command.For, "closing record")
		if err != nil {
			return Message{}, err
		}
		return Record(v, r.Now), nil
	case command.QueryWho:
		b, err := r.Show(ctx, typed.Command.For, "list of people")
		if err != nil {
			return Message{}, err
		}
		return Who(b), nil
	}
	return r.alerts(ctx, *typed.AlertRequest)
}

// Status returns the present state of an incident.
func (r Reader) Status(ctx context.Context, id incident.ID) (Message, error) {
	b, err := r.Show(ctx, id, "status")
	if err != nil {
		return Message{}, err
	}
	return Status(b), nil
}

// Show reads an incident as the person may see it. The audit log stores the part
// that the person opened.
func (r Reader) Show(ctx context.Context, id incident.ID, part string) (incident.Brief, error) {
	v, err := r.view(ctx, id, part)
	if err != nil {
		return incident.Brief{}, err
	}
	return briefOf(v, r.Now), nil
}

func (r Reader) view(ctx context.Context, id incident.ID, part string) (incident.View, error) {
	return r.Desk.Show(ctx, r.Who, id, "opened the "+part+" in "+incident.SystemName(string(r.Via)))
}

// menu returns the possible commands in the incident of the channel, or elsewhere the work
// of the person in all incidents. A guest of the channel who may not read the incident
// gets the latter.
func (r Reader) menu(ctx context.Context, id incident.ID) (Message, error) {
	if id != 0 {
		v, err := r.view(ctx, id, "menu")
		if err == nil {
			return Menu(v, r.Now), nil
		}
		if incident.CodeOf(err) == "" {
			return Message{}, err
		}
	}
	return r.Overview(ctx, true)
}

// Overview returns the tasks and incidents of the person. If report is set, it begins with
// the button for a report. An account that belongs to no person gets the button only.
func (r Reader) Overview(ctx context.Context, report bool) (Message, error) {
	v, err := r.Desk.Overview(ctx, r.Who)
	switch {
	case err != nil && report && incident.CodeOf(err) == incident.CodeForbidden:
		return Welcome(), nil
	case err != nil:
		return Message{}, err
	}
	return Overview(v, report), nil
}

// FormContext returns what the form of a command shows. view is the opened form.
func (r Reader) FormContext(ctx context.Context, f *command.FormSpec, given incident.Command, view string) (command.FormContext, error) {
	c := command.FormContext{Given: given, Env: incident.Env{Now: r.Now}}
	if f.NeedsState {
		v, err := r.Desk.Show(ctx, r.Who, given.For, "opened the form "+f.Title+" in "+incident.SystemName(string(r.Via)))
		if err != nil {
			return c, err
		}
		c.Incident, c.Timeline, c.Directory, c.Draft, c.Playbooks = v.Incident, v.Timeline, v.Directory, v.Draft, v.Playbooks
		c.Env = incident.Env{Now: r.Now, Actor: v.Reader, Directory: v.Directory, Policy: v.Policy}
	}
	if reads := f.Reads && command.ShowsRecord(c); reads || f.KeepsDrafts() {
		memory, err := r.Desk.OpenForm(ctx, r.Who, command.FormKeyOf(given, view), reads)
		if err != nil && incident.CodeOf(err) == "" { // a form that needs no access has no draft without it
			return c, err
		}
		c.Memory = memory
	}
	if f.NeedsOthers {
		found, err := r.Desk.List(ctx, r.Who, incident.Filter{})
		if err != nil {
			return c, err
		}
		c.Others = found
	}
	if f.NeedsAlerts {
		found, err := r.Desk.Alerts(ctx, r.Who, incident.AlertRequest{Query: incident.QueryAlerts, Disposition: incident.DispositionWatched})
		if err != nil {
			return c, err
		}
		c.Alerts = found.Alerts
	}
	return c, nil
}

// maxTrailEvents is the maximum number of events in an answer about the stored records.
const maxTrailEvents = 60

func (r Reader) alerts(ctx context.Context, request incident.AlertRequest) (Message, error) {
	if request.Ask != nil {
		q := *request.Ask
		q.Limit = min(q.Limit, maxTrailEvents)
		request.Ask = &q
	}
	result, err := r.Desk.Alerts(ctx, r.Who, request)
	if err != nil {
		return Message{}, err
	}
	d, err := r.Desk.Directory(ctx)
	if err != nil {
		return Message{}, fmt.Errorf("read directory: %w", err)
	}
	return Alerts(result, d, r.Now), nil
}
