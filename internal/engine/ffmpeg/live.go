package ffmpeg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"liuyun/internal/av/mp4"
	"liuyun/internal/base/timebase"
	"liuyun/internal/kit/proc"
)

// Live is a child that makes renditions of a track while it comes: it decodes once,
// and encodes for each output. What it makes has the times of what it was made from,
// in ticks of the source's clock for pictures, and of the sample rate for sound.
type Live struct {
	Source LiveSource
	// Pictures are the renditions of pictures; Sound is that of sound. One of both.
	Pictures []LivePictures
	Sound    *LiveSound
	// Keys is how far apart key frames are that this child places, at whole multiples
	// of it, so that children agree; 0 places them where the source has them. From is a
	// moment of the source before which there is none, in ticks. There are MostKeys of
	// them: then another child has to go on.
	Keys time.Duration
	From int64
	// Hold is how long pictures may be held back so that several are handed on at once.
	Hold time.Duration
	// Views are what it shows of the pictures besides, of a rendition of pictures.
	Views []LiveView
	// Steering changes the offsets of Pictures while the child runs; nil where they stay.
	Steering *LiveSteering

	Limits proc.Limits
	Nice   int
}

// LivePictures is one rendition of pictures: H.264 without B pictures.
type LivePictures struct {
	Width, Height int
	Fit           bool  // pictures keep their shape, with bars beside or above them
	Rate          int64 // bits a second that it may need for long
	// After is the last moment that is left out, in ticks: a child that goes on for
	// another begins behind it. It begins with a key frame wherever that is.
	After int64
	// Offsets are by how many steps of QP its quantiser may be moved, of which Offset
	// is the one to begin with: see [LiveSteering.Offset]. Without any it is not moved.
	Offsets []float64
	Offset  int
	Output  LiveOutput
}

// LiveSound is the one rendition of sound, of at most two channels.
type LiveSound struct {
	Codec      string // "aac" or "opus"
	SampleRate int    // 48,000 for Opus
	Channels   int
	Rate       int64 // bits a second
	Output     LiveOutput
}

// LiveOutput takes what a child makes, on a goroutine of its own. It must not wait:
// what is not taken holds up the child. Its error ends the child.
type LiveOutput interface {
	// Begin says how it is coded: the payload of avcC or dOps, or an AudioSpecificConfig.
	Begin(config []byte) error
	// Take takes a picture or a frame of sound.
	Take(u LiveUnit) error
}

// Beginning is an After before every picture.
const Beginning = math.MinInt64

// RunLive runs l. feed is called on a goroutine of its own and hands units of the
// source to write, which waits while the child is behind; after it has returned, the
// child ends when it has made all of what it was given. When the child ends before
// that, write fails and the context of feed ends. The error is what RunLive ended by:
// nil is the end of feed, without an error of its own.
func (t *Tools) RunLive(ctx context.Context, l Live, feed func(ctx context.Context, write func(LiveUnit) error) error) (Usage, error) {
	in, out, err := os.Pipe()
	if err != nil {
		return Usage{}, fmt.Errorf("make pipe: %w", err)
	}
	defer in.Close()
	defer out.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var orders *os.File
	if l.Steering != nil {
		var release func()
		if orders, release, err = l.Steering.hold(); err != nil {
			return Usage{}, err
		}
		defer release()
	}
	fed := make(chan error, 1) // nil: what the child says counts
	go func() {
		err := feedPipe(ctx, out, l.Source, feed)
		if ctx.Err() != nil {
			err = nil // it was ended, by the child or from outside
		}
		if err != nil {
			cancel(err)
		}
		fed <- err
	}()
	usage, err := t.runLive(ctx, l, in, orders)
	cancel(errChildEnded)
	_ = out.SetWriteDeadline(time.Now()) // closed already: nothing waits
	if feedErr := <-fed; feedErr != nil {
		return usage, feedErr
	}
	return usage, err
}

// errChildEnded is why a feed is ended whose child is no more.
var errChildEnded = errors.New("the child has ended")

// feedPipe writes to the child's input and closes it.
func feedPipe(ctx context.Context, out *os.File, src LiveSource, feed func(context.Context, func(LiveUnit) error) error) error {
	defer out.Close()
	w, err := newLiveWriter(out, src)
	if err != nil {
		return err
	}
	return feed(ctx, w.write)
}

