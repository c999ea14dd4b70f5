package cli

import (
	"bytes"
	"fmt"
	"image"
	"math"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"liuyun/internal/base/fault"
	"liuyun/internal/base/file"
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
	flags.IntVar(&f.Every, "every", 1, "compare one frame in `N`")
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
		if err := file.WriteWhole(f.report, page.Bytes(), 0o644); err != nil {
			return fault.Wrap(err, fault.Invalid, "the report cannot be written to %s: choose a file in a folder that is there", f.report)
		}
	}
	return s.tellComparison(d, f.report)
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
	encodes, err := compare.Encodes(names, scratch)
	if err != nil {
		return nil, err
	}
	defer compare.CloseAll(encodes)
	bar := s.newProgress()
	defer bar.finish()
	predictor, err := analyse.NewPredictor()
	if err != nil {
		return nil, err
	}
	looks := func(picture image.Image) (int, int, []float32, error) {
		m, err := predictor.PredictImage(picture)
		return analyse.Columns, analyse.Rows, m[:], err
	}
	service := compare.Service{Tools: tools, OnProgress: bar.updateShare, Looks: looks}
	return service.Compare(cmd.Context(), base, encodes, scratch, o)
}

// comparison is what compare says to scripts.
type comparison struct {
	Type      string           `json:"type"` // "comparison"
	Reference comparedVideo    `json:"reference"`
	Every     int              `json:"every"`
	Shots     []comparedShot   `json:"shots"`
	Encodes   []comparedEncode `json:"encodes"`
	BDRate    []comparedSaving `json:"bd_rate"`
	Report    string           `json:"report,omitempty"` // the file
}

type comparedVideo struct {
	Name      string  `json:"name"`
	Codec     string  `json:"codec"`
	Width     int     `json:"width"`
	Height    int     `json:"height"`
	FrameRate float64 `json:"frame_rate"`
	Duration  float64 `json:"duration_s"`
	Bytes     int64   `json:"bytes"` // of the picture
	BitRate   int64   `json:"bit_rate"`
}

type comparedShot struct {
	Start float64 `json:"start_s"`
	End   float64 `json:"end_s"`
}

type comparedEncode struct {
	comparedVideo
	Group  string          `json:"group,omitempty"`
	Scores []comparedScore `json:"scores"`
	Shots  []comparedSpent `json:"shots"` // as those of the reference
}

type comparedScore struct {
	Metric  string  `json:"metric"`
	Unit    string  `json:"unit,omitempty"`
	Mean    float64 `json:"mean"`
	P5      float64 `json:"p5"`
	Worst   float64 `json:"worst"`
	WorstAt float64 `json:"worst_at_s"`
}

type comparedSpent struct {
	Bytes int64    `json:"bytes"`
	Score *float64 `json:"score,omitempty"` // mean of the first metric
}

type comparedSaving struct {
	Group   string  `json:"group"`
	Against string  `json:"against"`
	Metric  string  `json:"metric"`
	Percent float64 `json:"percent"`
}

func videoOf(v report.Video) comparedVideo {
	c := comparedVideo{v.Name, v.Codec, v.Width, v.Height, v.FrameRate, v.Duration, v.Bytes, 0}
	if v.Duration > 0 {
		c.BitRate = int64(math.Round(8 * float64(v.Bytes) / v.Duration))
	}
	return c
}

func newComparison(d *report.Data, page string) comparison {
	c := comparison{
		Type: "comparison", Reference: videoOf(d.Reference), Every: d.Every, Report: page,
		Shots: []comparedShot{}, Encodes: []comparedEncode{}, BDRate: []comparedSaving{},
	}
	for _, s := range d.Shots {
		c.Shots = append(c.Shots, comparedShot(s))
	}
	for _, e := range d.Encodes {
		one := comparedEncode{comparedVideo: videoOf(e.Video), Group: e.Group, Scores: []comparedScore{}, Shots: []comparedSpent{}}
		for k, score := range e.Scores {
			m := d.Metrics[k]
			one.Scores = append(one.Scores, comparedScore{m.Name, m.Unit, score.Mean, score.P5, score.Worst, score.WorstAt})
		}
		for _, spent := range e.Shots {
			shot := comparedSpent{Bytes: spent.Bytes}
			if !math.IsNaN(spent.Score) {
				shot.Score = &spent.Score
			}
			one.Shots = append(one.Shots, shot)
		}
		c.Encodes = append(c.Encodes, one)
	}
	for _, s := range d.Savings {
		c.BDRate = append(c.BDRate, comparedSaving{s.Group, s.Against, s.Metric, s.Rate})
	}
	return c
}

// tellComparison writes what came of a comparison: to people a table.
func (s *session) tellComparison(d *report.Data, page string) error {
	if s.json {
		return s.writeJSON(newComparison(d, page))
	}
	out := s.env.Stdout
	r := d.Reference
	fmt.Fprintf(out, "%s: %s, %d×%d, %.2f fps, %s, %s\n", r.Name, r.Codec, r.Width, r.Height, r.FrameRate, durationText(r.Duration), count(len(d.Shots), "shot"))
	rows := [][]string{{"", "size", "bit rate"}}
	for _, m := range d.Metrics {
		name := m.Name
		if m.Unit != "" {
			name += " " + m.Unit
		}
		rows[0] = append(rows[0], name, "5 %")
	}
	rows[0] = append(rows[0], "worst "+d.Metrics[0].Name)
	for _, e := range d.Encodes {
		row := []string{e.Name, sizeText(e.Bytes), rateText(videoOf(e.Video).BitRate)}
		for k, score := range e.Scores {
			digits := d.Metrics[k].Digits
			row = append(row, fmt.Sprintf("%.*f", digits, score.Mean), fmt.Sprintf("%.*f", digits, score.P5))
		}
		worst := e.Scores[0]
		row = append(row, fmt.Sprintf("%.*f at %s", d.Metrics[0].Digits, worst.Worst, momentText(worst.WorstAt)))
		rows = append(rows, row)
	}
	for _, line := range alignColumns(rows) {
		fmt.Fprintln(out, "  "+line)
	}
	for _, saving := range d.Savings {
		fmt.Fprintf(out, "%s against %s: %+.1f %% bits for the same %s (BD-rate)\n", saving.Group, saving.Against, saving.Rate, saving.Metric)
	}
	if page != "" {
		fmt.Fprintf(out, "Open the report: %s\n", page)
	}
	return nil
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
