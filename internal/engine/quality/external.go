package quality

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"golang.org/x/sync/errgroup"

	"liuyun/internal/base/fault"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/kit/proc"
)

// findProgram looks for Netflix's vmaf in PATH.
func findProgram() string {
	path, err := exec.LookPath("vmaf")
	if err != nil {
		return ""
	}
	if path, err = filepath.Abs(path); err != nil {
		return ""
	}
	return path
}

const logName = "vmaf.json"

// external has libvmaf score, in a child that is fed both sides as raw pictures
// by pipes: what it gets has been brought to one size and paired, as for our own.
func (c *comparison) external(ctx context.Context, provider Provider) error {
	dir, err := os.MkdirTemp(c.options.Scratch, "liuyun-quality-")
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "no folder for files of the comparison can be made")
	}
	defer os.RemoveAll(dir)
	var files []string
	for i, m := range c.models {
		c.metrics = append(c.metrics, Metric{Name: m.name})
		files = append(files, fmt.Sprintf("model%d.json", i))
		if err := os.WriteFile(filepath.Join(dir, files[i]), m.data, 0o600); err != nil {
			return fault.Wrap(err, fault.StorageFull, "the model cannot be copied for the comparison")
		}
	}
	seconds, err := c.feed(ctx, func(ctx context.Context, ref, dis *os.File) error {
		if provider == FFmpegLibvmaf {
			return c.tools.CompareVMAF(ctx, dir, ffmpeg.VMAF{
				Width: c.pair.width, Height: c.pair.height, Depth: c.pair.depth,
				Models: files, Every: c.every, Threads: c.workers, Log: logName,
			}, ref, dis)
		}
		return c.runProgram(ctx, dir, files, ref, dis)
	})
	if err != nil {
		return err
	}
	log, err := os.Open(filepath.Join(dir, logName))
	if err != nil {
		return fault.Wrap(err, fault.Internal, "%s ended without scores", provider)
	}
	defer log.Close()
	if err := c.readLog(log, seconds); err != nil {
		return fault.Wrap(err, fault.Internal, "the scores of %s make no sense", provider)
	}
	return nil
}

// feed runs the child with two pipes, which get every frame of both sides, and
// returns the times of the frames.
func (c *comparison) feed(ctx context.Context, child func(ctx context.Context, ref, dis *os.File) error) ([]float64, error) {
	refOut, refIn, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer refOut.Close()
	disOut, disIn, err := os.Pipe()
	if err != nil {
		refIn.Close()
		return nil, err
	}
	defer disOut.Close()
	var seconds []float64
	whole := *c
	whole.every = 1 // the child leaves out what is not asked for, but for motion
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan error, 1)
	go func() {
		err := child(ctx, refOut, disOut)
		// Whoever still writes must not wait for a reader that is gone.
		refOut.Close()
		disOut.Close()
		ended <- err
	}()
	ref, dis := make(chan *frame), make(chan *frame)
	group, feeding := errgroup.WithContext(ctx)
	group.Go(func() error { return c.writeSide(refIn, ref) })
	group.Go(func() error { return c.writeSide(disIn, dis) })
	group.Go(func() error {
		defer close(ref)
		defer close(dis)
		return whole.samples(feeding, window{}, 4, func(s sample) error {
			if s.n%c.every == 0 {
				also, err := c.measureAlso(s)
				if err != nil {
					s.release()
					return err
				}
				c.addAlso(Score{Frame: s.n, Seconds: s.seconds}, also)
			}
			seconds = append(seconds, s.seconds)
			for _, to := range []struct {
				side chan *frame
				f    *frame
			}{{ref, s.ref}, {dis, s.dis}} {
				select {
				case to.side <- to.f:
				case <-feeding.Done():
					return feeding.Err()
				}
			}
			if done := len(seconds); c.options.OnProgress != nil && done%c.every == 0 {
				c.options.OnProgress(done/c.every, c.expected())
			}
			return nil
		})
	})
	feedErr := group.Wait()
	if feedErr != nil && !errors.Is(feedErr, os.ErrClosed) && !errors.Is(feedErr, errGone) {
		cancel(feedErr)
		<-ended
		return nil, feedErr
	}
	if err := <-ended; err != nil {
		return nil, err
	}
	return seconds, feedErr
}

// errGone is why a side is no longer written: the child has ended.
var errGone = errors.New("the child that scores has ended")

