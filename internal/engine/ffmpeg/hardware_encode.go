package ffmpeg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"liuyun/internal/base/timebase"
	"liuyun/internal/kit/proc"
)

// onHardware are the encoders that take the place of libx264 and libx265.
type onHardware struct {
	family hardware
	device []string // arguments that name it; not part of what a unit is
	codecs []string
	// turn is had by the unit that is encoded: consumer's hardware takes few encodes at a
	// time, and a unit may have as many renditions.
	turn chan struct{}
}

// OnHardware returns the same tools with the outputs of the codecs encoded by a family
// of [HardwareFamilies], but those of ten bits, whose light has to be said in the
// stream. Zones and regions are nothing to it. What it makes has to be looked at before
// it is trusted: see transcode.OnHardware.
func (t *Tools) OnHardware(name string, codecs ...string) *Tools {
	on := *t
	for _, family := range hardwareFamilies() {
		if family.suffix == name {
			on.device = &onHardware{family, family.deviceArgs(family.found(globDevices)), codecs, make(chan struct{}, 1)}
		}
	}
	return &on
}

// HardwareCodecs are the codecs that hardware makes, of eight bits.
func (t *Tools) HardwareCodecs() []string {
	if t.device == nil {
		return nil
	}
	return t.device.codecs
}

// EncoderOf is the name of what makes codec with these tools.
func (t *Tools) EncoderOf(codec string) string {
	if slices.Contains(t.HardwareCodecs(), codec) {
		return codec + "_" + t.device.family.suffix
	}
	return EncoderFor(codec)
}

// byHardware reports whether hardware makes the output.
func (t *Tools) byHardware(o Output) bool {
	return !o.TenBit && slices.Contains(t.HardwareCodecs(), o.Codec)
}

// apart are the arguments of the process that encodes an output by hardware. It reads
// pictures without headers from descriptor 3.
func (h *onHardware) apart(o Output, u Unit) []string {
	rate := u.FrameRate.Mul(1, int64(o.Step))
	args := []string{
		"-f", "rawvideo", "-pixel_format", o.pixelFormat(), "-video_size", fmt.Sprintf("%dx%d", o.Width, o.Height), "-framerate", rate.String(),
		"-i", "pipe:3", "-vf", "setsar=1," + h.family.filter, "-c:v", o.Codec + "_" + h.family.suffix,
	}
	args = append(args, h.family.options(o)...)
	args = append(args, "-g", longestHardwareGroup, "-force_key_frames", o.keyTimes(u.FrameRate))
	args = append(args, o.colourArgs()...)
	if o.Codec == "hevc" {
		args = append(args, "-tag:v", "hvc1", "-bsf:v", "filter_units=remove_types=39|40")
	} else {
		args = append(args, "-bsf:v", "filter_units=remove_types=6")
	}
	return append(append(args, "-fps_mode", "passthrough"), fileArgs(o, rate)...)
}

// longestHardwareGroup is how many pictures may come between key pictures that nobody
// asked for: more than in any segment, and a number that all drivers take.
const longestHardwareGroup = "1000"

// rated is the mean rate for encoders that need one beside the cap.
func (o Output) rated() string { return strconv.FormatInt(o.MaxRate*7/10, 10) }

func (o Output) capped() []string {
	return []string{"-maxrate", strconv.FormatInt(o.MaxRate, 10), "-bufsize", strconv.FormatInt(o.Buffer, 10)}
}

// nvencPresets: p1 is the fastest, p7 the best.
var nvencPresets = map[string]string{
	"ultrafast": "p1", "superfast": "p1", "veryfast": "p2", "faster": "p3", "fast": "p3",
	"medium": "p4", "slow": "p5", "slower": "p6", "veryslow": "p7",
}

// nvenc: NVIDIA. A constant quality below the cap; the mean rate is 2 Mb/s unless it
// is said that there is none.
func (o Output) nvenc() []string {
	return append([]string{
		"-preset", nvencPresets[o.Preset], "-tune", "hq", "-rc", "vbr", "-cq", decimal(o.Quality), "-b:v", "0",
		"-spatial-aq", "1", "-forced-idr", "1", "-strict_gop", "1",
	}, o.capped()...)
}

