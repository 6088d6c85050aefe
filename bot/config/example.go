package config

import (
	_ "embed"
	"strings"
)

//go:embed example.yaml
var exampleFile string

// Example is a commented configuration with every key.
var Example = strings.Replace(exampleFile, sourcesMarker, exampleSources(), 1)

// sourcesMarker is the line of the example that the sources replace.
const sourcesMarker = "  # SOURCES\n"

// exampleSources returns the examples that the sources have of themselves.
func exampleSources() string {
	var b strings.Builder
	for _, s := range kinds() {
		for line := range strings.Lines(s.Example) {
			b.WriteString("  " + line)
		}
	}
	return b.String()
}
