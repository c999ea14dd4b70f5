package transcode

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"liuyun/internal/av/pixel"
	"liuyun/internal/av/scene"
	"liuyun/internal/base/fault"
	"liuyun/internal/base/timebase"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/kit/proc"
	"liuyun/internal/video/transcode/analyse"
	"liuyun/internal/video/transcode/timeline"
)

// stretch is a part of the source that the analysis decodes in a process of its
// own, as many at a time as there are cores: one thread each costs less than one
// decoder with many. Stretches overlap a little, and what both show there has to
// be the same. Where they are cut does not depend on the number of cores.
type stretch struct {
	from *int64 // the random-access point that it begins at, ticks; nil is the beginning
	to   *int64 // some pictures after the next stretch's from, ticks; nil is the end

	Errors int    `json:"errors"` // messages of the decoder about broken data
	Ends   string `json:"ends,omitempty"`

	folder string
}

const (
	stretchSeconds = 30.0 // about: shorter is not worth a process, longer is more to lose by a kill
	stretchOverlap = 12   // pictures
	wholeThreads   = 4    // of the decoder where the source cannot be cut: fixed, as broken data may decode otherwise with others
)

// errApart says that stretches do not fit together: a random-access point was none.
var errApart = errors.New("stretches of the analysis do not fit together")

