package control

import "tocsin/bot/setting"

// Config configures the control socket and its users.
type Config struct {
	// Socket is the path of the socket, or "" for a path next to the database.
	Socket string `yaml:"control_socket"`
	// Group is the group, by name or number, whose members may connect to the socket.
	// Empty: only the user that runs the bot and root.
	Group string `yaml:"control_socket_group"`
	// Administrators are the local users who may operate the instance. Empty: the
	// user that runs the bot.
	Administrators []string `yaml:"administrators"`
}

// Validate returns the problems of the configuration.
func (c Config) Validate() setting.Problems {
	var p setting.Problems
	for n, name := range c.Administrators {
		if err := CheckUser(name); err != nil {
			p.Add(setting.Index("administrators", n), "%v", err)
		}
	}
	return p
}
