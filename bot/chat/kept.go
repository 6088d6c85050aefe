package chat

import (
	"context"

	"tocsin/bot/incident"
)

// maxDownloads is how often Tocsin downloads a file whose download is incomplete.
const maxDownloads = 5

// HashFile computes the hash of a file that became evidence, or records why it has none.
func (c *Effects) HashFile(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	sum, size, reason, err := c.platform.HashFile(ctx, e.Args["file"])
	if err != nil && (reason == "" || b.Attempt < maxDownloads) {
		return noCommand, err
	}
	return resultCommand(b, e, incident.Command{Verb: incident.VerbEvidenceHashed, Item: e.Args["evidence"], Document: sum, Count: size, Reason: reason}), nil
}

// MessageUsed answers the person who made a message a part of an incident.
func MessageUsed(cmd incident.Command, r incident.Result) Message {
	m := newBuilder(incident.Brief{Incident: r.Incident})
	if r.Unchanged {
		m.iconLine("heavy_check_mark", "No change: %s has this message already.", Strong{cmd.For})
		return m.message()
	}
	for _, e := range r.Events {
		switch e.Kind {
		case incident.EventNoted:
			m.iconLine("memo", "The message is in the timeline of %s.", Strong{cmd.For})
		case incident.EventActionAdded:
			m.iconLine("hammer_and_wrench", "The message is action item %s of %s. You own it, and it is due %s.", Plain(e.Field("action")), Strong{cmd.For}, incident.Day(cmd.Action.Due))
		case incident.EventEvidence:
			if e.Field("file") == "" {
				m.iconLine("file_folder", "The message is evidence %s of %s, SHA-256 %s.", Plain(e.Field("evidence")), Strong{cmd.For}, Code(e.Field("sha256")))
			} else {
				m.line("The file %s is evidence %s. Its SHA-256 follows when Tocsin has downloaded it.", Plain(e.Text("name")), Plain(e.Field("evidence")))
			}
		}
	}
	return m.message()
}

// ReactionRemoved answers a person who removed the reaction that made a message a part of
// an incident.
func ReactionRemoved(id incident.ID) Message {
	m := newBuilder(incident.Brief{Incident: incident.Incident{ID: id}})
	m.line("Removing the reaction removes nothing from %s: a timeline cannot be changed. Add a note instead.", Strong{id})
	return m.message()
}
