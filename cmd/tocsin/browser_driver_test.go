package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"tocsin/bot/sandbox/company"
)

// browserTimeout is how long the page may take to show what should happen.
const browserTimeout = 15 * time.Second

// browserDriver is somebody before the demo's page in a real browser: they press what
// can be seen and is not covered, type, and look.
type browserDriver struct {
	testing.TB
	ctx     context.Context
	company *company.Company
	folder  string
	shots   int
}

// findChromium finds a browser. In CI a missing one is a failure.
func findChromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless-shell"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("there is no Chromium, and in CI there has to be one")
	}
	t.Skip("there is no Chromium on this machine")
	return ""
}

// openBrowser opens a page of 1400 by 950 in a browser of its own.
func openBrowser(t *testing.T, url string, c *company.Company) *browserDriver {
	t.Helper()
	flags := []chromedp.ExecAllocatorOption{chromedp.ExecPath(findChromium(t)), chromedp.UserDataDir(t.TempDir()),
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Headless, chromedp.WindowSize(1400, 950)}
	for _, name := range []string{"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync", "disable-extensions", "disable-dev-shm-usage"} {
		flags = append(flags, chromedp.Flag(name, true))
	}
	browser, stop := chromedp.NewExecAllocator(context.Background(), flags...)
	ctx, cancel := chromedp.NewContext(browser)
	v := &browserDriver{TB: t, ctx: ctx, company: c, folder: filepath.Join("..", "..", "screenshots")}
	if err := os.RemoveAll(v.folder); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(v.folder, 0o750); err != nil {
		t.Fatal(err)
	}
	listening := v.watchConsole()
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // closes the browser in order; the others do what that left
		cancel()
		stop()
		<-listening
	})
	v.run("open the page", chromedp.EmulateViewport(1400, 950), chromedp.Navigate(url))
	return v
}

// watchConsole holds every error that the page writes to the console against it.
// What the bot refuses is answered with a status that the console tells of too.
func (v *browserDriver) watchConsole() <-chan struct{} {
	messages := chromedp.Console(v.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m, err := range messages {
			if err != nil {
				return
			}
			if m.IsException() || m.Type == chromedp.ConsoleError && m.Source != "network" {
				v.Errorf("the page says: %s", m)
			}
		}
	}()
	return done
}

// run does something in the browser, within the patience.
func (v *browserDriver) run(what string, steps ...chromedp.Action[chromedp.Void]) {
	v.Helper()
	if err := chromedp.Do(v.ctx, steps...); err != nil {
		v.fail(what, err)
	}
}

// waitTrue waits until a function in the page, given arguments, is true.
func (v *browserDriver) waitTrue(what, function string, args ...any) {
	v.Helper()
	if args == nil {
		args = []any{}
	}
	given, err := json.Marshal(args)
	if err != nil {
		v.Fatal(err)
	}
	wait := chromedp.Poll[chromedp.Void](fmt.Sprintf("(%s)(...%s)", function, given), chromedp.WithPollingTimeout(browserTimeout))
	if _, err = chromedp.Run(v.ctx, wait); err != nil {
		v.fail(what, err)
	}
}

// fail ends the test with a picture of what was there instead.
func (v *browserDriver) fail(what string, err error) {
	v.Helper()
	if png, err := chromedp.Run(v.ctx, chromedp.CaptureScreenshot()); err == nil {
		_ = os.WriteFile(filepath.Join(v.folder, "failure.png"), png, 0o600)
	}
	v.Fatalf("%s: %v (screenshots/failure.png shows the page)", what, err)
}

// screenshot keeps a picture of this moment.
func (v *browserDriver) screenshot(name string) {
	v.Helper()
	v.waitTrue("the page coming to rest", `() => !document.querySelector("[aria-busy=true]")`)
	png, err := chromedp.Run(v.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		v.Fatal(err)
	}
	v.shots++
	if err := os.WriteFile(filepath.Join(v.folder, fmt.Sprintf("%02d-%s.png", v.shots, name)), png, 0o600); err != nil {
		v.Fatal(err)
	}
}

// findClickable is JavaScript that finds what can be pressed now: shown, enabled, and
// not behind something else. Of several it takes the latest.
const findClickable = `(css, text) => [...document.querySelectorAll(css)].reverse().find((el) => {
  if (el.disabled || (text && !el.textContent.replace(/\s+/g, " ").includes(text) && !(el.dataset.value || "").includes(text))) return false;
  el.scrollIntoView({ block: "nearest", behavior: "instant" });
  const box = el.getBoundingClientRect();
  const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  return box.width > 0 && top && (el === top || el.contains(top));
})`

// press presses the latest thing of a selector that shows or carries a text.
func (v *browserDriver) press(css, text string) {
	v.Helper()
	v.waitTrue("press "+css+" "+text, `(css, text) => { const el = (`+findClickable+`)(css, text); el?.focus(); el?.click(); return Boolean(el); }`, css, text)
}

// pressAction presses a button of the app by its action.
func (v *browserDriver) pressAction(action, value string) {
	v.Helper()
	v.press(`[data-action-id="`+action+`"]`, value)
}

// selectOption picks from a menu outside a form.
func (v *browserDriver) selectOption(css, value string) {
	v.Helper()
	v.waitTrue("choose "+value, `(css, value) => {
		const el = (`+findClickable+`)(css, "");
		if (!el || ![...el.options].some((o) => o.value === value)) return false;
		el.focus(); el.value = value; el.dispatchEvent(new Event("change", { bubbles: true }));
		return true; }`, css, value)
}

