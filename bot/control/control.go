// Package control serves the Unix socket of the command line.
//
// The kernel identifies the user of each connection. [Server] serves a table of
// operations, and each operation declares who may use it: everybody who can connect, or
// only administrators, whose every use and refusal is in the audit log. [Client] is the
// other end:
//
//	var reply control.Reply
//	err := control.NewClient(path).Do(ctx, "incident", control.Request{Command: "list"}, &reply)
//
// The package declares the interfaces that it needs, and package bot passes the desk,
// the store and the edge.
package control

import (
	"context"
	"fmt"
	"strings"
	"time"

	"tocsin/bot/backup"
	"tocsin/bot/command"
	"tocsin/bot/incident"
	"tocsin/bot/intake"
	"tocsin/bot/response"
	"tocsin/store"
)

// Desk runs commands and queries and writes the audit log.
type Desk interface {
	Do(context.Context, incident.Command) (incident.Result, error)
	Show(ctx context.Context, who incident.Identity, id incident.ID, reason string) (incident.View, error)
	List(context.Context, incident.Identity, incident.Filter) ([]incident.Summary, error)
	// Pack returns the evidence pack of an incident.
	Pack(ctx context.Context, who incident.Identity, id incident.ID, reason string) ([]byte, error)
	Overview(context.Context, incident.Identity) (incident.Overview, error)
	Alerts(context.Context, incident.Identity, incident.AlertRequest) (incident.AlertResult, error)
	Directory(context.Context) (incident.Directory, error)
	// Administers reports whether a local user operates the instance.
	Administers(incident.Identity) bool
	// DropEffect ends a waiting effect for an administrator.
	DropEffect(ctx context.Context, who incident.Identity, effect int64, reason string) error
	// RestoreOverview returns what waits for the release of a restore, and ReleaseRestore
	// releases it.
	RestoreOverview(context.Context) (response.RestoreOverview, error)
	ReleaseRestore(ctx context.Context, who incident.Identity, reason string) (response.Released, error)
	PasskeyDesk
	// AuditOperation writes the use of an operation, or its refusal, to the audit log.
	AuditOperation(ctx context.Context, who incident.Identity, operation, reason string, allowed bool) error
}

// Store is the stored data that administrators check and repair.
type Store interface {
	VerifyFiles(ctx context.Context, checkpoints []store.CheckpointFile) (store.Verification, error)
	Rotate(ctx context.Context, prune bool) (resealed int, err error)
	Tombstones(ctx context.Context, limit int) ([]store.Tombstone, error)
	WaitingEffects(context.Context, response.WaitingQuery) ([]incident.WaitingEffect, error)
	RetryEffects(context.Context, response.WaitingQuery) (int, error)
	ListAudit(context.Context, store.AuditQuery) (list []store.AuditEntry, older bool, err error)
	ExportAudit(ctx context.Context, q store.AuditQuery, proofs bool, fn func(store.AuditLine) error) error
	Reprocess(context.Context, store.DeliveryFilter) (int, error)
}

// Options are what a [Server] needs.
type Options struct {
	// Desk returns the desk in force. An operation asks once and finishes with it.
	Desk func() Desk
	// Administrators returns the local users that the configuration in force names.
	Administrators func() []string
	Store          Store
	// Export calls fn with the stored deliveries of a filter that a person may read, and
	// returns how many others there are. action and reason are for the audit log.
	Export func(ctx context.Context, who incident.Identity, filter store.DeliveryFilter, action, reason string, fn func([]Recorded) error) (leftOut int, err error)
	// Deliver stores a delivery as if its source had sent it.
	Deliver func(context.Context, intake.Delivery) error
	// Reload puts the changed configuration in force.
	Reload       func(ctx context.Context, by incident.Identity) (ReloadReport, error)
	ReloadStatus func(context.Context) (ReloadReport, error)
	// Backup makes a backup.
	Backup func(context.Context) (backup.Result, error)
	// Sources returns what the sources send.
	Sources func(context.Context) []SourceState
	// Sessions are the sessions on the pages.
	Sessions Sessions
	// TestAcknowledged returns who acknowledged the test page with a code, or "". It reads
	// the deliveries from a time on.
	TestAcknowledged func(ctx context.Context, code string, from time.Time) (by string, err error)
	Zone             *time.Location
	Clock            func() time.Time
}

// Server serves the Unix socket that the command line uses. The kernel identifies
// the user of each connection, so a client cannot claim another name.
type Server struct{ Options }

// NewServer returns a Server.
func NewServer(o Options) *Server { return &Server{o} }

// SourceState is what a source sends, and whether that is usual.
type SourceState struct {
	intake.SourceTraffic
	State            string        `json:"state"` // "ok", "degraded" or "off"
	Cause            string        `json:"cause,omitempty"`
	Fix              string        `json:"fix,omitempty"`
	ExpectedInterval time.Duration `json:"expected_interval,omitempty"` // in nanoseconds
}

