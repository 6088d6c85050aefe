package slack

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	neutral "tocsin/bot/chat"
	"tocsin/bot/command"
	"tocsin/bot/incident"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// laidOut lays a message out like a Slack with the default configuration.
func laidOut(m neutral.Message) message {
	return (&Slack{cfg: options{Config: Config{CommandName: "/incident"}}}).layout(m)
}

// render lays the message about an event out, or returns false without one.
func render(b incident.Brief) (message, bool) {
	m, ok := neutral.EventMessage(b, incident.ViaSlack)
	return laidOut(m), ok
}

func card(b incident.Brief) message { return laidOut(neutral.Card(b)) }

func resultMessage(cmd incident.Command, r incident.Result) message {
	return laidOut(neutral.Result(cmd, r))
}

// fullIncident returns INC-42 with everything that a message can show.
func fullIncident() incident.Incident {
	inc := withSubmittedRecord(openedIncident(), incident.AudienceAll)
	inc.Status, inc.Commander, inc.Paging.AcknowledgedBy = incident.InReview, "p1", "p1"
	inc.Roles = map[incident.Role]incident.PersonID{incident.Commander: "p1", incident.Scribe: "p4"}
	inc.InvolvedDepartments = []incident.Department{incident.Legal, incident.Communications}
	inc.Links = map[string]string{incident.LinkChannel: "C0000000042"}
	inc.Facts.PersonalData = incident.PersonalSuspected
	inc.Runs = []incident.Run{{Playbook: "leaked-aws-credentials", Title: "Leaked AWS credentials", Digest: "sha256:0123456789abcdef", Plan: []incident.Step{
		{ID: "disable-key", Title: "Disable the key", Detail: "Disable, do not delete: the key id is evidence.", Role: incident.OperationLead, Deadline: 30 * time.Minute,
			Status: incident.StepOpen, Started: noon},
		{ID: "involve-legal", Title: "Involve legal", Action: "involve:legal", Status: incident.StepDone, Started: noon},
		{ID: "write-scribe", Title: "Write the log", Role: incident.Scribe, Status: incident.StepLate, Started: noon, Deadline: time.Hour},
	}}}
	inc.Signatures = []incident.Signature{{Department: incident.Security, By: "p2", At: noon, Digest: inc.Submission.Digest}}
	inc.Objections = []incident.Objection{{ID: "O1", Department: incident.Legal, By: "p3", At: noon, Reason: "The impact is understated.", Digest: inc.Submission.Digest}}
	inc.Consultations = []incident.Consultation{{Team: "payroll", Blocking: true, AskedAt: noon}}
	inc.Actions = []incident.Action{{ID: "A1", Kind: incident.ActionDetection, Title: "Alarm on root logins", Owner: "p2", Due: noon.AddDate(0, 1, 0)}}
	inc.Review.At = noon.AddDate(0, 0, 4)
	inc.Calls = []incident.Call{{Person: "p1", Cause: incident.CalledOnCall, At: noon.Add(-20 * time.Minute)}, {Person: "p4", Cause: incident.CalledRole, Role: incident.Scribe, At: noon.Add(-10 * time.Minute), PagedAt: noon.Add(-5 * time.Minute)},
		{Person: "p3", Cause: incident.CalledByPerson, At: noon.Add(-time.Minute)}}
	inc.Here = map[incident.PersonID]time.Time{"p1": noon.Add(-19 * time.Minute), "p2": noon}
	inc.NotInvited = map[incident.PersonID]string{"p4": "no Slack user in the configuration"}
	return inc
}

// fixture is the content of an event.
type fixture struct {
	fields map[string]string
	texts  map[string]string
	system bool
}

