package transcode

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"

	"liuyun/internal/av/pixel"
	"liuyun/internal/base/timebase"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/video/transcode/analyse"
)

// analysis is what was found by decoding the source's pictures once. Signatures
// stay on the disk: two hours of them are 100 MB.
type analysis struct {
	Times   []int64   `json:"-"` // presentation times in the order the decoder gave them, ticks
	Changes []float32 `json:"-"` // how much each source frame changes: analyse.Frame.Residual
	Shots   []int     `json:"shots"`
	Poster  int       `json:"poster"` // the source frame that makes the best poster
	// Damaged are the stretches, [from, to) in source frames, in which the
	// decoder met broken data.
	Damaged [][2]int `json:"damaged"`
	Ends    string   `json:"ends,omitempty"` // why the picture ends early
	Sheets  int      `json:"sheets"`         // sprite sheets of the storyboard

	Described []analyse.Shot `json:"described"`
	Looks     []int          `json:"looks,omitempty"` // source frames of which there is a look, rising

	hash   string // names it
	folder string
}

const (
	timesName    = "times.bin"
	lumaName     = "luma.bin"
	framesName   = "frames.bin" // what each picture shows: analyse.Frame
	looksName    = "looks.bin"  // where people look: analyse.TimedLook
	changesName  = "changes.bin"
	tilesName    = "tiles.yuv"
	analysisName = "analysis.json"
	sheetPattern = "sprite-%05d.jpg"
)

// damagedIn reports whether the decoder met broken data in the stretch that holds
// any of the source frames [from, to).
func (a *analysis) damagedIn(from, to int) bool {
	return slices.ContainsFunc(a.Damaged, func(span [2]int) bool { return from < span[1] && span[0] < to })
}

// fromScreen reports whether a source frame is of a shot from a screen.
func (a *analysis) fromScreen(frame int) bool {
	return slices.ContainsFunc(a.Described, func(s analyse.Shot) bool { return s.Screen && s.From <= frame && frame < s.To })
}

// texture is the mean of what the shots with source frames of [from, to) have.
func (a *analysis) texture(from, to int) float64 {
	sum, count := 0.0, 0.0
	for _, s := range a.Described {
		if n := float64(min(to, s.To) - max(from, s.From)); n > 0 {
			sum, count = sum+n*s.Texture, count+n
		}
	}
	return sum / max(1, count)
}

// analyse decodes the source once, or takes what an earlier run found.
func (j *job) analyse(ctx context.Context, a ffmpeg.Analysis) (*analysis, error) {
	hash := specHash(j.tools.Class, j.fingerprint, append(j.tools.AnalysisArgs(a), fmt.Sprint("analysis 4", j.plan.board, j.options.Saliency.on())))
	folder, _, err := j.work.once(ctx, hash, func(scratch string) error {
		list, err := j.analyseStretches(ctx, a)
		if err != nil {
			return err
		}
		return explainWrite(j.join(ctx, scratch, a, list), j.work.root)
	})
	if err != nil {
		return nil, err
	}
	found := &analysis{hash: hash, folder: folder}
	if err := readJSON(filepath.Join(folder, analysisName), found); err != nil {
		return nil, err
	}
	if found.Times, err = readNumbers[int64](filepath.Join(folder, timesName)); err != nil {
		return nil, err
	}
	found.Changes, err = readNumbers[float32](filepath.Join(folder, changesName))
	return found, err
}

