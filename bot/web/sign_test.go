package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"

	"tocsin/bot/incident"
	"tocsin/bot/trust"
	"tocsin/store/storetest"
)

// signSite is the pages with an incident in review and a browser with a passkey of each person.
type signSite struct {
	*passkeySite
	id       incident.ID
	browsers map[string]*browser
	keys     int
}

func newSignSite(t *testing.T, database string, level incident.AuthLevel) *signSite {
	t.Helper()
	s := &signSite{passkeySite: newPasskeySite(t, database), browsers: map[string]*browser{}}
	people := passkeyPeople()
	for n := range people.People {
		people.People[n].Responder = true
	}
	if err := s.desk.PutDirectory(t.Context(), people); err != nil {
		t.Fatal(err)
	}
	s.desk.Policy.SignLevel, s.desk.Policy.SensitiveLevel = level, level
	s.id = s.do("ada", incident.Command{Verb: incident.VerbOpen, Title: "Key leaked", Severity: incident.Sev2}).ID
	s.do("ada", incident.Command{Verb: incident.VerbAcknowledge})
	s.do("ada", incident.Command{Verb: incident.VerbResolve, Text: "the key is revoked"})
	record := map[string]string{}
	for _, f := range incident.RecordParts() {
		record[f.Name] = "The " + strings.ToLower(f.Label) + "."
	}
	s.do("ada", incident.Command{Verb: incident.VerbSubmit, Record: record})
	return s
}

// do gives a command as a person, through the desk.
func (s *signSite) do(who string, cmd incident.Command) incident.Incident {
	s.t.Helper()
	s.keys++
	if cmd.For == 0 {
		cmd.For = s.id
	}
	cmd.Key, cmd.By, cmd.Via = fmt.Sprint("test ", s.keys), incident.Identity{Provider: incident.ProviderWeb, ID: who}, incident.ViaWeb
	result, err := s.desk.Do(context.Background(), cmd)
	if err != nil {
		s.t.Fatalf("%s by %s: %v", cmd.Verb, who, err)
	}
	return result.Incident
}

func (s *signSite) incident() incident.Incident {
	s.t.Helper()
	v, err := s.desk.Show(context.Background(), incident.System, s.id, "")
	if err != nil {
		s.t.Fatal(err)
	}
	return v.Incident
}

// as returns the browser of a person with a registered passkey.
func (s *signSite) as(who string) *browser {
	s.t.Helper()
	if s.browsers[who] == nil {
		s.browsers[who] = s.signedIn(who, "company", true)
		s.browsers[who].mustRegister(incident.PersonID(who), url.Values{"name": {"key of " + who}})
	}
	return s.browsers[who]
}

func (s *signSite) path(team incident.Department) string { return s.id.SignPath(team) }

var signInputs = regexp.MustCompile(`name="(digest|attested)" value="([^"]*)"`)

// readRecord opens the page of a signature and returns the values of its form.
func (s *signSite) readRecord(b *browser, team incident.Department) (string, url.Values) {
	s.t.Helper()
	status, page := b.get(s.path(team))
	if status != http.StatusOK {
		s.t.Fatalf("got status %d: %s", status, page)
	}
	values := url.Values{}
	for _, m := range signInputs.FindAllStringSubmatch(page, -1) {
		values.Set(m[1], m[2])
	}
	return page, values
}

var signersOf = map[incident.Department]string{incident.Engineering: "abe", incident.Security: "sue", incident.Legal: "leo", incident.Communications: "cat"}

