package transcode

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"liuyun/internal/av/pixel"
	"liuyun/internal/base/fault"
	"liuyun/internal/engine/ffmpeg"
)

// analysis is what one pass over the source's pictures found. Signatures stay
// on the disk: two hours of them are 100 MB.
type analysis struct {
	Times  []int64 `json:"-"` // presentation times in the order the decoder gave them, ticks
	Shots  []int   `json:"shots"`
	Poster int     `json:"poster"` // the source frame that makes the best poster
	Errors int     `json:"errors"` // messages of the decoder about broken data
	Notes  []string
	Sheets int `json:"sheets"` // sprite sheets of the storyboard

	folder string
	exact  bool
}

const (
	timesName    = "times.bin"
	lumaName     = "luma.bin"
	analysisName = "analysis.json"
	sheetPattern = "sprite-%05d.jpg"
)

// analyse decodes the source once, or takes what an earlier run found.
func (j *job) analyse(ctx context.Context, a ffmpeg.Analysis) (*analysis, error) {
	spec := a
	spec.Threads = 0 // they change nothing but the time it takes
	hash := specHash(j.tools.Class, j.fingerprint, append(j.tools.AnalysisArgs(spec), "analysis 1"))
	found := &analysis{exact: a.Exact}
	folder, reused, err := j.work.once(hash, func(scratch string) error {
		return j.runAnalysis(ctx, a, scratch, found)
	})
	if err != nil {
		return nil, err
	}
	found.folder = folder
	if !reused {
		return found, nil
	}
	if err := readJSON(filepath.Join(folder, analysisName), found); err != nil {
		return nil, err
	}
	found.Times, err = readTimes(filepath.Join(folder, timesName))
	return found, err
}

func (j *job) runAnalysis(ctx context.Context, a ffmpeg.Analysis, scratch string, found *analysis) error {
	luma, err := os.Create(filepath.Join(scratch, lumaName))
	if err != nil {
		return explainWrite(err, j.work.root)
	}
	defer luma.Close()
	out := bufio.NewWriterSize(luma, 64<<10)
	var shots pixel.ShotFinder
	poster := posterFinder{}
	last := int64(-1) << 62
	usage, err := j.tools.Analyse(ctx, j.command(scratch, j.input), a, func(pts int64, picture []byte) error {
		found.Times = append(found.Times, pts)
		if pts <= last {
			return nil // not shown: newTimeline leaves it out too
		}
		last = pts
		shots.Add(picture)
		poster.add(picture)
		j.progress.add(phaseAnalyse, 1)
		_, err := out.Write(picture)
		return explainWrite(err, j.work.root)
	})
	j.account(usage)
	if err := j.judgeAnalysis(err, found); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return explainWrite(err, j.work.root)
	}
	found.Shots, found.Poster = shots.Finish(), poster.best()
	found.Errors, found.Notes = usage.Errors, usage.Messages
	sheets, err := filepath.Glob(filepath.Join(scratch, "sprite-*.jpg"))
	if err != nil {
		return err
	}
	found.Sheets = len(sheets)
	if err := writeTimes(filepath.Join(scratch, timesName), found.Times); err != nil {
		return explainWrite(err, j.work.root)
	}
	return explainWrite(writeJSON(filepath.Join(scratch, analysisName), found), j.work.root)
}

// judgeAnalysis decides what an error of the decoder means. A file that is
// broken somewhere is used as far as it decodes.
func (j *job) judgeAnalysis(err error, found *analysis) error {
	if err != nil && fault.CodeOf(err) != fault.Invalid && fault.CodeOf(err) != fault.Internal {
		return err
	}
	if len(found.Times) == 0 {
		return fault.Wrap(errors.Join(errNoFrames, err), fault.Invalid,
			"%s has a video track, but no picture of it could be decoded: it is damaged, or cut off after its head", j.source.Name())
	}
	if err != nil {
		j.warn("damaged", "the picture ends early: %s", fault.Message(err))
	}
	return nil
}

// signatures hands out the small pictures of the source by frame number.
type signatures struct {
	file *os.File
}

func (a *analysis) signatures() (*signatures, error) {
	file, err := os.Open(filepath.Join(a.folder, lumaName))
	if err != nil {
		return nil, fmt.Errorf("open the analysis: %w", err)
	}
	return &signatures{file: file}, nil
}

// read returns the signatures of frames [from, to).
func (s *signatures) read(from, to int) ([]pixel.Signature, error) {
	data := make([]byte, (to-from)*pixel.Size)
	if _, err := s.file.ReadAt(data, int64(from)*pixel.Size); err != nil {
		return nil, fmt.Errorf("read the analysis: %w", err)
	}
	list := make([]pixel.Signature, to-from)
	for i := range list {
		list[i] = data[i*pixel.Size : (i+1)*pixel.Size]
	}
	return list, nil
}

func (s *signatures) Close() error { return s.file.Close() }

// posterFinder looks for a picture that says something: bright enough, with
// contrast, not in the first second's fade, early rather than late.
type posterFinder struct {
	count int
	at    int
	score float64
}

func (p *posterFinder) add(s pixel.Signature) {
	mean, contrast := s.Mean(), s.Contrast()
	score := contrast
	if mean < 40 || mean > 215 {
		score /= 4
	}
	// A later picture has to be better by a tenth for each doubling of its age.
	for age := p.count / 250; age > 0; age /= 2 {
		score *= 0.9
	}
	if p.count == 0 || score > p.score {
		p.at, p.score = p.count, score
	}
	p.count++
}

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
