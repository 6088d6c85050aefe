package chat

import (
	"math"
	"sync"
	"time"
)

// Limits are the rate limits. They apply unless Off is set. Zero fields mean Slack's limits.
type Limits struct {
	Off               bool    `json:"off"`
	PostsPerSecond    float64 `json:"posts_per_second"`     // per channel, default 1
	PostBurst         int     `json:"post_burst"`           // per channel, default 5
	TeamPostPerMinute int     `json:"team_post_per_minute"` // whole workspace, default 600
}

// tier is the number of calls per minute that a method allows. A burst may use up a whole minute at once.
type tier int

const (
	tier1       tier = 1
	tier2       tier = 20
	tier3       tier = 50
	tier4       tier = 100
	tierSpecial tier = 600 // "hundreds per minute"
	tierPost    tier = 0   // limited per channel and workspace instead
)

type bucket struct {
	tokens float64
	at     time.Time
}

// limiter has one token bucket per method, one for all posts and one per channel for posts. The clock of the workspace
// refills them.
type limiter struct {
	mu      sync.Mutex
	cfg     Limits
	buckets map[string]*bucket
}

func (l *limiter) init(cfg Limits) {
	if cfg.PostsPerSecond == 0 {
		cfg.PostsPerSecond = 1
	}
	if cfg.PostBurst == 0 {
		cfg.PostBurst = 5
	}
	if cfg.TeamPostPerMinute == 0 {
		cfg.TeamPostPerMinute = 600
	}
	l.cfg, l.buckets = cfg, map[string]*bucket{}
}

// SetRateLimits enables or disables the rate limits and fills all buckets.
func (w *Workspace) SetRateLimits(on bool) {
	w.limits.mu.Lock()
	defer w.limits.mu.Unlock()
	w.limits.cfg.Off = !on
	w.limits.buckets = map[string]*bucket{}
}

// allow takes one token for a call. If there is none, it returns false and the seconds to wait before a retry.
func (l *limiter) allow(method string, t tier, channel string, now time.Time) (retryAfter int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cfg.Off {
		return 0, true
	}
	if t != tierPost {
		return l.take("method "+method, float64(t), float64(t)/60, now)
	}
	if wait, ok := l.take("posts", float64(l.cfg.TeamPostPerMinute), float64(l.cfg.TeamPostPerMinute)/60, now); !ok {
		return wait, false
	}
	return l.take("channel "+channel, float64(l.cfg.PostBurst), l.cfg.PostsPerSecond, now)
}

func (l *limiter) take(key string, capacity, perSecond float64, now time.Time) (int, bool) {
	b := l.buckets[key]
	if b == nil {
		b = &bucket{tokens: capacity, at: now}
		l.buckets[key] = b
	}
	if d := now.Sub(b.at).Seconds(); d > 0 {
		b.tokens = math.Min(capacity, b.tokens+d*perSecond)
		b.at = now
	}
	if b.tokens < 1 {
		return int(math.Ceil((1 - b.tokens) / perSecond)), false
	}
	b.tokens--
	return 0, true
}
