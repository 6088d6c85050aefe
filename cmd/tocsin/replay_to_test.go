package main

import (
	"strings"
	"testing"

	"tocsin/bot/config"
)

func TestNewInstanceSink_HTTPOnlyToLoopback(t *testing.T) {
	for to, accepted := range map[string]bool{
		"https://staging.example.com": true, "http://localhost:8080": true, "http://127.0.0.1:8080": true, "http://[::1]:8080/tocsin": true,
		"http://staging.example.com": false, "http://10.0.0.1:8080": false, "http://localhost.example.com": false, "http://127.0.0.1.example.com": false, "http://0.0.0.0": false,
	} {
		_, err := newInstanceSink(t.Context(), to, []string{"sentry=0123456789abcdef"}, config.Sources{}, false)
		if (err == nil) != accepted || err != nil && (!strings.Contains(err.Error(), "in the clear. Write https://") || strings.Contains(err.Error(), "0123456789abcdef")) {
			t.Errorf("%s: got error %v, want accepted %t", to, err, accepted)
		}
	}
}