// listSources is the operation of `tocsin sources`.
func (c *Server) listSources(ctx context.Context, _ incident.Identity, _ Request) (any, error) {
	return c.Sources(ctx), nil
}

// Request is a request of the command line to the running process.
// Command holds the words after `tocsin incident`.
type Request struct {
	Command string `json:"command"`
	Key     string `json:"key,omitempty"` // idempotency key, generated by the server if empty

	Filter   *store.DeliveryFilter `json:"filter,omitempty"`   // selects stored deliveries
	Waiting  response.WaitingQuery `json:"waiting,omitzero"`   // selects waiting effects
	Audit    store.AuditQuery      `json:"audit,omitzero"`     // selects entries of the audit log
	Proofs   bool                  `json:"proofs,omitempty"`   // of the entries of the audit log
	Recorded []Recorded            `json:"recorded,omitempty"` // deliveries to ingest
	Origin   incident.Origin       `json:"origin,omitempty"`   // of the deliveries to ingest, see [incident.ParseOrigin]
	Reason   string                `json:"reason,omitempty"`   // why, for the audit log
	Code     string                `json:"code,omitempty"`     // of a test page
	Session  SessionQuery          `json:"session,omitzero"`   // selects sessions on the pages
	Skip     int                   `json:"skip,omitempty"`     // events that an earlier part of a search counted
	Passkey  PasskeyRequest        `json:"passkey,omitzero"`

	Checkpoints []store.CheckpointFile `json:"checkpoints,omitempty"` // published ones, to compare with the log
}

// Reply is the reply to a command. Exactly one of the pointers is set,
// or Help is set if the command requested help.
type Reply struct {
	Help      string                       `json:"help,omitempty"`
	List      *[]incident.Summary          `json:"list,omitempty"`
	View      *incident.View               `json:"view,omitempty"`
	Result    *incident.Result             `json:"result,omitempty"`
	Alerts    *incident.AlertResult        `json:"alerts,omitempty"`
	Overview  *incident.Overview           `json:"overview,omitempty"`
	Actions   *[]incident.ActionItem       `json:"actions,omitempty"`
	Timeline  *TimelinePage                `json:"timeline,omitempty"`
	Playbooks *Playbooks                   `json:"playbooks,omitempty"`
	Names     map[incident.PersonID]string `json:"names,omitempty"`
	Times     []string                     `json:"times,omitempty"` // the typed times as Tocsin read them
	Unchanged bool                         `json:"unchanged,omitempty"`
	Who       []string                     `json:"who,omitempty"` // one line about each person who was called or is here
}

// TimelinePage is a part of a timeline.
type TimelinePage struct {
	Events  []incident.Event `json:"events"`
	Earlier int              `json:"earlier"` // number of matching events before these
	More    string           `json:"more,omitempty"`
}

// Playbooks are the playbooks that run in an incident and those that exist.
type Playbooks struct {
	Running   []incident.Run          `json:"running"`
	Available []incident.PlaybookInfo `json:"available"`
}

// timelinePage returns the page of a timeline that a person asked for.
func timelinePage(v incident.View, words command.Parsed) *TimelinePage {
	page, earlier := words.Timeline.Page(v.Timeline)
	out := &TimelinePage{Events: append([]incident.Event{}, page...), Earlier: earlier}
	if earlier > 0 {
		words.Timeline = words.Timeline.Earlier(page)
		out.More, _ = command.Format(words, v.Directory)
	}
	return out
}

