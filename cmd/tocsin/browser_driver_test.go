package main

import (
	"context"
	"encoding/json"
	"errors"
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

// browserTimeout is the time within which the page must show a change.
const browserTimeout = 15 * time.Second

// browserDriver controls the demo's page in a real browser. It presses only visible
// elements that are not covered by others.
type browserDriver struct {
	testing.TB
	ctx     context.Context
	company *company.Company
	folder  string
	shots   int
}

// findChromium returns the path of Chromium. Without it, the test is skipped, or fails
// in CI.
func findChromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless-shell"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("Chromium is not installed, which CI requires")
	}
	t.Skip("Chromium is not installed")
	return ""
}

// openBrowser opens url in a new browser with a viewport of 1400 by 950 pixels.
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
		_ = chromedp.Cancel(ctx) // closes the browser cleanly, the other functions clean up after it
		cancel()
		stop()
		<-listening
	})
	v.run("open the page", chromedp.EmulateViewport(1400, 950), chromedp.Navigate(url))
	return v
}

// watchConsole fails the test on every exception and error in the page's console. It
// ignores failed requests, because rejected forms cause them. The returned channel is
// closed when the browser has ended.
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
				v.Errorf("got console message: %s", m)
			}
		}
	}()
	return done
}

// run runs actions in the browser and fails the test on an error.
func (v *browserDriver) run(what string, steps ...chromedp.Action[chromedp.Void]) {
	v.Helper()
	if err := chromedp.Do(v.ctx, steps...); err != nil {
		v.fail(what, err)
	}
}

// waitTrue waits until a JavaScript function returns true for the arguments.
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

// fail ends the test and stores a screenshot as failure.png.
func (v *browserDriver) fail(what string, err error) {
	v.Helper()
	if png, err := chromedp.Run(v.ctx, chromedp.CaptureScreenshot()); err == nil {
		_ = os.WriteFile(filepath.Join(v.folder, "failure.png"), png, 0o600)
	}
	v.Fatalf("%s: %v (screenshots/failure.png shows the page)", what, err)
}

// screenshot waits until the page is not busy and stores a numbered screenshot. The page
// must show no error.
func (v *browserDriver) screenshot(name string) {
	v.Helper()
	v.waitTrue("the page to be idle", `() => !document.querySelector("[aria-busy=true]")`)
	if shown, err := chromedp.Run(v.ctx, chromedp.Evaluate[string](`[...document.querySelectorAll(".toast.bad")].map((el) => el.textContent).join("; ")`)); err != nil || shown != "" {
		v.Errorf("%s: got the errors %q on the page, %v, want none", name, shown, err)
	}
	png, err := chromedp.Run(v.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		v.Fatal(err)
	}
	v.shots++
	if err := os.WriteFile(filepath.Join(v.folder, fmt.Sprintf("%02d-%s.png", v.shots, name)), png, 0o600); err != nil {
		v.Fatal(err)
	}
}

// findClickable is a JavaScript function that returns the last element that is
// visible, enabled and not covered.
const findClickable = `(css, text) => [...document.querySelectorAll(css)].reverse().find((el) => {
  if (el.disabled || (text && !el.textContent.replace(/\s+/g, " ").includes(text) && !(el.dataset.value || "").includes(text))) return false;
  el.scrollIntoView({ block: "nearest", behavior: "instant" });
  const box = el.getBoundingClientRect();
  const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  return box.width > 0 && top && (el === top || el.contains(top));
})`

// pressAttempts is how often the driver presses an element. The page may redraw it
// between the search and the press.
const pressAttempts = 8

// press clicks the last element of a selector with a text or value that contains text. It
// moves the pointer there when the element stands still, as a person does.
func (v *browserDriver) press(css, text string) {
	v.Helper()
	args, err := json.Marshal([]string{css, text})
	if err != nil {
		v.Fatal(err)
	}
	locate := chromedp.Poll[point](fmt.Sprintf(`((css, text) => {
		const el = (`+findClickable+`)(css, text);
		if (!el) return null;
		const box = el.getBoundingClientRect();
		const place = [box.x, box.y, box.width, box.height].join();
		const still = window.placed?.el === el && window.placed.place === place;
		window.placed = { el, place };
		if (!still) return null;
		window.reached = false;
		// The page may draw the element again before the click, which then reaches the new one.
		document.addEventListener("click", (e) => { window.reached = el.contains(e.target) || Boolean(e.target.closest?.(css)); }, { once: true, capture: true });
		return { X: box.x + box.width / 2, Y: box.y + box.height / 2 };
	})(...%s)`, args), chromedp.WithPollingTimeout(browserTimeout))
	for range pressAttempts {
		at, err := chromedp.Run(v.ctx, locate)
		if err != nil {
			v.fail("press "+css+" "+text, err)
		}
		v.run("press "+css, chromedp.MouseClickXY(at.X, at.Y))
		if reached, err := chromedp.Run(v.ctx, chromedp.Evaluate[bool]("window.reached")); err == nil && reached {
			return
		}
	}
	v.fail("press "+css+" "+text, errors.New("no press reached the element"))
}

