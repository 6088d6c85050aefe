package incident

import (
	"maps"
	"slices"
	"time"
)

// Via is the channel of a command.
type Via string

// The channels of commands.
const (
	ViaSlack  Via = "slack"
	ViaWeb    Via = "web"
	ViaCLI    Via = "cli"
	ViaPager  Via = "pager"
	ViaMail   Via = "mail"
	ViaSource Via = "source"
	ViaSystem Via = "system"
)

// Command requests one change of one incident. Adapters build it, the Desk
// resolves By to a person, and [Decide] checks it. The comments of the verbs
// list the arguments that each verb reads.
type Command struct {
	Key    string   `json:"key"` // idempotency key, unique within the incident, such as the id of a webhook
	For    ID       `json:"for"` // 0 for VerbOpen
	Verb   Verb     `json:"verb"`
	By     Identity `json:"by"`
	Auth   string   `json:"auth,omitempty"` // how By was authenticated: "slack", "unix socket", "pagerduty webhook"
	Via    Via      `json:"via"`
	Expect string   `json:"expect,omitempty"` // the digest of the record that the person read
	// Attested is the [Attestation.ID] of the statement that the person read, of VerbSign.
	Attested string `json:"attested,omitempty"`
	// Origin is the origin of the delivery that contains the command. Nothing that a
	// person sends sets it.
	Origin Origin `json:"-"`
	// Through is what vouched for the author's session on the pages: the name of an issuer,
	// [ThroughPasskey] or [ThroughHost]. SecondFactor is set if the session has a second
	// factor. Nothing that a person sends sets them.
	Through      string `json:"-"`
	SecondFactor bool   `json:"-"`
	// Proof is the author's signature under the command, or nil.
	Proof *Proof `json:"proof,omitempty"`
	// Reporter describes the account in By if it belongs to no person.
	Reporter *Reporter `json:"reporter,omitempty"`
	// HappenedAt is when the described action took place, if that is not now, as
	// in "disabled the key at 02:31", typed at 03:00.
	HappenedAt time.Time `json:"happened_at,omitzero"`
	// Zone is the name of the time zone that the person typed with a time of the
	// command, or "". See [ZoneName].
	Zone string `json:"zone,omitempty"`

	Text       string            `json:"text,omitempty"`   // note, reason, answer, outcome, decisions
	Reason     string            `json:"reason,omitempty"` // of VerbResolve: why steps stay open, of VerbConclude: why before the meeting
	Title      string            `json:"title,omitempty"`
	Severity   Severity          `json:"severity,omitempty"`
	Public     bool              `json:"public,omitempty"`
	Role       Role              `json:"role,omitempty"`
	Person     PersonID          `json:"person,omitempty"`
	Department Department        `json:"department,omitempty"`
	Blocking   bool              `json:"blocking,omitempty"`
	Until      time.Time         `json:"until,omitzero"`
	Playbook   string            `json:"playbook,omitempty"`
	Step       string            `json:"step,omitempty"` // "rotate-key" or "leaked-aws-credentials/rotate-key"
	Fact       *FactChange       `json:"fact,omitempty"`
	Record     map[string]string `json:"record,omitempty"` // field name → text
	// Confirm are the names of the parts of the record whose drafts become the text, and
	// Seen is the last event that the person saw, or 0: a part that changed after it is
	// neither overwritten nor confirmed.
	Confirm    []string   `json:"confirm,omitempty"`
	Seen       int        `json:"seen,omitempty"`
	Evidence   *Evidence  `json:"evidence,omitempty"`
	Message    *Message   `json:"message,omitempty"` // that becomes a note, evidence or an action item
	Action     *Action    `json:"action,omitempty"`
	Channel    string     `json:"channel,omitempty"`   // of VerbExclude: ChannelRemove or ChannelNew
	Item       string     `json:"item,omitempty"`      // id of an action item, objection, update or file
	Audiences  []string   `json:"audiences,omitempty"` // of an update
	Statement  string     `json:"statement,omitempty"` // of an update: name of a configured text
	Target     ID         `json:"target,omitempty"`
	Attendance []PersonID `json:"attendance,omitempty"`
	Actions    []Action   `json:"actions,omitempty"` // of a concluded review
	When       time.Time  `json:"when,omitzero"`     // of the review meeting, or of the next update
	Waiver     string     `json:"waiver,omitempty"`
	Audience   Audience   `json:"audience,omitempty"`
	Erase      []TextRef  `json:"erase,omitempty"`
	Alerts     []int64    `json:"alerts,omitempty"` // ids in the store

	Undone bool `json:"undone,omitempty"` // of VerbConfirmChange: the change was undone

	// NoPersonalData states, for VerbDismiss, that no personal data is involved.
	NoPersonalData bool `json:"no_personal_data,omitempty"`

	// Arguments of the bot's verbs.
	Alert          *AlertRef           `json:"alert,omitempty"`
	Runs           []Run               `json:"runs,omitempty"`  // playbooks to start, with their plans
	Links          map[string]string   `json:"links,omitempty"` // see [Incident.Links]
	Round          int                 `json:"round,omitempty"`
	EscalationStep int                 `json:"escalation_step,omitempty"`
	Count          int64               `json:"count,omitempty"`
	Occurrences    int64               `json:"occurrences,omitempty"` // of the Count alerts of a postmortem
	Document       string              `json:"document,omitempty"`    // digest of a written document
	Revision       int                 `json:"revision,omitempty"`
	People         []PersonID          `json:"people,omitempty"`
	Refused        map[PersonID]string `json:"refused,omitempty"` // why people could not be invited
	Effect         string              `json:"effect,omitempty"`  // key of the effect that failed
	Distrust       *DistrustedProvider `json:"distrust,omitempty"`
}

