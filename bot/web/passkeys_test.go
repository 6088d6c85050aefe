package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"

	"tocsin/bot/incident"
	"tocsin/bot/trust"
	"tocsin/store/storetest"
)

func TestPasskeys_RegisterAndSignIn(t *testing.T) {
	storetest.Databases(t, func(t *testing.T, database string) {
		fx := newPasskeySite(t, database)
		for person, kind := range map[string]virtualwebauthn.KeyType{"ada": virtualwebauthn.KeyTypeEC2, "sue": virtualwebauthn.KeyTypeRSA} {
			b := fx.signedIn(person, "okta", true)
			if status, body := b.register(kind, url.Values{"name": {"  Yubi\nKey  "}}, forge{}); status != http.StatusOK {
				t.Fatalf("register: got status %d: %s", status, body)
			}
			list, err := fx.desk.Passkeys(t.Context(), incident.PersonID(person))
			if err != nil || len(list.Passkeys) != 1 || list.Passkeys[0].Key != "Yubi Key" || list.Passkeys[0].Approval != "sign-in with a second factor through okta" {
				t.Fatalf("got %+v, %v", list, err)
			}
			if _, page := b.get("/account/passkeys"); !strings.Contains(page, list.Passkeys[0].Fingerprint) {
				t.Error("the page has no fingerprint")
			}
			b.http.Jar = fx.browser().http.Jar // another browser with the same authenticator
			b.key.Counter++
			if status, body := b.use("/sign-in/passkey", url.Values{"then": {"/account/passkeys?x=1"}}, forge{}); status != http.StatusOK || !strings.Contains(body, `"/account/passkeys?x=1"`) {
				t.Fatalf("sign in: got status %d: %s", status, body)
			}
			if _, page := b.get("/account/passkeys"); !strings.Contains(page, fullName(person)) || strings.Contains(page, "no second factor") {
				t.Error("the passkey did not sign in with a second factor")
			}
			if list := fx.audited("passkey sign-in"); !list[0].Allowed || string(list[0].Person) != person {
				t.Errorf("got %+v in the audit log", list[0])
			}
		}
	})
}

// TestPasskeys_Refused uses authenticators wrongly, in each ceremony.
func TestPasskeys_Refused(t *testing.T) {
	fx := newPasskeySite(t, storetest.SQLite(t))
	b := fx.signedIn("ada", "okta", true)
	otherSite := func(rp *virtualwebauthn.RelyingParty) { rp.ID = "example.com" }
	otherOrigin := func(rp *virtualwebauthn.RelyingParty) { rp.Origin = "http://localhost:1" }
	forgeries := map[string]struct {
		forge
		want string
	}{
		"relying party": {forge{rp: otherSite}, "he passkey belongs to another website"},
		"origin":        {forge{rp: otherOrigin}, "he passkey was used on another website"},
		"challenge":     {forge{challenge: make([]byte, 32)}, "he passkey answered another request"},
		"malformed":     {forge{answer: func(string) string { return "{}" }}, "he answer of the browser is malformed"},
		"extra bytes":   {forge{answer: func(s string) string { return s + "x" }}, "he answer of the browser is malformed"},
		"too large":     {forge{answer: func(s string) string { return s + strings.Repeat(" ", maxCeremonyBody) }}, "he answer of the browser is too large"},
	}
	for name, test := range forgeries {
		status, body := b.register(virtualwebauthn.KeyTypeEC2, nil, test.forge)
		t.Log("register: " + name)
		fx.refused(status, body, ceremonyRegister, test.want)
	}
	b.auth.Options.UserNotVerified = true
	status, body := b.register(virtualwebauthn.KeyTypeEC2, nil, forge{})
	fx.refused(status, body, ceremonyRegister, "he passkey did not verify you")
	b.auth.Options.UserNotVerified = false
	b.mustRegister("ada", nil)

	forgeries["type"] = struct {
		forge
		want string
	}{forge{answer: swapType}, "he passkey answered another kind of request"}
	forgeries["signature"] = struct {
		forge
		want string
	}{forge{answer: breakSignature}, "he answer of the passkey is not valid"}
	for path, action := range map[string]string{"/account/passkeys/confirm": ceremonyConfirm, "/sign-in/passkey": ceremonySignIn, "/account/passkeys/vouch": ceremonyVouch} {
		fields := url.Values{"person": {"leo"}}
		for name, test := range forgeries {
			t.Log(action + ": " + name)
			status, body := b.use(path, fields, test.forge)
			fx.refused(status, body, action, test.want)
		}
		b.auth.Options.UserNotVerified = true
		status, body := b.use(path, fields, forge{})
		fx.refused(status, body, action, "he passkey did not verify you")
		b.auth.Options.UserNotVerified = false
		status, body = b.post(path+"/finish", "application/json", "{}")
		fx.refused(status, body, action, "he request with the passkey expired or was answered before")
		fx.wait(time.Minute) // the limit of refusals
	}
}