// runLive runs the child that reads in, and orders beside it.
func (t *Tools) runLive(ctx context.Context, l Live, in, orders *os.File) (Usage, error) {
	var pipes []io.Writer
	for _, p := range l.Pictures {
		pipes = append(pipes, liveReader(p.Output))
	}
	if l.Sound != nil {
		pipes = append(pipes, liveReader(l.Sound.Output))
	}
	for _, v := range l.Views {
		pipes = append(pipes, &viewReader{view: v})
	}
	used, log, err := t.start(ctx, child{
		tool: t.ffmpeg, stream: in, orders: orders, args: t.LiveArgs(l), pipes: pipes, limits: l.Limits, nice: l.Nice,
	})
	if err != nil {
		err = t.explain(err, Input{Name: "the stream"})
	}
	return Usage{
		CPU: used.CPU(), Wall: used.Wall, MaxRSS: used.MaxRSS,
		Errors: log.errors, Warnings: log.warnings, CorruptFrames: log.corrupt, Messages: log.texts(),
	}, err
}

// liveReader reads one output of the child.
func liveReader(out LiveOutput) *mp4.StreamReader {
	return &mp4.StreamReader{
		Init: func(track *mp4.Track) error { return out.Begin(track.Config) },
		Sample: func(s mp4.StreamSample) error {
			return out.Take(LiveUnit{PTS: s.DecodeTime + int64(s.CompositionOffset), Key: s.Sync, Data: s.Data})
		},
	}
}

// input names what a live child reads. It takes no orders where an input is called a
// pipe: then it is opened as a file.
func (l Live) input() (protocols, url string) {
	if l.Steering != nil {
		return "file,pipe", "/proc/self/fd/3"
	}
	return "pipe", "pipe:3"
}

// LiveArgs are the arguments of the child that makes l.
func (t *Tools) LiveArgs(l Live) []string {
	protocols, url := l.input()
	args := []string{"-nostdin"}
	if l.Steering != nil {
		args = []string{"-stdin"}
	}
	args = append(args,
		"-hide_banner", "-y", "-nostats", "-loglevel", "repeat+level+warning", "-max_error_rate", "1",
		"-copyts", "-noautorotate", "-reinit_filter", "0",
		// Two threads decode: one more picture is on its way.
		"-threads", "2", "-max_pixels", strconv.FormatInt(t.config.MaxPixels, 10),
		// What the head of the stream says is known: as little as can be is read before
		// decoding begins.
		"-protocol_whitelist", protocols, "-probesize", "32", "-analyzeduration", "1", "-fpsprobesize", "0",
		"-f", "matroska", "-i", url,
	)
	if l.Sound != nil {
		return append(args, l.sound()...)
	}
	graph, labels := l.graph()
	args = append(args, "-filter_complex", graph)
	for i, p := range l.Pictures {
		args = append(args, "-map", "["+labels[i]+"]")
		args = append(args, t.passthrough()...)
		args = append(args, p.encoder(l)...)
		args = append(args, l.muxer(i)...)
	}
	for i := range l.Views {
		at := len(l.Pictures) + i
		args = append(args, "-map", "["+labels[at]+"]")
		args = append(args, t.passthrough()...)
		args = append(args, "-c:v", "rawvideo", "-flush_packets", "1", "-f", "rawvideo", PipeURL(at))
	}
	return args
}

// muxer writes fragmented MP4 to the i-th pipe, with the times as they are. A fragment
// has a unit, or those that begin within Hold; it is written when the next one has come,
// which says how long its last one lasts.
func (l Live) muxer(i int) []string {
	return []string{
		"-map_metadata", "-1", "-fflags", "+bitexact", "-avoid_negative_ts", "disabled", "-flush_packets", "1",
		"-f", "mp4", "-movflags", "+empty_moov+default_base_moof+frag_discont+skip_trailer",
		"-frag_duration", strconv.FormatInt(max(1, l.Hold.Microseconds()), 10),
		"-use_editlist", "0", "-video_track_timescale", strconv.FormatInt(l.Source.Clock, 10), PipeURL(i),
	}
}

