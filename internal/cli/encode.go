package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"liuyun/client"
	"liuyun/internal/av/rate"
	"liuyun/internal/base/fault"
	"liuyun/internal/contract/worker"
	"liuyun/internal/control/gauge"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/kit/proc"
	"liuyun/internal/video/transcode"
)

// encodeFlags are the options of encode as they are written.
type encodeFlags struct {
	out       string
	codecs    string
	ladder    string
	preset    string
	segment   string
	loudness  string
	saliency  string
	verify    string
	subtitles []string
	mp4       bool
	original  bool
	jobs      int
	crf       float64
	optimize  string
	target    float64
	bits      string
	model     string
	hardware  string
}

func newEncode(s *session) *cobra.Command {
	f := &encodeFlags{}
	cmd := &cobra.Command{
		Use:   "encode IN -o DIR",
		Short: "Turn a video file into an adaptive stream",
		Long: `Encode turns the video file IN into an adaptive stream in the folder DIR: HLS
(master.m3u8) and DASH (manifest.mpd) on the same segments, a poster, pictures
for scrubbing (storyboard.vtt) and a report (report.json).

Stopped at any moment, by Ctrl-C, a crash or a full disk, the same command goes
on where it stopped and gives the same bytes. DIR has to be new, empty, or from
an earlier run.

With --optimize each shot gets the quality at which a bit more does the same for
the whole as in every other shot: some shots are encoded again, in part, until
the sum of bits is least. quick needs about 1.6 times the CPU time of the
largest rung for it, thorough 2.5 times, and a little more for small pictures.
AV1 is left as it is.`,
		Example: `  liuyun encode talk.mov -o talk
  liuyun encode film.mkv -o film --codec h264,hevc,av1 --preset slow --loudness -23
  liuyun encode interview.mov -o interview --saliency auto
  liuyun encode clip.mp4 -o clip --ladder 1080:6M,720,480 --mp4 --json
  liuyun encode film.mkv -o film --optimize thorough --target 93 --vmaf-model vmaf_v0.6.1neg.json
  liuyun encode slides.mp4 -o slides --vmaf-model vmaf_v0.6.1neg.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return s.encode(cmd, args[0], f) },
	}
	defaults := transcode.DefaultOptions()
	flags := cmd.Flags()
	flags.StringVarP(&f.out, "output", "o", "", "the output folder `DIR` (required)")
	flags.StringVar(&f.codecs, "codec", "h264", "codecs, comma-separated: h264 (always made), hevc, av1")
	flags.StringVar(&f.ladder, "ladder", "auto", "auto (by a VMAF model, else standard), title, standard, or heights with an optional cap: 1080:6M,720")
	flags.StringVar(&f.preset, "preset", defaults.Preset, "speed against size: "+strings.Join(ffmpeg.Presets(), ", "))
	flags.StringVar(&f.segment, "segment", "2..6s", "length of segments: a range within 2..6s, or one length such as 4s")
	flags.StringVar(&f.loudness, "loudness", "off", "bring the sound to this loudness: -23 (EBU R 128), -16 (web) or off")
	flags.StringVar(&f.saliency, "saliency", string(defaults.Saliency), "give more bits to where people look, in H.264 and HEVC: off, auto or strong")
	flags.StringArrayVar(&f.subtitles, "subtitles", nil, "add subtitles from a file: `LANG=FILE` (.vtt, .srt); may be repeated")
	flags.BoolVar(&f.mp4, "mp4", false, "write one MP4 a rung besides")
	flags.BoolVar(&f.original, "keep-original", false, "put a copy of IN into DIR/original")
	flags.StringVar(&f.verify, "verify", string(defaults.Verify), "compare decoded pictures with the source: sample (smallest rung, some of the others) or all")
	flags.Float64Var(&f.crf, "crf", 0, "constant quality of H.264, 14 (best) to 40, the other codecs moved by as much; 0 is 23")
	flags.StringVar(&f.optimize, "optimize", string(transcode.OptimizeOff), "search the quality of every shot: off, quick or thorough")
	flags.Float64Var(&f.target, "target", 0, "with --optimize: the mean quality of the largest rung, 40 to 99 as VMAF has it; 0 is that of the usual CRF")
	flags.StringVar(&f.bits, "bits", "", "with --optimize, instead of --target: the mean bit rate of the largest rung, such as 2M")
	flags.StringVar(&f.model, "vmaf-model", "", "measure with this VMAF model `FILE`, as libvmaf has them, and place the rungs of an automatic ladder by it; without, --optimize estimates quality")
	flags.StringVar(&f.hardware, "hardware", ffmpeg.HardwareOff, "have hardware encoders make H.264 and HEVC, faster and with more bits for the same picture: off, auto, "+strings.Join(ffmpeg.HardwareFamilies(), ", "))
	flags.IntVarP(&f.jobs, "jobs", "j", 0, "encode so many units at a time; 0 is one a core")
	return cmd
}

func (f *encodeFlags) options() (transcode.Options, error) {
	o := transcode.DefaultOptions()
	o.Ladder, o.Preset, o.MP4, o.KeepOriginal, o.Workers = f.ladder, f.preset, f.mp4, f.original, f.jobs
	o.Verify, o.Optimize, o.Target, o.CRF = transcode.Verify(f.verify), transcode.Optimize(f.optimize), f.target, f.crf
	for codec := range strings.SplitSeq(f.codecs, ",") {
		if codec = strings.TrimSpace(codec); codec != "h264" && codec != "" {
			o.Codecs = append(o.Codecs, codec)
		}
	}
	o.Hardware = ffmpeg.HardwareAsked(f.hardware)
	err := ffmpeg.CheckHardware(f.hardware)
	if err != nil {
		return o, err
	}
	if o.Segment, err = transcode.ParseSegmentRange(f.segment); err != nil {
		return o, err
	}
	if o.Loudness, err = transcode.ParseLoudness(f.loudness); err != nil {
		return o, err
	}
	if o.Saliency, err = transcode.ParseSaliency(f.saliency); err != nil {
		return o, err
	}
	if f.bits != "" {
		if o.Bits, err = rate.ParseBitrate(f.bits); err != nil {
			return o, fault.New(fault.Invalid, "bits: %v", err)
		}
	}
	if f.model != "" {
		if o.Model, err = transcode.ReadModel(f.model); err != nil {
			return o, err
		}
	}
	for _, text := range f.subtitles {
		language, path, found := strings.Cut(text, "=")
		if !found || language == "" || path == "" {
			return o, fault.New(fault.Invalid, "subtitles %q: write the language and the file as in en=talk.vtt", text)
		}
		o.Subtitles = append(o.Subtitles, transcode.SubtitleFile{Language: language, Path: path})
	}
	return o, o.Validate()
}

// task is a source, what to make of it, and what makes it.
type task struct {
	transcode.Service
	source  *transcode.FileSource
	options transcode.Options
}

// newTask reads the options, opens the source, which the caller closes, and finds
// the tools.
func (s *session) newTask(ctx context.Context, in string, f *encodeFlags) (*task, error) {
	options, err := f.options()
	if err != nil {
		return nil, err
	}
	source, err := transcode.OpenFile(in)
	if err != nil {
		return nil, err
	}
	tools, err := ffmpeg.Find(ctx, s.config.FFmpeg)
	if err != nil {
		source.Close()
		return nil, err
	}
	if options.Hardware {
		if tools, _, err = transcode.OnHardware(ctx, tools, f.hardware); err != nil {
			source.Close()
			return nil, err
		}
	}
	if memory := proc.ForChildren(); memory > 0 {
		tools = tools.Within(memory)
	}
	return &task{transcode.Service{Tools: tools}, source, options}, nil
}

// encode runs the main job.
func (s *session) encode(cmd *cobra.Command, in string, f *encodeFlags) error {
	if f.out == "" {
		return fault.New(fault.Invalid, "the output folder is missing: add -o DIR\nSee '%s --help'.", cmd.CommandPath())
	}
	t, err := s.newTask(cmd.Context(), in, f)
	if err != nil {
		return err
	}
	defer t.source.Close()
	bar := s.newProgress()
	t.OnProgress = func(p transcode.Progress) { bar.update(p.Phase, p.Done, p.Total) }
	t.OnWarning = func(w transcode.Warning) { s.note(bar, w) }
	report, err := t.Encode(cmd.Context(), t.source, f.out, t.options)
	bar.finish()
	if err != nil {
		return err
	}
	return s.tellReport(f.out, report, s.spentHere(report))
}

// spentHere is what a run took by the figures of this machine, nil when it did
// nothing.
func (s *session) spentHere(r *transcode.Report) *client.AssetSpent {
	if r.Run.Complete {
		return nil
	}
	took := gauge.Known(s.config.Worker).SecondsOf(r.Run.CPU)
	shown := &client.AssetSpent{Spent: spentOf(took), Currency: s.config.Sched.Currency}
	if r.Source.Duration > 0 {
		shown.PerMinute = new(spentOf(took.Per(r.Source.Duration / 60)))
	}
	return shown
}

func spentOf(s worker.Spent) client.Spent {
	return client.Spent{CPUSeconds: s.CPU, Cost: s.Cost, Energy: s.Energy, Carbon: s.Carbon}
}

// note tells people of a warning as it arises; scripts find it in the report.
func (s *session) note(bar *progress, w transcode.Warning) {
	if s.json || s.quiet {
		return
	}
	bar.interrupt(func() { fmt.Fprintln(s.env.Stderr, "note:", w.Message) })
}

// tellReport writes what came of a job.
func (s *session) tellReport(dir string, r *transcode.Report, spent *client.AssetSpent) error {
	if s.json {
		return s.writeJSON(struct {
			Type string `json:"type"` // "report"
			*transcode.Report
			Spent *client.AssetSpent `json:"spent,omitempty"` // by this run
		}{"report", r, spent})
	}
	out := s.env.Stdout
	if r.Run.Complete {
		fmt.Fprintf(out, "%s is complete already; nothing was done.\n", dir)
	} else {
		what := "video"
		if r.Source.Video == nil {
			what = "sound"
		}
		fmt.Fprintf(out, "%s: %s of %s in %s, %.1f× real time, %.1f CPU s", dir,
			durationText(r.Source.Duration), what, durationText(r.Run.Wall), r.Run.Speed, r.Run.CPU)
		if r.Run.Reused > 0 {
			fmt.Fprintf(out, "; %d of %d units were made by an earlier run", r.Run.Reused, r.Run.Units)
		}
		fmt.Fprintln(out)
	}
	for _, v := range r.Renditions {
		fmt.Fprintf(out, "  %-12s %4d×%-4d %6.2f fps  mean %6s  peak %6s\n", v.ID, v.Width, v.Height, v.FrameRate, rateText(v.Mean), rateText(v.Peak))
		if found := v.Search; found != nil {
			shots := 0
			for _, shot := range found.Shots {
				if !shot.Rest {
					shots++
				}
			}
			fmt.Fprintf(out, "  %-12s quality %.1f in %s, %.2f encodes of it to find them\n", "", found.Quality, count(shots, "shot"), found.Encodes)
		}
	}
	for _, a := range r.Audio {
		fmt.Fprintf(out, "  %-24s %d ch  %6s  %s\n", "audio "+a.ID, a.Channels, rateText(a.Mean), a.Name)
	}
	for _, t := range r.Subtitles {
		fmt.Fprintf(out, "  %-24s %d cues  %s\n", "subtitles "+t.ID, t.Cues, t.Name)
	}
	if text := assetSpentText(spent); text != "" {
		fmt.Fprintln(out, text[1:])
	}
	fmt.Fprintf(out, "Watch it with: liuyun play %s\n", dir)
	return nil
}

// rateText is bits a second for people.
func rateText(bits int64) string {
	if bits >= 1e6 {
		return fmt.Sprintf("%.2fM", float64(bits)/1e6)
	}
	return fmt.Sprintf("%dk", (bits+500)/1000)
}

// durationText is a number of seconds for people.
func durationText(seconds float64) string {
	if seconds < 60 {
		return fmt.Sprintf("%.1f s", seconds)
	}
	d := time.Duration(seconds * float64(time.Second)).Round(time.Second)
	return d.String()
}
