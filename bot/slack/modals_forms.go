package slack

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"tocsin/bot/chat"
	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// forms holds the forms by verb. An open form shows the values that the
// person already gave. A submitted form becomes the command that the person
// could also have typed.
var forms = map[incident.Verb]form{
	incident.VerbOpen:           {title: "Open an incident", submit: "Open", blocks: openBlocks},
	incident.VerbAcknowledge:    {title: "Acknowledge", submit: "Acknowledge", blocks: severityBlocks},
	incident.VerbSetSeverity:    {title: "Change the severity", submit: "Change", blocks: severityBlocks},
	incident.VerbAssignRole:     {title: "Assign a role", submit: "Assign", blocks: roleBlocks},
	incident.VerbSetFact:        {title: "Set a fact", submit: "Set", blocks: factBlocks},
	incident.VerbStepDone:       {title: "Complete a step", submit: "Complete", blocks: stepBlocks("What was the result?", true)},
	incident.VerbStepSkip:       {title: "Skip a step", submit: "Skip", blocks: stepBlocks("Why is the step not needed?", false)},
	incident.VerbNote:           {title: "Add a note", submit: "Add", blocks: noteBlocks},
	incident.VerbEvidence:       {title: "Add evidence", submit: "Add", blocks: evidenceBlocks},
	incident.VerbUpdate:         {title: "Post a status update", submit: "Post", blocks: textForm("What is the current status?", false)},
	incident.VerbContain:        {title: "Contain the incident", submit: "Mark as contained", blocks: textForm("How was the harm stopped?", true)},
	incident.VerbResolve:        {title: "Resolve the incident", submit: "Mark as resolved", reads: true, blocks: resolveBlocks},
	incident.VerbReopen:         {title: "Reopen the incident", submit: "Reopen", blocks: textForm("Why is the incident not over?", false)},
	incident.VerbDismiss:        {title: "Dismiss as false alarm", submit: "Dismiss", reads: true, blocks: dismissBlocks},
	incident.VerbAmend:          {title: "Amend the record", submit: "Amend", blocks: textForm("Why must the record change? Amending voids its signatures.", false)},
	incident.VerbEditRecord:     {title: "Edit the record", submit: "Save", reads: true, blocks: recordBlocks},
	incident.VerbSubmit:         {title: "Submit the record", submit: "Submit for signing", reads: true, blocks: recordBlocks},
	incident.VerbRevise:         {title: "Revise the record", submit: "Submit for signing", reads: true, blocks: recordBlocks},
	incident.VerbSign:           {title: "Sign the record", submit: "Sign", reads: true, blocks: signBlocks},
	incident.VerbObject:         {title: "Object to the record", submit: "Object", reads: true, blocks: signBlocks},
	incident.VerbAnswer:         {title: "Answer for your team", submit: "Answer", blocks: answerBlocks},
	incident.VerbScheduleReview: {title: "Schedule the review", submit: "Schedule", blocks: scheduleBlocks},
	incident.VerbConclude:       {title: "Conclude the review", submit: "Conclude", reads: true, blocks: concludeBlocks},
	incident.VerbAddAction:      {title: "Add an action item", submit: "Add", blocks: actionBlocks},
}

func openBlocks(f *formBuilder) []slack.Block {
	return []slack.Block{
		inputText("title", "What happened? One line.", f.prefill.Title, false),
		inputSelect("severity", "Severity", toStrings(incident.Severities()), string(f.prefill.Severity)),
		hint(optional(inputCheckbox("public", "Who can read the incident?", "Everyone in the company")), "If unchecked, only the participants of the incident can read it."),
	}
}

func severityBlocks(f *formBuilder) []slack.Block {
	return []slack.Block{
		inputSelect("severity", "Severity", toStrings(incident.Severities()), string(f.prefill.Severity)),
		optional(inputText("text", "Why?", f.prefill.Text, true)),
	}
}

