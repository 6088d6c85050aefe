package incident

import "time"

// maxPagerSkew is how far the pager's clock may be behind the clock of this server.
const maxPagerSkew = time.Minute

// requireCurrentRound returns an error if the acknowledgement of a pager belongs to an
// earlier round or happened before the current one. A pager can deliver an event late
// or again, and such an event must not stop the paging of a later round. Without a
// round, the incident was raised in the pager, and the first page of Tocsin follows
// its first alert.
func (d *decider) requireCurrentRound() error {
	p := d.inc.Paging
	if d.cmd.Round != 0 && d.cmd.Round != p.Round {
		return Conflict("this acknowledgement belongs to round %d, and %s is in round %d. Acknowledge the current page", d.cmd.Round, d.inc.ID, p.Round)
	}
	if since := d.inc.earliestAck(d.cmd.Round); !d.cmd.HappenedAt.IsZero() && d.cmd.HappenedAt.Add(maxPagerSkew).Before(since) {
		return Conflict("this acknowledgement is from %s, before %s paged at %s. Acknowledge the current page",
			d.cmd.HappenedAt.UTC().Format(time.RFC3339), d.inc.ID, since.UTC().Format(time.RFC3339))
	}
	return nil
}

// earliestAck returns the earliest possible time of an acknowledgement of the current
// round: its start, or the first alert if the pager raised the incident. The start of
// an old round may be unknown, and then OpenedAt bounds it.
func (i Incident) earliestAck(round int) time.Time {
	since := i.Paging.StartedAt
	if since.IsZero() {
		since = i.OpenedAt
	}
	if round == 0 && i.Paging.Round <= 1 {
		for _, a := range i.Alerts {
			if !a.At.IsZero() && a.At.Before(since) {
				since = a.At
			}
		}
	}
	return since
}
