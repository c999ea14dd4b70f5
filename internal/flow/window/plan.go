package window

import (
	"slices"
	"time"

	"liuyun/internal/base/timebase"
)

// Rung is what is known beforehand of pictures that are made of the stream.
type Rung struct {
	Name          string // as RunRung is given it
	Width, Height int
	Rate          timebase.Rational // of pictures; what the source has, if it is not valid
	Bitrate       int64             // bits a second, at most
	Codec         string            // RFC 6381; H.264, high profile, level 4 if it is ""
}

// Plan is what viewers are told of a stream. They read the multivariant playlist once:
// what comes later must be in it from the beginning, with gaps until it comes.
type Plan struct {
	Rungs []Rung // the largest first
	// WithoutSource leaves out the pictures that the source sends, because players
	// cannot take them as they are.
	WithoutSource bool
	// Every is how far apart the key frames of renditions are, at whole multiples of it in
	// the stream's time, where those of the source are of no use; segments begin there. 0
	// has them where the source has its own.
	Every time.Duration
}

// Plan says what will be made of the stream, before viewers come. What was planned
// once stays in the plan, but as another one says of the same name.
func (g *Group) Plan(p Plan) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p.Rungs = slices.Clone(p.Rungs)
	for _, old := range g.plan.Rungs {
		if !slices.ContainsFunc(p.Rungs, func(r Rung) bool { return r.Name == old.Name }) {
			p.Rungs = append(p.Rungs, old)
		}
	}
	g.plan = p
	g.wakeAll()
}

// planned returns what is planned by that name, or nil.
func (g *Group) planned(name string) *Rung {
	for i := range g.plan.Rungs {
		if g.plan.Rungs[i].Name == name {
			return &g.plan.Rungs[i]
		}
	}
	return nil
}

// laterRendition is what one waits for who asks for a rendition that is planned.
func (g *Group) laterRendition() <-chan struct{} {
	if g.came == nil {
		g.came = make(chan struct{})
	}
	return g.came
}

// every is how far apart segments may begin by the plan, 0 where the source says it.
func (g *Group) every() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.plan.Every
}
