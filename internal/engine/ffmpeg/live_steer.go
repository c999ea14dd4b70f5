package ffmpeg

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// LiveSteering moves the quantisers of a child that runs, by orders over its standard
// input. The zero value is ready; it is of one child at a time.
//
// Nothing tells x264 in a child of ffmpeg another rate, and the region of a filter
// cannot be changed. So each rendition has a branch for every offset, with a region
// that is all of the picture, and the order says from which of them pictures are taken.
// Branches share the samples of a picture. ffmpeg looks for an order ten times a second.
type LiveSteering struct {
	mu     sync.Mutex
	orders *os.File // nil while no child runs
}

// ErrNotSteered is that an order has not been taken: no child runs, or it does not
// read.
var ErrNotSteered = errors.New("the child takes no orders")

// steerPatience is how long an order may wait for room in the pipe: that holds hundreds
// of them, so that a child that leaves none has stopped.
const steerPatience = 20 * time.Millisecond

// Offset has the i-th of the child's pictures take its offset-th offset from one of
// the next pictures on.
func (s *LiveSteering) Offset(i, offset int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.orders == nil {
		return ErrNotSteered
	}
	_ = s.orders.SetWriteDeadline(time.Now().Add(steerPatience)) // a pipe has deadlines
	// "c" and a line are one order: less than a pipe takes at once, so whole or not at all.
	if _, err := fmt.Fprintf(s.orders, "c%s -1 map %d\n", steered(i), offset); err != nil {
		return fmt.Errorf("%w: %w", ErrNotSteered, err)
	}
	return nil
}

// hold makes the pipe of a child that begins. release ends it.
func (s *LiveSteering) hold() (in *os.File, release func(), err error) {
	in, out, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("make pipe: %w", err)
	}
	s.mu.Lock()
	s.orders = out
	s.mu.Unlock()
	return in, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.orders == out {
			s.orders = nil
		}
		_ = out.Close() // nothing is buffered
		_ = in.Close()
	}, nil
}

// steered names the filter that takes the orders of a rendition.
func steered(i int) string { return "streamselect@r" + strconv.Itoa(i) }

// steered continues filters, which begin at head, with the branches of all offsets, if
// there are any, and ends at label.
func (p LivePictures) steered(head string, filters []string, label, name string) []string {
	if len(p.Offsets) == 0 {
		return []string{chain(head, filters, label)}
	}
	heads := make([]string, len(p.Offsets))
	var parts []string
	var tails strings.Builder
	for i, offset := range p.Offsets {
		heads[i] = fmt.Sprintf("%sa%d", label, i)
		tail := fmt.Sprintf("%sb%d", label, i)
		region := "null"
		if offset != 0 {
			region = "addroi=0:0:iw:ih:" + decimal(offset/qpSteps)
		}
		parts = append(parts, chain(heads[i], []string{region}, tail))
		tails.WriteString("[" + tail + "]")
	}
	first := chain(head, append(filters, split(len(heads))...), heads...)
	last := fmt.Sprintf("%s%s=inputs=%d:map=%d[%s]", tails.String(), name, len(heads), p.Offset, label)
	return append(append([]string{first}, parts...), last)
}

// LiveView is what a child shows of the pictures that it decodes: their luma, in
// another size. Of each Every pictures it shows the first Run, from its first one on.
type LiveView struct {
	Width, Height int
	Every, Run    int
	// Take takes the luma of a picture, limited range, row by row, on a goroutine of its
	// own. It must not wait and not keep it.
	Take func(luma []byte)
}

func (v LiveView) filters() []string {
	return []string{
		fmt.Sprintf(`select=expr=lt(mod(n\,%d)\,%d)`, max(v.Every, 1), max(v.Run, 1)),
		fmt.Sprintf("scale=w=%d:h=%d:flags=%s:out_range=limited", v.Width, v.Height, viewScaler(v.Width)), "format=gray",
	}
}

// viewScaler is how pictures are made smaller: by the mean of what a sample covers,
// where that is much.
func viewScaler(width int) string {
	const small = 320
	if width <= small {
		return "area"
	}
	return scaler
}

// viewReader cuts what a child writes into pictures.
type viewReader struct {
	view LiveView
	part []byte
}

// Write never fails, and keeps less than a picture.
func (r *viewReader) Write(p []byte) (int, error) {
	size := r.view.Width * r.view.Height
	if size <= 0 {
		return len(p), nil
	}
	for rest := p; len(rest) > 0; {
		n := min(size-len(r.part), len(rest))
		r.part = append(r.part, rest[:n]...)
		rest = rest[n:]
		if len(r.part) == size {
			r.view.Take(r.part)
			r.part = r.part[:0]
		}
	}
	return len(p), nil
}
