package response

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"tocsin/bot/incident"
)

// TestExclude_OnlyLegalAndSecuritySeeIt reads the incident, the list and the
// results of commands as different people after a responder was excluded.
func TestExclude_OnlyLegalAndSecuritySeeIt(t *testing.T) {
	fx := newFixture(t, nil)
	id := fx.open(t, incident.Sev2)
	fx.runQueue(t)
	fx.do(t, "p3", incident.Command{For: id, Verb: incident.VerbExclude, Person: "p2", Text: "a suspect"})
	ctx := context.Background()
	local := func(p string) incident.Identity { return incident.Identity{Provider: incident.ProviderLocal, ID: p} }

	secret := func(v incident.View) (seen bool) {
		for _, e := range v.Timeline {
			seen = seen || e.Kind.Secret()
		}
		return seen || len(v.Incident.Exclusions)+len(v.Incident.Privileged) > 0
	}
	for p, want := range map[string]bool{"p1": false, "p3": true} {
		v, err := fx.Show(ctx, local(p), id, "on call")
		if err != nil || secret(v) != want {
			t.Errorf("show by %s: got the exclusion %t, %v, want %t", p, secret(v), err, want)
		}
	}
	if _, err := fx.Show(ctx, local("p2"), id, "on call"); incident.CodeOf(err) != incident.CodeUnknown || err.Error() != incident.NoAccess(id).Error() {
		t.Errorf("show by the excluded person: got %v, want the refusal of an unknown incident", err)
	}
	list, err := fx.List(ctx, local("p2"), incident.Filter{All: true})
	if err != nil || list[0].Title != "" || list[0].Commander != "" {
		t.Errorf("list by the excluded person: got %+v, %v, want no title", list, err)
	}
	result, err := fx.Do(ctx, incident.Command{For: id, Verb: incident.VerbNote, Text: "x", By: local("p1"), Via: incident.ViaCLI})
	if err != nil || len(result.Incident.Exclusions) > 0 {
		t.Errorf("note by a responder: got %+v, %v, want no exclusion in the result", result.Incident.Exclusions, err)
	}
	if !slices.ContainsFunc(fx.store.audit, func(a Access) bool {
		return a.Action == "exclude" && a.Person == "p3" && a.Incident == id && strings.Contains(a.Reason, "a suspect")
	}) {
		t.Errorf("got audit log %+v, want the exclusion", fx.store.audit)
	}
}

// TestShow_ReplacementsAndDelegatesReadPrivileged shows a proposed exclusion to the
// person who must confirm it as a replacement for legal.
func TestShow_ReplacementsAndDelegatesReadPrivileged(t *testing.T) {
	fx := newFixture(t, nil)
	id := fx.open(t, incident.Sev2)
	fx.do(t, "p3", incident.Command{For: id, Verb: incident.VerbInvolve, Department: incident.Legal})
	fx.do(t, "p3", incident.Command{For: id, Verb: incident.VerbNote, Text: "counsel only", Audience: incident.AudienceLegalSecurity})
	reads := func(p string) bool {
		v, err := fx.Show(context.Background(), incident.Identity{Provider: incident.ProviderLocal, ID: p}, id, "on call")
		return err == nil && slices.ContainsFunc(v.Timeline, func(e incident.Event) bool { return e.Text("text") == "counsel only" })
	}
	if reads("p1") {
		t.Fatal("a responder reads the note for legal and security")
	}
	fx.do(t, "p5", incident.Command{For: id, Verb: incident.VerbDelegate, Department: incident.Legal, Person: "p1", Until: fx.now.AddDate(0, 0, 3)})
	if !reads("p1") {
		t.Error("a delegate of legal cannot read the note that legal reads")
	}
}

// TestExclude_NothingIsSentToThePerson looks at the brief of every effect after an
// exclusion: no handler can address the person.
func TestExclude_NothingIsSentToThePerson(t *testing.T) {
	for _, channel := range []string{"", incident.ChannelRemove, incident.ChannelNew} {
		var reached []string
		fx := newFixture(t, func(o *Options) {
			for kind := range o.Handlers {
				next := o.Handlers[kind]
				o.Handlers[kind] = func(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
					p, known := b.Directory.Person("p2")
					addressable := len(p.Identities) > 0 || p.Responder || b.Directory.Represents("p2", incident.Engineering, b.Now)
					if b.Incident.ID != 0 && b.Incident.Excludes("p2") && (addressable || !known) && kind != incident.EffectRemove || slices.Contains(strings.Split(e.Args["people"], ","), "p2") {
						reached = append(reached, string(kind))
					}
					return next(ctx, b, e)
				}
			}
		})
		id := fx.open(t, incident.Sev2)
		fx.do(t, "p3", incident.Command{For: id, Verb: incident.VerbExclude, Person: "p2", Text: "a suspect", Channel: channel})
		fx.runQueue(t)
		fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbUpdate, Text: "x"})
		fx.runQueue(t)
		if len(reached) > 0 {
			t.Errorf("channel %q: effects %v can reach the excluded person", channel, reached)
		}
		if got := slices.Contains(fx.store.effectNames(id), "remove"); got != (channel == incident.ChannelRemove) {
			t.Errorf("channel %q: got a removal %t", channel, got)
		}
	}
}

