package response

import "tocsin/bot/incident"

// alertGroup is one alert with all deliveries of the batch that contain it.
type alertGroup struct {
	alert   incident.Alert  // the earliest occurrence, always with a correlation key
	decoded *incident.Alert // alert as decoded, the key of its verdict
	verdict verdict
	// occurrences are all occurrences as decoded. They may differ in content, so a
	// maintenance window must cover each. verdicts are the verdicts about them. If no
	// window is active, there is only the verdict about decoded.
	occurrences []*incident.Alert
	verdicts    []verdict
	// failedWindows are the maintenance windows whose condition failed and which
	// therefore did not suppress the alert. unconfirmedWindows match it but do not cover
	// its severity.
	failedWindows      []failedWindow
	unconfirmedWindows []int64
	rows               []int64
	reprocessed        bool        // the deliveries are routed again and were counted the first time
	unreadable         bool        // the alert is about deliveries that cannot be read
	incident           incident.ID // the live incident with its correlation key before the batch, or 0
	decision           RoutingDecision
	outcome            DeliveryOutcome // of its first delivery
}

// groupAlerts groups the occurrences of each alert, in the order of their first
// occurrence.
func groupAlerts(batch []incident.DecodedDelivery) []*alertGroup {
	type identity struct {
		key, source, fingerprint string
		reprocessed, unreadable  bool
	}
	groups := map[identity]*alertGroup{}
	var order []*alertGroup
	for _, row := range batch {
		for _, signal := range row.Signals {
			if signal.Alert == nil {
				continue
			}
			a := *signal.Alert
			a.Fingerprint = a.Identity()
			a.Correlation = correlationKey(a)
			id := identity{a.Correlation, a.Source, a.Fingerprint, row.Reprocessed, signal.Unreadable}
			g := groups[id]
			if g == nil {
				g = &alertGroup{alert: a, decoded: signal.Alert, reprocessed: row.Reprocessed, unreadable: signal.Unreadable}
				groups[id] = g
				order = append(order, g)
			}
			if a.At.Before(g.alert.At) {
				g.alert, g.decoded = a, signal.Alert
			}
			g.occurrences = append(g.occurrences, signal.Alert)
			g.rows = append(g.rows, row.Row)
		}
	}
	return order
}
