package rtmp

import (
	"fmt"
	"testing"
	"time"
)

// Strangers are few, and of few bytes.
func TestIngress(t *testing.T) {
	t.Parallel()
	g := &ingress{open: make(map[*connection]struct{}), from: make(map[string]int)}
	var inside []*connection
	for i := range mostStrangers {
		c := &connection{host: fmt.Sprint(i % 2), left: strangerBytes}
		if why := g.enter(c); why != "" {
			t.Fatal(why)
		}
		inside = append(inside, c)
	}
	if why := g.enter(&connection{host: "x", left: 1}); why == "" {
		t.Error("one stranger too many is let in")
	}
	for _, c := range inside {
		g.known(c)
	}
	for range mostOfOne - mostStrangers/2 {
		if why := g.enter(&connection{host: "0", left: 1}); why != "" {
			t.Fatal(why)
		}
	}
	if why := g.enter(&connection{host: "0", left: 1}); why == "" {
		t.Error("one address may have any number")
	}
	for _, c := range inside {
		g.exit(c)
	}
	if g.strangers != mostOfOne-mostStrangers/2 || g.from["1"] != 0 {
		t.Errorf("left are %d strangers, %v", g.strangers, g.from)
	}
}

func TestSigned24(t *testing.T) {
	t.Parallel()
	for ms, want := range map[uint32]int64{0: 0, 80: 80, 0xffffff: -1, 0xffffb0: -80, 0x7fffff: 0x7fffff} {
		if got := signed24(time.Duration(ms) * time.Millisecond); got != want {
			t.Errorf("%x is %d, want %d", ms, got, want)
		}
	}
}
