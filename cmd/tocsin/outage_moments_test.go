//go:build !race

package main_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"tocsin/bot/incident"
	"tocsin/bot/sandbox/company"
	"tocsin/bot/sandbox/pager"
)

// moment is a time in the life of an incident.
type moment struct {
	name    string
	prepare func(r *outageRun)              // before the outage
	act     func(r *outageRun, name string) // during the outage
	check   func(r *outageRun, name string) // after it
}

// moments are at which times the outages of [TestOutages] begin. The incidents INC-1 to
// INC-4 exist before. The alert at the opening begins another, and the log files in the
// bucket two more.
var moments = []moment{
	{name: "in the channel", prepare: func(r *outageRun) {
		r.mustSend("open sev3 a key leaked", "ack INC-1")
	}, act: func(r *outageRun, m string) {
		r.tries = r.command(m, "note INC-1 written during the outage")
		r.command(m, "severity INC-1 sev1 because it grows")
		r.expectPage(m, 1, 2)
		r.command(m, "ack INC-1")
	}, check: func(r *outageRun, m string) {
		notes := 0
		for _, e := range r.view(1).Timeline {
			if e.Kind == incident.EventNoted && e.Text("text") == "written during the outage" {
				notes++
			}
		}
		if notes < 1 || notes > r.tries {
			r.fail(m, "got the note %d times, want it once for %d tries", notes, r.tries)
		}
	}},
	{name: "while paging", prepare: func(r *outageRun) {
		r.mustSend("open sev2 a database leaked")
		r.waitFor(20*time.Second, "the page", func() bool { return len(r.company.Pager.ByKey("INC-2/1")) == 1 })
	}, act: func(r *outageRun, m string) {
		r.command(m, "ack INC-2")
	}, check: func(r *outageRun, m string) {
		if in := r.company.Pager.ByKey("INC-2/1"); len(in) != 1 || in[0].Status != pager.Acknowledged {
			r.fail(m, "got pages %+v, want one that is acknowledged", in)
		}
	}},
	{name: "at sign-off", prepare: func(r *outageRun) { r.resolveIncident(3) }, act: func(r *outageRun, m string) {
		r.command(m, "submit INC-3")
		r.command(m, "review INC-3 2099-01-09 10:00")
	}, check: func(r *outageRun, m string) {
		if asked, invited := r.askedToSign(3), r.meetings(3, "REQUEST"); asked != 4 || len(invited) != 1 {
			r.fail(m, "got %d requests to sign and %d invitations, want 4 and 1", asked, len(invited))
		}
	}},
	{name: "at closing", prepare: (*outageRun).signIncident, act: func(r *outageRun, m string) {
		r.slashCommand(m, r.company.In("legal")[0], r.closing, "sign legal "+r.digest)
	}, check: func(r *outageRun, m string) {
		if in := r.view(4).Incident; in.Status != incident.Approved || len(in.Postmortems) != 1 {
			r.fail(m, "got status %s and %d postmortems, want approved and 1", in.Status, len(in.Postmortems))
		}
		shared := 0
		for _, f := range r.company.Chat.Files() {
			if len(f.Shares) > 0 {
				shared++
			}
		}
		if mails := len(r.company.Mail.For(company.EveryoneMail)); shared != 2 || mails != 1 {
			r.fail(m, "got %d shared files and %d mails to everyone, want 2 and 1", shared, mails)
		}
	}},
	{name: "at opening", prepare: func(r *outageRun) {
		r.aws.Put(auditLogs, logFolder+"before.json.gz", logFile("before", 1))
		r.waitFor(20*time.Second, "the incident of the log file", func() bool { return r.incidentOf("before") != 0 })
	}, act: func(r *outageRun, m string) {
		r.deliver(m, r.alert, 1)
		r.aws.Put(auditLogs, logFolder+"during.json.gz", logFile("before", 2))
		r.aws.Put(auditLogs, logFolder+"opening.json.gz", logFile("opening", 3))
		var id incident.ID
		seldom(*outageTime+5*time.Minute, func() bool { id = r.incidentOf(alertName); return id != 0 })
		if id == 0 {
			r.fail(m, "the alert opened no incident")
			return
		}
		r.expectPage(m, id, 1)
	}, check: func(r *outageRun, m string) {
		want := map[string]int{alertName: 1, "before": 3, "opening": 3}
		for name, n := range want {
			if got := r.queryInt(fmt.Sprintf(`SELECT coalesce(sum(count), 0) FROM alerts WHERE incident_id = %d`, r.incidentOf(name))); got != n {
				r.fail(m, "%s: got %d counted alerts in %s, want %d", name, got, r.incidentOf(name), n)
			}
		}
	}},
}

