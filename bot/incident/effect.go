package incident

import "time"

// Effect is one unit of work to be done after an event, stored with it. It holds
// ids and numbers, no text of people.
type Effect struct {
	ID       int64             `json:"id"`  // id in the store
	Key      string            `json:"key"` // idempotency key, never reused: "INC-42/17/post"
	Kind     EffectKind        `json:"kind"`
	Incident ID                `json:"incident"`
	Seq      int               `json:"seq"`               // number of the event that caused it
	Lane     string            `json:"lane,omitempty"`    // effects of one lane run in order, one at a time
	Ahead    bool              `json:"ahead,omitempty"`   // starts at once in its lane, and the effects that have not started run after it
	Refresh  bool              `json:"refresh,omitempty"` // rendered from the current state, at most one pending
	Urgent   bool              `json:"urgent,omitempty"`
	After    time.Time         `json:"after,omitzero"` // earliest start
	Args     map[string]string `json:"args,omitempty"` // ids and numbers only
}

// Brief is the redacted input of the handler of an effect.
type Brief struct {
	Incident         Incident
	Event            Event              // the event that caused the effect, zero for refresh effects
	Missed           []Event            // for EffectPost after an outage: the posts that waited, with that of Event, in order
	Directory        Directory          // names and identities
	Document         *Document          // for effects about a document, rendered for the recipients
	Withheld         int                // number of events whose texts the recipients may not read
	Agenda           []Summary          // for EffectAgenda
	BreakGlass       []BreakGlassUse    // for EffectAgenda: since the last one
	SuppressedAlerts AlertResult        // for EffectAgenda: dropped alerts since the last agenda, and maintenance windows
	Maintenance      *MaintenanceWindow // for EffectAnnounceMaintenance, without its condition
	Reply            *Reply             // for EffectAcknowledgeReport, not redacted: it holds the address of the mail
	Waiting          []WaitingEffect    // for EffectCard: effects of the incident that people see waiting
	Editors          []Editor           // for EffectCard: people who edit the closing record
	AlertCounts      []AlertCount       // for EffectCard and EffectPage: all alerts of the incident, also those that the timeline does not list
	Now              time.Time
	Reached          []string // recipients of an earlier attempt, see [Partial]
	Attempt          int      // from 1. From 2 on the handler first checks whether an earlier attempt succeeded
	Page             PageInfo // for effects of an incident
	Policy           Policy   // for effects of an incident
	Mark             string   // opaque text that the handler stores in the outside system to find its work again
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

// Search selects incidents for the list on the pages. The zero Search selects all. The list
// has the last changed incident first.
type Search struct {
	Statuses   []Status
	Severities []Severity
	Source     string
	Playbook   string
	Department Department
	Person     PersonID  // who had a part
	From       time.Time // opened at or after
	Until      time.Time // opened before
	Words      []string  // in the title, without regard to case
	Before     Position  // the incidents after this one in the list
	Limit      int       // 0 means 50
	// Readers limits the result to incidents that these people and departments may read, if
	// it is not nil. The result can have more.
	Readers []Mark
}

// Position is the place of an incident in the list of a [Search].
type Position struct {
	At time.Time
	ID ID
}

// Found is the result of a [Search]: incidents that the reader may read.
type Found struct {
	Incidents []FoundIncident
	More      bool // there are more after the last one
	Directory Directory
	Sources   []string // to choose from
	Playbooks []string
}

// FoundIncident is an incident in a list, with the work that waits for the reader.
type FoundIncident struct {
	Summary
	Tasks []Task
}

// Position returns the place of the incident in the list.
func (s Summary) Position() Position { return Position{s.UpdatedAt, s.ID} }
