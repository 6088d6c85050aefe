package story

import (
	"fmt"
	"slices"
	"strings"

	"tocsin/bot/sandbox/chat"
)

// Counts are the messages in the channel of the incident, and whom they notified.
type Counts struct {
	Lines      int // messages of the bot and of Slack in the channel, with each join and topic
	BeforeAct  int // messages of the bot in the channel before a person acted
	Replies    int // of the bot in threads
	Words      int // of the bot in the channel and its threads
	Commander  int // notifications of the commander: mentions and direct messages
	Others     int // the most notifications of another person
	MostCalled string
}

// String returns the counts in one line.
func (c Counts) String() string {
	return fmt.Sprintf("%d lines in the channel (%d posts before a person acted), %d replies in threads, %d words; notifications: commander %d, others at most %d (%s)",
		c.Lines, c.BeforeAct, c.Replies, c.Words, c.Commander, c.Others, c.MostCalled)
}

// count counts the messages of the incident, and the notifications in every conversation.
func (p *player) count() Counts {
	var out Counts
	bot := p.chat.Config().Bot
	notified := map[string]int{}
	for _, ch := range p.chat.Channels("") {
		for _, m := range p.chat.Messages(ch.ID) {
			if ch.ID == p.result.Channel && (m.BotID == bot.BotID || m.Subtype != "") {
				out.Lines++
			}
			if ch.ID == p.result.Channel && m.BotID == bot.BotID && slackTime(m.TS).Before(p.firstAct) {
				out.BeforeAct++
			}
		}
		for _, m := range p.messagesOfBot(ch.ID) {
			for _, id := range m.Notified {
				notified[id]++
			}
			if ch.ID != p.result.Channel {
				continue
			}
			out.Words += len(strings.Fields(p.read.message(m)))
			if m.ThreadTS != "" && m.ThreadTS != m.TS {
				out.Replies++
			}
		}
	}
	for _, q := range p.Company.People {
		switch n := notified[q.ID]; {
		case q.ID == p.cast.first.ID:
			out.Commander = n
		case n > out.Others:
			out.Others, out.MostCalled = n, q.Name
		}
	}
	return out
}

// messagesOfBot returns the messages of the bot in a channel and its threads.
func (p *player) messagesOfBot(channel string) []chat.Message {
	return slices.DeleteFunc(p.messages(channel), func(m chat.Message) bool { return m.BotID != p.chat.Config().Bot.BotID })
}
