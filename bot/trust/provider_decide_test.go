package trust_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/trust"
)

// providerEnv returns people: sam and sue of security, leo of legal, eve of engineering. joe also has the account of sam.
func providerEnv(now time.Time) trust.Env {
	person := func(id incident.PersonID) incident.Person {
		return incident.Person{ID: id, Name: "Person " + string(id), Identities: []incident.Identity{{Provider: incident.ProviderLocal, ID: string(id)}}}
	}
	joe := person("joe")
	joe.Identities = person("sam").Identities
	members := func(ids ...incident.PersonID) (out []incident.Membership) {
		for _, id := range ids {
			out = append(out, incident.Membership{Person: id})
		}
		return out
	}
	return trust.Env{Now: now, Directory: incident.Directory{People: []incident.Person{person("sam"), person("sue"), person("leo"), person("lia"), person("eve"), joe},
		Teams: []incident.Team{{Name: incident.Security, Members: members("sam", "sue", "joe")}, {Name: incident.Legal, Members: members("leo", "lia")}, {Name: incident.Engineering, Members: members("eve")}}}}
}

func onHost(person incident.PersonID) trust.Actor {
	return trust.Actor{Person: person, Handle: incident.Identity{Provider: incident.ProviderLocal, ID: string(person)}}
}

func onPages(person incident.PersonID, through string, second bool) trust.Actor {
	return trust.Actor{Person: person, Handle: incident.Identity{Provider: incident.ProviderWeb, ID: string(person)}, Through: through, SecondFactor: second}
}

func inSlack(person incident.PersonID) trust.Actor {
	return trust.Actor{Person: person, Handle: incident.Identity{Provider: incident.ProviderSlack, ID: "U" + string(person)}, Through: "slack"}
}

// wantError compares an error with the beginning of "code: message", or with none for "".
func wantError(t *testing.T, err error, want string) {
	t.Helper()
	got := ""
	if err != nil {
		got = fmt.Sprintf("%s: %v", incident.CodeOf(err), err)
	}
	if want == "" && got != "" || !strings.HasPrefix(got, want) {
		t.Errorf("got error %q, want %q", got, want)
	}
}

func TestStateDistrust(t *testing.T) {
	earlier := distrusted(sunday, "slack", "slack-login")
	request := func(since time.Time) trust.Distrusting {
		return trust.Distrusting{Provider: "slack", Names: []string{"slack", "slack-login"}, Since: since, Reason: "stolen tokens"}
	}
	for name, c := range map[string]struct {
		actor trust.Actor
		r     trust.Distrusting
		log   []trust.Event
		want  string
	}{
		"security on the host":          {actor: onHost("sam"), r: request(sunday)},
		"security on the pages":         {actor: onPages("sam", "okta", true), r: request(sunday)},
		"with a passkey":                {actor: onPages("sam", incident.ThroughPasskey, true), r: request(sunday)},
		"without a second factor":       {actor: onPages("sam", "okta", false), r: request(sunday), want: "forbidden: this needs a session with a second factor"},
		"through its issuer":            {actor: onPages("sam", "slack-login", true), r: request(sunday), want: "forbidden: this is not possible through slack"},
		"in Slack":                      {actor: inSlack("sam"), r: request(sunday), want: "forbidden: this is not possible through slack"},
		"of engineering":                {actor: onHost("eve"), r: request(sunday), want: "forbidden: only people from security"},
		"of legal":                      {actor: onHost("leo"), r: request(sunday), want: "forbidden: only people from security"},
		"a user who is no person":       {actor: trust.Actor{Handle: incident.Identity{Provider: incident.ProviderLocal, ID: "root"}, Administrator: true}, r: request(sunday), want: "forbidden: only a person of the configuration"},
		"without a reason":              {actor: onHost("sam"), r: trust.Distrusting{Provider: "slack", Since: sunday, Reason: " "}, want: "invalid: a distrust needs a reason"},
		"without a time":                {actor: onHost("sam"), r: request(time.Time{}), want: "invalid: the time is missing"},
		"in the future":                 {actor: onHost("sam"), r: request(monday.Add(48 * time.Hour)), want: "invalid: "},
		"again":                         {actor: onHost("sam"), r: request(sunday), log: []trust.Event{earlier}, want: "conflict: slack is distrusted already"},
		"again from a later time":       {actor: onHost("sam"), r: request(monday), log: []trust.Event{earlier}, want: "conflict: slack is distrusted already"},
		"again from an earlier time":    {actor: onHost("sam"), r: request(sunday.Add(-time.Hour)), log: []trust.Event{earlier}},
		"again with another issuer":     {actor: onHost("sam"), r: trust.Distrusting{Provider: "slack", Names: []string{"slack", "new"}, Since: sunday, Reason: "x"}, log: []trust.Event{earlier}},
		"through a distrusted issuer":   {actor: onPages("sam", "slack-login", true), r: trust.Distrusting{Provider: "okta", Names: []string{"okta"}, Since: sunday, Reason: "x"}, log: []trust.Event{earlier}, want: "forbidden: slack-login is distrusted"},
		"another provider at that time": {actor: onHost("sam"), r: trust.Distrusting{Provider: "okta", Names: []string{"okta"}, Since: sunday, Reason: "x"}, log: []trust.Event{earlier}},
	} {
		t.Run(name, func(t *testing.T) {
			events, err := trust.Fold(numbered(c.log...)).Distrust(c.actor, c.r, providerEnv(monday.Add(24*time.Hour)))
			wantError(t, err, c.want)
			if err == nil && (len(events) != 1 || events[0].Kind != trust.ProviderDistrusted || events[0].Provider != c.r.Provider || events[0].By != c.actor.Person) {
				t.Errorf("got %+v, want one distrust", events)
			}
		})
	}
}

