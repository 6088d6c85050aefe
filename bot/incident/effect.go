package incident

import "time"

// EffectKind names one thing the bot does outside its database.
type EffectKind string

// The effects. Which event calls for which stands in response/effects.go.
const (
	// Slack, in the incident's channel lane.
	EffectOpenChannel EffectKind = "open_channel" // create the channel, post and pin the card, set topic and bookmark
	EffectInvite      EffectKind = "invite"       // invite Args "people" (comma-separated PersonIDs) to the channel
	EffectPost        EffectKind = "post"         // say the calling event in the channel
	EffectAskSign     EffectKind = "ask_sign"     // ask the speakers of Args "department" for their signature
	EffectAskConsult  EffectKind = "ask_consult"  // ask the speakers of Args "department" for an answer
	EffectUpload      EffectKind = "upload"       // share the postmortem, revision Args "revision", in the channel
	EffectArchive     EffectKind = "archive"      // say the last word in the channel of a merged or dismissed incident
	// Slack, elsewhere.
	EffectAnnounce           EffectKind = "announce"            // bare announcement in the announce channel
	EffectAnnouncePostmortem EffectKind = "announce_postmortem" // tell the signed audience
	EffectAgenda             EffectKind = "agenda"              // post what awaits review (no incident)
	// Slack, kept current.
	EffectCard  EffectKind = "card"  // the pinned card
	EffectTopic EffectKind = "topic" // the channel's topic
	// Paging; Args "round" and "escalation_step".
	EffectPage        EffectKind = "page"         // page by the route; the handler is chosen by the route's kind
	EffectPageAck     EffectKind = "page_ack"     // tell the pager that somebody has it
	EffectPageResolve EffectKind = "page_resolve" // tell the pager that it is over
	// Mail.
	EffectMailPostmortem EffectKind = "mail_postmortem"
	EffectMailInvitation EffectKind = "mail_invitation" // the review meeting, as iCalendar
	EffectAcknowledge    EffectKind = "acknowledge"     // tell the reporter of Args "alert" that the report arrived
	// About the house itself, without an incident; Args "about" and what it needs.
	EffectNotice     EffectKind = "notice"      // in the announce channel
	EffectMailNotice EffectKind = "mail_notice" // to the security department
	// Inside the house.
	EffectWritePostmortem EffectKind = "write_postmortem"
	EffectEscalationTimer EffectKind = "escalation_timer" // nobody acknowledged in time
	EffectAckTimer        EffectKind = "ack_timer"        // the commander fell silent
	EffectStepTimer       EffectKind = "step_timer"       // Args "run" and "step": the step's deadline passed
	EffectBotStep         EffectKind = "bot_step"         // Args "run" and "step": an action of the playbook that the bot does itself
	EffectStormTimer      EffectKind = "storm_timer"      // look whether a storm of alerts is over
)

// Effect is one durable piece of follow-up work. It carries ids only.
type Effect struct {
	ID       int64             `json:"id"`  // the store's
	Key      string            `json:"key"` // idempotency key, unique for ever: "INC-42/17/post"
	Kind     EffectKind        `json:"kind"`
	Incident ID                `json:"incident"`
	Seq      int               `json:"seq"`               // the event that called for it
	Lane     string            `json:"lane,omitempty"`    // effects of one lane happen in order, one at a time
	Refresh  bool              `json:"refresh,omitempty"` // kept current: rendered from the present, at most one pending
	Urgent   bool              `json:"urgent,omitempty"`
	After    time.Time         `json:"after,omitzero"` // not before
	Args     map[string]string `json:"args,omitempty"` // ids, numbers, never text
}

// Brief is everything an effect's handler may know, already redacted.
type Brief struct {
	Incident         Incident
	Event            Event       // the event that called for the effect (zero for kept-current ones)
	Directory        Directory   // names and handles
	Document         *Document   // for effects about a document
	Agenda           []Summary   // for EffectAgenda
	SuppressedAlerts AlertResult // for EffectAgenda: what was dropped since the last one, and the maintenance windows
	Reply            *Reply      // for EffectAcknowledge, as the reporter gave it: it is where the mail goes
	Now              time.Time
	Attempt          int    // 1 the first time; from 2 on the handler looks before it acts
	Mark             string // opaque; the handler puts it where it can find it again
}

// Document is a rendered document, redacted for the door it goes through.
type Document struct {
	Revision int
	Digest   string
	Markdown string
	HTML     string
}

// Summary is one line about an incident, for lists.
type Summary struct {
	ID         ID        `json:"id"`
	Status     Status    `json:"status"`
	Severity   Severity  `json:"severity"`
	Title      string    `json:"title"` // empty where the reader may not see it
	Commander  PersonID  `json:"commander,omitempty"`
	OpenedAt   time.Time `json:"opened_at"`
	UpdatedAt  time.Time `json:"updated_at"`
	Restricted bool      `json:"restricted"`
	ReviewAt   time.Time `json:"review_at,omitzero"`
}

// Filter narrows a list. Zero means everything still alive.
type Filter struct {
	Statuses []Status
	All      bool
	Limit    int // 0 means 50
}
