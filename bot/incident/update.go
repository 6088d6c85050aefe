package incident

import (
	"slices"
	"strings"
	"time"
)

// UpdateAudience is a configured group of readers of updates beyond the responders.
type UpdateAudience struct {
	Name       string   `json:"name"`
	Channel    string   `json:"channel,omitempty"` // of the chat, by ID or name, or "announce"
	Mail       []string `json:"mail,omitempty"`
	Restricted bool     `json:"restricted,omitempty"` // may get updates about restricted incidents
}

// AnnounceAudience is the Channel of an audience that reads the announce channel.
const AnnounceAudience = "announce"

// Statement is a configured text of updates with placeholders.
type Statement struct {
	Name       string `json:"name"`
	Playbook   string `json:"playbook,omitempty"` // only while this playbook runs, or ""
	Text       string `json:"text"`
	ApprovedBy string `json:"approved_by,omitempty"` // name of the person who approved the words beforehand, or ""
}

// The placeholders of a [Statement]. An approved statement has no text of its author.
const (
	PlaceholderIncident = "{incident}"
	PlaceholderSeverity = "{severity}"
	PlaceholderNext     = "{next}"    // time of the next update
	PlaceholderEarlier  = "{earlier}" // number and time of the corrected update
	PlaceholderText     = "{text}"    // text of the author
)

// StatementPlaceholders returns the placeholders of statements.
func StatementPlaceholders() []string {
	return []string{PlaceholderIncident, PlaceholderSeverity, PlaceholderNext, PlaceholderEarlier, PlaceholderText}
}

// Update is an update for the responders and perhaps further audiences, with the register
// of its recipients. The text is in the timeline.
type Update struct {
	ID                 string       `json:"id"` // "U1", in order
	Seq                int          `json:"seq"`
	By                 PersonID     `json:"by"`
	At                 time.Time    `json:"at"`
	Audiences          []string     `json:"audiences,omitempty"` // beyond the responders
	Corrects           string       `json:"corrects,omitempty"`  // id of an earlier update
	Statement          string       `json:"statement,omitempty"`
	ApprovedBeforehand string       `json:"approved_beforehand,omitempty"` // name of the person who approved the statement beforehand
	ApprovedBy         PersonID     `json:"approved_by,omitempty"`
	ApprovedAt         time.Time    `json:"approved_at,omitzero"`
	Sent               []UpdateSent `json:"sent,omitempty"`
}

// UpdateSent is an entry of the register: an audience that got the update.
type UpdateSent struct {
	Audience string    `json:"audience"`
	Medium   string    `json:"medium"` // "slack" or "mail"
	At       time.Time `json:"at"`
	Withheld bool      `json:"withheld,omitempty"` // not sent, because the incident became restricted
}

// UpdateSentCommand returns the command that adds an effect to the register of its update.
func UpdateSentCommand(e Effect, audience string) Command {
	medium := SystemSlack
	if e.Kind == EffectMailUpdate {
		medium = SystemMail
	}
	return Command{Key: e.Key, For: e.Incident, Verb: VerbUpdateSent, By: System, Via: ViaSystem, Item: e.Args["update"], Text: audience, Channel: medium}
}

// Waits reports whether the update waits for an approval.
func (u Update) Waits() bool {
	return len(u.Audiences) > 0 && u.ApprovedBeforehand == "" && u.ApprovedBy == ""
}

// Audience returns the audience of updates with a name, without regard to case.
func (d Directory) Audience(name string) (UpdateAudience, bool) {
	for _, a := range d.Audiences {
		if strings.EqualFold(a.Name, name) {
			return a, true
		}
	}
	return UpdateAudience{}, false
}

// Statement returns the statement with a name for an incident. One of a running playbook
// comes before a general one.
func (d Directory) Statement(name string, i Incident) (Statement, bool) {
	var found Statement
	for _, s := range d.Statements {
		if strings.EqualFold(s.Name, name) && (s.Playbook == "" && found.Name == "" || s.Playbook != "" && i.Run(s.Playbook) != nil) {
			found = s
		}
	}
	return found, found.Name != ""
}

// Update returns the update with an id, or nil. The result points into i.
func (i *Incident) Update(id string) *Update {
	for n := range i.Updates {
		if strings.EqualFold(i.Updates[n].ID, id) {
			return &i.Updates[n]
		}
	}
	return nil
}

// NextUpdate is the update that is due next.
type NextUpdate struct {
	At    time.Time // zero: none is due
	First bool      // no update was posted yet
	By    PersonID  // the communicator or the commander, or "" if the incident has neither
}

// NextUpdate returns the update that is due next, for the card.
func (i Incident) NextUpdate() NextUpdate {
	by := i.Roles[Communicator]
	if by == "" {
		by = i.Commander
	}
	return NextUpdate{At: i.UpdateDue, First: len(i.Updates) == 0, By: by}
}

// Communicators returns the people whom Tocsin reminds of an update that is due: the
// communicator, else the commander, else communications.
func (i Incident) Communicators(d Directory, now time.Time) []PersonID {
	if by := i.NextUpdate().By; by != "" {
		return i.notified([]PersonID{by})
	}
	return i.notified(slices.Clone(i.Representatives(d, Communications, now)))
}

// Approvers returns the people who can approve an update: those of legal and
// communications without its author.
func (i Incident) Approvers(u Update, d Directory, now time.Time) []PersonID {
	people := slices.Concat(i.Representatives(d, Legal, now), i.Representatives(d, Communications, now))
	return i.notified(slices.DeleteFunc(people, func(p PersonID) bool { return p == u.By }))
}

// fill replaces the placeholders of the statement.
func (s Statement) fill(values map[string]string) string {
	var pairs []string
	for _, name := range StatementPlaceholders() {
		pairs = append(pairs, name, values[name])
	}
	return strings.NewReplacer(pairs...).Replace(s.Text)
}
