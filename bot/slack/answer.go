package slack

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"tocsin/bot/command"
	"tocsin/bot/incident"
	"tocsin/templates"
)

// ephemeral is a reply that only one person sees. The JSON is both the
// response to a slash command and the request to a response URL.
type ephemeral struct {
	ResponseType    string        `json:"response_type"`
	Text            string        `json:"text"`
	Blocks          []slack.Block `json:"blocks,omitempty"`
	ReplaceOriginal bool          `json:"replace_original"`
}

// newEphemeral returns a message as an ephemeral reply.
func newEphemeral(m message) *ephemeral {
	return &ephemeral{ResponseType: "ephemeral", Text: m.text, Blocks: m.blocks}
}

// replyOrError returns m as a reply, or the reply for err if err is not nil.
func (s *Slack) replyOrError(ctx context.Context, m message, err error) *ephemeral {
	if err != nil {
		return s.errorReply(ctx, err)
	}
	return newEphemeral(m)
}

// errorReply returns the reply for an error. The text is plain text, because
// it may quote user input.
func (s *Slack) errorReply(ctx context.Context, err error) *ephemeral {
	text, _ := clip(clean(s.errorText(ctx, err)), maxBlockText)
	return newEphemeral(message{text: string(escape(text, maxFallbackText)), blocks: []slack.Block{slack.NewSectionBlock(plainText(text), nil, nil)}})
}

// errorText returns the text about an error. It logs every error that is not
// an [incident.Error] and hides its details from the person.
func (s *Slack) errorText(ctx context.Context, err error) string {
	var refused *incident.Error
	if errors.As(err, &refused) {
		return s.cfg.Redact(refused.Error())
	}
	s.log.ErrorContext(ctx, "answer command failed", "err", err)
	if errors.Is(err, errNoReply) {
		return "Tocsin did not answer in time. Run the command again. A repeat is recorded only once."
	}
	return "Not saved: Tocsin could not complete the request. Try again in a minute."
}

// resultMessage returns the reply to a command: its result, events that the
// person may not expect, and the question for the severity after an
// acknowledgement without one.
func resultMessage(cmd incident.Command, r incident.Result) message {
	id := r.Incident.ID
	if id == 0 {
		id = cmd.For
	}
	p := &messageBuilder{id: id}
	if r.Reported {
		p.line(markupf(":white_check_mark: %s.", escape(incident.ReportReceived.String(), 1000)))
		return p.build()
	}
	number, format := markupf("*%s*", markup(id.String())), resultTexts[cmd.Verb]
	switch {
	case r.Unchanged && cmd.Verb == incident.VerbPageAgain:
		p.line(markupf(":pager: No change: paging round %s of %s is running already. It goes on until somebody acknowledges.", formatNum(r.Incident.Paging.Round), number))
	case r.Unchanged:
		p.line(markupf(":white_check_mark: No change: the timeline of %s already has this. Its status is *%s*, its severity *%s*.", number, humanize(r.Incident.Status), humanize(r.Incident.Severity)))
	case cmd.Verb == incident.VerbRestrict && cmd.Public:
		p.line(markupf(":white_check_mark: The whole company can now read %s.", number))
	case cmd.Verb == incident.VerbSetSeverity:
		p.line(markupf(":white_check_mark: The severity of %s is now *%s*.", number, humanize(r.Incident.Severity)))
	case format != "":
		p.line(markupf(format, number))
	default:
		p.line(markupf(":white_check_mark: Recorded in %s.", number))
	}
	for _, e := range r.Events {
		p.line(eventTexts[e.Kind])
		if e.Kind == incident.EventExcluded {
			p.line(exclusionText(e))
		}
	}
	p.line(implicitAcknowledgement(cmd.Verb, r.Events))
	if cmd.Verb == incident.VerbAcknowledge && cmd.Severity == "" && !r.Unchanged {
		p.line("Set the severity:")
		p.buttons(severities(r.Incident))
	}
	return p.build()
}

// implicitAcknowledgement tells a person that a command acknowledged the incident
// too, and whether it made them commander.
func implicitAcknowledgement(v incident.Verb, events []incident.Event) markup {
	has := func(kind incident.EventKind, role incident.Role) bool {
		return slices.ContainsFunc(events, func(e incident.Event) bool { return e.Kind == kind && (role == "" || e.Field("role") == string(role)) })
	}
	switch {
	case v == incident.VerbAcknowledge || !has(incident.EventAcknowledged, ""):
		return ""
	case has(incident.EventRoleAssigned, incident.Commander):
		return "You also acknowledged the incident and are its commander now. Nobody is paged."
	}
	return "You also acknowledged the incident. Nobody is paged."
}

