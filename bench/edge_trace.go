package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// What the trace is replayed with.
const (
	traceRequests = 5_000_000
	traceQuick    = 100_000
	traceSpace    = 512 << 20 // bytes that each cache may store
	traceClients  = 8
	traceSample   = 2 * time.Second // between looks at what is stored
)

// measureEdgeTrace compares the share of bytes that an edge has of a trace with nginx's
// and Varnish's, at equal space.
func measureEdgeTrace(ctx context.Context, b *bench) ([]result, error) {
	requests, space := traceRequests, int64(traceSpace)
	if b.flags.quick {
		requests, space = traceQuick, traceSpace/4
	}
	t := newTraceModel(requests).make()
	facts := t.facts()
	b.say("  %v", facts)
	ours, err := b.replayThrough(ctx, t, space, traceEdge)
	if err != nil {
		return nil, err
	}
	var all []result
	for _, start := range []traceStart{traceNginx, traceVarnish} {
		theirs, err := b.replayThrough(ctx, t, space, start)
		var absent *absentError
		switch {
		case errors.As(err, &absent):
			b.say("  skipped: %v", err)
			continue
		case err != nil:
			return all, err
		}
		all = append(all, result{
			Peer: theirs.name, Clip: fmt.Sprintf("%d requests, space for %d MiB", requests, space>>20), Unit: "byte hit ratio",
			Ours: ours.byteRatio(), Theirs: theirs.byteRatio(), Bar: 1, Bound: atLeast,
			Notes: fmt.Sprintf("%v; ours, half of the space for bodies in memory and half for files: %v; %s: %v", facts, ours, theirs.name, theirs),
		})
	}
	return all, nil
}

func (f traceFacts) String() string {
	return fmt.Sprintf("%d objects of %.1f GB, %.0f %% of them asked for once, %.0f %% of their bytes in objects of 64 KiB at most; %.1f GB asked for",
		f.objects, float64(f.objectBytes)/1e9, 100*float64(f.once)/float64(f.objects), 100*float64(f.small)/float64(f.objectBytes), float64(f.bytes)/1e9)
}

// traced is what came of a trace behind one cache.
type traced struct {
	name                string
	requests, fetched   int64 // that clients made, and that came to the origin
	bytes, fetchedBytes int64
	server              float64 // CPU seconds
	seconds             float64
	memory              int64 // peak of the largest process
	stored, mostStored  int64 // mean and peak; 0 where it is not known
}

// byteRatio is the share of the bytes that the cache had.
func (t traced) byteRatio() float64 { return 1 - float64(t.fetchedBytes)/float64(t.bytes) }

func (t traced) objectRatio() float64 { return 1 - float64(t.fetched)/float64(t.requests) }

func (t traced) String() string {
	text := fmt.Sprintf("%.4f of the bytes and %.4f of the requests, %.1f CPU s for 100,000 of them (%.0f a second), %d MB of memory",
		t.byteRatio(), t.objectRatio(), t.server*1e5/float64(t.requests), float64(t.requests)/t.seconds, t.memory>>20)
	if t.stored > 0 {
		text += fmt.Sprintf(", %d MiB stored in the mean, %d at most", t.stored>>20, t.mostStored>>20)
	}
	return text
}

// traceCache is a cache that a trace is replayed through.
type traceCache struct {
	*edgeCache
	stored func() int64 // bytes that are stored now; nil: not known
}

// traceStart starts one with so much space.
type traceStart func(ctx context.Context, b *bench, origin string, space int64) (*traceCache, error)

// traceOrigin makes objects whose size is the last part of their path, and counts them.
type traceOrigin struct {
	body           []byte
	asked, written atomic.Int64
}