// Values of [Command.Through] besides the names of issuers.
const (
	ThroughPasskey = "passkey" // a passkey signed in by itself
	ThroughHost    = "host"    // a login link from the command line of the host
)

// NeedsTimeline reports whether [Decide] needs the timeline for the command: it confirms
// drafts, its author saw the record at a certain time, or it undoes events.
func (c Command) NeedsTimeline() bool {
	return len(c.Confirm) > 0 || c.Seen > 0 || c.Verb == VerbDistrusted
}

// argument is a free text or a date of a command with the name of its field.
type argument struct {
	field, text string
	at          time.Time
}

// freeTexts returns every free text of the command.
func (c Command) freeTexts() []argument {
	out := []argument{{field: "title", text: c.Title}, {field: "text", text: c.Text}, {field: "reason", text: c.Reason}, {field: "waiver", text: c.Waiver}}
	for _, name := range slices.Sorted(maps.Keys(c.Record)) {
		out = append(out, argument{field: name, text: c.Record[name]})
	}
	if c.Evidence != nil {
		out = append(out, argument{field: "name", text: c.Evidence.Name}, argument{field: "where", text: c.Evidence.Where})
	}
	if c.Message != nil {
		out = append(out, argument{field: "message", text: c.Message.Text})
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

// dates returns every date of the command except the value of a fact, which
// setFact parses.
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

// TextRef identifies one text of one event.
type TextRef struct {
	Seq  int    `json:"seq"`
	Name string `json:"name"`
}

// Env is the context of a decision.
type Env struct {
	Now       time.Time
	Actor     PersonID // the person of Command.By, empty for the system or if unknown
	System    bool     // Command.By is the bot or a trusted source
	Directory Directory
	Policy    Policy
	Restores  []Restore // of the instance from a backup, in order
	// Passkeys are the keys of the actor if the command has a proof, revoked ones included.
	Passkeys []Passkey
	// Distrusts are the providers and issuers that are distrusted at present.
	Distrusts []Distrust
	// Timeline has the events of the incident if [Command.NeedsTimeline].
	Timeline []Event
	// Administrator is set if the command came from an administrator over the
	// control socket.
	Administrator bool
}

// Policy is the configuration of the lifecycle. No setting reduces the four
// required signatures.
type Policy struct {
	EscalateAfter    time.Duration              // time until the next escalation step starts
	AckTimeout       time.Duration              // inactivity before a sev1 or sev2 acknowledgement expires, 0 means never
	PersonalPages    []Provider                 // the ways to page a chosen person, the best first
	EscalationSteps  int                        // number of steps of the escalation policy, at least 1
	NoPageFrom       Severity                   // this severity and less severe ones are not paged, empty means all are paged
	SubmitterMaySign bool                       // for small companies, marked in the signature
	SignDeputyAfter  time.Duration              // time until the deputies of a department are asked to sign
	SignHeadAfter    time.Duration              // time until its head is asked
	Attestations     map[Department]Attestation // of the departments
	FirstUpdate      map[Severity]time.Duration // time until the first update is due, by severity
	SignLevel        AuthLevel                  // that a signature needs, empty means any
	SensitiveLevel   AuthLevel                  // that the other sensitive acts need, empty means any
	RelyingParty     RelyingParty               // of the passkeys, empty without pages
	TimeZone         string                     // default of the incident
	Language         string                     // default of the closing record
}
