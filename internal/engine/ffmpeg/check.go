package ffmpeg

import (
	"context"
	"io"
	"strconv"
	"strings"
)

// PictureReader gets the small luma pictures of a decoded file, in order.
type PictureReader func(luma []byte) error

// DecodeSmall decodes the one video track of file as a player would and hands
// every picture to each, squeezed to width × height luma samples, in order of
// presentation. run.Input is the file.
func (t *Tools) DecodeSmall(ctx context.Context, run Command, width, height int, each PictureReader) (Usage, error) {
	run.Args = []string{
		"-threads", "1", "-noautorotate", "-i", InputURL,
		"-map", "0:v:0", "-vf", strings.Join(squeeze(width, height), ","),
	}
	run.Args = append(run.Args, t.passthrough()...)
	run.Args = append(run.Args, "-c:v", "rawvideo", "-f", "rawvideo", PipeURL(0))
	splitter := &pictureSplitter{frame: make([]byte, 0, width*height), each: each}
	run.Pipes = []io.Writer{splitter}
	usage, err := t.Run(ctx, run)
	if splitter.err != nil {
		return usage, splitter.err
	}
	return usage, err
}

// squeeze makes any picture one of width × height luma samples.
func squeeze(width, height int) []string {
	return []string{"scale=w=" + strconv.Itoa(width) + ":h=" + strconv.Itoa(height) + ":flags=area:in_range=tv:out_range=tv", "format=gray"}
}

// pictureSplitter cuts a byte stream into pictures of cap(frame) bytes.
type pictureSplitter struct {
	frame []byte
	each  PictureReader
	err   error
}

// Write takes any piece of the stream.
func (s *pictureSplitter) Write(data []byte) (int, error) {
	size := len(data)
	for len(data) > 0 {
		n := min(cap(s.frame)-len(s.frame), len(data))
		s.frame = append(s.frame, data[:n]...)
		data = data[n:]
		if len(s.frame) < cap(s.frame) {
			break
		}
		if s.err = s.each(s.frame); s.err != nil {
			return 0, s.err
		}
		s.frame = s.frame[:0]
	}
	return size, nil
}

// Still makes one picture of the source, the frame of a unit without encoder
// options, as a JPEG of width × height.
func (t *Tools) Still(ctx context.Context, run Command, u Unit, width, height int, file string) error {
	out := Output{Width: width, Height: height, Step: 1, ToneMap: u.Picture.Colour.HDR()}
	source := "0:" + strconv.Itoa(u.Stream)
	graph, labels := renditionGraph(source, u.sourceFilters(), u.Picture, []Output{out})
	matrix := u.Picture.Colour.Matrix
	if out.ToneMap {
		matrix = BT709.Matrix
	}
	graph += ";" + chain(labels[0], jpegColours(matrix), "still")
	run.Args = append(t.inputArgs(readOptions{stream: u.Stream, timeBase: u.TimeBase, seek: u.Seek, threads: 1}),
		"-filter_complex", graph, "-map", "[still]", "-frames:v", "1",
		"-c:v", "mjpeg", "-q:v", "3", "-flags:v", "+bitexact", "-fflags", "+bitexact", "-map_metadata", "-1",
		"-f", "image2", "-update", "1", file)
	_, err := t.Run(ctx, run)
	return err
}

// Subtitles writes one text subtitle stream as WebVTT to out, with the source's
// own times.
func (t *Tools) Subtitles(ctx context.Context, run Command, stream int, out io.Writer) error {
	run.Args = []string{"-copyts", "-i", InputURL, "-map", "0:" + strconv.Itoa(stream), "-c:s", "webvtt", "-f", "webvtt", PipeURL(0)}
	run.Pipes = []io.Writer{out}
	_, err := t.Run(ctx, run)
	return err
}

// Remux copies the coded picture and sound into a Matroska file on one
// continuous clock, ffmpeg mending jumps and wraps on the way.
func (t *Tools) Remux(ctx context.Context, run Command, file string) (Usage, error) {
	run.Args = []string{
		"-fflags", "+genpts", "-i", InputURL, "-map", "0:v?", "-map", "0:a?", "-c", "copy",
		"-fflags", "+bitexact", "-map_metadata", "-1", "-f", "matroska", file,
	}
	return t.Run(ctx, run)
}
