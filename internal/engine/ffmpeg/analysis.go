package ffmpeg

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"

	"golang.org/x/sync/errgroup"

	"liuyun/internal/base/timebase"
)

// Analysis is the pass that decodes a whole video stream once and hands out a
// small luma picture of every frame, and makes the storyboard on the way.
type Analysis struct {
	Stream   int
	TimeBase timebase.Rational
	Picture  Picture

	// Width and Height are the size of the small pictures, whatever the shape
	// of the source.
	Width, Height int
	// Exact decodes as a player would and averages every pixel. Otherwise the
	// loop filter is left out and one pixel in sixteen is averaged, which saves
	// a quarter of the time and moves the small pictures by a level or two.
	Exact      bool
	Threads    int
	Storyboard *Storyboard
}

// Storyboard is the sprite sheets for scrubbing: tiles of Width × Height, one
// an Interval from time Origin (ticks), Columns × Rows a sheet.
type Storyboard struct {
	Interval      timebase.Rational // seconds
	Origin        int64
	Width, Height int
	Columns, Rows int
	Pattern       string // file name with one %05d, in the scratch folder
}

// Analyse runs the pass. picture is called for every frame in the order of
// presentation with its time in ticks of TimeBase; it must not keep luma.
func (t *Tools) Analyse(ctx context.Context, run Command, a Analysis, picture func(pts int64, luma []byte) error) (Usage, error) {
	run.Args = t.AnalysisArgs(a)
	lumaReader, lumaWriter := io.Pipe()
	timeReader, timeWriter := io.Pipe()
	run.Pipes = []io.Writer{lumaWriter, timeWriter}
	var pair errgroup.Group
	pair.Go(func() error {
		err := pairPictures(lumaReader, timeReader, a.Width*a.Height, picture)
		lumaReader.CloseWithError(err)
		timeReader.CloseWithError(err)
		return err
	})
	usage, err := t.Run(ctx, run)
	lumaWriter.CloseWithError(endOf(err))
	timeWriter.CloseWithError(endOf(err))
	if pairErr := pair.Wait(); err == nil {
		err = pairErr
	}
	return usage, err
}

func endOf(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// AnalysisArgs are the arguments of the pass.
func (t *Tools) AnalysisArgs(a Analysis) []string {
	decoder := readOptions{stream: a.Stream, timeBase: a.TimeBase, threads: a.Threads, skipLoopFilter: !a.Exact}
	source := "0:" + strconv.Itoa(a.Stream)
	small := append(a.thin(), a.Picture.scale(a.Width, a.Height, "area")...)
	small = append(small, "format=gray", "split=2")
	graph := chain(source, small, "luma", "time")
	if s := a.Storyboard; s != nil {
		graph = chain(source, []string{"split=2"}, "whole", "tiles") + ";" +
			chain("whole", small, "luma", "time") + ";" +
			chain("tiles", s.filters(a.Picture), "sprites")
	}
	args := append(t.inputArgs(decoder), "-filter_complex_threads", "1", "-filter_complex", graph)
	for i, out := range []struct{ label, muxer string }{{"luma", "rawvideo"}, {"time", "framecrc"}} {
		args = append(args, "-map", "["+out.label+"]")
		args = append(args, t.passthrough()...)
		args = append(args, "-c:v", "rawvideo", "-enc_time_base", a.TimeBase.String(), "-f", out.muxer, PipeURL(i))
	}
	if s := a.Storyboard; s != nil {
		args = append(args, "-map", "[sprites]")
		args = append(args, t.passthrough()...)
		args = append(args, "-c:v", "mjpeg", "-q:v", "5", "-flags:v", "+bitexact", "-f", "image2", s.Pattern)
	}
	return args
}

// thin keeps one pixel in sixteen of a picture that has more than enough: each
// small pixel still is the mean of a hundred or more.
func (a Analysis) thin() []string {
	const by = 4
	if a.Exact || a.Picture.Width < 5*by*a.Width || a.Picture.Height < 5*by*a.Height {
		return nil
	}
	return []string{fmt.Sprintf("scale=w=iw/%d:h=ih/%d:flags=neighbor", by, by)}
}

func (s *Storyboard) filters(p Picture) []string {
	filters := []string{
		fmt.Sprintf("setpts=PTS-(%d)", s.Origin),
		fmt.Sprintf("fps=fps=%s:round=near:start_time=0", s.Interval.Inv()),
	}
	filters = append(filters, p.scale(s.Width, s.Height, "bilinear")...)
	if p.Colour.HDR() {
		filters = append(filters, toneMap(p.outRange())...)
	}
	return append(filters, "setsar=1", "format=yuv420p", "scale=out_range=pc", "format=yuvj420p",
		fmt.Sprintf("tile=layout=%dx%d", s.Columns, s.Rows))
}

// pairPictures reads frames of size bytes from luma and their times from the
// framecrc lines that come beside them.
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
			return fmt.Errorf("read picture at %d: %w", pts, err)
		}
		if err := picture(pts, frame); err != nil {
			return err
		}
	}
	return lines.Err()
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
