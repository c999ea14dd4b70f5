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
	since  time.Time // what came before, or after until, is not counted
	direct map[string][]time.Time
	edges  map[string][]time.Time
	// bytesOf are those of a body.
	bytesOf map[string]int64
	until   time.Time
}

func (s *tierSeen) note(into map[string][]time.Time, a viewer.Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since.IsZero() || !s.until.IsZero() {
		return
	}
	into[a.Target] = append(into[a.Target], a.At)
	s.bytesOf[a.Target] = a.Bytes
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

// counts are how many things viewers of the edges got, and how many of them are parts.
func (s *tierSeen) counts() (all, parts int, bytes int64) {
	for target := range s.edges {
		all++
		bytes += s.bytesOf[target]
		if isPart(target) {
			parts++
		}
	}
	return all, parts, bytes
}

// crowd is who watches at once, and what that took.
type crowd struct {
	t       *tier
	viewers int
	length  time.Duration
	tierSeen
	names, parts     int
	bytes, down      int64 // of the names, and from the control node
	origins, shields float64
	busy, others     float64 // % of the machine
}

// measureEdgeTier measures how much later parts come through an edge and a shield, and
// what the origin is asked for that. Before, as many watch at the control node itself.
func measureEdgeTier(ctx context.Context, b *bench) ([]result, error) {
	length, viewers := tierTime, tierViewers
	if b.flags.quick {
		length, viewers = length/4, viewers/5
	}
	clip, err := b.liveClipOf(ctx, "live-small.mp4", "640x360", tierBitrate)
	if err != nil {
		return nil, err
	}
	t, err := b.startTier(ctx, clip)
	if err != nil {
		return nil, err
	}
	defer t.stop()
	near, far := &crowd{t: t, viewers: viewers, length: length / 2}, &crowd{t: t, viewers: viewers, length: length}
	if err := near.watch(ctx, tierControl, tierControl); err != nil {
		return nil, err
	}
	if err := far.watch(ctx, tierFirst, tierSecond); err != nil {
		return nil, err
	}
	return far.judge(near)
}

// watch has half of a crowd watch at each of two nodes, and some at the control node to
// compare with.
func (c *crowd) watch(ctx context.Context, nodes ...int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.direct, c.edges, c.bytesOf = make(map[string][]time.Time), make(map[string][]time.Time), make(map[string]int64)
	watching, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	begin := func(node int, into map[string][]time.Time) {
		all.Go(func() {
			err := viewer.Watch(watching, viewer.Options{Master: c.t.master(node), Got: func(a viewer.Answer) { c.note(into, a) }})
			if err != nil {
				cancel(fmt.Errorf("a viewer of node %d: %w", node, err))
			}
		})
	}
	for range tierDirect {
		begin(tierControl, c.direct)
	}
	for n := range c.viewers {
		begin(nodes[n%len(nodes)], c.edges)
		if err := pause(ctx, tierComingOver/time.Duration(c.viewers)); err != nil {
			return err
		}
	}
	if err := pause(ctx, tierSettle); err != nil {
		return err
	}
	return c.count(ctx)
}

// count has a crowd counted for its time.
func (c *crowd) count(ctx context.Context) error {
	busy, err := readBusy()
	if err != nil {
		return err
	}
	origins, shields, err := c.t.asked(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.since = time.Now()
	c.mu.Unlock()
	down, cpu := c.t.relay.back.Load(), c.t.cpu()
	if err := pause(ctx, c.length); err != nil {
		return err
	}
	c.mu.Lock()
	c.names, c.parts, c.bytes = c.counts()
	c.until = time.Now()
	c.mu.Unlock()
	if c.origins, c.shields, err = c.t.asked(ctx); err != nil {
		return err
	}
	c.origins, c.shields, c.down = c.origins-origins, c.shields-shields, c.t.relay.back.Load()-down
	after, err := readBusy()
	c.busy, c.others = 100*(after.busy-busy.busy)/(after.all-busy.all), 100*othersShare(busy, after, c.t.cpu()-cpu)
	return err
}

// cpu is the CPU seconds of all nodes and of this program.
func (t *tier) cpu() float64 {
	sum := ownCPU()
	for _, s := range t.running {
		sum += s.cpu()
	}
	return sum
}

func (c *crowd) String() string {
	late, direct := c.later()
	return fmt.Sprintf("%d parts that came, each against when half of %d others at the control node had it: p50 %.1f, p95 %.1f, p99 %.1f, most %.0f ms, those others themselves p95 %.1f, p99 %.1f ms; %.0f %% of the machine was busy, %.0f %% with what is not of this",
		len(late), tierDirect, percentile(late, 50), percentile(late, 95), percentile(late, 99), percentile(late, 100), percentile(direct, 95), percentile(direct, 99), c.busy, c.others)
}

func (c *crowd) judge(near *crowd) ([]result, error) {
	late, _ := c.later()
	same, _ := near.later()
	if len(late) < c.viewers || len(same) < c.viewers || c.parts == 0 {
		return nil, fmt.Errorf("only %d and %d parts came", len(late), len(same))
	}
	clip := fmt.Sprintf("LL-HLS, parts of 500 ms, %d viewers of 2 edges behind a shield", c.viewers)
	notes := fmt.Sprintf("%v; before, as many at the control node: %v", c, near)
	// Each name but a part is asked for once at least: what is left is for parts.
	each := (c.origins - float64(c.names-c.parts)) / float64(c.parts)
	asked := fmt.Sprintf("at most: the edges asked the origin %.0f times, and the shield %.0f times, while their viewers got %d different things, %d of them parts, the others versions of playlists that are asked for once at least; %.3f times their bytes came from the control node, heads and TLS included",
		c.origins, c.shields, c.names, c.parts, float64(c.down)/float64(c.bytes))
	return []result{
		{Peer: "the limit", Clip: clip, Unit: "ms later than direct, p50", Ours: percentile(late, 50), Theirs: tierLater, Bar: 1, Bound: atMost, Notes: notes},
		{Peer: "the limit", Clip: clip, Unit: "ms later than direct, p95", Ours: percentile(late, 95), Theirs: tierLater, Bar: 1, Bound: atMost},
		{Peer: "as many at the control node", Clip: clip, Unit: "ms later, p95", Ours: percentile(late, 95), Theirs: percentile(same, 95)},
		{Peer: "the limit", Clip: clip, Unit: "requests a part", Ours: each, Theirs: tierRequests, Bar: 1, Bound: atMost, Notes: asked},
	}, nil
}
