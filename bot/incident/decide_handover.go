package incident

// handOver makes another person the commander, who gets a briefing.
func (d *decider) handOver() error {
	c := d.cmd
	if err := d.requirePerson("person", c.Person); err != nil {
		return err
	}
	if d.env.Directory.SameHuman(c.Person, d.env.Actor) {
		return Invalid("person", "you cannot hand the command over to yourself. Name another person, or type role commander me")
	}
	if d.inc.Commander == c.Person {
		return nil
	}
	d.emit(EventRoleAssigned, fields{"role": string(Commander), "person": string(c.Person), "handover": "true"}, texts{"reason": c.Text})
	return nil
}
