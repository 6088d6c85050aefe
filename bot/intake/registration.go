package intake

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/setting"
)

// Settings is the configuration of one source, the value of its key under
// sources. Each adapter has a type Config that implements it.
type Settings interface {
	// Validate returns the problems, by keys relative to the configuration. It makes
	// no connections.
	Validate() setting.Problems
	// Registration describes the configured source. It also describes a source that
	// is off.
	Registration() Registration
}

// Registration is all that the rest of the program knows about one source.
type Registration struct {
	// Name is the source of its alerts, and the last element of its webhook's path.
	Name string
	// On reports whether the source is configured.
	On bool
	// Fixed sources are created once, because they have a state that a reload must
	// not lose, such as a connection or a cache. A reload replaces all others.
	Fixed bool
	// Feeds is another source that decodes deliveries of this one, or "". It is on
	// if this one is.
	Feeds string
	// Limits bound the webhook. They have no meaning for a source without one.
	Limits Limits
	// Usual is what is usual for the source.
	Usual Usual
	// Alerts is what its alerts can contain.
	Alerts Alerts
	// Secret is the key of the credential of the webhook, such as "client_secrets", or ""
	// if the source has no webhook.
	Secret string
	// New creates the source. It may read files, but makes no connections.
	New func(Deps) (Source, error)
	// Post signs deliveries for the webhook of another instance.
	Post Poster
	// BareHeader returns the headers that a body without any needs to be decoded. It
	// may be nil.
	BareHeader func(body []byte) map[string]string
	// Example is the value of the key in the example configuration, as commented YAML.
	Example string
}

// Alerts is what the alerts of a source can contain. It serves to find routing rules that
// can never match.
type Alerts struct {
	// Source is the source of the alerts if it is not the name of the source.
	Source string
	// Kinds are the kinds of the alerts. "*" at the end stands for any rest. Without
	// kinds the alerts can have any.
	Kinds []string
	// Levels are the levels of the alerts, all if empty.
	Levels []incident.Level
}

// Poster signs the deliveries of a source as its system does.
type Poster struct {
	// Sign adds the headers for a body. It is nil if only the system itself can sign,
	// and then Refusal is the reason.
	Sign    func(h http.Header, secret, id string, body []byte)
	Refusal string
	// KeepsID reports whether Sign sends the id. If not, the receiver derives it from
	// the body.
	KeepsID bool
}

// Deps are the parts of the process that sources use. Each source uses a few.
type Deps struct {
	Clock  func() time.Time // default time.Now
	Logger *slog.Logger     // default slog.Default
	// Observer implements the interfaces that adapters declare for their metrics.
	Observer any
	// Records is the source of CloudTrail records. Adapters that receive records in
	// another form declare the interface that they need of it.
	Records Source
	// Accept stores deliveries that a source fetches, as [Store] does.
	Accept func(context.Context, []Delivery) error
	// MailFrom is the address from which Tocsin sends mail, or "".
	MailFrom string
}

// Runner is a [Source] that fetches its deliveries.
type Runner interface {
	// Run fetches deliveries until ctx ends, and then returns nil.
	Run(ctx context.Context) error
}

// Fetcher is a [Runner] that can receive data without storing a delivery.
type Fetcher interface {
	// LastReceived returns when it received data last, or the zero time.
	LastReceived() time.Time
}

// Checked is a [Source] with a part that can fail while the process is ready.
type Checked interface {
	// Check returns the name of the part for people, and its error or nil. It returns
	// at once.
	Check() (part string, err error)
}
