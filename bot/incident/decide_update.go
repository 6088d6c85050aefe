package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// update posts an update to the responders. Further audiences get it when a second
// person from legal or communications approved it, or at once if its words were approved
// beforehand.
func (d *decider) update() error {
	audiences, err := d.updateAudiences()
	if err != nil {
		return err
	}
	if !d.cmd.When.IsZero() && !d.cmd.When.After(d.env.Now) {
		return Invalid("when", "%s has passed. Give a time in the future for the next update, such as 30m", TimeText(d.cmd.When))
	}
	text, beforehand, err := d.updateText()
	if err != nil {
		return err
	}
	if len(audiences) == 0 {
		beforehand = ""
	}
	d.emit(EventUpdated, fields{"update": fmt.Sprintf("U%d", len(d.inc.Updates)+1), "audiences": strings.Join(audiences, ","), "corrects": strings.ToUpper(d.cmd.Item),
		"statement": d.cmd.Statement, "approved_beforehand": beforehand, "update_due": instant(d.cmd.When)}, texts{"text": text})
	return nil
}

// updateAudiences returns the names of the audiences of the command as configured. A
// correction goes to the audiences of the earlier update.
func (d *decider) updateAudiences() ([]string, error) {
	names := slices.Clone(d.cmd.Audiences)
	if d.cmd.Item != "" {
		earlier := d.inc.Update(d.cmd.Item)
		if earlier == nil {
			return nil, Unknown("item", "%s has no update %q. Type updates for their numbers", d.inc.ID, d.cmd.Item)
		}
		names = append(names, earlier.Audiences...)
	}
	if len(names) > 0 && d.env.System {
		return nil, Invalid("audiences", "the bot posts updates to responders only. A person must post it to further audiences")
	}
	var out []string
	for _, name := range names {
		a, known := d.env.Directory.Audience(name)
		switch {
		case !known:
			return nil, Unknown("audiences", "unknown audience %q. Configured audiences: %s", name, d.audiences())
		case d.inc.Restricted && !a.Restricted:
			return nil, d.withheldFrom(a)
		case !slices.Contains(out, a.Name):
			out = append(out, a.Name)
		}
	}
	return out, nil
}

// withheldFrom returns the error for an audience that may not get texts of the incident.
func (d *decider) withheldFrom(a UpdateAudience) error {
	return Conflict("%s is restricted, and the audience %q may not get its updates. Leave the audience out, or ask an administrator to set restricted: true for it", d.inc.ID, a.Name)
}

func (d *decider) audiences() string {
	names := make([]string, 0, len(d.env.Directory.Audiences))
	for _, a := range d.env.Directory.Audiences {
		names = append(names, a.Name)
	}
	return firstOf(strings.Join(names, ", "), "none. Ask an administrator to add them under updates.audiences")
}

// updateText returns the text of the update and the person who approved it beforehand.
func (d *decider) updateText() (text, beforehand string, err error) {
	if d.cmd.Statement == "" {
		return d.cmd.Text, "", d.requireText("text", d.cmd.Text, "the update is empty. Type update TEXT")
	}
	s, known := d.env.Directory.Statement(d.cmd.Statement, d.inc)
	needs := func(placeholder string) bool { return strings.Contains(s.Text, placeholder) }
	switch {
	case !known:
		return "", "", Unknown("statement", "unknown statement %q for %s. Configured statements: %s", d.cmd.Statement, d.inc.ID, d.statements())
	case !needs(PlaceholderText) && strings.TrimSpace(d.cmd.Text) != "":
		return "", "", Invalid("text", "the words of the statement %q are fixed. Leave the text out, or post it as an update without the statement", s.Name)
	case needs(PlaceholderText) && strings.TrimSpace(d.cmd.Text) == "":
		return "", "", Invalid("text", "the statement %q needs a text. Type it after the statement", s.Name)
	case needs(PlaceholderNext) && d.cmd.When.IsZero():
		return "", "", Invalid("when", "the statement %q names the next update. Add --next 30m", s.Name)
	case needs(PlaceholderEarlier) && d.cmd.Item == "":
		return "", "", Invalid("item", "the statement %q corrects an update. Add --corrects U1", s.Name)
	}
	values := map[string]string{PlaceholderIncident: d.inc.ID.String(), PlaceholderSeverity: string(d.inc.Severity), PlaceholderText: d.cmd.Text}
	if needs(PlaceholderNext) {
		values[PlaceholderNext] = TimeText(d.inZone(d.cmd.When))
	}
	if earlier := d.inc.Update(d.cmd.Item); earlier != nil {
		values[PlaceholderEarlier] = earlier.ID + ", " + TimeText(earlier.At)
	}
	if needs(PlaceholderText) {
		return s.fill(values), "", nil
	}
	return s.fill(values), s.ApprovedBy, nil
}