// Incident runs a command or query of a person, as the slash command does.
func (c *Server) Incident(ctx context.Context, who incident.Identity, ask Request) (Reply, error) {
	desk := c.Desk()
	dir, err := desk.Directory(ctx)
	if err != nil {
		return Reply{}, err
	}
	person, _ := dir.Resolve(who)
	administrator := desk.Administers(who)
	words, err := command.Parse(ask.Command, command.Context{Who: person.ID, By: who, Administrator: administrator, Directory: dir, Now: c.Clock(), Zone: c.Zone})
	if err != nil {
		return Reply{}, err
	}
	reply := Reply{Names: map[incident.PersonID]string{}}
	if person.ID != "" || administrator {
		reply.Names = dir.Names()
	}
	switch {
	case words.Query == command.QueryHelp:
		reply.Help = helpText(words.Topic)
	case words.Query == command.QueryList:
		list, err := desk.List(ctx, who, words.Filter)
		reply.List = &list
		return reply, err
	case words.AlertRequest != nil:
		words.AlertRequest.Key = ask.Key
		if q := words.AlertRequest.Ask; q != nil {
			q.Skip = ask.Skip
		}
		answer, err := desk.Alerts(ctx, who, *words.AlertRequest)
		reply.Alerts = &answer
		return reply, err
	case words.Query == command.QueryMy, words.Query == command.QueryMenu:
		overview, err := desk.Overview(ctx, who)
		reply.Overview = &overview
		return reply, err
	case words.Query == command.QueryActions:
		overview, err := desk.Overview(ctx, who)
		items := overview.ListActions(words.Topic, words.Command.For, c.Clock())
		reply.Actions = &items
		return reply, err
	case words.Query == command.QueryTimeline, words.Query == command.QueryPlaybooks:
		view, err := desk.Show(ctx, who, words.Command.For, "command line: "+words.Query)
		if words.Query == command.QueryTimeline {
			reply.Timeline = timelinePage(view, words)
		} else {
			reply.Playbooks = &Playbooks{Running: append([]incident.Run{}, view.Incident.Runs...), Available: append([]incident.PlaybookInfo{}, view.Playbooks...)}
		}
		return reply, err
	case words.Query == command.QueryWho:
		view, err := desk.Show(ctx, who, words.Command.For, "command line: "+words.Query)
		reply.Who = whoLines(view, c.Clock())
		return reply, err
	case words.Query != "":
		view, err := desk.Show(ctx, who, words.Command.For, "command line: "+words.Query)
		reply.View = &view
		return reply, err
	case words.Form != "":
		return Reply{}, incident.Invalid("arguments", "arguments are missing. Add them to the command:\n%s", helpText(command.SpecOf(words.Form).Name))
	default:
		cmd := words.Command
		cmd.By, cmd.Auth, cmd.Via, cmd.Key = who, "user of the operating system", incident.ViaCLI, ask.Key
		result, err := desk.Do(ctx, cmd)
		reply.Result = &result
		for _, echo := range command.TypedTimes(cmd, c.Zone) {
			reply.Times = append(reply.Times, echo.Show(showTime).String())
		}
		return reply, err
	}
	return reply, nil
}

// whoLines returns who was called to an incident and who is here, as the command line
// prints it.
func whoLines(v incident.View, now time.Time) []string {
	inc := v.Incident
	out := []string{fmt.Sprintf("%s: %d here", inc.ID, inc.Present())}
	for _, p := range inc.Roster() {
		var facts []string
		for _, f := range p.Facts(inc, now) {
			facts = append(facts, f.Show(showTime).String())
		}
		out = append(out, v.Directory.Name(p.Person)+": "+strings.Join(facts, ", "))
	}
	return out
}

// showTime returns a time of a command as the command line prints it.
func showTime(arg any) string {
	if at, ok := arg.(time.Time); ok {
		return at.Format("Mon ") + incident.TimeText(at)
	}
	return fmt.Sprint(arg)
}

// helpText returns the help of one command with examples, or one line for each
// command if topic is empty.
func helpText(topic string) string {
	var b strings.Builder
	if spec, ok := command.Find(topic); ok {
		fmt.Fprintf(&b, "%s %s\n  %s\n", spec.Name, spec.Usage(), spec.Help)
		for _, e := range spec.Examples {
			fmt.Fprintf(&b, "  tocsin incident %s\n", e)
		}
		return b.String()
	}
	for _, spec := range command.Specs() {
		fmt.Fprintf(&b, "%-10s %-44s %s\n", spec.Name, spec.Usage(), spec.Help)
	}
	return b.String()
}

func (c *Server) verify(ctx context.Context, _ incident.Identity, ask Request) (any, error) {
	return c.Store.VerifyFiles(ctx, ask.Checkpoints)
}

// effects lists the effects that wait.
func (c *Server) effects(ctx context.Context, _ incident.Identity, ask Request) (any, error) {
	list, err := c.Store.WaitingEffects(ctx, ask.Waiting)
	return append([]incident.WaitingEffect{}, list...), err
}

// Retried is the result of `tocsin effects retry`: the number of effects that are tried
// now.
type Retried struct {
	Effects int `json:"effects"`
}

// retryEffects makes waiting effects due now.
func (c *Server) retryEffects(ctx context.Context, _ incident.Identity, ask Request) (any, error) {
	n, err := c.Store.RetryEffects(ctx, ask.Waiting)
	return Retried{n}, err
}

// Dropped is the result of `tocsin effects drop`.
type Dropped struct {
	Effect int64 `json:"effect"`
}

// dropEffect ends a waiting effect. The reason of the request is the reason of the
// administrator.
func (c *Server) dropEffect(ctx context.Context, who incident.Identity, ask Request) (any, error) {
	return Dropped{ask.Waiting.Effect}, c.Desk().DropEffect(ctx, who, ask.Waiting.Effect, ask.Reason)
}

// Rotated is the result of `tocsin keys rotate`. Resealed is the number of
// values encrypted with the new key.
type Rotated struct {
	Resealed int `json:"resealed"`
}

// rotate adds a new key to the keyset and reseals everything. If the command is
// "prune", it then removes the old keys.
func (c *Server) rotate(ctx context.Context, _ incident.Identity, ask Request) (any, error) {
	n, err := c.Store.Rotate(ctx, ask.Command == "prune")
	return Rotated{n}, err
}
