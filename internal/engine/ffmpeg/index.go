package ffmpeg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"liuyun/internal/kit/proc"
)

// Packet is one coded picture as the container has it. Times are in ticks of
// the stream's time base.
type Packet struct {
	PTS, DTS int64
	HasPTS   bool // raw streams and some AVI have no PTS
	HasDTS   bool
	Duration int64 // 0 when unknown
	Size     int   // bytes
	Key      bool  // a key frame, as the container or parser says
	Discard  bool  // outside the edit list: decoded, not shown
}

// Index calls each with every packet of the stream (its Index in the file) in
// the order of the file. It reads the whole file and keeps none of it. An error
// from each ends it and is its error.
func (t *Tools) Index(ctx context.Context, in Input, stream int, each func(Packet) error) error {
	if err := in.check(); err != nil {
		return err
	}
	lines := &lineWriter{each: func(line []byte) error {
		if len(line) == 0 {
			return nil
		}
		p, err := parsePacket(line)
		if err != nil {
			return err
		}
		return each(p)
	}}
	_, err := t.runProbe(ctx, in, lines, []string{
		"-select_streams", strconv.Itoa(stream),
		"-show_entries", "packet=pts,dts,duration,size,flags", "-of", "csv=print_section=0",
	}, t.config.IndexLimits)
	return err
}

// runProbe runs ffprobe on the input, its answer going to out.
func (t *Tools) runProbe(ctx context.Context, in Input, out io.Writer, show []string, limits proc.Limits) (messageLog, error) {
	args := append([]string{"-hide_banner", "-loglevel", "repeat+level+warning"}, show...)
	_, log, err := t.start(ctx, child{
		tool:   t.ffprobe,
		input:  in,
		args:   append(args, t.config.guarded([]string{"-threads", "1", "-i", InputURL})...),
		stdout: out,
		limits: limits,
	})
	if err != nil {
		err = t.explainProbe(err, in)
	}
	return log, err
}

var errPacketLine = errors.New("packet line makes no sense")

// parsePacket reads "pts,dts,duration,size,flags" with "N/A" for what is not
// known; fields after those (side data) are ignored. It allocates nothing.
func parsePacket(line []byte) (Packet, error) {
	var fields [5][]byte
	rest, found := line, true
	for i := range fields {
		if !found {
			return Packet{}, fmt.Errorf("%w: %q", errPacketLine, line)
		}
		fields[i], rest, found = bytes.Cut(rest, []byte(","))
	}
	var p Packet
	var ok [4]bool
	var duration, size int64
	p.PTS, p.HasPTS, ok[0] = optionalInt(fields[0])
	p.DTS, p.HasDTS, ok[1] = optionalInt(fields[1])
	duration, _, ok[2] = optionalInt(fields[2])
	size, _, ok[3] = optionalInt(fields[3])
	if ok != [4]bool{true, true, true, true} || size < 0 || size > math.MaxInt32 {
		return Packet{}, fmt.Errorf("%w: %q", errPacketLine, line)
	}
	p.Duration, p.Size = max(0, duration), int(size)
	flags := fields[4]
	p.Key = len(flags) > 0 && flags[0] == 'K'
	p.Discard = len(flags) > 1 && flags[1] == 'D'
	return p, nil
}

// optionalInt reads a decimal number, or "N/A".
func optionalInt(text []byte) (n int64, present, ok bool) {
	if string(text) == "N/A" {
		return 0, false, true
	}
	digits, negative := bytes.CutPrefix(text, []byte("-"))
	if len(digits) == 0 || len(digits) > 19 {
		return 0, false, false
	}
	for _, c := range digits {
		if !isDigit(c) {
			return 0, false, false
		}
		d := int64(c - '0')
		if n > (math.MaxInt64-d)/10 {
			return 0, false, false
		}
		n = n*10 + d
	}
	if negative {
		n = -n
	}
	return n, true, true
}