// stretches cuts a source at closed random-access points.
func (r *randomAccess) stretches(timeBase timebase.Rational) []*stretch {
	list := []*stretch{{}}
	if r.loose || len(r.closed) == 0 {
		return list
	}
	slices.Sort(r.times)
	begin, end := r.times[0], r.times[len(r.times)-1]
	if timeline.TooLong(begin, end, timeBase) {
		return list
	}
	ticks := func(seconds float64) int64 { return int64(seconds / timeBase.Float()) }
	count := int(float64(end-begin) * timeBase.Float() / stretchSeconds)
	last := begin
	for i := 1; i < count; i++ {
		at := nearest(r.closed, begin+int64(float64(end-begin)*float64(i)/float64(count)))
		first, _ := slices.BinarySearch(r.times, at)
		if at <= last || first+stretchOverlap >= len(r.times) {
			continue
		}
		to := r.times[first+stretchOverlap]
		if to-at > ticks(stretchSeconds/2) {
			continue // it would cost more than it gains
		}
		list[len(list)-1].to = &to
		list = append(list, &stretch{from: &at})
		last = to
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

// analyseStretches decodes the source in stretches that fit together. Those that
// do not are decoded again as one, and the whole source where that does not help.
func (j *job) analyseStretches(ctx context.Context, a ffmpeg.Analysis) ([]*stretch, error) {
	list := j.plan.stretches
	for tries := 0; ; tries++ {
		err := j.decodeStretches(ctx, a, list)
		var apart []bool
		if err == nil {
			if apart, err = joints(list); err == nil && !slices.Contains(apart, true) {
				return list, nil
			}
		}
		switch {
		case err != nil && !errors.Is(err, errApart):
			return nil, err
		case len(list) == 1:
			return nil, errApart
		case err != nil || tries == 1:
			list = []*stretch{{}}
		default:
			list = fuse(list, apart)
		}
		j.log.Warn("stretches of the analysis do not fit together and are decoded as one")
	}
}

// Stretch is a stretch as it is handed to an Executor.
type Stretch struct {
	Source string          `json:"source"` // fingerprint of the source
	Class  string          `json:"class"`
	Decode ffmpeg.Analysis `json:"decode"`
	Looks  bool            `json:"looks,omitempty"` // find where people look, too
	Limits proc.Limits     `json:"limits"`
}

// Hash names what is found in the stretch.
func (s Stretch) Hash(tools *ffmpeg.Tools) string {
	return specHash(s.Class, s.Source, append(tools.AnalysisArgs(s.Decode), fmt.Sprint("stretch 2 ", s.Looks)))
}

// decodeStretches decodes the stretches, or takes what an earlier run decoded.
func (j *job) decodeStretches(ctx context.Context, a ffmpeg.Analysis, list []*stretch) error {
	executor := j.executor
	if len(list) == 1 {
		executor = &localExecutor{job: j} // nobody could help
	}
	queue := make([]work, len(list))
	for i, s := range list {
		a := a
		a.From, a.To, a.Threads = s.from, s.to, 1
		if s.from != nil {
			at := *s.from + j.plan.seekShift
			a.Seek = &at
		}
		if len(list) == 1 {
			a.Threads = j.analysisThreads()
		}
		task := Stretch{Source: j.fingerprint, Class: j.tools.Class, Decode: a, Looks: j.options.Saliency.on(), Limits: j.limits()}
		queue[i] = work{0, func(ctx context.Context) error {
			result, err := executor.Analyse(ctx, task, func(pictures int) { j.progress.add(phaseAnalyse, float64(pictures)) })
			if err != nil {
				return err
			}
			j.accountUnit(result)
			s.folder = result.Folder
			return readJSON(filepath.Join(s.folder, analysisName), s)
		}}
	}
	return runAll(ctx, executor.Slots(), queue)
}

// stretch decodes a stretch unless it is there. A child that was killed is started
// again.
func (m *maker) stretch(ctx context.Context, s Stretch, done func(pictures int)) (UnitResult, error) {
	hash := s.Hash(m.tools)
	folder, reused, err := m.work.once(ctx, hash, func(scratch string) error {
		for tries := 0; ; tries++ {
			err := m.decode(ctx, s, scratch, done)
			if tries == killedTries || ctx.Err() != nil || !ffmpeg.Retryable(err) {
				return err
			}
			m.retried("analysis: " + err.Error())
		}
	})
	return m.result(folder, hash, reused), err
}

// decode writes the times, the signatures, what the pictures show and the tiles of
// the storyboard.
func (m *maker) decode(ctx context.Context, s Stretch, scratch string, done func(pictures int)) error {
	out, err := newStretchWriter(scratch, s)
	if err != nil {
		return explainWrite(err, m.work.root)
	}
	defer out.close()
	command := ffmpeg.Command{Input: m.input, Dir: scratch, Limits: s.Limits}
	usage, err := m.tools.Analyse(ctx, command, s.Decode, func(pts int64, picture []byte) error {
		done(1)
		return explainWrite(out.add(pts, picture), m.work.root)
	})
	m.cpu += usage.CPU
	times := out.times
	found := stretch{Errors: usage.Errors}
	if err != nil {
		if code := fault.CodeOf(err); ffmpeg.Retryable(err) || code != fault.Invalid && code != fault.Internal {
			done(-len(times))
			return err
		}
		found.Ends = fault.Message(err) // what is broken somewhere is used as far as it decodes
	}
	switch {
	case len(times) == 0 && (s.Decode.From != nil || s.Decode.To != nil):
		return errApart
	case len(times) == 0:
		return fault.Wrap(errors.Join(timeline.ErrNoFrames, err), fault.Invalid,
			"%s has a video track, but no picture of it could be decoded: it is damaged, or cut off after its head", m.input.Name)
	}
	if err := out.finish(); err != nil {
		return explainWrite(err, m.work.root)
	}
	return explainWrite(writeJSON(filepath.Join(scratch, analysisName), found), m.work.root)
}

// stretchWriter writes what is found in a stretch, picture by picture.
type stretchWriter struct {
	folder   string
	timeBase timebase.Rational
	finder   *analyse.Finder
	files    []*os.File
	luma     *bufio.Writer
	frames   *bufio.Writer
	looks    *bufio.Writer
	times    []int64
	record   []byte
}

func newStretchWriter(folder string, s Stretch) (*stretchWriter, error) {
	width, height := s.Decode.Picture.Shown()
	finder, err := analyse.New(analyse.Config{
		Colours: coloursOf(s.Decode.Picture.Colour), Aspect: float64(width) / float64(max(1, height)),
		Pixels: s.Decode.Picture.Width * s.Decode.Picture.Height, Looks: s.Looks,
	})
	if err != nil {
		return nil, err
	}
	w := &stretchWriter{folder: folder, timeBase: s.Decode.TimeBase, finder: finder}
	for name, to := range map[string]**bufio.Writer{lumaName: &w.luma, framesName: &w.frames, looksName: &w.looks} {
		file, err := os.Create(filepath.Join(folder, name))
		if err != nil {
			w.close()
			return nil, err
		}
		w.files = append(w.files, file)
		*to = bufio.NewWriterSize(file, 64<<10)
	}
	return w, nil
}

// coloursOf says what levels of a picture mean.
func coloursOf(c ffmpeg.Colour) analyse.Colours {
	out := analyse.Colours{Red: 0.2126, Blue: 0.0722, PQ: c.Transfer == "smpte2084"}
	switch c.Matrix {
	case "smpte170m", "bt470bg", "fcc":
		out.Red, out.Blue = 0.299, 0.114
	case "bt2020nc", "bt2020c":
		out.Red, out.Blue = 0.2627, 0.0593
	}
	return out
}

func (w *stretchWriter) add(pts int64, picture []byte) error {
	frame, look, err := w.finder.Add(float64(pts)*w.timeBase.Float(), picture)
	if err != nil {
		return err
	}
	if look != nil {
		timed := analyse.TimedLook{Frame: len(w.times), Look: *look}
		w.record = timed.Append(w.record[:0])
		if _, err := w.looks.Write(w.record); err != nil {
			return err
		}
	}
	w.times = append(w.times, pts)
	w.record = frame.Append(w.record[:0])
	if _, err := w.frames.Write(w.record); err != nil {
		return err
	}
	w.record = analyse.Squeeze(w.record[:0], picture, pixel.Width, pixel.Height)
	_, err = w.luma.Write(w.record)
	return err
}

func (w *stretchWriter) finish() error {
	for _, out := range []*bufio.Writer{w.luma, w.frames, w.looks} {
		if err := out.Flush(); err != nil {
			return err
		}
	}
	return writeNumbers(filepath.Join(w.folder, timesName), w.times)
}

func (w *stretchWriter) close() {
	for _, file := range w.files {
		file.Close()
	}
}

// moment is one picture of a stretch.
type moment struct {
	pts       int64
	signature pixel.Signature
	frame     analyse.Frame
	look      *analyse.TimedLook // nil where none was due
}

// each calls f with every picture of the stretch in the order of the decoder. f
// must not keep what it is given.
func (s *stretch) each(f func(*moment) error) error {
	times, err := readNumbers[int64](filepath.Join(s.folder, timesName))
	if err != nil {
		return err
	}
	luma, err := openRecords(s.folder, lumaName, pixel.Size)
	if err != nil {
		return err
	}
	defer luma.close()
	frames, err := openRecords(s.folder, framesName, scene.FrameBytes)
	if err != nil {
		return err
	}
	defer frames.close()
	looks, err := openRecords(s.folder, looksName, analyse.LookBytes)
	if err != nil {
		return err
	}
	defer looks.close()
	next, err := looks.look()
	if err != nil {
		return err
	}
	for i, pts := range times {
		m := moment{pts: pts}
		if m.signature, err = luma.next(); err != nil {
			return err
		}
		record, err := frames.next()
		if err != nil {
			return err
		}
		if m.frame, err = scene.ReadFrame(record); err != nil {
			return err
		}
		if next != nil && next.Frame == i {
			m.look = next
			if next, err = looks.look(); err != nil {
				return err
			}
		}
		if err := f(&m); err != nil {
			return err
		}
	}
	return nil
}

// records reads a file of records of one size, one after the other.
type records struct {
	file   *os.File
	in     *bufio.Reader
	record []byte
}

func openRecords(folder, name string, size int) (*records, error) {
	file, err := os.Open(filepath.Join(folder, name))
	if err != nil {
		return nil, err
	}
	return &records{file: file, in: bufio.NewReaderSize(file, 64<<10), record: make([]byte, size)}, nil
}

func (r *records) close() { r.file.Close() }

// next is valid until the next call.
func (r *records) next() ([]byte, error) {
	if _, err := io.ReadFull(r.in, r.record); err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Base(r.file.Name()), err)
	}
	return r.record, nil
}