// TestSign_FourPasskeys signs for each department on both databases.
func TestSign_FourPasskeys(t *testing.T) {
	for name, database := range map[string]func(testing.TB) string{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		t.Run(name, func(t *testing.T) {
			s := newSignSite(t, database(t), incident.AuthPasskey)
			for _, team := range incident.RequiredDepartments() {
				b := s.as(signersOf[team])
				page, values := s.readRecord(b, team)
				if !strings.Contains(page, "I do not vouch for") || !strings.Contains(page, "The impact.") || !strings.Contains(page, "You have not read this record before.") {
					t.Fatalf("%s: the page lacks the statement or the record: %s", team, page)
				}
				status, body := b.use(s.path(team), values, forge{})
				if want := fmt.Sprintf("/incidents/%s/signed/%s", s.id, team); status != http.StatusOK || !strings.Contains(body, want) {
					t.Fatalf("%s: got status %d: %s, want a redirect to %s", team, status, body, want)
				}
				sig := s.incident().SignedBy(team)
				if sig == nil || sig.Proof == nil || sig.Proof.Verify() != nil {
					t.Fatalf("%s: got %+v, want a signature with a valid proof", team, sig)
				}
				if _, page := b.get(signedPath(s.id, team)); !strings.Contains(page, sig.Proof.Fingerprint()) || !strings.Contains(page, sig.Digest) || !strings.Contains(page, "with a passkey") {
					t.Errorf("%s: the receipt lacks the key, the digest or the way: %s", team, page)
				}
			}
			if got := s.incident().Status; got != incident.Approved {
				t.Errorf("got %s, want approved", got)
			}
		})
	}
}

