package slack

import (
	"errors"
	"time"

	"github.com/slack-go/slack"
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
