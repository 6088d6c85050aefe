package chat

import (
	"context"
	"fmt"
	"time"

	"tocsin/bot/incident"
	"tocsin/templates"
)

// Checkpoint is a signed checkpoint of the notary.
type Checkpoint struct {
	Size int64
	At   time.Time
	Note string // the signed text
}

// PublishCheckpoint posts a checkpoint in the announce channel. The first one of a day
// starts a thread, and all are replies in it, so Slack notifies nobody. It posts each
// checkpoint once. It reports false without an announce channel.
func (c *Effects) PublishCheckpoint(ctx context.Context, p Checkpoint) (bool, error) {
	day := p.At.UTC().Truncate(24 * time.Hour)
	return c.inAnnounceChannel(ctx, func(channel string) error {
		rootKey, key := "checkpoints/"+day.Format(time.DateOnly), fmt.Sprintf("checkpoint/%d/%d", p.Size, p.At.Unix()) // a restored log has a size again
		root, found, err := c.platform.Find(ctx, channel, "", rootKey, day)
		if err == nil && !found {
			root, err = c.platform.Post(ctx, channel, CheckpointThread(day), Mark{Key: rootKey})
		}
		if err != nil {
			return err
		}
		if _, found, err = c.platform.Find(ctx, channel, root.ID, key, day); err != nil || found {
			return err
		}
		m := CheckpointMessage(p)
		m.Thread = root.ID
		_, err = c.platform.Post(ctx, channel, m, Mark{Key: key})
		return err
	})
}

// CheckpointThread returns the message that starts the thread of a day.
func CheckpointThread(day time.Time) Message {
	m := &builder{}
	m.iconLine("lock", "%s", Strong{Plain("Checkpoints of " + day.UTC().Format(time.DateOnly))})
	m.note("%s", Plain(templates.CheckpointPurpose))
	return m.Message
}

// maxInlineNote is the maximum length of a checkpoint in a message. A longer one is a file.
const maxInlineNote = 2000

// CheckpointMessage returns the message with a checkpoint, which readers can copy.
func CheckpointMessage(p Checkpoint) Message {
	m := &builder{}
	m.line("Checkpoint of %s with %d entries. %s", Strong{p.At.UTC().Format(timeLayout)}, p.Size, Plain(templates.CheckpointPurpose))
	if len(p.Note) > maxInlineNote {
		m.Files = []incident.File{{Name: fmt.Sprintf("checkpoint-%d.txt", p.Size), Title: "Checkpoint", MediaType: "text/plain", Content: p.Note}}
		return m.Message
	}
	m.add(Instructions{{Text: p.Note, Command: true}})
	return m.Message
}
