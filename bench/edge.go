package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"liuyun/test/program"
)

// hit is one way of asking a cache for what it has.
type hit struct {
	clip   string
	size   int
	secure bool
	rate   int // requests a second
	bar    float64
	late   bool // the slowest hundredth is compared too
}

func hits() []hit {
	return []hit{
		{"segment of 1 MiB", 1 << 20, false, 500, 1.0, false},
		{"segment of 1 MiB, TLS", 1 << 20, true, 200, 0.9, false},
		{"playlist of 4 KiB", 4 << 10, false, 5000, 2.0, true},
	}
}

// What a hit is measured with.
const (
	hitClients = 16
	hitSettle  = 2 * time.Second
	hitTime    = 10 * time.Second
)

// edgeCache is one of those that are compared, in front of an origin.
type edgeCache struct {
	liveServer
	url string
}

// edgeStart starts one, pinned to a core.
type edgeStart func(ctx context.Context, b *bench, origin string, with *program.Certificate, cpu int) (*edgeCache, error)

// measureEdgeHit compares the cost of a hit with nginx's.
func measureEdgeHit(ctx context.Context, b *bench) ([]result, error) {
	cores, err := b.cores(2)
	if err != nil {
		return nil, err
	}
	folder, err := b.folder()
	if err != nil {
		return nil, err
	}
	pair, err := program.NewCertificate(folder)
	if err != nil {
		return nil, err
	}
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		size, _ := strconv.Atoi(r.URL.Query().Get("size"))
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Header().Set("Content-Type", "video/mp4")
		w.Header().Set("Content-Length", strconv.Itoa(size))
		_, _ = w.Write(make([]byte, size)) // who does not take it sees that himself
	}))
	defer origin.Close()
	release, err := b.pinSelf(ctx, cores[1])
	if err != nil {
		return nil, err
	}
	defer release()
	count := b.flags.pairs
	if b.flags.quick {
		count = 1
	}
	var all []result
	for _, h := range hits() {
		var ours, theirs, ratios, ourLate, theirLate []float64
		var x, y hitCost
		for n := range count {
			if x, err = b.hitCost(ctx, liuyunEdge, origin.URL, &pair, cores[0], h); err != nil {
				return nil, err
			}
			if y, err = b.hitCost(ctx, nginxEdge, origin.URL, &pair, cores[0], h); err != nil {
				return nil, err
			}
			b.say("  %s, pair %d of %d: ours %v; nginx %v", h.clip, n+1, count, x, y)
			ours, theirs = append(ours, x.each()), append(theirs, y.each())
			ratios = append(ratios, x.each()/y.each())
			ourLate, theirLate = append(ourLate, x.p99), append(theirLate, y.p99)
		}
		all = append(all, result{
			Peer: "nginx, proxy_cache", Clip: h.clip, Unit: "CPU µs", Ours: median(ours), Theirs: median(theirs), Bar: h.bar, Bound: atMost,
			Notes: fmt.Sprintf("%d pairs, ratios %.3f to %.3f, a request; of the last pair ours %v, theirs %v; others used up to %.0f %% of the machine",
				count, slices.Min(ratios), slices.Max(ratios), x, y, 100*max(x.others, y.others)),
		})
		if h.late {
			all = append(all, result{
				Peer: "nginx, proxy_cache", Clip: h.clip, Unit: "ms, p99", Ours: median(ourLate), Theirs: median(theirLate), Bar: 1, Bound: atMost,
				Notes: fmt.Sprintf("%d pairs, ours %.2f to %.2f, theirs %.2f to %.2f", count, slices.Min(ourLate), slices.Max(ourLate), slices.Min(theirLate), slices.Max(theirLate)),
			})
		}
	}
	return all, nil
}

// hitCost is what so many requests cost.
type hitCost struct {
	liveCost
	requests  int
	p50, p99  float64 // ms
	perSecond float64
}

// each is the CPU time of a request, of the server and of who asks, in µs.
func (c hitCost) each() float64 { return (c.server + c.client) / float64(c.requests) * 1e6 }

func (c hitCost) String() string {
	return fmt.Sprintf("%.1f µs (server %.1f; %.0f a second, p50 %.2f ms, p99 %.2f ms)", c.each(), c.server/float64(c.requests)*1e6, c.perSecond, c.p50, c.p99)
}

func (b *bench) hitCost(ctx context.Context, start edgeStart, origin string, pair *program.Certificate, cpu int, h hit) (c hitCost, err error) {
	var with *program.Certificate
	if h.secure {
		with = pair
	}
	s, err := start(ctx, b, origin, with, cpu)
	if err != nil {
		return c, err
	}
	defer s.stop()
	asking, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var bytes atomic.Int64
	var mu sync.Mutex
	var latencies []float64
	var counting atomic.Bool
	var all sync.WaitGroup
	for n := range hitClients {
		all.Go(func() {
			every := time.Second * hitClients / time.Duration(h.rate)
			if err := askAgain(asking, s.url, h, with, every, every*time.Duration(n)/hitClients, func(took time.Duration) {
				if counting.Load() {
					bytes.Add(int64(h.size))
					mu.Lock()
					latencies = append(latencies, float64(took)/float64(time.Millisecond))
					mu.Unlock()
				}
			}); err != nil && asking.Err() == nil {
				cancel(fmt.Errorf("asking %s: %w", s.name, err))
			}
		})
	}
	if err := pause(asking, hitSettle); err != nil {
		return c, context.Cause(asking)
	}
	counting.Store(true)
	c.liveCost, err = b.during(asking, &s.liveServer, 0, hitTime, &bytes)
	counting.Store(false)
	if err != nil {
		return c, errors.Join(err, context.Cause(asking))
	}
	cancel(nil)
	all.Wait()
	slices.Sort(latencies)
	c.requests = len(latencies)
	c.perSecond = float64(c.requests) / c.seconds
	c.p50, c.p99 = latencies[len(latencies)/2], latencies[len(latencies)*99/100]
	return c, nil
}