// inZone returns a time in the zone that the person typed, or else in the zone of the
// incident.
func (d *decider) inZone(at time.Time) time.Time {
	for _, name := range []string{d.cmd.Zone, d.inc.Facts.TimeZone} {
		if zone, err := ParseZone(name); err == nil {
			return at.In(zone)
		}
	}
	return at.UTC()
}

func (d *decider) statements() string {
	var names []string
	for _, s := range d.env.Directory.Statements {
		if s.Playbook == "" || d.inc.Run(s.Playbook) != nil {
			names = append(names, s.Name)
		}
	}
	return firstOf(strings.Join(names, ", "), "none. Ask an administrator to add them under updates.statements")
}

// approveUpdate lets the further audiences of an update get its words.
func (d *decider) approveUpdate() error {
	u := d.inc.Update(d.cmd.Item)
	switch {
	case u == nil:
		return Unknown("item", "%s has no update %q. Type updates for their numbers", d.inc.ID, d.cmd.Item)
	case len(u.Audiences) == 0:
		return Conflict("%s went to the responders only and needs no approval. Type update --to AUDIENCE to tell others", u.ID)
	case !u.Waits():
		return nil
	}
	if err := d.secondPerson(u.By, "approve "+u.ID+", its author and another one"); err != nil {
		return err
	}
	for _, name := range u.Audiences {
		if a, known := d.env.Directory.Audience(name); known && d.inc.Restricted && !a.Restricted {
			return d.withheldFrom(a)
		}
	}
	d.emit(EventUpdateApproved, fields{"update": u.ID, "audiences": strings.Join(u.Audiences, ",")}, nil)
	return nil
}

// updateSent adds an entry to the register of an update.
func (d *decider) updateSent() error {
	u := d.inc.Update(d.cmd.Item)
	if u == nil || slices.ContainsFunc(u.Sent, func(s UpdateSent) bool { return s.Audience == d.cmd.Text && s.Medium == d.cmd.Channel }) {
		return nil
	}
	kind := EventUpdateSent
	if d.cmd.Reason != "" {
		kind = EventUpdateWithheld
	}
	d.emit(kind, fields{"update": u.ID, "audience": d.cmd.Text, "medium": d.cmd.Channel}, nil)
	return nil
}

// updateTimeout reminds the communicator of an update that is due.
func (d *decider) updateTimeout() error {
	due := d.inc.UpdateDue
	switch {
	case due.IsZero(), d.inc.UpdateReminded:
		return nil
	case d.env.Now.Before(due):
		return &NotDue{Until: due}
	}
	d.emit(EventUpdateDue, nil, nil)
	return nil
}

// firstUpdateDue returns when the first update is due at a severity, or "".
func (d *decider) firstUpdateDue(s Severity) string {
	within := d.env.Policy.FirstUpdate[s]
	if within <= 0 || len(d.inc.Updates) > 0 || !d.inc.UpdateDue.IsZero() && d.inc.UpdateDue.Before(d.env.Now.Add(within)) {
		return ""
	}
	return instant(d.env.Now.Add(within))
}
