package slack

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	neutral "tocsin/bot/chat"
	"tocsin/bot/sandbox/chat"
)

// TestFind_RateLimitBetweenPages meets the rate limit of Slack after the first page. The
// search continues with the second one, because a new search would begin with the first
// page and meet the limit again.
func TestFind_RateLimitBetweenPages(t *testing.T) {
	var ahead atomic.Int64
	f := newOutboundTest(t, func(c *chat.Config) {
		c.Limits.Off = false
		c.Limits.PostBurst, c.Limits.TeamPostPerMinute = 1000, 1000
		c.Clock = func() time.Time { return noon.Add(time.Duration(ahead.Load())) }
	})
	message := neutral.Message{Blocks: []neutral.Block{neutral.Headline("x")}}
	for n := range 201 {
		if _, err := f.slack.Post(f.ctx, announceChannelID, message, neutral.Mark{Key: fmt.Sprint(n)}); err != nil {
			t.Fatal(err)
		}
	}
	const limit = 50 // calls of conversations.history in a minute
	for range limit - 1 {
		if _, _, err := f.slack.Find(f.ctx, announceChannelID, "", "200", time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	later := time.AfterFunc(300*time.Millisecond, func() { ahead.Store(int64(time.Minute)) }) // Slack allows calls again
	defer later.Stop()
	found, ok, err := f.slack.Find(f.ctx, announceChannelID, "", "0", time.Time{})
	if err != nil || !ok || found.ID == "" {
		t.Errorf("got %+v, %t, %v, want the message on the second page", found, ok, err)
	}
}