// writeSide writes frames as planar 4:2:0 with grey chroma, which VMAF does not
// look at, and releases them.
func (c *comparison) writeSide(out *os.File, frames <-chan *frame) error {
	defer out.Close()
	chroma := grey(c.pair.width, c.pair.height, c.pair.depth)
	for f := range frames {
		_, err := out.Write(f.plane.Pix)
		f.release()
		if err == nil {
			_, err = out.Write(chroma)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errGone, err)
		}
	}
	return nil
}

// grey is both chroma planes of a picture without colour.
func grey(width, height, depth int) []byte {
	samples := 2 * ((width + 1) / 2) * ((height + 1) / 2)
	if depth == 8 {
		return bytes.Repeat([]byte{128}, samples)
	}
	return bytes.Repeat([]byte{0, 2}, samples) // 512
}

// runProgram runs vmaf, which may read the models and write its log in dir and
// gets the pictures by descriptors.
func (c *comparison) runProgram(ctx context.Context, dir string, models []string, ref, dis *os.File) error {
	args := []string{
		"--reference", "/proc/self/fd/3", "--distorted", "/proc/self/fd/4",
		"--width", strconv.Itoa(c.pair.width), "--height", strconv.Itoa(c.pair.height),
		"--pixel_format", "420", "--bitdepth", strconv.Itoa(c.pair.depth),
		"--threads", strconv.Itoa(c.workers), "--subsample", strconv.Itoa(c.every),
		"--json", "--output", logName, "--quiet",
	}
	for i, file := range models {
		args = append(args, "--model", fmt.Sprintf("path=%s:name=m%d", file, i))
	}
	_, err := proc.Run(ctx, proc.Command{
		Path: c.program, Args: args, Env: []string{"LC_ALL=C"}, Dir: dir,
		Files:  []*os.File{ref, dis},
		Access: &proc.Access{Write: dir},
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fault.Wrap(err, fault.Canceled, "stopped on request")
	}
	var child *proc.Error
	if errors.As(err, &child) && len(child.Stderr) > 0 {
		return fault.Wrap(err, fault.Unavailable, "vmaf did not score: %s", bytes.TrimSpace(child.Stderr[:min(len(child.Stderr), 300)]))
	}
	return fault.Wrap(err, fault.Unavailable, "vmaf does not work: install it again, or choose another provider")
}

// A log has about two kilobytes a frame.
const maxLogFrame = 64 << 10

// readLog takes the scores out of libvmaf's JSON: "frames", each with its number
// and its metrics, of which ours are called m0, m1, ….
func (c *comparison) readLog(in io.Reader, seconds []float64) error {
	expected := (len(seconds) + c.every - 1) / c.every
	decoder := json.NewDecoder(io.LimitReader(in, int64(expected+16)*maxLogFrame))
	if err := enterFrames(decoder); err != nil {
		return err
	}
	last := -1
	for decoder.More() {
		var frame struct {
			Number  int                `json:"frameNum"`
			Metrics map[string]float64 `json:"metrics"`
		}
		if err := decoder.Decode(&frame); err != nil {
			return err
		}
		if frame.Number <= last || frame.Number >= len(seconds) {
			return fmt.Errorf("frame %d after frame %d of %d", frame.Number, last, len(seconds))
		}
		last = frame.Number
		if frame.Number%c.every != 0 {
			continue // the last frame may come for its motion
		}
		for i := range c.metrics {
			value, there := frame.Metrics["m"+strconv.Itoa(i)]
			if !there {
				return fmt.Errorf("frame %d has no score of the model %s", frame.Number, c.metrics[i].Name)
			}
			c.metrics[i].Frames = append(c.metrics[i].Frames, Score{Frame: frame.Number, Seconds: seconds[frame.Number], Value: value})
		}
	}
	if got := len(c.metrics[0].Frames); got != expected || got == 0 {
		return fmt.Errorf("%d frames have scores, not %d", got, expected)
	}
	return nil
}

// enterFrames reads as far as the first element of "frames".
func enterFrames(decoder *json.Decoder) error {
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return errors.Join(errors.New("no object"), err)
	}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return err
		}
		if key == "frames" {
			if token, err := decoder.Token(); err != nil || token != json.Delim('[') {
				return errors.Join(errors.New("frames are no list"), err)
			}
			return nil
		}
		var skipped json.RawMessage
		if err := decoder.Decode(&skipped); err != nil {
			return err
		}
	}
	return errors.New("no frames")
}
