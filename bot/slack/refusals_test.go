package slack

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/answer"
	"tocsin/bot/sandbox/chat"
)

// documentedCodes are the error codes that Slack documents for the methods that Tocsin
// calls.
const documentedCodes = "" +
	"access_denied accesslimited account_inactive already_in_channel already_pinned alt_txt_too_large app_access_restricted app_cannot_join_channel " +
	"as_user_not_supported attachment_payload_limit_exceeded bad_timestamp block_mismatch blocked_file_type cannot_bookmark_from_external_org " +
	"cannot_bookmark_restricted_sharing_enabled cannot_create_channel cannot_reply_to_message cant_broadcast_message cant_delete_message cant_invite " +
	"cant_invite_self cant_kick_from_general cant_kick_self cant_update_message canvas_disabled_user_team channel_is_limited_access channel_not_found " +
	"channels_limit_exceeded deprecated_endpoint draft_already_deleted draft_already_sent draft_has_conflict draft_not_found duplicate_channel_not_found " +
	"duplicate_message_not_found edit_window_closed ekm_access_denied enterprise_is_restricted external_channel_migrating fatal_error fetch_members_failed " +
	"file_already_added file_deleted file_is_deleted file_not_found file_not_shared file_share_limit_reached file_type_not_allowed file_update_failed " +
	"file_upload_size_restricted file_uploads_disabled file_uploads_except_images_disabled forbidden_team insecure_request internal_error " +
	"invalid_app_action_type invalid_arg_name invalid_array_arg invalid_attachments invalid_auth invalid_blocks invalid_blocks_format invalid_bookmark_type " +
	"invalid_channel invalid_charset invalid_child_type invalid_cursor invalid_emoji invalid_entity_id invalid_form_data invalid_limit invalid_link " +
	"invalid_metadata_filter_keys invalid_metadata_format invalid_metadata_schema invalid_name invalid_name_maxlength invalid_name_punctuation " +
	"invalid_name_required invalid_name_specials invalid_parent_type invalid_post_type invalid_shortcut_type invalid_team invalid_ts_latest " +
	"invalid_ts_oldest invalid_types invalid_user_combination invitee_cant_see_channel is_archived is_bot is_inactive list_record_comment_fetch_failed " +
	"markdown_text_conflict max_file_sharing_exceeded message_limit_exceeded message_not_found messages_tab_disabled metadata_must_be_sent_from_app " +
	"metadata_too_large method_deprecated method_not_supported_for_channel_type missing_args missing_argument missing_file_data missing_post_type " +
	"missing_scope msg_blocks_too_long msg_too_long name_taken no_channel no_dual_broadcast_content_update no_external_invite_permission no_item_specified " +
	"no_permission no_such_subteam no_text no_user not_allowed_token_type not_authed not_enough_users not_implemented not_in_channel not_pinnable " +
	"not_supported org_login_required org_user_not_in_team parent_bookmark_disabled parent_with_link permission_denied plan_upgrade_required " +
	"posting_to_channel_denied rate_limited ratelimited request_timeout restricted_action restricted_action_non_threadable_channel " +
	"restricted_action_read_only_channel restricted_action_thread_locked restricted_action_thread_only_channel send_on_behalf_not_allowed " +
	"service_unavailable slack_connect_blocked_file_type slack_connect_canvas_sharing_blocked slack_connect_clip_sharing_blocked " +
	"slack_connect_file_link_sharing_blocked slack_connect_file_upload_sharing_blocked slack_connect_lists_sharing_blocked snippet_too_large " +
	"storage_limit_reached streaming_state_conflict team_added_to_org team_not_found thread_not_found token_expired token_revoked too_long " +
	"too_many_attachments too_many_bookmarks too_many_contact_cards too_many_members too_many_pins too_many_requests too_many_tabs too_many_users " +
	"two_factor_setup_required unable_to_share_files unknown_method unknown_snippet_type unknown_subtype update_failed ura_max_channels user_disabled " +
	"user_is_restricted user_not_found user_not_in_channel user_not_visible users_list_not_supplied users_not_found "

// TestClassify_EveryDocumentedCode sorts each documented code into exactly one class.
func TestClassify_EveryDocumentedCode(t *testing.T) {
	for _, code := range strings.Fields(documentedCodes) {
		classes := 0
		for _, in := range []bool{slices.Contains(limits, code), slices.Contains(transient, code), slices.Contains(faults, code)} {
			if in {
				classes++
			}
		}
		if r, ok := refusals[code]; ok {
			classes++
			if r.cause == "" || r.fix == "" || strings.HasSuffix(r.cause, ".") || strings.HasSuffix(r.fix, ".") {
				t.Errorf("%s: got cause %q and fix %q, want both without full stop", code, r.cause, r.fix)
			}
		}
		if classes != 1 {
			t.Errorf("%s is in %d classes, want 1", code, classes)
		}
	}
}