// qsv: Intel. With a quality, a rate and a cap it is QVBR.
func (o Output) qsv() []string {
	preset := o.Preset
	if preset == "ultrafast" || preset == "superfast" {
		preset = "veryfast"
	}
	return append([]string{
		"-preset", preset, "-global_quality", strconv.Itoa(int(o.Quality + 0.5)), "-b:v", o.rated(), "-forced_idr", "1",
	}, o.capped()...)
}

// vaapi: QVBR where the driver has it, else VBR.
func (o Output) vaapi() []string {
	return append([]string{"-global_quality", strconv.Itoa(int(o.Quality + 0.5)), "-b:v", o.rated()}, o.capped()...)
}

// amf: AMD, by its own library.
func (o Output) amf() []string {
	return append([]string{"-usage", "transcoding", "-rc", "vbr_peak", "-b:v", o.rated(), "-forced_idr", "1"}, o.capped()...)
}

// v4l2: the codecs of small boards, which know a rate and nothing else.
func (o Output) v4l2() []string { return []string{"-b:v", o.rated()} }

// rawOutput is an output that hardware encodes.
type rawOutput struct {
	file string
	args []string
}

// encodeApart runs the process that reads the source, which ends with args, and beside it
// one for each output that hardware encodes. Drivers open what nobody can list, so those
// cannot be confined; they are therefore shown nothing of the source but pictures of a
// size and number that are known, through a pipe.
func (t *Tools) encodeApart(ctx context.Context, run Command, args []string, outputs []rawOutput) (Usage, error) {
	select {
	case t.device.turn <- struct{}{}:
		defer func() { <-t.device.turn }()
	case <-ctx.Done():
		return Usage{}, t.explain(&proc.Error{Reason: proc.Canceled, Err: ctx.Err()}, run.Input)
	}
	var encoders sync.WaitGroup
	encoded := make([]proc.Usage, len(outputs))
	failed := make([]error, len(outputs))
	pipes := make([]*os.File, 0, len(outputs))
	hangUp := func() {
		for _, p := range pipes {
			p.Close()
		}
	}
	for i, out := range outputs {
		pictures, pipe, err := os.Pipe()
		if err != nil {
			hangUp()
			encoders.Wait()
			return Usage{}, fmt.Errorf("pipe to an encoder: %w", err)
		}
		pipes = append(pipes, pipe)
		encoders.Go(func() {
			// Without a reader the process that writes ends.
			defer pictures.Close()
			encoded[i], failed[i] = t.encodePictures(ctx, run, out, pictures)
		})
	}
	reading := run // the encoders have run
	reading.Args, reading.Pipes = args, make([]io.Writer, len(pipes))
	for i, p := range pipes {
		reading.Pipes[i] = p
	}
	usage, err := t.Run(ctx, reading)
	hangUp()
	encoders.Wait()
	for _, u := range encoded {
		usage.CPU += u.CPU()
	}
	if err != nil && !errors.Is(err, syscall.EPIPE) {
		return usage, err
	}
	return usage, errors.Join(failed...)
}

// encodePictures runs one encoder on what comes through pictures. The unit has its turn
// among the children already.
func (t *Tools) encodePictures(ctx context.Context, run Command, out rawOutput, pictures *os.File) (proc.Usage, error) {
	args := append([]string{"-hide_banner", "-nostdin", "-y", "-nostats", "-loglevel", "repeat+level+warning"}, t.device.device...)
	used, _, err := t.run(ctx, child{
		tool: t.ffmpeg, stream: pictures, args: append(args, out.args...), dir: run.Dir, nice: run.Nice, trusted: true,
		// Drivers map all that the device has, so memory cannot be bounded.
		limits: proc.Limits{CPU: run.Limits.CPU, FileSize: run.Limits.FileSize, Wall: run.Limits.Wall},
	})
	if err != nil {
		err = t.explain(err, Input{Name: "the hardware encoder of " + out.file})
	}
	return used, err
}

// colourArgs tag what is made, whatever encodes it.
func (o Output) colourArgs() []string {
	return []string{
		"-color_primaries", o.Colour.Primaries, "-color_trc", o.Colour.Transfer,
		"-colorspace", o.Colour.Matrix, "-color_range", o.Colour.Range(),
		"-flags:v", "+bitexact", "-threads", "1",
	}
}

// fileArgs write an output of so many frames a second.
func fileArgs(o Output, rate timebase.Rational) []string {
	return []string{"-f", "mp4", "-video_track_timescale", strconv.FormatInt(timescale(rate), 10), "-map_metadata", "-1", "-fflags", "+bitexact", o.File}
}
