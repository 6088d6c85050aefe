package slack

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/slack-go/slack"
	"golang.org/x/time/rate"

	"tocsin/bot/text"
)

const (
	// homeInterval is the minimum time between two refreshes of the home tabs.
	homeInterval = 2 * time.Second
	// homePause is the minimum time between two refreshes as a multiple of the time of the
	// last one: many open tabs must not slow down the commands.
	homePause = 4
	// homesPerMinute is the maximum number of home tabs that are published in a minute, and
	// homeBurst of those at once. Slack allows 100 per minute.
	homesPerMinute, homeBurst = 80, 20
	// homeTTL is how long a home tab is kept up to date after the person opened it.
	homeTTL = 8 * time.Hour
	// maxHomes is the maximum number of home tabs that are kept up to date.
	maxHomes = 200
)

// homes are the home tabs that people opened lately. They are not stored: after a restart,
// a home tab is up to date again when its person opens it.
type homes struct {
	mu     sync.Mutex
	opened map[string]home // by Slack user ID
	next   time.Time       // when the next refresh may start
	limit  *rate.Limiter   // of the tabs that are published
	timer  *time.Timer     // of the next refresh, or nil
}

type home struct {
	account account
	at      time.Time // when the person opened it
	shown   string    // hash of the published blocks
}

// open remembers a home tab. It forgets old ones, and the oldest if there are too many.
func (h *homes) open(a account, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.opened == nil {
		h.opened = map[string]home{}
	}
	maps.DeleteFunc(h.opened, func(_ string, v home) bool { return now.Sub(v.at) >= homeTTL })
	if _, known := h.opened[a.user]; !known && len(h.opened) >= maxHomes {
		oldest := ""
		for user, v := range h.opened {
			if oldest == "" || v.at.Before(h.opened[oldest].at) {
				oldest = user
			}
		}
		delete(h.opened, oldest)
	}
	h.opened[a.user] = home{account: a, at: now}
}

// show records the published blocks of a home tab, and reports whether they are new.
func (h *homes) show(user, hash string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	v, ok := h.opened[user]
	if ok && v.shown == hash {
		return false
	}
	if ok {
		v.shown = hash
		h.opened[user] = v
	}
	return true
}

// accounts returns the accounts of the home tabs that are kept up to date.
func (h *homes) accounts(now time.Time) (out []account) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next, h.timer = now.Add(homeInterval), nil
	for _, user := range slices.Sorted(maps.Keys(h.opened)) {
		if v := h.opened[user]; now.Sub(v.at) < homeTTL {
			out = append(out, v.account)
		}
	}
	return out
}

// rest records how long a refresh took, which delays the next one.
func (h *homes) rest(start, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if pause := now.Add(homePause * now.Sub(start)); pause.After(h.next) {
		h.next = pause
	}
}

// schedule calls refresh once as soon as the next refresh may start, unless a call is
// scheduled already or nobody opened a home tab.
func (h *homes) schedule(now time.Time, refresh func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.opened) > 0 && h.timer == nil {
		h.timer = time.AfterFunc(max(h.next.Sub(now), 0), refresh)
	}
}

// mayPublish counts a published tab, and reports false if there were too many.
func (h *homes) mayPublish(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.limit == nil {
		h.limit = rate.NewLimiter(rate.Every(time.Minute/homesPerMinute), homeBurst)
	}
	return h.limit.AllowN(now, 1)
}

// flush calls refresh now if a call is scheduled.
func (h *homes) flush(refresh func()) {
	h.mu.Lock()
	scheduled := h.timer != nil && h.timer.Stop()
	h.mu.Unlock()
	if scheduled {
		refresh()
	}
}

// RefreshHomes updates the home tabs after a change of an incident. It returns at once.
// Changes within homeInterval cause one refresh, and a tab with the same content is
// not published.
func (s *Slack) RefreshHomes() { s.homes.schedule(s.cfg.Clock(), s.publishHomes) }

func (s *Slack) publishHomes() {
	s.background.start(func() {
		begin, late := s.cfg.Clock(), false
		for _, a := range s.homes.accounts(s.cfg.Clock()) {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			late = !s.publishHome(ctx, a) || late
			cancel()
		}
		s.homes.rest(begin, s.cfg.Clock())
		if late {
			s.RefreshHomes()
		}
	})
}

// publishHome publishes the home tab of a person: what waits for the person, the person's
// incidents, those that ended lately and the button to report one. It returns false if too
// many tabs were published lately.
func (s *Slack) publishHome(ctx context.Context, a account) bool {
	m, err := s.reader(s.identityOf(a)).Overview(ctx, true)
	var blocks []slack.Block
	if err != nil {
		blocks = []slack.Block{slack.NewSectionBlock(plainText(s.errorText(ctx, err)), nil, nil)}
	} else {
		blocks = s.layout(m).blocks
	}
	data, err := json.Marshal(blocks)
	if err != nil {
		s.log.WarnContext(ctx, "encode home tab failed", "err", err)
		return true
	}
	if !s.homes.show(a.user, text.SHA256(string(data))) {
		return true
	}
	if !s.homes.mayPublish(s.cfg.Clock()) {
		s.homes.show(a.user, "") // the next refresh shows the state at its time
		return false
	}
	_, err = s.client.PublishViewContext(ctx, slack.PublishViewContextRequest{UserID: a.user,
		View: slack.HomeTabViewRequest{Type: slack.VTHomeTab, Blocks: slack.Blocks{BlockSet: blocks}}})
	if err != nil {
		s.homes.show(a.user, "") // the next refresh tries again
		s.log.WarnContext(ctx, "publish home tab failed", "err", err)
	}
	return true
}