// point is a place in the viewport.
type point struct{ X, Y float64 }

// insert types a text into the focused element.
func (v *browserDriver) insert(text string) {
	v.Helper()
	v.run("type "+text, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		return t.Call(ctx, "Input.insertText", map[string]any{"text": text}, nil)
	}))
}

// selectOption selects an option of a menu outside a form.
func (v *browserDriver) selectOption(css, value string) {
	v.Helper()
	v.waitTrue("choose "+value, `(css, value) => {
		const el = (`+findClickable+`)(css, "");
		if (!el || ![...el.options].some((o) => o.value === value)) return false;
		el.focus(); el.value = value; el.dispatchEvent(new Event("change", { bubbles: true }));
		return true; }`, css, value)
}

// switchPerson makes the page act as p.
func (v *browserDriver) switchPerson(p company.Person) {
	v.Helper()
	v.selectOption("#person", p.ID)
	v.waitTrue("switch to "+p.Name, `(id) => document.getElementById("person").value === id && document.body.dataset.shown?.startsWith(id + "/")`, p.ID)
}

// openChannel opens a channel or the app's home.
func (v *browserDriver) openChannel(name string) {
	v.Helper()
	v.press(`[data-testid=channel][data-name="`+name+`"]`, "")
	v.waitTrue("the channel "+name, `(name) => {
		const here = document.querySelector("[data-testid=channel][aria-current=page]");
		return here?.dataset.name === name && document.body.dataset.shown?.endsWith("/" + here.dataset.channelId); }`, name)
}

// sendMessage types a message and sends it.
func (v *browserDriver) sendMessage(text string) {
	v.Helper()
	v.sendIn("composer", text)
}

// sendIn types a message in the box of the channel or of the thread, and sends it.
func (v *browserDriver) sendIn(box, text string) {
	v.Helper()
	v.press("#"+box+"-text", "")
	v.insert(text)
	v.run("send "+text, pressEnter)
	v.waitTrue("the message to be sent: "+text, `(box) => document.getElementById(box + "-text").value === ""`, box)
}

// pressEnter presses Enter as a keyboard does, with the character as part of the
// keydown event. chromedp sends the character separately. A page that handles the
// keydown event could then receive a line break after it.
var pressEnter = pressKey("Enter", 13, "\r")

// pressKey presses a key with a code and the text that it types, or "".
func pressKey(name string, code int, text string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		key := map[string]any{"type": "keyDown", "key": name, "code": name, "windowsVirtualKeyCode": code}
		if text != "" {
			key["text"] = text
		}
		if err := t.Call(ctx, "Input.dispatchKeyEvent", key, nil); err != nil {
			return err
		}
		delete(key, "text")
		key["type"] = "keyUp"
		return t.Call(ctx, "Input.dispatchKeyEvent", key, nil)
	})
}

// waitMessage waits until a message contains all texts.
func (v *browserDriver) waitMessage(texts ...string) {
	v.Helper()
	v.waitTrue("a message: "+strings.Join(texts, " … "), `(texts) => [...document.querySelectorAll("#messages .message")].some((m) => texts.every((t) => m.textContent.replace(/\s+/g, " ").includes(t)))`, texts)
}

// messageSelector waits for a message with a text, and returns a selector of it. Others
// may follow it at any time.
func (v *browserDriver) messageSelector(text string) string {
	v.Helper()
	v.waitMessage(text)
	ts, err := chromedp.Run(v.ctx, chromedp.Evaluate[string](fmt.Sprintf(`[...document.querySelectorAll("#messages .message")].find((m) => m.textContent.includes(%q)).dataset.ts`, text)))
	if err != nil {
		v.Fatal(err)
	}
	return fmt.Sprintf("#messages [data-ts=%q]", ts)
}

// waitText waits until an element of a selector is visible and contains text.
func (v *browserDriver) waitText(css, text string) {
	v.Helper()
	v.waitTrue(css+" with "+text, `(css, text) => [...document.querySelectorAll(css)].some((el) => el.getClientRects().length && el.textContent.replace(/\s+/g, " ").includes(text))`, css, text)
}