func fixtures() map[incident.EventKind]fixture {
	reason := map[string]string{"reason": "the logs show it"}
	text := map[string]string{"text": "a text by a responder"}
	route := map[string]string{"round": "1", "escalation_step": "0", "next": "1"}
	digest := "sha256:" + strings.Repeat("ab", 32)
	step := map[string]string{"run": "leaked-aws-credentials", "step": "disable-key"}
	frozen := map[string]string{"revision": "1", "digest": digest}
	return map[incident.EventKind]fixture{
		incident.EventAlertAttached: {map[string]string{"source": "cloudtrail", "kind": "cloudtrail.StopLogging", "level": "high", "at": "2026-11-20T11:58:00Z"},
			map[string]string{"title": "Trail stopped", "detail": "trail org-main", "rule": "AWS CloudTrail Important Change (vitaliy0x1)", "url": "https://console.example.com/e"}, true},
		incident.EventAlertCounted:        {map[string]string{"count": "100"}, map[string]string{"title": "Root login"}, true},
		incident.EventSourceNoted:         {map[string]string{"source": "sentry"}, map[string]string{"text": "resolved by a person"}, true},
		incident.EventAcknowledged:        {texts: text},
		incident.EventAckTimedOut:         {fields: map[string]string{"person": "p1"}, system: true},
		incident.EventEvidenceChanged:     {map[string]string{"evidence": "E1", "how": "edited", "person": "p2"}, map[string]string{"text": "what it says now"}, true},
		incident.EventNotInvited:          {map[string]string{"people": "p4"}, map[string]string{"reason": "no Slack user in the configuration"}, true},
		incident.EventPageFailed:          {route, reason, true},
		incident.EventPersonalPageStarted: {map[string]string{"people": "p1,p4", "medium": "pagerduty"}, reason, false},
		incident.EventPageUnanswered:      {fields: route, system: true},
		incident.EventSeveritySet:         {map[string]string{"from": "sev3", "severity": "sev1"}, reason, false},
		incident.EventSeverityProposed:    {fields: map[string]string{"from": "sev4", "severity": "sev1", "kind": "sentry.issue", "alert": "17", "until": "2026-11-20T12:05:00Z"}, system: true},
		incident.EventRoleAssigned:        {map[string]string{"role": "scribe", "person": "p4"}, nil, false},
		incident.EventFactSet:             {map[string]string{"fact": "aware", "regime": "gdpr", "value": "2026-11-20T11:00:00Z"}, reason, false},
		incident.EventDepartmentsInvolved: {map[string]string{"departments": "legal,dpo"}, reason, false},
		incident.EventNoted:               {texts: text},
		incident.EventEvidence:            {map[string]string{"evidence": "E1", "sha256": strings.Repeat("0f", 32)}, map[string]string{"name": "trail.json", "where": "the vault"}, false},
		incident.EventUpdated:             {fields: map[string]string{"update": "U1", "audiences": "company,customers"}, texts: text},
		incident.EventContained:           {texts: text},
		incident.EventResolved:            {texts: text},
		incident.EventReopened:            {texts: reason},
		incident.EventDismissProposed:     {texts: reason},
		incident.EventDismissed:           {map[string]string{"person": "p2"}, reason, false},
		incident.EventMergedInto:          {map[string]string{"target": "INC-41"}, reason, false},
		incident.EventMergedFrom:          {map[string]string{"source": "INC-43"}, reason, false},
		incident.EventSplitInto:           {map[string]string{"target": "INC-44", "alerts": "3,4"}, reason, false},
		incident.EventSplitFrom:           {map[string]string{"source": "INC-41"}, reason, false},
		incident.EventLegalHoldSet:        {texts: reason},
		incident.EventLegalHoldReleased:   {texts: reason},
		incident.EventStepStarted:         {fields: step, system: true},
		incident.EventStepDone:            {map[string]string{"run": "leaked-aws-credentials", "step": "involve-legal"}, map[string]string{"outcome": "Involved legal.\nNobody of legal answered."}, true},
		incident.EventStepLate:            {fields: map[string]string{"run": "leaked-aws-credentials", "step": "write-scribe"}, system: true},
		incident.EventAccessRequested:     {map[string]string{"until": "2026-12-01T00:00:00Z"}, reason, false},
		incident.EventBreakGlassUsed:      {map[string]string{"until": "2026-11-24T07:00:00Z"}, reason, false},
		incident.EventRestricted:          {map[string]string{"restricted": "true"}, reason, false},
		incident.EventReplacementNamed:    {map[string]string{"department": "legal", "person": "p3", "until": "2026-11-27T00:00:00Z", "administrator": "root"}, reason, false},
		incident.EventChannelReplaced:     {fields: map[string]string{"name": "slack.channel", "value": "C0NEW"}, system: true},
		incident.EventEffectFailed:        {map[string]string{"effect": "INC-42/9/invite"}, reason, true},
		incident.EventEffectDropped:       {map[string]string{"effect": "INC-42/9/invite", "administrator": "root"}, reason, true},
		incident.EventErasureProposed:     {texts: reason},
		incident.EventActProposed:         {map[string]string{"act": "set_legal_hold"}, reason, false},
		incident.EventErased:              {map[string]string{"person": "p2"}, reason, false},
		incident.EventErasureRepeated:     {fields: map[string]string{"erasure": "17"}, system: true},
		incident.EventRestored:            {fields: map[string]string{"backup_at": "2026-11-23T09:00:00Z", "restored_at": "2026-11-23T10:00:00Z"}, system: true},
		incident.EventDistrusted: {map[string]string{"distrusted": "slack", "since": "2026-11-20T09:00:00Z", "undone": "5-7", "lapsed": "p1", "signatures": "legal", "status": "triage",
			"changes": `[{"seq":9,"kind":"fact_set","by":"p1","at":"2026-11-20T10:00:00Z","provider":"slack"}]`}, reason, true},
		incident.EventSeparated:           {map[string]string{"source": "INC-41", "alerts": "3"}, reason, true},
		incident.EventPersonLeft:          {map[string]string{"person": "p2", "role": "commander", "access": "true", "action": "A1", "successor": "p3"}, nil, true},
		incident.EventSubmitted:           {fields: frozen},
		incident.EventRevised:             {frozen, reason, false},
		incident.EventAmended:             {texts: reason},
		incident.EventSignatureWithdrawn:  {map[string]string{"department": "security", "digest": digest}, reason, false},
		incident.EventSignaturesVoided:    {map[string]string{"signatures": "2"}, reason, false},
		incident.EventObjected:            {map[string]string{"objection": "O1", "department": "legal"}, reason, false},
		incident.EventApproved:            {fields: frozen},
		incident.EventAnswered:            {map[string]string{"department": "payroll"}, map[string]string{"answer": "nothing was paid twice"}, false},
		incident.EventDelegated:           {map[string]string{"department": "legal", "person": "p3", "until": "2026-11-27T00:00:00Z"}, reason, false},
		incident.EventDelegationEnded:     {map[string]string{"department": "legal", "person": "p3"}, reason, false},
		incident.EventActionAdded:         {map[string]string{"action": "A1", "kind": "detection", "owner": "p2", "due": "2026-12-20T00:00:00Z"}, map[string]string{"title": "Alarm on root logins"}, false},
		incident.EventActionDone:          {map[string]string{"action": "A1"}, text, false},
		incident.EventReviewScheduled:     {map[string]string{"when": "2026-11-24T10:00:00Z"}, text, false},
		incident.EventReviewCancelled:     {fields: map[string]string{"when": "2026-11-24T10:00:00Z", "cause": "reopened", "cancel": "p1,p4"}},
		incident.EventPostmortemWithdrawn: {fields: map[string]string{"revision": "1", "digest": digest, "cause": "reopened", "audience": "all"}},
		incident.EventReviewConcluded:     {map[string]string{"people": "p1,p4"}, map[string]string{"decisions": "no root keys any more"}, false},
		incident.EventWaiverProposed:      {texts: reason},
		incident.EventWaiverEndorsed:      {texts: reason},
		incident.EventClosed:              {},
	}
}

