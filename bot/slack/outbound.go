package slack

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
)

// errorCode returns the error code in Slack's response, or "" for other
// errors.
func errorCode(err error) string {
	var refused slack.SlackErrorResponse
	if errors.As(err, &refused) {
		return refused.Err
	}
	return ""
}

// defaultRetryAfter is the delay after a rate limit without a Retry-After
// header.
const defaultRetryAfter = 30 * time.Second

// minRetryAfter is the least delay after a rate limit.
const minRetryAfter = time.Second

// classify wraps an error of a call to Slack. The result is an
// [incident.RetryAfter] for a rate limit and an [incident.Permanent] if only
// an admin can fix the cause. After any other error the effect is retried,
// although the call may have succeeded.
func classify(what string, err error) error {
	if err == nil {
		return nil
	}
	wrapped := fmt.Errorf("%s: %w", what, err)
	var limited *slack.RateLimitedError
	if errors.As(err, &limited) {
		return &incident.RetryAfter{After: max(limited.RetryAfter, minRetryAfter), Err: wrapped}
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
	if hint, ok := adminHints[refused.Err]; ok {
		return &incident.Permanent{Err: fmt.Errorf("%w; %s", wrapped, hint+errorDetails(refused))}
	}
	return wrapped
}

// errorDetails returns the details in Slack's response after the error code,
// in parentheses.
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
	hintToken  = "Slack no longer accepts the bot token: reinstall the app and set slack.bot_token to the new token"
	hintScope  = "the Slack app lacks a permission: add the scope under OAuth & Permissions and reinstall the app"
	hintGone   = "the channel was deleted or the bot was removed from the channel: invite the bot again"
	hintPolicy = "a workspace setting forbids this action: a workspace admin must allow the app to perform it"
	hintBug    = "Slack rejected the content of the request: this is a bug in Tocsin, please report it"
	hintFiles  = "the workspace does not accept the file: a workspace admin must allow uploads by apps or free storage"
)

// adminHints maps error codes that a retry cannot fix to instructions for an
// admin.
var adminHints = map[string]string{
	"not_authed": hintToken, "invalid_auth": hintToken, "account_inactive": hintToken, "token_revoked": hintToken,
	"token_expired": hintToken, "not_allowed_token_type": hintToken, "org_login_required": hintToken,
	"missing_scope": hintScope, "no_permission": hintScope, "access_denied": hintScope, "app_access_restricted": hintScope,
	"channel_not_found": hintGone, "not_in_channel": hintGone, "channel_is_limited_access": hintGone,
	"is_archived":       "the channel is archived: if you still need the channel, unarchive the channel and invite the bot again",
	"restricted_action": hintPolicy, "restricted_action_read_only_channel": hintPolicy, "restricted_action_thread_only_channel": hintPolicy,
	"posting_to_channel_denied": hintPolicy, "cannot_create_channel": hintPolicy, "accesslimited": hintPolicy, "ekm_access_denied": hintPolicy,
	"edit_window_closed": "the workspace forbids editing old messages, so the card is out of date: a workspace admin must lift the limit",
	"invalid_blocks":     hintBug, "invalid_blocks_format": hintBug, "msg_blocks_too_long": hintBug, "msg_too_long": hintBug, "no_text": hintBug,
	"invalid_arguments": hintBug, "invalid_metadata_format": hintBug, "invalid_metadata_schema": hintBug, "metadata_too_large": hintBug,
	"unknown_method": hintBug, "too_long": hintBug, "invalid_name_specials": hintBug,
	"messages_tab_disabled": "the app does not accept direct messages: enable the Messages tab under App Home",
	"user_disabled":         "the person is deactivated in Slack: correct the configuration", "user_not_found": "the Slack user ID does not exist: correct the configuration",
	"file_uploads_disabled": hintFiles, "storage_limit_reached": hintFiles, "file_type_not_allowed": hintFiles,
	"file_upload_size_restricted": hintFiles, "file_uploads_except_images_disabled": hintFiles,
}
