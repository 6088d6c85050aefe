package slack

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"tocsin/bot/incident"
)

// forms are the verbs that can be asked for in a form. Opened, they show what
// was said already; submitted, they make the command that could have been typed.
var forms = map[incident.Verb]form{
	incident.VerbOpen:           {title: "Open an incident", submit: "Open", blocks: openBlocks},
	incident.VerbAcknowledge:    {title: "Acknowledge", submit: "Acknowledge", blocks: severityBlocks},
	incident.VerbSetSeverity:    {title: "Severity", submit: "Grade it", blocks: severityBlocks},
	incident.VerbAssignRole:     {title: "Give a role", submit: "Give", blocks: roleBlocks},
	incident.VerbSetFact:        {title: "Set a fact", submit: "Set", blocks: factBlocks},
	incident.VerbStepDone:       {title: "Step done", submit: "Done", blocks: stepBlocks("What came of it?", true)},
	incident.VerbStepSkip:       {title: "Skip a step", submit: "Skip", blocks: stepBlocks("Why is it not needed?", false)},
	incident.VerbNote:           {title: "Write a note", submit: "Write", blocks: noteBlocks},
	incident.VerbEvidence:       {title: "Keep evidence", submit: "Keep", blocks: evidenceBlocks},
	incident.VerbUpdate:         {title: "Status update", submit: "Send", blocks: textForm("How does it stand?", false)},
	incident.VerbContain:        {title: "Contained", submit: "Contained", blocks: textForm("How was the harm stopped?", true)},
	incident.VerbResolve:        {title: "Resolved", submit: "Resolved", blocks: textForm("How were service and security restored?", true)},
	incident.VerbReopen:         {title: "Reopen", submit: "Reopen", blocks: textForm("Why is it not over?", false)},
	incident.VerbDismiss:        {title: "False alarm", submit: "Dismiss", blocks: dismissBlocks},
	incident.VerbAmend:          {title: "Amend the record", submit: "Amend", blocks: textForm("Why does the record have to change? Its signatures will be void.", false)},
	incident.VerbEditRecord:     {title: "Closing record", submit: "Save", reads: true, blocks: recordBlocks},
	incident.VerbSubmit:         {title: "Submit the record", submit: "Submit for signing", reads: true, blocks: recordBlocks},
	incident.VerbRevise:         {title: "Revise the record", submit: "Submit for signing", reads: true, blocks: recordBlocks},
	incident.VerbSign:           {title: "Sign the record", submit: "Sign", reads: true, blocks: signBlocks},
	incident.VerbObject:         {title: "Object to the record", submit: "Object", reads: true, blocks: signBlocks},
	incident.VerbAnswer:         {title: "Answer", submit: "Answer", blocks: answerBlocks},
	incident.VerbScheduleReview: {title: "Review meeting", submit: "Schedule", blocks: scheduleBlocks},
	incident.VerbConclude:       {title: "Conclude the review", submit: "Conclude", reads: true, blocks: concludeBlocks},
	incident.VerbAddAction:      {title: "Action item", submit: "Add", blocks: actionBlocks},
}

func openBlocks(f *formBuilder) []slack.Block {
	return []slack.Block{
		inputText("title", "What happened, in one line?", f.prefill.Title, false),
		inputSelect("severity", "How grave is it?", toStrings(incident.Severities()), string(f.prefill.Severity)),
		hint(optional(inputCheckbox("public", "Who may read it?", "The whole company")), "Otherwise only those involved may."),
	}
}

func severityBlocks(f *formBuilder) []slack.Block {
	return []slack.Block{
		inputSelect("severity", "How grave is it?", toStrings(incident.Severities()), string(f.prefill.Severity)),
		optional(inputText("text", "Why?", f.prefill.Text, true)),
	}
}

