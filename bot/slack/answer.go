package slack

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"tocsin/bot/chat"
	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// ephemeral is a reply that only one person sees. The JSON is both the
// response to a slash command and the request to a response URL.
type ephemeral struct {
	ResponseType    string        `json:"response_type"`
	Text            string        `json:"text"`
	Blocks          []slack.Block `json:"blocks,omitempty"`
	ReplaceOriginal bool          `json:"replace_original"`
}

// reply returns a message as an ephemeral reply.
func (s *Slack) reply(m chat.Message) *ephemeral { return newEphemeral(s.layout(m)) }

func newEphemeral(m message) *ephemeral {
	return &ephemeral{ResponseType: "ephemeral", Text: m.text, Blocks: m.blocks}
}

// replyOrError returns m as a reply, or the reply for err if err is not nil.
func (s *Slack) replyOrError(ctx context.Context, m chat.Message, err error) *ephemeral {
	if err != nil {
		return s.errorReply(ctx, err)
	}
	return s.reply(m)
}

// errorReply returns the reply for an error. The text is plain text, because
// it may quote user input.
func (s *Slack) errorReply(ctx context.Context, err error) *ephemeral {
	text, _ := clip(clean(s.errorText(ctx, err)), maxBlockText)
	return newEphemeral(message{text: string(escape(text, maxFallbackText)), blocks: []slack.Block{slack.NewSectionBlock(plainText(text), nil, nil)}})
}

// failedReply returns the reply for an error of a typed command. If the command was not
// refused, it has the command to send again.
func (s *Slack) failedReply(ctx context.Context, typed typedCommand, err error) *ephemeral {
	reply := s.errorReply(ctx, err)
	var failed *apiError
	if incident.CodeOf(err) != "" || errors.As(err, &failed) {
		return reply
	}
	lines := []string{chat.SendAgain}
	for part := range slices.Chunk([]rune(clean(s.cfg.CommandName+" "+typed.again())), maxBlockText/2) { // a rune has at most two units
		lines = append(lines, string(part))
	}
	for _, line := range lines {
		reply.Blocks = append(reply.Blocks, slack.NewSectionBlock(plainText(line), nil, nil))
	}
	return reply
}

// apiError is the error of a call to Slack that a person needs. It does not concern
// the records of Tocsin.
type apiError struct {
	what    string // that Slack did not do, such as "open the form"
	instead string // the command to type instead
	err     error
}

func (e *apiError) Error() string { return e.what + ": " + e.err.Error() }
func (e *apiError) Unwrap() error { return e.err }

// errNotRead marks the error of a question, which saves nothing.
var errNotRead = errors.New("read the answer")

// errorText returns the text about an error. It logs every error that is not
// an [incident.Error] and hides its details from the person. It names the system that
// failed: Slack or Tocsin.
func (s *Slack) errorText(ctx context.Context, err error) string {
	var refused *incident.Error
	var failed *apiError
	switch {
	case errors.As(err, &refused):
		return asSentence(s.cfg.Redact(refused.Error()))
	case errors.As(err, &failed):
		p := Explain(failed.err)
		s.log.WarnContext(ctx, "call Slack failed", "call", failed.what, "cause", p.Cause, "fix", p.Fix, "err", failed.err)
		return fmt.Sprintf(chat.SlackFailed, failed.what, p.Cause, s.cfg.CommandName+" "+failed.instead)
	}
	s.log.ErrorContext(ctx, "answer command failed", "err", err)
	switch {
	case errors.Is(err, errNoReply):
		return chat.NoReply
	case errors.Is(err, errNotRead):
		return chat.NotRead
	case incident.IsUnavailable(err):
		return chat.Unavailable
	}
	return chat.NotSaved
}

// asSentence returns the text of a refusal as a sentence.
func asSentence(refusal string) string {
	refusal = text.Capital(refusal)
	if last, _ := utf8.DecodeLastRuneInString(refusal); unicode.IsLetter(last) || unicode.IsDigit(last) {
		refusal += "."
	}
	return refusal
}

// reader answers the questions of a person.
func (s *Slack) reader(who incident.Identity) chat.Reader {
	return chat.Reader{Desk: s.desk, Who: who, Via: incident.ViaSlack, Now: s.cfg.Clock()}
}

// respond sends a reply to a response URL, if its host belongs to Slack.
func (s *Slack) respond(ctx context.Context, to string, e ephemeral) {
	if !s.isSlackURL(to) {
		s.log.WarnContext(ctx, "reply dropped because its response URL is not on a Slack host")
		return
	}
	err := slack.PostWebhookCustomHTTPContext(ctx, to, s.cfg.HTTPClient, &slack.WebhookMessage{Text: e.Text,
		Blocks: &slack.Blocks{BlockSet: e.Blocks}, ResponseType: e.ResponseType, ReplaceOriginal: e.ReplaceOriginal})
	if err != nil {
		s.log.WarnContext(ctx, "send reply failed", "err", withoutURL(err))
	}
}

// isSlackURL reports whether address is a response URL of Slack. If
// Config.APIURL is set, hosts that belong to it are accepted as well.
func (s *Slack) isSlackURL(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	api, err := url.Parse(s.cfg.APIURL)
	if err == nil && api.Host != "" && (u.Host == api.Host || u.Host == "hooks."+api.Host) {
		return u.Scheme == api.Scheme
	}
	return u.Scheme == "https" && u.Host == "hooks.slack.com"
}

// withoutURL returns the text of an error without the response URL. Anyone
// who knows the URL can post to the channel, so it must not be logged.
func withoutURL(err error) string {
	text := err.Error()
	if at := strings.Index(text, "http"); at >= 0 {
		if end := strings.IndexAny(text[at:], "\" "); end >= 0 {
			return text[:at] + "…" + text[at+end:]
		}
	}
	return text
}

// notify sends a reply that only the person behind an interaction sees. It
// uses the response URL, the channel of the interaction or a direct message,
// in this order.
func (s *Slack) notify(in interaction, e *ephemeral) {
	s.runInBackground(func(ctx context.Context) {
		if in.ResponseURL != "" {
			s.respond(ctx, in.ResponseURL, *e)
			return
		}
		options := []slack.MsgOption{slack.MsgOptionText(e.Text, false), slack.MsgOptionBlocks(e.Blocks...)}
		var err error
		if channel := in.channel(); channel != "" {
			_, err = s.client.PostEphemeralContext(ctx, channel, in.User.ID, options...)
		} else {
			_, _, err = s.client.PostMessageContext(ctx, in.User.ID, options...)
		}
		if err != nil {
			s.log.WarnContext(ctx, "send reply failed", "err", err)
		}
	})
}
