// Package chat performs the effects that reach people in a chat: it opens the
// channel of an incident, posts events, requests signatures and announces.
//
// [Effects] builds a neutral [Message] for each effect and gives it to a
// [Platform]. The platform lays the message out in its own format and sends it.
// Package slack is a platform. Another one implements [Platform] and reuses
// everything else here.
//
//	effects := chat.New(platform, log)
//	for kind, handler := range effects.Handlers() { … }
//
// Effects may run more than once. A handler searches for the result of an
// earlier attempt before it posts again. The texts of a [incident.Brief] are
// redacted before they reach this package, so a message holds nothing that the
// chat must not show.
package chat
