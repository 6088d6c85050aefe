package response

import "tocsin/bot/incident"

// removePerson builds the removal of a person from the channel.
func removePerson(c effectBuilder) []incident.Effect {
	return []incident.Effect{c.inChannel(incident.EffectRemove, map[string]string{"person": c.event.Field("person")})}
}

// excludeFromChannel ends the place of an excluded person in the channel, in the
// way that legal or security chose.
func excludeFromChannel(c effectBuilder) []incident.Effect {
	switch c.event.Field("channel") {
	case incident.ChannelRemove:
		return removePerson(c)
	case incident.ChannelNew:
		if old := c.inc.Links[incident.LinkChannel]; old != "" {
			return []incident.Effect{c.inChannel(incident.EffectReplaceChannel, map[string]string{"channel": old})}
		}
	}
	return nil
}
