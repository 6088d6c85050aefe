package chat

import (
	"context"
	"errors"
	"time"

	"tocsin/bot/incident"
)

// Platform is a chat. Its methods classify their errors: [incident.RetryAfter]
// for a limit, [incident.Blocked] if an administrator must repair the cause, and
// [incident.Permanent] for a call that is wrong. A method with a channel returns an
// [incident.ChannelGone] if the channel is archived or gone.
// After any other error the effect runs again, although the call may have
// succeeded. It is safe for concurrent use.
type Platform interface {
	// Name is the provider of the accounts at the platform, and the [incident.Via]
	// of commands from it.
	Name() string
	// OpenChannel creates the channel of an incident and returns its ID. If an
	// earlier attempt created the channel, OpenChannel returns that one, unless it
	// is the present channel of the incident.
	OpenChannel(ctx context.Context, inc incident.Incident, private bool) (channel string, err error)
	// AnnounceChannel returns the channel for announcements, or "" if none is
	// configured. After an [incident.ChannelGone] about it, AnnounceChannel looks for
	// another one with the configured name.
	AnnounceChannel(ctx context.Context) (channel string, err error)
	// NamedChannel returns the channel with an ID or a name.
	NamedChannel(ctx context.Context, name string) (channel string, err error)
	// DirectChannel returns the channel for direct messages to a person.
	DirectChannel(ctx context.Context, p incident.Person) (channel string, err error)
	// Post sends a message with its mark: to the channel, or as a reply in its thread. An
	// edit with [Platform.Update] never moves a message.
	Post(ctx context.Context, channel string, m Message, mark Mark) (Posted, error)
	// Find returns the newest message of Tocsin in a channel with the key of a
	// mark that was posted after since. If thread is the ID of a message, Find
	// searches the replies to that one instead.
	Find(ctx context.Context, channel, thread, key string, since time.Time) (Posted, bool, error)
	// Update replaces a message. It returns [ErrNoMessage] if the message was
	// deleted.
	Update(ctx context.Context, channel, id string, m Message, mark Mark) error
	// Fingerprint identifies what people see of a message. It makes no call.
	Fingerprint(m Message) string
	// HashFile downloads a file of the chat and returns its SHA-256 and its size in
	// bytes. If the file has no hash, it returns the reason. With an error besides, the
	// download is incomplete and a later attempt can succeed.
	HashFile(ctx context.Context, file string) (sum string, size int64, reason string, err error)
	// Pin pins a message in its channel.
	Pin(ctx context.Context, channel, id string) error
	// Bookmark adds a link to the channel, unless it has one with the title, and
	// returns its ID.
	Bookmark(ctx context.Context, channel string, b Bookmark) (id string, err error)
	// SetTopic shows a topic in the channel, which is plain text.
	SetTopic(ctx context.Context, channel, topic string) error
	// Invite adds people to a channel. It returns the members among them, and the
	// reasons why it could not add the others.
	Invite(ctx context.Context, channel string, people []incident.Person) (members []incident.PersonID, refused map[incident.PersonID]string, err error)
	// Remove removes a person from a channel. A person who is no member is no
	// error.
	Remove(ctx context.Context, channel string, p incident.Person) error
}

// Mark identifies a message for [Platform.Find]. It contains only IDs, because
// others in the chat may read it.
type Mark struct {
	Key      string      // unique in a channel
	Incident incident.ID // 0 outside of an incident
	Seq      int         // number of the event, or 0
}

// Posted is a message that was sent.
type Posted struct {
	ID   string
	Seq  int    // of the mark, from Find
	File string // ID of the first shared file, or ""
	URL  string // address of the first shared file, or "" if unknown
}

// Bookmark is a link to a page with a title.
type Bookmark struct {
	Title, URL string
	Icon       Icon
}

// ErrNoMessage is the error of [Platform.Update] about a message that does not
// exist any more.
var ErrNoMessage = errors.New("the message does not exist")
