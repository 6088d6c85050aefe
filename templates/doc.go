// Package templates writes every document that leaves the house: the
// postmortem, mails, invitations and agendas, the sentence that tells an event,
// and the picture of the lifecycle.
//
// It is pure: what it needs is in its arguments, and the same arguments give
// the same bytes. Everything that people or alert sources wrote is untrusted.
// In Markdown it is escaped or quoted, so that it can be read but forms no
// heading, table, link or tag; in HTML html/template escapes it, and the fields
// of the record, which may be written in Markdown, are rendered by a parser
// that knows no headings, links or raw HTML, and sanitised afterwards.
package templates
