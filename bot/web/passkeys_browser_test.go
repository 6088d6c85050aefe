package web

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"tocsin/bot/incident"
	"tocsin/bot/trust"
	"tocsin/store/storetest"
)

// chromium is a browser with a virtual authenticator.
type chromium struct {
	t             *testing.T
	ctx           context.Context
	authenticator webauthn.AuthenticatorID
}

// newChromium starts a browser. Without Chromium the test is skipped, or fails in CI.
func newChromium(t *testing.T) *chromium {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil && os.Getenv("CI") == "" {
		t.Skip("Chromium is not installed")
	} else if err != nil {
		t.Fatal("Chromium is not installed, which CI requires")
	}
	flags := []chromedp.ExecAllocatorOption{chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoFirstRun, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Headless, chromedp.WindowSize(1400, 950)}
	for _, name := range []string{"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync", "disable-extensions", "disable-dev-shm-usage"} {
		flags = append(flags, chromedp.Flag(name, true))
	}
	browser, stop := chromedp.NewExecAllocator(context.Background(), flags...)
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx); cancel(); stop() })
	c := &chromium{t: t, ctx: ctx}
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil { // the browser ends with the context of its first step
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	added, err := chromedp.Call(ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true}})
	if err != nil {
		t.Fatal(err)
	}
	c.authenticator = added.AuthenticatorID
	return c
}

func (c *chromium) do(steps ...chromedp.Action[chromedp.Void]) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		c.t.Fatal(err)
	}
}

// waitFor waits until the page has a text.
func (c *chromium) waitFor(text string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, 20*time.Second)
	defer cancel()
	script := `new Promise(done => { const look = () => document.readyState === "complete" && document.body.innerText.includes(` + "`" + text + "`" + `) ? done("") : setTimeout(look, 30); look(); })`
	for ctx.Err() == nil { // a navigation ends the script
		if _, err := chromedp.Run(ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise)); err == nil {
			return
		}
	}
	body, _ := chromedp.Run(c.ctx, chromedp.Evaluate[string]("location.href + document.body.innerText"))
	c.t.Fatalf("the page has no %q: %s", text, body)
}

// verifies sets whether the authenticator verifies its owner.
func (c *chromium) verifies(verified bool) {
	c.t.Helper()
	if _, err := chromedp.Call(c.ctx, webauthn.SetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: c.authenticator, IsUserVerified: verified}); err != nil {
		c.t.Fatal(err)
	}
}

// shots writes screenshots of a page, wide and narrow, light and dark, if TOCSIN_SCREENSHOTS names a folder.
func (c *chromium) shots(name string) {
	folder := os.Getenv("TOCSIN_SCREENSHOTS")
	if folder == "" {
		return
	}
	for _, width := range []int64{1400, 420} {
		for _, scheme := range []string{"light", "dark"} {
			features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
			if _, err := chromedp.Call(c.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}); err != nil {
				c.t.Fatal(err)
			}
			c.do(chromedp.EmulateViewport(width, 950))
			image, err := chromedp.Run(c.ctx, chromedp.FullScreenshot(100))
			if err != nil {
				c.t.Fatal(err)
			}
			file := filepath.Join(folder, name+"-"+map[int64]string{1400: "wide", 420: "narrow"}[width]+"-"+scheme+".png")
			if err := os.WriteFile(file, bytes.Clone(image), 0o600); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	c.do(chromedp.EmulateViewport(1400, 950))
}

// TestPasskeys_Browser registers, confirms, vouches and signs in with a real browser.
func TestPasskeys_Browser(t *testing.T) {
	fx := newPasskeySite(t, storetest.SQLite(t))
	leo := fx.signedIn("leo", "okta", true)
	leoKey := leo.mustRegister("leo", nil)
	fx.code("sid")
	c := newChromium(t)
	enter := func(person, through, factors string) {
		c.do(chromedp.Navigate(fx.url + "/test/enter?person=" + person + "&through=" + through + "&factors=" + factors))
	}
	enter("cat", "okta", "")
	c.waitFor("You have no passkey.")
	c.shots("passkeys-none")
	enter("sue", "okta", "2")
	c.waitFor("You can register one now")
	c.verifies(false)
	c.do(chromedp.Click(`button[data-make]`))
	c.waitFor("could not verify you")
	c.verifies(true)
	c.do(chromedp.SendKeys(`input[name=name]`, "Laptop of Sue"), chromedp.Click(`button[data-make]`))
	c.waitFor("Your passkey is registered.")
	c.waitFor("Laptop of Sue")

	enter("sue", "okta", "")
	c.waitFor("This session has no second factor.")
	c.do(chromedp.Click(`button[data-passkey="/account/passkeys/confirm"]`))
	c.waitFor("Your session has a second factor.")
	if _, err := fx.desk.RevokePasskey(t.Context(), trust.Actor{Person: "sid", Handle: incident.Identity{Provider: incident.ProviderWeb, ID: "sid"}, Through: "okta", SecondFactor: true},
		trust.Revocation{Fingerprint: leoKey, Reason: "phone stolen"}); err != nil {
		t.Fatal(err)
	}
	c.do(chromedp.Navigate(fx.url + "/account/passkeys"))
	c.waitFor("Waiting for a second person")
	c.shots("passkeys-security")
	c.do(chromedp.Click(`details:has(select[name=person]) summary`), chromedp.Click(`details:has(select[name=person]) button`))
	c.waitFor("Your voucher is recorded.")

	c.do(chromedp.Click(`form[action="/sign-out"] button`))
	c.waitFor("Other ways to sign in")
	c.shots("passkeys-sign-in")
	c.do(chromedp.Click(`button[data-passkey="/sign-in/passkey"]`))
	c.waitFor("Sign out")
	c.do(chromedp.Navigate(fx.url + "/account/passkeys"))
	c.waitFor("Sue Example")
	list, err := fx.store.Sessions(t.Context(), sessionFilter("sue"))
	if err != nil || len(list) == 0 || list[0].Through != incident.ThroughPasskey {
		t.Errorf("got %+v, %v, want a session of the passkey", list, err)
	}
	state, _, err := fx.desk.Trust(t.Context())
	if err != nil || len(state.Vouchers) != 1 || state.Vouchers[0].Fingerprint != state.Passkeys("sue")[0].Fingerprint || !strings.HasPrefix(state.Vouchers[0].Fingerprint, "sha256:") {
		t.Errorf("got %+v, %v, want a voucher with the passkey of sue", state.Vouchers, err)
	}
}
