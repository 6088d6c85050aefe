package incident

// CheckAccessRequest makes the checks of a request for access that need no incident.
// Callers make them before they read anything, so that the answer does not depend on
// the incident.
func CheckAccessRequest(cmd Command, env Env) error {
	d := newDecider(cmd, New(cmd.For), env)
	if err := d.checkArguments(); err != nil {
		return err
	}
	return d.requireText("text", cmd.Text, "a request for access needs a reason. Type access request %s because REASON", cmd.For)
}

// requestAccess records the request of a person who may not read the incident.
func (d *decider) requestAccess() error {
	if err := CheckAccessRequest(d.cmd, d.env); err != nil {
		return err
	}
	if d.inc.belongs(d.env.Directory, d.env.Actor, d.env.Now) || d.inc.accessRequest(d.env.Actor, d.env.Now) != nil {
		return nil
	}
	d.emit(EventAccessRequested, fields{"until": instant(d.env.Now.Add(RequestTTL))}, texts{"reason": d.cmd.Text})
	return nil
}

// endorseAccess grants the requested access for a time.
func (d *decider) endorseAccess() error {
	p := d.cmd.Person
	if err := d.requirePerson("person", p); err != nil {
		return err
	}
	if d.inc.accessRequest(p, d.env.Now) == nil {
		return Conflict("%s has no open request for access to %s. To give access without one, type grant PERSON because REASON", d.env.Directory.Name(p), d.inc.ID)
	}
	if err := d.secondPerson(p, "give access to "+d.inc.ID.String()); err != nil {
		return err
	}
	d.emit(EventAccessGranted, fields{"person": string(p), "until": instant(d.env.Now.Add(AccessTTL))}, texts{"reason": d.cmd.Text})
	return nil
}

// breakGlass gives the actor read access at once, without a second person.
func (d *decider) breakGlass() error {
	if err := d.requireText("text", d.cmd.Text, "break-glass needs a reason, which every member of %s reads. Type access break-glass %[1]s because REASON", d.inc.ID); err != nil {
		return err
	}
	if d.inc.MayRead(d.env.Directory, d.env.Actor, d.env.Now) {
		return nil
	}
	d.emit(EventBreakGlassUsed, fields{"until": instant(d.env.Now.Add(BreakGlassTTL))}, texts{"reason": d.cmd.Text})
	return nil
}

// accessTimeout ends the access and the requests whose time is over.
func (d *decider) accessTimeout() error {
	before, next := d.inc, NotDue{}
	for _, p := range before.Access {
		if until, ends := before.AccessUntil[p]; ends && next.isOver(until, d.env.Now) {
			after := d.inc.clone()
			after.revoke(p, d.env.Now)
			f := fields{"person": string(p)}
			if after.belongs(d.env.Directory, p, d.env.Now) {
				f["still_reads"] = "true" // for another reason
			}
			d.emit(EventAccessExpired, f, nil)
		}
	}
	for _, r := range before.AccessRequests {
		if next.isOver(r.Until, d.env.Now) {
			d.emit(EventAccessRequestExpired, fields{"person": string(r.By)}, nil)
		}
	}
	return d.unlessDue(next)
}