// TestExclude_FailedRemovalStaysSecret lets Slack reject the removal of a person, who
// reads the channel and its timeline.
func TestExclude_FailedRemovalStaysSecret(t *testing.T) {
	fx := newFixture(t, func(o *Options) {
		o.Handlers[incident.EffectRemove] = func(context.Context, incident.Brief, incident.Effect) (incident.Command, error) {
			return incident.Command{}, &incident.Permanent{Err: errors.New("restricted_action")}
		}
	})
	id := fx.open(t, incident.Sev2)
	fx.runQueue(t)
	fx.do(t, "p3", incident.Command{For: id, Verb: incident.VerbExclude, Person: "p2", Text: "a suspect", Channel: incident.ChannelRemove})
	fx.runQueue(t)
	for _, e := range fx.store.events[id] {
		if e.Kind == incident.EventEffectFailed {
			t.Errorf("got %+v, want no event that every reader sees", e)
		}
	}
	if !slices.ContainsFunc(fx.store.audit, func(a Access) bool {
		return a.Action == "effect failed" && a.Incident == id && strings.Contains(a.Reason, "restricted_action")
	}) {
		t.Errorf("got audit log %+v, want the failed removal", fx.store.audit)
	}
}

// TestExclude_LogStaysSecret lets Slack refuse the removal of a person. Administrators who
// read the log learn that something waits, and not what.
func TestExclude_LogStaysSecret(t *testing.T) {
	for name, refusal := range map[string]error{
		"blocked":   &incident.Blocked{Cause: incident.Say("the app may not remove people"), Fix: incident.Say("Allow the app to do this"), Err: errors.New("restricted_action")},
		"permanent": &incident.Permanent{Err: errors.New("remove people: cant_kick_self")},
		"transient": errors.New("remove people: internal_error"),
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			fx := newFixture(t, func(o *Options) {
				o.Log = slog.New(slog.NewTextHandler(&log, nil))
				o.Handlers[incident.EffectRemove] = func(context.Context, incident.Brief, incident.Effect) (incident.Command, error) {
					return incident.Command{}, refusal
				}
			})
			id := fx.open(t, incident.Sev2)
			fx.runQueue(t)
			fx.do(t, "p3", incident.Command{For: id, Verb: incident.VerbExclude, Person: "p2", Text: "a suspect", Channel: incident.ChannelRemove})
			fx.runQueue(t)
			if text := log.String(); !strings.Contains(text, "kind=confidential") || strings.Contains(text, "remove") {
				t.Errorf("got log %q, want no word about a removal", text)
			}
			blocked := errors.As(refusal, new(*incident.Blocked)) || errors.As(refusal, new(*incident.Permanent))
			if audited := slices.ContainsFunc(fx.store.audit, func(a Access) bool { return a.Action == "effect failed" && a.Incident == id }); audited != blocked {
				t.Errorf("got audit log %+v, want the failed removal: %t", fx.store.audit, blocked)
			}
		})
	}
}

// TestExclude_NewChannelLeavesTheOldOne excludes the commander with a new channel.
// Card and topic of the old channel must not show that the commander is gone.
func TestExclude_NewChannelLeavesTheOldOne(t *testing.T) {
	for _, channel := range []string{"", incident.ChannelNew} {
		shown := 0
		fx := newFixture(t, func(o *Options) {
			for _, kind := range []incident.EffectKind{incident.EffectCard, incident.EffectTopic} {
				o.Handlers[kind] = func(context.Context, incident.Brief, incident.Effect) (incident.Command, error) {
					shown++
					return incident.Command{}, nil
				}
			}
		})
		id := fx.open(t, incident.Sev2)
		fx.runQueue(t)
		fx.do(t, "p2", incident.Command{For: id, Verb: incident.VerbAcknowledge})
		fx.runQueue(t)
		fx.do(t, "p3", incident.Command{For: id, Verb: incident.VerbExclude, Person: "p2", Text: "a suspect", Channel: channel})
		fx.runQueue(t)
		shown = 0
		fx.do(t, "p5", incident.Command{For: id, Verb: incident.VerbExclude, Person: "p2"})
		fx.runQueue(t)
		if got := shown > 0; got != (channel == "") {
			t.Errorf("channel %q: got %d refreshes of the old channel", channel, shown)
		}
		if names := fx.store.effectNames(id); slices.Contains(names, string(incident.EffectReplaceChannel)) != (channel == incident.ChannelNew) {
			t.Errorf("channel %q: got effects %v", channel, names)
		}
	}
}