// exclusionText tells legal or security what became of the excluded person's place
// in the channel.
func exclusionText(e incident.Event) markup {
	switch {
	case e.Field("channel") == incident.ChannelRemove:
		return "Tocsin removes them from the channel. Slack shows that to everybody in it."
	case e.Field("channel") == incident.ChannelNew:
		return "The incident continues in a new channel without them. The old channel stays as it is."
	case e.Field("in_channel") == "true":
		return ":warning: If they are in the channel, they can still read it. Slack shows a removal to everybody in it. Type the command again with `--remove` after the person to remove them, or with `--new-channel` to continue in a new channel."
	}
	return ""
}

// resultTexts holds the replies to verbs. The argument is the number of the
// incident. Other verbs have a general reply.
var resultTexts = map[incident.Verb]string{
	incident.VerbOpen:             ":white_check_mark: %s is open. Tocsin is creating the channel and will invite you.",
	incident.VerbAcknowledge:      ":white_check_mark: You acknowledged %s. Paging stopped.",
	incident.VerbKeepSeverity:     ":white_check_mark: The severity of %s stays as it was.",
	incident.VerbEvidence:         ":white_check_mark: Recorded the evidence in the timeline of %s.",
	incident.VerbContain:          ":white_check_mark: %s is contained.",
	incident.VerbResolve:          ":white_check_mark: %s is resolved. Next: write the closing record.",
	incident.VerbSubmit:           ":white_check_mark: The closing record of %s is frozen. Tocsin requests the signatures of the departments.",
	incident.VerbSign:             ":white_check_mark: You signed the closing record of %s.",
	incident.VerbObject:           ":white_check_mark: You objected to the closing record of %s. Approval waits until you withdraw the objection or the record is amended.",
	incident.VerbAmend:            ":white_check_mark: You can edit the closing record of %s again. Its signatures are void.",
	incident.VerbReopen:           ":white_check_mark: %s is open again. A new paging round starts.",
	incident.VerbRestrict:         ":white_check_mark: Only participants can now read %s.",
	incident.VerbGrant:            ":white_check_mark: The person can now read %s.",
	incident.VerbPageAgain:        ":pager: A new paging round of %s starts. It goes on until somebody acknowledges.",
	incident.VerbRevoke:           ":white_check_mark: The person can no longer read %s.",
	incident.VerbExclude:          ":lock: Recorded for %s. Only legal and security see this.",
	incident.VerbReadmit:          ":lock: Recorded for %s. Only legal and security see this.",
	incident.VerbAssignRole:       ":white_check_mark: The role in %s is assigned.",
	incident.VerbConsult:          ":white_check_mark: Tocsin is requesting an answer from the team in %s.",
	incident.VerbMerge:            ":white_check_mark: %s is merged. Continue in the other incident.",
	incident.VerbPromote:          ":white_check_mark: The alert is attached to %s.",
	incident.VerbSplit:            ":white_check_mark: The alerts of %s moved to a new incident. The timeline has its number.",
	incident.VerbSetLegalHold:     ":white_check_mark: %s is on legal hold. Retention deletes nothing until the hold is released.",
	incident.VerbReleaseLegalHold: ":white_check_mark: The legal hold of %s is released.",
	incident.VerbScheduleReview:   ":white_check_mark: The review meeting of %s is scheduled. Tocsin mails the invitations.",
}

// eventTexts explain events that a person may not expect of a command.
var eventTexts = map[incident.EventKind]markup{
	incident.EventApproved:            "Every department has signed. The record is approved, and Tocsin is writing the postmortem.",
	incident.EventDismissProposed:     "A second, independent person must confirm the dismissal. One of the two must be from security.",
	incident.EventDismissed:           "The incident is dismissed as a false alarm.",
	incident.EventExclusionProposed:   "Excluding this person takes legal and security together. Ask the other department, in a direct message, to type the same command.",
	incident.EventReadmissionProposed: "The exclusion took legal and security, so both must end it. Ask the other department, in a direct message, to type the same command.",
	incident.EventReadmitted:          "The person is no longer excluded. Grants and roles do not come back by themselves.",
	incident.EventExcluded:            "The person is excluded: no reading, signing or acting in this incident.",
	incident.EventErasureProposed:     "Legal and security erase together: the other department must now erase the same texts.",
	incident.EventWaiverProposed:      "A member of security must now endorse the waiver.",
	incident.EventSignaturesVoided:    "The record changed, so its signatures are void.",
	incident.EventClosed:              "The incident is closed.",
}

