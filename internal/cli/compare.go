package cli

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/file"
	"liuyun/internal/contract/encode"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/video/compare"
	"liuyun/internal/video/compare/report"
	"liuyun/internal/video/transcode/analyse"
)

// compareFlags are the options of compare as they are written.
type compareFlags struct {
	compare.Options
	report string
}

func newCompare(s *session) *cobra.Command {
	f := &compareFlags{}
	cmd := &cobra.Command{
		Use:   "compare REFERENCE ENCODED...",
		Short: "Measure encodes of a video against it",
		Long: `Compare says how near each ENCODED comes to the REFERENCE, frame by frame, and
how many bits it takes. ENCODED is a video file, a folder that encode made, which
stands for each of its renditions, or a folder of video files. Encodes of one
folder are one curve; where two curves have four points or more, their BD-rate
is told: the bits that one needs against the other for the same quality.

The measure that counts is XPSNR, or VMAF with --vmaf-model, for which Netflix
publishes the models (https://github.com/Netflix/vmaf). PSNR and SSIM are told
besides. Models that the configuration names (quality.model) need no option.

With --report all of it goes into one HTML page besides: charts, what every shot
was given, and the worst frames beside the reference. The page needs nothing
else and can be sent to others.`,
		Example: `  liuyun compare film.mov film-medium.mp4 film-slow.mp4
  liuyun compare film.mov film --report film.html
  liuyun compare film.mov old-encodes/ new-encodes/ --every 5 --json`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return s.compare(cmd, args[0], args[1:], f) },
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.Models, "vmaf-model", nil, "measure VMAF with the model in `FILE` (vmaf_v0.6.1.json, vmaf_v0.6.1neg.json, …); may be repeated")
	flags.StringVar(&f.report, "report", "", "write an HTML page to `FILE`")
	flags.IntVar(&f.Every, "every", 1, "compare one frame in `N`; 0 chooses N so that some thousands are compared")
	flags.IntVar(&f.Moments, "frames", 4, "show so many of the worst frames in the report")
	return cmd
}

func (s *session) compare(cmd *cobra.Command, reference string, encodes []string, f *compareFlags) error {
	if len(f.Models) == 0 {
		for _, m := range s.config.Quality.Models() {
			f.Models = append(f.Models, m.Path)
		}
	}
	if err := f.Validate(); err != nil {
		return err
	}
	if f.report == "" {
		f.Moments = 0 // nobody would see them
	}
	d, err := s.measure(cmd, reference, encodes, f.Options)
	if err != nil {
		return err
	}
	if f.report != "" {
		d.Program = "liuyun " + s.env.Version
		var page bytes.Buffer
		if err := report.Write(&page, d); err != nil {
			return err
		}
		if err := writeReport(f.report, page.Bytes()); err != nil {
			return err
		}
	}
	return s.tellComparison(compare.Numbers(d), f.report)
}

// writeReport writes a page for people.
func writeReport(name string, page []byte) error {
	if err := file.WriteWhole(name, page, 0o644); err != nil {
		return fault.Wrap(err, fault.Invalid, "the report cannot be written to %s: choose a file in a folder that is there", name)
	}
	return nil
}

// measure opens everything, and leaves nothing behind.
func (s *session) measure(cmd *cobra.Command, reference string, names []string, o compare.Options) (*report.Data, error) {
	tools, err := ffmpeg.Find(cmd.Context(), s.config.FFmpeg)
	if err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp("", "liuyun-compare-")
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "there is no temporary folder to work in: set TMPDIR to one")
	}
	defer os.RemoveAll(scratch)
	base, err := compare.Reference(reference)
	if err != nil {
		return nil, err
	}
	defer base.Close()
	encodes, err := compare.Encodes(cmd.Context(), names, scratch)
	if err != nil {
		return nil, err
	}
	defer compare.CloseAll(encodes)
	bar := s.newProgress()
	defer bar.finish()
	looks, err := analyse.Looks()
	if err != nil {
		return nil, err
	}
	service := compare.Service{Tools: tools, OnProgress: bar.updateShare, Looks: looks}
	return service.Compare(cmd.Context(), base, encodes, scratch, o)
}

// comparison is what compare says to scripts.
type comparison struct {
	Type string `json:"type"` // "comparison"
	encode.Comparison
	Report string `json:"report,omitempty"` // the file
}

// tellComparison writes what came of a comparison: to people a table.
func (s *session) tellComparison(c encode.Comparison, page string) error {
	if s.json {
		return s.writeJSON(comparison{"comparison", c, page})
	}
	out := s.env.Stdout
	r := c.Reference
	fmt.Fprintf(out, "%s: %s, %d×%d, %.2f fps, %s, %s\n", printable(r.Name), r.Codec, r.Width, r.Height, r.FrameRate, durationText(r.Duration), count(len(c.Shots), "shot"))
	rows := [][]string{{"", "size", "bit rate"}}
	for i, e := range c.Encodes {
		row := []string{printable(e.Name), sizeText(e.Bytes), rateText(e.BitRate)}
		for _, score := range e.Scores {
			if i == 0 {
				rows[0] = append(rows[0], strings.TrimSpace(score.Metric+" "+score.Unit), "5 %")
			}
			row = append(row, scoreText(score, score.Mean), scoreText(score, score.P5))
		}
		if len(e.Scores) == 0 { // what a server sent is not to be relied on
			rows = append(rows, row)
			continue
		}
		worst := e.Scores[0]
		if i == 0 {
			rows[0] = append(rows[0], "worst "+worst.Metric)
		}
		rows = append(rows, append(row, scoreText(worst, worst.Worst)+" at "+momentText(worst.WorstAt)))
	}
	for _, line := range alignColumns(rows) {
		fmt.Fprintln(out, "  "+line)
	}
	for _, saving := range c.BDRate {
		fmt.Fprintf(out, "%s against %s: %+.1f %% bits for the same %s (BD-rate)\n", printable(saving.Group), printable(saving.Against), saving.Percent, saving.Metric)
	}
	if page != "" {
		fmt.Fprintf(out, "Open the report: %s\n", page)
	}
	return nil
}

// scoreText has as many digits as a measure deserves.
func scoreText(s encode.ComparedScore, value float64) string {
	switch {
	case s.Metric == "SSIM":
		return fmt.Sprintf("%.4f", value)
	case s.Unit == "dB":
		return fmt.Sprintf("%.2f", value)
	}
	return fmt.Sprintf("%.1f", value)
}

// momentText is a time in a video as m:ss.s.
func momentText(seconds float64) string {
	tenths := int64(math.Round(seconds * 10))
	d := time.Duration(tenths) * 100 * time.Millisecond
	return fmt.Sprintf("%d:%04.1f", int(d.Minutes()), float64(tenths%600)/10)
}

// alignColumns sets the first column flush left and the others flush right.
func alignColumns(rows [][]string) []string {
	var widths []int
	for _, row := range rows {
		for i, text := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(text))
		}
	}
	var lines []string
	for _, row := range rows {
		line := ""
		for i, text := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
			if i == 0 {
				line = text + pad
			} else {
				line += "  " + pad + text
			}
		}
		lines = append(lines, line)
	}
	return lines
}