func roleBlocks(f *formBuilder) []slack.Block {
	roles := toStrings([]incident.Role{incident.Commander, incident.Scribe, incident.Communicator, incident.OperationLead, incident.SecurityLead, incident.LegalLead, incident.DPO})
	if r := string(f.prefill.Role); r != "" && !slices.Contains(roles, r) {
		roles = append(roles, r)
	}
	return []slack.Block{
		inputSelect("role", "Role", roles, string(f.prefill.Role)),
		inputUser("person", "Who?", ""),
	}
}

func factBlocks(f *formBuilder) []slack.Block {
	return []slack.Block{
		inputSelect("fact", "Fact", toStrings(incident.FactNames()), ""),
		hint(inputText("value", "What is known?", "", false), `occurred: yesterday 23:10 · aware: gdpr 02:31 · personal data: suspected · affected: "Example SA" processor 1200 · time zone: Europe/Paris`),
		optional(inputText("text", "How is this known?", f.prefill.Text, true)),
	}
}

func stepBlocks(label string, may bool) func(*formBuilder) []slack.Block {
	return func(f *formBuilder) []slack.Block {
		b := inputText("text", label, f.prefill.Text, true)
		b.Optional = may
		return []slack.Block{slack.NewContextBlock("", plainText(stepName(f.prefill.Step))), b, f.happenedAtInput()}
	}
}

// stepName is a step as people read it: "disable key, of leaked-aws-credentials".
func stepName(ref string) string {
	playbook, id, found := strings.Cut(ref, "/")
	if !found {
		playbook, id = "", ref
	}
	name := strings.ReplaceAll(id, "-", " ")
	if playbook != "" {
		name += ", of " + playbook
	}
	name, _ = clip(clean(name), 200)
	return name
}

func noteBlocks(f *formBuilder) []slack.Block {
	return []slack.Block{
		inputText("text", "Note", f.prefill.Text, true),
		f.happenedAtInput(),
		inputSelect("audience", "For whom?", audiences, string(incident.AudienceResponders)),
	}
}

var audiences = toStrings([]incident.Audience{incident.AudienceAll, incident.AudienceResponders, incident.AudienceLegalSecurity})

func evidenceBlocks(f *formBuilder) []slack.Block {
	e := incident.Evidence{}
	if f.prefill.Evidence != nil {
		e = *f.prefill.Evidence
	}
	return []slack.Block{
		inputText("name", "What is it?", e.Name, false),
		optional(inputText("where", "Where is it kept?", e.Where, false)),
		hint(optional(inputText("sha256", "SHA-256", e.SHA256, false)), "64 hexadecimal digits. With it the record's signatures cover the thing itself."),
		f.happenedAtInput(),
	}
}

// textForm is the form of a verb that says something in free words.
func textForm(label string, settable bool) func(*formBuilder) []slack.Block {
	return func(f *formBuilder) []slack.Block {
		blocks := []slack.Block{inputText("text", label, f.prefill.Text, true)}
		if settable {
			blocks = append(blocks, f.happenedAtInput())
		}
		return blocks
	}
}

func dismissBlocks(f *formBuilder) []slack.Block {
	return []slack.Block{hint(optional(inputText("text", "Why is it a false alarm?", f.prefill.Text, true)),
		"Who agrees with somebody's proposal may leave this empty.")}
}

func answerBlocks(f *formBuilder) []slack.Block {
	name, _ := clip(clean("For "+string(f.prefill.Department)), 200)
	return []slack.Block{slack.NewContextBlock("", plainText(name)),
		inputText("text", "What does it mean for you, and is anything missing?", f.prefill.Text, true)}
}

