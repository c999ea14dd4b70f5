package transcode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"liuyun/internal/av/pixel"
	"liuyun/internal/av/quality"
	"liuyun/internal/engine/ffmpeg"
)

// Measure asks for the quality of a unit's first output in some of its pictures.
type Measure struct {
	At []int `json:"at"` // pictures of the output, rising, above 0
	// Model is a VMAF model as libvmaf reads it; without, quality is estimated.
	Model json.RawMessage `json:"model,omitempty"`
}

// measured is what a Measure came to, beside the output.
type measured struct {
	At      []int     `json:"at"`
	Quality []float64 `json:"quality"` // 0…100
	Motion  []float64 `json:"motion"`  // VMAF's, of the reference
}

const (
	samplesName  = "samples.luma" // in the scratch folder while a unit is measured
	measuredName = "quality.json"
)

// sampled is the unit with what is needed to measure it.
func (u Unit) sampled() ffmpeg.Unit {
	encode := u.Encode
	if u.Measure != nil && len(u.Measure.At) > 0 {
		encode.Samples = &ffmpeg.Samples{At: u.Measure.At, File: samplesName}
	}
	return encode
}

// measure compares the first output with what went into its encoder, and writes
// what it finds beside it. The pictures that went in are removed. Where that output
// is one of unit.Check, all its pictures are compared with the source from the same
// decode; unchecked is what remains of unit.Check.
func (m *maker) measure(ctx context.Context, unit Unit, scratch string) (unchecked []string, err error) {
	if unit.Measure == nil || len(unit.Measure.At) == 0 {
		return unit.Check, nil
	}
	path := filepath.Join(scratch, samplesName)
	defer os.Remove(path)
	out := unit.Encode.Outputs[0]
	file, err := os.Open(filepath.Join(scratch, out.File))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	reference, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer reference.Close()
	c, err := newComparison(unit.Measure, out, reference)
	if err != nil {
		return nil, err
	}
	empty, err := m.work.newScratch()
	if err != nil {
		return nil, explainWrite(err, m.work.root)
	}
	defer os.RemoveAll(empty)
	command := ffmpeg.Command{Input: ffmpeg.Input{File: file}, Dir: empty, Limits: unit.Limits}
	var check *pictureCheck
	var all *ffmpeg.Squeezed
	for _, name := range unit.Check {
		if name != out.File {
			unchecked = append(unchecked, name)
			continue
		}
		if check, err = m.pictureCheck(ctx, unit, out); err != nil {
			return nil, err
		}
		all = &ffmpeg.Squeezed{Width: pixel.Width, Height: pixel.Height, Each: check.add}
	}
	usage, err := m.tools.DecodeSamples(ctx, command, unit.Measure.At, out.LumaBytes(), c.add, all)
	m.cpu += usage.CPU + c.cpu
	m.measured += usage.CPU + c.cpu
	if err == nil && len(c.found.Quality) != len(unit.Measure.At) {
		err = fmt.Errorf("%d of %d pictures to measure are there", len(c.found.Quality), len(unit.Measure.At))
	}
	if err == nil && check != nil {
		err = check.verdict()
	}
	if err != nil {
		if ctx.Err() == nil && !ffmpeg.Retryable(err) {
			return nil, &mismatch{out.File, err}
		}
		return nil, err
	}
	if err := writeJSON(filepath.Join(scratch, measuredName), c.found); err != nil {
		return nil, explainWrite(err, m.work.root)
	}
	return unchecked, explainWrite(os.Remove(path), m.work.root)
}

// comparison takes the decoded pictures of an output, and reads those that they
// were made from.
type comparison struct {
	reference io.Reader
	meter     *quality.Meter
	model     *quality.Model // nil: estimated
	at        []int
	plane     quality.Plane // of any picture, without Pix
	before    []byte
	itself    []byte
	found     measured
	cpu       time.Duration
}

func newComparison(ask *Measure, out ffmpeg.Output, reference io.Reader) (*comparison, error) {
	c := &comparison{
		reference: reference, at: ask.At,
		plane:  quality.Plane{Width: out.Width, Height: out.Height, Stride: out.LumaBytes() / out.Height, Depth: out.Depth()},
		before: make([]byte, out.LumaBytes()), itself: make([]byte, out.LumaBytes()),
	}
	var models []*quality.Model
	if len(ask.Model) > 0 {
		model, err := quality.ParseModel(ask.Model)
		if err != nil {
			return nil, err
		}
		c.model, models = model, append(models, model)
	}
	var err error
	c.meter, err = quality.NewMeter(out.Width, out.Height, out.Depth(), models...)
	return c, err
}

// add takes the next picture.
func (c *comparison) add(luma []byte) error {
	n := len(c.found.At)
	if n == len(c.at) {
		return errors.New("more pictures than were asked for")
	}
	for _, picture := range [][]byte{c.before, c.itself} {
		if _, err := io.ReadFull(c.reference, picture); err != nil {
			return fmt.Errorf("read what went into the encoder: %w", err)
		}
	}
	ref, dis, before := c.plane, c.plane, c.plane
	ref.Pix, dis.Pix, before.Pix = c.itself, luma, c.before
	done := threadTime()
	scores, err := c.meter.Frame(ref, dis, &before)
	c.cpu += done()
	if err != nil {
		return err
	}
	value, err := scoreOf(scores, c.model)
	if err != nil {
		return err
	}
	c.found.At = append(c.found.At, c.at[n])
	c.found.Quality = append(c.found.Quality, value)
	c.found.Motion = append(c.found.Motion, scores.Motion())
	return nil
}

// threadTime begins to count the CPU time of the goroutine, which keeps its thread
// until done is called.
func threadTime() (done func() time.Duration) {
	const thisThread = 1 // RUSAGE_THREAD of Linux
	used := func() time.Duration {
		var r syscall.Rusage
		if syscall.Getrusage(thisThread, &r) != nil {
			return 0
		}
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	runtime.LockOSThread()
	began := used()
	return func() time.Duration {
		defer runtime.UnlockOSThread()
		return used() - began
	}
}
