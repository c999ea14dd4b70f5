package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"liuyun/test/viewer"
)

// What the way through an edge and a shield is measured with.
const (
	tierViewers    = 500
	tierDirect     = 20
	tierBitrate    = 1_000_000
	tierSettle     = 8 * time.Second
	tierTime       = 40 * time.Second
	tierLater      = 100.0 // ms
	tierRequests   = 1.1
	tierComingOver = 10 * time.Second
)

// tierSeen is when who watches got what: by target, direct and through the edges.
type tierSeen struct {
	mu     sync.Mutex
	since  time.Time // what came before is not counted
	direct map[string][]time.Time
	edges  map[string][]time.Time
	bytes  map[string]int64
}

func (s *tierSeen) note(into map[string][]time.Time, a viewer.Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since.IsZero() {
		return
	}
	into[a.Target] = append(into[a.Target], a.At)
	s.bytes[a.Target] = a.Bytes
}

// isPart reports whether a target is a part of pictures or sound.
func isPart(target string) bool {
	path, _, _ := strings.Cut(target, "?")
	return strings.HasSuffix(path, ".m4s")
}

// later is how much later each part came through the edges than it came to half of
// those who ask the control node, in ms; parts that only some of them got are left out.
func (s *tierSeen) later() (late, direct []float64) {
	for target, at := range s.direct {
		if !isPart(target) || len(at) < tierDirect {
			continue
		}
		slices.SortFunc(at, time.Time.Compare)
		middle := at[len(at)/2]
		for _, t := range at {
			direct = append(direct, milliseconds(t.Sub(middle)))
		}
		for _, t := range s.edges[target] {
			late = append(late, milliseconds(t.Sub(middle)))
		}
	}
	return late, direct
}

// names are how many things viewers of the edges got, and how many of them are parts.
func (s *tierSeen) names() (all, parts int, bytes int64) {
	for target := range s.edges {
		all++
		bytes += s.bytes[target]
		if isPart(target) {
			parts++
		}
	}
	return all, parts, bytes
}

// measureEdgeTier measures how much later parts come through an edge and a shield, and
// what the origin is asked for that.
func measureEdgeTier(ctx context.Context, b *bench) ([]result, error) {
	length, viewers := tierTime, tierViewers
	if b.flags.quick {
		length, viewers = length/4, viewers/5
	}
	clip, err := b.liveClipOf(ctx, "live-small.mp4", "640x360", tierBitrate)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	t, err := b.startTier(ctx, clip)
	if err != nil {
		return nil, err
	}
	defer t.stop()
	s := &tierSeen{direct: make(map[string][]time.Time), edges: make(map[string][]time.Time), bytes: make(map[string]int64)}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	watch := func(node int, into map[string][]time.Time) {
		all.Go(func() {
			err := viewer.Watch(watching, viewer.Options{Master: t.master(node), Got: func(a viewer.Answer) { s.note(into, a) }})
			if err != nil {
				cancel(fmt.Errorf("a viewer of node %d: %w", node, err))
			}
		})
	}
	for range tierDirect {
		watch(tierControl, s.direct)
	}
	for n := range viewers {
		watch(tierFirst+n%2, s.edges)
		if err := pause(ctx, tierComingOver/time.Duration(viewers)); err != nil {
			return nil, err
		}
	}
	if err := pause(ctx, tierSettle); err != nil {
		return nil, err
	}
	busy, err := readBusy()
	if err != nil {
		return nil, err
	}
	origins, shields, err := t.asked(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.since = time.Now()
	s.mu.Unlock()
	down := t.relay.back.Load()
	if err := pause(ctx, length); err != nil {
		return nil, err
	}
	s.mu.Lock()
	all2, parts, bytes := s.names()
	s.mu.Unlock()
	originsAfter, shieldsAfter, err := t.asked(ctx)
	if err != nil {
		return nil, err
	}
	down, origins, shields = t.relay.back.Load()-down, originsAfter-origins, shieldsAfter-shields
	after, err := readBusy()
	if err != nil {
		return nil, err
	}
	stop()
	all.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return s.judge(viewers, tierAsked{names: all2, parts: parts, bytes: bytes, down: down, origins: origins, shields: shields}, 100*(after.busy-busy.busy)/(after.all-busy.all))
}

// tierAsked is what was asked meanwhile, and what came.
type tierAsked struct {
	names, parts     int
	bytes, down      int64 // of the names, and from the control node
	origins, shields float64
}

func (s *tierSeen) judge(viewers int, a tierAsked, busy float64) ([]result, error) {
	late, direct := s.later()
	if len(late) < viewers || a.parts == 0 {
		return nil, fmt.Errorf("only %d parts came through the edges", len(late))
	}
	clip := fmt.Sprintf("LL-HLS, parts of 500 ms, %d viewers of 2 edges behind a shield", viewers)
	notes := fmt.Sprintf("%d parts that came, each against when half of %d viewers of the control node had it: p50 %.1f, p95 %.1f, p99 %.1f, most %.0f ms; those at the control node themselves p95 %.1f, p99 %.1f ms; %.0f %% of the machine was busy, who watch among it",
		len(late), tierDirect, percentile(late, 50), percentile(late, 95), percentile(late, 99), percentile(late, 100), percentile(direct, 95), percentile(direct, 99), busy)
	// Each name but a part is asked for once at least: what is left is for parts.
	each := (a.origins - float64(a.names-a.parts)) / float64(a.parts)
	asked := fmt.Sprintf("at most: the edges asked the origin %.0f times, and the shield %.0f times, while their viewers got %d different things, %d of them parts, the others versions of playlists that are asked for once at least; %.3f times their bytes came from the control node, heads and TLS included",
		a.origins, a.shields, a.names, a.parts, float64(a.down)/float64(a.bytes))
	return []result{
		{Peer: "the limit", Clip: clip, Unit: "ms later than direct, p50", Ours: percentile(late, 50), Theirs: tierLater, Bar: 1, Bound: atMost, Notes: notes},
		{Peer: "the limit", Clip: clip, Unit: "ms later than direct, p95", Ours: percentile(late, 95), Theirs: tierLater, Bar: 1, Bound: atMost},
		{Peer: "the limit", Clip: clip, Unit: "requests a part", Ours: each, Theirs: tierRequests, Bar: 1, Bound: atMost, Notes: asked},
	}, nil
}