// switchPerson turns the viewer into another person.
func (v *browserDriver) switchPerson(p company.Person) {
	v.Helper()
	v.selectOption("#person", p.ID)
	v.waitTrue("be "+p.Name, `(id) => document.getElementById("person").value === id && document.body.dataset.shown?.startsWith(id + "/")`, p.ID)
}

// openChannel opens a channel, or the app's home.
func (v *browserDriver) openChannel(name string) {
	v.Helper()
	v.press(`[data-testid=channel][data-name="`+name+`"]`, "")
	v.waitTrue("the channel "+name, `(name) => {
		const here = document.querySelector("[data-testid=channel][aria-current=page]");
		return here?.dataset.name === name && document.body.dataset.shown?.endsWith("/" + here.dataset.channelId); }`, name)
}

// sendMessage types into the message box and sends it.
func (v *browserDriver) sendMessage(text string) {
	v.Helper()
	v.waitTrue("the message box", `(text) => { const el = (`+findClickable+`)("#composer-text", ""); el?.focus(); return Boolean(el) && document.execCommand("insertText", false, text); }`, text)
	v.run("send "+text, pressEnter)
	v.waitTrue("it being sent: "+text, `() => document.getElementById("composer-text").value === ""`)
}

// pressEnter presses the key as a keyboard does: the character belongs to the
// key going down, so a page that takes the key gets no line break after it.
// chromedp sends the two apart, and the page may be done with the key between.
var pressEnter = chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
	key := map[string]any{"type": "keyDown", "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
	if err := t.Call(ctx, "Input.dispatchKeyEvent", key, nil); err != nil {
		return err
	}
	delete(key, "text")
	key["type"] = "keyUp"
	return t.Call(ctx, "Input.dispatchKeyEvent", key, nil)
})

// waitMessage waits until a message holds all of the texts.
func (v *browserDriver) waitMessage(texts ...string) {
	v.Helper()
	v.waitTrue("a message: "+strings.Join(texts, " … "), `(texts) => [...document.querySelectorAll("#messages .message")].some((m) => texts.every((t) => m.textContent.replace(/\s+/g, " ").includes(t)))`, texts)
}

// waitText waits until a selector shows something with a text.
func (v *browserDriver) waitText(css, text string) {
	v.Helper()
	v.waitTrue(css+" with "+text, `(css, text) => [...document.querySelectorAll(css)].some((el) => el.getClientRects().length && el.textContent.replace(/\s+/g, " ").includes(text))`, css, text)
}

// waitForm waits for the form of a verb.
func (v *browserDriver) waitForm(verb string) {
	v.Helper()
	v.waitTrue("the form "+verb, `(verb) => document.querySelector("#modal[open] form")?.dataset.callback === verb`, verb)
}

// fill writes into the field of a form, or chooses in it.
func (v *browserDriver) fill(block string, values ...string) {
	v.Helper()
	v.waitTrue("fill in "+block, `(block, values) => {
		const at = "#modal[open] [data-block-id='" + block + "'] ";
		if (document.querySelector(at + ".choices")) {
			return values.every((value) => { const label = document.querySelector(at + "[data-value='" + value + "']"); label?.scrollIntoView({ block: "nearest" }); if (label && !label.querySelector("input").checked) label.click(); return label?.querySelector("input").checked; });
		}
		const el = (`+findClickable+`)(at + ":is(input, select, textarea)", "");
		if (!el) return false;
		el.focus();
		if (el.tagName === "SELECT" || /date|time/.test(el.type)) {
			el.value = values[0];
			el.dispatchEvent(new Event("change", { bubbles: true }));
		} else {
			el.select();
			document.execCommand("insertText", false, values[0]);
		}
		return el.value === values[0];
	}`, block, values)
}

// submitForm sends the form, and waits until it is gone.
func (v *browserDriver) submitForm() {
	v.Helper()
	v.press("[data-testid=modal-submit]", "")
	v.waitTrue("the form being taken", `() => !document.getElementById("modal").open`)
}

// closeForm leaves a form as it is.
func (v *browserDriver) closeForm() {
	v.Helper()
	v.press("[data-testid=modal-close]", "")
	v.waitTrue("the form being closed", `() => !document.getElementById("modal").open`)
}

// openTab opens a tab beside the chat.
func (v *browserDriver) openTab(name string) {
	v.Helper()
	v.press("[data-testid=tab-"+name+"]", "")
	v.waitTrue("the tab "+name, `(name) => document.getElementById("tab-" + name).getAttribute("aria-selected") === "true"`, name)
}

// scrollToEnd goes to the end of the conversation, or to its beginning.
func (v *browserDriver) scrollToEnd(end bool) {
	v.Helper()
	v.waitTrue("the end of the conversation", `(end) => {
		const box = document.getElementById("messages"), to = end ? box.scrollHeight - box.clientHeight : 0;
		const there = Math.abs(box.scrollTop - to) < 2;
		box.scrollTop = to;
		return there; }`, end)
}

// scrollTo scrolls something of the conversation to the top.
func (v *browserDriver) scrollTo(css string) {
	v.Helper()
	v.waitTrue("look at "+css, `(css) => {
		const box = document.getElementById("messages"), el = box.querySelector(css), before = box.scrollTop;
		el?.scrollIntoView({ block: "start", behavior: "instant" });
		return Boolean(el) && box.scrollTop === before; }`, css)
}

// setScreen makes the screen that wide, and dark or light.
func (v *browserDriver) setScreen(width, height int64, scheme string) {
	v.Helper()
	v.run("change the screen", chromedp.EmulateViewport(width, height), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		return t.Call(ctx, "Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	}))
}