// statusFor returns a status in which the message about an event has its
// buttons.
func statusFor(kind incident.EventKind) incident.Status {
	switch kind {
	case incident.EventOpened, incident.EventChannelOpened, incident.EventPageFailed, incident.EventPageUnanswered, incident.EventAckTimedOut:
		return incident.Triage
	case incident.EventAcknowledged, incident.EventDismissProposed, incident.EventStepStarted, incident.EventStepLate:
		return incident.Active
	case incident.EventResolved, incident.EventAmended, incident.EventSignaturesVoided:
		return incident.Resolved
	case incident.EventApproved, incident.EventReviewScheduled, incident.EventReviewConcluded, incident.EventWaiverProposed:
		return incident.Approved
	}
	return incident.InReview
}

func (x fixture) brief(kind incident.EventKind) incident.Brief {
	b := brief(fullIncident())
	b.Incident.Status = statusFor(kind)
	if b.Incident.Status == incident.Triage {
		b.Incident.Paging.AcknowledgedBy = ""
	}
	b.Event = incident.Event{Seq: 7, Kind: kind, HappenedAt: noon, RecordedAt: noon, By: "p1", Audience: incident.AudienceResponders, Fields: x.fields}
	if x.system {
		b.Event.By = ""
	}
	switch kind { // the message asks for something
	case incident.EventApproved:
		b.Incident.Review.At = time.Time{}
	case incident.EventReviewScheduled:
		b.Incident.Review.At = time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	case incident.EventDismissProposed:
		b.Incident.Dismissal = &incident.Dismissal{By: "p1", At: noon, Reason: "a drill"}
	case incident.EventSeverityProposed:
		b.Incident.SeverityProposal = &incident.SeverityProposal{Severity: incident.Sev1, Alert: 17, Kind: "sentry.issue"}
	case incident.EventWaiverProposed:
		b.Incident.Review.WaivedBy = "p1"
	case incident.EventUpdated:
		b.Incident.Updates = []incident.Update{{ID: "U1", Seq: 7, By: "p1", At: noon, Audiences: []string{"company", "customers"}}}
	case incident.EventAccessRequested:
		b.Incident.AccessRequests = []incident.AccessRequest{{By: "p1", Until: noon.Add(incident.RequestTTL)}}
	}
	if len(x.texts) > 0 {
		b.Event.Texts = map[string]incident.Text{}
	}
	for name, v := range x.texts {
		b.Event.Texts[name] = incident.Text{Value: v}
	}
	return b
}

