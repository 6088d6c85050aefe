package page

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/pager"
)

// person is a member of the workspace with their details.
type person struct {
	chat.Person
	Department string `json:"department,omitempty"`
	Note       string `json:"note,omitempty"`
	Pager      string `json:"pager,omitempty"` // id in the pager, matched by mail address
}

// channel is a conversation with fields that depend on the viewing person.
type channel struct {
	chat.Channel
	Member      bool   `json:"member"`
	With        string `json:"with,omitempty"`         // other member of a direct conversation
	EphemeralTS string `json:"ephemeral_ts,omitempty"` // timestamp of the latest ephemeral message
}

func (p *Page) addReads(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/state", get(p.state))
	mux.HandleFunc("GET /api/channel", get(p.conversation))
	mux.HandleFunc("GET /api/thread", get(p.thread))
	mux.HandleFunc("GET /api/threads", get(p.threads))
	mux.HandleFunc("GET /api/home", get(p.home))
	mux.HandleFunc("GET /api/pager", get(func(*http.Request) (any, error) { return p.pagerState(), nil }))
	mux.HandleFunc("GET /api/mail", get(func(*http.Request) (any, error) { return p.mailState(), nil }))
	mux.HandleFunc("GET /api/log", get(p.log))
	mux.HandleFunc("GET /api/answers", get(func(*http.Request) (any, error) { return map[string]any{"answers": p.cfg.Answers.List()}, nil }))
	mux.HandleFunc("GET /api/setup", get(func(*http.Request) (any, error) {
		if p.cfg.Setup == nil {
			return nil, notFound("this sandbox has no setup, because it runs in the process of the app")
		}
		return p.cfg.Setup, nil
	}))
}

// state returns the state of the page without the content of channels.
func (p *Page) state(r *http.Request) (any, error) {
	ws := p.cfg.Workspace
	people := p.people()
	user := r.FormValue("user")
	if user == "" && len(people) > 0 {
		user = people[0].ID
	}
	if !slices.ContainsFunc(people, func(x person) bool { return x.ID == user }) {
		return nil, notFound("unknown person " + strconv.Quote(user))
	}
	settings := ws.Config()
	_, home := ws.Home(user)
	ringing, open := 0, 0
	for _, in := range p.cfg.Pager.Snapshot().Incidents {
		switch in.Status {
		case pager.Triggered:
			ringing++
		case pager.Acknowledged:
			open++
		}
	}
	return map[string]any{
		"title": p.cfg.Title, "team": settings.Team, "bot": settings.Bot, "user": user, "people": people, "groups": ws.Groups(),
		"channels": p.channels(user), "views": ws.OpenViews(user), "home": home, "offline": ws.Offline(), "files": visibleFiles(ws, user),
		"ringing": ringing, "acknowledged": open, "mails": len(p.cfg.Mailbox.Messages()), "faults": p.switches(), "alerts": p.alertChoices(),
		"commands": p.cfg.Commands, "now": p.cfg.Now().UnixMilli(), "shortcuts": settings.Shortcuts, "unread": ws.Unread(user),
		"threads": ws.Threads(user), "checklist": p.checklist(),
	}, nil
}

// people returns the active people: first those in the configuration, in its
// order, then the others.
func (p *Page) people() []person {
	rank := map[string]int{}
	for i, n := range p.cfg.People {
		rank[n.User] = i + 1
	}
	pagers := map[string]string{}
	for _, u := range p.cfg.Pager.Snapshot().Users {
		pagers[strings.ToLower(u.Email)] = u.ID
	}
	out := []person{}
	for _, x := range p.cfg.Workspace.People() {
		if x.Deactivated {
			continue
		}
		one := person{Person: x}
		if i := rank[x.ID]; i > 0 {
			one.Department, one.Note = p.cfg.People[i-1].Department, p.cfg.People[i-1].Note
		}
		if x.Email != "" {
			one.Pager = pagers[strings.ToLower(x.Email)]
		}
		out = append(out, one)
	}
	place := func(x person) int {
		if i := rank[x.ID]; i > 0 {
			return i
		}
		return len(rank) + 1
	}
	slices.SortStableFunc(out, func(a, b person) int { return cmp.Compare(place(a), place(b)) })
	return out
}

func (p *Page) channels(user string) []channel {
	ephemerals := map[string]string{}
	for _, m := range p.cfg.Workspace.Ephemerals(user) {
		ephemerals[m.Channel] = m.TS
	}
	out := []channel{}
	for _, ch := range p.cfg.Workspace.Channels(user) {
		one := channel{Channel: ch, Member: slices.Contains(ch.Members, user), EphemeralTS: ephemerals[ch.ID]}
		if ch.Kind == chat.KindDM {
			for _, m := range ch.Members {
				if m != user {
					one.With = m
				}
			}
		}
		out = append(out, one)
	}
	return out
}

