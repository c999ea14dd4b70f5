package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"liuyun/internal/app"
	"liuyun/internal/base/fault"
)

func newDoctor(s *session) *cobra.Command {
	o := app.DoctorOptions{}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say whether the server can work on this machine, and what to do",
		Long: `Doctor looks at ffmpeg, its codecs and hardware encoders, the data folder and its disk, PostgreSQL
and S3 where they are configured, the ports to listen at, the clock, the limits and
the memory of this machine, and says what is wrong and what to do. It changes
nothing. The exit status is 1 when something is bad, 0 when there are only warnings.`,
		Example: `  liuyun doctor
  liuyun doctor --data /var/lib/liuyun --listen :443 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Config = s.config
			return s.doctor(app.Doctor(cmd.Context(), o))
		},
	}
	cmd.Flags().StringVar(&o.Data, "data", dataFolder, "the data `FOLDER` of the server")
	cmd.Flags().StringVar(&o.Listen, "listen", "127.0.0.1:8080", "the `ADDRESS` of API and console")
	cmd.Flags().StringSliceVar(&o.Roles, "roles", app.DefaultRoles(), "what the server would do, as in liuyun serve")
	return cmd
}

func (s *session) doctor(findings []app.Finding) error {
	bad := 0
	for _, f := range findings {
		if f.Verdict == app.Bad {
			bad++
		}
	}
	if s.json {
		err := s.writeJSON(struct {
			Type     string        `json:"type"` // "doctor"
			OK       bool          `json:"ok"`
			Findings []app.Finding `json:"findings"`
		}{"doctor", bad == 0, findings})
		if err != nil {
			return err
		}
	} else {
		tellFindings(s.env.Stdout, findings)
	}
	if bad > 0 {
		return fault.New(fault.Internal, "%d of %d checks are bad", bad, len(findings))
	}
	return nil
}

func tellFindings(out io.Writer, findings []app.Finding) {
	for _, f := range findings {
		fmt.Fprintf(out, "%-4s  %-11s  %s\n", f.Verdict, f.Check, f.Found)
		if f.Advice != "" {
			fmt.Fprintf(out, "      %-11s  → %s\n", "", f.Advice)
		}
	}
}
