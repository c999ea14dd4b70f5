package peer

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"liuyun/internal/flow/peer/onlooker"
	"liuyun/internal/testkit"
)

// The viewer of benchmarks gets what is sent, and is told where nothing is.
func TestOnlooker(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	err := onlooker.Watch(t.Context(), h.url+"/play/str_other/whep", func(int64) {})
	if err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("no such stream: %v", err)
	}
	h.publish(t, "/whip")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got atomic.Int64
	ended := make(chan error, 1)
	go func() {
		ended <- onlooker.Watch(ctx, h.url+"/play/"+streamID+"/whep", func(n int64) { got.Add(n) })
	}()
	testkit.Until(t, 30*time.Second, "ten pictures", func() bool { return got.Load() > 10*3000 })
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("a viewer who leaves: %v", err)
	}
}

// Who comes before the renditions of a stream do is given what they can carry later too: the
// connection is asked from its beginning how much that is.
func TestComesBeforeRenditions(t *testing.T) {
	t.Parallel()
	for _, ladder := range []bool{false, true} {
		h := newHouse(t, nil)
		h.desk.ladder = ladder
		h.publish(t, "/whip")
		viewer := client(t, nil, webrtc.Configuration{})
		newWatching(t, viewer)
		post(t, viewer, h.url+"/play/"+streamID+"/whep", "")
		if asked := strings.Contains(viewer.RemoteDescription().SDP, "transport-cc"); asked != ladder {
			t.Errorf("with a ladder, %v: asked, %v", ladder, asked)
		}
	}
}
