package page

import (
	"fmt"
	"net/http"
	"time"

	"tocsin/bot/sandbox/chat"
)

// minEventInterval is the minimum time between two events of a stream. It limits
// the requests of viewers during an alert storm.
const minEventInterval = 150 * time.Millisecond

// events streams an event for every change of state. The viewer then fetches the
// state that it shows. The stream begins with an event, to not miss changes
// between the first fetch and the start of the stream.
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
		talk, page, mail, own := p.cfg.Workspace.Changed(), p.cfg.Pager.Changed(), p.cfg.Mailbox.Changed(), p.changes()
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