// commonVerbs are the verbs that the help explains in full, in the order of
// an incident.
var commonVerbs = []string{"open", "list", "status", "ack", "severity", "role", "fact", "note", "step", "evidence", "update", "contain", "resolve", "record", "sign", "object", "review", "dismiss"}

// help returns the help about one verb, or about all verbs if topic is not a
// verb.
func (s *Slack) help(topic string) *ephemeral {
	p := &messageBuilder{}
	verbs := command.Specs()
	if n := slices.IndexFunc(verbs, func(v command.Spec) bool { return v.Name == topic }); n >= 0 {
		v := verbs[n]
		p.line(markupf("%s\n%s", s.usage(v), escape(v.Help, 300)))
		for _, example := range v.Examples {
			p.line(markupf("`%s %s`", markup(s.cfg.CommandName), escape(example, 300)))
		}
		return newEphemeral(p.build())
	}
	p.line(markupf("*Commands.* In the channel of an incident, a command applies to that incident. Elsewhere, add its ID after the verb: `%s status INC-42`.", markup(s.cfg.CommandName)))
	var rest []markup
	lines := make([]markup, len(commonVerbs))
	for _, v := range verbs {
		if n := slices.Index(commonVerbs, v.Name); n >= 0 {
			lines[n] = markupf("%s – %s", s.usage(v), escape(v.Help, 200))
		} else {
			rest = append(rest, markupf("`%s`", humanize(v.Name)))
		}
	}
	for chunk := range slices.Chunk(lines, 8) {
		p.line(joinMarkup(chunk, "\n"))
	}
	p.line(markupf("More commands: %s.\nType `%s help severity` to see one command with examples.", joinMarkup(rest, " "), markup(s.cfg.CommandName)))
	return newEphemeral(p.build())
}

func (s *Slack) usage(v command.Spec) markup {
	return markupf("`%s`", escape(strings.TrimSpace(s.cfg.CommandName+" "+v.Name+" "+v.Usage), 200))
}

// list returns the incidents that a person may see.
func (s *Slack) list(ctx context.Context, who incident.Identity, f incident.Filter) (message, error) {
	found, err := s.desk.List(ctx, who, f)
	if err != nil {
		return message{}, err
	}
	p := &messageBuilder{}
	if len(found) == 0 {
		p.line("No incident matches.")
		return p.build(), nil
	}
	p.line(markup(incidentCount(len(found), "")))
	for chunk := range slices.Chunk(found, 12) {
		lines := make([]string, len(chunk))
		for n, i := range chunk {
			lines[n] = summaryLine(i)
		}
		p.items(lines)
	}
	return p.build(), nil
}

// incidentCount returns a number of incidents with an adjective and a space
// before the noun, such as "1 open incident".
func incidentCount(n int, adjective string) string {
	if n == 1 {
		return "1 " + adjective + "incident"
	}
	return fmt.Sprintf("%d %sincidents", n, adjective)
}

// alerts returns the reply to a request about alerts or maintenance windows.
func (s *Slack) alerts(ctx context.Context, who incident.Identity, e incident.AlertRequest) (message, error) {
	a, err := s.desk.Alerts(ctx, who, e)
	if err != nil {
		return message{}, err
	}
	d, err := s.desk.Directory(ctx)
	if err != nil {
		return message{}, fmt.Errorf("read directory: %w", err)
	}
	p := &messageBuilder{}
	lines := templates.AlertResult(a, d, s.cfg.Clock())
	p.line(escape(lines[0], 1000))
	for chunk := range slices.Chunk(lines[1:], 12) {
		p.items(chunk)
	}
	return p.build(), nil
}

// summaryLine returns an incident as a line of a list.
func summaryLine(i incident.Summary) string {
	title := i.Title
	if title == "" {
		title = "(restricted)"
	}
	return fmt.Sprintf("%s · %s · %s · %s", i.ID, i.Severity, strings.ReplaceAll(string(i.Status), "_", " "), title)
}

// show reads an incident as a person may see it. The audit log stores the
// reason.
func (s *Slack) show(ctx context.Context, who incident.Identity, id incident.ID, reason string) (incident.Brief, error) {
	v, err := s.desk.Show(ctx, who, id, reason)
	if err != nil {
		return incident.Brief{}, err
	}
	return incident.Brief{Incident: v.Incident, Directory: v.Directory, Withheld: v.Withheld, Now: s.cfg.Clock()}, nil
}

