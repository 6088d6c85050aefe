package incident

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Message is a message of a chat that people add to the timeline, make an action item or
// add as evidence.
type Message struct {
	Ref        string        `json:"ref"` // identifies it in the chat
	Author     PersonID      `json:"author,omitempty"`
	AuthorName string        `json:"author_name,omitempty"` // of an author who is not in the configuration
	Text       string        `json:"text"`
	Link       string        `json:"link,omitempty"`
	At         time.Time     `json:"at"`
	Files      []MessageFile `json:"files,omitempty"`
}

// MessageFile is a file that a message shares.
type MessageFile struct {
	ID   string `json:"id"` // in the chat
	Name string `json:"name"`
	Link string `json:"link,omitempty"`
}

// MaxMessageFiles is the maximum number of files of a message that becomes evidence.
const MaxMessageFiles = 20

// KeptAs is the use of a message in an incident.
type KeptAs string

// The uses.
const (
	KeptAsNote     KeptAs = "note"
	KeptAsAction   KeptAs = "action"
	KeptAsEvidence KeptAs = "evidence"
)

// KeptMessage is a message with one use. A message has each use at most once: another
// person or a repeated delivery changes nothing.
type KeptMessage struct {
	Ref  string `json:"ref"`
	As   KeptAs `json:"as"`
	Item string `json:"item,omitempty"` // of the action item or the evidence
}

// Keeps reports whether the message has a use.
func (i Incident) Keeps(ref string, as KeptAs) bool {
	return slices.ContainsFunc(i.Messages, func(k KeptMessage) bool { return k.Ref == ref && k.As == as })
}

// keepMessage records the use of the message of an event.
func (i *Incident) keepMessage(e Event, as KeptAs, item string) {
	if ref := e.Field("message"); ref != "" && !i.Keeps(ref, as) {
		i.Messages = append(i.Messages, KeptMessage{Ref: ref, As: as, Item: item})
	}
}

// LinkKept returns the key in [Incident.Links] of a message or file of the chat that is
// evidence. The chat finds the incident of a later change with it.
func LinkKept(id string) string { return "slack.kept." + id }

// EvidenceChange is a change of the original after it became evidence.
type EvidenceChange struct {
	How string    `json:"how"` // EvidenceEdited or EvidenceDeleted
	By  PersonID  `json:"by,omitempty"`
	At  time.Time `json:"at"`
}

// Values of [EvidenceChange.How].
const (
	EvidenceEdited  = "edited"
	EvidenceDeleted = "deleted"
)

// messageContent returns the fields and texts of an event about the message of the command.
func (d *decider) messageContent() (fields, texts) {
	m := d.cmd.Message
	if m == nil {
		return fields{}, texts{}
	}
	return fields{"message": m.Ref, "author": string(m.Author)}, texts{"author_name": m.AuthorName, "link": m.Link}
}

// hasMessage reports whether the message of the command already has a use. The command gets
// the time of the message.
func (d *decider) hasMessage(as KeptAs) bool {
	m := d.cmd.Message
	if m == nil {
		return false
	}
	if d.cmd.HappenedAt.IsZero() && !m.At.After(d.env.Now) {
		d.cmd.HappenedAt = m.At
	}
	return d.inc.Keeps(m.Ref, as)
}

// keepAsEvidence records a message and its files as evidence. The hashes of the files
// follow, because Tocsin downloads them.
func (d *decider) keepAsEvidence(sum string) error {
	m := d.cmd.Message
	switch {
	case m.Ref == "":
		return Invalid("message", "the message has no ID. Use the shortcut on a message")
	case len(m.Files) > MaxMessageFiles:
		return Invalid("message", "the message has %d files, the maximum is %d. Add the files by hand with evidence", len(m.Files), MaxMessageFiles)
	case d.hasMessage(KeptAsEvidence):
		return nil
	}
	f, t := d.messageContent()
	f["evidence"], f["sha256"] = d.nextEvidence(), sum
	t["name"], t["where"], t["text"] = d.cmd.Evidence.Name, m.Link, m.Text
	d.emit(EventEvidence, f, t)
	for _, file := range m.Files {
		d.emit(EventEvidence, fields{"evidence": d.nextEvidence(), "file": file.ID, "author": string(m.Author)},
			texts{"name": cmp.Or(strings.TrimSpace(file.Name), file.ID), "where": file.Link, "author_name": m.AuthorName})
	}
	d.voidSubmission("new evidence was added")
	return nil
}

func (d *decider) nextEvidence() string { return "E" + num(len(d.inc.Evidence)+1) }

// evidenceHashed records the hash of a file that Tocsin downloaded, or why there is none.
func (d *decider) evidenceHashed() error {
	for _, e := range d.inc.Evidence {
		if e.ID != d.cmd.Item {
			continue
		}
		if e.SHA256 == d.cmd.Document && (e.SHA256 != "" || e.NotHashed == d.cmd.Reason) {
			return nil
		}
		d.emit(EventEvidenceHashed, fields{"evidence": e.ID, "sha256": d.cmd.Document, "size": sizeField(d.cmd.Count)}, texts{"reason": d.cmd.Reason})
		return nil
	}
	return Unknown("evidence", "%s has no evidence %q. Use a number such as E1", d.inc.ID, d.cmd.Item)
}

