package incident

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DistrustedProvider is the argument of [VerbDistrusted]: a provider whose accounts an attacker used since a time.
type DistrustedProvider struct {
	Event    int64     `json:"event"` // id in the log of keys and providers
	Provider string    `json:"provider"`
	Names    []string  `json:"names"` // the provider and the issuers that belong to it
	Since    time.Time `json:"since"`
	Keys     []Passkey `json:"keys,omitempty"` // that were obtained through it since then
}

// DistrustedChange is a change through a distrusted provider that Tocsin did not undo. It is open until a person confirms it.
type DistrustedChange struct {
	Seq      int       `json:"seq"` // of the event
	Kind     EventKind `json:"kind"`
	By       PersonID  `json:"by,omitempty"`
	At       time.Time `json:"at"`
	Provider string    `json:"provider"`
}

// viaOf returns the channel of the direct commands of a provider, or "".
func viaOf(provider string) Via {
	switch Provider(provider) {
	case ProviderSlack:
		return ViaSlack
	case ProviderPagerDuty:
		return ViaPager
	}
	return ""
}

// distrust returns the distrust that a command falls under, or nil: its author's account belongs to the provider, the provider
// vouches for the session, or the command came from there.
func (e Env) distrust(cmd Command) *Distrust {
	if e.System {
		return nil
	}
	for n := range e.Distrusts {
		d := &e.Distrusts[n]
		if via := viaOf(d.Provider); d.Provider == string(cmd.By.Provider) || d.Provider == cmd.Through || via != "" && via == cmd.Via {
			return d
		}
	}
	return nil
}

// checkDistrust returns an error for a command through a distrusted provider.
func checkDistrust(cmd Command, env Env) error {
	if d := env.distrust(cmd); d != nil {
		return Distrusted(*d)
	}
	return nil
}

// Distrusted returns the error for people who use a distrusted provider.
func Distrusted(d Distrust) *Error {
	return &Error{Code: CodeForbidden, Field: FieldProvider, Sentence: Say("%s is distrusted since %s, so nothing from there counts. Open the pages of Tocsin with another way to sign in, or use the command line", Literal(d.Provider), d.At)}
}

// FieldProvider is the field of the error about a distrusted provider.
const FieldProvider = "provider"

// IsDistrusted reports whether err refuses a command because its provider is distrusted.
func IsDistrusted(err error) bool {
	return CodeOf(err) == CodeForbidden && fieldOf(err) == FieldProvider
}

// obtained reports whether an event was recorded through the provider, or with a key or session that was obtained through it.
func (x DistrustedProvider) obtained(e Event) bool {
	if e.RecordedAt.Before(x.Since) {
		return false
	}
	through := e.Field("through")
	if via := viaOf(x.Provider); via != "" && e.Via == via || through != "" && slices.Contains(x.Names, through) {
		return true
	}
	key := e.proofKey()
	return slices.ContainsFunc(x.Keys, func(k Passkey) bool {
		switch {
		case key != "":
			return key == k.Fingerprint
		case through != ThroughPasskey:
			return false
		}
		return k.Person == e.By && !e.RecordedAt.Before(k.RegisteredAt) // which key signed in is not recorded
	})
}

// proofKey returns the fingerprint of the key in the proof of the event, or "".
func (e Event) proofKey() string {
	var p Proof
	if data := e.Field("proof"); data == "" || json.Unmarshal([]byte(data), &p) != nil {
		return ""
	}
	return p.Fingerprint()
}

// reversible are the kinds of events that a distrust undoes.
var reversible = []EventKind{
	EventAcknowledged, EventContained, EventResolved, EventReopened, EventDismissProposed, EventDismissed, EventMergedInto, EventMergedFrom,
	EventSeveritySet, EventSeverityKept, EventRestricted, EventLegalHoldReleased, EventErasureProposed,
	EventSubmitted, EventAmended, EventRevised, EventSigned, EventSignatureWithdrawn, EventObjectionClosed, EventAnswered, EventApproved,
	EventReviewConcluded, EventWaiverProposed, EventWaiverEndorsed, EventClosed,
	EventAccessGranted, EventAccessRevoked, EventAccessRequested, EventBreakGlassUsed, EventReplacementNamed, EventRoleAssigned,
	EventDelegated, EventDelegationEnded, EventExclusionProposed, EventExcluded, EventReadmissionProposed, EventReadmitted,
}

