package bot

import _ "embed"

// Example is a commented configuration with every key.
//
//go:embed example.yaml
var Example string