// The reason of an erasure may repeat the erased text.
func TestRender_ErasureReasonStaysOutOfTheChannel(t *testing.T) {
	for _, kind := range []incident.EventKind{incident.EventErasureProposed, incident.EventErased} {
		x := fixtures()[kind]
		x.texts = map[string]string{"reason": "it names Jane Roe"}
		m, ok := render(x.brief(kind))
		sent, err := json.Marshal(m.blocks)
		if err != nil || !ok {
			t.Fatalf("%s: got %v, %v", kind, ok, err)
		}
		if strings.Contains(string(sent)+m.text, "Jane Roe") {
			t.Errorf("%s: got the reason in %s", kind, sent)
		}
	}
}

// Slack must not format text of a person inside a sentence of Tocsin.
func TestRender_QuotedTextIsNotFormatted(t *testing.T) {
	x := fixtures()[incident.EventEvidence]
	x.texts = map[string]string{"name": "*Approved by legal* :white_check_mark:", "where": "s3://evidence/_web_.img"}
	m, _ := render(x.brief(incident.EventEvidence))
	for _, want := range []string{"`*Approved by legal* :white_check_mark:`", "`s3://evidence/_web_.img`"} {
		if !strings.Contains(m.text, want) {
			t.Errorf("got %q, want %q as code", m.text, want)
		}
	}
}

