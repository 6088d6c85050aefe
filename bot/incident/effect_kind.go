package incident

import "cmp"

// EffectKind is a kind of work that follows from an event.
type EffectKind string

// The kinds of effects.
const (
	// Slack, in the lane of the incident's channel.
	EffectOpenChannel    EffectKind = "open_channel"    // create the channel and post its card
	EffectInvite         EffectKind = "invite"          // invite Args "people" (comma-separated PersonIDs) to the channel
	EffectRemove         EffectKind = "remove"          // remove Args "person" from the channel
	EffectReplaceChannel EffectKind = "replace_channel" // continue in a new channel instead of Args "channel"
	EffectPost           EffectKind = "post"            // post the event in the channel
	EffectAskSign        EffectKind = "ask_sign"        // request a signature from the representatives of Args "department"
	EffectAskConsult     EffectKind = "ask_consult"     // request an answer from the representatives of Args "department"
	EffectRetract        EffectKind = "retract"         // edit the messages of a request that closed or changed. Args "request" is its kind
	EffectUpload         EffectKind = "upload"          // upload the postmortem of Args "revision" to the channel
	EffectHashFile       EffectKind = "hash_file"       // download the file Args "file" of the chat, which is Args "evidence", for its hash
	EffectArchive        EffectKind = "archive"         // post a final message in the channel of a merged or dismissed incident
	EffectTopic          EffectKind = "topic"           // set the topic of a new channel, once
	// Slack, in other channels.
	EffectAnnounce           EffectKind = "announce"            // id and severity in the announce channel
	EffectAnnouncePostmortem EffectKind = "announce_postmortem" // announce the postmortem to its audience
	// EffectAnnounceWithdrawal tells the people whom EffectAnnouncePostmortem reached that
	// the postmortem of Args "revision" no longer applies.
	EffectAnnounceWithdrawal EffectKind = "announce_withdrawal"
	EffectShareUpdate        EffectKind = "share_update" // post the update of Args "update" to the channel of Args "audience"
	EffectAskUpdate          EffectKind = "ask_update"   // remind the communicator of an update that is due
	EffectAskApproval        EffectKind = "ask_approval" // ask the people who may approve an update, as direct messages
	EffectAgenda             EffectKind = "agenda"       // post the review agenda, without an incident
	// EffectAnnounceMaintenance announces the maintenance window of Args "window",
	// without an incident. Args "event" is MaintenanceStarted, MaintenanceConfirmed or
	// MaintenanceEnded.
	EffectAnnounceMaintenance EffectKind = "announce_maintenance"
	// Slack, refreshed when the state changes.
	EffectCard      EffectKind = "card"      // the pinned card
	EffectChecklist EffectKind = "checklist" // the first message of the checklist's thread
	EffectSignoff   EffectKind = "signoff"   // the first message of the sign-off's thread
	// Paging. Args "round" and "escalation_step".
	EffectPage        EffectKind = "page"         // page the target of the step, whose kind selects the handler
	EffectPageAck     EffectKind = "page_ack"     // acknowledge at the pager
	EffectPageResolve EffectKind = "page_resolve" // resolve at the pager
	EffectPagePerson  EffectKind = "page_person"  // page Args "person" outside the escalation policy
	// EffectPagerUpdate updates the title of the current page at the pager and adds a note
	// about the event.
	EffectPagerUpdate EffectKind = "pager_update"
	// Mail.
	EffectMailPostmortem EffectKind = "mail_postmortem"
	EffectMailWithdrawal EffectKind = "mail_withdrawal" // of the postmortem of Args "revision"
	EffectMailUpdate     EffectKind = "mail_update"     // the update of Args "update" to Args "audience"
	EffectMailInvitation EffectKind = "mail_invitation" // the review meeting, as iCalendar
	// EffectMailCancellation takes the review meeting on Args "when" out of the
	// calendars of Args "people" (comma-separated PersonIDs).
	EffectMailCancellation EffectKind = "mail_cancellation"
	// EffectMessageSigners and EffectMailSigners request a signature for Args "department"
	// from Args "people". Args "stage" is a [SignerStage], and "request" the number of the
	// event.
	EffectMessageSigners    EffectKind = "message_signers"    // as direct messages
	EffectMailSigners       EffectKind = "mail_signers"       // by mail
	EffectAcknowledgeReport EffectKind = "acknowledge_report" // acknowledge the vulnerability report of Args "alert" to its reporter
	// Notices about Tocsin, without an incident. Args "about" selects the text.
	EffectNotice     EffectKind = "notice"      // in the announce channel
	EffectMailNotice EffectKind = "mail_notice" // to the security department
	EffectPageNotice EffectKind = "page_notice" // as a page of Args "escalation_step"
	// Test pages, without an incident. Args "code" and "escalation_step".
	EffectTestPage    EffectKind = "test_page"     // page the target of the step
	EffectTestPageEnd EffectKind = "test_page_end" // end the page. Args "started" is when the test started, "by" who acknowledged it
	EffectTestPageDue EffectKind = "test_page_due" // judge inside Tocsin whether the page was acknowledged in time
	// Handing over the open work of Args "person", who left the configuration, to
	// Args "successors" (comma-separated PersonIDs). Args "held" lists the work.
	EffectHandover     EffectKind = "handover"      // as a direct message
	EffectMailHandover EffectKind = "mail_handover" // by mail
	// Reminding Args "person" of the action items in Args "items", see [EncodeReminders].
	EffectRemindActions     EffectKind = "remind_actions"      // as a direct message
	EffectMailRemindActions EffectKind = "mail_remind_actions" // by mail
	// EffectBriefing sends the state of the incident to Args "person", who takes the
	// command over, as a direct message.
	EffectBriefing EffectKind = "briefing"
	// Work inside Tocsin.
	EffectWritePostmortem EffectKind = "write_postmortem"
	EffectDeadline        EffectKind = "deadline" // give a command of Tocsin at a time: see [Effect.Deadline]
	EffectBotStep         EffectKind = "bot_step" // Args "run" and "step": perform the action of a step. Only earlier versions enqueued it
)