func TestSign_RefusedProofs(t *testing.T) {
	s := newSignSite(t, storetest.SQLite(t), incident.AuthPasskey)
	b := s.as("leo")
	_, values := s.readRecord(b, incident.Legal)
	const action = "command sign"
	refused := func(name string, f forge, want string) {
		t.Helper()
		status, body := b.use(s.path(incident.Legal), values, f)
		if status != http.StatusForbidden || !strings.Contains(body, want) {
			t.Errorf("%s: got status %d: %s, want %q", name, status, body, want)
		}
		if list := s.audited(action); len(list) == 0 || list[0].Allowed || !strings.Contains(list[0].Reason, want) {
			t.Errorf("%s: got %+v, want an audit row with %q", name, list[:min(len(list), 1)], want)
		}
	}
	refused("another relying party", forge{rp: func(rp *virtualwebauthn.RelyingParty) { rp.ID = "evil.example" }}, "another website")
	refused("another origin", forge{rp: func(rp *virtualwebauthn.RelyingParty) { rp.Origin = "https://evil.example" }}, "another origin")
	refused("another type", forge{answer: swapType}, "not about a signature")
	refused("another challenge", forge{challenge: []byte("another")}, "another statement")
	refused("another signature", forge{answer: breakSignature}, "does not belong to the key")
	refused("duplicate members", forge{answer: func(a string) string {
		return change(a, "clientDataJSON", func(b []byte) []byte {
			return []byte(strings.Replace(string(b), "{", `{"type":"webauthn.get",`, 1))
		})
	}}, "unique members")
	b.auth.Options.UserNotVerified = true
	refused("no verification", forge{}, "did not verify")
	b.auth.Options.UserNotVerified = false

	other := s.as("lea")
	own := b.key
	b.key = other.key
	refused("another's key", forge{}, "not a passkey of yours")
	b.key = own

	// An answer counts once, and for its session.
	if status, body := b.use(s.path(incident.Legal), values, forge{}); status != http.StatusOK {
		t.Fatalf("got status %d: %s, want a signature", status, body)
	}
	if status, _ := b.post(s.path(incident.Legal)+"/finish", "application/json", "{}"); status != http.StatusForbidden {
		t.Errorf("a second answer: got status %d, want 403", status)
	}

	// A record that changed after the person read it.
	s.do("ada", incident.Command{Verb: incident.VerbAmend, Text: "a detail", Record: map[string]string{"impact": "Another impact."}})
	s.do("ada", incident.Command{Verb: incident.VerbSubmit})
	if status, body := b.form(s.path(incident.Legal)+"/begin", values); status != http.StatusConflict || !strings.Contains(body, "changed after you read it") {
		t.Errorf("another revision: got status %d: %s, want a conflict", status, body)
	}
	page, values := s.readRecord(b, incident.Legal)
	if !strings.Contains(page, "Changed since you read it") || !strings.Contains(page, "Another impact.") {
		t.Errorf("the page lacks what changed: %s", page)
	}
	s.wait(time.Minute)
	status, options := b.form(s.path(incident.Legal)+"/begin", values)
	if status != http.StatusOK {
		t.Fatalf("got status %d: %s", status, options)
	}
	asked, err := virtualwebauthn.ParseAssertionOptions(options)
	if err != nil {
		t.Fatal(err)
	}
	answer := virtualwebauthn.CreateAssertionResponse(s.rp, b.auth, *b.key, *asked)
	state, _, err := s.desk.Trust(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	leo := trust.Actor{Person: "leo", Handle: incident.Identity{Provider: incident.ProviderWeb, ID: "leo"}, Through: "company", SecondFactor: true}
	if _, err := s.desk.RevokePasskey(t.Context(), leo, trust.Revocation{Fingerprint: state.Passkeys("leo")[0].Fingerprint, Reason: "lost"}); err != nil {
		t.Fatal(err)
	}
	if status, body := b.post(s.path(incident.Legal)+"/finish", "application/json", answer); status != http.StatusForbidden || !strings.Contains(body, "revoked") {
		t.Errorf("a revoked passkey: got status %d: %s, want a refusal", status, body)
	}
}

// TestSign_WithoutScript signs at the level mfa with a form.
func TestSign_WithoutScript(t *testing.T) {
	s := newSignSite(t, storetest.SQLite(t), incident.AuthMFA)
	plain := s.signedIn("leo", "company", false)
	page, values := s.readRecord(plain, incident.Legal)
	if !strings.Contains(page, "needs a second factor") {
		t.Errorf("the page does not ask for a second factor: %s", page)
	}
	if status, body := plain.form(s.path(incident.Legal), values); status != http.StatusForbidden || s.incident().SignedBy(incident.Legal) != nil {
		t.Errorf("got status %d: %s, want a refusal", status, body)
	}
	strong := s.signedIn("leo", "company", true)
	if status, body := strong.form(s.path(incident.Legal), values); status != http.StatusOK || !strings.Contains(body, "on the pages with a second factor") {
		t.Errorf("got status %d: %s, want the receipt", status, body)
	}
}

// TestObject_OnThePage objects with a passkey. The page of the act shows its words.
func TestObject_OnThePage(t *testing.T) {
	s := newSignSite(t, storetest.SQLite(t), incident.AuthPasskey)
	b := s.as("leo")
	_, values := s.readRecord(b, incident.Legal)
	values.Set("text", "The impact is wrong.")
	status, page := b.form(s.path(incident.Legal)+"/object", values)
	at := regexp.MustCompile(`data-passkey="(/acts/[^"]+)"`).FindStringSubmatch(page)
	if status != http.StatusOK || at == nil || !strings.Contains(page, "The impact is wrong.") || !strings.Contains(page, "I object to this closing record") {
		t.Fatalf("got status %d: %s, want the page that takes the signature", status, page)
	}
	if len(s.incident().Objections) != 0 {
		t.Fatal("got an objection before the signature")
	}
	if status, body := s.as("lea").form(at[1]+"/begin", nil); status != http.StatusNotFound {
		t.Errorf("another session: got status %d: %s, want 404", status, body)
	}
	if status, body := b.use(at[1], nil, forge{}); status != http.StatusOK {
		t.Fatalf("got status %d: %s, want the objection", status, body)
	}
	if got := s.incident().Objections; len(got) != 1 || got[0].By != "leo" {
		t.Errorf("got %+v, want the objection of leo", got)
	}
	if status, _ := b.get(at[1]); status != http.StatusNotFound {
		t.Errorf("the act again: got status %d, want 404", status)
	}
}