// alertName is the name of the user in the alert at the opening.
const alertName = "case-000"

// logFile returns a log file in which a user stops trails.
func logFile(user string, records int) []byte {
	var out []string
	for n := range records {
		out = append(out, fmt.Sprintf(`{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","userName":%[1]q,"arn":"arn:aws:iam::111122223333:user/%[1]s"},"eventTime":%[2]q,`+
			`"eventSource":"cloudtrail.amazonaws.com","eventName":"StopLogging","requestParameters":{"name":"trail-%[3]d-%[4]d"},"awsRegion":"eu-west-1","sourceIPAddress":"203.0.113.7",`+
			`"eventID":"%08[3]x-0000-4000-8000-%012[4]x","eventType":"AwsApiCall","recipientAccountId":"111122223333"}`, user, time.Now().UTC().Format(time.RFC3339), len(user)<<8+records, n))
	}
	return gzipped(`{"Records":[` + strings.Join(out, ",") + `]}`)
}

// incidentOf returns the incident with a word in its title, or 0.
func (r *outageRun) incidentOf(word string) incident.ID {
	reply, err := r.sendCommand("list all")
	if err != nil || reply.List == nil {
		return 0
	}
	for _, s := range *reply.List {
		if strings.Contains(s.Title, word) {
			return s.ID
		}
	}
	return 0
}

// resolveIncident opens an incident that is ready to be submitted.
func (r *outageRun) resolveIncident(id incident.ID) (channel string) {
	r.t.Helper()
	r.mustSend(fmt.Sprintf("open sev3 --public leak number %d", id), "ack "+id.String(), "contain "+id.String()+" disabled", "resolve "+id.String()+" rotated because nothing is left")
	for _, field := range []string{"summary", "impact", "root_cause", "what_was_done", "what_detected_it", "what_will_detect_it", "what_will_prevent_it"} {
		r.mustSend("record set " + id.String() + " " + field + " text of " + field)
	}
	r.mustSend("record set " + id.String() + " audience all")
	return r.channelOf(id).ID
}

// askedToSign returns the number of requests to sign in the channel of an incident.
func (r *outageRun) askedToSign(id incident.ID) (n int) {
	for _, message := range everyMessage(r.company.Chat, r.channelOf(id).ID) {
		if key, _ := messageKey(message); strings.Contains(key, "/ask_sign/") {
			n++
		}
	}
	return n
}

// signIncident opens an incident that lacks one signature.
func (r *outageRun) signIncident() {
	r.t.Helper()
	r.closing = r.resolveIncident(4)
	r.mustSend("submit INC-4")
	r.waitFor(20*time.Second, "the requests to sign", func() bool { return r.askedToSign(4) == 4 })
	r.digest = r.view(4).Incident.Submission.Digest
	for _, department := range []string{"engineering", "security", "communications"} {
		who := r.company.In(department)[0]
		if department == "engineering" {
			who = r.company.In(department)[1]
		}
		if !r.slashUntilRecorded(who, r.closing, "sign "+department+" "+r.digest) {
			r.t.FailNow()
		}
	}
}

// pageWays are the systems that page people, in the order of the steps.
var pageWays = []string{systemPager, systemMail, systemChat}

// expectPage waits for the page of a round. If a way works, it must arrive during the
// outage.
func (r *outageRun) expectPage(m string, id incident.ID, round int) {
	works := slices.IndexFunc(pageWays, func(system string) bool { return !r.isAway(system) })
	limit := 90 * time.Second
	if works < 0 || r.databaseAway() {
		limit += *outageTime + 3*time.Minute
	}
	began := time.Now()
	if !seldom(limit, func() bool { _, ok := r.paged(id, round); return ok }) {
		r.fail(m, "%s was not paged in round %d", id, round)
		return
	}
	way, _ := r.paged(id, round)
	r.saw(m, "paged by %s after %v", way, time.Since(began).Round(time.Second))
}