// graph is the filter graph and the label of each output's end in it.
func (l Live) graph() (graph string, labels []string) {
	first := []string{
		fmt.Sprintf("settb=expr=1/%d", l.Source.Clock),
		// A picture whose time does not come after the ones before is left out.
		`select=expr=isnan(prev_selected_pts)+gt(pts\,prev_selected_pts)`,
	}
	if l.Source.Interlaced {
		first = append([]string{"bwdif=mode=send_frame:parity=auto:deint=interlaced"}, first...)
	}
	heads := make([]string, len(l.Pictures), len(l.Pictures)+len(l.Views))
	var parts []string
	for i, p := range l.Pictures {
		heads[i] = "s" + strconv.Itoa(i)
		var filters []string
		if p.After != Beginning {
			filters = append(filters, fmt.Sprintf(`select=expr=gt(pts\,%d)`, p.After))
		}
		filters = append(filters, p.scale()...)
		labels = append(labels, "o"+strconv.Itoa(i))
		parts = append(parts, p.steered(heads[i], filters, labels[i], steered(i))...)
	}
	for i, v := range l.Views {
		head, label := "v"+strconv.Itoa(i), "w"+strconv.Itoa(i)
		heads, labels = append(heads, head), append(labels, label)
		parts = append(parts, chain(head, v.filters(), label))
	}
	source := chain("0:0", append(first, split(len(heads))...), heads...)
	return strings.Join(append([]string{source}, parts...), ";"), labels
}

// scale makes pictures of the output's size. Pixels stay as wide as they have to be
// for the picture's shape, but for what rounding to even sides makes of them.
func (p LivePictures) scale() []string {
	size := fmt.Sprintf("scale=w=%d:h=%d:flags=%s", p.Width, p.Height, scaler)
	if p.Fit {
		size += fmt.Sprintf(":force_original_aspect_ratio=decrease,pad=w=%d:h=%d:x=-1:y=-1", p.Width, p.Height)
	}
	return []string{size, `setsar=sar=if(lt(abs(sar-1)\,0.02)\,1\,sar)`, "format=yuv420p"}
}

// encoder is x264 for pictures that are shown as they come: each is out before the
// next one is in, so its two threads share a picture. Only key frames that were asked
// for are made.
func (p LivePictures) encoder(l Live) []string {
	keys := "source"
	if l.Keys > 0 {
		keys = l.keyTimes(p.After)
	}
	rate := strconv.FormatInt(p.Rate, 10)
	return []string{
		"-c:v", "libx264", "-preset", livePreset, "-profile:v", "high", "-crf", "23", "-maxrate", rate, "-bufsize", rate,
		"-bf", "0", "-threads", "2", "-sc_threshold", "0", "-forced-idr", "1", "-force_key_frames", keys,
		"-x264-params", "keyint=infinite:scenecut=0:rc-lookahead=0:sync-lookahead=0:mbtree=0:sliced-threads=1:force-cfr=1:open-gop=0:stitchable=1",
		"-a53cc", "0", "-bsf:v", "filter_units=remove_types=6", "-flags:v", "+bitexact",
		"-enc_time_base", fmt.Sprintf("1:%d", l.Source.Clock),
	}
}

// livePreset is the preset of renditions that are made while the source comes.
const livePreset = "veryfast"

// MostKeys bounds how many key frames a child places itself: their times are an
// argument. (In an expression ffmpeg counts time from the first picture.)
const MostKeys = 5000

// keyTimes lists the multiples of Keys behind a moment.
func (l Live) keyTimes(after int64) string {
	unit := timebase.R(int64(l.Keys), int64(time.Second))
	n := int64(0)
	if begin := max(after, l.From); begin > 0 {
		n = timebase.Rescale(begin, timebase.R(1, l.Source.Clock), unit) - 1
	}
	times := make([]string, MostKeys)
	for i := range times {
		times[i] = seconds(n+int64(i)+1, unit)
	}
	return strings.Join(times, ",")
}

// sound is the arguments of the one output of sound. Holes are filled and what is
// twice is cut; nothing is stretched.
func (l Live) sound() []string {
	s := l.Sound
	codec := []string{"-c:a", "aac"}
	if s.Codec == "opus" {
		codec = []string{"-c:a", "libopus", "-frame_duration", "20"}
	}
	filters := fmt.Sprintf("aresample=osr=%d:async=1:min_hard_comp=0.1,aformat=channel_layouts=%s", s.SampleRate, liveLayout(s.Channels))
	args := append([]string{"-map", "0:0", "-af", filters}, codec...)
	args = append(args, "-b:a", strconv.FormatInt(s.Rate, 10), "-flags:a", "+bitexact")
	return append(args, l.muxer(0)...)
}

func liveLayout(channels int) string {
	if channels == 1 {
		return "mono"
	}
	return "stereo"
}
