// Package templates renders the documents and messages of Tocsin: the postmortem,
// mails, notices, the sentence for a timeline event, replies about alerts, and
// the diagram of the lifecycle.
//
// Its functions are pure. They depend only on their arguments, and equal arguments
// produce equal bytes.
//
// Text from people and alert sources is untrusted. In Markdown it is escaped or
// quoted, and cannot form a heading, table, link or tag. In HTML it is escaped by
// html/template. The fields of the closing record may contain Markdown. A parser
// without headings, links and raw HTML renders them, and the result is sanitised.
package templates
