package transcode

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"liuyun/internal/av/av1"
	"liuyun/internal/av/h264"
	"liuyun/internal/av/h265"
	"liuyun/internal/av/mp4"
	"liuyun/internal/av/pixel"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/kit/proc"
)

// Unit is one encode unit as it is handed to an Executor: what to encode and
// what has to come out. With the source, the signatures and an empty folder it
// says everything that is needed to make it, on any machine of its class.
type Unit struct {
	Source string      `json:"source"` // fingerprint of the source
	Class  string      `json:"class"`  // byte-identity class that has to encode it
	Encode ffmpeg.Unit `json:"encode"`
	// Starts are where decoding may begin, the cheapest first, as Encode.Seek.
	Starts []*int64 `json:"starts"`
	// Shows are the source frames of the timeline that the unit's output frames
	// show, one an output frame.
	Shows []int32 `json:"shows"`
	// Check says which outputs are decoded and compared; the pictures of the
	// others are counted in the bitstream.
	Check []string `json:"check"`
	// Compare is what they are compared with.
	Compare SignatureRange `json:"compare"`
	// Damaged says that the decoder met broken data near what the unit shows.
	Damaged bool `json:"damaged,omitempty"`
	// Measure says how the quality of the first output is found out; nil: not.
	Measure *Measure    `json:"measure,omitempty"`
	Limits  proc.Limits `json:"limits"` // of each child
}

// SignatureRange names signatures of source frames: [From, To) of those that the
// analysis of this name found.
type SignatureRange struct {
	Analysis string `json:"analysis"`
	From     int    `json:"from"`
	To       int    `json:"to"`
}

// Hash names the unit's output: everything that its bytes depend on.
func (u Unit) Hash(tools *ffmpeg.Tools) string {
	spec := tools.UnitArgs(u.Encode)
	if u.Measure != nil {
		spec = append(spec, fmt.Sprint("measure 1 ", u.Measure.At), string(u.Measure.Model))
	}
	return specHash(u.Class, u.Source, spec)
}

// Executor runs what decodes and encodes the picture somewhere. Encode returns
// when the unit's output files are committed in Folder, checked against its plan;
// Analyse when what is known of the stretch is. done is told how far they are. They
// may run at the same time, Slots of them usefully.
type Executor interface {
	Encode(ctx context.Context, unit Unit, done func(frames int)) (UnitResult, error)
	Analyse(ctx context.Context, s Stretch, done func(pictures int)) (UnitResult, error)
	Slots() int
}

// UnitResult is where the outputs of a unit, or of a stretch, are.
type UnitResult struct {
	Folder   string
	Hash     string        // of the unit as it was made in the end
	CPU      time.Duration // of the processes that made, checked and measured it
	Measured time.Duration // of that, to measure its quality
	Reused   bool          // it had been made before
	Retries  int
	Warnings []Warning
}

// mismatch says that an encoder's output is not what the plan says. Encoding
// again from an earlier point of the source may mend it.
type mismatch struct {
	output string
	err    error
}

func (m *mismatch) Error() string { return fmt.Sprintf("%s: %v", m.output, m.err) }
func (m *mismatch) Unwrap() error { return m.err }