// Names and titles are not formatted either, and identifiers are not shown as code.
func TestRender_PlainTextIsNotFormatted(t *testing.T) {
	l := (&Slack{}).newLayouter(neutral.Message{})
	for text, want := range map[string]string{"*Approved*": "`*Approved*`", "a _b_ c": "`a _b_ c`", "~gone~": "`~gone~`", "missing_scope": "missing_scope", "in ~40 s": "in ~40 s", "save_the_logs now_": "save_the_logs now_", ":white_check_mark: ok": "`:white_check_mark: ok`", "at 12:30:45": "at 12:30:45",
		"CreateAccessKey by arn:aws:iam::991857658600:user/m.okafor": "CreateAccessKey by arn:aws:iam::991857658600:user/m.okafor", "arn:aws:iam::1:user/:tada:": "`arn:aws:iam::1:user/:tada:`"} {
		if got := string(l.arg(neutral.Plain(text))); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// checkGolden compares a message with testdata/NAME.json.
func checkGolden(t *testing.T, name string, m message) {
	t.Helper()
	got, err := json.MarshalIndent(map[string]any{"text": m.text, "blocks": m.blocks}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	checkGoldenText(t, name+".json", string(got))
}

// checkGoldenText compares a text with a file in testdata.
func checkGoldenText(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.TrimSpace(string(want)), got); diff != "" {
		t.Errorf("%s (-want +got), -update rewrites it:\n%s", path, diff)
	}
}

func TestMessages(t *testing.T) {
	cases := fixtures()
	f := newOutboundTest(t)
	channel := f.openChannel().Incident.Links[incident.LinkChannel]
	for _, kind := range incident.EventKinds() {
		t.Run(string(kind), func(t *testing.T) {
			x, hasFixture := cases[kind]
			m, ok := neutral.EventMessage(x.brief(kind), incident.ViaSlack)
			if ok != hasFixture {
				t.Fatalf("got message %v, want %v like the fixture", ok, hasFixture)
			}
			if !ok {
				return
			}
			checkGolden(t, "event_"+string(kind), laidOut(m))
			if _, err := f.slack.Post(f.ctx, channel, m, neutral.Mark{Key: "m"}); err != nil {
				t.Errorf("post: got error %v, want nil", err)
			}
		})
	}
}

func TestCardAndOtherMessages(t *testing.T) {
	open, grown := brief(openedIncident()), brief(fullIncident())
	consult := grown.Incident.Consultations[0]
	public := grown
	public.Incident.Restricted = false
	public.Event.Kind = incident.EventResolved
	open.Event.Kind = incident.EventOpened
	merged, dismissed := fixtures()[incident.EventMergedInto].brief(incident.EventMergedInto), fixtures()[incident.EventDismissed].brief(incident.EventDismissed)
	merged.Incident.MergedInto = 41
	agendas := incident.Brief{Agenda: []incident.Summary{grown.Incident.Summary(), {ID: 9, Status: incident.Dismissed, Severity: incident.Sev3, Title: "a drill"},
		{ID: 10, Status: incident.Approved, Severity: incident.Sev1, Title: "a leak", ReviewAt: noon}}}
	for name, m := range map[string]neutral.Message{
		"status": neutral.Status(grown), "ask_sign": neutral.SignatureRequest(grown, incident.Security), "ask_consult": neutral.AnswerRequest(grown, consult),
		"announce_restricted": neutral.Announcement(open), "announce_open": neutral.Announcement(public), "announce_postmortem": neutral.PostmortemAnnouncement(grown, grown.Incident.Submission.Document.Record),
		"agenda": neutral.AgendaMessage(agendas), "group_page": neutral.GroupPage(open, "S0SEC"), "archive_merged": neutral.FinalMessage(merged), "archive_dismissed": neutral.FinalMessage(dismissed), "person_page": neutral.PersonalPage(open), "who": neutral.Who(grown), "record": neutral.Record(recordView(), grown.Now),
	} {
		t.Run(name, func(t *testing.T) { checkGolden(t, name, laidOut(m)) })
	}
}

// recordView is an incident with drafts of two parts of its record.
func recordView() incident.View {
	inc := fullIncident()
	inc.Status, inc.Submission, inc.Record.Impact, inc.Record.RootCause = incident.Resolved, nil, "", ""
	return incident.View{Incident: inc, Directory: testDirectory(), Draft: incident.DraftRecord(inc, nil, testDirectory())}
}

// allMessages returns a message of every kind.
func allMessages() []neutral.Message {
	b, consult := brief(fullIncident()), fullIncident().Consultations[0]
	out := []neutral.Message{neutral.Card(brief(openedIncident())), neutral.Status(b), neutral.Record(recordView(), b.Now), neutral.SignatureRequest(b, incident.Security),
		neutral.AnswerRequest(b, consult), neutral.Announcement(b), neutral.PostmortemAnnouncement(b, b.Incident.Record), neutral.AgendaMessage(b),
		neutral.GroupPage(b, "S0SEC"), neutral.PersonalPage(b), neutral.Who(b), neutral.ShortHelp(), neutral.ReactionRemoved(42), neutral.FormNeeded(incident.Command{Verb: incident.VerbContain, For: 42}), neutral.Help(""), neutral.Help("open"), neutral.Incidents(nil)}
	for kind, x := range fixtures() {
		b := x.brief(kind)
		m, _ := neutral.EventMessage(b, incident.ViaSlack)
		out = append(out, m, neutral.FinalMessage(b), neutral.Announcement(b),
			neutral.Result(incident.Command{Verb: incident.VerbNote, Via: incident.ViaSlack}, incident.Result{Incident: b.Incident, Events: []incident.Event{b.Event}}))
	}
	for _, t := range incident.Transitions {
		out = append(out, neutral.Result(incident.Command{Verb: t.Verb, For: 42}, incident.Result{Incident: b.Incident}))
	}
	return out
}

// TestMessages_FormatsHaveNoMarkup covers the formats of texts, which the layout
// does not escape.
func TestMessages_FormatsHaveNoMarkup(t *testing.T) {
	var check func(any)
	check = func(v any) {
		switch v := v.(type) {
		case neutral.Text:
			if strings.ContainsAny(v.Format, "*_~`<>&") || isFormatted(v.Format) {
				t.Errorf("got the format %q, want no markup", v.Format)
			}
			for _, arg := range v.Args {
				check(arg)
			}
		case neutral.Strong:
			check(v.Value)
		case neutral.List:
			for _, item := range v {
				check(item)
			}
		case neutral.Joined:
			check(neutral.List(v.Items))
		case neutral.Paragraph:
			check(v.Text)
		case neutral.Small:
			for _, text := range v {
				check(text)
			}
		case neutral.Fields:
			for _, f := range v {
				check(f.Value)
			}
		}
	}
	for _, m := range allMessages() {
		check(m.Notification())
		check(m.Shortened())
		for _, b := range m.Blocks {
			check(b)
		}
	}
}

// TestMessages_ButtonsCarryTheirCommands presses every button with the value that
// Slack stores.
func TestMessages_ButtonsCarryTheirCommands(t *testing.T) {
	pressed := 0
	for _, m := range allMessages() {
		for _, b := range m.Blocks {
			var actions []neutral.Action
			switch b := b.(type) {
			case neutral.Actions:
				actions = b
			case neutral.Choice:
				actions = b.Options
			}
			for _, a := range actions {
				if a.Command.Verb == "" { // a question or a link
					continue
				}
				pressed++
				verb, known := actionVerb(ActionID(a.Command.Verb))
				id, args, err := parseValue(buttonValue(a.Command.For, command.ButtonArgs(a.Command)...))
				if got := command.Press(verb, id, args); err != nil || !known || !cmp.Equal(got, a.Command) {
					t.Errorf("button %q: got %+v, %v, %v, want %+v", a.Label, got, known, err, a.Command)
				}
			}
		}
	}
	if pressed < 50 {
		t.Errorf("pressed %d buttons, want at least 50", pressed)
	}
}

func TestRender_TimeZoneUnchanged(t *testing.T) {
	x := fixture{fields: map[string]string{"fact": "time_zone", "value": "America/New_York"}}
	if m := laidOut(neutral.EventDetails(x.brief(incident.EventFactSet))); !strings.Contains(m.text, "America/New_York") || !strings.Contains(m.text, "time zone") {
		t.Errorf("got %s, want the time zone", m.text)
	}
}

func TestRender_PrivilegedTextHidden(t *testing.T) {
	b := fixture{texts: map[string]string{"text": "privileged advice"}}.brief(incident.EventNoted)
	b.Event.Audience = incident.AudienceLegalSecurity
	m, _ := render(b)
	raw, _ := json.Marshal(m.blocks)
	if strings.Contains(m.text+string(raw), "privileged") {
		t.Fatalf("got %s, want no privileged text", raw)
	}
}

// hostileText draws texts that attack the markup or limits of Slack, or the
// reader.
func hostileText() *rapid.Generator[string] {
	nasty := rapid.SampledFrom([]string{"<!channel>", "<!here|x>", "<@U0ADA>", "<https://evil.example|your bank>", "&lt;!everyone&gt;", "```", "`", "*", "_", "&", "<", ">", "\u202e",
		"\x00", "\r\n", "\u2028", "𝕏𝕏𝕏", "Ω", "🔥", "\xff\xfe", "@channel", "|", "^", strings.Repeat("&", 3001), strings.Repeat("𝕏", 2000), strings.Repeat("word ", 1200)})
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.OneOf(nasty, rapid.String()), 0, 12).Draw(t, "parts"), "")
	})
}

