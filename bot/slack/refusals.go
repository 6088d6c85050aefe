package slack

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
)

// refusal is what Slack refuses until an administrator repairs it. The format of cause
// has the call as its argument, such as "create the channel inc-42".
type refusal struct {
	cause, fix string
}

// say returns the format with a call if the format has a place for it.
func say(format, what string) incident.Sentence {
	if strings.Contains(format, "%s") {
		return incident.Sentence{Format: format, Args: []any{incident.Literal(what)}}
	}
	return incident.Sentence{Format: format}
}

const (
	fixToken  = "Reinstall the Slack app, set slack.bot_token to the new token and restart Tocsin"
	fixOrg    = "Ask an owner of the Slack organization to allow the app in this workspace"
	fixPolicy = "Ask a workspace admin to let the app do this"
	fixFiles  = "Ask a workspace admin to allow file uploads by the app, or to free storage"
	fixPeople = "Correct the Slack user ID of the person under people in the configuration and reload Tocsin"
	fixMember = "Invite the app to the channel again"
	fixUpdate = "Install the newest version of Tocsin"
)

var (
	refusedToken   = refusal{"Slack does not accept the bot token", fixToken}
	refusedApp     = refusal{"the app was removed from the workspace", fixToken}
	refusedOrg     = refusal{"the Slack organization does not let the app in", fixOrg}
	refusedScope   = refusal{"the app lacks the permission to %s", "Compare the scopes of the app with docs/slack.md, add the missing one and reinstall the app"}
	refusedPolicy  = refusal{"the app may not %s", fixPolicy}
	refusedFiles   = refusal{"the Slack workspace does not accept the file", fixFiles}
	refusedPerson  = refusal{"Slack does not know a person, or the account is deactivated", fixPeople}
	refusedMember  = refusal{"the app is not a member of the channel", fixMember}
	refusedVersion = refusal{"Slack no longer offers a call that this version of Tocsin uses", fixUpdate}
	refusedShared  = refusal{"the workspace of another company does not let the app %s", fixPolicy}
)