// visibleChannel returns a channel if user can see it.
func (p *Page) visibleChannel(id, user string) (channel, error) {
	for _, ch := range p.channels(user) {
		if ch.ID == id {
			return ch, nil
		}
	}
	return channel{}, notFound("channel " + strconv.Quote(id) + " is not visible to " + strconv.Quote(user))
}

// maxMessages is the maximum number of messages of a channel in a response.
const maxMessages = 300

// conversation returns the latest messages of a channel in order of time,
// including ephemeral messages to the person.
func (p *Page) conversation(r *http.Request) (any, error) {
	user := r.FormValue("user")
	ch, err := p.visibleChannel(r.FormValue("id"), user)
	if err != nil {
		return nil, err
	}
	list := p.cfg.Workspace.Messages(ch.ID)
	for _, m := range p.cfg.Workspace.Ephemerals(user) {
		if m.Channel == ch.ID && m.ThreadTS == "" {
			list = append(list, m)
		}
	}
	sortByTime(list)
	earlier := max(0, len(list)-maxMessages)
	return map[string]any{"channel": ch, "messages": list[earlier:], "earlier": earlier,
		"pins": p.cfg.Workspace.Pins(ch.ID), "bookmarks": p.cfg.Workspace.Bookmarks(ch.ID)}, nil
}

func sortByTime(list []chat.Message) {
	slices.SortStableFunc(list, func(a, b chat.Message) int { return cmp.Compare(a.TS, b.TS) })
}

func (p *Page) thread(r *http.Request) (any, error) {
	user, ts := r.FormValue("user"), r.FormValue("ts")
	ch, err := p.visibleChannel(r.FormValue("channel"), user)
	if err != nil {
		return nil, err
	}
	list := p.cfg.Workspace.Thread(ch.ID, ts)
	if len(list) == 0 {
		return nil, notFound("unknown message " + strconv.Quote(ts) + " in " + ch.ID)
	}
	for _, m := range p.cfg.Workspace.Ephemerals(user) {
		if m.Channel == ch.ID && m.ThreadTS == ts {
			list = append(list, m)
		}
	}
	sortByTime(list[1:])
	return map[string]any{"channel": ch, "messages": list}, nil
}

func (p *Page) home(r *http.Request) (any, error) {
	v, ok := p.cfg.Workspace.Home(r.FormValue("user"))
	if !ok {
		return json.RawMessage(`{"view":null}`), nil
	}
	return map[string]any{"view": v}, nil
}

// visibleFiles returns the completed files that user owns or can see in a channel.
func visibleFiles(ws *chat.Workspace, user string) []chat.File {
	sees := map[string]bool{}
	for _, ch := range ws.Channels(user) {
		sees[ch.ID] = true
	}
	out := []chat.File{}
	for _, f := range ws.Files() {
		ok := f.User == user
		for ch := range f.Shares {
			ok = ok || sees[ch]
		}
		if ok && f.Complete && !f.Deleted {
			out = append(out, f)
		}
	}
	return out
}

// untrustedCSP is the Content-Security-Policy of files and mails. It allows inline
// styles but neither scripts nor network requests.
const untrustedCSP = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; frame-ancestors 'self'"

// file serves the content of a file that the person can see.
func (p *Page) file(rw http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	list := visibleFiles(p.cfg.Workspace, r.FormValue("user"))
	i := slices.IndexFunc(list, func(f chat.File) bool { return f.ID == id })
	if i < 0 {
		writeError(rw, notFound("unknown file "+strconv.Quote(id)))
		return
	}
	content, ok := p.cfg.Workspace.FileContent(id)
	if !ok {
		writeError(rw, notFound("the file has no content"))
		return
	}
	serve(rw, r, list[i].Name, list[i].Mimetype, content)
}

// serve writes untrusted content with untrustedCSP. Text other than HTML is served
// as plain text. With the parameter download the browser saves the content.
func serve(rw http.ResponseWriter, r *http.Request, name, mediaType string, content []byte) {
	kind, _, _ := strings.Cut(mediaType, ";")
	if kind = strings.TrimSpace(strings.ToLower(kind)); strings.HasPrefix(kind, "text/") && kind != "text/html" || kind == "application/json" {
		mediaType = "text/plain; charset=utf-8"
	}
	h := rw.Header()
	h.Set("Content-Security-Policy", untrustedCSP)
	h.Set("Content-Type", mediaType)
	if r.FormValue("download") != "" {
		h.Set("Content-Disposition", `attachment; filename*=UTF-8''`+escapeName(name))
	}
	_, _ = rw.Write(content) //nolint:gosec // untrusted content, restricted by untrustedCSP
}

// escapeName encodes a file name as RFC 8187 requires.
func escapeName(name string) string {
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_':
			b.WriteByte(c)
		default:
			const hex = "0123456789ABCDEF"
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}
