package incident

import (
	"maps"
	"slices"
	"time"
)

// Via is the way a command came.
type Via string

// The ways in.
const (
	ViaSlack  Via = "slack"
	ViaWeb    Via = "web"
	ViaCLI    Via = "cli"
	ViaPager  Via = "pager"
	ViaMail   Via = "mail"
	ViaSource Via = "source"
	ViaSystem Via = "system"
)

// Command asks for one change of one incident. Every door makes one; the
// Desk resolves By to a person and Decide judges it. Which arguments a verb
// reads stands beside the verb in lifecycle.go.
type Command struct {
	Key    string   `json:"key"`              // idempotency key, unique within the incident: a view's id and hash, a webhook's id
	For    ID       `json:"for"`              // 0 for VerbOpen
	Verb   Verb     `json:"verb"`             //
	By     Identity `json:"by"`               //
	Auth   string   `json:"auth,omitempty"`   // how By was authenticated: "slack", "unix socket", "pagerduty webhook"
	Via    Via      `json:"via"`              //
	Expect string   `json:"expect,omitempty"` // the digest the person saw
	// HappenedAt is when the thing was done, where that is not now
	// ("disabled the key at 02:31", written at 03:00).
	HappenedAt time.Time `json:"happened_at,omitzero"`

	Text       string            `json:"text,omitempty"` // note, reason, answer, outcome, decisions
	Title      string            `json:"title,omitempty"`
	Severity   Severity          `json:"severity,omitempty"`
	Public     bool              `json:"public,omitempty"`
	Role       Role              `json:"role,omitempty"`
	Person     PersonID          `json:"person,omitempty"`
	Department Department        `json:"department,omitempty"`
	Blocking   bool              `json:"blocking,omitempty"`
	Until      time.Time         `json:"until,omitzero"`
	Step       string            `json:"step,omitempty"` // "rotate-key" or "leaked-aws-credentials/rotate-key"
	Fact       *FactChange       `json:"fact,omitempty"`
	Record     map[string]string `json:"record,omitempty"` // field name → text
	Evidence   *Evidence         `json:"evidence,omitempty"`
	Action     *Action           `json:"action,omitempty"`
	Item       string            `json:"item,omitempty"` // an action's, objection's or evidence's id
	Target     ID                `json:"target,omitempty"`
	Attendance []PersonID        `json:"attendance,omitempty"`
	Actions    []Action          `json:"actions,omitempty"` // of a concluded review
	When       time.Time         `json:"when,omitzero"`     // of the review meeting
	Waiver     string            `json:"waiver,omitempty"`
	Audience   Audience          `json:"audience,omitempty"`
	Erase      []TextRef         `json:"erase,omitempty"`
	Alerts     []int64           `json:"alerts,omitempty"` // the store's ids of alerts

	// What only the bot itself says.
	Alert          *AlertRef         `json:"alert,omitempty"`
	Runs           []Run             `json:"runs,omitempty"`  // playbooks to start, pinned
	Links          map[string]string `json:"links,omitempty"` // to remember
	Round          int               `json:"round,omitempty"`
	EscalationStep int               `json:"escalation_step,omitempty"`
	Count          int64             `json:"count,omitempty"`
	Document       string            `json:"document,omitempty"` // digest of a written document
	Revision       int               `json:"revision,omitempty"`
	People         []PersonID        `json:"people,omitempty"`
	Effect         string            `json:"effect,omitempty"` // key of the effect this is the result of
}

// argument is a free text or a date in a command, by the name of its field.
type argument struct {
	field, text string
	at          time.Time
}

// freeTexts lists every free text in the command.
func (c Command) freeTexts() []argument {
	out := []argument{{field: "title", text: c.Title}, {field: "text", text: c.Text}, {field: "exception", text: c.Waiver}}
	for _, name := range slices.Sorted(maps.Keys(c.Record)) {
		out = append(out, argument{field: name, text: c.Record[name]})
	}
	if c.Evidence != nil {
		out = append(out, argument{field: "name", text: c.Evidence.Name}, argument{field: "where", text: c.Evidence.Where})
	}
	if c.Action != nil {
		out = append(out, argument{field: "action", text: c.Action.Title})
	}
	for _, a := range c.Actions {
		out = append(out, argument{field: "actions", text: a.Title})
	}
	if c.Fact != nil {
		out = append(out, argument{field: "value", text: c.Fact.Value})
		if c.Fact.Affected != nil {
			out = append(out, argument{field: "affected", text: c.Fact.Affected.Who})
		}
	}
	return out
}

// dates lists every date in the command; a fact's instant is read where it is judged.
func (c Command) dates() []argument {
	out := []argument{{field: "happened_at", at: c.HappenedAt}, {field: "until", at: c.Until}, {field: "when", at: c.When}}
	if c.Action != nil {
		out = append(out, argument{field: "due", at: c.Action.Due})
	}
	for _, a := range c.Actions {
		out = append(out, argument{field: "actions", at: a.Due})
	}
	if c.Fact != nil && c.Fact.Affected != nil {
		out = append(out, argument{field: "notified_at", at: c.Fact.Affected.NotifiedAt})
	}
	return out
}

// TextRef points at one text of one event.
type TextRef struct {
	Seq  int    `json:"seq"`
	Name string `json:"name"`
}

// Env is everything Decide may know besides the command and the incidents.
type Env struct {
	Now       time.Time
	Actor     PersonID // who By resolved to; "" for the system, or for nobody
	System    bool     // By is the bot itself, or a source it trusts
	Directory Directory
	Policy    Policy
}

// Policy is what the company configured about the lifecycle. Nothing in it can
// lower the four signatures.
type Policy struct {
	EscalateAfter    time.Duration // until the next route of the alias is tried
	AckTimeout       time.Duration // of a silent commander, at sev1 and sev2
	EscalationSteps  int           // of the emergency alias; at least 1
	NoPageFrom       Severity      // from this severity on, down to sev4, opening wakes nobody; "" wakes for each
	SubmitterMaySign bool          // the switch for small companies; its use shows in the record
	TimeZone         string        // default of the incident's
	Language         string        // default of the record's
}
