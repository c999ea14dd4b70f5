package transcode

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"liuyun/internal/av/pixel"
	"liuyun/internal/base/fault"
	"liuyun/internal/base/timebase"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/kit/proc"
)

// OnHardware returns the tools with H.264 and HEVC of eight bits made by hardware
// encoders: of the family, or of the first that is good where that is [ffmpeg.HardwareAuto]. A
// codec is only taken when two units of a film that is made for it came out as they
// have to: every picture there, at its time and the right one, key frames where they
// were asked for, the same bytes when it is done again, and the same headers in both
// units, so that they can be put end to end. Class is another then, which the bytes
// name: machines that make others do not share renditions.
//
// tried are all encoders that there are, with what was found out; those of other
// families have made one picture. Without tools the error is a fault.Unavailable that
// says what is wrong with each of the family. The whole takes a few seconds, and bounded
// time where a driver hangs.
func OnHardware(ctx context.Context, tools *ffmpeg.Tools, family string) (on *ffmpeg.Tools, tried []ffmpeg.HardwareEncoder, err error) {
	dir, err := os.MkdirTemp("", "liuyun-hardware-")
	if err != nil {
		return nil, nil, explainWrite(err, os.TempDir())
	}
	defer os.RemoveAll(dir)
	trial, err := newHardwareTrial(ctx, tools, dir)
	if err != nil {
		return nil, nil, err
	}
	defer trial.film.Close()
	tried = tools.Hardware(ctx)
	var wrong []string
	for _, name := range ffmpeg.HardwareFamilies() {
		if family != ffmpeg.HardwareAuto && family != name {
			continue
		}
		var good []string
		sum := sha256.New()
		for i := range tried {
			e := &tried[i]
			codec, suffix, _ := strings.Cut(e.Name, "_")
			if suffix != name || codec == "av1" {
				continue
			}
			if e.Works {
				made, err := trial.run(ctx, tools.OnHardware(name, codec), codec)
				if ctx.Err() != nil {
					return nil, nil, fault.Wrap(ctx.Err(), fault.Canceled, "stopped while hardware encoders were tried")
				}
				if err == nil {
					good = append(good, codec)
					sum.Write(made)
					continue
				}
				e.Works, e.Why = false, err.Error()
			}
			wrong = append(wrong, e.Name+": "+e.Why)
		}
		if len(good) > 0 {
			on := tools.OnHardware(name, good...)
			on.Class += "-" + name + "-" + hex.EncodeToString(sum.Sum(nil)[:4])
			return on, tried, nil
		}
	}
	if len(wrong) == 0 {
		wrong = []string{"this ffmpeg was built without any"}
	}
	return nil, tried, fault.New(fault.Unavailable, "no hardware encoder can be used: %s", strings.Join(wrong, "; "))
}

// hardwareTrial is a film of which hardware makes two units.
type hardwareTrial struct {
	dir     string
	film    *os.File
	looks   []pixel.Signature // of its pictures
	renders int
}

// Of the film: its pictures, and where it is cut into units. No hardware is known that
// does not take pictures of half its size.
const (
	trialFrames = 60
	trialCut    = 32
	trialFilm   = "testsrc2=size=384x256:rate=25:duration=2.4,format=yuv420p"
)

// trialLimits are those of each process.
func trialLimits() proc.Limits {
	return proc.Limits{CPU: 30 * time.Second, Memory: 2 << 30, FileSize: 64 << 20, Wall: 30 * time.Second}
}

func newHardwareTrial(ctx context.Context, tools *ffmpeg.Tools, dir string) (*hardwareTrial, error) {
	const name = "film.mkv"
	_, err := tools.Run(ctx, ffmpeg.Command{
		Dir: dir, Limits: trialLimits(),
		Args: []string{
			"-filter_complex", trialFilm + "[v]", "-map", "[v]", "-c:v", ffmpeg.EncoderFor("h264"), "-preset", "ultrafast", "-qp", "8",
			"-f", "matroska", name,
		},
	})
	if err != nil {
		return nil, err
	}
	film, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	t := &hardwareTrial{dir: dir, film: film}
	err = t.look(ctx, tools, film, func(luma []byte) error {
		t.looks = append(t.looks, bytes.Clone(luma))
		return nil
	})
	if err == nil && len(t.looks) != trialFrames {
		err = fmt.Errorf("%d pictures of the film to try encoders with, not %d", len(t.looks), trialFrames)
	}
	if err != nil {
		film.Close()
		return nil, err
	}
	return t, nil
}