// checkUnit verifies all outputs of a unit in folder: that each is whole, has
// exactly the planned pictures at the planned times and random-access points
// where they were asked for, and, for those in unit.Check, that each decoded
// picture is the source frame that the plan names.
func (m *maker) checkUnit(ctx context.Context, unit Unit, folder string) error {
	for _, out := range unit.Encode.Outputs {
		path := filepath.Join(folder, out.File)
		if err := checkStructure(path, unit.Encode, out); err != nil {
			return &mismatch{out.File, err}
		}
	}
	for _, name := range unit.Check {
		for _, out := range unit.Encode.Outputs {
			if out.File != name {
				continue
			}
			if err := m.checkPictures(ctx, unit, out, filepath.Join(folder, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkStructure reads the sample table and the head of every coded picture.
func checkStructure(path string, u ffmpeg.Unit, out ffmpeg.Output) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	track, err := mp4.ReadTrack(file, info.Size())
	if err != nil {
		return err
	}
	want := framesAt(u.Count, out.Step)
	if len(track.Samples) != want {
		return fmt.Errorf("%d pictures encoded, the plan has %d", len(track.Samples), want)
	}
	asked := make(map[int]bool, len(out.KeyFrames))
	for _, frame := range out.KeyFrames {
		asked[frame/out.Step] = true
	}
	order, err := presentationOrder(track)
	if err != nil {
		return err
	}
	found := 0
	var data []byte
	for i, sample := range track.Samples {
		if cap(data) < int(sample.Size) {
			data = make([]byte, sample.Size)
		}
		data = data[:sample.Size]
		if _, err := file.ReadAt(data, sample.Offset); err != nil {
			return fmt.Errorf("read picture %d: %w", i, err)
		}
		seen, err := inspect(track.Codec, data)
		if err != nil {
			return fmt.Errorf("picture %d: %w", i, err)
		}
		if seen.pictures != 1 {
			return fmt.Errorf("sample %d holds %d pictures", i, seen.pictures)
		}
		if asked[order[i]] {
			if !seen.randomAccess || order[i] != i {
				return fmt.Errorf("no key frame at frame %d, where one was asked for", order[i]*out.Step)
			}
			found++
		}
	}
	if found != len(asked) {
		return fmt.Errorf("%d of %d key frames that were asked for are there", found, len(asked))
	}
	return nil
}

// framesAt is how many of count frames remain when every step-th is kept.
func framesAt(count, step int) int { return (count + step - 1) / step }

// presentationOrder returns for each sample, in decoding order, which picture
// it is in presentation order. Pictures have to be exactly one frame apart.
func presentationOrder(track *mp4.Track) ([]int, error) {
	order := make([]int, len(track.Samples))
	if len(order) == 0 {
		return order, nil
	}
	duration := int64(track.Samples[0].Duration)
	if duration == 0 {
		return nil, errors.New("pictures without a duration")
	}
	seen := make([]bool, len(order))
	var decode int64
	for i, sample := range track.Samples {
		at := decode + int64(sample.CompositionOffset) - track.MediaStart
		n := at / duration
		if at%duration != 0 || n < 0 || n >= int64(len(order)) || seen[n] {
			return nil, fmt.Errorf("picture %d is shown at %d/%d s, which is no frame's time", i, at, track.Timescale)
		}
		order[i], seen[n] = int(n), true
		decode += int64(sample.Duration)
	}
	return order, nil
}

// inspected is what the codec packages say of a sample.
type inspected struct {
	pictures     int
	randomAccess bool
}

func inspect(codec mp4.Codec, sample []byte) (inspected, error) {
	switch codec {
	case mp4.H264:
		found, err := h264.InspectSample(sample, nalLength)
		return inspected{found.Pictures, found.RandomAccess}, err
	case mp4.HEVC:
		found, err := h265.InspectSample(sample, nalLength)
		return inspected{found.Pictures, found.RandomAccess}, err
	case mp4.AV1:
		found, err := av1.InspectSample(sample)
		return inspected{found.Pictures, found.RandomAccess}, err
	}
	return inspected{}, fmt.Errorf("a picture in %s was not asked for", codec)
}

// nalLength is the size of NAL unit lengths that ffmpeg's MP4 muxer writes.
const nalLength = 4

// checkPictures decodes an output and compares every picture.
func (m *maker) checkPictures(ctx context.Context, unit Unit, out ffmpeg.Output, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	check, err := m.pictureCheck(ctx, unit, out)
	if err != nil {
		return err
	}
	scratch, err := m.work.newScratch()
	if err != nil {
		return explainWrite(err, m.work.root)
	}
	defer os.RemoveAll(scratch)
	command := ffmpeg.Command{Input: ffmpeg.Input{File: file}, Dir: scratch, Limits: unit.Limits}
	usage, err := m.tools.DecodeSmall(ctx, command, pixel.Width, pixel.Height, check.add)
	m.cpu += usage.CPU
	if err == nil {
		err = check.verdict()
	}
	if err != nil && ctx.Err() == nil && !ffmpeg.Retryable(err) {
		return &mismatch{out.File, err}
	}
	return err
}

// pictureCheck is the comparison of an output that is still to be decoded.
func (m *maker) pictureCheck(ctx context.Context, unit Unit, out ffmpeg.Output) (*pictureCheck, error) {
	source, err := m.signatures(ctx, unit.Compare)
	if err != nil {
		return nil, err
	}
	check := &pictureCheck{source: source}
	for n := 0; n < len(unit.Shows); n += out.Step {
		check.shows = append(check.shows, int(unit.Shows[n])-unit.Compare.From)
	}
	return check, nil
}

// around is the range of source frames that a unit shows, with neighbours.
func around(shows []int32, frames []int64) (from, to int) {
	return max(0, int(shows[0])-reach), min(len(frames), int(shows[len(shows)-1])+1+reach)
}

// outputName is the file of one rendition in its unit.
func outputName(rendition string) string { return rendition + ".mp4" }

// drawFrom is a number that looks random and follows from the content, so that a
// second run draws the same.
func drawFrom(hash string) uint64 {
	value, err := strconv.ParseUint(hash[:8], 16, 64)
	if err != nil {
		return 0
	}
	return value
}
