package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"tocsin/store"
)

// buildVersion describes this program.
type buildVersion struct {
	Version  string `json:"version"`          // of the module, or (devel)
	Commit   string `json:"commit,omitempty"` // empty if the program was not built in a repository
	Time     string `json:"time,omitempty"`   // of the commit
	Modified bool   `json:"modified"`         // the working tree had other changes
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Schema   int64  `json:"schema"` // of the database
}

// readVersion returns the version from the information that the Go toolchain stores in
// the program.
func readVersion() buildVersion {
	v := buildVersion{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Schema: store.SchemaVersion()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = cmp.Or(info.Main.Version, v.Version)
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func versionCommand(g *globalFlags) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of this program and of its database schema", Args: noArguments,
		Long: "Print the version, the commit, the version of Go and the version of the database schema. A program with a greater schema\n" +
			"version migrates the database at its start. One with a smaller version refuses the database.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := readVersion()
			return g.print(cmd.OutOrStdout(), v, v.String())
		},
	}
}

// String returns the version as text.
func (v buildVersion) String() string {
	commit := cmp.Or(v.Commit, "unknown")
	if v.Time != "" {
		commit += " of " + v.Time
	}
	if v.Modified {
		commit += ", with other changes"
	}
	return strings.Join([]string{"tocsin " + v.Version, "commit: " + commit, "go: " + v.Go + " " + v.Platform, fmt.Sprintf("schema: %d", v.Schema)}, "\n")
}