// watch requires the outage to be visible.
func (r *outageRun) watch() {
	for _, w := range r.ways {
		if w.system == systemSQLite || w.system == systemPostgres {
			r.watchDatabase()
			return // nothing else is seen without the database
		}
	}
	var seen []string
	for _, w := range r.ways {
		part := w.part()
		var d degradedPart
		if !seldom(90*time.Second, func() bool { _, _, parts := r.readyz(); d = parts[part]; return d.Part != "" }) {
			r.fail(everyMoment, "/readyz does not name %s", part)
			continue
		}
		if d.Cause == "" || d.Since.Before(r.began.Add(-2*time.Second)) || d.Since.After(time.Now()) {
			r.fail(everyMoment, "got /readyz %+v, want a cause and a time after %s", d, r.began)
		}
		r.t.Logf("%v after the begin: %s: %s", time.Since(r.began).Round(time.Millisecond), d.Part, d.Cause)
		seen = append(seen, fmt.Sprintf("%s since %s: %s", d.Part, d.Since.Format(time.TimeOnly), d.Cause))
		if w.system != systemAWS {
			r.watchEffects(w)
		}
	}
	r.health = "degraded, " + strings.Join(seen, ". ")
}

func (r *outageRun) watchDatabase() {
	began := time.Now()
	if !seldom(20*time.Second, func() bool {
		code, body, _ := r.readyz()
		return code == http.StatusServiceUnavailable && strings.Contains(body, "database")
	}) {
		r.fail(everyMoment, "/readyz does not answer 503 with the database")
	}
	r.health = fmt.Sprintf("503 with the database after %v", time.Since(began).Round(time.Second))
}

// watchEffects requires `tocsin effects` and the log to name what waits for a system.
func (r *outageRun) watchEffects(w outageWay) {
	var found incident.WaitingEffect
	if !seldom(90*time.Second, func() bool {
		for _, e := range r.waitingEffects() {
			if e.System == w.system && e.Incident != 0 {
				found = e
				return true
			}
		}
		return false
	}) {
		r.fail(everyMoment, "tocsin effects lists nothing that waits for %s", w.system)
		return
	}
	if found.Cause == "" || found.Attempts < 1 || found.Since.Before(r.began.Add(-2*time.Second)) {
		r.fail(everyMoment, "tocsin effects lists %+v, want a cause, attempts and a time after %s", found, r.began)
	}
	if raw.MatchString(found.Cause) {
		r.fail(everyMoment, "tocsin effects lists the cause %q, want a sentence for people", found.Cause)
	}
	r.waited[w.system] = fmt.Sprintf("%s of %s", found.Kind, found.Incident)
	line := regexp.MustCompile(`(?m)^.*\beffect=\S*` + found.Incident.String() + `/.*$`)
	for _, l := range line.FindAllString(r.logText(), -1) {
		if strings.Contains(l, "attempt=") && strings.Contains(l, "incident="+found.Incident.String()) && (strings.Contains(l, "cause=") || strings.Contains(l, "err=")) {
			r.logged = l
			return
		}
	}
	r.fail(everyMoment, "the log names no attempt of %s %s, its incident and cause", found.Kind, found.Incident)
}

// raw matches texts of libraries and addresses of servers, which tell people nothing.
var raw = regexp.MustCompile(`https?://|127\.0\.0\.1|\b(dial|EOF|EHLO|AUTH|got status|deadline exceeded)\b|: .*: `)

// checkFailedPages requires the timeline to explain failed pages to people.
func (r *outageRun) checkFailedPages(views []incident.View) {
	for _, v := range views {
		for _, e := range v.Timeline {
			if text := e.Text("reason"); e.Kind == incident.EventPageFailed && (text == "" || raw.MatchString(text)) {
				r.fail(everyMoment, "%s: a page failed because %q, want a sentence for people", v.Incident.ID, text)
			}
		}
	}
}

// everyMoment is the moment of problems that concern all.
const everyMoment = "outage"

// noticeAfter is how long an outage lasts before people have a notice about it while an
// incident is live, with the time to send it.
const noticeAfter = 140 * time.Second

// checkNotices requires a notice about each outage that lasted long enough, if a way to
// notify people works. PagerDuty pages only for a system that pages depend on.
func (r *outageRun) checkNotices() {
	if *outageTime < noticeAfter || r.databaseAway() || r.isAway(systemChat) && r.isAway(systemMail) && r.isAway(systemPager) {
		return
	}
	for _, w := range r.ways {
		part := w.part()
		if r.isAway(systemChat) && r.isAway(systemMail) && w.system != systemChat && w.system != systemPager {
			continue
		}
		var way string
		if !seldom(30*time.Second, func() bool { way = r.noticeAbout(part); return way != "" }) {
			r.fail(everyMoment, "people have no notice about %s after %v", part, *outageTime)
			continue
		}
		r.saw(everyMoment, "notice about %s by %s", part, way)
	}
}