func roleBlocks(f *formBuilder) []slack.Block {
	roles := toStrings(incident.Roles())
	if r := string(f.prefill.Role); r != "" && !slices.Contains(roles, r) {
		roles = append(roles, r)
	}
	return []slack.Block{
		inputSelect("role", "Role", roles, string(f.prefill.Role)),
		inputUser("person", "Person", ""),
	}
}

func factBlocks(f *formBuilder) []slack.Block {
	return []slack.Block{
		inputSelect("fact", "Fact", toStrings(incident.FactNames()), ""),
		hint(inputText("value", "Value", "", false), `Examples: occurred: yesterday 23:10 · aware: gdpr 02:31 · personal data: suspected · affected: "Example SA" processor 1200 · time zone: Europe/Paris`),
		optional(inputText("text", "How is this known?", f.prefill.Text, true)),
	}
}

func stepBlocks(label string, optional bool) func(*formBuilder) []slack.Block {
	return func(f *formBuilder) []slack.Block {
		b := inputText("text", label, f.prefill.Text, true)
		b.Optional = optional
		return []slack.Block{slack.NewContextBlock("", plainText(stepName(f.prefill.Step))), b, f.happenedAtInput()}
	}
}

// stepName returns a step as people read it, such as "disable key
// (leaked-aws-credentials)".
func stepName(ref string) string {
	playbook, id, found := strings.Cut(ref, "/")
	if !found {
		playbook, id = "", ref
	}
	name := strings.ReplaceAll(id, "-", " ")
	if playbook != "" {
		name += " (" + playbook + ")"
	}
	name, _ = clip(clean(name), 200)
	return name
}

func noteBlocks(f *formBuilder) []slack.Block {
	return []slack.Block{
		inputText("text", "Note", f.prefill.Text, true),
		f.happenedAtInput(),
		inputSelect("audience", "Who can read the note?", audiences, string(incident.AudienceResponders)),
	}
}

var audiences = toStrings([]incident.Audience{incident.AudienceAll, incident.AudienceResponders, incident.AudienceLegalSecurity})

func evidenceBlocks(f *formBuilder) []slack.Block {
	e := incident.Evidence{}
	if f.prefill.Evidence != nil {
		e = *f.prefill.Evidence
	}
	return []slack.Block{
		inputText("name", "Name of the evidence", e.Name, false),
		optional(inputText("where", "Where is the evidence stored?", e.Where, false)),
		hint(optional(inputText("sha256", "SHA-256", e.SHA256, false)), "64 hexadecimal digits. With the hash, the signatures of the closing record also cover the content of the evidence."),
		f.happenedAtInput(),
	}
}

// textForm returns the form of a verb that takes a text. If withTime is true,
// the form also has an input for the time.
func textForm(label string, withTime bool) func(*formBuilder) []slack.Block {
	return func(f *formBuilder) []slack.Block {
		blocks := []slack.Block{inputText("text", label, f.prefill.Text, true)}
		if withTime {
			blocks = append(blocks, f.happenedAtInput())
		}
		return blocks
	}
}

func resolveBlocks(f *formBuilder) []slack.Block {
	blocks := []slack.Block{inputText("text", "How were service and security restored?", f.prefill.Text, true)}
	if open := f.b.Incident.OpenSteps(); len(open) > 0 {
		list, _ := clip("Steps are still open: "+strings.Join(open, ", "), 1000)
		blocks = append([]slack.Block{slack.NewSectionBlock(plainText(list), nil, nil)}, blocks...)
		blocks = append(blocks, hint(inputText("reason", "Why can these steps stay open?", f.prefill.Reason, true),
			"The four departments read the reason before they sign."))
	}
	return append(blocks, f.happenedAtInput())
}

