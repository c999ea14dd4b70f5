package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"liuyun/internal/video/transcode"
)

func newProbe(s *session) *cobra.Command {
	f := &encodeFlags{segment: "2..6s", loudness: "off", verify: string(transcode.VerifySample)}
	cmd := &cobra.Command{
		Use:   "probe IN",
		Short: "Show what is in a video file and what would be made of it",
		Long: `Probe shows what is in the file IN, what is odd about it, what encode would
make of it and roughly how long that takes here. It reads the head of the file
and writes nothing.`,
		Example: `  liuyun probe talk.mov
  liuyun probe film.mkv --codec h264,av1 --preset slow --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return s.probe(cmd, args[0], f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.codecs, "codec", "h264", "codecs, comma-separated: h264 (always made), hevc, av1")
	flags.StringVar(&f.ladder, "ladder", "auto", "picture heights, each with an optional cap: 1080:6M,720,480")
	flags.StringVar(&f.preset, "preset", transcode.DefaultOptions().Preset, "the speed to reckon with, as for encode")
	return cmd
}

func (s *session) probe(cmd *cobra.Command, in string, f *encodeFlags) error {
	t, err := s.newTask(cmd.Context(), in, f)
	if err != nil {
		return err
	}
	defer t.source.Close()
	p, err := t.Preview(cmd.Context(), t.source, t.options)
	if err != nil {
		return err
	}
	if s.json {
		return s.writeJSON(struct {
			Type string `json:"type"` // "probe"
			*transcode.Preview
		}{"probe", p})
	}
	tellPreview(s.env.Stdout, p)
	return nil
}

func tellPreview(out io.Writer, p *transcode.Preview) {
	fmt.Fprintf(out, "%s: %s, %s, %.1f MB, %s/s\n", p.Name, p.Format, durationText(p.Duration), float64(p.Bytes)/1e6, rateText(p.BitRate))
	if v := p.Video; v != nil {
		fmt.Fprintf(out, "  picture     %s  %d×%d  %.2f fps  %s  %s\n", v.Codec, v.Width, v.Height, v.FrameRate, v.Range, v.Colour.Matrix)
	}
	for _, a := range p.Audio {
		fmt.Fprintf(out, "  sound       %s  %d ch  %d Hz  %s\n", a.Codec, a.Channels, a.Rate, a.Language)
	}
	for _, t := range p.Subtitles {
		fmt.Fprintf(out, "  subtitles   %s  %s\n", t.Codec, t.Language)
	}
	if len(p.Warnings) > 0 {
		fmt.Fprintln(out, "Odd about it:")
	}
	for _, w := range p.Warnings {
		fmt.Fprintf(out, "  %s\n", w.Message)
	}
	fmt.Fprintln(out, "Would be made of it:")
	for _, r := range p.Made {
		fmt.Fprintf(out, "  %-12s %4d×%-4d %6.2f fps  at most %s/s\n", r.ID, r.Width, r.Height, r.Rate, rateText(r.Cap))
	}
	for _, id := range p.MadeAudio {
		fmt.Fprintf(out, "  audio %s\n", id)
	}
	fmt.Fprintf(out, "In roughly %s on this machine (%s of CPU time).\n", durationText(p.Wall), durationText(p.CPU))
}