// noticeAbout returns the way of a notice about a part, or "".
func (r *outageRun) noticeAbout(part string) string {
	for _, m := range r.company.Chat.Messages("C0INCIDENTS") {
		if strings.Contains(m.Text+string(m.Blocks), part) {
			return "Slack"
		}
	}
	for _, m := range r.company.Mail.Messages() {
		if strings.Contains(m.Subject+m.Text, part) {
			return "mail"
		}
	}
	for _, p := range r.company.Pager.Snapshot().Pages {
		if strings.Contains(p.Text, part) {
			return "PagerDuty"
		}
	}
	return ""
}

// recover requires everything to be done after the outage, without help. What failed is
// tried after five minutes at the latest.
func (r *outageRun) recover() {
	r.waitFor(2*time.Minute, "the log files to be read", func() bool { return len(r.aws.Messages("trail")) == 0 })
	r.waitIdle(6 * time.Minute)
	r.waitUntilNothingWaits()
	ready := func() bool {
		code, status, parts := r.readyz()
		delete(parts, "disk space") // the disk of the test is small
		return status == "ready" || code == http.StatusOK && r.disk != "" && len(parts) == 0
	}
	if !seldom(time.Minute, ready) {
		_, status, parts := r.readyz()
		r.fail(everyMoment, "got /readyz %s %v after the outage, want ready", status, parts)
	}
	r.saw(everyMoment, "done %v after the outage", time.Since(r.ended).Round(time.Second))
}

// check compares the incidents with the systems, and returns a row of the table for each
// moment.
func (r *outageRun) check() (rows []string) {
	var views []incident.View
	for n := range r.queryInt("SELECT count(*) FROM incidents") {
		views = append(views, r.view(incident.ID(n+1)))
	}
	unread := func(v incident.View) bool { return strings.Contains(v.Incident.Title, "cannot be read") } // of log files, in a long outage
	if n := len(slices.DeleteFunc(slices.Clone(views), unread)); n != 7 {
		r.fail(everyMoment, "got %d incidents, want 7", n)
	}
	for _, m := range moments {
		m.check(r, m.name)
	}
	r.stop()
	r.checkChannels(views)
	r.checkFailedPages(views)
	effects := r.checkEffects()
	doubled := r.checkMessages(effects)
	for id, n := range r.company.Mail.Counts() {
		if n != 1 {
			r.fail(everyMoment, "got mail %s %d times", id, n)
		}
	}
	triggers := map[string]int{}
	for _, q := range r.company.Pager.Requests() {
		if q.Effect == pager.EffectPaged {
			if triggers[q.Event.DedupKey]++; triggers[q.Event.DedupKey] > 1 {
				r.fail(everyMoment, "got page %s twice", q.Event.DedupKey)
			}
		}
	}
	r.checkVerify()
	failed := r.t.Failed()
	names := []string{}
	for _, w := range r.ways {
		names = append(names, w.name)
	}
	for _, m := range moments {
		rows = append(rows, r.row(strings.Join(names, " + "), m.name, len(effects), doubled, failed))
	}
	return rows
}

func (r *outageRun) row(outage, m string, effects, doubled int, failed bool) string {
	channel, once := "one, with its card", fmt.Sprintf("yes (%d effects, %d doubled)", effects, doubled)
	if failed {
		once = "NO: " + strings.Join(slices.Concat(r.problems[m], r.problems[everyMoment]), ", ")
	}
	log := r.logged
	if r.databaseAway() {
		log = "part failed, part=database"
	}
	people := slices.Concat(r.heard[m], r.heard[everyMoment])
	if r.databaseAway() {
		people = append(people, fmt.Sprintf("%d alerts and commands answered \"try again\", accepted later", r.rejected))
	}
	waited := []string{}
	for _, w := range r.ways {
		if r.waited[w.system] != "" {
			waited = append(waited, r.waited[w.system])
		}
	}
	if len(waited) > 0 {
		people = append(people, "`tocsin effects`: "+strings.Join(waited, ", "))
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s |", outage, m, channel, once, r.health, tail(log, 200), strings.Join(people, ". "))
}