// recordBlocks are all fields of the record. What the Desk gave may be
// redacted, so the form remembers what it showed: only what was changed is
// sent, and an untouched field never overwrites the full text.
func recordBlocks(f *formBuilder) []slack.Block {
	var blocks []slack.Block
	if f.prefill.Verb == incident.VerbRevise {
		blocks = append(blocks, inputText("text", "Why is it revised?", f.prefill.Text, true))
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
				slack.NewContextBlock("", plainText("This is longer than a form in Slack may be. Change it with the command record set "+field.Name+" TEXT.")))
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

// fingerprint tells whether a field was changed. Slack may hand back a text
// with other line ends and without the space around it.
func fingerprint(text string) string {
	text = strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n"))
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// A form may have 100 blocks and 250 KB. The record gets this much of it.
const (
	maxReadBlocks = 60
	maxFormBytes  = 200_000
)

// signBlocks show the frozen record, its digest and, for a signature, the
// sentence that it attests. What is signed or objected to is what is shown.
func signBlocks(f *formBuilder) []slack.Block {
	sub := f.b.Incident.Submission
	if sub == nil {
		return []slack.Block{slack.NewSectionBlock(plainText(f.b.Incident.ID.String()+" has no submitted record."), nil, nil)}
	}
	f.meta.Expect = sub.Digest
	blocks := []slack.Block{slack.NewContextBlock("", plainText("revision "+string(formatNum(sub.Document.Revision))+" · "+sub.Digest))}
	for _, field := range incident.RecordFields() {
		if v := strings.TrimSpace(clean(sub.Document.Record.Get(field.Name))); v != "" {
			blocks = append(blocks, slack.NewHeaderBlock(plainText(field.Label)))
			blocks = append(blocks, textBlocks(v)...)
		}
	}
	if fit := countFitting(blocks); fit < len(blocks) {
		blocks = append(blocks[:fit], slack.NewSectionBlock(plainText("The record is longer than a form in Slack may be. Read the rest with tocsin incident record show "+f.b.Incident.ID.String()+" before you go on."), nil, nil))
	}
	choose := inputSelect("department", "For which department?", f.signers(), string(f.prefill.Department))
	blocks = append(blocks, slack.NewDividerBlock(), choose)
	if f.prefill.Verb == incident.VerbObject {
		return append(blocks, inputText("text", "What is wrong with it?", f.prefill.Text, true))
	}
	return append(blocks, slack.NewSectionBlock(plainText(incident.Attestation), nil, nil), inputCheckbox("attest", "Your signature", "I confirm this"))
}

// countFitting is how many of the blocks a form has room for.
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

// signers are the departments that sign and, for objections, the consulted teams.
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

// textBlocks is a long text in as many blocks as it takes.
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
	return []slack.Block{slack.NewInputBlock("when", plainText("When is the review meeting?"), plainText("In your own time zone."), slack.NewDateTimePickerBlockElement("when"))}
}

func concludeBlocks(f *formBuilder) []slack.Block {
	attendance := slack.NewOptionsMultiSelectBlockElement(slack.MultiOptTypeUser, plainText("Choose"), "attendance")
	blocks := []slack.Block{
		slack.NewInputBlock("attendance", plainText("Who was there?"), nil, attendance),
		inputText("text", "What was decided?", f.prefill.Text, true),
	}
	for _, kind := range requiredActions {
		blocks = append(blocks, slack.NewHeaderBlock(plainText("Action item: "+string(kind))))
		if have := f.existingAction(kind); have != "" {
			blocks = append(blocks, slack.NewContextBlock("", plainText("There is one already: "+have)))
		}
		blocks = append(blocks, optional(inputText(string(kind), "What is to be done?", "", false)),
			optional(inputUser(string(kind)+"_owner", "Who does it?", "")), optional(inputDate(string(kind)+"_due", "Until when?")))
	}
	return append(blocks, slack.NewDividerBlock(),
		hint(optional(inputText("exception", "Reason for closing without both", "", true)), "Somebody from security has to endorse it."))
}

// requiredActions are the kinds of action items that closing needs.
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
		inputSelect("kind", "What is it for?", toStrings(incident.ActionKinds()), ""),
		inputText("title", "What is to be done?", "", false),
		inputUser("owner", "Who does it?", ""),
		inputDate("due", "Until when?"),
	}
}
