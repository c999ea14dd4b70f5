package main

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
)

// rtmpViewers is how many are sent a stream by RTMP.
const rtmpViewers = 150

// nginxRTMPConfig is Debian's nginx with its module for RTMP, which has one worker as
// our server is one process.
const nginxRTMPConfig = `
load_module %s;
%sdaemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 1024; }
rtmp {
	server {
		listen %s;
		application live {
			live on;
		}
	}
}
`

// nginxModule is where Debian puts the module.
const nginxModule = "/usr/lib/nginx/modules/ngx_rtmp_module.so"

// measureLiveRTMP compares the cost of RTMP with MediaMTX's and with nginx's.
func measureLiveRTMP(ctx context.Context, b *bench) ([]result, error) {
	var results []result
	for _, peer := range []struct {
		start liveStart
		bar   float64
	}{{mediamtxLive, 0.8}, {nginxRTMPLive, 0}} {
		r, err := b.compareLive(ctx, liuyunLive, peer.start, watchRTMP, rtmpViewers)
		if err != nil {
			return results, err
		}
		r.Clip, r.Bar = fmt.Sprintf("RTMP, %d viewers at %d Mbit/s", rtmpViewers, liveBitrate/1_000_000), peer.bar
		results = append(results, r)
	}
	return results, nil
}

func watchRTMP(ctx context.Context, s *liveServer, got *atomic.Int64) error {
	if s.rtmp == "" {
		return fmt.Errorf("%s is not played by RTMP", s.name)
	}
	return playRTMP(ctx, s.rtmp, func(bytes int64) { got.Add(bytes) })
}

// nginxRTMPLive is nginx.
func nginxRTMPLive(ctx context.Context, b *bench, clip string) (*liveServer, error) {
	program, err := b.findNginx(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(nginxModule); err != nil {
		return nil, &absentError{"nginx's RTMP: apt-get install libnginx-mod-rtmp"}
	}
	owner, err := nginxOwner()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	address := ports[0]
	l := &liveServer{name: "nginx-rtmp 1.2.2", rtmp: "rtmp://" + address + "/live/one"}
	config := fmt.Sprintf(nginxRTMPConfig, nginxModule, owner, address)
	if err := b.startPeer(ctx, l, address, "nginx.conf", config, func(path string) []string {
		return []string{program, "-p", ".", "-c", path, "-e", "stderr"}
	}); err != nil {
		return nil, err
	}
	return l, b.onAir(ctx, l, clip, l.rtmp, awaitWatch(watchRTMP))
}