// ServeHTTP answers.
func (o *traceOrigin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	size, err := strconv.Atoi(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
	if err != nil || size < 0 || size > len(o.body) {
		http.NotFound(w, r)
		return
	}
	if !strings.HasPrefix(r.URL.Path, nginxTick) {
		o.asked.Add(1)
		o.written.Add(int64(size))
	}
	w.Header().Set("Cache-Control", "max-age=86400")
	w.Header().Set("Content-Type", "video/mp4")
	w.Header().Set("Content-Length", strconv.Itoa(size))
	_, _ = w.Write(o.body[:size]) // who does not take it sees that himself
}

// replayThrough replays a trace through one cache.
func (b *bench) replayThrough(ctx context.Context, t trace, space int64, start traceStart) (r traced, err error) {
	origin := &traceOrigin{body: make([]byte, mostSize)}
	server := httptest.NewServer(origin)
	defer server.Close()
	c, err := start(ctx, b, server.URL, space)
	if err != nil {
		return r, err
	}
	defer c.stop()
	before, began := c.cpu(), time.Now()
	watching, end := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() { r.stored, r.mostStored = c.watch(watching) })
	err = replay(ctx, c.url, t)
	r.server, r.seconds = c.cpu()-before, time.Since(began).Seconds()
	end()
	watcher.Wait()
	if err != nil {
		return r, fmt.Errorf("replay through %s: %w", c.name, err)
	}
	for _, pid := range c.pids {
		r.memory = max(r.memory, peakMemory(pid))
	}
	for _, n := range t.requests {
		r.bytes += int64(t.sizes[n])
	}
	r.name, r.requests, r.fetched, r.fetchedBytes = c.name, int64(len(t.requests)), origin.asked.Load(), origin.written.Load()
	b.say("  %s: %v", r.name, r)
	return r, nil
}

// watch looks at what is stored until ctx ends. What is stored in the first half of that
// does not count for the mean, as the cache fills in it.
func (c *traceCache) watch(ctx context.Context) (mean, most int64) {
	if c.stored == nil {
		return 0, 0
	}
	var samples []int64
	for pause(ctx, traceSample) == nil {
		n := c.stored()
		samples = append(samples, n)
		most = max(most, n)
	}
	if len(samples) == 0 {
		return 0, 0
	}
	late := samples[len(samples)/2:]
	for _, n := range late {
		mean += n / int64(len(late))
	}
	return mean, most
}

// replay asks for all of a trace in its order, over so many connections that each ask for
// the next thing as soon as they have one. Each answer has to have its size.
func replay(ctx context.Context, address string, t trace) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var clients sync.WaitGroup
	for range traceClients {
		clients.Go(func() {
			if err := replayNext(ctx, strings.TrimPrefix(address, "http://"), t, &next); err != nil {
				cancel(err)
			}
		})
	}
	clients.Wait()
	return context.Cause(ctx)
}

func replayNext(ctx context.Context, host string, t trace, next *atomic.Int64) error {
	conn, err := net.Dial("tcp", host)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	in := bufio.NewReaderSize(conn, 64<<10)
	var request []byte
	for n := next.Add(1) - 1; n < int64(len(t.requests)); n = next.Add(1) - 1 {
		object := t.requests[n]
		size := int(t.sizes[object])
		request = fmt.Appendf(request[:0], "GET /%d/%d HTTP/1.1\r\nHost: site.test\r\n\r\n", object, size)
		if _, err := conn.Write(request); err != nil {
			return err
		}
		if err := discardAnswer(in, size); err != nil {
			return fmt.Errorf("request %d, for %d bytes: %w", n, size, err)
		}
	}
	return nil
}

// traceEdge is ours: half of the space for what it keeps in memory, half for files.
func traceEdge(ctx context.Context, b *bench, origin string, space int64) (*traceCache, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	half := fmt.Sprintf("%dMiB", space>>21)
	e, err := b.edge(ctx, origin, nil, "--set", "edge.memory="+half, "--set", "edge.disk="+half, "--set", "edge.status_listen="+ports[0])
	if err != nil {
		return nil, err
	}
	return &traceCache{edgeCache: e, stored: func() int64 { return storedBytes(ports[0]) }}, nil
}

// storedBytes is what an edge says that it has, or 0.
func storedBytes(status string) (sum int64) {
	in, err := http.Get("http://" + status + "/metrics")
	if err != nil {
		return 0
	}
	defer in.Body.Close()
	text, _ := io.ReadAll(in.Body) // what came of it is read
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte("liuyun_edge_stored_bytes{")) {
			fields := bytes.Fields(line)
			n, _ := strconv.ParseFloat(string(fields[len(fields)-1]), 64) // it is a number
			sum += int64(n)
		}
	}
	return sum
}