// hostileBrief returns a brief with hostile texts wherever people or sources
// write text.
func hostileBrief(t *rapid.T, kind incident.EventKind, x fixture) incident.Brief {
	text := func(name string) string { return hostileText().Draw(t, name) }
	b := x.brief(kind)
	inc := &b.Incident
	inc.Title = text("title")
	inc.Alerts[0].Kind, inc.Alerts[0].Rule, inc.Alerts[0].URL = text("kind"), text("rule"), text("url")
	inc.Record.Summary, inc.Record.RootCause, inc.Record.Response, inc.Record.Impact = text("summary"), text("cause"), text("response"), text("impact")
	inc.Submission.Document.Record = inc.Record
	for n := range inc.Runs[0].Plan {
		inc.Runs[0].Plan[n].Title, inc.Runs[0].Plan[n].Detail = text("step"), text("detail")
	}
	for len(inc.Runs[0].Plan) < rapid.IntRange(3, 70).Draw(t, "steps") {
		inc.Runs[0].Plan = append(inc.Runs[0].Plan, incident.Step{ID: "x", Title: text("step"), Started: noon})
	}
	for range rapid.IntRange(0, 12).Draw(t, "objections") {
		inc.Objections = append(inc.Objections, incident.Objection{ID: "O2", Department: "legal", Reason: text("reason")})
		inc.Actions = append(inc.Actions, incident.Action{ID: "A2", Title: text("action"), Owner: "p1"})
		inc.Consultations = append(inc.Consultations, incident.Consultation{Team: incident.Department(text("team"))})
	}
	for n := range b.Directory.People {
		b.Directory.People[n].Name = text("name")
	}
	inc.Commander = incident.PersonID(rapid.SampledFrom([]string{"", "p1", "p4", "<!channel>"}).Draw(t, "commander"))
	fields, texts := map[string]string{}, map[string]incident.Text{}
	for _, name := range slices.Sorted(maps.Keys(x.fields)) {
		fields[name] = rapid.SampledFrom([]string{x.fields[name], text("field")}).Draw(t, name)
	}
	for _, name := range slices.Sorted(maps.Keys(x.texts)) {
		texts[name] = incident.Text{Value: text(name)}
	}
	b.Event.Fields, b.Event.Texts = fields, texts
	return b
}

