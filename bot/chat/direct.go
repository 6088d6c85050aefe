package chat

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"tocsin/bot/incident"
)

// editDirect replaces the direct messages with a key to people, if they were sent after
// since.
func (c *Effects) editDirect(ctx context.Context, b incident.Brief, people []incident.PersonID, key string, m Message, since time.Time) error {
	failed := make([]error, len(people))
	var all sync.WaitGroup
	places := make(chan struct{}, maxDirectEdits)
	for n, id := range people {
		p, _ := b.Directory.Person(id)
		account := p.IDAt(incident.Provider(c.platform.Name()))
		if account == "" {
			continue
		}
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			channel, err := c.platform.DirectChannel(ctx, p)
			if err == nil {
				err = c.edit(ctx, b, channel, key+"/"+account, m, since)
			}
			failed[n] = c.optional(ctx, b, "edit a direct message", err)
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

// maxDirectEdits is the number of direct messages that are edited at the same time.
const maxDirectEdits = 8

// retractDirect edits the direct messages of a closed request.
func (c *Effects) retractDirect(ctx context.Context, b incident.Brief, e incident.Effect) error {
	m, _ := RetractedDirect(b, e)
	return c.editDirect(ctx, b, askedDirectly(b, e), incident.RequestKey(e), m, b.Event.RecordedAt)
}

// askedDirectly returns the people who can have the direct messages of a request. Roles and
// the directory may have changed since.
func askedDirectly(b incident.Brief, e incident.Effect) []incident.PersonID {
	if incident.EffectKind(e.Args["request"]) == incident.EffectPagePerson {
		return []incident.PersonID{incident.PersonID(e.Args["person"])}
	}
	name := cmp.Or(incident.Department(e.Args["department"]), incident.Communications)
	team, _ := b.Directory.Team(name)
	people := append(slices.Clone(b.Incident.Representatives(b.Directory, name, b.Now)), team.Head)
	for _, m := range team.Members {
		people = append(people, m.Person)
	}
	switch incident.EffectKind(e.Args["request"]) {
	case incident.EffectAskApproval:
		people = append(people, b.Incident.Representatives(b.Directory, incident.Legal, b.Now)...)
	case incident.EffectAskUpdate: // a present or earlier commander or communicator
		people = slices.AppendSeq(people, maps.Keys(b.Incident.Here))
		people = slices.AppendSeq(people, maps.Values(b.Incident.Roles))
	}
	return slices.Compact(slices.Sorted(slices.Values(people)))
}

// RetractedDirect returns the direct message of a request after it was closed, and false for
// other requests. It names the incident by number only, because the readers may not be
// allowed to read it.
func RetractedDirect(b incident.Brief, e incident.Effect) (Message, bool) {
	m, id := newBuilder(b), Strong{b.Incident.ID}
	switch name := incident.Department(e.Args["department"]); incident.EffectKind(e.Args["request"]) {
	case incident.EffectMessageSigners:
		if b.Incident.SignedBy(name) != nil {
			m.iconLine("heavy_check_mark", "The closing record of %s is signed for %s. You need not sign it.", id, string(name))
		} else {
			m.iconLine("heavy_minus_sign", "This request to sign for %s no longer applies, because the closing record of %s changed.", string(name), id)
		}
	case incident.EffectPagePerson:
		m.iconLine("heavy_check_mark", "%s (%s) no longer needs an answer to this page.", id, Strong{string(b.Incident.Severity)})
	case incident.EffectAskUpdate:
		m.iconLine("heavy_check_mark", "The update about %s was posted, or none is needed any more.", id)
	case incident.EffectAskApproval:
		m.iconLine("heavy_check_mark", "An update about %s no longer waits for approval.", id)
	default:
		return Message{}, false
	}
	return m.message(), true
}