func TestClassify_Classes(t *testing.T) {
	for name, c := range map[string]struct {
		err        slack.SlackErrorResponse
		cause, fix string // "" unless blocked
		permanent  bool
	}{
		"policy":              {slack.SlackErrorResponse{Err: "restricted_action"}, "the app may not create channels", "Ask a workspace admin", false},
		"token":               {slack.SlackErrorResponse{Err: "token_revoked"}, "does not accept the bot token", "slack.bot_token", false},
		"scope":               {slack.SlackErrorResponse{Err: "missing_scope", Needed: "channels:manage,groups:write"}, "the app lacks the scope channels:manage,groups:write", "channels:manage", false},
		"scope without name":  {slack.SlackErrorResponse{Err: "missing_scope"}, "lacks the permission to create channels", "docs/slack.md", false},
		"scope with markup":   {slack.SlackErrorResponse{Err: "missing_scope", Needed: "<!channel>"}, "lacks the permission to create channels", "docs/slack.md", false},
		"new code":            {slack.SlackErrorResponse{Err: "moon_phase_forbidden"}, "returns the error moon_phase_forbidden", "docs.slack.dev", false},
		"new code with text":  {slack.SlackErrorResponse{Err: "see <https://evil>"}, "Slack refuses to create channels", "workspace admin", false},
		"fault":               {slack.SlackErrorResponse{Err: "invalid_blocks"}, "", "", true},
		"works again by then": {slack.SlackErrorResponse{Err: "internal_error"}, "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			err := classify("create channels", fmt.Errorf("inc-42: %w", c.err))
			blocked := new(incident.Blocked)
			if errors.As(err, &blocked) != (c.cause != "") || isPermanent(err) != c.permanent {
				t.Fatalf("got %v", err)
			}
			if c.cause == "" {
				return
			}
			if cause, fix := blocked.Cause.String(), blocked.Fix.String(); !strings.Contains(cause, c.cause) || !strings.Contains(fix, c.fix) || strings.ContainsAny(cause+fix, "<>") {
				t.Errorf("got cause %q, fix %q", cause, fix)
			}
			if blocked.System != incident.SystemSlack || errorCode(err) != c.err.Err {
				t.Errorf("got system %q, code %q", blocked.System, errorCode(err))
			}
		})
	}
}

// TestPost_ReducedAfterRejectedContent rejects the first call. The message is posted and
// edited once, with its text, and found by its mark.
func TestPost_ReducedAfterRejectedContent(t *testing.T) {
	for _, code := range []string{"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long", "no_text", "invalid_arguments", "invalid_metadata_format", "metadata_too_large"} {
		t.Run(code, func(t *testing.T) {
			f := newOutboundTest(t, func(c *chat.Config) { c.Answers = answer.NewSet() })
			b := f.openChannel()
			reject := func(method string, left *int) {
				f.ws.Config().Answers.Put(answer.Answer{Method: method, Body: answer.Text(`{"ok":false,"error":"` + code + `"}`), Left: left})
			}
			reject("chat.postMessage", answer.Times(1))
			f.must(f.effects.Post, b)
			channel := b.Incident.Links[incident.LinkChannel]
			posted := f.botMessages(channel)
			if len(posted) != 1 || !strings.Contains(posted[0].Text, "the key is disabled") || len(posted[0].Blocks) > 2 {
				t.Fatalf("got messages %+v, want one with the text alone", posted)
			}
			reject("chat.update", answer.Times(1))
			b.Incident.Links[incident.LinkCard] = posted[0].TS
			f.must(f.effects.Card, b)
			if posted := f.botMessages(channel); len(posted) != 1 || !strings.Contains(posted[0].Text, "INC-42") {
				t.Fatalf("got messages %+v after the edit, want one", posted)
			}
			reject("chat.postMessage", nil)
			if _, err := f.effects.Archive(f.ctx, b, effect); !isPermanent(err) {
				t.Errorf("got error %v after two rejections, want a permanent one", err)
			}
		})
	}
}

func TestUpdate_MessageOfEarlierInstallationIsPostedAgain(t *testing.T) {
	f := newOutboundTest(t, func(c *chat.Config) { c.Answers = answer.NewSet() })
	b := f.openChannel()
	f.ws.Config().Answers.Put(answer.Answer{Method: "chat.update", Body: `{"ok":false,"error":"cant_update_message"}`})
	b.Incident.Links[incident.LinkCard] = "1700000000.000001"
	if cmd := f.must(f.effects.Card, b); cmd.Links[incident.LinkCard] == "" || len(f.botMessages(b.Incident.Links[incident.LinkChannel])) != 1 {
		t.Errorf("got command %+v, want a new card", cmd)
	}
}