// dismissBlocks asks for the reason. One person who dismisses alone also states
// that no personal data is involved.
func dismissBlocks(f *formBuilder) []slack.Block {
	why := inputText("text", "Why is the incident a false alarm?", f.prefill.Text, true)
	if f.b.Incident.OneMayDismiss() {
		return []slack.Block{why, hint(inputCheckbox("no_personal_data", "Personal data", "No personal data is involved"),
			"The fact personal_data becomes no. If you cannot rule it out, set the fact to suspected, and dismiss the incident with a second person.")}
	}
	two := slack.NewContextBlock("", plainText("This takes two people, one from security, neither of whom lowered the severity or the suspicion of personal data."))
	if f.b.Incident.Dismissal != nil {
		why = hint(optional(why), "Leave empty to agree with the proposal to dismiss the incident.")
	}
	return []slack.Block{two, why}
}

func answerBlocks(f *formBuilder) []slack.Block {
	name, _ := clip(clean("For "+string(f.prefill.Department)), 200)
	return []slack.Block{slack.NewContextBlock("", plainText(name)),
		inputText("text", "How does the incident affect your team, and is anything missing?", f.prefill.Text, true)}
}

// recordBlocks returns an input for each field of the record. The values may
// be redacted, so the form stores fingerprints of them. Only changed fields
// are submitted, and an untouched field never overwrites the full text.
func recordBlocks(f *formBuilder) []slack.Block {
	var blocks []slack.Block
	if f.prefill.Verb == incident.VerbRevise {
		blocks = append(blocks, inputText("text", "Why is the record revised?", f.prefill.Text, true))
	}
	f.meta.Shown = map[string]string{}
	for _, field := range incident.RecordFields() {
		now := clean(f.b.Incident.Record.Get(field.Name))
		var b *slack.InputBlock
		switch {
		case field.Name == "audience":
			b = inputSelect(field.Name, field.Label, audiences, now)
		case units(now) > maxInputText:
			start, _ := clip(now, 300)
			blocks = append(blocks, slack.NewSectionBlock(plainText(field.Label+": "+start), nil, nil),
				slack.NewContextBlock("", plainText("This field is too long for a form in Slack. To change the field, type the command record set "+field.Name+" TEXT.")))
			continue
		default:
			b = inputText(field.Name, field.Label, now, field.Name != "language")
		}
		b.Optional = !field.Required || f.prefill.Verb == incident.VerbEditRecord
		f.meta.Shown[field.Name] = fingerprint(now)
		blocks = append(blocks, b)
	}
	return blocks
}

// fingerprint returns a short hash that shows whether a field changed. It
// ignores differences in line endings and surrounding space, which Slack may
// change.
func fingerprint(value string) string {
	return text.SHA256(strings.TrimSpace(strings.ReplaceAll(value, "\r\n", "\n")))[:16]
}

// The limits for the record in a form. Slack allows 100 blocks and 250 KB for
// the whole form.
const (
	maxReadBlocks = 60
	maxFormBytes  = 200_000
)

// signBlocks returns the submitted record with its digest and, for a
// signature, the attestation. The command contains the digest from the form,
// so people sign or object to exactly the record that they saw.
func signBlocks(f *formBuilder) []slack.Block {
	sub := f.b.Incident.Submission
	if sub == nil {
		return []slack.Block{slack.NewSectionBlock(plainText(f.b.Incident.ID.String()+" has no submitted record."), nil, nil)}
	}
	f.meta.Expect = sub.Digest
	blocks := []slack.Block{slack.NewContextBlock("", plainText(fmt.Sprintf("revision %d · %s", sub.Document.Revision, sub.Digest)))}
	if open := sub.Document.Unfinished; open != nil {
		blocks = append(blocks, slack.NewHeaderBlock(plainText(chat.OpenStepsLabel)))
		blocks = append(blocks, textBlocks(clean(open.Text()))...)
	}
	for _, field := range incident.RecordFields() {
		if v := strings.TrimSpace(clean(sub.Document.Record.Get(field.Name))); v != "" {
			blocks = append(blocks, slack.NewHeaderBlock(plainText(field.Label)))
			blocks = append(blocks, textBlocks(v)...)
		}
	}
	if fit := countFitting(blocks); fit < len(blocks) {
		blocks = append(blocks[:fit], slack.NewSectionBlock(plainText("The record is too long for a form in Slack. Read the rest before you continue: tocsin incident record show "+f.b.Incident.ID.String()), nil, nil))
	}
	choose := inputSelect("department", "Department", f.signers(), string(f.prefill.Department))
	blocks = append(blocks, slack.NewDividerBlock(), choose)
	if f.prefill.Verb == incident.VerbObject {
		return append(blocks, inputText("text", "What is wrong with the record?", f.prefill.Text, true))
	}
	return append(blocks, slack.NewSectionBlock(plainText(incident.Attestation), nil, nil), inputCheckbox("attest", "Your signature", "I confirm this statement"))
}

