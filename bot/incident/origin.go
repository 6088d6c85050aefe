package incident

import "strings"

// Origin is where a delivery comes from. Its alerts have the origin of the delivery,
// and an incident has the origin of the alert that opened it. Incidents that people
// open are live.
type Origin string

// The origins. Only an administrator can make a delivery that is not live: nothing
// that a sender sends sets the origin.
const (
	OriginLive      Origin = ""          // received from its sender
	OriginReplay    Origin = "replay"    // a stored or recorded delivery, ingested as a new one
	OriginDrill     Origin = "drill"     // the same, to exercise the response
	OriginRecording Origin = "recording" // from a file, and not as a new delivery
)

// ParseOrigin parses the name of an origin that is not live. Its error is an [*Error].
func ParseOrigin(s string) (Origin, error) {
	switch o := Origin(s); o {
	case OriginReplay, OriginDrill, OriginRecording:
		return o, nil
	}
	return "", Invalid("origin", "unknown origin %q. Use replay, drill or recording", s)
}

// String returns the name of the origin.
func (o Origin) String() string { return firstOf(string(o), "live") }

// Pages reports whether incidents of the origin page responders. A drill pages them to
// exercise the response. A replay and a recording page no one.
func (o Origin) Pages() bool { return o == OriginLive || o == OriginDrill }

// CountsAgain reports whether deliveries and events of the origin count each time they
// are ingested.
func (o Origin) CountsAgain() bool { return o == OriginReplay || o == OriginDrill }

// Mark returns the mark of an origin that is not live, such as "[DRILL]", or "".
func (o Origin) Mark() string {
	if o == OriginLive {
		return ""
	}
	return "[" + strings.ToUpper(string(o)) + "]"
}

// Marked returns text after the mark of the origin, as in "[DRILL] INC-42". Every
// text about an incident begins with it: a page, a message, a mail, a document or a
// line of a list.
func (o Origin) Marked(text string) string {
	if o == OriginLive {
		return text
	}
	return o.Mark() + " " + text
}

// TrimMark returns text without the mark at its beginning, if there is one.
func TrimMark(text string) string {
	for _, o := range []Origin{OriginReplay, OriginDrill, OriginRecording} {
		if rest, ok := strings.CutPrefix(text, o.Mark()+" "); ok {
			return rest
		}
	}
	return text
}

// Key returns the key of an alert, event or correlation in the name space of the
// origin. Alerts of an origin therefore never count for alerts or incidents of
// another. Keys of senders cannot begin like a key of another name space, because the
// inbox removes control characters from them.
func (o Origin) Key(key string) string {
	if o == OriginLive || key == "" {
		return key
	}
	return "\x1f" + string(o) + "\x1f" + key
}

// WithOrigin returns the alert with an origin and with keys in its name space. An
// alert that is not live acknowledges no report to its reporter.
func (a Alert) WithOrigin(o Origin) Alert {
	a.Origin = o
	if o == OriginLive {
		return a
	}
	a.Fingerprint, a.Correlation = o.Key(a.Identity()), o.Key(a.Correlation)
	a.Ongoing = a.Ongoing && !o.CountsAgain() // otherwise the incident of an earlier replay would suppress it
	if a.Report != nil {
		report := *a.Report
		report.Thread = o.Key(report.Thread)
		report.Reply, report.DuplicateKeys = nil, make([]DuplicateKey, len(report.DuplicateKeys))
		for n, k := range a.Report.DuplicateKeys {
			report.DuplicateKeys[n] = DuplicateKey{Kind: k.Kind, Value: o.Key(k.Value)}
		}
		a.Report = &report
	}
	return a
}

// WithOrigin returns the signal of a delivery with the origin of the delivery.
func (s Signal) WithOrigin(o Origin) Signal {
	if s.Alert != nil {
		a := s.Alert.WithOrigin(o)
		s.Alert = &a
	}
	if s.Command != nil {
		c := *s.Command
		c.Origin, c.Key = o, o.Key(c.Key)
		s.Command = &c
	}
	s.Subject.Correlation, s.Subject.Fingerprint = o.Key(s.Subject.Correlation), o.Key(s.Subject.Fingerprint)
	if s.Event = o.Key(s.Event); o.CountsAgain() {
		s.Event = ""
	}
	return s
}

// checkOrigin returns an error if the command is from a delivery of another origin than
// the incident. Live commands may act on every incident: a person acknowledges the
// page of a drill in the pager.
func (d *decider) checkOrigin() error {
	if o := d.cmd.Origin; o != OriginLive && o != d.inc.Origin && d.cmd.Verb != VerbOpen {
		return Conflict("the command is from %s and %s is %s. Replay the alerts of the incident too", o.described(), d.inc.ID, d.inc.Origin.described())
	}
	return nil
}

// requireOrigin returns an error if the named alert or incident, which is to become part
// of the incident, has another origin.
func (d *decider) requireOrigin(name string, o Origin) error {
	if o == d.inc.Origin {
		return nil
	}
	return Conflict("%s is %s and %s is %s. Choose two of the same origin", name, o.described(), d.inc.ID, d.inc.Origin.described())
}

// described returns the origin as a predicate: "live" or "a drill".
func (o Origin) described() string {
	if o == OriginLive {
		return "live"
	}
	return "a " + string(o)
}
