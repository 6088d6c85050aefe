// Package intake is the webhook edge: it limits, verifies, de-duplicates,
// commits deliveries in groups and answers; what they mean is found out later,
// from the stored bytes, by Drain.
package intake
