package incident

import "time"

// EffectKind is a kind of work that follows from an event.
type EffectKind string

// The kinds of effects.
const (
	// Slack, in the lane of the incident's channel.
	EffectOpenChannel    EffectKind = "open_channel"    // create the channel, pin the card, set topic and bookmark
	EffectInvite         EffectKind = "invite"          // invite Args "people" (comma-separated PersonIDs) to the channel
	EffectRemove         EffectKind = "remove"          // remove Args "person" from the channel
	EffectReplaceChannel EffectKind = "replace_channel" // continue in a new channel instead of Args "channel"
	EffectPost           EffectKind = "post"            // post the event in the channel
	EffectAskSign        EffectKind = "ask_sign"        // request a signature from the representatives of Args "department"
	EffectAskConsult     EffectKind = "ask_consult"     // request an answer from the representatives of Args "department"
	EffectUpload         EffectKind = "upload"          // upload the postmortem of Args "revision" to the channel
	EffectArchive        EffectKind = "archive"         // post a final message in the channel of a merged or dismissed incident
	// Slack, in other channels.
	EffectAnnounce           EffectKind = "announce"            // id and severity in the announce channel
	EffectAnnouncePostmortem EffectKind = "announce_postmortem" // announce the postmortem to its audience
	EffectAgenda             EffectKind = "agenda"              // post the review agenda, without an incident
	// EffectAnnounceMaintenance announces the maintenance window of Args "window",
	// without an incident. Args "event" is MaintenanceStarted, MaintenanceConfirmed or
	// MaintenanceEnded.
	EffectAnnounceMaintenance EffectKind = "announce_maintenance"
	// Slack, refreshed when the state changes.
	EffectCard  EffectKind = "card"  // the pinned card
	EffectTopic EffectKind = "topic" // the channel's topic
	// Paging. Args "round" and "escalation_step".
	EffectPage        EffectKind = "page"         // page the target of the step, whose kind selects the handler
	EffectPageAck     EffectKind = "page_ack"     // acknowledge at the pager
	EffectPageResolve EffectKind = "page_resolve" // resolve at the pager
	// Mail.
	EffectMailPostmortem    EffectKind = "mail_postmortem"
	EffectMailInvitation    EffectKind = "mail_invitation"    // the review meeting, as iCalendar
	EffectAcknowledgeReport EffectKind = "acknowledge_report" // acknowledge the vulnerability report of Args "alert" to its reporter
	// Notices about Tocsin, without an incident. Args "about" selects the text.
	EffectNotice     EffectKind = "notice"      // in the announce channel
	EffectMailNotice EffectKind = "mail_notice" // to the security department
	// Handing over the open work of Args "person", who left the configuration, to
	// Args "successors" (comma-separated PersonIDs). Args "held" lists the work.
	EffectHandover     EffectKind = "handover"      // as a direct message
	EffectMailHandover EffectKind = "mail_handover" // by mail
	// Work inside Tocsin.
	EffectWritePostmortem EffectKind = "write_postmortem"
	EffectDeadline        EffectKind = "deadline" // give a command of Tocsin at a time: see [Effect.Deadline]
	EffectBotStep         EffectKind = "bot_step" // Args "run" and "step": perform the action of the step
)

// Effect is one unit of work to be done after an event, stored with it. It holds
// ids and numbers, no text of people.
type Effect struct {
	ID       int64             `json:"id"`  // id in the store
	Key      string            `json:"key"` // idempotency key, never reused: "INC-42/17/post"
	Kind     EffectKind        `json:"kind"`
	Incident ID                `json:"incident"`
	Seq      int               `json:"seq"`               // number of the event that caused it
	Lane     string            `json:"lane,omitempty"`    // effects of one lane run in order, one at a time
	Refresh  bool              `json:"refresh,omitempty"` // rendered from the current state, at most one pending
	Urgent   bool              `json:"urgent,omitempty"`
	After    time.Time         `json:"after,omitzero"` // earliest start
	Args     map[string]string `json:"args,omitempty"` // ids and numbers only
}

// Brief is the redacted input of the handler of an effect.
type Brief struct {
	Incident         Incident
	Event            Event              // the event that caused the effect, zero for refresh effects
	Directory        Directory          // names and identities
	Document         *Document          // for effects about a document, rendered for the recipients
	Withheld         int                // number of events whose texts the recipients may not read
	Agenda           []Summary          // for EffectAgenda
	SuppressedAlerts AlertResult        // for EffectAgenda: dropped alerts since the last agenda, and maintenance windows
	Maintenance      *MaintenanceWindow // for EffectAnnounceMaintenance, without its condition
	Reply            *Reply             // for EffectAcknowledgeReport, not redacted: it holds the address of the mail
	Now              time.Time
	Attempt          int    // from 1. From 2 on the handler first checks whether an earlier attempt succeeded
	Mark             string // opaque text that the handler stores in the outside system to find its work again
}

// Document is a rendered document, redacted for its recipient. Its files have the same
// content in different formats.
type Document struct {
	Revision int
	Digest   string
	Files    []File
}

// File is a file of a document. Its content is text in every format, because it is
// redacted.
type File struct {
	Name      string // "INC-42-postmortem-r1.md"
	Title     string // "Postmortem of INC-42 (Markdown)"
	MediaType string // "text/markdown"
	Content   string
}

// Summary is an incident in one line, for lists.
type Summary struct {
	ID         ID        `json:"id"`
	Status     Status    `json:"status"`
	Severity   Severity  `json:"severity"`
	Title      string    `json:"title"` // empty if the reader may not see it
	Origin     Origin    `json:"origin,omitempty"`
	Commander  PersonID  `json:"commander,omitempty"`
	OpenedAt   time.Time `json:"opened_at"`
	UpdatedAt  time.Time `json:"updated_at"`
	Restricted bool      `json:"restricted"`
	ReviewAt   time.Time `json:"review_at,omitzero"`
}

// Filter selects incidents for a list. The zero Filter selects all live incidents.
type Filter struct {
	Statuses []Status
	All      bool
	Limit    int // 0 means 50
}
