package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"liuyun/internal/av/quality"
)

// versionInfo is what `liuyun version --json` writes.
type versionInfo struct {
	Type    string `json:"type"` // "version"
	Version string `json:"version"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	Kernels string `json:"kernels"` // what the loops over pixels are in: "C" or "Go"
}

func newVersion(s *session) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Say which build this is",
		Example: "  liuyun version\n  liuyun version --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			info := versionInfo{"version", s.env.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH, quality.Kernels()}
			if s.json {
				return s.writeJSON(info)
			}
			_, err := fmt.Fprintf(s.env.Stdout, "liuyun %s (%s, %s/%s, kernels in %s)\n", info.Version, info.Go, info.OS, info.Arch, info.Kernels)
			return err
		},
	}
}
