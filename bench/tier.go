package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tier is a cloud of a control node with a live stream, a shield, and two edges that ask
// it. The edges reach the control node's objects and media by a relay without a delay,
// which counts bytes.
type tier struct {
	b       *bench
	folder  string
	relay   *delayRelay // to media and objects
	bus     *delayRelay
	control serve
	places  []serve // the shield and two edges
	status  []string
	running []*server // the control node, the shield, the edges
	one     oneStream
	unpush  func() string
}

// Places in running.
const (
	tierControl = iota
	tierShield
	tierFirst
	tierSecond
)

func (t *tier) stop() {
	if t.unpush != nil {
		t.unpush()
	}
	for _, s := range t.running {
		if s != nil {
			s.kill()
		}
	}
	for _, r := range []*delayRelay{t.relay, t.bus} {
		if r != nil {
			r.close()
		}
	}
	os.RemoveAll(t.folder)
}

// startTier starts all, and a stream of a clip on it.
func (b *bench) startTier(ctx context.Context, clip string) (t *tier, err error) {
	t = &tier{b: b}
	defer func() {
		if err != nil {
			t.stop()
		}
	}()
	if t.folder, err = b.folder(); err != nil {
		return t, err
	}
	ports, err := freePorts(11)
	if err != nil {
		return t, err
	}
	if t.relay, err = newDelayRelay(strings.Replace(ports[0], "127.0.0.1", "127.0.0.2", 1), ports[0], 0); err != nil {
		return t, err
	}
	if t.bus, err = newDelayRelay(strings.Replace(ports[1], "127.0.0.1", "127.0.0.2", 1), ports[1], 0); err != nil {
		return t, err
	}
	t.control = serve{data: filepath.Join(t.folder, "control"), args: []string{
		"--listen", ports[2], "--roles", "control,live", "--set", "node.listen=" + ports[0], "--set", "bus.listen=" + ports[1],
		"--set", "node.address=127.0.0.2", "--set", "live.rtmp_listen=" + ports[3], "--set", "live.rtmp_url=rtmp://" + ports[3] + "/live",
	}}
	control, err := b.serve(ctx, t.control)
	if err != nil {
		return t, err
	}
	t.running = append(t.running, control)
	c, err := control.client("")
	if err != nil {
		return t, err
	}
	defer c.Close()
	token, err := c.Nodes.CreateJoinToken(ctx, []string{"edge"}, time.Hour)
	if err != nil {
		return t, err
	}
	if err := t.startEdges(ctx, token.Token, ports[4:]); err != nil {
		return t, err
	}
	ready := &fleet{client: c, edges: t.running[1:]}
	if err := ready.awaitReady(ctx); err != nil {
		return t, err
	}
	if t.one, err = control.newStream(ctx); err != nil {
		return t, err
	}
	if t.unpush, err = b.pushClip(clip, t.one.push); err != nil {
		return t, err
	}
	for _, n := range []int{tierControl, tierFirst, tierSecond} {
		if err := awaitWatch(watchHLS)(ctx, &liveServer{name: "liuyun", hls: t.master(n)}); err != nil {
			return t, err
		}
	}
	return t, nil
}

// startEdges starts the shield and the edges.
func (t *tier) startEdges(ctx context.Context, token string, ports []string) error {
	for n, name := range []string{"shield", "edge-1", "edge-2"} {
		o := serve{data: filepath.Join(t.folder, name), args: []string{
			"--listen", ports[n], "--roles", "edge", "--join", token, "--name", name, "--set", "edge.status_listen=" + ports[3+n],
		}}
		if name == "shield" {
			o.args = append(o.args, "--set", "edge.shield_listen="+ports[6])
		}
		t.places, t.status = append(t.places, o), append(t.status, "http://"+ports[3+n])
		s, err := t.b.serve(ctx, o)
		if err != nil {
			return err
		}
		t.running = append(t.running, s)
	}
	return nil
}

// master is where a node has the stream.
func (t *tier) master(node int) string {
	return t.running[node].URL + "/play/" + t.one.id + "/master.m3u8"
}

// asked is how often origins and shields were asked, by all edges together.
func (t *tier) asked(ctx context.Context) (origins, shields float64, err error) {
	for _, address := range t.status {
		of, err := askMetrics(ctx, address+"/metrics", "liuyun_edge_asked_total")
		if err != nil {
			return 0, 0, err
		}
		origins, shields = origins+of[`{of="origin"}`], shields+of[`{of="shield"}`]
	}
	return origins, shields, nil
}

// askMetrics reads the values of one name, by its labels.
func askMetrics(ctx context.Context, address, name string) (map[string]float64, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	in, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer in.Body.Close()
	values := make(map[string]float64)
	lines := bufio.NewScanner(in.Body)
	for lines.Scan() {
		rest, found := strings.CutPrefix(lines.Text(), name)
		labels, text, ok := strings.Cut(rest, " ")
		if !found || !ok {
			continue
		}
		if values[labels], err = strconv.ParseFloat(text, 64); err != nil {
			return nil, err
		}
	}
	if len(values) == 0 && lines.Err() == nil {
		return nil, fmt.Errorf("%s has no %s", address, name)
	}
	return values, lines.Err()
}

// start starts a node again as it was.
func (t *tier) start(ctx context.Context, node int) error {
	o := t.control
	if node != tierControl {
		o = t.places[node-1]
	}
	s, err := t.b.serve(ctx, o)
	if err != nil {
		return fmt.Errorf("node %d does not start again: %w", node, err)
	}
	t.running[node] = s
	return nil
}