// unlisted are the kinds of events that people need not confirm: they change nothing, or follow from others.
var unlisted = []EventKind{EventNoted, EventPresence, EventRoundStarted, EventSignaturesVoided, EventPostmortemWithdrawn, EventReviewCancelled, EventChangeConfirmed}

// undone returns the numbers of the reversible events that do not count: those that were obtained through the provider, those that
// rest on a proposal that was, and those of earlier distrusts.
func (x DistrustedProvider) undone(timeline []Event) map[int]bool {
	out := map[int]bool{}
	for _, e := range timeline {
		if e.Kind == EventDistrusted {
			for _, seq := range parseRanges(e.Field("undone")) {
				out[seq] = true
			}
		}
	}
	proposals := map[string]int{} // number of the last proposal, by its subject
	for _, e := range timeline {
		if !slices.Contains(reversible, e.Kind) {
			continue
		}
		topic, second := e.proposal()
		if first := proposals[topic]; x.obtained(e) || second && first != 0 && out[first] {
			out[e.Seq] = true
		}
		if topic != "" {
			proposals[topic] = 0
			if !second {
				proposals[topic] = e.Seq
			}
		}
	}
	return out
}

// proposal returns the subject that the event proposes or, if second is set, that the second of two people decides. It is "" for events of one
// person.
func (e Event) proposal() (topic string, second bool) {
	switch e.Kind {
	case EventDismissProposed:
		return "dismissal", false
	case EventDismissed:
		return "dismissal", e.Field("person") != ""
	case EventExclusionProposed:
		return "exclusion", false
	case EventExcluded:
		return "exclusion", e.Field("second") != ""
	case EventReadmissionProposed:
		return "readmission/" + e.Field("person"), false
	case EventReadmitted:
		return "readmission/" + e.Field("person"), true
	case EventWaiverProposed:
		return "waiver", false
	case EventWaiverEndorsed:
		return "waiver", true
	}
	return "", false
}

// withoutEvents returns the incident as it would be without some of its events. Earlier distrusts are left out too: their consequences
// follow from the events that they undid.
func withoutEvents(id ID, timeline []Event, undone map[int]bool) Incident {
	inc := New(id)
	for _, e := range timeline {
		if !undone[e.Seq] && e.Kind != EventDistrusted {
			inc.apply(e)
		}
	}
	return inc
}

// formatRanges writes sorted numbers as "3,7-9".
func formatRanges(seqs []int) string {
	var out []string
	for n := 0; n < len(seqs); n++ {
		first := seqs[n]
		for n+1 < len(seqs) && seqs[n+1] == seqs[n]+1 {
			n++
		}
		if s := strconv.Itoa(first); seqs[n] == first {
			out = append(out, s)
		} else {
			out = append(out, s+"-"+strconv.Itoa(seqs[n]))
		}
	}
	return strings.Join(out, ",")
}

// maxRange bounds a range of events that a person types.
const maxRange = 100000

// parseRanges returns the numbers of a list such as "3,7-9". It leaves out malformed parts.
func parseRanges(s string) (out []int) {
	for _, part := range strings.Split(s, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		first, err := strconv.Atoi(strings.TrimSpace(from))
		last := first
		if err == nil && isRange {
			last, err = strconv.Atoi(strings.TrimSpace(to))
		}
		if err != nil || first < 1 || last < first || last-first > maxRange {
			continue
		}
		for n := first; n <= last; n++ {
			out = append(out, n)
		}
	}
	return out
}

// Label returns the change in one line: "17 evidence_added by Ada at 2026-11-24 02:31 UTC".
func (c DistrustedChange) Label(d Directory) string {
	return strconv.Itoa(c.Seq) + " " + strings.ReplaceAll(string(c.Kind), "_", " ") + " by " + d.Name(c.By) + " at " + c.At.UTC().Format("2006-01-02 15:04 UTC")
}
