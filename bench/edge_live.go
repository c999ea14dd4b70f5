package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// What a segment is measured with that is still being made.
const (
	growingSize    = 1 << 20
	growingTime    = 2200 * time.Millisecond
	growingPieces  = 44
	growingViewers = 50
	growingRounds  = 10
)

// measureEdgeLive measures how soon those who ask for a segment that is being made get its
// first byte, through an edge and through Varnish.
func measureEdgeLive(ctx context.Context, b *bench) ([]result, error) {
	rounds := growingRounds
	if b.flags.quick {
		rounds = 2
	}
	cores, err := b.cores(2)
	if err != nil {
		return nil, err
	}
	ours, err := b.growing(ctx, rounds, func(origin string) (*edgeCache, error) { return liuyunEdge(ctx, b, origin, nil, cores[0]) })
	if err != nil {
		return nil, err
	}
	note := "Varnish is not to be had"
	theirs, err := b.growing(ctx, rounds, func(origin string) (*edgeCache, error) { return varnishEdge(ctx, b, origin, cores[0]) })
	var absent *absentError
	switch {
	case err == nil:
		note = fmt.Sprintf("Varnish in the same run: %v", theirs)
	case !errors.As(err, &absent):
		return nil, err
	}
	clip := fmt.Sprintf("a segment of 1 MiB made in 2.2 s, %d viewers", growingViewers)
	note = fmt.Sprintf("%d segments; ours: %v; %s", rounds, ours, note)
	return []result{
		{Peer: "the limit", Clip: clip, Unit: "ms p50", Ours: ours.p50, Theirs: 2, Bar: 1, Bound: atMost, Notes: note},
		{Peer: "the limit", Clip: clip, Unit: "ms p99", Ours: ours.p99, Theirs: 200, Bar: 1, Bound: atMost, Notes: note},
		{Peer: "the limit", Clip: clip, Unit: "requests", Ours: ours.requests, Theirs: 1, Bar: 1, Bound: atMost, Notes: "that the origin sees for a segment"},
	}, nil
}

// growth is how soon first bytes came, in ms, and how often the origin was asked for a
// segment.
type growth struct{ p50, p99, most, requests float64 }

func (g growth) String() string {
	return fmt.Sprintf("p50 %.2f ms, p99 %.1f ms, most %.1f ms, %.2f requests a segment", g.p50, g.p99, g.most, g.requests)
}

func (b *bench) growing(ctx context.Context, rounds int, start func(origin string) (*edgeCache, error)) (g growth, err error) {
	var asked atomic.Int64
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			return // somebody looks whether it is there
		}
		asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Header().Set("Content-Type", "video/mp4")
		piece := make([]byte, growingSize/growingPieces)
		for range growingPieces {
			if _, err := w.Write(piece); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush() // the next write says why not
			if pause(r.Context(), growingTime/growingPieces) != nil {
				return
			}
		}
	}))
	defer origin.Close()
	s, err := start(origin.URL)
	if err != nil {
		return g, err
	}
	defer s.stop()
	transport := &http.Transport{MaxIdleConnsPerHost: growingViewers}
	defer transport.CloseIdleConnections()
	var mu sync.Mutex
	var first []float64
	for round := range rounds {
		var viewers sync.WaitGroup
		failed := make(chan error, growingViewers)
		for n := range growingViewers {
			viewers.Go(func() {
				took, err := firstByte(ctx, transport, fmt.Sprintf("%s/segment-%d.m4s", s.url, round), growingTime*time.Duration(n)/(growingViewers+5))
				if err != nil {
					failed <- err
					return
				}
				mu.Lock()
				defer mu.Unlock()
				first = append(first, float64(took)/float64(time.Millisecond))
			})
		}
		viewers.Wait()
		select {
		case err := <-failed:
			return g, fmt.Errorf("a viewer of %s: %w", s.name, err)
		default:
		}
	}
	slices.Sort(first)
	g = growth{first[len(first)/2], first[len(first)*99/100], first[len(first)-1], float64(asked.Load()) / float64(rounds)}
	b.say("  %s: %v", s.name, g)
	return g, nil
}

// firstByte asks after a while, and reads all of it. It returns how long the first byte
// took.
func firstByte(ctx context.Context, transport http.RoundTripper, address string, after time.Duration) (took time.Duration, err error) {
	if err := pause(ctx, after); err != nil {
		return 0, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	in, err := transport.RoundTrip(r)
	if err != nil {
		return 0, err
	}
	defer in.Body.Close()
	if _, err := io.ReadFull(in.Body, make([]byte, 1)); err != nil {
		return 0, err
	}
	took = time.Since(begun)
	n, err := io.Copy(io.Discard, in.Body)
	if err == nil && n+1 != growingSize/growingPieces*growingPieces {
		err = fmt.Errorf("%d bytes came", n+1)
	}
	return took, err
}

// varnishEdge is Debian's Varnish as it is by itself.
func varnishEdge(ctx context.Context, b *bench, origin string, cpu int) (*edgeCache, error) {
	return b.varnish(ctx, origin, []int{cpu}, "-s", "default,64m")
}

// varnish starts Debian's Varnish, pinned to cpus (nil pins nothing).
func (b *bench) varnish(ctx context.Context, origin string, cpus []int, more ...string) (*edgeCache, error) {
	const program = "/usr/sbin/varnishd"
	if _, err := os.Stat(program); err != nil {
		return nil, &absentError{"Varnish"}
	}
	folder, err := b.folder()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	log := &lastLines{}
	args := append([]string{program, "-F", "-j", "none", "-n", folder, "-a", ports[0], "-b", strings.TrimPrefix(origin, "http://")}, more...)
	if cpus != nil {
		args = append([]string{"taskset", "-c", cpuList(cpus)}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // gone already: nothing to end
		_ = cmd.Wait()
		os.RemoveAll(folder)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := net.Dial("tcp", ports[0])
		if err == nil {
			conn.Close()
			pids := append([]int{cmd.Process.Pid}, children(cmd.Process.Pid)...)
			return &edgeCache{liveServer{name: "Varnish", pids: pids, stop: stop}, "http://" + ports[0]}, nil
		}
		if time.Now().After(deadline) {
			stop()
			return nil, fmt.Errorf("the Varnish does not answer: %w\n%s", err, log)
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			stop()
			return nil, err
		}
	}
}
