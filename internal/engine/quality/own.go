package quality

import (
	"context"
	"math"
	"os"
	"sync"

	"golang.org/x/sync/errgroup"

	"liuyun/internal/av/quality"
	"liuyun/internal/base/fault"
)

// model is a Model that was read.
type model struct {
	name   string
	data   []byte
	parsed *quality.Model // nil where av/quality does not know it
	err    error          // why not
}

// maxModel bounds a model's file.
const maxModel = 4 << 20

func readModels(files []Model) ([]model, error) {
	models := make([]model, len(files))
	for i, file := range files {
		info, err := os.Stat(file.Path)
		switch {
		case err != nil:
			return nil, fault.Wrap(err, fault.NotFound, "the VMAF model %s cannot be read: give the path of a model file such as vmaf_v0.6.1.json", file.Path)
		case !info.Mode().IsRegular() || info.Size() > maxModel:
			return nil, fault.New(fault.Invalid, "%s is not a VMAF model: give the path of a file such as vmaf_v0.6.1.json", file.Path)
		}
		data, err := os.ReadFile(file.Path)
		if err != nil {
			return nil, fault.Wrap(err, fault.NotFound, "the VMAF model %s cannot be read", file.Path)
		}
		models[i] = model{name: file.Name, data: data}
		models[i].parsed, models[i].err = quality.ParseModel(data)
	}
	return models, nil
}

// own scores with av/quality, a worker a core.
func (c *comparison) own(ctx context.Context) error {
	var parsed []*quality.Model
	for _, m := range c.models {
		if m.err != nil {
			return fault.Wrap(m.err, fault.Invalid, "the model %s is not one that can be used here", m.name)
		}
		parsed = append(parsed, m.parsed)
		c.metrics = append(c.metrics, Metric{Name: m.name})
	}
	w := window{before: 1, next: c.every > 1}
	if len(parsed) == 0 {
		c.metrics = []Metric{{Name: string(XPSNR)}}
		w = window{before: 1}
		if c.pair.rate >= 32 {
			w.before = 2
		}
	}
	results := newOrdered(c)
	jobs := make(chan sample)
	group, ctx := errgroup.WithContext(ctx)
	for range c.workers {
		group.Go(func() error {
			if len(parsed) == 0 {
				return c.measureXPSNR(jobs, results)
			}
			return c.measureVMAF(parsed, jobs, results)
		})
	}
	group.Go(func() error {
		defer close(jobs)
		return c.samples(ctx, w, c.workers+1, func(s sample) error {
			select {
			case jobs <- s:
				return nil
			case <-ctx.Done():
				s.release()
				return ctx.Err()
			}
		})
	})
	if err := group.Wait(); err != nil {
		return err
	}
	results.flush()
	return nil
}

// measureVMAF scores what comes over jobs.
func (c *comparison) measureVMAF(models []*quality.Model, jobs <-chan sample, results *ordered) error {
	meter, err := quality.NewMeter(c.pair.width, c.pair.height, c.pair.depth, models...)
	if err != nil {
		return err
	}
	for s := range jobs {
		var before *quality.Plane
		if len(s.before) > 0 {
			before = &s.before[0].plane
		}
		scores, err := meter.Frame(s.ref.plane, s.dis.plane, before)
		if err == nil && before != nil && s.next != nil {
			var motion float64
			if motion, err = meter.Motion(s.ref.plane, s.next.plane); err == nil {
				scores.Settle(motion)
			}
		}
		var also []float64
		if err == nil {
			also, err = c.measureAlso(s)
		}
		at := Score{Frame: s.n, Seconds: s.seconds}
		s.release()
		if err != nil {
			return err
		}
		results.vmaf(at, scores, also)
	}
	return nil
}

// measureXPSNR scores what comes over jobs, pictures that are the same with
// sameXPSNR.
func (c *comparison) measureXPSNR(jobs <-chan sample, results *ordered) error {
	for s := range jobs {
		var past []quality.Plane
		for _, f := range s.before {
			past = append(past, f.plane)
		}
		value, err := quality.XPSNR(s.ref.plane, s.dis.plane, past, c.pair.rate)
		var also []float64
		if err == nil {
			also, err = c.measureAlso(s)
		}
		at := Score{Frame: s.n, Seconds: s.seconds, Value: min(value, sameXPSNR)}
		s.release()
		if err != nil {
			return err
		}
		results.add(at, []float64{at.Value}, also)
	}
	return nil
}

// sameXPSNR stands for the infinity that JSON does not have.
const sameXPSNR = 100.0

// ordered puts what workers find into the order of frames. Where all frames are
// scored, each waits for the motion of the one after it.
type ordered struct {
	c        *comparison
	mu       sync.Mutex
	next     int // number of the frame that is written next
	waiting  map[int]result
	progress int
}

type result struct {
	at     Score
	scores quality.Scores
	values []float64
	also   []float64
	moved  bool // its motion2 is settled
}

func newOrdered(c *comparison) *ordered { return &ordered{c: c, waiting: make(map[int]result)} }

// add takes final values, one a metric, and those of the metrics besides.
func (o *ordered) add(at Score, values, also []float64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting[at.Frame] = result{at: at, values: values, also: also, moved: true}
	o.write()
}

// vmaf takes the scores of a frame. In a run of all frames the one before is
// settled with its motion.
func (o *ordered) vmaf(at Score, scores quality.Scores, also []float64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting[at.Frame] = result{at: at, scores: scores, also: also, moved: o.c.every > 1}
	if o.c.every == 1 {
		o.settle(at.Frame - 1)
		o.settle(at.Frame)
	}
	o.write()
}

// settle finishes frame n when both it and the next are there. The first frame
// has no motion.
func (o *ordered) settle(n int) {
	r, there := o.waiting[n]
	after, follows := o.waiting[n+1]
	if !there || !follows || r.moved {
		return
	}
	if n > 0 {
		r.scores.Settle(after.scores.Motion())
	}
	r.moved = true
	o.waiting[n] = r
}

// write moves what is finished and in turn to the metrics.
func (o *ordered) write() {
	for {
		r, there := o.waiting[o.next]
		// The one after must be settled by it before it goes.
		if !there || !r.moved {
			return
		}
		o.put(r)
	}
}

// flush writes the last frame, after which nothing comes.
func (o *ordered) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r, there := o.waiting[o.next]; there {
		o.put(r)
	}
}

func (o *ordered) put(r result) {
	for i := range o.c.metrics {
		at := r.at
		if at.Value = r.scores.VMAF[min(i, quality.MaxModels-1)]; r.values != nil {
			at.Value = r.values[i]
		}
		if math.IsNaN(at.Value) {
			at.Value = 0
		}
		o.c.metrics[i].Frames = append(o.c.metrics[i].Frames, at)
	}
	o.c.addAlso(r.at, r.also)
	delete(o.waiting, o.next)
	o.next += o.c.every
	if o.progress++; o.c.options.OnProgress != nil {
		o.c.options.OnProgress(o.progress, o.c.expected())
	}
}

// expected is how many frames will be scored; 0 where the files do not say.
func (c *comparison) expected() int { return (len(c.pair.ref.times) + c.every - 1) / c.every }