// nginxTraceConfig has nginx keep close to its limit. Its cache manager looks at all
// caches when one of them is due, which one that is below its limit is every ten seconds:
// meanwhile the other could grow far above its own. So there is a small second cache that
// always has something that expires, one thing at a time, and the manager looks each 20 ms.
const nginxTraceConfig = `
%sdaemon off;
worker_processes 2;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
	access_log off;
	sendfile on;
	keepalive_requests 10000000;
	client_body_temp_path temp;
	proxy_temp_path temp;
	fastcgi_temp_path temp;
	uwsgi_temp_path temp;
	scgi_temp_path temp;
	proxy_cache_path cache levels=1:2 keys_zone=edge:64m max_size=%d inactive=1d use_temp_path=off manager_files=1000 manager_sleep=20ms;
	proxy_cache_path tick keys_zone=tick:1m inactive=1s use_temp_path=off manager_files=1 manager_sleep=20ms;
	upstream origin {
		server %s;
		keepalive 64;
		keepalive_requests 10000000;
	}
	proxy_http_version 1.1;
	proxy_set_header Connection "";
	proxy_buffer_size 16k;
	proxy_buffers 8 128k;
	proxy_busy_buffers_size 256k;
	proxy_temp_file_write_size 256k;
	server {
		listen %s;
		location / {
			proxy_pass http://origin;
			proxy_cache edge;
			proxy_cache_lock on;
		}
		location %s {
			proxy_pass http://origin;
			proxy_cache tick;
		}
	}
}
`

// nginxTick is asked for, with numbers, to keep the cache manager awake.
const nginxTick = "/tick/"

// traceNginx is Debian's nginx.
func traceNginx(ctx context.Context, b *bench, origin string, space int64) (*traceCache, error) {
	folder := ""
	n, err := b.startNginx(ctx, 4, func(n *nginxServer, owner, address string) (string, error) {
		folder = filepath.Join(filepath.Dir(n.folder), "cache")
		return fmt.Sprintf(nginxTraceConfig, owner, space, strings.TrimPrefix(origin, "http://"), address, nginxTick), nil
	})
	if err != nil {
		return nil, err
	}
	ticking, end := context.WithCancel(ctx)
	var ticker sync.WaitGroup
	ticker.Go(func() {
		if err := tick(ticking, n.url+nginxTick); err != nil && ticking.Err() == nil {
			b.say("  nginx's cache manager is not kept awake: %v", err)
		}
	})
	stop := func() {
		end()
		ticker.Wait()
		n.stop()
	}
	if err := pause(ctx, nginxFirstLook); err != nil {
		stop()
		return nil, err
	}
	e := &edgeCache{liveServer{name: "nginx", pids: n.pids, stop: stop}, n.url}
	return &traceCache{edgeCache: e, stored: func() int64 { return folderSize(folder) }}, nil
}

// nginxFirstLook is how long a cache manager takes that has begun with nothing to see, to
// look for the second time.
const nginxFirstLook = 12 * time.Second

// tick asks for one new thing after the other, until ctx ends.
func tick(ctx context.Context, address string) error {
	for n := 0; ; n++ {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s%d/1", address, n), nil)
		if err != nil {
			return err
		}
		in, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, in.Body) // it is asked for, that is all
		in.Body.Close()
		if pause(ctx, 20*time.Millisecond) != nil {
			return nil
		}
	}
}

// folderSize is what the files in a folder take, in blocks of 4 KiB as nginx counts them.
func folderSize(folder string) (sum int64) {
	const block = 4 << 10
	_ = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil // gone meanwhile
		}
		if info, err := entry.Info(); err == nil {
			sum += (info.Size() + block - 1) / block * block
		}
		return nil
	})
	return sum
}

// traceVarnish is Debian's Varnish. It may make as much room for an object as that needs:
// by itself it gives up after 50 others.
func traceVarnish(ctx context.Context, b *bench, origin string, space int64) (*traceCache, error) {
	v, err := b.varnish(ctx, origin, nil, "-s", fmt.Sprintf("default,%d", space), "-p", "nuke_limit=100000")
	if err != nil {
		return nil, err
	}
	return &traceCache{edgeCache: v}, nil
}
