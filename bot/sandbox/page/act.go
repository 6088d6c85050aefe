package page

import (
	"net/http"
	"strings"

	"tocsin/bot/sandbox/chat"
)

// where names who acts, and in which channel or form.
type where struct {
	User    string `json:"user"`
	Channel string `json:"channel,omitempty"`
	TS      string `json:"ts,omitempty"`
	View    string `json:"view,omitempty"`
}

type typed struct {
	User     string `json:"user"`
	Channel  string `json:"channel"`
	Text     string `json:"text"`
	ThreadTS string `json:"thread_ts,omitempty"`
}

type click struct {
	where
	chat.Action
}

type form struct {
	User   string                    `json:"user"`
	View   string                    `json:"view"`
	Values map[string]map[string]any `json:"values"`
}

type ok struct {
	OK bool `json:"ok"`
}

var done = ok{true}

// act is a write of which nothing comes back but that it worked.
func act[T any](fn func(T) error) http.HandlerFunc {
	return post(func(_ *http.Request, in T) (any, error) { return done, fn(in) })
}

func (p *Page) writes(mux *http.ServeMux) {
	ws := p.cfg.Workspace
	mux.HandleFunc("POST /api/command", post(p.command))
	mux.HandleFunc("POST /api/message", post(p.message))
	mux.HandleFunc("POST /api/click", act(func(in click) error {
		if in.View != "" {
			return ws.Act(in.User).ClickView(in.View, in.Action)
		}
		return ws.Act(in.User).Click(in.Channel, in.TS, in.Action)
	}))
	mux.HandleFunc("POST /api/submit", post(func(_ *http.Request, in form) (any, error) { return ws.Act(in.User).Submit(in.View, in.Values) }))
	mux.HandleFunc("POST /api/close", act(func(in struct {
		where
		All bool `json:"all"`
	}) error {
		return ws.Act(in.User).CloseView(in.View, in.All)
	}))
	mux.HandleFunc("POST /api/home", post(func(_ *http.Request, in where) (any, error) {
		v, err := ws.Act(in.User).OpenHome()
		return map[string]any{"view": v}, err
	}))
	mux.HandleFunc("POST /api/dm", post(func(_ *http.Request, in where) (any, error) {
		id, err := ws.Act(in.User).OpenDM()
		return map[string]any{"channel": id}, err
	}))
	mux.HandleFunc("POST /api/join", act(func(in where) error { return ws.Act(in.User).Join(in.Channel) }))
	mux.HandleFunc("POST /api/leave", act(func(in where) error { return ws.Act(in.User).Leave(in.Channel) }))
	mux.HandleFunc("POST /api/invite", act(func(in struct {
		where
		Users []string `json:"users"`
	}) error {
		return ws.Act(in.User).Invite(in.Channel, in.Users...)
	}))
	mux.HandleFunc("POST /api/react", act(func(in struct {
		where
		Name string `json:"name"`
	}) error {
		return ws.Act(in.User).React(in.Channel, in.TS, in.Name)
	}))
	mux.HandleFunc("POST /api/pin", act(func(in where) error { return ws.Act(in.User).Pin(in.Channel, in.TS) }))
	mux.HandleFunc("POST /api/upload", post(p.upload))
	mux.HandleFunc("POST /api/pager/ack", act(func(in paged) error { return p.cfg.Pager.Acknowledge(in.Incident, p.pagerUser(in.User)) }))
	mux.HandleFunc("POST /api/pager/resolve", act(func(in paged) error { return p.cfg.Pager.Resolve(in.Incident, p.pagerUser(in.User)) }))
	mux.HandleFunc("POST /api/pager/note", act(func(in paged) error { return p.cfg.Pager.Annotate(in.Incident, p.pagerUser(in.User), in.Text) }))
	mux.HandleFunc("POST /api/alert", post(p.raise))
	mux.HandleFunc("POST /api/faults", post(p.setFaults))
}

// command types a slash command: its name is the first word of the text.
func (p *Page) command(_ *http.Request, in typed) (any, error) {
	name, text, _ := strings.Cut(strings.TrimSpace(in.Text), " ")
	if !strings.HasPrefix(name, "/") {
		return nil, malformed("a command begins with a slash")
	}
	m, err := p.cfg.Workspace.Act(in.User).Command(in.Channel, name, p.mentions(in.User, strings.TrimSpace(text), true))
	return map[string]any{"message": m}, err
}

func (p *Page) message(_ *http.Request, in typed) (any, error) {
	if strings.TrimSpace(in.Text) == "" {
		return nil, malformed("the message is empty")
	}
	m, err := p.cfg.Workspace.Act(in.User).Post(in.Channel, p.mentions(in.User, in.Text, false), in.ThreadTS)
	return map[string]any{"message": m}, err
}

func (p *Page) upload(_ *http.Request, in struct {
	where
	Name     string `json:"name"`
	Content  []byte `json:"content"`
	Comment  string `json:"comment"`
	ThreadTS string `json:"thread_ts"`
}) (any, error) {
	if in.Name == "" {
		return nil, malformed("the file has no name")
	}
	m, err := p.cfg.Workspace.Act(in.User).Upload(in.Channel, in.Name, in.Content, p.mentions(in.User, in.Comment, false), in.ThreadTS)
	return map[string]any{"message": m}, err
}
