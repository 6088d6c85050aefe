package slack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
)

// Handler performs one kind of effect. The command it returns (none if its
// verb is empty) is committed together with the note that the effect is done.
//
// An effect may be performed again after it landed, because the process died
// or the answer was lost. From Brief.Attempt 2 on, and always where one effect
// leaves several things in Slack, a handler therefore looks before it acts.
type Handler = func(context.Context, incident.Brief, incident.Effect) (incident.Command, error)

// Handlers are the effects that happen in Slack, by kind. Paging by a user
// group stands apart, in PageGroup, because it needs to know which group.
func (s *Slack) Handlers() map[incident.EffectKind]Handler {
	return map[incident.EffectKind]Handler{
		incident.EffectOpenChannel:        s.OpenChannel,
		incident.EffectInvite:             s.Invite,
		incident.EffectTopic:              s.Topic,
		incident.EffectCard:               s.Card,
		incident.EffectPost:               s.Post,
		incident.EffectAskSign:            s.AskSign,
		incident.EffectAskConsult:         s.AskConsult,
		incident.EffectUpload:             s.Upload,
		incident.EffectArchive:            s.Archive,
		incident.EffectAnnounce:           s.Announce,
		incident.EffectAnnouncePostmortem: s.AnnouncePostmortem,
		incident.EffectAgenda:             s.Agenda,
		incident.EffectNotice:             s.Notice,
	}
}

// errorCode is Slack's error code, or "" where err is not Slack's refusal.
func errorCode(err error) string {
	var refused slack.SlackErrorResponse
	if errors.As(err, &refused) {
		return refused.Err
	}
	return ""
}

// defaultRetryAfter is how long we keep away when Slack asks for patience without saying how much.
const defaultRetryAfter = 30 * time.Second

// classify says what an error of a call means for the effect: wait as long as
// Slack asks, give up because only a person can mend it, or try again. After
// an error of the last kind the call may have taken effect all the same.
func classify(what string, err error) error {
	if err == nil {
		return nil
	}
	wrapped := fmt.Errorf("%s: %w", what, err)
	var limited *slack.RateLimitedError
	if errors.As(err, &limited) {
		return &incident.RetryAfter{After: limited.RetryAfter, Err: wrapped}
	}
	var status slack.StatusCodeError
	if errors.As(err, &status) && status.Code == http.StatusTooManyRequests {
		return &incident.RetryAfter{After: defaultRetryAfter, Err: wrapped}
	}
	var refused slack.SlackErrorResponse
	if !errors.As(err, &refused) {
		return wrapped
	}
	switch refused.Err {
	case "ratelimited", "rate_limited", "too_many_requests", "message_limit_exceeded":
		return &incident.RetryAfter{After: defaultRetryAfter, Err: wrapped}
	}
	if advice, ok := adminHints[refused.Err]; ok {
		return &incident.Permanent{Err: fmt.Errorf("%w; %s", wrapped, advice+errorDetails(refused))}
	}
	return wrapped
}

// errorDetails are what Slack says besides the code.
func errorDetails(e slack.SlackErrorResponse) string {
	var out string
	if e.Needed != "" {
		out += " (needed: " + e.Needed + ")"
	}
	if len(e.ResponseMetadata.Messages) > 0 {
		out += " (" + strings.Join(e.ResponseMetadata.Messages, "; ") + ")"
	}
	return out
}

const (
	hintToken  = "Slack does not accept the bot's token any more: install the app again and put the new bot token into slack.bot_token"
	hintScope  = "the Slack app may not do this: add the scope under OAuth & Permissions and install the app again"
	hintGone   = "the bot cannot see that channel: it was deleted, or the bot was removed from it; invite the bot again"
	hintPolicy = "a setting of the workspace forbids it: a workspace admin has to allow the app to do this"
	hintBug    = "Slack refuses what the bot wrote: this is a fault of the bot and should be reported"
	hintFiles  = "the workspace takes no such file: a workspace admin has to allow uploads by apps, or make room"
)

// adminHints are the refusals that repeating cannot mend, with what an admin can do.
var adminHints = map[string]string{
	"not_authed": hintToken, "invalid_auth": hintToken, "account_inactive": hintToken, "token_revoked": hintToken,
	"token_expired": hintToken, "not_allowed_token_type": hintToken, "org_login_required": hintToken,
	"missing_scope": hintScope, "no_permission": hintScope, "access_denied": hintScope, "app_access_restricted": hintScope,
	"channel_not_found": hintGone, "not_in_channel": hintGone, "channel_is_limited_access": hintGone,
	"is_archived":       "the channel is archived: unarchive it and invite the bot again, if it is still needed",
	"restricted_action": hintPolicy, "restricted_action_read_only_channel": hintPolicy, "restricted_action_thread_only_channel": hintPolicy,
	"posting_to_channel_denied": hintPolicy, "cannot_create_channel": hintPolicy, "accesslimited": hintPolicy, "ekm_access_denied": hintPolicy,
	"edit_window_closed": "the workspace forbids editing messages after a while: a workspace admin has to lift that for the card to stay current",
	"invalid_blocks":     hintBug, "invalid_blocks_format": hintBug, "msg_blocks_too_long": hintBug, "msg_too_long": hintBug, "no_text": hintBug,
	"invalid_arguments": hintBug, "invalid_metadata_format": hintBug, "invalid_metadata_schema": hintBug, "metadata_too_large": hintBug,
	"unknown_method": hintBug, "too_long": hintBug, "invalid_name_specials": hintBug,
	"messages_tab_disabled": "the app takes no direct messages: switch on the Messages tab under App Home",
	"user_disabled":         "the person is deactivated in Slack: correct the configuration", "user_not_found": "Slack does not know the user id: correct the configuration",
	"file_uploads_disabled": hintFiles, "storage_limit_reached": hintFiles, "file_type_not_allowed": hintFiles,
	"file_upload_size_restricted": hintFiles, "file_uploads_except_images_disabled": hintFiles,
}

// isPermanent reports whether trying again cannot help.
func isPermanent(err error) bool {
	var p *incident.Permanent
	return errors.As(err, &p)
}

// channelOf is the incident's channel. Whatever needs it is asked for after it
// was opened, so an incident without one has lost it.
func channelOf(inc incident.Incident) (string, error) {
	if c := inc.Links[incident.LinkChannel]; c != "" {
		return c, nil
	}
	return "", &incident.Permanent{Err: fmt.Errorf("%s has no channel in Slack", inc.ID)}
}

// noCommand is the command of an effect that has nothing to report.
var noCommand incident.Command

// resultCommand is a command by which the bot says what an effect came to.
func resultCommand(b incident.Brief, e incident.Effect, cmd incident.Command) incident.Command {
	cmd.Key, cmd.For, cmd.By, cmd.Via = e.Key, b.Incident.ID, incident.System, incident.ViaSystem
	return cmd
}