// refusals are the error codes that an administrator can repair.
var refusals = map[string]refusal{
	"not_authed": refusedToken, "invalid_auth": refusedToken, "token_revoked": refusedToken, "token_expired": refusedToken, "not_allowed_token_type": refusedToken,
	"bad_token": refusedToken, "invalid_token": refusedToken, "account_inactive": refusedApp,

	"org_login_required": refusedOrg, "enterprise_is_restricted": refusedOrg, "team_access_not_granted": refusedOrg, "ekm_access_denied": refusedOrg,
	"two_factor_setup_required": refusedOrg, "accesslimited": refusedOrg, "access_denied": refusedOrg, "app_access_restricted": refusedOrg,
	"team_not_found": refusedOrg, "invalid_team": refusedOrg, "forbidden_team": refusedOrg, "insecure_request": refusedOrg,

	"missing_scope": refusedScope, "no_permission": refusedScope, "not_authorized": refusedScope, "no_access": refusedScope,

	"restricted_action": refusedPolicy, "restricted_action_read_only_channel": refusedPolicy, "restricted_action_thread_only_channel": refusedPolicy,
	"restricted_action_non_threadable_channel": refusedPolicy, "restricted_action_thread_locked": refusedPolicy, "thread_locked": refusedPolicy,
	"posting_to_channel_denied": refusedPolicy, "cannot_create_channel": refusedPolicy, "canvas_disabled_user_team": refusedPolicy, "permission_denied": refusedPolicy,
	"user_is_restricted": refusedPolicy, "cant_invite": refusedPolicy, "app_cannot_join_channel": refusedPolicy, "no_external_invite_permission": refusedPolicy,
	"cant_broadcast_message": refusedPolicy, "send_on_behalf_not_allowed": refusedPolicy, "not_supported": refusedPolicy, "cant_delete_message": refusedPolicy,
	"cannot_bookmark_restricted_sharing_enabled": refusedPolicy, "cant_kick_from_general": refusedPolicy, "method_not_supported_for_channel_type": refusedPolicy,
	"parent_bookmark_disabled": refusedPolicy, "too_many_members": refusedPolicy,
	"plan_upgrade_required": {"the plan of the Slack workspace does not let the app %s", "Upgrade the plan of the workspace, or remove user groups from the configuration and reload Tocsin"},
	"edit_window_closed":    {"the Slack workspace does not let the app edit old messages", "Ask a workspace admin to lift the time limit for edits"},
	"messages_tab_disabled": {"the app does not accept direct messages", "Enable the Messages tab under App Home in the settings of the app"},

	"channel_not_found": {"the channel was deleted, or the Slack app is not a member", fixMember}, "invalid_channel": refusedMember,
	"not_in_channel": refusedMember, "channel_is_limited_access": refusedMember,
	"is_archived": {"the channel is archived", "Unarchive the channel and invite the app again"}, "is_inactive": {"the channel is archived", "Unarchive the channel and invite the app again"},
	"no_such_subteam": {"the Slack user group does not exist", "Correct the ID of the user group in the configuration and reload Tocsin"},

	"user_disabled": refusedPerson, "user_not_found": refusedPerson, "users_not_found": refusedPerson, "user_not_visible": refusedPerson, "user_not_in_channel": refusedPerson,
	"no_user": refusedPerson, "invalid_user_combination": refusedPerson, "org_user_not_in_team": refusedPerson, "invitee_cant_see_channel": refusedPerson, "ura_max_channels": refusedPerson,

	"file_uploads_disabled": refusedFiles, "storage_limit_reached": refusedFiles, "file_type_not_allowed": refusedFiles, "file_upload_size_restricted": refusedFiles,
	"file_uploads_except_images_disabled": refusedFiles, "blocked_file_type": refusedFiles, "unable_to_share_files": refusedFiles, "max_file_sharing_exceeded": refusedFiles,
	"file_share_limit_reached": refusedFiles, "channels_limit_exceeded": refusedFiles,

	"slack_connect_blocked_file_type": refusedShared, "slack_connect_canvas_sharing_blocked": refusedShared, "slack_connect_clip_sharing_blocked": refusedShared,
	"slack_connect_file_link_sharing_blocked": refusedShared, "slack_connect_file_upload_sharing_blocked": refusedShared, "slack_connect_lists_sharing_blocked": refusedShared,
	"cannot_bookmark_from_external_org": refusedShared,

	"unknown_method": refusedVersion, "method_deprecated": refusedVersion, "deprecated_endpoint": refusedVersion, "not_implemented": refusedVersion,
}

// transient are the error codes of calls that may succeed when repeated, without a
// repair.
var transient = []string{"fatal_error", "internal_error", "service_unavailable", "request_timeout", "team_added_to_org", "external_channel_migrating",
	"fetch_members_failed", "list_record_comment_fetch_failed", "update_failed", "file_update_failed", "streaming_state_conflict", "invalid_cursor", "duplicate_channel_not_found",
	"duplicate_message_not_found"}

// limits are the error codes that request a pause.
var limits = []string{"ratelimited", "rate_limited", "too_many_requests", "message_limit_exceeded", "restricted_too_many"}

