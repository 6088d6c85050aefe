package slack

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"tocsin/bot/command"
	"tocsin/bot/incident"
)

// draftInterval is the minimum time between two saves of the draft of one form. Slack
// sends a request for each typed character.
const draftInterval = 2 * time.Second

// maxDrafts is the maximum number of drafts that wait for their save.
const maxDrafts = 500

// drafts are the drafts that wait for their save, by the ID of the view.
type drafts struct {
	mu      sync.Mutex
	waiting map[string]*waitingDraft
}

// waitingDraft is the newest draft of a form.
type waitingDraft struct {
	who   incident.Identity
	key   incident.FormKey
	draft incident.FormDraft
	timer *time.Timer
}

// put replaces the waiting draft of a view, or calls save after draftInterval if none
// waits. It drops the draft if too many wait.
func (d *drafts) put(w waitingDraft, save func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting == nil {
		d.waiting = map[string]*waitingDraft{}
	}
	switch before := d.waiting[w.key.View]; {
	case before != nil && before.draft.Order <= w.draft.Order:
		w.timer = before.timer
		d.waiting[w.key.View] = &w
	case before == nil && len(d.waiting) < maxDrafts:
		w.timer = time.AfterFunc(draftInterval, save)
		d.waiting[w.key.View] = &w
	}
}

// take removes and returns the waiting draft of a view, or nil.
func (d *drafts) take(view string) *waitingDraft {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.waiting[view]
	if w != nil {
		w.timer.Stop()
		delete(d.waiting, view)
	}
	return w
}

// views returns the views with a waiting draft.
func (d *drafts) views() (out []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for view := range d.waiting {
		out = append(out, view)
	}
	return out
}

// handleTyping saves the long texts of a form while a person types.
func (s *Slack) handleTyping(in interaction) {
	form, meta, ok := openedForm(in.View)
	if !ok || !form.KeepsDrafts() || len(in.Actions) == 0 {
		return
	}
	values := command.Values{}
	for name, elements := range in.View.State.Values {
		e := elements[name]
		if shown, sparse := meta.Shown[name]; e.Value != "" && (!sparse || fingerprint(e.Value) != shown) {
			values[name] = []string{e.Value}
		}
	}
	w := waitingDraft{who: s.identityOf(in.account()), key: command.FormKeyOf(meta.Given(incident.Verb(in.View.CallbackID)), in.View.ID),
		draft: incident.FormDraft{Order: in.Actions[0].ActionTS, Seen: meta.Seen, Values: form.Draft(values)}}
	s.drafts.put(w, func() { s.background.start(func() { s.saveDraft(w.key.View) }) })
}

// saveDraft saves the waiting draft of a view, if there is one. The text is not logged.
func (s *Slack) saveDraft(view string) {
	w := s.drafts.take(view)
	if w == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.desk.SaveDraft(ctx, w.who, w.key, w.draft); err != nil && incident.CodeOf(err) == "" {
		s.log.WarnContext(ctx, "save draft failed", "incident", w.key.Incident, "err", err)
	}
}

// closeForm ends a form. Its draft is deleted if the form was submitted.
func (s *Slack) closeForm(in interaction, submitted bool) {
	form, meta, ok := openedForm(in.View)
	if !ok || !form.KeepsDrafts() {
		return
	}
	who, key := s.identityOf(in.account()), command.FormKeyOf(meta.Given(incident.Verb(in.View.CallbackID)), in.View.ID)
	if submitted {
		s.drafts.take(key.View)
	} else {
		s.saveDraft(key.View)
	}
	if !submitted && !key.Edits {
		return
	}
	s.runInBackground(func(ctx context.Context) {
		if err := s.desk.CloseForm(ctx, who, key, submitted); err != nil && incident.CodeOf(err) == "" {
			s.log.WarnContext(ctx, "close form failed", "incident", key.Incident, "err", err)
		}
	})
}

// openedForm returns the form of a view with its state, or false if the view is not a
// form of this version.
func openedForm(v viewPayload) (*command.FormSpec, formMeta, bool) {
	verb := incident.Verb(v.CallbackID)
	var meta formMeta
	if _, ok := command.FormOf(verb); !ok || json.Unmarshal([]byte(v.PrivateMetadata), &meta) != nil {
		return nil, meta, false
	}
	form, ok := command.FormFor(meta.Given(verb))
	return form, meta, ok
}
