// Package intake receives webhooks. [Edge] serves POST /hooks/{source}. It
// limits senders, verifies each delivery, removes duplicates, stores deliveries
// in group commits and then answers 202. It does not interpret a body before
// the answer. [Edge.Drain] later decodes the stored bytes and passes the result
// to the [Desk].
//
// Each sender is a [Source], which verifies and decodes its deliveries. The
// [Store] persists them. Adapters that receive deliveries in another way, such
// as a mailbox, call [Edge.Deliver].
package intake