func (t *hardwareTrial) look(ctx context.Context, tools *ffmpeg.Tools, file *os.File, each ffmpeg.PictureReader) error {
	_, err := tools.DecodeSmall(ctx, ffmpeg.Command{Input: ffmpeg.Input{File: file}, Dir: t.dir, Limits: trialLimits()}, pixel.Width, pixel.Height, each)
	return err
}

// run returns the bytes of the first unit when both are as they have to be.
func (t *hardwareTrial) run(ctx context.Context, tools *ffmpeg.Tools, codec string) ([]byte, error) {
	first, config, err := t.unit(ctx, tools, codec, 0, trialCut, 0, 13, 20)
	if err != nil {
		return nil, err
	}
	again, _, err := t.unit(ctx, tools, codec, 0, trialCut, 0, 13, 20)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(first, again) {
		return nil, fmt.Errorf("the same pictures gave other bytes when they were encoded again")
	}
	_, next, err := t.unit(ctx, tools, codec, trialCut, trialFrames, 0, 15)
	if err != nil {
		return nil, err
	}
	for i := range config {
		if !bytes.Equal(config[i], next[i]) {
			return nil, fmt.Errorf("units need different decoder configurations, and cannot be put end to end")
		}
	}
	return first, nil
}

// unit encodes [from, to) in two sizes, as renditions are, and returns the bytes of
// both and their decoder configurations.
func (t *hardwareTrial) unit(ctx context.Context, tools *ffmpeg.Tools, codec string, from, to int, keys ...int) (data []byte, configs [][]byte, err error) {
	const frame = 40 // milliseconds, which are Matroska's ticks
	u := ffmpeg.Unit{
		TimeBase: timebase.R(1, 1000), Picture: ffmpeg.Picture{Width: 384, Height: 256, Aspect: timebase.R(1, 1), Colour: ffmpeg.BT709},
		From: int64(from) * frame, To: int64(to)*frame + 1, FrameRate: timebase.R(25, 1), First: int64(from), Count: to - from, Hold: to == trialFrames,
	}
	t.renders++
	for _, height := range []int{256, 128} {
		u.Outputs = append(u.Outputs, ffmpeg.Output{
			File: fmt.Sprintf("%d-%d.mp4", t.renders, height), Codec: codec, Width: height * 3 / 2, Height: height, Step: 1, KeyFrames: keys, Preset: "medium",
			Quality: 26, MaxRate: 3_000_000, Buffer: 6_000_000, Level: "3.1", References: 4, Colour: ffmpeg.BT709,
		})
	}
	if _, err := tools.Encode(ctx, ffmpeg.Command{Input: ffmpeg.Input{File: t.film}, Dir: t.dir, Limits: trialLimits()}, u); err != nil {
		return nil, nil, err
	}
	for _, out := range u.Outputs {
		path := filepath.Join(t.dir, out.File)
		if err := checkStructure(path, u, out); err != nil {
			return nil, nil, err
		}
		if err := t.compare(ctx, tools, path, u); err != nil {
			return nil, nil, err
		}
		track, err := readTrack(path)
		if err != nil {
			return nil, nil, err
		}
		made, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, err
		}
		data, configs = append(data, made...), append(configs, track.Config)
	}
	return data, configs, nil
}

// compare looks whether the pictures of a file are those of the film.
func (t *hardwareTrial) compare(ctx context.Context, tools *ffmpeg.Tools, path string, u ffmpeg.Unit) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	check := pictureCheck{source: t.looks}
	for n := range u.Count {
		check.shows = append(check.shows, int(u.First)+n)
	}
	if err := t.look(ctx, tools, file, check.add); err != nil {
		return err
	}
	return check.verdict()
}
