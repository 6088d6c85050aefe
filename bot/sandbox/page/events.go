package page

import (
	"fmt"
	"net/http"
	"time"

	"tocsin/bot/sandbox/chat"
)

// minEventInterval is how long a stream waits between two notices, so that a storm does
// not make every viewer fetch everything ten thousand times.
const minEventInterval = 150 * time.Millisecond

// events tells a viewer that something changed; the viewer fetches what it
// shows. It begins with a notice, so that nothing between the page's first
// look and its listening is missed.
func (p *Page) events(rw http.ResponseWriter, r *http.Request) {
	h := rw.Header()
	h.Set("Content-Type", "text/event-stream")
	stream := http.NewResponseController(rw)
	logged := make(chan struct{}, 1)
	defer p.cfg.Workspace.Subscribe(func(chat.Entry) {
		select {
		case logged <- struct{}{}:
		default:
		}
	})()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-r.Context().Done():
			return
		case <-p.done:
			return
		}
		talk, page, mail, own := p.cfg.Workspace.Changed(), p.cfg.Pager.Changed(), p.cfg.Mailbox.Changed(), p.change()
		if _, err := fmt.Fprint(rw, "event: change\ndata: {}\n\n"); err != nil {
			return
		}
		if err := stream.Flush(); err != nil {
			return
		}
		select {
		case <-talk:
		case <-page:
		case <-mail:
		case <-own:
		case <-logged:
		case <-r.Context().Done():
			return
		case <-p.done:
			return
		}
		pause.Reset(minEventInterval)
	}
}