func TestPasskeys_RefusesKeys(t *testing.T) {
	fx := newPasskeySite(t, storetest.SQLite(t))
	ada, sue := fx.signedIn("ada", "okta", true), fx.signedIn("sue", "okta", true)
	first := ada.mustRegister("ada", nil)
	sue.mustRegister("sue", nil)

	t.Log("the key of another person")
	own := ada.key
	ada.key = sue.key
	status, body := ada.use("/account/passkeys/confirm", nil, forge{})
	fx.refused(status, body, ceremonyConfirm, "his passkey belongs to another person")
	t.Log("an unknown key")
	unknown := newTestKey(virtualwebauthn.KeyTypeEC2)
	ada.key = &unknown
	status, body = ada.use("/sign-in/passkey", nil, forge{})
	fx.refused(status, body, ceremonySignIn, "ocsin does not know this passkey")
	ada.key = own

	t.Log("a counter that does not rise")
	own.Counter = 7
	if status, body := ada.use("/account/passkeys/confirm", nil, forge{}); status != http.StatusOK {
		t.Fatalf("got status %d: %s", status, body)
	}
	for _, counter := range []uint32{7, 3} {
		own.Counter = counter
		status, body = ada.use("/account/passkeys/confirm", nil, forge{})
		fx.refused(status, body, ceremonyConfirm, "he counter of this passkey did not rise")
	}
	own.Counter = 8
	t.Log("a key that is registered already")
	state, env, err := fx.desk.Trust(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	key, _ := state.Key(own.ID)
	actor := trust.Actor{Person: "sue", Handle: incident.Identity{Provider: incident.ProviderWeb, ID: "sue"}, Through: "okta", Asserted: state.Passkeys("sue")[0].Fingerprint, AssertedAt: env.Now}
	for name, r := range map[string]trust.Registration{"credential": {Credential: key.Credential, PublicKey: key.PublicKey}, "public key": {Credential: []byte("other"), PublicKey: key.PublicKey}} {
		if _, err := fx.desk.RegisterPasskey(t.Context(), actor, r, 0); incident.CodeOf(err) != incident.CodeConflict {
			t.Errorf("%s: got %v, want a conflict", name, err)
		}
	}
	t.Log("a revoked key")
	if status, body := ada.form("/account/passkeys/revoke", url.Values{"key": {first}}); status != http.StatusOK || !strings.Contains(body, "The passkey is revoked.") {
		t.Fatalf("revoke: got status %d: %s", status, body)
	}
	status, body = ada.use("/sign-in/passkey", nil, forge{})
	fx.refused(status, body, ceremonySignIn, "his passkey is revoked")
}

// TestPasskeys_CodeAndVouchers enrols people without a second factor: the first voucher on the host, the next on the pages.
func TestPasskeys_CodeAndVouchers(t *testing.T) {
	fx := newPasskeySite(t, storetest.SQLite(t))
	ctx := t.Context()
	leo := fx.signedIn("leo", incident.ThroughHost, false)
	status, body := leo.register(virtualwebauthn.KeyTypeEC2, nil, forge{})
	fx.refused(status, body, ceremonyRegister, "ou signed in with a login link")
	code := fx.code("leo")
	status, body = leo.register(virtualwebauthn.KeyTypeEC2, url.Values{"code": {code}}, forge{})
	fx.refused(status, body, ceremonyRegister, "he enrolment code is valid, but no person from another department has vouched")
	if _, err := fx.desk.Vouch(ctx, host("lea", false), trust.Vouching{Person: "leo", Reason: "same department"}); err != nil {
		t.Fatal(err)
	}
	status, body = leo.register(virtualwebauthn.KeyTypeEC2, url.Values{"code": {code}}, forge{})
	fx.refused(status, body, ceremonyRegister, "he enrolment code is valid, but no person from another department has vouched")
	if _, err := fx.desk.Vouch(ctx, host("abe", false), trust.Vouching{Person: "leo", Reason: "met in person"}); err != nil {
		t.Fatal(err)
	}
	status, body = leo.register(virtualwebauthn.KeyTypeEC2, url.Values{"code": {"AAAA-BBBB-CCCC-DDDD"}}, forge{})
	fx.refused(status, body, ceremonyRegister, "he enrolment code is wrong")
	leo.mustRegister("leo", url.Values{"code": {strings.ToLower(strings.ReplaceAll(code, "-", " "))}})

	t.Log("the host cannot vouch for a department that has a passkey")
	if _, err := fx.desk.Vouch(ctx, host("lea", false), trust.Vouching{Person: "sue", Reason: "met"}); incident.CodeOf(err) != incident.CodeForbidden {
		t.Errorf("got %v, want a refusal", err)
	}
	t.Log("the code is used up")
	status, body = leo.register(virtualwebauthn.KeyTypeEC2, url.Values{"code": {code}}, forge{})
	fx.refused(status, body, ceremonyRegister, "he enrolment code expired or was used")

	t.Log("a voucher on the pages")
	sue := fx.signedIn("sue", "okta", false)
	code = fx.code("sue")
	if _, page := leo.get("/account/passkeys"); !strings.Contains(page, "They need a voucher") || !strings.Contains(page, "Vouch for Sue Example") {
		t.Error("the page does not show who waits for a voucher")
	}
	if status, body := leo.use("/account/passkeys/vouch", url.Values{"person": {"sue"}}, forge{}); status != http.StatusOK {
		t.Fatalf("vouch: got status %d: %s", status, body)
	}
	sue.mustRegister("sue", url.Values{"code": {code}})
	state, _, err := fx.desk.Trust(ctx)
	if err != nil {
		t.Fatal(err)
	}
	key := state.Keys[len(state.Keys)-1]
	if key.Approval != "enrolment code and the voucher of Leo Example" || !slices.Equal(key.Approvers, []string{state.Passkeys("leo")[0].Fingerprint}) {
		t.Errorf("got %+v", key)
	}
	t.Log("a code and a voucher expire")
	code = fx.code("cat")
	leo.key.Counter++
	if status, body := leo.use("/account/passkeys/vouch", url.Values{"person": {"cat"}}, forge{}); status != http.StatusOK {
		t.Fatalf("vouch: got status %d: %s", status, body)
	}
	state, env, err := fx.desk.Trust(ctx)
	if err != nil {
		t.Fatal(err)
	}
	actor := trust.Actor{Person: "cat", Handle: incident.Identity{Provider: incident.ProviderWeb, ID: "cat"}, Through: "okta"}
	if _, err := state.MayRegister(actor, code, env); err != nil {
		t.Errorf("before they expire: %v", err)
	}
	env.Now = env.Now.Add(trust.VoucherTTL)
	if _, err := state.MayRegister(actor, code, env); incident.CodeOf(err) != incident.CodeForbidden {
		t.Errorf("after they expire: got %v, want a refusal", err)
	}
}

// TestPasskeys_Further registers a second passkey with the first one, and with two vouchers after the loss of both.
func TestPasskeys_Further(t *testing.T) {
	fx := newPasskeySite(t, storetest.SQLite(t))
	people := map[string]*browser{}
	for _, name := range []string{"ada", "abe", "sue", "leo"} {
		people[name] = fx.signedIn(name, "okta", true)
		people[name].mustRegister(incident.PersonID(name), nil)
	}
	ada := people["ada"]
	fx.wait(11 * time.Minute)
	status, body := ada.register(virtualwebauthn.KeyTypeEC2, nil, forge{})
	fx.refused(status, body, ceremonyRegister, "ou have had a passkey, so another one needs your own passkey or two vouchers")
	ada.enter("ada", "okta", true)
	status, body = ada.register(virtualwebauthn.KeyTypeEC2, nil, forge{})
	fx.refused(status, body, ceremonyRegister, "ou have had a passkey")
	ada.key.Counter++
	if status, body := ada.use("/account/passkeys/confirm", nil, forge{}); status != http.StatusOK {
		t.Fatalf("got status %d: %s", status, body)
	}
	second := ada.mustRegister("ada", nil)
	state, _, err := fx.desk.Trust(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first := state.Passkeys("ada")[0].Fingerprint

	t.Log("the second falls with the first, because it was approved after the theft")
	if status, body := ada.form("/account/passkeys/revoke", url.Values{"key": {first}, "since": {fx.now().UTC().Add(-5 * time.Minute).Format("2006-01-02T15:04")}, "because": {"stolen"}}); status != http.StatusOK {
		t.Fatalf("revoke: got status %d: %s", status, body)
	}
	state, env, err := fx.desk.Trust(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range state.Passkeys("ada") {
		if k.ActiveAt(env.Now) || k.Fingerprint == second && k.ActiveAt(k.RegisteredAt) {
			t.Errorf("the passkey counts still: %+v", k)
		}
	}
	status, body = ada.register(virtualwebauthn.KeyTypeEC2, nil, forge{})
	fx.refused(status, body, ceremonyRegister, "0 of 2 are here")
	for _, name := range []string{"abe", "sue"} {
		people[name].key.Counter++
		if status, body := people[name].use("/account/passkeys/vouch", url.Values{"person": {"ada"}}, forge{}); status != http.StatusOK {
			t.Fatalf("vouch: got status %d: %s", status, body)
		}
		if name == "abe" {
			status, body = ada.register(virtualwebauthn.KeyTypeEC2, nil, forge{})
			fx.refused(status, body, ceremonyRegister, "1 of 2 are here")
		}
	}
	ada.mustRegister("ada", nil)
	t.Log("the vouchers are used up")
	fx.wait(11 * time.Minute)
	status, body = ada.register(virtualwebauthn.KeyTypeEC2, nil, forge{})
	fx.refused(status, body, ceremonyRegister, "0 of 2 are here")
}

// TestPasskeys_RevokedByTwo revokes the passkey of another person as two people from security.
func TestPasskeys_RevokedByTwo(t *testing.T) {
	fx := newPasskeySite(t, storetest.SQLite(t))
	ada := fx.signedIn("ada", "okta", true)
	key := ada.mustRegister("ada", nil)
	form := url.Values{"key": {key}, "because": {"laptop stolen"}}
	leo, sue, sid := fx.signedIn("leo", "okta", true), fx.signedIn("sue", "okta", true), fx.signedIn("sid", "okta", false)
	if status, body := leo.form("/account/passkeys/revoke", form); status != http.StatusForbidden {
		t.Errorf("legal: got status %d: %s", status, body)
	}
	if status, body := sue.form("/account/passkeys/revoke", form); status != http.StatusOK || !strings.Contains(body, "A second person from security must confirm") {
		t.Errorf("the first: got status %d: %s", status, body)
	}
	if status, body := sue.form("/account/passkeys/revoke", form); status != http.StatusConflict {
		t.Errorf("the first again: got status %d: %s", status, body)
	}
	if status, body := sid.form("/account/passkeys/revoke", form); status != http.StatusForbidden || !strings.Contains(body, "second factor") {
		t.Errorf("without a second factor: got status %d: %s", status, body)
	}
	sid.enter("sid", "okta", true)
	if status, body := sid.form("/account/passkeys/revoke", form); status != http.StatusOK || !strings.Contains(body, "The passkey is revoked.") {
		t.Errorf("the second: got status %d: %s", status, body)
	}
	state, env, err := fx.desk.Trust(t.Context())
	if err != nil || state.Passkeys("ada")[0].ActiveAt(env.Now) {
		t.Errorf("the passkey counts still: %v", err)
	}
}

// TestPasskeys_LoginLinkBecomesPasskey signs in with a link and confirms with a passkey.
func TestPasskeys_LoginLinkBecomesPasskey(t *testing.T) {
	fx := newPasskeySite(t, storetest.SQLite(t))
	ada := fx.signedIn("ada", "okta", true)
	ada.mustRegister("ada", nil)
	ada.enter("ada", incident.ThroughHost, false)
	ada.key.Counter++
	if status, body := ada.use("/account/passkeys/confirm", nil, forge{}); status != http.StatusOK {
		t.Fatalf("got status %d: %s", status, body)
	}
	sessions, err := fx.store.Sessions(t.Context(), sessionFilter("ada"))
	if err != nil || len(sessions) != 1 || sessions[0].Through != incident.ThroughPasskey || !sessions[0].SecondFactor {
		t.Errorf("got %+v, %v, want one session of the passkey", sessions, err)
	}
}
