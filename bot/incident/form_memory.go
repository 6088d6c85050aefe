package incident

import "time"

// FormKey names a form of a person. Forms with equal Incident and Form share one draft.
type FormKey struct {
	Incident ID     // 0 for a form about no incident
	Form     string // verb and subject of the form
	View     string // the opened form, as the chat names it
	Edits    bool   // the form edits the closing record
}

// FormDraft is the text that a person typed into a form and did not submit.
type FormDraft struct {
	At     time.Time         `json:"at"`
	Order  string            `json:"order,omitempty"` // grows with each draft of a view
	Seen   int               `json:"seen,omitempty"`  // last event of the timeline behind the form
	Values map[string]string `json:"values"`          // by the names of the fields
}

// FormMemory is what Tocsin remembers for a person who opens a form.
type FormMemory struct {
	Draft   FormDraft   // without values if there is none
	Editors []Editor    // other people who edit the closing record now
	Seen    *SeenRecord // the submitted record at the last look, or nil
}

// Editor is a person who has a form of the closing record open.
type Editor struct {
	Person PersonID  `json:"person"`
	Since  time.Time `json:"since"`
}

// SeenRecord is a submitted record as a person saw it.
type SeenRecord struct {
	At       time.Time
	Document SignedDocument
}
