package page

import (
	"net/http"
	"strings"

	"tocsin/bot/sandbox/chat"
)

// actionTarget is the person who acts, with the channel, message or view of the action.
type actionTarget struct {
	User    string `json:"user"`
	Channel string `json:"channel,omitempty"`
	TS      string `json:"ts,omitempty"`
	View    string `json:"view,omitempty"`
}

type typedText struct {
	User     string `json:"user"`
	Channel  string `json:"channel"`
	Text     string `json:"text"`
	ThreadTS string `json:"thread_ts,omitempty"`
}

type clickRequest struct {
	actionTarget
	chat.Action
}

type submitRequest struct {
	User   string                    `json:"user"`
	View   string                    `json:"view"`
	Values map[string]map[string]any `json:"values"`
}

type okResponse struct {
	OK bool `json:"ok"`
}

var okBody = okResponse{true}

// postAction serves a POST request whose response contains only ok.
func postAction[T any](fn func(T) error) http.HandlerFunc {
	return post(func(_ *http.Request, in T) (any, error) { return okBody, fn(in) })
}

func (p *Page) addWrites(mux *http.ServeMux) {
	ws := p.cfg.Workspace
	mux.HandleFunc("POST /api/command", post(p.command))
	mux.HandleFunc("POST /api/message", post(p.message))
	mux.HandleFunc("POST /api/click", postAction(func(in clickRequest) error {
		if in.View != "" {
			return ws.Act(in.User).ClickView(in.View, in.Action)
		}
		return ws.Act(in.User).Click(in.Channel, in.TS, in.Action)
	}))
	mux.HandleFunc("POST /api/submit", post(func(_ *http.Request, in submitRequest) (any, error) {
		return ws.Act(in.User).Submit(in.View, in.Values)
	}))
	mux.HandleFunc("POST /api/close", postAction(func(in struct {
		actionTarget
		All bool `json:"all"`
	}) error {
		return ws.Act(in.User).CloseView(in.View, in.All)
	}))
	mux.HandleFunc("POST /api/answers", post(p.setAnswer))
	mux.HandleFunc("POST /api/home", post(func(_ *http.Request, in actionTarget) (any, error) {
		v, err := ws.Act(in.User).OpenHome()
		return map[string]any{"view": v}, err
	}))
	mux.HandleFunc("POST /api/dm", post(func(_ *http.Request, in actionTarget) (any, error) {
		id, err := ws.Act(in.User).OpenDM()
		return map[string]any{"channel": id}, err
	}))
	mux.HandleFunc("POST /api/join", postAction(func(in actionTarget) error { return ws.Act(in.User).Join(in.Channel) }))
	mux.HandleFunc("POST /api/leave", postAction(func(in actionTarget) error { return ws.Act(in.User).Leave(in.Channel) }))
	mux.HandleFunc("POST /api/invite", postAction(func(in struct {
		actionTarget
		Users []string `json:"users"`
	}) error {
		return ws.Act(in.User).Invite(in.Channel, in.Users...)
	}))
	p.addMessageWrites(mux)
	mux.HandleFunc("POST /api/pager/ack", postAction(p.acknowledgePage))
	mux.HandleFunc("POST /api/pager/resolve", postAction(func(in pagerAction) error { return p.cfg.Pager.Resolve(in.Incident, p.pagerUser(in.User)) }))
	mux.HandleFunc("POST /api/pager/note", postAction(func(in pagerAction) error { return p.cfg.Pager.Annotate(in.Incident, p.pagerUser(in.User), in.Text) }))
	mux.HandleFunc("POST /api/alert", post(p.raiseAlert))
	mux.HandleFunc("POST /api/faults", post(p.setFaults))
}

// command runs a slash command. The first word of the text is the name of the command.
func (p *Page) command(_ *http.Request, in typedText) (any, error) {
	name, text, _ := strings.Cut(strings.TrimSpace(in.Text), " ")
	if !strings.HasPrefix(name, "/") {
		return nil, badRequest("the command must begin with a slash")
	}
	m, err := p.cfg.Workspace.Act(in.User).Command(in.Channel, name, p.mentions(in.User, strings.TrimSpace(text), true))
	return map[string]any{"message": m}, err
}

func (p *Page) message(_ *http.Request, in typedText) (any, error) {
	if strings.TrimSpace(in.Text) == "" {
		return nil, badRequest("the message is empty, enter a text")
	}
	m, err := p.cfg.Workspace.Act(in.User).Post(in.Channel, p.mentions(in.User, in.Text, false), in.ThreadTS)
	return map[string]any{"message": m}, err
}

func (p *Page) upload(_ *http.Request, in struct {
	actionTarget
	Name     string `json:"name"`
	Content  []byte `json:"content"`
	Comment  string `json:"comment"`
	ThreadTS string `json:"thread_ts"`
}) (any, error) {
	if in.Name == "" {
		return nil, badRequest("the file has no name, set name")
	}
	m, err := p.cfg.Workspace.Act(in.User).Upload(in.Channel, in.Name, in.Content, p.mentions(in.User, in.Comment, false), in.ThreadTS)
	return map[string]any{"message": m}, err
}