// effectTraits describe a kind of effect for the write path.
type effectTraits struct {
	task         string // what the effect does, such as "page people"
	needsChannel bool
	public       bool
	approved     bool
	hasDocument  bool
	stepsAside   bool
	required     bool
}

// effectKinds has the traits of each kind of effect.
var effectKinds = map[EffectKind]effectTraits{
	EffectOpenChannel:    {task: "open the channel in Slack", required: true},
	EffectInvite:         {task: "invite people to the channel", needsChannel: true, stepsAside: true},
	EffectRemove:         {task: "remove a person from the channel", needsChannel: true, stepsAside: true},
	EffectReplaceChannel: {task: "continue in a new channel", needsChannel: true, required: true},
	EffectPost:           {task: "post a message in the channel", needsChannel: true},
	EffectAskSign:        {task: "ask a department in the channel to sign", needsChannel: true},
	EffectAskConsult:     {task: "ask a team in the channel", needsChannel: true},
	EffectRetract:        {task: "edit a message in the channel", needsChannel: true, stepsAside: true},
	EffectUpload:         {task: "upload the postmortem to the channel", needsChannel: true, hasDocument: true, stepsAside: true},
	EffectHashFile:       {task: "compute the hash of a file that is evidence"},
	EffectArchive:        {task: "post the last message in the channel", needsChannel: true},
	EffectCard:           {task: "update the card in the channel", needsChannel: true},
	EffectTopic:          {task: "set the topic of the channel", needsChannel: true},
	EffectChecklist:      {task: "update the checklist in the channel", needsChannel: true},
	EffectSignoff:        {task: "update the sign-off in the channel", needsChannel: true},

	EffectAnnounce:            {task: "announce the incident in Slack", public: true},
	EffectAnnouncePostmortem:  {task: "announce the postmortem in Slack", hasDocument: true, stepsAside: true},
	EffectAnnounceWithdrawal:  {task: "announce in Slack that a postmortem no longer applies", stepsAside: true},
	EffectShareUpdate:         {task: "post an update for an audience in Slack", approved: true, stepsAside: true},
	EffectAskUpdate:           {task: "remind the communicator of an update"},
	EffectAskApproval:         {task: "ask people to approve an update"},
	EffectAgenda:              {task: "post the agenda of the review meeting in Slack"},
	EffectAnnounceMaintenance: {task: "announce a maintenance window in Slack"},

	EffectPage:        {task: "page people", public: true},
	EffectPageAck:     {task: "acknowledge the page at the pager", public: true},
	EffectPageResolve: {task: "end the page at the pager", public: true},

	EffectPagePerson:  {task: "page a person", public: true},
	EffectPagerUpdate: {task: "update the page at the pager", public: true, stepsAside: true},

	EffectMailPostmortem:    {task: "send the postmortem by mail", hasDocument: true, stepsAside: true},
	EffectMailWithdrawal:    {task: "say by mail that a postmortem no longer applies", stepsAside: true},
	EffectMailUpdate:        {task: "send an update to an audience by mail", approved: true, stepsAside: true},
	EffectMailInvitation:    {task: "send the invitation to the review meeting", stepsAside: true},
	EffectMailCancellation:  {task: "cancel the review meeting by mail", stepsAside: true},
	EffectMessageSigners:    {task: "request a signature in direct messages"},
	EffectMailSigners:       {task: "request a signature by mail"},
	EffectAcknowledgeReport: {task: "send a receipt to the reporter"},

	EffectNotice:       {task: "post a notice about Tocsin in Slack"},
	EffectMailNotice:   {task: "send a notice about Tocsin by mail"},
	EffectPageNotice:   {task: "page people about Tocsin"},
	EffectTestPage:     {task: "send a test page"},
	EffectTestPageEnd:  {task: "end a test page", stepsAside: true},
	EffectTestPageDue:  {task: "check a test page"},
	EffectHandover:     {task: "send a list of open work in Slack"},
	EffectMailHandover: {task: "send a list of open work by mail"},
	EffectBriefing:     {task: "send the briefing to the new commander"},

	EffectRemindActions:     {task: "remind people of action items in Slack"},
	EffectMailRemindActions: {task: "remind people of action items by mail"},

	EffectWritePostmortem: {task: "write the postmortem"},
	EffectDeadline:        {task: "check a deadline"},
	EffectBotStep:         {task: "perform a step of a playbook"},
}