// countFitting returns how many of the blocks fit into a form.
func countFitting(blocks []slack.Block) int {
	size := 0
	for n, b := range blocks {
		data, err := json.Marshal(b)
		if size += len(data); err != nil || n == maxReadBlocks || size > maxFormBytes {
			return n
		}
	}
	return len(blocks)
}

// signers returns the departments that sign and, for an objection, the
// consulted teams.
func (f *formBuilder) signers() []string {
	names := toStrings(incident.RequiredDepartments())
	if f.prefill.Verb == incident.VerbObject {
		for _, c := range f.b.Incident.Consultations {
			if !slices.Contains(names, string(c.Team)) {
				names = append(names, string(c.Team))
			}
		}
	}
	return names
}

// textBlocks splits a text into as many blocks as needed.
func textBlocks(text string) []slack.Block {
	var blocks []slack.Block
	for text != "" {
		piece, cut := clip(text, maxBlockText)
		if cut {
			piece = strings.TrimSuffix(piece, "…")
		}
		blocks = append(blocks, slack.NewSectionBlock(plainText(piece), nil, nil))
		text = strings.TrimLeft(text[len(piece):], " \n\t")
	}
	return blocks
}

func scheduleBlocks(*formBuilder) []slack.Block {
	return []slack.Block{slack.NewInputBlock("when", plainText("When is the review meeting?"), plainText("In your time zone."), slack.NewDateTimePickerBlockElement("when"))}
}

func concludeBlocks(f *formBuilder) []slack.Block {
	attendance := slack.NewOptionsMultiSelectBlockElement(slack.MultiOptTypeUser, plainText("Select people"), "attendance")
	blocks := []slack.Block{
		slack.NewInputBlock("attendance", plainText("Who attended?"), nil, attendance),
		inputText("text", "What was decided?", f.prefill.Text, true),
	}
	for _, kind := range requiredActions {
		blocks = append(blocks, slack.NewHeaderBlock(plainText("Action item: "+string(kind))))
		if have := f.existingAction(kind); have != "" {
			blocks = append(blocks, slack.NewContextBlock("", plainText("Already recorded: "+have)))
		}
		blocks = append(blocks, optional(inputText(string(kind), "What must be done?", "", false)),
			optional(inputUser(string(kind)+"_owner", "Owner", "")), optional(inputDate(string(kind)+"_due", "Due date")))
	}
	return append(blocks, slack.NewDividerBlock(),
		hint(optional(inputText("waiver", "Reason for a waiver: why close without both action items?", "", true)), "A member of security must endorse the waiver."))
}

// requiredActions are the kinds of action items that an incident needs before
// it can be closed.
var requiredActions = []incident.ActionKind{incident.ActionDetection, incident.ActionPrevention}

func (f *formBuilder) existingAction(kind incident.ActionKind) string {
	for _, a := range f.b.Incident.Actions {
		if a.Kind == kind {
			title, _ := clip(clean(a.ID+" "+a.Title), 200)
			return title
		}
	}
	return ""
}

func inputDate(name, label string) *slack.InputBlock {
	return slack.NewInputBlock(name, plainText(label), nil, slack.NewDatePickerBlockElement(name))
}

func actionBlocks(*formBuilder) []slack.Block {
	return []slack.Block{
		inputSelect("kind", "Kind", toStrings(incident.ActionKinds()), ""),
		inputText("title", "What must be done?", "", false),
		inputUser("owner", "Owner", ""),
		inputDate("due", "Due date"),
	}
}
