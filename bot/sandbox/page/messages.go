package page

import (
	"net/http"
	"strings"

	"tocsin/bot/sandbox/chat"
)

// addMessageWrites adds the actions on existing messages and files.
func (p *Page) addMessageWrites(mux *http.ServeMux) {
	ws := p.cfg.Workspace
	mux.HandleFunc("POST /api/edit", postAction(func(in struct {
		actionTarget
		Text string `json:"text"`
	}) error {
		if strings.TrimSpace(in.Text) == "" {
			return badRequest("the message is empty, enter a text or delete the message")
		}
		return ws.Act(in.User).EditMessage(in.Channel, in.TS, p.mentions(in.User, in.Text, false))
	}))
	mux.HandleFunc("POST /api/delete", postAction(func(in actionTarget) error { return ws.Act(in.User).DeleteMessage(in.Channel, in.TS) }))
	mux.HandleFunc("POST /api/react", postAction(func(in reaction) error { return ws.Act(in.User).React(in.Channel, in.TS, in.Name) }))
	mux.HandleFunc("POST /api/unreact", postAction(func(in reaction) error { return ws.Act(in.User).Unreact(in.Channel, in.TS, in.Name) }))
	mux.HandleFunc("POST /api/pin", postAction(func(in actionTarget) error { return ws.Act(in.User).Pin(in.Channel, in.TS) }))
	mux.HandleFunc("POST /api/shortcut", postAction(func(in struct {
		actionTarget
		CallbackID string `json:"callback_id"`
	}) error {
		if in.TS == "" {
			return ws.Act(in.User).Shortcut(in.CallbackID)
		}
		return ws.Act(in.User).MessageShortcut(in.CallbackID, in.Channel, in.TS)
	}))
	mux.HandleFunc("POST /api/read", postAction(func(in struct {
		actionTarget
		ThreadTS string `json:"thread_ts"`
	}) error {
		return ws.Act(in.User).MarkRead(in.Channel, in.ThreadTS, in.TS)
	}))
	mux.HandleFunc("POST /api/follow", postAction(func(in struct {
		actionTarget
		On bool `json:"on"`
	}) error {
		return ws.Act(in.User).Follow(in.Channel, in.TS, in.On)
	}))
	mux.HandleFunc("POST /api/upload", post(p.upload))
	mux.HandleFunc("POST /api/file/edit", postAction(func(in fileChange) error {
		return ws.Act(in.User).EditFile(in.File, in.Title, in.Content)
	}))
	mux.HandleFunc("POST /api/file/delete", postAction(func(in fileChange) error { return ws.Act(in.User).DeleteFile(in.File) }))
}

type reaction struct {
	actionTarget
	Name string `json:"name"`
}

// fileChange is a request to change or delete a file. Without content, only the title
// changes.
type fileChange struct {
	User    string `json:"user"`
	File    string `json:"file"`
	Title   string `json:"title"`
	Content []byte `json:"content"`
}

// threadView is a thread that a person follows, with its first message and its last
// replies.
type threadView struct {
	chat.ThreadState
	Messages []chat.Message `json:"messages"`
}

// lastReplies is the number of replies that the list of threads shows.
const lastReplies = 2

// threads returns the threads that a person follows, the one with the newest reply
// first.
func (p *Page) threads(r *http.Request) (any, error) {
	ws, out := p.cfg.Workspace, []threadView{}
	for _, s := range ws.Threads(r.FormValue("user")) {
		list := ws.Thread(s.Channel, s.TS)
		if n := len(list); n > lastReplies+1 {
			list = append(list[:1:1], list[n-lastReplies:]...)
		}
		out = append(out, threadView{s, list})
	}
	return map[string]any{"threads": out}, nil
}