// allowedMarkup are the prefixes of Slack markup in our messages.
var allowedMarkup = []string{"<@U0", "<!subteam^S0SEC>", "<!date^", "<https://", "<http://", "<#C0"}

func checkMessage(t rapid.TB, m message) {
	raw, err := json.Marshal(m.blocks)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.blocks) > 50 || m.text == "" || units(m.text) > 3000 {
		t.Fatalf("got %d blocks and a fallback of %d units, want at most 50 and 1 to 3000", len(m.blocks), units(m.text))
	}
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		t.Fatal(err)
	}
	total := 0
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			if s, ok := v["text"].(string); ok {
				total += units(s)
				if units(s) > 3000 {
					t.Fatalf("got a text of %d units, want at most 3000", units(s))
				}
				if v["type"] == "mrkdwn" {
					checkMarkup(t, s)
				}
			}
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(tree)
	if total >= 12_000 {
		t.Fatalf("got %d characters in total, want less than 12000", total)
	}
	checkMarkup(t, m.text)
}

func checkMarkup(t rapid.TB, s string) {
	for n, r := range s {
		if r == '<' && !slices.ContainsFunc(allowedMarkup, func(p string) bool { return strings.HasPrefix(s[n:], p) }) {
			t.Fatalf("got foreign markup in %q", s[n:min(len(s), n+40)])
		}
	}
	if strings.Contains(s, "```") {
		t.Fatal("got a foreign code fence")
	}
}