// faults are the error codes about a call that Tocsin makes wrongly. No administrator
// can repair it.
var faults = []string{
	"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long", "no_text", "too_many_attachments", "invalid_attachments", "attachment_payload_limit_exceeded",
	"markdown_text_conflict", "block_mismatch", "too_many_contact_cards", "missing_file_data",
	"invalid_metadata_format", "invalid_metadata_schema", "metadata_too_large", "metadata_must_be_sent_from_app",
	"cannot_reply_to_message", "thread_not_found", "message_not_found", "no_dual_broadcast_content_update", "as_user_not_supported", "draft_already_deleted", "draft_already_sent",
	"draft_has_conflict", "draft_not_found", "cant_update_message",
	"invalid_arguments", "invalid_arg_name", "invalid_array_arg", "invalid_charset", "invalid_form_data", "invalid_post_type", "missing_post_type", "missing_argument", "missing_args",
	"is_bot", "too_long", "invalid_name", "invalid_name_specials", "invalid_name_maxlength", "invalid_name_punctuation", "invalid_name_required", "no_channel", "name_taken",
	"bad_timestamp", "invalid_limit", "invalid_types", "invalid_ts_latest", "invalid_ts_oldest", "invalid_metadata_filter_keys",
	"not_enough_users", "too_many_users", "users_list_not_supplied", "cant_invite_self", "cant_kick_self", "already_in_channel",
	"file_not_found", "file_deleted", "file_is_deleted", "file_not_shared", "file_already_added", "snippet_too_large", "alt_txt_too_large", "unknown_snippet_type", "unknown_subtype",
	"no_item_specified", "already_pinned", "not_pinnable", "too_many_pins", "too_many_bookmarks", "too_many_tabs", "invalid_link", "invalid_bookmark_type", "invalid_emoji", "invalid_entity_id",
	"invalid_parent_type", "parent_with_link", "invalid_child_type", "invalid_app_action_type", "invalid_shortcut_type",
}

// plainWord is the form of error codes and scopes.
var plainWord = regexp.MustCompile(`^[a-z0-9_:.,\- ]{1,100}$`)

// classify wraps an error of a call to Slack. The result is an [incident.RetryAfter] for a
// limit, an [incident.Blocked] if an administrator must repair the cause, and an
// [incident.Permanent] if the call is wrong. After any other error the effect is retried,
// although the call may have succeeded.
//
// A code that Slack added later is Blocked: most new codes are about settings, and an
// effect that waits is not lost.
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
	if untrusted := new(tls.CertificateVerificationError); errors.As(err, &untrusted) {
		return &incident.Blocked{System: incident.SystemSlack, Err: wrapped, Cause: incident.Say("the certificate of Slack is not trusted"),
			Fix: incident.Say("Check the clock of this machine, and add the certificate authority of your proxy to the trusted ones")}
	}
	var refused slack.SlackErrorResponse
	if !errors.As(err, &refused) {
		return wrapped
	}
	r, known := refusals[refused.Err]
	switch {
	case slices.Contains(limits, refused.Err):
		return &incident.RetryAfter{After: defaultRetryAfter, Err: wrapped}
	case slices.Contains(transient, refused.Err):
		return wrapped
	case slices.Contains(faults, refused.Err):
		return &incident.Permanent{Err: fmt.Errorf("%w; Slack rejected the content of the request: this is a bug in Tocsin, please report it%s", wrapped, errorDetails(refused))}
	}
	blocked := &incident.Blocked{System: incident.SystemSlack, Cause: say(r.cause, what), Fix: say(r.fix, what), Err: fmt.Errorf("%w%s", wrapped, errorDetails(refused))}
	switch {
	case !known && plainWord.MatchString(refused.Err):
		blocked.Cause = incident.Say("Slack refuses to %s and returns the error %s", incident.Literal(what), incident.Literal(refused.Err))
		blocked.Fix = incident.Say("Look the error up at docs.slack.dev, and ask a workspace admin to repair its cause")
	case !known:
		blocked.Cause, blocked.Fix = incident.Say("Slack refuses to %s", incident.Literal(what)), incident.Say("%s", fixPolicy)
	case refused.Err == "missing_scope" && plainWord.MatchString(refused.Needed):
		blocked.Cause = incident.Say("the app lacks the scope %s", incident.Literal(refused.Needed))
		blocked.Fix = incident.Say("Give the app the scope %s under OAuth & Permissions and reinstall the app", incident.Literal(refused.Needed))
	}
	return blocked
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
