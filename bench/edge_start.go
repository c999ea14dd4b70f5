package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// How many objects an edge has when it is started again, and how it came by them.
const (
	startObjects  = 1_000_000
	startSize     = 100
	startClients  = 8
	startRepeats  = 3
	edgeStartTime = 2.0 // seconds
)

// measureEdgeStart measures how long an edge takes to start that has a million objects.
func measureEdgeStart(ctx context.Context, b *bench) ([]result, error) {
	objects := startObjects
	if b.flags.quick {
		objects /= 100
	}
	body := []byte(strings.Repeat("a", startSize))
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=86400")
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write(body) // who does not take it sees that himself
	}))
	defer origin.Close()
	folder, err := b.folder()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	options := serve{data: filepath.Join(folder, "data"), args: []string{"--roles", "edge", "--origin", origin.URL}}
	s, err := b.serve(ctx, options)
	if err != nil {
		return nil, err
	}
	if err := fillEdge(ctx, s.URL, objects); err != nil {
		s.kill()
		return nil, err
	}
	if _, err := s.stop(); err != nil {
		return nil, err
	}
	size := int64(0)
	if about, err := os.Stat(filepath.Join(options.data, "cache", "catalog.db")); err == nil {
		size = about.Size()
	}
	var starts []float64
	var memory int64
	for range startRepeats {
		s, err := b.serve(ctx, options)
		if err != nil {
			return nil, err
		}
		starts = append(starts, s.Startup.Seconds())
		known, err := hitsOf(s.URL, objects)
		memory = max(memory, residentMemory(s.Pid))
		if _, stopErr := s.stop(); err != nil || stopErr != nil {
			return nil, fmt.Errorf("after a start: %w, %w", err, stopErr)
		}
		if known < 99 {
			return nil, fmt.Errorf("only %d of 100 objects were there after a start", known)
		}
	}
	return []result{{
		Peer: "the limit", Clip: fmt.Sprintf("%d objects", objects), Unit: "s", Ours: slices.Max(starts), Theirs: edgeStartTime, Bar: 1, Bound: atMost,
		Notes: fmt.Sprintf("the slowest of %d starts until the ready line; the catalog has %d MB, the server %d MB of memory", startRepeats, size>>20, memory>>20),
	}}, nil
}

// fillEdge asks for so many different things.
func fillEdge(ctx context.Context, address string, objects int) error {
	host := strings.TrimPrefix(address, "http://")
	var next atomic.Int64
	var clients sync.WaitGroup
	failed := make(chan error, startClients)
	for range startClients {
		clients.Go(func() {
			conn, err := net.Dial("tcp", host)
			if err != nil {
				failed <- err
				return
			}
			defer conn.Close()
			in := bufio.NewReader(conn)
			for n := next.Add(1); n <= int64(objects) && ctx.Err() == nil; n = next.Add(1) {
				if _, err := conn.Write([]byte("GET /" + strconv.FormatInt(n, 10) + " HTTP/1.1\r\nHost: site.test\r\n\r\n")); err != nil {
					failed <- err
					return
				}
				if err := discardAnswer(in, startSize); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	clients.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return ctx.Err()
	}
}

// hitsOf is how many of a hundred objects are there.
func hitsOf(address string, objects int) (hits int, err error) {
	for n := range 100 {
		r, err := http.NewRequest(http.MethodGet, address+"/"+strconv.Itoa(1+n*objects/100), nil)
		if err != nil {
			return hits, err
		}
		r.Host = "site.test"
		in, err := http.DefaultClient.Do(r)
		if err != nil {
			return hits, err
		}
		in.Body.Close()
		if strings.HasPrefix(in.Header.Get("Cache-Status"), "liuyun; hit") {
			hits++
		}
	}
	return hits, nil
}
