package slack

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
	"tocsin/templates"
)

// ephemeral is an answer that only the person who asked sees. The same shape
// answers a slash command and goes to a response_url.
type ephemeral struct {
	ResponseType    string        `json:"response_type"`
	Text            string        `json:"text"`
	Blocks          []slack.Block `json:"blocks,omitempty"`
	ReplaceOriginal bool          `json:"replace_original"`
}

// newEphemeral makes an answer of a message.
func newEphemeral(m message) *ephemeral {
	return &ephemeral{ResponseType: "ephemeral", Text: m.text, Blocks: m.blocks}
}

// replyOrError says what a question came to, or why there is no answer.
func (s *Slack) replyOrError(ctx context.Context, m message, err error) *ephemeral {
	if err != nil {
		return s.errorReply(ctx, err)
	}
	return newEphemeral(m)
}

// errorReply says why not. The reason is plain text: it may quote what was typed.
func (s *Slack) errorReply(ctx context.Context, err error) *ephemeral {
	text, _ := clip(clean(s.errorText(ctx, err)), maxBlockText)
	return newEphemeral(message{text: string(escape(text, maxFallbackText)), blocks: []slack.Block{slack.NewSectionBlock(plainText(text), nil, nil)}})
}

// errorText is the reason as people read it. What is no refusal is a fault of
// ours: it is logged, and nothing of our insides is shown.
func (s *Slack) errorText(ctx context.Context, err error) string {
	var refused *incident.Error
	if errors.As(err, &refused) {
		return refused.Error()
	}
	s.log.ErrorContext(ctx, "answer command failed", "err", err)
	if errors.Is(err, errNoReply) {
		return "Tocsin did not answer in time. Run the command again; a repeat is recorded only once."
	}
	return "Not saved: the database is unavailable. Try again in a minute."
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
	number, format := markupf("*%s*", markup(id.String())), resultTexts[cmd.Verb]
	switch {
	case r.Unchanged:
		p.line(markupf(":white_check_mark: No change: %s is already as you asked, *%s* at *%s*.", number, humanize(r.Incident.Status), humanize(r.Incident.Severity)))
	case cmd.Verb == incident.VerbSetSeverity:
		p.line(markupf(":white_check_mark: The severity of %s is now *%s*.", number, humanize(r.Incident.Severity)))
	case format != "":
		p.line(markupf(format, number))
	default:
		p.line(markupf(":white_check_mark: Recorded in %s.", number))
	}
	for _, e := range r.Events {
		p.line(eventTexts[e.Kind])
	}
	if cmd.Verb == incident.VerbAcknowledge && cmd.Severity == "" && !r.Unchanged {
		p.line("Set the severity:")
		p.buttons(severities(r.Incident))
	}
	return p.build()
}

// resultTexts are the replies to verbs after which something follows. Each
// takes the incident's number.
var resultTexts = map[incident.Verb]string{
	incident.VerbOpen:             ":white_check_mark: %s is open. Tocsin is creating the channel and will invite you.",
	incident.VerbAcknowledge:      ":white_check_mark: You acknowledged %s. Paging stopped.",
	incident.VerbContain:          ":white_check_mark: %s is contained.",
	incident.VerbResolve:          ":white_check_mark: %s is resolved. Next: write the closing record.",
	incident.VerbSubmit:           ":white_check_mark: The closing record of %s is frozen. Tocsin is asking the departments to sign it.",
	incident.VerbSign:             ":white_check_mark: You signed the closing record of %s.",
	incident.VerbObject:           ":white_check_mark: You objected in %s. The record cannot be approved until you withdraw the objection or the record is amended.",
	incident.VerbAmend:            ":white_check_mark: You can edit the closing record of %s again. Its signatures are void.",
	incident.VerbReopen:           ":white_check_mark: %s is open again. A new paging round starts.",
	incident.VerbMerge:            ":white_check_mark: %s is merged. Continue in the other incident.",
	incident.VerbPromote:          ":white_check_mark: The alert is attached to %s.",
	incident.VerbSplit:            ":white_check_mark: The alerts of %s moved to a new incident. The timeline names it.",
	incident.VerbSetLegalHold:     ":white_check_mark: %s is on legal hold. Retention deletes nothing of it until the hold is released.",
	incident.VerbReleaseLegalHold: ":white_check_mark: The legal hold of %s is released.",
	incident.VerbScheduleReview:   ":white_check_mark: The review meeting of %s is scheduled. Tocsin mails the invitations.",
}

