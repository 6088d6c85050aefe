package incident

import "strconv"

// The kinds of events about the start of the incident and its alerts.
const (
	EventOpened        EventKind = "opened"
	EventAlertAttached EventKind = "alert_attached"
	EventAlertCounted  EventKind = "alert_counted" // the 10th, 100th, ... occurrence
	EventSourceNoted   EventKind = "source_noted"  // an outside system reported resolved, assigned, ...
)

var alertEvents = eventTable{
	EventOpened: {
		fields:       "language origin restricted severity time_zone update_due",
		apply:        (*Incident).applyOpened,
		effects:      effects{channelEffect(EffectOpenChannel), announceIncident, timeUpdate},
		sentence:     sayOpened,
		text:         "text",
		announcement: "%s was opened at %s.",
		lane:         laneDetection,
		milestone:    "Opened",
	},
	EventAlertAttached: {
		fields:  "alert at fingerprint left_out level source",
		apply:   (*Incident).applyAlertAttached,
		effects: effects{postEvent, refreshCard},
		sentence: func(e Event) Sentence {
			return Say("Alert %s from %s, level %s, was attached to the incident", e.literal("kind"), e.literal("source"), e.Field("level"))
		},
		text: "title",
		lane: laneDetection,
	},
	EventAlertCounted: {
		fields:  "alert count",
		effects: effects{postEvent, refreshCard},
		sentence: func(e Event) Sentence {
			return Say("The alert occurred %s times", e.literal("count"))
		},
		text:  "title",
		lane:  laneDetection,
		minor: true,
	},
	EventSourceNoted: {
		fields:   "source",
		effects:  effects{postEvent},
		sentence: saySourceNoted,
		text:     "text",
		lane:     laneDetection,
	},
}

func (i *Incident) applyOpened(e Event) {
	i.applyUpdateDue(e)
	i.Title, i.Origin = e.Text("title"), Origin(e.Field("origin"))
	i.applySeverity(e.severity("severity"))
	i.Restricted = e.is("restricted")
	i.OpenedAt, i.OpenedBy = e.RecordedAt, e.By
	if e.is("reported") {
		i.Reporter = &Reporter{User: e.Text("reporter_user"), Team: e.Text("reporter_team"), Name: e.Text("reporter_name")}
	}
	i.Facts.PersonalData = PersonalUnknown
	i.Facts.TimeZone, i.Facts.Language = e.Field("time_zone"), e.Field("language")
	i.Record.Audience, i.Record.Language = AudienceResponders, e.Field("language")
}

func (i *Incident) applyAlertAttached(e Event) {
	id, _ := strconv.ParseInt(e.Field("alert"), 10, 64)
	left, _ := strconv.Atoi(e.Field("left_out"))
	i.Alerts = append(i.Alerts, AlertRef{Alert: id, Source: e.Field("source"), Kind: e.Field("kind"), Level: Level(e.Field("level")),
		Title: e.Text("title"), URL: e.Text("url"), Rule: e.Text("rule"), Fingerprint: e.Field("fingerprint"), At: parseInstant(e.Field("at")), LeftOut: left})
}

func sayOpened(e Event) Sentence {
	title, severity := e.quoted("title"), e.severity("severity")
	if e.is("reported") {
		return sayReported(e)
	}
	switch restricted := e.is("restricted"); {
	case e.By == "" && restricted:
		return Say("An alert opened this restricted incident at %s, “%s”", severity, title)
	case e.By == "":
		return Say("An alert opened the incident at %s, “%s”", severity, title)
	case restricted:
		return Say("%s opened this restricted incident at %s, “%s”", e.By, severity, title)
	}
	return Say("%s opened the incident at %s, “%s”", e.By, severity, title)
}

func sayReported(e Event) Sentence {
	title, severity, asked := e.quoted("title"), e.severity("severity"), e.Field("asked_severity")
	if asked == "" {
		asked = "none"
	}
	name, user, team := e.reporter()
	if team == "" {
		return Say("“%s” (account %s, unknown to Tocsin, name not verified) reported this restricted incident at %s (requested: %s), “%s”",
			name, user, severity, asked, title)
	}
	return Say("“%s” of team %s (account %s, unknown to Tocsin, name not verified) reported this restricted incident at %s (requested: %s), “%s”",
		name, team, user, severity, asked, title)
}

func saySourceNoted(e Event) Sentence {
	name, user, team := e.reporter()
	switch {
	case user == "":
		return Say("%s sent an update", Literal(SystemName(e.Field("source"))))
	case team == "":
		return Say("“%s” (account %s, unknown to Tocsin, name not verified) reported again", name, user)
	}
	return Say("“%s” of team %s (account %s, unknown to Tocsin, name not verified) reported again", name, team, user)
}

// reporter returns the name, the account and the workspace of the reporter of the
// event. An account without a name is its own name.
func (e Event) reporter() (name, user, team Quoted) {
	name, user, team = e.quoted("reporter_name"), e.quoted("reporter_user"), e.quoted("reporter_team")
	if name == "" {
		name = user
	}
	return name, user, team
}
