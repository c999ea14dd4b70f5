package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// How long pictures are watched after the player has found its place.
const (
	glassSettle = 10 * time.Second
	glassTime   = 40 * time.Second
)

// measureLiveGlass takes how long after a picture was made it is on show in Chromium,
// on the program's own page: pictures carry the time at which they were made, go
// through an encoder without B-frames or a look ahead, by RTMP to the server, which
// passes them on.
func measureLiveGlass(ctx context.Context, b *bench) ([]result, error) {
	var results []result
	for _, one := range []struct {
		clip     string
		part     string
		realTime bool
		limit    float64 // seconds
	}{
		{"LL-HLS, parts of 500ms", "500ms", false, 2.5},
		{"LL-HLS, parts of 200ms", "200ms", false, 1.3},
		{"WebRTC", "500ms", true, 0.15},
	} {
		r, err := b.glass(ctx, "live.part="+one.part, one.realTime)
		if err != nil {
			return results, err
		}
		r.Clip, r.Theirs = one.clip, one.limit
		b.say("  %s: %.3f s; %s", r.Clip, r.Ours, r.Notes)
		results = append(results, r)
	}
	return results, nil
}

func (b *bench) glass(ctx context.Context, setting string, realTime bool) (result, error) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		return result{}, &absentError{"chromium"}
	}
	s, stop, err := b.serveLive(ctx, "--set", setting)
	if err != nil {
		return result{}, err
	}
	defer stop()
	one, err := s.newStream(ctx)
	if err != nil {
		return result{}, err
	}
	encoder := exec.CommandContext(ctx, b.ffmpeg, "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", clockGraph("1280x720", 25),
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "50", "-pix_fmt", "yuv420p", "-b:v", "2M", "-f", "flv", one.push)
	if err := encoder.Start(); err != nil {
		return result{}, err
	}
	defer func() { encoder.Process.Kill(); encoder.Wait() }()
	if err := awaitWatch(watchHLS)(ctx, &liveServer{name: "liuyun", hls: one.hls}); err != nil {
		return result{}, err
	}
	found, err := b.watchGlass(ctx, map[string]any{
		"chromium": chromium, "url": s.URL + "/embed/" + one.id, "realTime": realTime, "settle": glassSettle.Seconds(), "seconds": glassTime.Seconds(),
	})
	if err != nil {
		return result{}, err
	}
	slices.Sort(found.Samples)
	at := func(p int) float64 { return found.Samples[(len(found.Samples)-1)*p/100] / 1000 }
	return result{
		Peer: "the limit", Unit: "s, p95", Ours: at(95), Bar: 1, Bound: atMost,
		Notes: fmt.Sprintf("%d pictures; median %.3f s, 99 %% %.3f s, most %.3f s; the player shows %q; %d stalls",
			len(found.Samples), at(50), at(99), at(100), strings.TrimSpace(found.Shown), found.Stalls),
	}, nil
}

// glassFound is what glass.mjs says.
type glassFound struct {
	Samples  []float64 // milliseconds
	Stalls   int
	Shown    string
	Problems []string
}

func (b *bench) watchGlass(ctx context.Context, job map[string]any) (found glassFound, err error) {
	text, err := json.Marshal(job)
	if err != nil {
		return found, err
	}
	script := filepath.Join(b.root, "test", "e2e", "glass.mjs")
	command := exec.CommandContext(ctx, "node", script)
	command.Stdin = bytes.NewReader(text)
	log := &lastLines{}
	command.Stderr = log
	out, err := command.Output()
	if err == nil {
		err = json.Unmarshal(out, &found)
	}
	if err != nil {
		return found, fmt.Errorf("%s: %w\n%s", filepath.Base(script), err, log)
	}
	if len(found.Samples) < 100 || len(found.Problems) > 0 {
		return found, fmt.Errorf("%d pictures were seen; %q", len(found.Samples), found.Problems)
	}
	return found, nil
}

// clockGraph is what ffmpeg's lavfi reads for pictures that come as time goes by and
// carry, in sixteen fields along their top, the milliseconds since 1970 at which each
// was made, modulo 65,536.
func clockGraph(size string, rate int) string {
	var graph strings.Builder
	fmt.Fprintf(&graph, "testsrc2=size=%s:rate=%d,realtime,settb=1/1000,setpts=RTCTIME/1000,format=yuv420p", size, rate)
	for bit := range 16 {
		fmt.Fprintf(&graph, ",drawbox=x=%d*iw/16:y=0:w=iw/16:h=ih*2/9:t=fill:color=black", bit)
		fmt.Fprintf(&graph, ",drawbox=x=%d*iw/16:y=0:w=iw/16:h=ih*2/9:t=fill:color=white:enable='gt(bitand(t*1000,%d),0)'", bit, 1<<bit)
	}
	fmt.Fprintf(&graph, ",setpts=N/(%d*TB)", rate)
	return graph.String()
}