// join puts the stretches end to end: one list of times, files of signatures and
// looks, the shots, the poster and the sheets of the storyboard.
func (j *job) join(ctx context.Context, scratch string, a ffmpeg.Analysis, list []*stretch) error {
	joined, err := newJoiner(scratch)
	if err != nil {
		return err
	}
	defer joined.close()
	joined.poster = posterFinder{keys: j.plan.keys, timeBase: j.plan.timeBase}
	found := &joined.found
	found.Ends = list[len(list)-1].Ends
	sheets := newSheetMaker(scratch, j.plan.board, a.Tiles, j.plan.timeBase)
	for i, s := range list {
		first := len(joined.frames)
		end := int64(math.MaxInt64) // of what is the stretch's own
		if i+1 < len(list) {
			end = *list[i+1].from
		}
		err := s.each(func(m *moment) error { return joined.add(m, end) })
		if err == nil {
			err = sheets.add(s, end)
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if s.Errors > 0 {
			found.Damaged = append(found.Damaged, [2]int{first, len(joined.frames)})
		}
	}
	if found.Sheets, err = sheets.finish(); err != nil {
		return err
	}
	film := analyse.Film{
		FrameRate: j.inventory.video.AverageRate.Float(),
		Samples:   float64(a.Picture.Width*a.Picture.Height) / float64(a.Thinned()*a.Width*a.Height),
	}
	return joined.finish(film)
}

// joiner takes the pictures of all stretches in order.
type joiner struct {
	found  analysis
	folder string
	luma   *bufio.Writer
	looks  *bufio.Writer
	files  [2]*os.File
	shots  pixel.ShotFinder
	poster posterFinder
	frames []analyse.Frame
	seen   []analyse.Seen
	last   int64          // the time of the last picture that is shown
	beyond *analyse.Frame // the first picture after the stretch's own
	record []byte
}

func newJoiner(folder string) (*joiner, error) {
	j := &joiner{folder: folder, last: math.MinInt64}
	var err error
	if j.files[0], err = os.Create(filepath.Join(folder, lumaName)); err != nil {
		return nil, err
	}
	if j.files[1], err = os.Create(filepath.Join(folder, looksName)); err != nil {
		j.close()
		return nil, err
	}
	j.luma, j.looks = bufio.NewWriterSize(j.files[0], 64<<10), bufio.NewWriterSize(j.files[1], 64<<10)
	return j, nil
}

func (j *joiner) close() {
	for _, file := range j.files {
		if file != nil {
			file.Close()
		}
	}
}

// add takes a picture that is before end. The first one of a stretch has nothing
// before it to be compared with: what the stretch before says of it is used.
func (j *joiner) add(m *moment, end int64) error {
	if m.pts >= end {
		if j.beyond == nil {
			frame := m.frame
			j.beyond = &frame
		}
		return nil
	}
	if j.beyond != nil {
		m.frame, j.beyond = *j.beyond, nil
	}
	j.found.Times = append(j.found.Times, m.pts)
	if m.pts <= j.last {
		return nil // not shown: newTimeline leaves it out too
	}
	j.last = m.pts
	if m.look != nil {
		m.look.Frame = len(j.frames)
		j.found.Looks = append(j.found.Looks, m.look.Frame)
		j.seen = append(j.seen, m.look.Seen())
		j.record = m.look.Append(j.record[:0])
		if _, err := j.looks.Write(j.record); err != nil {
			return err
		}
	}
	j.frames = append(j.frames, m.frame)
	j.shots.Add(m.signature)
	j.poster.add(m.pts, m.signature)
	_, err := j.luma.Write(m.signature)
	return err
}

func (j *joiner) finish(film analyse.Film) error {
	if err := j.luma.Flush(); err != nil {
		return err
	}
	if err := j.looks.Flush(); err != nil {
		return err
	}
	j.found.Shots, j.found.Poster = j.shots.Finish(), j.poster.best()
	j.found.Described = film.Shots(j.frames, j.found.Shots, j.seen)
	if err := writeNumbers(filepath.Join(j.folder, timesName), j.found.Times); err != nil {
		return err
	}
	changes := make([]float32, len(j.frames))
	for i, f := range j.frames {
		changes[i] = f.Residual
	}
	if err := writeNumbers(filepath.Join(j.folder, changesName), changes); err != nil {
		return err
	}
	return writeJSON(filepath.Join(j.folder, analysisName), &j.found)
}

// looksOf reads the looks of the source frames [from, to).
func (a *analysis) looksOf(from, to int) ([]analyse.TimedLook, error) {
	first, _ := slices.BinarySearch(a.Looks, from)
	end, _ := slices.BinarySearch(a.Looks, to)
	if first == end {
		return nil, nil
	}
	file, err := os.Open(filepath.Join(a.folder, looksName))
	if err != nil {
		return nil, fmt.Errorf("open the analysis: %w", err)
	}
	defer file.Close()
	list := make([]analyse.TimedLook, 0, end-first)
	record := make([]byte, analyse.LookBytes)
	for i := first; i < end; i++ {
		if _, err := file.ReadAt(record, int64(i)*analyse.LookBytes); err != nil {
			return nil, fmt.Errorf("read the analysis: %w", err)
		}
		l, err := analyse.ReadLook(record)
		if err != nil {
			return nil, err
		}
		list = append(list, l)
	}
	return list, nil
}

// openSignatures opens the small pictures of the source, in order of frames.
func (a *analysis) openSignatures() (*os.File, error) {
	file, err := os.Open(filepath.Join(a.folder, lumaName))
	if err != nil {
		return nil, fmt.Errorf("open the analysis: %w", err)
	}
	return file, nil
}

// readSignatures returns the signatures of frames [from, to).
func readSignatures(file io.ReaderAt, from, to int) ([]pixel.Signature, error) {
	if from < 0 || to < from || to-from > mostSignatures {
		return nil, fmt.Errorf("read the analysis: frames %d to %d are no unit's", from, to)
	}
	data := make([]byte, (to-from)*pixel.Size)
	if n, err := file.ReadAt(data, int64(from)*pixel.Size); n < len(data) {
		return nil, fmt.Errorf("read the analysis: %w", err)
	}
	list := make([]pixel.Signature, to-from)
	for i := range list {
		list[i] = data[i*pixel.Size : (i+1)*pixel.Size]
	}
	return list, nil
}

// mostSignatures bounds what is read at once.
const mostSignatures = 1 << 17

// posterFinder looks for a picture that says something: bright enough, with
// contrast, not in the first second's fade, early rather than late, and not far
// from a random-access point, as all in between is decoded for it.
type posterFinder struct {
	keys     []int64 // rising, ticks
	timeBase timebase.Rational
	count    int
	at       int
	score    float64
}

func (p *posterFinder) add(pts int64, s pixel.Signature) {
	mean, contrast := s.Mean(), s.Contrast()
	score := contrast
	if mean < 40 || mean > 215 {
		score /= 4
	}
	// A later picture has to be better by a tenth for each doubling of its age.
	for age := p.count / 250; age > 0; age /= 2 {
		score *= 0.9
	}
	for len(p.keys) > 1 && p.keys[1] <= pts {
		p.keys = p.keys[1:]
	}
	if len(p.keys) > 0 && p.keys[0] <= pts {
		score /= 1 + float64(pts-p.keys[0])*p.timeBase.Float()/posterReach
	}
	if p.count == 0 || score > p.score {
		p.at, p.score = p.count, score
	}
	p.count++
}

// posterReach is how many seconds after a random-access point a picture is worth
// half of one there.
const posterReach = 5.0

func (p *posterFinder) best() int { return p.at }

// writeNumbers writes a list that readNumbers reads.
func writeNumbers[T int64 | float32](path string, list []T) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	out := bufio.NewWriterSize(file, 64<<10)
	if err := binary.Write(out, binary.LittleEndian, list); err != nil {
		return err
	}
	return out.Flush()
}

func readNumbers[T int64 | float32](path string) ([]T, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	list := make([]T, info.Size()/int64(binary.Size(T(0))))
	if err := binary.Read(io.Reader(bufio.NewReader(file)), binary.LittleEndian, list); err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	return list, nil
}
