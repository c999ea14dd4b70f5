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
)

// analysis is what was found by decoding the source's pictures once. Signatures
// stay on the disk: two hours of them are 100 MB.
type analysis struct {
	Times  []int64 `json:"-"` // presentation times in the order the decoder gave them, ticks
	Shots  []int   `json:"shots"`
	Poster int     `json:"poster"` // the source frame that makes the best poster
	// Damaged are the stretches, [from, to) in source frames, in which the
	// decoder met broken data.
	Damaged [][2]int `json:"damaged"`
	Ends    string   `json:"ends,omitempty"` // why the picture ends early
	Sheets  int      `json:"sheets"`         // sprite sheets of the storyboard

	hash   string // names it
	folder string
}

const (
	timesName    = "times.bin"
	lumaName     = "luma.bin"
	tilesName    = "tiles.yuv"
	analysisName = "analysis.json"
	sheetPattern = "sprite-%05d.jpg"
)

// damagedIn reports whether the decoder met broken data in the stretch that holds
// any of the source frames [from, to).
func (a *analysis) damagedIn(from, to int) bool {
	return slices.ContainsFunc(a.Damaged, func(span [2]int) bool { return from < span[1] && span[0] < to })
}

// analyse decodes the source once, or takes what an earlier run found.
func (j *job) analyse(ctx context.Context, a ffmpeg.Analysis) (*analysis, error) {
	hash := specHash(j.tools.Class, j.fingerprint, append(j.tools.AnalysisArgs(a), fmt.Sprint("analysis 2", j.plan.board)))
	folder, _, err := j.work.once(ctx, hash, func(scratch string) error {
		list, err := j.analyseStretches(ctx, a)
		if err != nil {
			return err
		}
		return explainWrite(j.join(ctx, scratch, a.Tiles, list), j.work.root)
	})
	if err != nil {
		return nil, err
	}
	found := &analysis{hash: hash, folder: folder}
	if err := readJSON(filepath.Join(folder, analysisName), found); err != nil {
		return nil, err
	}
	found.Times, err = readTimes(filepath.Join(folder, timesName))
	return found, err
}

// join puts the stretches end to end: one list of times, one file of signatures,
// the shots, the poster and the sheets of the storyboard.
func (j *job) join(ctx context.Context, scratch string, tiles *ffmpeg.Tiles, list []*stretch) error {
	luma, err := os.Create(filepath.Join(scratch, lumaName))
	if err != nil {
		return err
	}
	defer luma.Close()
	out := bufio.NewWriterSize(luma, 64<<10)
	found := analysis{Ends: list[len(list)-1].Ends}
	var shots pixel.ShotFinder
	poster := posterFinder{keys: j.plan.keys, timeBase: j.plan.timeBase}
	sheets := newSheetMaker(scratch, j.plan.board, tiles, j.plan.timeBase)
	last := int64(math.MinInt64)
	frame := 0
	for i, s := range list {
		first := frame
		end := int64(math.MaxInt64) // of what is the stretch's own
		if i+1 < len(list) {
			end = *list[i+1].from
		}
		err := s.each(func(pts int64, picture pixel.Signature) error {
			if pts >= end {
				return nil
			}
			found.Times = append(found.Times, pts)
			if pts <= last {
				return nil // not shown: newTimeline leaves it out too
			}
			last = pts
			frame++
			shots.Add(picture)
			poster.add(pts, picture)
			_, err := out.Write(picture)
			return err
		})
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
			found.Damaged = append(found.Damaged, [2]int{first, frame})
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if found.Sheets, err = sheets.finish(); err != nil {
		return err
	}
	found.Shots, found.Poster = shots.Finish(), poster.best()
	if err := writeTimes(filepath.Join(scratch, timesName), found.Times); err != nil {
		return err
	}
	return writeJSON(filepath.Join(scratch, analysisName), found)
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

func writeTimes(path string, times []int64) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	out := bufio.NewWriterSize(file, 64<<10)
	if err := binary.Write(out, binary.LittleEndian, times); err != nil {
		return err
	}
	return out.Flush()
}

func readTimes(path string) ([]int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	times := make([]int64, info.Size()/8)
	if err := binary.Read(io.Reader(bufio.NewReader(file)), binary.LittleEndian, times); err != nil {
		return nil, fmt.Errorf("read %s: %w", timesName, err)
	}
	return times, nil
}
