package chat

import (
	"encoding/base64"
	"math"
	"sort"
	"strconv"
	"strings"
)

// historyRange is the part of a conversation that history and replies return. Both bounds are inclusive, in
// microseconds.
type historyRange struct {
	oldest, latest int64
	limit          int
}

func (c *call) historyRange() (historyRange, error) {
	v := historyRange{oldest: 0, latest: math.MaxInt64, limit: 100}
	if s := c.str("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			return v, apiError("invalid_limit")
		}
		if n > 0 {
			v.limit = min(n, 999)
		}
	}
	edge := int64(1)
	if c.flag("inclusive") {
		edge = 0
	}
	if s := c.str("oldest"); s != "" && s != "0" {
		us, ok := parseTS(s)
		if !ok {
			return v, apiError("invalid_ts_oldest")
		}
		v.oldest = us + edge
	}
	if s := c.str("latest"); s != "" && s != "0" && s != "now" {
		us, ok := parseTS(s)
		if !ok {
			return v, apiError("invalid_ts_latest")
		}
		v.latest = us - edge
	}
	return v, nil
}

// tsCursor decodes the cursor of history and replies, which is the time in microseconds at which the next page begins.
// The second result is false if the call has no cursor.
func (c *call) tsCursor() (int64, bool, error) {
	s := c.str("cursor")
	if s == "" {
		return 0, false, nil
	}
	raw, err := base64.StdEncoding.DecodeString(s)
	rest, ok := strings.CutPrefix(string(raw), "next_ts:")
	us, perr := strconv.ParseInt(rest, 10, 64)
	if err != nil || !ok || perr != nil {
		return 0, false, apiError("invalid_cursor")
	}
	return us, true, nil
}

func makeTSCursor(us int64) string {
	return base64.StdEncoding.EncodeToString([]byte("next_ts:" + strconv.FormatInt(us, 10)))
}

// readableChannel returns the channel of the call if the bot may read its messages.
func (c *call) readableChannel() (*channel, error) {
	ch, err := c.channel("channel")
	if err != nil {
		return nil, err
	}
	if !ch.members[c.w.cfg.Bot.UserID] {
		return nil, apiError("not_in_channel")
	}
	return ch, c.scope(ch, "history")
}

func conversationsHistory(c *call) (obj, error) {
	ch, err := c.readableChannel()
	if err != nil {
		return nil, err
	}
	v, err := c.historyRange()
	if err != nil {
		return nil, err
	}
	if us, ok, err := c.tsCursor(); err != nil {
		return nil, err
	} else if ok {
		v.latest = min(v.latest, us)
	}
	from := sort.Search(len(ch.roots), func(i int) bool { return ch.roots[i].us > v.latest })
	messages, next := []obj{}, ""
	for i := from - 1; i >= 0 && ch.roots[i].us >= v.oldest; i-- {
		if len(messages) == v.limit {
			next = makeTSCursor(ch.roots[i].us)
			break
		}
		messages = append(messages, ch.roots[i].wire(c.w, c.flag("include_all_metadata")))
	}
	return obj{"messages": messages, "has_more": next != "", "pin_count": len(ch.pins), "response_metadata": obj{"next_cursor": next}}, nil
}

func conversationsReplies(c *call) (obj, error) {
	ch, err := c.readableChannel()
	if err != nil {
		return nil, err
	}
	v, err := c.historyRange()
	if err != nil {
		return nil, err
	}
	parent := ch.byTS[c.str("ts")]
	if parent == nil {
		return nil, apiError("thread_not_found")
	}
	start, paged, err := c.tsCursor()
	if err != nil {
		return nil, err
	}
	meta := c.flag("include_all_metadata")
	messages, next := []obj{}, ""
	if !paged {
		messages = append(messages, parent.wire(c.w, meta))
	}
	first := sort.Search(len(parent.replies), func(i int) bool { return parent.replies[i].us >= max(start, v.oldest) })
	for _, r := range parent.replies[first:] {
		if r.us > v.latest {
			break
		}
		if len(messages) >= v.limit {
			next = makeTSCursor(r.us)
			break
		}
		messages = append(messages, r.wire(c.w, meta))
	}
	return obj{"messages": messages, "has_more": next != "", "response_metadata": obj{"next_cursor": next}}, nil
}
