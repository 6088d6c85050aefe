package incident

// The kinds of events about restores of the instance from a backup.
const (
	EventRestored        EventKind = "restored"         // the restore was released
	EventErasureRepeated EventKind = "erasure_repeated" // the lost timeline has the erasure as the event of the field erasure
)

var restoreEvents = eventTable{
	EventRestored: {
		fields: "backup_at restore restored_at",
		apply: func(i *Incident, e Event) {
			if i.Paging.Acknowledged() {
				i.Paging.LastAction = e.RecordedAt
			}
		},
		effects: effects{postEvent, refreshCard},
		sentence: func(e Event) Sentence {
			return Say("Tocsin lost its machine and was restored from the backup of %s. Records from after the backup are missing", parseInstant(e.Field("backup_at")))
		},
		lane:      laneResponse,
		milestone: "Restored from a backup",
	},
	EventErasureRepeated: {
		fields:  "erasure refs",
		apply:   func(i *Incident, _ Event) { i.Erasure = nil },
		effects: effects{postEvent, refreshCard},
		sentence: func(Event) Sentence {
			return Say("Tocsin erased texts again, because legal and security had erased them after the backup")
		},
		textInside: true,
		lane:       laneResponse,
	},
}
