package response

import (
	"context"
	"fmt"

	"tocsin/bot/incident"
)

// pageInfo returns the part of a page about an incident that everybody may read.
func (d *Desk) pageInfo(inc incident.Incident) incident.PageInfo {
	p := incident.PageInfo{Subject: inc.Subject()}
	if d.PageLinks != nil {
		p.Links = d.PageLinks(inc)
	}
	return p
}

// StatusPage returns what the status page of an incident shows to everybody who has its
// address. The caller has checked the address.
func (d *Desk) StatusPage(ctx context.Context, id incident.ID) (incident.StatusPage, error) {
	var out incident.StatusPage
	err := d.Store.View(ctx, func(r Reader) error {
		inc, err := r.Incident(id)
		if err != nil {
			return err
		}
		out = incident.StatusPage{ID: id, Origin: inc.Origin, Severity: inc.Severity, Status: inc.Status, Page: d.pageInfo(inc), OpenedAt: inc.OpenedAt,
			Acknowledged: inc.Paging.Acknowledged(), AcknowledgedAt: inc.Paging.AcknowledgedAt, MergedInto: inc.MergedInto}
		if !inc.Restricted {
			out.Title = inc.Title
		}
		return nil
	})
	if err != nil {
		return incident.StatusPage{}, fmt.Errorf("read status page: %w", err)
	}
	return redactedCopy(d.Redact, out), nil
}
