package chat

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"tocsin/bot/incident"
	"tocsin/bot/text"
)

// Card updates the pinned card in the channel. The first call posts and pins
// the card. Later calls return [incident.RetryAfter] if the card, or the
// platform, was edited too often. The next attempt shows the newest state.
//
// If the platform does not allow pins or bookmarks, Card returns the command for the
// posted card together with the error. The next attempts repeat the pin and the bookmark.
func (c *Effects) Card(ctx context.Context, b incident.Brief, e incident.Effect) (incident.Command, error) {
	channel, err := channelOf(b.Incident)
	if err != nil {
		return noCommand, err
	}
	m, mark, links := Card(b), markOf(b, b.Mark), map[string]string{}
	id := b.Incident.Links[incident.LinkCard]
	if id != "" {
		if err := c.pace.edit(channel+"/"+id, b.Now); err != nil {
			return noCommand, err
		}
		err = c.platform.Update(ctx, channel, id, m, mark)
	}
	switch {
	case id == "", errors.Is(err, ErrNoMessage):
		// Always search: an earlier attempt may have stopped between posting and pinning.
		card, err := c.postOnce(ctx, b, channel, b.Mark, m, true)
		if err != nil {
			return noCommand, err
		}
		id = card.ID
		links[incident.LinkCard] = id
	case err != nil:
		return noCommand, err
	}
	var refused error
	if b.Incident.Links[incident.LinkPin] != id {
		refused = c.optional(ctx, b, "pin the card", c.platform.Pin(ctx, channel, id))
		if refused == nil {
			links[incident.LinkPin] = id
		}
	}
	if refused == nil || isBlocked(refused) {
		refused = cmp.Or(refused, c.bookmarks(ctx, b, channel, links))
	}
	switch {
	case refused != nil && !isBlocked(refused):
		return noCommand, refused
	case len(links) == 0:
		return noCommand, refused
	}
	return resultCommand(b, e, incident.Command{Verb: incident.VerbLink, Links: links}), refused
}

// Shows returns a fingerprint of the message that a refresh effect edits, or "" if the
// message or a part of it does not exist yet.
func (c *Effects) Shows(b incident.Brief, e incident.Effect) string {
	links, edited := b.Incident.Links, map[incident.EffectKind]string{incident.EffectCard: incident.LinkCard, incident.EffectChecklist: incident.LinkChecklist, incident.EffectSignoff: incident.LinkSignoff}[e.Kind]
	id := links[edited]
	var m Message
	switch {
	case id == "":
		return ""
	case e.Kind == incident.EffectChecklist:
		m = Checklist(b)
	case e.Kind == incident.EffectSignoff:
		m = Signoff(b)
	case links[incident.LinkPin] != id || links[incident.LinkCall] == "" && IsPage(b.Page.Links.Call) ||
		links[incident.LinkBookmark] == "" && slices.ContainsFunc(b.Incident.Alerts, func(a incident.AlertRef) bool { return IsPage(a.URL) }):
		return ""
	default:
		m = Card(b)
	}
	return text.SHA256(links[incident.LinkChannel] + "/" + id + "/" + c.platform.Fingerprint(m))
}

// noBookmark is stored as the ID if the platform does not accept a bookmark.
// It prevents further attempts.
const noBookmark = "none"

// bookmarks adds a bookmark for the call, and one for the first alert with a URL. It stores
// their IDs in links.
func (c *Effects) bookmarks(ctx context.Context, b incident.Brief, channel string, links map[string]string) error {
	err := c.bookmark(ctx, b, channel, incident.LinkCall, Bookmark{Title: callLabel, URL: b.Page.Links.Call, Icon: "telephone_receiver"}, links)
	if err != nil {
		return err
	}
	n := slices.IndexFunc(b.Incident.Alerts, func(a incident.AlertRef) bool { return IsPage(a.URL) })
	if n < 0 {
		return nil
	}
	a := b.Incident.Alerts[n]
	return c.bookmark(ctx, b, channel, incident.LinkBookmark, Bookmark{Title: "Alert in " + incident.SystemName(a.Source), URL: a.URL, Icon: "bell"}, links)
}

// bookmark adds a bookmark and stores its ID as a link. It does nothing without a URL, or
// if the incident has the link.
func (c *Effects) bookmark(ctx context.Context, b incident.Brief, channel, link string, m Bookmark, links map[string]string) error {
	if b.Incident.Links[link] != "" || !IsPage(m.URL) {
		return nil
	}
	id, err := c.platform.Bookmark(ctx, channel, m)
	if err := c.optional(ctx, b, "add a bookmark", err); err != nil {
		return err
	}
	if err != nil {
		id = noBookmark
	}
	links[link] = id
	return nil
}