// Task returns what the effect does, as a clause after "to".
func (k EffectKind) Task() string {
	return cmp.Or(effectKinds[k].task, "finish confidential work")
}

// NeedsChannel reports whether the effect needs the incident's channel. Such an effect is
// skipped if there is none, because no chat provider is configured or an administrator
// dropped the opening.
func (k EffectKind) NeedsChannel() bool { return effectKinds[k].needsChannel }

// IsPublic reports whether the effect may reach anyone in the company. Of a restricted
// incident its handler receives no texts.
func (k EffectKind) IsPublic() bool { return effectKinds[k].public }

// IsApproved reports whether the effect sends the approved words of an update. Of a
// restricted incident its handler receives these words and nothing else.
func (k EffectKind) IsApproved() bool { return effectKinds[k].approved }

// HasDocument reports whether the effect is about a written document.
func (k EffectKind) HasDocument() bool { return effectKinds[k].hasDocument }

// StepsAside reports whether the effect leaves its lane while the outside system refuses
// it. Posts do not wait for it: the right to invite people, to remove them or to upload
// files may be missing while the right to post is not. The mails about a meeting do not wait
// for a refused recipient either: they carry sequence numbers, and calendars ignore an older
// one that arrives later. Neither does the withdrawal of a postmortem, because a withdrawn one
// is not sent. An effect of any other kind stays,
// because the later effects need its result or must keep their order.
func (k EffectKind) StepsAside() bool { return effectKinds[k].stepsAside }

// IsRequired reports whether the incident cannot go on without the effect: it would never
// have a channel again. The effect is never discarded.
func (k EffectKind) IsRequired() bool { return effectKinds[k].required }