// TestStateDistrust_EndsWhatWasObtained registers a passkey through Slack with a voucher given through Slack. A key that this one
// approved falls with it. A key from before does not.
func TestStateDistrust_EndsWhatWasObtained(t *testing.T) {
	key := func(fingerprint, through string, approvers ...string) trust.Event {
		return trust.Event{Kind: trust.PasskeyRegistered, Person: "eve", By: "eve", Through: through, Fingerprint: fingerprint,
			Details: trust.Details{Credential: []byte(fingerprint), PublicKey: []byte(fingerprint), Approvers: approvers}}
	}
	log := numbered(key("sha256:old", "okta"), key("sha256:before", "slack-login"),
		key("sha256:new", "slack-login"), key("sha256:next", incident.ThroughPasskey, "sha256:new"),
		trust.Event{Kind: trust.Vouched, Person: "leo", By: "eve", Through: "slack-login", Details: trust.Details{Expires: monday.Add(time.Hour)}})
	since := log[2].At
	events, err := trust.Fold(log).Distrust(onHost("sam"), trust.Distrusting{Provider: "slack", Names: []string{"slack", "slack-login"}, Since: since, Reason: "x"}, providerEnv(monday.Add(10*time.Minute)))
	if err != nil {
		t.Fatal(err)
	}
	log = append(log, events...)
	for n := range log {
		log[n].ID = int64(n + 1)
	}
	state := trust.Fold(log)
	for _, k := range state.Keys {
		fell := !k.RevokedAt.IsZero() && !k.ActiveAt(k.RegisteredAt)
		if want := k.Fingerprint == "sha256:new" || k.Fingerprint == "sha256:next"; fell != want {
			t.Errorf("key %s: got fell %v, want %v", k.Fingerprint, fell, want)
		}
	}
	if !state.Vouchers[0].Spent {
		t.Error("the voucher through Slack can still be used")
	}
}

func TestStateTrust(t *testing.T) {
	proposed := func(by incident.PersonID) trust.Event {
		return trust.Event{Kind: trust.TrustProposed, Provider: "slack", By: by, Details: trust.Details{Reason: "cleaned"}}
	}
	first := distrusted(sunday, "slack", "slack-login")
	for name, c := range map[string]struct {
		actor trust.Actor
		log   []trust.Event
		name  string
		at    time.Duration // after the proposal
		kind  trust.Kind
		want  string
	}{
		"the first person":              {actor: onHost("sam"), log: []trust.Event{first}, kind: trust.TrustProposed},
		"the second person":             {actor: onPages("sue", "okta", true), log: []trust.Event{first, proposed("sam")}, kind: trust.ProviderTrusted},
		"legal after security":          {actor: onHost("leo"), log: []trust.Event{first, proposed("sam")}, kind: trust.ProviderTrusted},
		"legal first":                   {actor: onHost("leo"), log: []trust.Event{first}, kind: trust.TrustProposed},
		"two of legal":                  {actor: onHost("lia"), log: []trust.Event{first, proposed("leo")}, want: "conflict: one of the two people must be from security"},
		"the same person":               {actor: onHost("sam"), log: []trust.Event{first, proposed("sam")}, want: "conflict: you proposed"},
		"the same human":                {actor: onHost("joe"), log: []trust.Event{first, proposed("sam")}, want: "conflict: you proposed"},
		"engineering":                   {actor: onHost("eve"), log: []trust.Event{first}, want: "forbidden: only people from security or legal"},
		"through its issuer":            {actor: onPages("sue", "slack-login", true), log: []trust.Event{first, proposed("sam")}, want: "forbidden: this is not possible through slack"},
		"in Slack":                      {actor: inSlack("sue"), log: []trust.Event{first, proposed("sam")}, want: "forbidden: this is not possible through slack"},
		"the proposal expired":          {actor: onHost("sue"), log: []trust.Event{first, proposed("sam")}, at: trust.ProposalTTL, kind: trust.TrustProposed},
		"the first person left":         {actor: onHost("sue"), log: []trust.Event{first, proposed("gone")}, kind: trust.TrustProposed},
		"a distrust after the proposal": {actor: onHost("sue"), log: []trust.Event{first, proposed("sam"), distrusted(sunday.Add(-time.Hour), "slack")}, kind: trust.TrustProposed},
		"not distrusted":                {actor: onHost("sam"), want: "conflict: slack is not distrusted"},
		"an issuer of it":               {actor: onHost("sam"), log: []trust.Event{first}, name: "slack-login", want: "conflict: slack-login is distrusted because it belongs to slack"},
	} {
		t.Run(name, func(t *testing.T) {
			log := numbered(c.log...)
			now := monday.Add(time.Hour)
			if len(log) > 1 {
				now = log[1].At.Add(max(c.at, time.Minute))
			}
			events, err := trust.Fold(log).Trust(c.actor, trust.Trusting{Provider: "slack" + strings.TrimPrefix(c.name, "slack"), Reason: "cleaned"}, providerEnv(now))
			wantError(t, err, c.want)
			if err == nil && (len(events) != 1 || events[0].Kind != c.kind) {
				t.Errorf("got %+v, want %s", events, c.kind)
			}
		})
	}
}