// askAgain asks for the same again and again on one connection, each time when it is
// due, and tells how long an answer took since then.
func askAgain(ctx context.Context, address string, h hit, pair *program.Certificate, every, first time.Duration, took func(time.Duration)) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	var conn net.Conn
	if conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", u.Host); err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if h.secure {
		conn = tls.Client(conn, &tls.Config{RootCAs: pair.Trust, ServerName: "localhost"})
	}
	request := []byte("GET /file?size=" + strconv.Itoa(h.size) + " HTTP/1.1\r\nHost: localhost\r\n\r\n")
	in := bufio.NewReaderSize(conn, 64<<10)
	for due := time.Now().Add(first); ; due = due.Add(every) {
		if err := pause(ctx, time.Until(due)); err != nil {
			return nil
		}
		if _, err := conn.Write(request); err != nil {
			return err
		}
		if err := discardAnswer(in, h.size); err != nil {
			return err
		}
		took(time.Since(due))
	}
}

// discardAnswer reads an answer of that size.
func discardAnswer(in *bufio.Reader, size int) error {
	for n := 0; ; n++ {
		line, err := in.ReadSlice('\n')
		switch {
		case err != nil:
			return err
		case n == 0 && !strings.HasPrefix(string(line), "HTTP/1.1 200 "):
			return fmt.Errorf("answered %q", line)
		case len(line) == 2:
			_, err := io.CopyN(io.Discard, in, int64(size))
			return err
		}
	}
}

// liuyunEdge is ours.
func liuyunEdge(ctx context.Context, b *bench, origin string, with *program.Certificate, cpu int) (*edgeCache, error) {
	var args []string
	if with != nil {
		args = append(args, "--tls-cert", with.Cert, "--tls-key", with.Key)
	}
	return b.edge(ctx, origin, []int{cpu}, args...)
}

// edge starts ours, pinned to cpus (nil pins nothing).
func (b *bench) edge(ctx context.Context, origin string, cpus []int, more ...string) (*edgeCache, error) {
	folder, err := b.folder()
	if err != nil {
		return nil, err
	}
	args := append([]string{"--roles", "edge", "--origin", origin}, more...)
	s, err := b.serve(ctx, serve{data: filepath.Join(folder, "data"), args: args, cpus: cpus})
	if err != nil {
		return nil, err
	}
	return &edgeCache{liveServer{name: "liuyun", pids: []int{s.Pid}, stop: func() {
		if _, err := s.stop(); err != nil {
			b.say("%v", err)
		}
		os.RemoveAll(folder)
	}}, s.URL}, nil
}

// nginxCacheConfig is what nginx needs to be such a cache. As in Debian's own file it
// sends files by sendfile, with tcp_nopush.
const nginxCacheConfig = `
%sdaemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
	access_log off;
	sendfile on;
	tcp_nopush on;
	keepalive_requests 1000000;
	client_body_temp_path temp;
	proxy_temp_path temp;
	fastcgi_temp_path temp;
	uwsgi_temp_path temp;
	scgi_temp_path temp;
	proxy_cache_path cache keys_zone=edge:10m max_size=8g;
	server {
		listen %s;
		%s
		location / {
			proxy_pass %s;
			proxy_cache edge;
			proxy_cache_lock on;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
		}
	}
}
`

// nginxEdge is Debian's nginx: a worker, and two that look after the cache.
func nginxEdge(ctx context.Context, b *bench, origin string, with *program.Certificate, cpu int) (*edgeCache, error) {
	n, err := b.startNginx(ctx, 3, func(n *nginxServer, owner, address string) (string, error) {
		secure := ""
		if with != nil {
			n.url = "https://" + address
			address, secure = address+" ssl", fmt.Sprintf("ssl_certificate %s; ssl_certificate_key %s;", with.Cert, with.Key)
		}
		return fmt.Sprintf(nginxCacheConfig, owner, address, secure, origin), nil
	}, "taskset", "-c", strconv.Itoa(cpu))
	if err != nil {
		return nil, err
	}
	return &edgeCache{liveServer{name: "nginx", pids: n.pids, stop: n.stop}, n.url}, nil
}

// pinSelf pins this program to a core, until release is called.
func (b *bench) pinSelf(ctx context.Context, cpu int) (release func(), err error) {
	before, err := allowedCPUs()
	if err != nil {
		return nil, err
	}
	pin := func(ctx context.Context, cpus []int) error {
		out, err := exec.CommandContext(ctx, "taskset", "-a", "-c", "-p", cpuList(cpus), strconv.Itoa(os.Getpid())).CombinedOutput()
		if err != nil {
			return fmt.Errorf("pin this program: %w: %s", err, out)
		}
		return nil
	}
	return func() {
		if err := pin(context.WithoutCancel(ctx), before); err != nil {
			b.say("%v", err)
		}
	}, pin(ctx, []int{cpu})
}