// status returns the card of an incident.
func (s *Slack) status(ctx context.Context, who incident.Identity, id incident.ID) (message, error) {
	b, err := s.show(ctx, who, id, "opened the status in Slack")
	if err != nil {
		return message{}, err
	}
	m := card(b)
	m.blocks = append(exclusionBlocks(b), m.blocks...)
	return m, nil
}

// exclusionBlocks lists the people who are excluded. The Desk shows exclusions to
// legal and security only.
func exclusionBlocks(b incident.Brief) []slack.Block {
	p := &messageBuilder{id: b.Incident.ID}
	var lines []string
	for _, x := range b.Incident.Exclusions {
		lines = append(lines, fmt.Sprintf("%s: %s", b.Directory.Name(x.Person), x.Reason))
	}
	if x := b.Incident.ExclusionProposed; x != nil {
		lines = append(lines, fmt.Sprintf("%s (proposed by %s, the other one of legal and security must confirm): %s", b.Directory.Name(x.Person), b.Directory.Name(x.By), x.Reason))
	}
	if len(lines) > 0 {
		p.line(":lock: *Excluded people.* Only legal and security see this.")
		p.items(lines)
	}
	return p.blocks
}

// record returns the current closing record.
func (s *Slack) record(ctx context.Context, who incident.Identity, id incident.ID) (message, error) {
	b, err := s.show(ctx, who, id, "opened the closing record in Slack")
	if err != nil {
		return message{}, err
	}
	p := &messageBuilder{id: id}
	p.line(markupf("Closing record of *%s*", markup(id.String())))
	renderer{messageBuilder: p, b: b, inc: b.Incident}.record(b.Incident.Record)
	if sub := b.Incident.Submission; sub != nil {
		p.small(markupf("revision %s, frozen", formatNum(sub.Document.Revision)), escape(sub.Digest, 100))
	}
	if isAllowed(b.Incident, incident.VerbSubmit) {
		p.buttons(button(ActRecord, "Edit the record", buttonValue(id)), button(ActSubmit, "Submit the record", buttonValue(id)))
	}
	return p.build(), nil
}

// respond sends a reply to a response URL, if its host belongs to Slack.
func (s *Slack) respond(ctx context.Context, to string, e ephemeral) {
	if !s.isSlackURL(to) {
		s.log.WarnContext(ctx, "reply dropped because its response URL is not on a Slack host")
		return
	}
	err := slack.PostWebhookCustomHTTPContext(ctx, to, s.cfg.HTTPClient, &slack.WebhookMessage{Text: e.Text,
		Blocks: &slack.Blocks{BlockSet: e.Blocks}, ResponseType: e.ResponseType, ReplaceOriginal: e.ReplaceOriginal})
	if err != nil {
		s.log.WarnContext(ctx, "send reply failed", "err", withoutURL(err))
	}
}

// isSlackURL reports whether address is a response URL of Slack. If
// Config.APIURL is set, hosts that belong to it are accepted as well.
func (s *Slack) isSlackURL(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	api, err := url.Parse(s.cfg.APIURL)
	if err == nil && api.Host != "" && (u.Host == api.Host || u.Host == "hooks."+api.Host) {
		return u.Scheme == api.Scheme
	}
	return u.Scheme == "https" && u.Host == "hooks.slack.com"
}

// withoutURL returns the text of an error without the response URL. Anyone
// who knows the URL can post to the channel, so it must not be logged.
func withoutURL(err error) string {
	text := err.Error()
	if at := strings.Index(text, "http"); at >= 0 {
		if end := strings.IndexAny(text[at:], "\" "); end >= 0 {
			return text[:at] + "…" + text[at+end:]
		}
	}
	return text
}

// notify sends a reply that only the person behind an interaction sees. It
// uses the response URL, the channel of the interaction or a direct message,
// in this order.
func (s *Slack) notify(in interaction, e *ephemeral) {
	s.runInBackground(func(ctx context.Context) {
		if in.ResponseURL != "" {
			s.respond(ctx, in.ResponseURL, *e)
			return
		}
		options := []slack.MsgOption{slack.MsgOptionText(e.Text, false), slack.MsgOptionBlocks(e.Blocks...)}
		var err error
		if channel := in.channel(); channel != "" {
			_, err = s.client.PostEphemeralContext(ctx, channel, in.User.ID, options...)
		} else {
			_, _, err = s.client.PostMessageContext(ctx, in.User.ID, options...)
		}
		if err != nil {
			s.log.WarnContext(ctx, "send reply failed", "err", err)
		}
	})
}
