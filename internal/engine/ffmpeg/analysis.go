package ffmpeg

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"liuyun/internal/base/timebase"
)

// Analysis is the pass that decodes a stretch of a video stream, or all of it,
// and hands out a small picture of every frame, and tiles for a storyboard on the
// way.
type Analysis struct {
	Stream   int
	TimeBase timebase.Rational
	Picture  Picture

	// Seek is the time of the random-access point to start decoding from, From
	// and To bound the frames by their presentation time: From ≤ pts < To. All
	// are in ticks of TimeBase; nil is the beginning, or the end, of the file.
	Seek, From, To *int64

	// Width and Height are the size of the small pictures, whatever the shape
	// of the source. They are luma alone, or YCbCr 4:2:0 (then both are even), one
	// plane after the other, in limited range.
	Width, Height int
	InColour      bool
	// Exact decodes as a player would and averages every pixel. Otherwise the
	// loop filter is left out and one line in two or four is averaged, which moves
	// the small pictures by a level or two.
	Exact   bool
	Threads int
	Tiles   *Tiles
}

// Tiles are small pictures in YCbCr 4:2:0 of JPEG's colours (BT.601, full range),
// one for each Interval from time Origin (ticks) on: the first frame in it. They
// are written one after the other to File in the scratch folder.
type Tiles struct {
	Interval      timebase.Rational // seconds
	Origin        int64
	Most          int64 // intervals: later frames are left out
	Width, Height int   // even
	File          string
}

// Bytes is the size of one tile.
func (t *Tiles) Bytes() int { return t.Width * t.Height * 3 / 2 }

// Slot is the interval that a frame at pts falls into; before Origin it is below 0.
func (t *Tiles) Slot(pts int64, timeBase timebase.Rational) int64 {
	return int64(math.Floor(float64(pts-t.Origin) * t.slots(timeBase)))
}

// slots is how many intervals a tick is.
func (t *Tiles) slots(timeBase timebase.Rational) float64 {
	return timeBase.Float() / t.Interval.Float()
}

// Bytes is the size of one small picture.
func (a Analysis) Bytes() int {
	if a.InColour {
		return a.Width * a.Height * 3 / 2
	}
	return a.Width * a.Height
}

// Analyse runs the pass. each is called for every frame in the order of
// presentation with its time in ticks of TimeBase; it must not keep picture.
func (t *Tools) Analyse(ctx context.Context, run Command, a Analysis, each func(pts int64, picture []byte) error) (Usage, error) {
	run.Args = t.AnalysisArgs(a)
	lumaReader, lumaWriter := io.Pipe()
	timeReader, timeWriter := io.Pipe()
	run.Pipes = []io.Writer{lumaWriter, timeWriter}
	var pair errgroup.Group
	pair.Go(func() error {
		err := pairPictures(lumaReader, timeReader, a.Bytes(), each)
		lumaReader.CloseWithError(err)
		timeReader.CloseWithError(err)
		return err
	})
	usage, err := t.Run(ctx, run)
	lumaWriter.Close() // where nothing was started
	timeWriter.Close()
	if pairErr := pair.Wait(); err == nil {
		err = pairErr
	}
	return usage, err
}

// AnalysisArgs are the arguments of the pass.
func (t *Tools) AnalysisArgs(a Analysis) []string {
	decoder := readOptions{stream: a.Stream, timeBase: a.TimeBase, seek: a.Seek, threads: a.Threads, skipLoopFilter: !a.Exact}
	source := "0:" + strconv.Itoa(a.Stream)
	small := append(a.thin(), a.Picture.scale(a.Width, a.Height, "area")...)
	format := "gray"
	if a.InColour {
		format = "yuv420p"
	}
	small = append(small, "format="+format, "split=2")
	graph := chain(source, append(a.within(), small...), "luma", "time")
	if t := a.Tiles; t != nil {
		graph = chain(source, append(a.within(), "split=2"), "whole", "some") + ";" +
			chain("whole", small, "luma", "time") + ";" +
			chain("some", t.filters(a.Picture, a.TimeBase), "tiles")
	}
	args := append(t.inputArgs(decoder), "-filter_complex_threads", "1", "-filter_complex", graph)
	for i, out := range []struct{ label, muxer string }{{"luma", "rawvideo"}, {"time", "framecrc"}} {
		args = append(args, "-map", "["+out.label+"]")
		args = append(args, t.passthrough()...)
		args = append(args, "-c:v", "rawvideo", "-enc_time_base", a.TimeBase.String(), "-f", out.muxer, PipeURL(i))
	}
	if a.Tiles != nil {
		args = append(args, "-map", "[tiles]")
		args = append(args, t.passthrough()...)
		args = append(args, "-c:v", "rawvideo", "-f", "rawvideo", a.Tiles.File)
	}
	return args
}

