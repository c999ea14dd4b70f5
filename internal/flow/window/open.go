package window

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"

	"liuyun/internal/base/fault"
)

// Open opens what a playlist names: "init7.mp4", "12.m4s", "12.3.m4s". A part that is
// announced but not there yet is waited for, at most three target durations. Faults:
// not found for what is not, or no more; unavailable when it has waited for too long.
func (g *Group) Open(ctx context.Context, rendition, name string) (*File, error) {
	if strings.HasPrefix(rendition, captionsPrefix) {
		if strings.HasSuffix(name, ".vtt") {
			return g.openCaptions(rendition, name)
		}
		return g.openText(ctx, rendition, name)
	}
	whole, period := splitPeriod(name)
	number, index, kind := parseName(whole)
	if kind == nameOther || period >= 0 && kind != nameSegment {
		return nil, errNoFile(name)
	}
	p := patience{limit: maxWait * g.o.Longest}
	defer p.end()
	for {
		found, wait, err := g.look(rendition, name, number, index, kind)
		if period >= 0 && wait == nil && !g.isOf(rendition, number, period) {
			found, err = &place{init: emptySegment(), kind: "video/mp4", caching: g.forFiles()}, g.missed(rendition, number, period)
		}
		switch {
		case err != nil:
			return nil, err
		case wait == nil:
			return found.open(ctx, name)
		}
		if err := p.await(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// kindOfName says what a name names.
type kindOfName int

const (
	nameOther kindOfName = iota
	nameInit
	nameSegment
	namePart
)

// parseName reads a name. There is one way to write each.
func parseName(name string) (number int64, index int, kind kindOfName) {
	digits := func(s string) (int64, bool) {
		n, err := strconv.ParseInt(s, 10, 64)
		return n, err == nil && n >= 0 && strconv.FormatInt(n, 10) == s
	}
	if base, ok := strings.CutSuffix(name, ".mp4"); ok {
		base, ok = strings.CutPrefix(base, "init")
		if number, valid := digits(base); ok && valid {
			return number, 0, nameInit
		}
		return 0, 0, nameOther
	}
	base, ok := strings.CutSuffix(name, ".m4s")
	if !ok {
		return 0, 0, nameOther
	}
	segment, part, isPart := strings.Cut(base, ".")
	number, valid := digits(segment)
	if !valid {
		return 0, 0, nameOther
	}
	if !isPart {
		return number, 0, nameSegment
	}
	i, valid := digits(part)
	if !valid || i > 1<<20 {
		return 0, 0, nameOther
	}
	return number, int(i), namePart
}

// splitPeriod takes the period of DASH out of a name, -1 if there is none.
func splitPeriod(name string) (whole string, period int64) {
	base, found := strings.CutSuffix(name, ".m4s")
	number, after, has := strings.Cut(base, "-")
	if !found || !has {
		return name, -1
	}
	period, err := strconv.ParseInt(after, 10, 64)
	if err != nil || strconv.FormatInt(period, 10) != after || period < 0 {
		return "", -1
	}
	return number + ".m4s", period
}

// isOf reports whether a segment belongs to a period.
func (g *Group) isOf(rendition string, number, period int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.named(rendition)
	if r == nil {
		return false
	}
	s := r.find(number)
	return s != nil && s.anchor != nil && s.anchor.Number == period
}

// missed is nil where a segment was announced that belongs to another period now, or
// that did not come any more: in the period that was asked for it is empty.
func (g *Group) missed(rendition string, number, period int64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r := g.named(rendition); r != nil {
		before := r.find(number - 1)
		if before != nil && before.anchor != nil && before.anchor.Number == period {
			return nil
		}
	}
	return errNoFile(segmentURI(number))
}

// place is where bytes are.
type place struct {
	file           string // on the disk
	part           bool
	offset, length int64
	memory         chain    // held; or
	init           []byte   // an init section
	grows          *growing // it is not whole yet
	kind           string
	caching        Caching
}

// look returns where a file is, or what to wait for.
func (g *Group) look(rendition, name string, number int64, index int, kind kindOfName) (*place, <-chan struct{}, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.named(rendition)
	if r == nil {
		return nil, nil, errNoFile(name)
	}
	at := &place{kind: "video/mp4", caching: g.forFiles()}
	if len(r.inits) > 0 && r.init().Channels > 0 {
		at.kind = "audio/mp4"
	}
	if kind == nameInit {
		for _, i := range r.inits {
			if i.Number == number {
				at.init = i.Data
				return at, nil, nil
			}
		}
		return nil, nil, errNoFile(name)
	}
	s := r.find(number)
	if kind == nameSegment && s == nil && r.comesNext(g, number) {
		return nil, r.later(), nil
	}
	if last := len(r.segments) - 1; kind == namePart && s == nil && !g.ended && r.open == nil && index == 0 &&
		last >= 0 && number == r.segments[last].number+1 {
		return nil, r.later(), nil
	}
	if s != nil && s.gap && kind == nameSegment {
		at.init = emptySegment() // DASH cannot say that there is nothing
		return at, nil, nil
	}
	if s == nil || s.gap {
		return nil, nil, errNoFile(name)
	}
	if kind == nameSegment {
		if s == r.open {
			at.grows = &growing{g: g, r: r, s: s}
			return at, nil, nil
		}
		at.length = s.size
		g.locate(at, r, s, s.memory)
		return at, nil, nil
	}
	if s == r.open && index == len(s.parts) {
		return nil, r.later(), nil
	}
	if index >= len(s.parts) || s.parts[index].gap {
		return nil, nil, errNoFile(name)
	}
	p := s.parts[index]
	at.part, at.offset, at.length = true, p.offset, p.size
	g.locate(at, r, s, s.buffer(index))
	return at, nil, nil
}

// comesNext reports whether a segment is the one after all there are. It is announced
// in DASH while the one before is open.
func (r *rendition) comesNext(g *Group, number int64) bool {
	if r.open != nil {
		return number == r.open.number+1
	}
	last := len(r.segments) - 1
	return last >= 0 && number == r.segments[last].number+1 && !r.over(g)
}

// buffer returns the memory of one part, nothing if that was given back.
func (s *segment) buffer(index int) []*buffer {
	if s.memory == nil {
		return nil
	}
	n := 0
	for i := range index {
		if !s.parts[i].gap {
			n++
		}
	}
	return s.memory[n : n+1]
}

// locate points at memory, where there is some, which is held then.
func (g *Group) locate(at *place, r *rendition, s *segment, memory []*buffer) {
	if len(memory) == 0 {
		at.file = g.files.path(r.file(s.number))
		return
	}
	for _, b := range memory {
		at.memory = append(at.memory, b.hold())
	}
}

func (p *place) open(ctx context.Context, name string) (*File, error) {
	f := &File{Size: p.length, Type: p.kind, Caching: p.caching}
	switch {
	case p.grows != nil:
		p.grows.ctx = ctx
		f.Grows, f.close = p.grows, p.grows.close
	case p.init != nil:
		f.Content, f.Size = bytes.NewReader(p.init), int64(len(p.init))
	case p.memory != nil:
		f.Content = &partsReader{io.NewSectionReader(p.memory, 0, p.length), p.memory}
		f.close = func() {
			for _, b := range p.memory {
				b.release()
			}
		}
	default:
		file, err := os.Open(p.file)
		if errors.Is(err, os.ErrNotExist) { // it went meanwhile
			return nil, errNoFile(name)
		}
		if err != nil {
			return nil, fault.Wrap(err, fault.Internal, "%s cannot be read from the disk", name)
		}
		f.close = func() { _ = file.Close() } // it was read only
		f.Content = file
		if p.part {
			f.Content = io.NewSectionReader(file, p.offset, p.length)
		}
	}
	return f, nil
}

// emptySegment is a box that players pass over.
func emptySegment() []byte { return []byte{0, 0, 0, 8, 'f', 'r', 'e', 'e'} }

func errNoFile(name string) error {
	return fault.New(fault.NotFound, "%q is not in the window, or no more: reload the playlist", name)
}