// eventTexts explain events that a person may not expect of a command.
var eventTexts = map[incident.EventKind]markup{
	incident.EventApproved:         "Every department has signed. The record is approved, and Tocsin is writing the postmortem.",
	incident.EventDismissProposed:  "At this severity a second person, from security, must dismiss the incident too.",
	incident.EventDismissed:        "The incident is dismissed as a false alarm.",
	incident.EventErasureProposed:  "Legal and security erase together: the other department must now erase the same texts.",
	incident.EventWaiverProposed:   "A member of security must now endorse the waiver.",
	incident.EventSignaturesVoided: "The record changed, so its signatures are void.",
	incident.EventClosed:           "The incident is closed.",
}

// commonVerbs are the verbs that help explains at once, in the order of an incident.
var commonVerbs = []string{"open", "list", "status", "ack", "severity", "role", "fact", "note", "step", "evidence", "update", "contain", "resolve", "record", "sign", "object", "review", "dismiss"}

// help shows the grammar, or one verb of it.
func (s *Slack) help(topic string) *ephemeral {
	p := &messageBuilder{}
	verbs := incident.VerbSpecs()
	if n := slices.IndexFunc(verbs, func(v incident.VerbSpec) bool { return v.Name == topic }); n >= 0 {
		v := verbs[n]
		p.line(markupf("%s\n%s", s.usage(v), escape(v.Help, 300)))
		for _, example := range v.Examples {
			p.line(markupf("`%s %s`", markup(s.cfg.CommandName), escape(example, 300)))
		}
		return newEphemeral(p.build())
	}
	p.line(markupf("What you can type. In an incident's channel it is about that incident; elsewhere, name it after the verb: `%s status INC-42`.", markup(s.cfg.CommandName)))
	var rest []markup
	lines := make([]markup, len(commonVerbs))
	for _, v := range verbs {
		if n := slices.Index(commonVerbs, v.Name); n >= 0 {
			lines[n] = markupf("%s – %s", s.usage(v), escape(v.Help, 200))
		} else {
			rest = append(rest, markupf("`%s`", humanize(v.Name)))
		}
	}
	for some := range slices.Chunk(lines, 8) {
		p.line(joinMarkup(some, "\n"))
	}
	p.line(markupf("There are also %s.\n`%s help severity` tells more of one, with examples.", joinMarkup(rest, " "), markup(s.cfg.CommandName)))
	return newEphemeral(p.build())
}

func (s *Slack) usage(v incident.VerbSpec) markup {
	return markupf("`%s`", escape(strings.TrimSpace(s.cfg.CommandName+" "+v.Name+" "+v.Usage), 200))
}

// list answers with the incidents that a person may know of.
func (s *Slack) list(ctx context.Context, user string, f incident.Filter) (message, error) {
	found, err := s.desk.List(ctx, identity(user), f)
	if err != nil {
		return message{}, err
	}
	p := &messageBuilder{}
	if len(found) == 0 {
		p.line("There is no such incident.")
		return p.build(), nil
	}
	p.line(markup(incidentCount(len(found), "", "")))
	for some := range slices.Chunk(found, 12) {
		lines := make([]string, len(some))
		for n, one := range some {
			lines[n] = summaryLine(one)
		}
		p.items(lines)
	}
	return p.build(), nil
}

// incidentCount is a number of incidents and what they do: "1 incident is not over".
func incidentCount(n int, one, more string) string {
	if n == 1 {
		return strings.TrimSpace("1 incident " + one)
	}
	return strings.TrimSpace(fmt.Sprintf("%d incidents %s", n, more))
}