// within keeps the frames of the stretch.
func (a Analysis) within() []string {
	var bounds []string
	if a.From != nil {
		bounds = append(bounds, fmt.Sprintf("start_pts=%d", *a.From))
	}
	if a.To != nil {
		bounds = append(bounds, fmt.Sprintf("end_pts=%d", *a.To))
	}
	if bounds == nil {
		return nil
	}
	return []string{"trim=" + strings.Join(bounds, ":")}
}

// Thinned is how many lines of the picture there are to one that is averaged. The
// more of them there are for each sample, the more may be left out.
func (a Analysis) Thinned() int {
	switch {
	case a.Exact || a.Picture.Height < 4*a.Height:
		return 1
	case a.Picture.Height < 8*a.Height:
		return 2
	}
	return 4
}

// thin leaves lines out. The filter only steps over them, where a scaler would read
// them. It takes every picture for as large as the first, so those of another size
// are scaled before.
func (a Analysis) thin() []string {
	filters := []string{fmt.Sprintf("scale=w=%d:h=%d", a.Picture.Width, a.Picture.Height)}
	switch a.Thinned() {
	case 1:
		return nil
	case 2:
		return append(filters, "field")
	}
	return append(filters, "field", "field")
}

// filters pick the frames as Slot counts them.
func (t *Tiles) filters(p Picture, timeBase timebase.Rational) []string {
	slot := func(pts string) string {
		return fmt.Sprintf(`floor((%s-(%d))*%s)`, pts, t.Origin, strconv.FormatFloat(t.slots(timeBase), 'g', -1, 64))
	}
	filters := []string{fmt.Sprintf(`select=expr=(isnan(prev_selected_pts)+gt(%s\,%s))*lt(%s\,%d)`,
		slot("pts"), slot("prev_selected_pts"), slot("pts"), t.Most)}
	filters = append(filters, p.scale(t.Width, t.Height, "bilinear")...)
	matrix := p.Colour.Matrix
	if p.Colour.HDR() {
		filters = append(filters, toneMap(p.outRange())...)
		matrix = BT709.Matrix
	}
	return append(append(filters, "setsar=1", "format=yuv420p"), jpegColours(matrix)...)
}

// pairPictures reads frames of size bytes from luma and their times from the
// framecrc lines that come beside them. One may end before the other where ffmpeg was
// killed: what is left of that is read too, or the run would not come to its own end, which
// says why.
func pairPictures(luma, times io.Reader, size int, picture func(pts int64, luma []byte) error) error {
	lines := bufio.NewScanner(times)
	lines.Buffer(make([]byte, 0, 4096), 4096)
	pictures := bufio.NewReaderSize(luma, 16*size)
	frame := make([]byte, size)
	for lines.Scan() {
		line := lines.Bytes()
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		pts, err := framecrcTime(line)
		if err != nil {
			return err
		}
		if _, err := io.ReadFull(pictures, frame); err != nil {
			_, _ = io.Copy(io.Discard, times) // the first error counts
			return fmt.Errorf("read picture at %d: %w", pts, err)
		}
		if err := picture(pts, frame); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, pictures)
	return err
}

// framecrcTime reads the presentation time out of a line of ffmpeg's framecrc
// muxer: "stream, dts, pts, duration, size, checksum".
func framecrcTime(line []byte) (int64, error) {
	fields := bytes.SplitN(line, []byte(","), 4)
	if len(fields) < 4 {
		return 0, fmt.Errorf("frame time line %q has too few fields", line)
	}
	pts, err := strconv.ParseInt(string(bytes.TrimSpace(fields[2])), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("frame time line %q: %w", line, err)
	}
	return pts, nil
}
