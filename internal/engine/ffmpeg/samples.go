package ffmpeg

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Samples are pictures of a unit's first output as they go into the encoder, their
// luma alone, written to File: for each picture of At the one before it and
// itself. What comes out of the encoder is compared with them, so neither another
// decode nor another scaler can come between.
type Samples struct {
	At   []int  `json:"at"` // pictures at the output's own rate, rising, above 0
	File string `json:"file"`
}

// Depth is the bits of a luma sample.
func (o Output) Depth() int {
	if o.TenBit {
		return 10
	}
	return 8
}

// LumaBytes is the size of one picture's luma as Samples has it: rows without gaps,
// two bytes a sample, little endian, where Depth is above 8.
func (o Output) LumaBytes() int {
	if o.TenBit {
		return 2 * o.Width * o.Height
	}
	return o.Width * o.Height
}

// tapped adds a branch for the samples to a graph whose first output ends in label.
func (s Samples) tapped(graph, label string) (tapped, encoded, sampled string) {
	encoded, sampled = label+"e", label+"s"
	graph += ";" + chain(label, []string{"split=2"}, encoded, label+"t")
	return graph + ";" + chain(label+"t", append(selectPictures(s.At, 1), "extractplanes=y"), sampled), encoded, sampled
}

// selectPictures keeps the pictures of at, and so many before each.
func selectPictures(at []int, before int) []string {
	var expr strings.Builder
	for i, n := range at {
		if i > 0 {
			expr.WriteByte('+')
		}
		fmt.Fprintf(&expr, `between(n\,%d\,%d)`, n-before, n)
	}
	return []string{"select=expr=" + expr.String()}
}

// Squeezed are all pictures of a decoded file, of so many luma samples, in order of
// presentation.
type Squeezed struct {
	Width, Height int
	Each          PictureReader
}

// DecodeSamples decodes the one video track of file as a player would and hands the
// luma of the pictures of at, which rise, to each in their order. size is the bytes
// of one, see Output.LumaBytes. run.Input is the file. With all every picture goes
// there as it would from DecodeSmall, at the same time and from another goroutine.
func (t *Tools) DecodeSamples(ctx context.Context, run Command, at []int, size int, each PictureReader, all *Squeezed) (Usage, error) {
	graph := chain("0:v:0", append(selectPictures(at, 0), "extractplanes=y"), "s")
	if all != nil {
		graph = chain("0:v:0", []string{"split=2"}, "c", "d") + ";" + chain("c", append(selectPictures(at, 0), "extractplanes=y"), "s") +
			";" + chain("d", squeeze(all.Width, all.Height), "a")
	}
	run.Args = []string{
		"-threads", "1", "-noautorotate", "-i", InputURL, "-filter_complex_threads", "1", "-filter_complex", graph,
		"-map", "[s]", "-frames:v", strconv.Itoa(len(at)),
	}
	run.Args = append(run.Args, t.passthrough()...)
	run.Args = append(run.Args, "-c:v", "rawvideo", "-f", "rawvideo", PipeURL(0))
	splitters := []*pictureSplitter{{frame: make([]byte, 0, size), each: each}}
	if all != nil {
		run.Args = append(append(run.Args, "-map", "[a]"), t.passthrough()...)
		run.Args = append(run.Args, "-c:v", "rawvideo", "-f", "rawvideo", PipeURL(1))
		splitters = append(splitters, &pictureSplitter{frame: make([]byte, 0, all.Width*all.Height), each: all.Each})
	}
	for _, s := range splitters {
		run.Pipes = append(run.Pipes, s)
	}
	usage, err := t.Run(ctx, run)
	for _, s := range splitters {
		if s.err != nil {
			return usage, s.err
		}
	}
	return usage, err
}