// cardContent is the card of one status: its first line, the lines below it and its
// buttons. A line without a text is left out.
type cardContent struct {
	heading func(*builder) Text
	lines   []func(*builder) Text
	buttons []cardButton
}

// cardButton is a button of the card. A verb that the status does not allow has none.
type cardButton struct {
	verb  incident.Verb
	label string
}

// callLabel is the label of links to the call of the incident.
const callLabel = "Join call"

// joinCall is the button that opens the call, if one is configured.
var joinCall = cardButton{label: callLabel}

// maxCardButtons is the number of buttons in the row. The others are behind its menu.
const maxCardButtons = 3

// cardContents holds the card of each status, with the most useful buttons first.
var cardContents = map[incident.Status]cardContent{
	incident.Triage: {
		heading: (*builder).plainHeading,
		lines:   []func(*builder) Text{(*builder).titleLine, (*builder).commanderLine, (*builder).sinceLine, (*builder).firstStepsLine},
		buttons: []cardButton{joinCall, {incident.VerbDismiss, "False alarm"}, {incident.VerbSetSeverity, "Severity"}, {incident.VerbContain, "Contained"},
			{incident.VerbPageAgain, "Page someone"}, {incident.VerbNote, "Add a note"}},
	},
	incident.Active: {
		heading: (*builder).activeHeading,
		lines:   respondingLines,
		buttons: []cardButton{{incident.VerbContain, "Contained"}, {incident.VerbUpdate, "Update"}, {incident.VerbPageAgain, "Page someone"},
			joinCall, {incident.VerbSetFact, "Set a fact"}, {incident.VerbSetSeverity, "Severity"}, {incident.VerbNote, "Add a note"}, {incident.VerbDismiss, "False alarm"}},
	},
	incident.Contained: {
		heading: (*builder).containedHeading,
		lines:   respondingLines,
		buttons: []cardButton{{incident.VerbResolve, "Resolved"}, {incident.VerbUpdate, "Update"}, {incident.VerbPageAgain, "Page someone"},
			joinCall, {incident.VerbSetFact, "Set a fact"}, {incident.VerbSetSeverity, "Severity"}, {incident.VerbNote, "Add a note"}, {incident.VerbReopen, "Reopen"}},
	},
	incident.Resolved: {
		heading: (*builder).resolvedHeading,
		lines:   []func(*builder) Text{(*builder).affectedLine, (*builder).notifyLine, (*builder).recordLine, (*builder).openLine},
		buttons: []cardButton{{incident.VerbEditRecord, "Closing record"}, {incident.VerbSubmit, "Submit"}, {incident.VerbReopen, "Reopen"},
			{incident.VerbAddAction, "Add an action item"}, {incident.VerbSetFact, "Set a fact"}, {incident.VerbNote, "Add a note"}, {incident.VerbScheduleReview, "Schedule the review"}},
	},
	incident.InReview: {
		heading: (*builder).revisionHeading,
		lines:   []func(*builder) Text{(*builder).signedLine, (*builder).unsignedLine, (*builder).objectionsLine},
		buttons: []cardButton{{incident.VerbSign, "Read and sign"}, {incident.VerbObject, "Object"}, {incident.VerbAmend, "Amend"},
			{incident.VerbScheduleReview, "Schedule the review"}, {incident.VerbNote, "Add a note"}, {incident.VerbReopen, "Reopen"}},
	},
	incident.Approved: {
		heading: (*builder).revisionHeading,
		lines:   []func(*builder) Text{(*builder).titleLine, (*builder).reviewLine, (*builder).actionsLine},
		buttons: []cardButton{{incident.VerbConclude, "Conclude the review"}, {incident.VerbScheduleReview, "Schedule the review"}, {incident.VerbAddAction, "Add an action item"},
			{incident.VerbRevise, "Revise"}, {incident.VerbNote, "Add a note"}, {incident.VerbReopen, "Reopen"}},
	},
	incident.Closed: {
		heading: (*builder).revisionHeading,
		lines:   []func(*builder) Text{(*builder).titleLine, (*builder).reviewLine, (*builder).actionsLine},
		buttons: []cardButton{{incident.VerbAddAction, "Add an action item"}, {incident.VerbRevise, "Revise"}, {incident.VerbReopen, "Reopen"}, {incident.VerbNote, "Add a note"}},
	},
	incident.Dismissed: {
		heading: (*builder).plainHeading,
		lines:   []func(*builder) Text{(*builder).titleLine, (*builder).dismissalLine, (*builder).reviewLine, (*builder).actionsLine},
		buttons: []cardButton{{incident.VerbReopen, "Reopen"}, {incident.VerbAddAction, "Add an action item"}, {incident.VerbScheduleReview, "Schedule the review"}, {incident.VerbNote, "Add a note"}},
	},
	incident.Merged: {
		heading: (*builder).plainHeading,
		lines:   []func(*builder) Text{(*builder).titleLine, (*builder).mergedLine},
		buttons: []cardButton{{incident.VerbNote, "Add a note"}},
	},
}

