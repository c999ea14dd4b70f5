package transcode

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"liuyun/internal/av/pixel"
	"liuyun/internal/base/fault"
	"liuyun/internal/engine/ffmpeg"
)

// stretch is a part of the source that the analysis decodes in a process of its
// own, as many at a time as there are cores: one thread each costs less than one
// decoder with many. Stretches overlap a little, and what both show there has to be
// the same.
type stretch struct {
	from *int64 // the random-access point that it begins at, ticks; nil is the beginning
	to   *int64 // some pictures after the next stretch's from, ticks; nil is the end

	Errors int    `json:"errors"` // messages of the decoder about broken data
	Ends   string `json:"ends,omitempty"`

	folder string
}

const (
	stretchLeast   = 15.0  // seconds: less is not worth a process
	stretchMost    = 300.0 // seconds: what a kill may cost
	stretchOverlap = 0.4   // seconds
)

// errApart says that stretches do not fit together: a random-access point was none.
var errApart = errors.New("stretches of the analysis do not fit together")

// stretches cuts a source of so many seconds at closed random-access points.
func (p *plan) stretches(seconds float64, workers int) []*stretch {
	count := min(workers, int(seconds/stretchLeast))
	if needed := int(seconds/stretchMost) + 1; needed > count {
		count = (needed + workers - 1) / workers * workers
	}
	list := []*stretch{{}}
	if len(p.closed) == 0 {
		return list
	}
	ticks := func(seconds float64) int64 { return int64(seconds / p.timeBase.Float()) }
	last := p.closed[0]
	for i := 1; i < count; i++ {
		at := nearest(p.closed, p.closed[0]+ticks(float64(i)*seconds/float64(count)))
		if at-last < ticks(2*stretchOverlap) {
			continue
		}
		end := at + ticks(stretchOverlap)
		list[len(list)-1].to = &end
		list = append(list, &stretch{from: &at})
		last = at
	}
	return list
}

// nearest is the value in a rising list that is nearest to want.
func nearest(list []int64, want int64) int64 {
	i, _ := slices.BinarySearch(list, want)
	if i == len(list) || (i > 0 && want-list[i-1] <= list[i]-want) {
		i--
	}
	return list[i]
}

// analyseStretches decodes the stretches, or takes what an earlier run decoded.
func (j *job) analyseStretches(ctx context.Context, a ffmpeg.Analysis, stretches []*stretch) error {
	todo := make([]work, len(stretches))
	for i, p := range stretches {
		a := a
		a.From, a.To = p.from, p.to
		if p.from != nil {
			at := *p.from + j.plan.seekShift
			a.Seek = &at
		}
		hash := specHash(j.tools.Class, j.fingerprint, append(j.tools.AnalysisArgs(a), "stretch 1"))
		a.Threads = max(1, j.options.workers()/len(stretches)) // changes nothing but the time it takes
		todo[i] = work{0, func(ctx context.Context) (err error) {
			p.folder, _, err = j.work.once(hash, func(scratch string) error { return j.runStretch(ctx, a, scratch) })
			if err != nil {
				return err
			}
			return readJSON(filepath.Join(p.folder, analysisName), p)
		}}
	}
	return runAll(ctx, j.options.workers(), todo)
}

// runStretch decodes one stretch into scratch: the times, the signatures and the
// tiles of the storyboard.
func (j *job) runStretch(ctx context.Context, a ffmpeg.Analysis, scratch string) error {
	luma, err := os.Create(filepath.Join(scratch, lumaName))
	if err != nil {
		return explainWrite(err, j.work.root)
	}
	defer luma.Close()
	out := bufio.NewWriterSize(luma, 64<<10)
	var times []int64
	usage, err := j.tools.Analyse(ctx, j.command(scratch, j.input), a, func(pts int64, picture []byte) error {
		times = append(times, pts)
		j.progress.add(phaseAnalyse, 1)
		_, err := out.Write(picture)
		return explainWrite(err, j.work.root)
	})
	j.account(usage)
	found := stretch{Errors: usage.Errors}
	if err != nil {
		if code := fault.CodeOf(err); code != fault.Invalid && code != fault.Internal {
			return err
		}
		found.Ends = fault.Message(err) // what is broken somewhere is used as far as it decodes
	}
	switch {
	case len(times) == 0 && (a.From != nil || a.To != nil):
		return errApart
	case len(times) == 0:
		return fault.Wrap(errors.Join(errNoFrames, err), fault.Invalid,
			"%s has a video track, but no picture of it could be decoded: it is damaged, or cut off after its head", j.source.Name())
	}
	if err := out.Flush(); err != nil {
		return explainWrite(err, j.work.root)
	}
	if err := writeTimes(filepath.Join(scratch, timesName), times); err != nil {
		return explainWrite(err, j.work.root)
	}
	return explainWrite(writeJSON(filepath.Join(scratch, analysisName), found), j.work.root)
}

// each calls f with every picture of the stretch in the order of the decoder. f
// must not keep the signature.
func (p *stretch) each(f func(pts int64, s pixel.Signature) error) error {
	times, err := readTimes(filepath.Join(p.folder, timesName))
	if err != nil {
		return err
	}
	file, err := os.Open(filepath.Join(p.folder, lumaName))
	if err != nil {
		return err
	}
	defer file.Close()
	in := bufio.NewReaderSize(file, 64<<10)
	picture := make(pixel.Signature, pixel.Size)
	for _, pts := range times {
		if _, err := io.ReadFull(in, picture); err != nil {
			return fmt.Errorf("read %s: %w", lumaName, err)
		}
		if err := f(pts, picture); err != nil {
			return err
		}
	}
	return nil
}

// within returns times and signatures of the pictures in [from, to).
func (p *stretch) within(from, to int64) (times []int64, pictures []byte, err error) {
	err = p.each(func(pts int64, s pixel.Signature) error {
		if pts >= from && pts < to {
			times = append(times, pts)
			pictures = append(pictures, s...)
		}
		return nil
	})
	return times, pictures, err
}

// meet checks that each stretch shows the same as the next where both do.
func meet(stretches []*stretch) error {
	for i, next := range stretches[1:] {
		p := stretches[i]
		times, pictures, err := p.within(*next.from, *p.to)
		if err != nil {
			return err
		}
		nextTimes, nextPictures, err := next.within(*next.from, *p.to)
		if err != nil {
			return err
		}
		if p.Ends != "" || len(times) == 0 || !slices.Equal(times, nextTimes) || !bytes.Equal(pictures, nextPictures) {
			return fmt.Errorf("%w at %d", errApart, *next.from)
		}
	}
	return nil
}

// randomAccess finds in the packets of a stream, in the order of the file, where
// decoding may begin.
type randomAccess struct {
	keys   []int64 // presentation times of all key pictures
	closed []int64 // of those that no picture before it in presentation follows
	loose  bool    // some packet has no presentation time
}

func (r *randomAccess) add(p ffmpeg.Packet) {
	switch {
	case !p.HasPTS:
		r.loose = true
	case p.Key:
		r.keys = append(r.keys, p.PTS)
		r.closed = append(r.closed, p.PTS)
	case len(r.closed) > 0 && p.PTS < r.closed[len(r.closed)-1]:
		r.closed = r.closed[:len(r.closed)-1]
	}
}