// waitForm waits until the form of a verb is open.
func (v *browserDriver) waitForm(verb string) {
	v.Helper()
	v.waitTrue("the form "+verb, `(verb) => document.querySelector("#modal[open] form")?.dataset.callback === verb`, verb)
}

// fill sets the field of a form, or selects its options.
func (v *browserDriver) fill(block string, values ...string) {
	v.Helper()
	at := "#modal[open] [data-block-id='" + block + "'] "
	v.waitTrue("the field "+block, `(at) => Boolean(document.querySelector(at + ":is(.choices, input, select, textarea)"))`, at)
	if choices, err := chromedp.Run(v.ctx, chromedp.Evaluate[bool](fmt.Sprintf("Boolean(document.querySelector(%q))", at+".choices"))); err != nil {
		v.fail("fill in "+block, err)
	} else if choices {
		for _, value := range values {
			v.press(at+"[data-value='"+value+"'] input:not(:checked)", "")
		}
		return
	}
	v.waitTrue("fill in "+block, `(at, values) => {
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
	}`, at, values)
}

// fillIfAsked sets a field that the form has only if several values are possible.
func (v *browserDriver) fillIfAsked(block, value string) {
	v.Helper()
	asked, err := chromedp.Run(v.ctx, chromedp.Evaluate[bool](fmt.Sprintf("Boolean(document.querySelector(%q))", "#modal[open] [data-block-id='"+block+"'] :is(input, select)")))
	if err != nil {
		v.fail("look for "+block, err)
	}
	if asked {
		v.fill(block, value)
	}
}

// submitForm submits the form and waits until it is closed.
func (v *browserDriver) submitForm() {
	v.Helper()
	v.press("[data-testid=modal-submit]", "")
	v.waitTrue("the form to be accepted", `() => !document.getElementById("modal").open`)
}

// openThread opens the thread of the message that contains text.
func (v *browserDriver) openThread(text string) {
	v.Helper()
	v.waitTrue("the thread of "+text, `(text) => [...document.querySelectorAll("#messages .message")].some((m) => m.textContent.includes(text) && m.querySelector("[data-testid=open-thread]"))`, text)
	v.waitTrue("mark the message "+text, `(text) => { const all = [...document.querySelectorAll("#messages .message")].filter((m) => m.textContent.includes(text) && m.querySelector("[data-testid=open-thread]")); const m = all[all.length - 1]; m?.scrollIntoView({ block: "center" }); return Boolean(m) && (window.wanted = m.dataset.ts); }`, text)
	ts, err := chromedp.Run(v.ctx, chromedp.Evaluate[string]("window.wanted"))
	if err != nil {
		v.fail("the thread of "+text, err)
	}
	v.press(`#messages [data-testid=open-thread][data-ts="`+ts+`"]`, "")
	v.waitText("#thread h2", "Thread")
}

// waitReply waits until a message of the open thread contains all texts.
func (v *browserDriver) waitReply(texts ...string) {
	v.Helper()
	v.waitTrue("a reply: "+strings.Join(texts, " … "), `(texts) => [...document.querySelectorAll("#thread .message")].some((m) => texts.every((t) => m.textContent.replace(/\s+/g, " ").includes(t)))`, texts)
}

// openTab opens a tab next to the chat.
func (v *browserDriver) openTab(name string) {
	v.Helper()
	v.press("[data-testid=tab-"+name+"]", "")
	v.waitTrue("the tab "+name, `(name) => document.getElementById("tab-" + name).getAttribute("aria-selected") === "true"`, name)
}

// scrollToEnd scrolls to the end of the conversation, or to its start if end is false.
func (v *browserDriver) scrollToEnd(end bool) {
	v.Helper()
	v.waitTrue("the end of the conversation", `(end) => {
		const box = document.getElementById("messages"), to = end ? box.scrollHeight - box.clientHeight : 0;
		const there = Math.abs(box.scrollTop - to) < 2;
		box.scrollTop = to;
		return there; }`, end)
}

// scrollTo scrolls an element of the conversation to the top.
func (v *browserDriver) scrollTo(css string) {
	v.Helper()
	v.waitTrue("scroll to "+css, `(css) => {
		const box = document.getElementById("messages"), el = box.querySelector(css), before = box.scrollTop;
		el?.scrollIntoView({ block: "start", behavior: "instant" });
		return Boolean(el) && box.scrollTop === before; }`, css)
}

// setScreen sets the size of the viewport and the color scheme, light or dark.
func (v *browserDriver) setScreen(width, height int64, scheme string) {
	v.Helper()
	v.run("set the screen", chromedp.EmulateViewport(width, height), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		return t.Call(ctx, "Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	}))
}
