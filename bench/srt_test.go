package main

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	gosrt "github.com/datarhei/gosrt"
)

// The client of the benchmark is let in under its stream id, gets all that is sent, and
// acknowledges it.
func TestPlaySRT(t *testing.T) {
	t.Parallel()
	const id, datagrams, size = "read:one", 50, 1316
	l, err := gosrt.Listen("srt", "127.0.0.1:0", gosrt.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	asked, acked := make(chan string, 1), make(chan uint64, 1)
	go func() {
		caller, err := l.Accept2()
		if err != nil {
			return
		}
		asked <- caller.StreamId()
		conn, err := caller.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		for range datagrams {
			if _, err := conn.Write(make([]byte, size)); err != nil {
				return
			}
		}
		var s gosrt.Statistics
		for until := time.Now().Add(20 * time.Second); s.Accumulated.PktRecvACK == 0 && time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
			conn.Stats(&s)
		}
		acked <- s.Accumulated.PktRecvACK
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var got atomic.Int64
	err = playSRT(ctx, "srt://"+l.Addr().String()+"?streamid="+id, func(n int64) {
		if got.Add(n) == datagrams*size {
			cancel()
		}
	})
	if err != nil || got.Load() != datagrams*size {
		t.Fatalf("%d bytes came of %d: %v", got.Load(), datagrams*size, err)
	}
	if name := <-asked; name != id {
		t.Errorf("the stream id is %q", name)
	}
	if n := <-acked; n == 0 {
		t.Error("nothing was acknowledged")
	}
}
