package chat

import (
	"tocsin/bot/incident"
)

// layouts holds every kind of event. A test compares it with the domain. The main channel
// has only messages that people must read or act on. A kind has an exception to its place
// in [exceptions].
var layouts = map[incident.EventKind]layout{
	incident.EventOpened:               {nowhere, "", nil}, // the card is the first message
	incident.EventAlertAttached:        {inAlerts, "", (*builder).alertLines},
	incident.EventAlertCounted:         {inAlerts, "repeat", nil},
	incident.EventSourceNoted:          {inAlerts, "memo", (*builder).statusUnchanged},
	incident.EventAcknowledged:         {inChannel, "raised_hand", (*builder).commands},
	incident.EventAckTimedOut:          {inChannel, "hourglass", (*builder).pagingRestarted},
	incident.EventRoundStarted:         {nowhere, "", nil}, // the card, and the message about its cause
	incident.EventPageStarted:          {nowhere, "", nil}, // paged or page_failed follows
	incident.EventPaged:                {nowhere, "", nil}, // the card
	incident.EventPersonalPageStarted:  {inChannel, "pager", nil},
	incident.EventPersonPaged:          {nowhere, "", nil}, // personal_page_started names the medium
	incident.EventPageFailed:           {inChannel, "warning", (*builder).nextStep},
	incident.EventPageUnanswered:       {inChannel, "warning", (*builder).nextStep},
	incident.EventSeveritySet:          {inChannel, "level_slider", (*builder).severityRaised},
	incident.EventSeverityProposed:     {inChannel, "chart_with_upwards_trend", (*builder).severityAnswers},
	incident.EventSeverityKept:         {nowhere, "", nil}, // the message of the proposal is edited
	incident.EventRoleAssigned:         {inChecklist, "bust_in_silhouette", (*builder).roleTasks},
	incident.EventFactSet:              {nowhere, "pushpin", (*builder).legalDuty}, // the card
	incident.EventDepartmentsInvolved:  {nowhere, "telephone_receiver", (*builder).emptyDepartments},
	incident.EventNoted:                {inChecklist, "memo", nil},
	incident.EventEvidence:             {inChecklist, "file_folder", (*builder).evidenceDetails},
	incident.EventEvidenceHashed:       {nowhere, "", nil}, // the record and the timeline have the hash
	incident.EventEvidenceChanged:      {inChannel, "warning", nil},
	incident.EventUpdated:              {inChannel, "mega", (*builder).updateApproval},
	incident.EventUpdateApproved:       {nowhere, "", nil}, // the message of the update is edited
	incident.EventUpdateSent:           {nowhere, "", nil}, // the register shows it
	incident.EventUpdateWithheld:       {nowhere, "", nil},
	incident.EventUpdateDue:            {nowhere, "", nil}, // a direct message follows
	incident.EventContained:            {inChannel, "shield", (*builder).nextStatus},
	incident.EventResolved:             {inChannel, "white_check_mark", (*builder).recordDue},
	incident.EventReopened:             {inChannel, "rotating_light", (*builder).nextStatus},
	incident.EventDismissProposed:      {inChannel, "question", (*builder).dismissalApproval},
	incident.EventDismissed:            {inChannel, "no_bell", (*builder).dismissalReview},
	incident.EventMergedInto:           {inChannel, "arrow_right", (*builder).mergedInto},
	incident.EventMergedFrom:           {inChannel, "arrow_left", nil},
	incident.EventSplitInto:            {inChannel, "twisted_rightwards_arrows", nil},
	incident.EventSplitFrom:            {inChannel, "twisted_rightwards_arrows", (*builder).splitFrom},
	incident.EventLegalHoldSet:         {inChannel, "lock", (*builder).legalHold},
	incident.EventLegalHoldReleased:    {inChecklist, "unlock", nil},
	incident.EventPlaybookStarted:      {inChecklist, "", nil}, // the first message of the thread
	incident.EventStepStarted:          {inChecklist, "", (*builder).stepLine},
	incident.EventStepDone:             {inChecklist, "heavy_check_mark", nil}, // of Tocsin: a person's step is ticked
	incident.EventStepSkipped:          {nowhere, "", nil},                     // the step is ticked
	incident.EventStepLate:             {inChecklist, "alarm_clock", (*builder).stepLate},
	incident.EventAccessGranted:        {nowhere, "", nil}, // the chat shows who joined
	incident.EventAccessRevoked:        {nowhere, "", nil},
	incident.EventAccessRequested:      {inChannel, "key", (*builder).accessRequested},
	incident.EventBreakGlassUsed:       {inChannel, "warning", (*builder).brokenGlass},
	incident.EventAccessRequestExpired: {nowhere, "", nil},
	incident.EventAccessExpired:        {nowhere, "", nil},
	incident.EventRestricted:           {inChannel, "lock", (*builder).channelVisibility},
	incident.EventActProposed:          {inChannel, "keyboard", nil},
	incident.EventSecretActProposed:    {nowhere, "", nil}, // only legal and security may know
	incident.EventExclusionProposed:    {nowhere, "", nil}, // only legal and security may know
	incident.EventExcluded:             {nowhere, "", nil},
	incident.EventReadmissionProposed:  {nowhere, "", nil},
	incident.EventReadmitted:           {nowhere, "", nil},
	incident.EventReplacementNamed:     {inSignoff, "handshake", (*builder).callPerson},
	incident.EventChannelReplaced:      {inChannel, "wave", (*builder).welcome},
	incident.EventChannelLost:          {nowhere, "", nil}, // the channel is gone: the welcome in the next one names it
	incident.EventChannelFound:         {nowhere, "", nil}, // the messages that waited follow
	incident.EventChannelOpened:        {nowhere, "wave", (*builder).welcome},
	incident.EventInvited:              {nowhere, "", nil}, // the chat shows who joined
	incident.EventCalled:               {nowhere, "", nil}, // the card and the command who show the people
	incident.EventPresence:             {nowhere, "", nil},
	incident.EventAbsencePageStarted:   {nowhere, "", nil},
	incident.EventNotInvited:           {inChannel, "warning", (*builder).notInvited},
	incident.EventLinked:               {nowhere, "", nil},
	incident.EventEffectFailed:         {inChannel, "x", (*builder).effectFailed},
	incident.EventEffectDropped:        {inChannel, "x", (*builder).effectFailed},
	incident.EventRetried:              {nowhere, "", nil}, // the command was answered, and the card shows what waits
	incident.EventErasureProposed:      {inChannel, "wastebasket", (*builder).erasureApproval},
	incident.EventErased:               {inChecklist, "wastebasket", nil},
	incident.EventErasureRepeated:      {inChecklist, "wastebasket", nil},
	incident.EventRestored:             {inChannel, "lifebuoy", nil},
	incident.EventDistrusted:           {inChannel, "no_entry", (*builder).distrusted},
	incident.EventSeparated:            {inChannel, "twisted_rightwards_arrows", nil},
	incident.EventChangeConfirmed:      {nowhere, "", nil}, // the card lists what waits
	incident.EventPersonLeft:           {inChannel, "wave", (*builder).personLeft},

	incident.EventRecordEdited:       {nowhere, "", nil}, // the card counts the parts
	incident.EventSubmitted:          {inSignoff, "lock_with_ink_pen", (*builder).frozen},
	incident.EventSigned:             {nowhere, "", nil}, // the request is ticked
	incident.EventSignatureWithdrawn: {inSignoff, "leftwards_arrow_with_hook", nil},
	incident.EventSignaturesVoided:   {inChannel, "warning", (*builder).recordDue},
	incident.EventObjected:           {inSignoffAndChannel, "no_entry", (*builder).objected},
	incident.EventObjectionClosed:    {nowhere, "", nil}, // the message of the objection is edited
	incident.EventAmended:            {inSignoff, "pencil2", (*builder).recordDue},
	incident.EventApproved:           {inChannel, "tada", (*builder).approved},
	incident.EventRevised:            {inSignoff, "arrows_counterclockwise", (*builder).frozen},
	incident.EventConsulted:          {nowhere, "", nil}, // the request follows
	incident.EventAnswered:           {inSignoff, "speech_balloon", nil},
	incident.EventDelegated:          {inSignoff, "handshake", (*builder).callPerson},
	incident.EventDelegationEnded:    {inSignoff, "handshake", nil},
	incident.EventActionAdded:        {inSignoff, "hammer_and_wrench", (*builder).actionAdded},
	incident.EventActionDone:         {inSignoff, "heavy_check_mark", nil},
	incident.EventReviewScheduled:    {inChannel, "calendar", (*builder).reviewScheduled},
	incident.EventReviewInvited:      {nowhere, "", nil}, // the invitation is a mail
	incident.EventSignersReminded:    {nowhere, "", nil}, // the reminder is a direct message and a mail
	incident.EventReviewCancelled:    {inChannel, "calendar", nil},
	incident.EventReviewConcluded:    {inChannel, "busts_in_silhouette", nil},
	incident.EventWaiverProposed:     {inChannel, "question", (*builder).waiverApproval},
	incident.EventWaiverEndorsed:     {inSignoff, "white_check_mark", nil},
	incident.EventClosed:             {inChannel, "checkered_flag", (*builder).closed},
	incident.EventPostmortemWritten:  {nowhere, "", nil}, // the message with the file follows
	incident.EventPostmortemShared:   {nowhere, "", nil},

	incident.EventPostmortemWithdrawn: {inChannel, "warning", nil},
}
