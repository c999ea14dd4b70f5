package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// What is watched while nodes are killed.
const (
	killLow    = 200 // at each edge
	killWhole  = 50  // at each edge
	killWindow = 25 * time.Second
	killCalm   = 15 * time.Second
	killAway   = 2 * time.Second
	killNext   = 15 * time.Second
	killStall  = 3.0 // seconds
)

// liveViewer is one who watches while nodes are killed.
type liveViewer struct {
	playback
	low  bool
	home int // the edge that it begins at

	playing bool
	found   []stall // until the end
}

// killed is a time in which one node was killed, or none.
type killed struct {
	name     string
	node     int
	from, to time.Time
	away     time.Duration
}

// measureEdgeKill counts stalls of viewers while an edge, its shield and the control node
// are killed and come back. The control node takes the stream in here, so that the third is
// the death of the origin too: that has no bar.
func measureEdgeKill(ctx context.Context, b *bench) ([]result, error) {
	clip, err := b.liveClipOf(ctx, "live-small.mp4", "640x360", tierBitrate)
	if err != nil {
		return nil, err
	}
	t, err := b.startTier(ctx, clip)
	if err != nil {
		return nil, err
	}
	defer t.stop()
	if err := pause(ctx, killWindow); err != nil { // until there is enough behind the end
		return nil, err
	}
	watching, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	known := &lengths{known: make(map[string]time.Duration)}
	running.Go(func() { known.learn(watching, [2]string{t.master(tierSecond), t.master(tierFirst)}) })
	var all []*liveViewer
	for n := range 2 * (killLow + killWhole) {
		o := &liveViewer{low: n < 2*killLow, home: tierFirst + n%2}
		masters := [2]string{t.master(o.home), t.master(tierFirst + tierSecond - o.home)}
		all = append(all, o)
		running.Go(func() {
			if o.low {
				o.need = lowBehind
				o.playLow(watching, masters)
			} else {
				o.playWhole(watching, masters)
			}
		})
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return nil, err
		}
	}
	if err := pause(ctx, tierSettle); err != nil {
		return nil, err
	}
	phases, err := b.killInTurn(ctx, t, clip)
	ended := time.Now()
	stop()
	running.Wait()
	if err != nil {
		return nil, err
	}
	unknown := 0
	for _, o := range all {
		unknown += known.play(&o.playback)
		o.playing, o.found = o.end(ended)
	}
	b.say("  %d parts are of a length that nobody knows", unknown)
	return b.judgeKills(all, phases)
}

// killInTurn leaves all in peace for a while, then kills one after the other.
func (b *bench) killInTurn(ctx context.Context, t *tier, clip string) (phases []killed, err error) {
	calm := killed{name: "nothing", node: -1, from: time.Now()}
	if err := pause(ctx, killCalm); err != nil {
		return nil, err
	}
	calm.to = time.Now()
	phases = append(phases, calm)
	for _, k := range []killed{{name: "an edge", node: tierFirst}, {name: "the shield", node: tierShield}, {name: "the control node", node: tierControl}} {
		k.from = time.Now()
		t.running[k.node].kill()
		if err := pause(ctx, killAway); err != nil {
			return nil, err
		}
		if err := t.start(ctx, k.node); err != nil {
			return nil, err
		}
		if k.node == tierControl { // encoders come back as soon as they can
			t.unpush()
			if t.unpush, err = b.pushClip(clip, t.one.push); err != nil {
				return nil, err
			}
		}
		k.away = time.Since(k.from)
		if err := pause(ctx, killNext); err != nil {
			return nil, err
		}
		k.to = time.Now()
		phases = append(phases, k)
	}
	return phases, nil
}

// suffered is what some of those who watch suffered while a node was killed.
type suffered struct {
	viewers, stalled, stalls, most int
	longest                        float64 // seconds
}

func (s suffered) String() string {
	if s.stalls == 0 {
		return fmt.Sprintf("none of %d", s.viewers)
	}
	return fmt.Sprintf("%d of %d, %d times at most, %.2f s at most", s.stalled, s.viewers, s.most, s.longest)
}

// share is the part of them that did not stall.
func (s suffered) share() float64 { return 1 - float64(s.stalled)/float64(s.viewers) }

// during counts stalls that began in a phase, of those who are meant.
func (k killed) during(all []*liveViewer, meant func(*liveViewer) bool) (s suffered) {
	for _, o := range all {
		if !meant(o) {
			continue
		}
		s.viewers++
		own := 0
		for _, one := range o.found {
			if one.from.Before(k.from) || !one.from.Before(k.to) {
				continue
			}
			own++
			s.longest = max(s.longest, one.took.Seconds())
		}
		s.stalls, s.most = s.stalls+own, max(s.most, own)
		if own > 0 {
			s.stalled++
		}
	}
	return s
}

func (b *bench) judgeKills(all []*liveViewer, phases []killed) ([]result, error) {
	reasons := make(map[string]int)
	for _, o := range all {
		if !o.playing {
			return nil, fmt.Errorf("one who watches has never begun: %q", o.lost)
		}
		for _, why := range o.lost {
			reasons[why[strings.LastIndex(why, ": ")+1:]]++
		}
	}
	whole := func(o *liveViewer) bool { return !o.low }
	var results []result
	add := func(k killed, who string, s suffered, bar float64) {
		r := result{Peer: "all", Clip: k.name + " killed, " + who, Unit: "do not stall", Ours: s.share(), Theirs: 1, Notes: fmt.Sprintf("stalled: %v; the node was away for %.1f s", s, k.away.Seconds())}
		if bar > 0 {
			r.Bar, r.Bound = bar, atLeast
		}
		results = append(results, r)
	}
	for _, k := range phases {
		bar := 1.0
		if k.node == tierControl || k.node < 0 {
			bar = 0
		}
		add(k, "standard latency", k.during(all, whole), bar)
		add(k, "low latency, of no node that was killed", k.during(all, func(o *liveViewer) bool { return o.low && o.home != k.node }), bar)
		if k.node != tierFirst {
			continue
		}
		s := k.during(all, func(o *liveViewer) bool { return o.low && o.home == k.node })
		results = append(results, result{
			Peer: "the limit", Clip: k.name + " killed, low latency, its own viewers", Unit: "s, longest stall", Ours: s.longest, Theirs: killStall, Bar: 1, Bound: atMost,
			Notes: fmt.Sprintf("stalled: %v", s),
		})
		results = append(results, result{Peer: "the limit", Clip: k.name + " killed, low latency, its own viewers", Unit: "stalls, most of one", Ours: float64(s.most), Theirs: 1, Bar: 1, Bound: atMost})
	}
	b.say("  why they went to the other edge: %v", reasons)
	return results, nil
}
