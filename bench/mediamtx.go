package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// mediamtxConfig is what MediaMTX is told: the protocol at hand, segments and parts as
// long as ours, and otherwise what it does by itself.
const mediamtxConfig = `
logLevel: warn
rtsp: no
rtmpAddress: %s
hlsAddress: %s
hlsVariant: lowLatency
hlsAlwaysRemux: yes
hlsSegmentDuration: 4s
hlsPartDuration: 500ms
webrtc: no
srt: no
paths:
  all_others:
`

// mediamtxName is what figures call it.
const mediamtxName = "MediaMTX 1.20.1"

// mediamtxPath is where make build/mediamtx puts it.
func (b *bench) mediamtxPath() (string, error) {
	path := filepath.Join(b.root, "build", "mediamtx")
	if _, err := os.Stat(path); err != nil {
		return "", &absentError{"MediaMTX: run make build/mediamtx"}
	}
	return path, nil
}

// mediamtxLive is MediaMTX.
func mediamtxLive(ctx context.Context, b *bench, clip string) (*liveServer, error) {
	path, err := b.mediamtxPath()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	rtmp, hls := ports[0], ports[1]
	l := &liveServer{name: mediamtxName, hls: "http://" + hls + "/live/index.m3u8", rtmp: "rtmp://" + rtmp + "/live"}
	if err := b.startPeer(ctx, l, rtmp, "mediamtx.yml", fmt.Sprintf(mediamtxConfig, rtmp, hls), func(config string) []string {
		return []string{path, config}
	}); err != nil {
		return nil, err
	}
	return l, b.onAir(ctx, l, clip, l.rtmp, awaitWatch(watchHLS))
}

// startPeer starts a server with a configuration in a folder of its own and waits
// until it listens.
func (b *bench) startPeer(ctx context.Context, l *liveServer, address, name, config string, args func(config string) []string) error {
	folder, err := b.folder()
	if err != nil {
		return err
	}
	path := filepath.Join(folder, name)
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return err
	}
	log := &lastLines{}
	words := args(path)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = folder, log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	l.stop = func() {
		cmd.Process.Signal(syscall.SIGTERM) // nginx's worker goes with its master then
		cmd.Wait()
		os.RemoveAll(folder)
	}
	deadline := time.Now().Add(startPatience)
	for {
		socket, err := net.Dial("tcp", address)
		if err == nil {
			socket.Close()
			l.pids = []int{cmd.Process.Pid}
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			l.stop()
			return fmt.Errorf("%s does not listen: %w\n%s", l.name, err, log)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// onAir pushes the clip to a server that runs and waits until it can be watched. The
// server is stopped where that fails.
func (b *bench) onAir(ctx context.Context, l *liveServer, clip, address string, await func(context.Context, *liveServer) error) error {
	stop := l.stop
	unpush, err := b.pushClip(clip, address)
	if err != nil {
		stop()
		return err
	}
	if err := await(ctx, l); err != nil {
		said := unpush()
		stop()
		return fmt.Errorf("%w; the encoder said: %s", err, said)
	}
	l.stop = func() { unpush(); stop() }
	return nil
}