// alerts answers about alerts and maintenance windows.
func (s *Slack) alerts(ctx context.Context, user string, e incident.AlertRequest) (message, error) {
	a, err := s.desk.Alerts(ctx, identity(user), e)
	if err != nil {
		return message{}, err
	}
	d, err := s.desk.Directory(ctx)
	if err != nil {
		return message{}, fmt.Errorf("read the directory: %w", err)
	}
	p := &messageBuilder{}
	lines := templates.AlertResult(a, d, s.cfg.Clock())
	p.line(escape(lines[0], 1000))
	for some := range slices.Chunk(lines[1:], 12) {
		p.items(some)
	}
	return p.build(), nil
}

// summaryLine is an incident in a list.
func summaryLine(i incident.Summary) string {
	title := i.Title
	if title == "" {
		title = "(restricted)"
	}
	return fmt.Sprintf("%s · %s · %s · %s", i.ID, i.Severity, strings.ReplaceAll(string(i.Status), "_", " "), title)
}

// show looks at an incident with a person's eyes.
func (s *Slack) show(ctx context.Context, user string, id incident.ID, why string) (incident.Brief, error) {
	v, err := s.desk.Show(ctx, identity(user), id, why)
	if err != nil {
		return incident.Brief{}, err
	}
	return incident.Brief{Incident: v.Incident, Directory: v.Directory, Now: s.cfg.Clock()}, nil
}

// status answers with how an incident stands.
func (s *Slack) status(ctx context.Context, user string, id incident.ID) (message, error) {
	b, err := s.show(ctx, user, id, "asked in Slack how it stands")
	if err != nil {
		return message{}, err
	}
	return card(b), nil
}

// record answers with the closing record as it is now.
func (s *Slack) record(ctx context.Context, user string, id incident.ID) (message, error) {
	b, err := s.show(ctx, user, id, "asked in Slack for the closing record")
	if err != nil {
		return message{}, err
	}
	p := &messageBuilder{id: id}
	p.line(markupf("The closing record of *%s*", markup(id.String())))
	renderer{messageBuilder: p, b: b, inc: b.Incident}.record(b.Incident.Record)
	if sub := b.Incident.Submission; sub != nil {
		p.small(markupf("revision %s, frozen", formatNum(sub.Document.Revision)), escape(sub.Digest, 100))
	}
	if isAllowed(b.Incident, incident.VerbSubmit) {
		p.buttons(button(ActRecord, "Write it", buttonValue(id)), button(ActSubmit, "Submit it for signing", buttonValue(id)))
	}
	return p.build(), nil
}

// respond sends an answer to a response_url, which names a host of Slack's.
func (s *Slack) respond(ctx context.Context, to string, e ephemeral) {
	if !s.isSlackURL(to) {
		s.log.WarnContext(ctx, "an answer was not sent: its response_url is not Slack's")
		return
	}
	err := slack.PostWebhookCustomHTTPContext(ctx, to, s.cfg.HTTPClient, &slack.WebhookMessage{Text: e.Text,
		Blocks: &slack.Blocks{BlockSet: e.Blocks}, ResponseType: e.ResponseType, ReplaceOriginal: e.ReplaceOriginal})
	if err != nil {
		s.log.WarnContext(ctx, "an answer did not reach the person", "error", withoutURL(err))
	}
}

// isSlackURL reports whether an address is on the host that Slack's response_urls
// have, or on the host of the API where that is another than Slack's own.
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

// withoutURL keeps a response_url, which anybody could post to, out of the log.
func withoutURL(err error) string {
	text := err.Error()
	if at := strings.Index(text, "http"); at >= 0 {
		if end := strings.IndexAny(text[at:], "\" "); end >= 0 {
			return text[:at] + "…" + text[at+end:]
		}
	}
	return text
}

// notify tells the person behind an interaction something that only they see:
// at the message they pressed on, in the channel, or in a direct message.
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
			s.log.WarnContext(ctx, "an answer did not reach the person", "error", err)
		}
	})
}