func sizeField(n int64) string {
	if n == 0 {
		return ""
	}
	return num(int(n))
}

// evidenceChanged records that the original of evidence was edited or deleted in the chat,
// each change once.
func (d *decider) evidenceChanged() error {
	at := stamp(d.cmd.HappenedAt)
	if d.cmd.HappenedAt.IsZero() || d.cmd.HappenedAt.After(d.env.Now) {
		at = stamp(d.env.Now)
	}
	d.cmd.HappenedAt = at
	for _, e := range slices.Clone(d.inc.Evidence) {
		if d.cmd.Item == "" || e.Ref != d.cmd.Item {
			continue
		}
		deleted := slices.ContainsFunc(e.Changes, func(c EvidenceChange) bool { return c.How == EvidenceDeleted })
		known := slices.ContainsFunc(e.Changes, func(c EvidenceChange) bool { return c.How == d.cmd.Reason && c.At.Equal(at) })
		hashFollows := e.SHA256 == "" && e.NotHashed == "" && d.cmd.Reason == EvidenceEdited // the hash is of the edited file
		same := hashFollows || d.cmd.Document != "" && e.SHA256 == d.cmd.Document            // the file has the hash that it had
		if deleted || known || same {
			continue
		}
		d.emit(EventEvidenceChanged, fields{"evidence": e.ID, "how": d.cmd.Reason, "person": string(d.cmd.Person), "sha256": d.cmd.Document}, texts{"text": d.cmd.Text})
	}
	return nil
}

func (i *Incident) applyEvidence(e Event) {
	ref := cmp.Or(e.Field("file"), e.Field("message"))
	i.Evidence = append(i.Evidence, Evidence{ID: e.Field("evidence"), Name: e.Text("name"), Where: e.Text("where"), SHA256: e.Field("sha256"), By: e.By, At: e.RecordedAt,
		Ref: ref, Author: e.person("author")})
	i.keepMessage(e, KeptAsEvidence, e.Field("evidence"))
	if ref != "" {
		if i.Links == nil {
			i.Links = map[string]string{}
		}
		i.Links[LinkKept(ref)] = ref
	}
}

// changeEvidence changes the evidence of an event.
func (i *Incident) changeEvidence(e Event, change func(*Evidence)) {
	for n := range i.Evidence {
		if i.Evidence[n].ID == e.Field("evidence") {
			change(&i.Evidence[n])
		}
	}
}

func (i *Incident) applyEvidenceHashed(e Event) {
	i.changeEvidence(e, func(v *Evidence) {
		v.SHA256, v.NotHashed, v.Size = e.Field("sha256"), e.Text("reason"), int64(e.number("size"))
	})
}

func (i *Incident) applyEvidenceChanged(e Event) {
	i.changeEvidence(e, func(v *Evidence) {
		v.Changes = append(slices.Clone(v.Changes), EvidenceChange{How: e.Field("how"), By: e.person("person"), At: e.HappenedAt})
	})
}

// postEvidence posts new evidence, except the files of a message: the post about the
// message is enough.
func postEvidence(c effectBuilder) []Effect {
	if c.event.Field("file") != "" {
		return nil
	}
	return postEvent(c)
}

// hashFile builds the download of a file that became evidence.
func hashFile(c effectBuilder) []Effect {
	file := c.event.Field("file")
	if file == "" {
		return nil
	}
	return []Effect{c.effect(EffectHashFile, map[string]string{"file": file, "evidence": c.event.Field("evidence")})}
}

// author returns the author of the message of an event.
func (e Event) author() any {
	if p := e.person("author"); p != "" {
		return p
	}
	return Quoted(cmp.Or(e.Text("author_name"), "an app"))
}

func sayNoted(e Event) Sentence {
	if e.Field("message") != "" {
		return Say("%s added a message of %s to the timeline", e.By, e.author())
	}
	return Say("%s added a note", e.By)
}

func sayEvidenceChanged(e Event) Sentence {
	by := e.person("person")
	switch {
	case e.Field("how") == EvidenceDeleted:
		return Say("The original of evidence %s was deleted. The recorded copy is unchanged", e.literal("evidence"))
	case by != "":
		return Say("%s edited the original of evidence %s. The recorded copy is unchanged", by, e.literal("evidence"))
	}
	return Say("The original of evidence %s was edited. The recorded copy is unchanged", e.literal("evidence"))
}

func sayEvidenceHashed(e Event) Sentence {
	if sum := e.Field("sha256"); sum != "" {
		return Say("The file of evidence %s has the SHA-256 %s", e.literal("evidence"), e.literal("sha256"))
	}
	return Say("Tocsin could not compute the SHA-256 of evidence %s", e.literal("evidence"))
}
