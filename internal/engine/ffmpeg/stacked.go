package ffmpeg

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Stacked are the frames of a unit above those of encodes of it, all shown at one
// size: what is compared then belongs together, whatever the decoders' pace.
type Stacked struct {
	Unit  Unit     // its Outputs do not matter
	Files []string // in the Dir of the run: MP4 files of all the unit's frames
	// Width and Height are in display orientation. Encodes are enlarged to it as
	// players do it.
	Width, Height int
}

// Luma decodes s and hands to each, in order, one 8-bit luma picture a frame: the
// source's on top, then those of Files, each of Width × Height.
func (t *Tools) Luma(ctx context.Context, run Command, s Stacked, each PictureReader) (Usage, error) {
	run.Args = t.stackedArgs(s)
	splitter := &pictureSplitter{frame: make([]byte, 0, s.Width*s.Height*(1+len(s.Files))), each: each}
	run.Pipes = []io.Writer{splitter}
	usage, err := t.Run(ctx, run)
	if splitter.err != nil {
		return usage, splitter.err
	}
	return usage, err
}

func (t *Tools) stackedArgs(s Stacked) []string {
	u := s.Unit
	args := t.inputArgs(readOptions{stream: u.Stream, timeBase: u.TimeBase, seek: u.Seek, threads: 1})
	clock := []string{"settb=expr=" + u.FrameRate.Inv().String(), "setpts=N"}
	source := append(u.sourceFilters(), u.Picture.scale(s.Width, s.Height, scaler)...)
	source = append(append(source, "setsar=1", "format=yuv420p", "extractplanes=y"), clock...)
	graph := []string{chain("0:"+strconv.Itoa(u.Stream), source, "p0")}
	labels := "[p0]"
	for i, file := range s.Files {
		args = append(args, "-threads", "1", "-noautorotate", "-i", file)
		label := "p" + strconv.Itoa(i+1)
		enlarged := []string{"format=yuv420p", "extractplanes=y", fmt.Sprintf("scale=w=%d:h=%d:flags=%s:in_range=tv:out_range=tv", s.Width, s.Height, scaler), "setsar=1"}
		graph = append(graph, chain(strconv.Itoa(i+1)+":v:0", append(enlarged, clock...), label))
		labels += "[" + label + "]"
	}
	graph = append(graph, fmt.Sprintf("%svstack=inputs=%d:shortest=1[all]", labels, 1+len(s.Files)))
	args = append(args, "-filter_complex_threads", "1", "-filter_complex", strings.Join(graph, ";"), "-map", "[all]")
	args = append(args, t.passthrough()...)
	return slices.Concat(args, []string{"-c:v", "rawvideo", "-f", "rawvideo", PipeURL(0)})
}
