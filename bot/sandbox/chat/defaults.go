package chat

import "time"

// withDefaults fills the empty fields of a configuration.
func withDefaults(cfg Config) Config {
	str := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	str(&cfg.Team.ID, "T0SANDBOX")
	str(&cfg.Team.Name, "Sandbox")
	str(&cfg.Team.Domain, "sandbox")
	str(&cfg.Bot.UserID, "U0BOT")
	str(&cfg.Bot.BotID, "B0BOT")
	str(&cfg.Bot.AppID, "A0BOT")
	str(&cfg.Bot.Name, "tocsin")
	str(&cfg.BotToken, "xoxb-sandbox")
	str(&cfg.AppToken, "xapp-sandbox")
	str(&cfg.SigningSecret, "sandbox-signing-secret")
	if cfg.Mode == "" {
		cfg.Mode = ModeHTTP
	}
	if cfg.Scopes == nil {
		cfg.Scopes = DefaultScopes
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.AckTimeout == 0 {
		cfg.AckTimeout = 3 * time.Second
	}
	if cfg.EventRetries == nil {
		cfg.EventRetries = []time.Duration{0, time.Minute, 5 * time.Minute}
	}
	if cfg.LogLimit == 0 {
		cfg.LogLimit = 20_000
	}
	return cfg
}