// TestRevoke_NothingGivesAccessBack revokes the access of the opener and of a person
// whose invitation is still queued. Neither the invitation, a new channel, a merge nor
// a split may give it back.
func TestRevoke_NothingGivesAccessBack(t *testing.T) {
	invites := map[incident.ID][]string{}
	fx := newFixture(t, func(o *Options) {
		o.Handlers[incident.EffectInvite] = func(_ context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
			cmd := incident.Command{Verb: incident.VerbInvited, For: e.Incident, By: incident.System, Via: incident.ViaSystem}
			for _, p := range strings.Split(e.Args["people"], ",") {
				cmd.People = append(cmd.People, incident.PersonID(p))
			}
			invites[e.Incident] = append(invites[e.Incident], strings.Split(e.Args["people"], ",")...)
			return cmd, nil
		}
		o.Handlers[incident.EffectReplaceChannel] = func(_ context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
			return incident.Command{Verb: incident.VerbLink, For: e.Incident, By: incident.System, Via: incident.ViaSystem, Links: map[string]string{incident.LinkChannel: "C2"}}, nil
		}
		o.Handlers[incident.EffectRemove] = func(context.Context, incident.Brief, incident.Effect) (incident.Command, error) {
			return incident.Command{}, nil
		}
	})
	for n := range fx.store.directory.People {
		if p := &fx.store.directory.People[n]; p.ID == "p5" || p.ID == "p6" {
			p.Responder = false
		}
	}
	id := fx.do(t, "p5", incident.Command{Verb: incident.VerbOpen, Title: "a key leaked", Severity: incident.Sev2}).Incident.ID
	target := fx.open(t, incident.Sev2)
	fx.runQueue(t)
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbGrant, Person: "p6", Text: "x"})
	for _, p := range []incident.PersonID{"p5", "p6"} {
		fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbRevoke, Person: p, Text: "x"})
	}
	clear(invites)
	fx.runQueue(t) // the invitation of p6
	fx.do(t, "p3", incident.Command{For: id, Verb: incident.VerbExclude, Person: "p2", Text: "a suspect", Channel: incident.ChannelNew})
	fx.runQueue(t)
	fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbMerge, Target: target, Text: "the same key"})
	fx.runQueue(t)
	for _, i := range []incident.ID{id, target} {
		v, err := fx.Show(context.Background(), slackIdentity("p1"), i, "on call")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []incident.PersonID{"p5", "p6"} {
			if v.Incident.MayRead(v.Directory, p, fx.now) {
				t.Errorf("%s: %s reads it again, invited %v", i, p, invites[i])
			}
		}
	}
}

// TestReplacement_AdministratorsReadNothing names a replacement as an administrator
// who may not read the incident, and as one who is excluded from it.
func TestReplacement_AdministratorsReadNothing(t *testing.T) {
	fx := newFixture(t, func(o *Options) { o.Administrators = []string{"root", "p7"} })
	for n := range fx.store.directory.Teams {
		if team := &fx.store.directory.Teams[n]; team.Name == incident.Legal {
			team.Members = team.Members[:1]
		}
	}
	id := fx.open(t, incident.Sev2)
	fx.do(t, "p3", incident.Command{For: id, Verb: incident.VerbExclude, Person: "p7", Text: "a suspect"})
	fx.do(t, "p3", incident.Command{For: id, Verb: incident.VerbNote, Text: "a secret"})
	replace := incident.Command{For: id, Verb: incident.VerbReplacement, Department: incident.Legal, Person: "p1", Text: "x", Via: incident.ViaCLI}
	replace.By = incident.Identity{Provider: incident.ProviderLocal, ID: "p7"}
	if _, err := fx.Do(context.Background(), replace); err == nil || !strings.HasSuffix(err.Error(), incident.NoAccess(id).Error()) {
		t.Errorf("got %v, want the refusal of an unknown incident for the excluded administrator", err)
	}
	replace.By.ID = "root"
	for range 2 { // the second time nothing changes
		result, err := fx.Do(context.Background(), replace)
		if i := result.Incident; err != nil || i.ID != id || i.Title != "" || i.Commander != "" || i.OpenedBy != "" || len(i.Alerts)+len(i.Exclusions)+len(i.Access) > 0 {
			t.Errorf("got %+v, %v, want nothing but the number, the status and the severity", i, err)
		}
	}
}

// TestDo_KeysBelongToTheirAuthor gives a command with the key that another person
// used before.
func TestDo_KeysBelongToTheirAuthor(t *testing.T) {
	fx := newFixture(t, nil)
	id := fx.open(t, incident.Sev2)
	fx.do(t, "p2", incident.Command{For: id, Verb: incident.VerbNote, Text: "x", Key: "guessed"})
	if r := fx.do(t, "p1", incident.Command{For: id, Verb: incident.VerbAcknowledge, Key: "guessed"}); r.Unchanged {
		t.Error("got no change, want the acknowledgement in spite of the key of another person")
	}
	if r := fx.do(t, "p2", incident.Command{For: id, Verb: incident.VerbNote, Text: "x", Key: "guessed"}); !r.Unchanged {
		t.Error("got a second note for one key, want no change")
	}
}