// look is the next record of a look, or nil at the end.
func (r *records) look() (*analyse.TimedLook, error) {
	record, err := r.next()
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	l, err := analyse.ReadLook(record)
	return &l, err
}

// shownIn is what the stretch shows in [from, to): how many pictures, and a hash
// of their times and signatures. It reads no others.
func (s *stretch) shownIn(from, to int64) (count int, sum [sha256.Size]byte, err error) {
	times, err := readNumbers[int64](filepath.Join(s.folder, timesName))
	if err != nil {
		return 0, sum, err
	}
	file, err := os.Open(filepath.Join(s.folder, lumaName))
	if err != nil {
		return 0, sum, err
	}
	defer file.Close()
	hash := sha256.New()
	picture := make(pixel.Signature, pixel.Size)
	for i, pts := range times {
		if pts < from || pts >= to {
			continue
		}
		if _, err := file.ReadAt(picture, int64(i)*pixel.Size); err != nil {
			return 0, sum, fmt.Errorf("read %s: %w", lumaName, err)
		}
		count++
		fmt.Fprintf(hash, "%d:", pts)
		hash.Write(picture)
	}
	return count, [sha256.Size]byte(hash.Sum(nil)), nil
}

// joints tells for each stretch but the first whether it shows something else
// than the one before where both show something.
func joints(list []*stretch) (apart []bool, err error) {
	apart = make([]bool, len(list))
	for i, next := range list[1:] {
		s := list[i]
		count, sum, err := s.shownIn(*next.from, *s.to)
		if err != nil {
			return nil, err
		}
		nextCount, nextSum, err := next.shownIn(*next.from, *s.to)
		if err != nil {
			return nil, err
		}
		apart[i+1] = s.Ends != "" || count < stretchOverlap/2 || count != nextCount || sum != nextSum
	}
	return apart, nil
}

// fuse makes one stretch of those that are apart from each other.
func fuse(list []*stretch, apart []bool) []*stretch {
	var fused []*stretch
	for i, s := range list {
		if apart[i] {
			last := fused[len(fused)-1]
			fused[len(fused)-1] = &stretch{from: last.from, to: s.to}
			continue
		}
		fused = append(fused, s)
	}
	return fused
}

// randomAccess finds in the packets of a stream, in the order of the file, where
// decoding may begin.
type randomAccess struct {
	times  []int64 // presentation times of all pictures
	keys   []int64 // of the key pictures
	closed []int64 // of those that no picture before them follows; rising
	loose  bool    // some packet has no presentation time
}

func (r *randomAccess) add(p ffmpeg.Packet) {
	if !p.HasPTS {
		r.loose = true
		return
	}
	r.times = append(r.times, p.PTS)
	for len(r.closed) > 0 && p.PTS < r.closed[len(r.closed)-1] {
		r.closed = r.closed[:len(r.closed)-1]
	}
	if p.Key {
		r.keys = append(r.keys, p.PTS)
		if len(r.closed) == 0 || p.PTS > r.closed[len(r.closed)-1] {
			r.closed = append(r.closed, p.PTS)
		}
	}
}
