package response

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tocsin/bot/incident"
)

// TestExclude_RemovalPassesRefusedPosts excludes people while Slack refuses posts, calls or
// nothing, in any order. The removal or replacement never waits for a post, and no post
// about its consequences comes before it.
func TestExclude_RemovalPassesRefusedPosts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &exclusions{ended: map[string]bool{}}
		p.outage = newOutage(t)
		p.observe(t)
		id := p.open(t, incident.Sev3)
		p.runQueue(t)
		for range rapid.IntRange(5, 40).Draw(t, "steps") {
			p.step(t, id)
			p.check(t, id)
		}
		clear(p.away)
		for range 3 {
			p.now = p.now.Add(2 * time.Hour)
			p.runQueue(t)
		}
		for _, e := range p.store.effects {
			if !e.done && e.Kind.NeedsChannel() {
				t.Fatalf("%s is not done after the repair", e.Key)
			}
		}
		if !slices.IsSorted(p.posts) {
			t.Fatalf("got posts of the events %v, want them in order", p.posts)
		}
	})
}

// exclusions are random commands of an incident and the effects that they caused.
type exclusions struct {
	*outage
	posts   []int           // numbers of the events whose posts succeeded
	ended   map[string]bool // keys of removals and replacements that were performed or refused
	channel int
}

// closes reports whether an effect ends the reading of a person.
func closes(kind incident.EffectKind) bool {
	return kind == incident.EffectRemove || kind == incident.EffectReplaceChannel
}

// observe checks the order of the effects as they happen.
func (p *exclusions) observe(t *rapid.T) {
	post := p.Handlers[incident.EffectPost]
	p.Handlers[incident.EffectPost] = func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
		for _, earlier := range p.store.effects {
			if closes(earlier.Kind) && earlier.Seq < e.Seq && !earlier.done && !p.ended[earlier.Key] {
				t.Fatalf("post of event %d comes before %s", e.Seq, earlier.Key)
			}
		}
		cmd, err := post(ctx, b, e)
		if err == nil {
			p.posts = append(p.posts, e.Seq)
		}
		return cmd, err
	}
	p.Handlers[incident.EffectRemove] = func(_ context.Context, _ incident.Brief, e incident.Effect) (incident.Command, error) {
		err := p.away[string(e.Kind)]
		if err == nil || errors.As(err, new(*incident.Blocked)) { // a refused one stepped aside for good
			p.ended[e.Key] = true
		}
		return incident.Command{}, err
	}
	p.Handlers[incident.EffectReplaceChannel] = func(_ context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
		if err := p.away[string(e.Kind)]; err != nil || b.Incident.Links[incident.LinkChannel] != e.Args["channel"] {
			return incident.Command{}, err
		}
		p.channel++
		return incident.Command{Verb: incident.VerbLink, Links: map[string]string{incident.LinkChannel: fmt.Sprint("N", p.channel), incident.LinkCard: ""}}, nil
	}
}

// step does something that people or Slack do.
func (p *exclusions) step(t *rapid.T, id incident.ID) {
	person := func() incident.PersonID {
		return incident.PersonID(rapid.SampledFrom([]string{"p2", "p4", "p6"}).Draw(t, "person"))
	}
	switch rapid.SampledFrom([]string{"note", "note", "exclude", "revoke", "grant", "refuse", "repair", "time", "queue"}).Draw(t, "step") {
	case "note":
		p.do(t, "p1", incident.Command{For: id, Verb: incident.VerbNote, Text: "hello"})
	case "exclude":
		channel := rapid.SampledFrom([]string{incident.ChannelRemove, incident.ChannelNew}).Draw(t, "channel")
		p.do(t, "p3", incident.Command{For: id, Verb: incident.VerbExclude, Person: person(), Text: "a suspect", Channel: channel})
	case "revoke":
		p.tryDo(incident.Command{For: id, Verb: incident.VerbRevoke, Person: person(), Text: "x"})
	case "grant":
		p.tryDo(incident.Command{For: id, Verb: incident.VerbGrant, Person: person(), Text: "x"})
	case "refuse":
		kind := rapid.SampledFrom([]incident.EffectKind{incident.EffectPost, incident.EffectInvite, incident.EffectRemove, incident.EffectReplaceChannel}).Draw(t, "kind")
		p.away[string(kind)] = rapid.SampledFrom([]error{errBlocked, errUnavailable}).Draw(t, "refusal")
	case "repair":
		clear(p.away)
	case "time":
		p.now = p.now.Add(time.Hour)
	}
	p.runQueue(t)
}

// tryDo carries out a command that may be refused.
func (p *exclusions) tryDo(cmd incident.Command) {
	cmd.By, cmd.Via, cmd.Auth = slackIdentity("p1"), incident.ViaSlack, "slack"
	_, _ = p.Do(context.Background(), cmd)
}

// check fails if a removal or replacement waits for another effect.
func (p *exclusions) check(t *rapid.T, id incident.ID) {
	for _, e := range p.store.effects {
		if closes(e.Kind) && !e.done && e.attempts == 0 {
			t.Fatalf("%s waits for %+v", e.Key, p.waitsOf(id))
		}
	}
}

func (p *exclusions) waitsOf(id incident.ID) []incident.WaitingEffect {
	waits, _ := p.store.WaitingEffects(WaitingQuery{Incident: id})
	return waits
}