func TestMessages_HostileTexts(t *testing.T) {
	f := newOutboundTest(t)
	channel := f.openChannel().Incident.Links[incident.LinkChannel]
	cases := fixtures()
	kinds := slices.Sorted(maps.Keys(cases))
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom(kinds).Draw(t, "kind")
		b := hostileBrief(t, kind, cases[kind])
		m, _ := neutral.EventMessage(b, incident.ViaSlack)
		public := b
		public.Incident.Restricted = false
		for _, m := range []neutral.Message{m, neutral.Card(b), neutral.SignatureRequest(b, incident.Security), neutral.AnswerRequest(b, b.Incident.Consultations[0]), neutral.Announcement(public),
			neutral.PostmortemAnnouncement(b, b.Incident.Record), neutral.PersonalPage(b), neutral.Who(b)} {
			checkMessage(t, laidOut(m))
			if _, err := f.slack.Post(f.ctx, channel, m, neutral.Mark{Key: "m"}); err != nil {
				t.Fatalf("post: got error %v, want nil", err)
			}
		}
	})
}

func TestEscape_WithinLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 400).Draw(t, "limit")
		if out := escape(hostileText().Draw(t, "text"), limit); units(string(out)) > limit || strings.ContainsAny(string(out), "<>`\n") {
			t.Fatalf("got %d units, want at most %d: %q", units(string(out)), limit, out)
		}
	})
}

// TestControls_AcknowledgeWithoutPage offers to acknowledge an incident whose
// severity pages nobody, because the acknowledgement makes a commander.
func TestControls_AcknowledgeWithoutPage(t *testing.T) {
	inc := openedIncident()
	inc.Severity, inc.Paging = incident.Sev4, incident.Paging{}
	if text := blocksText(t, card(brief(inc))); !strings.Contains(text, `"action_id":"ack"`) {
		t.Errorf("got card %s, want Acknowledge", text)
	}
	inc.Paging.AcknowledgedBy = "p1"
	if text := blocksText(t, card(brief(inc))); strings.Contains(text, `"action_id":"ack"`) {
		t.Errorf("got card %s, want no Acknowledge after the acknowledgement", text)
	}
}

func TestResultMessage_ImplicitAcknowledgement(t *testing.T) {
	acknowledged := incident.Event{Kind: incident.EventAcknowledged}
	commander := incident.Event{Kind: incident.EventRoleAssigned, Fields: map[string]string{"role": string(incident.Commander)}}
	for _, test := range []struct {
		verb   incident.Verb
		events []incident.Event
		want   string
	}{
		{incident.VerbContain, []incident.Event{acknowledged, commander}, "You also acknowledged the incident and are its commander now."},
		{incident.VerbResolve, []incident.Event{acknowledged}, "You also acknowledged the incident. Nobody is paged."},
		{incident.VerbContain, nil, ""},
		{incident.VerbAcknowledge, []incident.Event{acknowledged, commander}, ""},
	} {
		m := resultMessage(incident.Command{Verb: test.verb, Severity: incident.Sev2}, incident.Result{Incident: openedIncident(), Events: test.events})
		if text := blocksText(t, m); strings.Contains(text, "You also acknowledged") != (test.want != "") || !strings.Contains(text, test.want) {
			t.Errorf("%s: got %s, want %q", test.verb, text, test.want)
		}
	}
}

func TestResultMessage_PageWhilePagingRuns(t *testing.T) {
	inc := openedIncident()
	inc.Paging = incident.Paging{Round: 3}
	m := resultMessage(incident.Command{Verb: incident.VerbPageAgain}, incident.Result{Incident: inc, Unchanged: true})
	if text := blocksText(t, m); !strings.Contains(text, "paging round 3 of") {
		t.Errorf("got %s, want the round that runs", text)
	}
}

func blocksText(t *testing.T, m message) string {
	t.Helper()
	raw, err := json.Marshal(m.blocks)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
