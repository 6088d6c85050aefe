package main

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"tocsin/bot/sandbox/chat"
	"tocsin/bot/sandbox/company"
)

// team are the five people of the incident in the browser. The submitter may not sign.
type team struct {
	commander, security, legal, communications, submitter company.Person
}

func newTeam(c *company.Company) team {
	return team{c.In("engineering")[0], c.In("security")[0], c.In("legal")[0], c.In("communications")[0], c.In("engineering")[3]}
}

// browserIncident is an incident that five people live on the demo's page.
type browserIncident struct {
	*browserDriver
	team
}

// TestDemo_InBrowser takes an incident from the first alert to the end of the review, as
// five people with pointer and keys on the demo's page. The checklist of the page must
// then be complete. It stores screenshots of each stage in the folder screenshots, which
// git ignores.
func TestDemo_InBrowser(t *testing.T) {
	findChromium(t)
	d, err := startDemo(t.Context(), demoOptions{Dir: t.TempDir(), Seed: 1, Limits: chat.Limits{Off: true}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	w, err := servePage(d.Company, "127.0.0.1:0", nil, deliveryOutcome(d.Bot))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	v := browserIncident{openBrowser(t, w.URL, d.Company), newTeam(d.Company)}
	for _, stage := range []func(browserIncident){
		browserIncident.openStartPage, browserIncident.sendAlerts, browserIncident.acknowledge, browserIncident.assignRole, browserIncident.finishStep,
		browserIncident.recordFacts, browserIncident.talk, browserIncident.typeCommands, browserIncident.containAndResolve, browserIncident.writeRecord,
		browserIncident.sign, browserIncident.readPostmortem, browserIncident.holdReview, browserIncident.checkTasks, browserIncident.checkOtherViews,
	} {
		stage(v)
	}
}

// openStartPage checks the page before any action.
func (v browserIncident) openStartPage() {
	v.waitText("#team-name", "Payroll")
	v.waitText("#panel h2", "Your first incident")
	v.waitText("[data-testid=progress]", "0 of 10 done")
	v.screenshot("start")
}

// sendAlerts sends an alert that is only watched and one that opens an incident. The page
// names the rules that decided.
func (v browserIncident) sendAlerts() {
	v.switchPerson(v.commander)
	v.openTab("alerts")
	v.press("[data-testid=alert-sentry-crash]", "")
	v.waitText("[data-alert=sentry-crash] [data-testid=alert-outcome]", "Watched")
	v.press("[data-testid=alert-sentry-data-leak]", "")
	v.waitText("[data-alert=sentry-data-leak] [data-testid=alert-outcome]", "Opened INC-1")
	v.waitText("[data-testid=channel]", "inc-1")
	v.screenshot("alerts")
	v.openTab("pager")
	v.waitText("[data-testid=pager-incident][data-status=triggered]", "INC-1")
	v.openChannel("inc-1")
	v.waitText(".message.pinned", "INC-1 sev1")
	v.scrollToEnd(false)
	v.screenshot("channel")
}

// acknowledge acknowledges the incident on the card with the keyboard.
func (v browserIncident) acknowledge() {
	v.waitTrue("the focus on Acknowledge", `() => { const b = document.querySelector(".message.pinned [data-action-id=ack]"); b?.focus(); return Boolean(b) && document.activeElement === b; }`)
	v.run("press Enter", pressEnter)
	v.waitText(".message.pinned", "ACTIVE")
	v.waitText(".message[data-ephemeral=true]", "You acknowledged")
	v.waitText("[data-testid=pager-incident][data-status=acknowledged]", "INC-1")
	v.screenshot("acknowledged")
}

// assignRole gives security its role with a form that a command opens.
func (v browserIncident) assignRole() {
	v.sendMessage("/incident role")
	v.waitForm("assign_role")
	v.fill("role", "security")
	v.fill("person", v.security.ID)
	v.screenshot("role-form")
	v.submitForm()
	v.waitTask("roles")
	v.sendMessage("/incident role scribe @" + handle(v.submitter))
	v.switchPerson(v.security)
	v.waitText("[data-testid=channel][data-name=inc-1]", "inc-1")
}

// handle returns how people mention a person in the sandbox.
func handle(p company.Person) string { return strings.TrimSuffix(p.Email, "@payroll.example") }

// finishStep completes a step in the thread of the checklist, as security.
func (v browserIncident) finishStep() {
	v.openChannel("inc-1")
	v.openThread("Checklist")
	v.press("#thread [data-action-id=step_done]", "confirm-exposure")
	v.waitForm("step_done")
	v.fill("text", "One employer's payslips were displayed to another, in 14 requests since 06:10.")
	v.screenshot("step-form")
	v.submitForm()
	v.waitTrue("the button of the step to go away", `() => !document.querySelector("#thread [data-action-id=step_done][data-value*=confirm-exposure]")`)
	v.sendIn("thread", "The cache key lacks the tenant. @"+handle(v.commander)+" shall I turn the cache off?")
	v.waitReply("shall I turn the cache off")
	v.screenshot("step-done")
	v.press("[data-testid=thread-close]", "")
	v.switchPerson(v.commander)
	v.waitText("[data-testid=channel][data-name=Threads] .pill", "")
	v.openChannel("Threads")
	v.press("[data-testid=thread-card] [data-testid=open-thread]", "")
	v.waitReply("shall I turn the cache off")
	v.screenshot("threads")
	v.leaveThread()
	v.openChannel("inc-1")
}

// leaveThread closes the thread with Escape. The focus was in the thread, and returns to
// the button that opened it.
func (v browserIncident) leaveThread() {
	v.waitTrue("the focus in the thread", `() => document.getElementById("thread").contains(document.activeElement)`)
	v.run("press Escape", pressKey("Escape", 27, ""))
	v.waitTrue("the focus on the button of the thread", `() => document.getElementById("thread").hidden && document.activeElement.dataset.testid === "open-thread"`)
}

// recordFacts records two facts with forms, one as the commander and one as legal. A
// missing reason is refused under its field.
func (v browserIncident) recordFacts() {
	v.sendMessage("/incident fact personal_data")
	v.waitForm("set_fact")
	v.fill("value", "suspected")
	v.press("[data-testid=modal-submit]", "")
	v.waitText("[data-block-id=text] [data-testid=field-error]", "")
	v.screenshot("fact-error")
	v.fill("text", "The displayed pages are payslips with names and bank accounts.")
	v.submitForm()
	v.waitTask("fact")
	v.switchPerson(v.legal)
	v.openChannel("inc-1")
	v.sendMessage("/incident fact aware")
	v.waitForm("set_fact")
	v.fill("regime", "gdpr")
	v.fill("value", time.Now().Format(time.DateOnly)+"T00:01")
	v.fill("text", "The commander confirmed the exposure in the channel.")
	v.screenshot("aware-form")
	v.submitForm()
	v.waitText(".message.pinned", "Deadline")
}

// talk writes, reacts, edits a message and keeps it with a shortcut, as communications.
func (v browserIncident) talk() {
	v.switchPerson(v.communications)
	v.openChannel("inc-1")
	v.sendMessage("Support got two calls about this")
	own := v.messageSelector("Support got two calls about this")
	v.press(own+" [data-testid=react]", "")
	v.press(own+" [data-testid=emoji][data-name=eyes]", "")
	v.waitText("[data-testid=reaction][data-name=eyes]", "1")
	v.press(own+" [data-testid=more]", "")
	v.screenshot("message-menu")
	v.press(own+" [data-testid=edit]", "")
	v.waitText("#confirm h2", "Edit message")
	v.insert(", both from Example SA")
	v.press("[data-testid=edit-save]", "")
	v.waitMessage("both from Example SA", "(edited)")
}

// typeCommands completes a command with Enter, and asks for help about a mistyped one.
func (v browserIncident) typeCommands() {
	v.switchPerson(v.commander)
	v.openChannel("inc-1")
	v.press("#composer-text", "")
	v.insert("/inc")
	v.waitText("[data-testid=hint][aria-selected=true]", "/incident")
	v.run("complete the command", pressEnter)
	v.waitTrue("the completed command", `() => document.getElementById("composer-text").value === "/incident "`)
	v.insert("sevrity sev2")
	v.run("send the command", pressEnter)
	v.waitText(".message[data-ephemeral=true]", "severity")
	v.screenshot("mistyped")
}

// containAndResolve marks the incident as contained with the button of the card, and as
// resolved.
func (v browserIncident) containAndResolve() {
	v.press(".message.pinned [data-action-id=contain]", "")
	v.waitForm("contain")
	v.fill("text", "The cache is off, and no page of another tenant was displayed since.")
	v.screenshot("contain-form")
	v.submitForm()
	v.waitTask("contain")
	v.sendMessage("/incident resolve")
	v.waitForm("resolve")
	v.fill("text", "The fixed cache key is deployed and tested.")
	v.fill("reason", "The open steps belong to legal and communications.")
	v.submitForm()
	v.waitText(".message.pinned", "RESOLVED")
	v.waitTask("resolve")
	v.scrollToEnd(false)
	v.screenshot("resolved")
}

var closingRecord = [][2]string{
	{"summary", "A cache without the tenant in its key displayed payslips of one employer to another. The cache was turned off eleven minutes after the alert."},
	{"impact", "Fourteen requests displayed payslips of 3,964 people of Example SA."},
	{"root_cause", "The cache key of the download page lacks the tenant."},
	{"contributing_factors", "No test opens the page as two tenants."},
	{"what_was_done", "The cache was turned off, the key was corrected and the logs were saved."},
	{"what_detected_it", "The assertion on the tenant, six minutes after the first request."},
	{"what_will_detect_it", "A probe that opens pages as two tenants every minute."},
	{"what_will_prevent_it", "A cache that refuses a key without a tenant."},
	{"audience", "all"},
}

// writeRecord submits the closing record, as an engineer who will not sign.
func (v browserIncident) writeRecord() {
	v.switchPerson(v.submitter)
	v.openChannel("inc-1")
	v.press(".message.pinned [data-action-id=submit]", "INC-1")
	v.waitForm("submit")
	v.screenshot("record-form")
	for _, f := range closingRecord {
		v.fill(f[0], f[1])
	}
	v.submitForm()
	v.waitText(".message.pinned", "IN REVIEW")
	v.waitTask("record")
	v.screenshot("in-review")
}

// sign signs as one representative per department.
func (v browserIncident) sign() {
	for _, one := range []struct {
		department string
		person     company.Person
	}{{"engineering", v.commander}, {"security", v.security}, {"legal", v.legal}, {"communications", v.communications}} {
		v.switchPerson(one.person)
		v.openChannel("inc-1")
		v.press(".message.pinned [data-action-id=sign]", "")
		v.waitForm("sign")
		v.fillIfAsked("department", one.department)
		v.fill("attest", "yes")
		v.screenshot("sign-" + one.department)
		v.submitForm()
	}
	v.waitTask("sign")
	v.waitText("[data-testid=file]", "postmortem")
	v.scrollToEnd(true)
	v.screenshot("approved")
}

// readPostmortem opens the file in the channel and the mail.
func (v browserIncident) readPostmortem() {
	v.press("[data-testid=file][data-name$='.md'] [data-testid=file-open]", "")
	v.waitText("[data-testid=file][data-name$='.md'] pre", "sha256:")
	v.openTab("mail")
	v.press("[data-testid=mail]", "ostmortem")
	v.waitText("[data-testid=mail-open]", "INC-1")
	v.screenshot("postmortem")
	v.press("[data-testid=mail-back]", "")
}

// holdReview schedules the meeting and concludes it with two actions.
func (v browserIncident) holdReview() {
	v.switchPerson(v.commander)
	v.openChannel("inc-1")
	v.sendMessage("/incident review")
	v.waitForm("schedule_review")
	day := time.Now().AddDate(0, 0, 5)
	v.fill("when", day.Format(time.DateOnly)+"T10:00")
	v.submitForm()
	v.openTab("mail")
	v.press("[data-testid=mail]", "eview")
	v.waitText("[data-testid=invitation]", "INC-1")
	v.screenshot("invitation")
	v.sendMessage("/incident review conclude")
	v.waitForm("conclude_review")
	v.fill("attendance", v.commander.ID, v.security.ID, v.legal.ID)
	v.fill("text", "Every cache gets the tenant in its key this month.")
	v.fill("reason", "The customer asked for the decisions today.")
	v.fill("detection", "A probe that opens pages as two tenants")
	v.fill("detection_owner", v.security.ID)
	v.fill("detection_due", day.AddDate(0, 1, 0).Format(time.DateOnly))
	v.fill("prevention", "A cache that refuses a key without a tenant")
	v.fill("prevention_owner", v.submitter.ID)
	v.fill("prevention_due", day.AddDate(0, 2, 0).Format(time.DateOnly))
	v.screenshot("conclude-form")
	v.submitForm()
	v.waitText(".message.pinned", "CLOSED")
	v.screenshot("closed")
}

// waitTask waits until the checklist has ticked a task.
func (v browserIncident) waitTask(id string) {
	v.Helper()
	v.openTab("start")
	v.waitTrue("the task "+id+" to be ticked", `(id) => document.querySelector("[data-task=" + id + "]")?.dataset.done === "true"`, id)
}

// checkTasks checks that the checklist is complete.
func (v browserIncident) checkTasks() {
	v.openTab("start")
	v.waitText("[data-testid=progress]", "10 of 10 done")
	v.screenshot("checklist")
}

// checkOtherViews checks the app's home, the log, the dark scheme and a narrow screen.
func (v browserIncident) checkOtherViews() {
	v.openTab("alerts")
	v.press("[data-testid=alert-cloudtrail-access-key]", "")
	v.waitText("[data-testid=channel]", "inc-2")
	v.openChannel("Home")
	v.waitText("[data-testid=home]", "INC-2")
	v.openTab("faults")
	v.screenshot("home-and-faults")
	v.openTab("log")
	v.waitText("[data-testid=log-entry]", "chat.postMessage")
	v.openChannel("inc-2")
	v.waitText(".message.pinned [data-action-id=ack]", "Acknowledge")
	v.scrollToEnd(false)
	v.setScreen(1400, 950, "dark")
	v.screenshot("dark-channel-and-log")
	v.setScreen(420, 900, "light")
	v.scrollTo(".message.pinned")
	v.screenshot("narrow-card")
	v.press("#panes button", "Channels")
	v.screenshot("narrow-channels")
	v.press("#panes button", "Tools")
	v.openTab("pager")
	v.waitText("[data-testid=pager-incident][data-status=triggered]", "INC-2")
	v.setScreen(420, 900, "dark")
	v.screenshot("narrow-dark-pager")
}