// respondingLines are the lines of an active or contained incident.
var respondingLines = []func(*builder) Text{(*builder).dataLine, (*builder).deadlineLine, (*builder).stepsLine, (*builder).peopleLine, (*builder).updateLine}

// Card returns the message with the present state of an incident: at most six short lines
// and one row of buttons.
func Card(b incident.Brief) Message {
	m := newBuilder(b)
	m.Notice = m.state()
	m.buttons(m.cardActions(cardContents[m.inc.Status].buttons)...)
	m.waiting()
	m.changesToConfirm()
	return m.message()
}

// state adds the state of the incident in at most six short lines, and returns the first
// one.
func (m *builder) state() Text {
	c := cardContents[m.inc.Status]
	if c.heading == nil { // before its first event
		c.heading = (*builder).plainHeading
	}
	heading := c.heading(m)
	lines := []any{Strong{heading}}
	for _, line := range c.lines {
		if t := line(m); !isEmpty(t) {
			lines = append(lines, t)
		}
	}
	m.line("%s", Joined{"\n", lines})
	return heading
}

// cardActions returns the buttons of the card. The row holds the first ones, and its menu
// the rest. Acknowledge is the first button of an incident without an acknowledgement, at
// any severity.
func (m *builder) cardActions(buttons []cardButton) []Action {
	var row []Action
	if !m.inc.Paging.Acknowledged() {
		row = m.ackButton()
	}
	for _, b := range buttons {
		switch call := m.brief.Page.Links.Call; {
		case b != joinCall:
			row = append(row, m.verbButton(b.label, b.verb)...)
		case IsPage(call):
			row = append(row, Action{Label: b.label, URL: call, Command: incident.Command{For: m.inc.ID}})
		}
	}
	row = append(row, ask("Details", "status "+m.inc.ID.String()))
	for n := maxCardButtons; n < len(row); n++ {
		row[n].More = true
	}
	if over := len(row) - maxCardButtons - MaxMore; over > 0 { // Details stays
		row = slices.Delete(row, len(row)-1-over, len(row)-1)
	}
	return row
}

// waiting adds a line about effects that wait for an outside system, with the cause, the
// repair and a button to try again. The line starts with the causes that an administrator
// must repair.
func (m *builder) waiting() {
	waits := slices.Clone(m.brief.Waiting)
	if len(waits) == 0 {
		return
	}
	slices.SortStableFunc(waits, func(a, b incident.WaitingEffect) int {
		switch {
		case a.Blocked == b.Blocked:
			return a.Since.Compare(b.Since)
		case a.Blocked:
			return -1
		}
		return 1
	})
	first, causes := waits[0], map[string]bool{}
	for _, w := range waits {
		causes[w.System+"/"+w.Cause] = true
	}
	system, cause := Strong{textf("Waiting for %s:", Plain(incident.SystemName(first.System)))}, Plain(text.Truncate(first.Cause, 200))
	if others := len(causes) - 1; others == 0 {
		m.iconLine("hourglass", "%s %s, since %s.", system, cause, first.Since)
	} else {
		m.iconLine("hourglass", "%s %s, since %s. Other causes: %d.", system, cause, first.Since, others)
	}
	switch fix := Plain(text.Truncate(first.Fix, 300)); {
	case fix == "":
	case first.Blocked:
		m.note("%s. Tocsin tries again afterwards.", fix)
	default:
		m.note("%s. Tocsin tries again without help.", fix)
	}
	m.buttons(m.verbButton("Try again", incident.VerbRetry)...)
}
