package app

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strconv"

	"liuyun/internal/control/site"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
	"liuyun/internal/video/live"
	"liuyun/internal/video/vod"
)

// Where encoders push unless somebody says otherwise.
const (
	rtmpPort = 1935
	rtspPort = 8554
	srtPort  = 8890
	peerPort = 8189 // media of WebRTC
)

// buildLive makes what keeps streams.
func (n *serving) buildLive(c *control, who *self, signer *guard.Signer) *live.Service {
	return live.New(live.Deps{
		DB: c.db, Bus: c.bus, Signer: signer, Config: n.Config.Live, Log: n.Log, Node: who.id(), Folder: n.data.Join(liveName),
		ViewerURL: n.Config.Viewer.URL, SignedFor: n.Config.Viewer.SignedFor, TLS: n.security.config, Reach: n.reachMedia,
		Tools:  func(ctx context.Context) (*ffmpeg.Tools, error) { return ffmpeg.Find(ctx, n.Config.FFmpeg) },
		Assets: recordings{c.assets}, Objects: c.objects, Published: c.assets.Published,
		Room:   func() error { return n.Config.Blob.Reserve(n.data.Path()).CheckRoom(0) },
		Served: c.usage.ServedBytes, Answered: c.answered, Watching: c.sites.Watching,
	})
}

// recordings lets streams be recorded into assets.
type recordings struct{ assets *vod.Service }

func (r recordings) Begin(tx *store.Tx, of live.Recorded) (asset, folder string, err error) {
	return r.assets.BeginRecording(tx, vod.NewRecording{Tenant: of.Tenant, Name: of.Name, Stream: of.Stream, Policy: vod.Policy(of.Policy)})
}

func (r recordings) Grow(ctx context.Context, asset string, bytes int64) error {
	return r.assets.GrowRecording(ctx, asset, bytes)
}

func (r recordings) End(tx *store.Tx, asset string, end live.RecordingEnd) error {
	if end.Result == nil {
		return r.assets.FailRecording(tx, asset, end.Cause)
	}
	return r.assets.PublishRecording(tx, asset, end.Result, end.Start, end.End, end.Scrap)
}

// addLive adds what takes streams in, where this node has that role.
func (n *serving) addLive(c *control) {
	if !slices.Contains(n.Roles, RoleLive) {
		return
	}
	on := n.mediaListeners()
	n.add("heap", garbageOfStreams().tend, nil)
	n.add("live", func(ctx context.Context, ready func()) error { return c.streams.Run(ctx, on, ready) }, nil)
}

// mediaListeners are where streams are listened for.
func (n *serving) mediaListeners() live.Listeners {
	return live.Listeners{
		RTMP:   n.mediaListener(n.Config.Live.RTMPListen, rtmpPort),
		RTMPS:  live.Listener{Address: n.Config.Live.RTMPSListen},
		RTSP:   n.mediaListener(n.Config.Live.RTSPListen, rtspPort),
		SRT:    n.mediaListener(n.Config.Live.SRTListen, srtPort),
		WebRTC: n.mediaListener(n.Config.Live.WebRTCListen, peerPort),
	}
}

// mediaListener is where a protocol is listened for: where the configuration says, or
// on its usual port beside the other listener. Where that takes any free port, so does
// this one; and a usual port that another program has, such as another server on
// this machine, keeps nothing else from working.
func (n *serving) mediaListener(configured string, usual int) live.Listener {
	if configured != "" {
		return live.Listener{Address: configured}
	}
	host, port, _ := net.SplitHostPort(n.Listen) // looked at already, see nodeAddresses
	if port != "0" {
		port = strconv.Itoa(usual)
	}
	return live.Listener{Address: net.JoinHostPort(host, port), Optional: true}
}

// reachMedia is a listener's address as encoders dial it.
func (n *serving) reachMedia(listener string) string {
	if reachable := n.reachableAs(listener); len(reachable) > 0 {
		return reachable[0]
	}
	return listener
}

// byKind has each handler serve what is its own below /play/.
func byKind(streams, assets http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if live.Plays(r.URL.Path) {
			streams.ServeHTTP(w, r)
			return
		}
		assets.ServeHTTP(w, r)
	})
}

// tenantHolds says what keeps a tenant from being deleted, or "".
func tenantHolds(tx *store.Tx, tenant string) (string, error) {
	for _, holds := range []func(*store.Tx, string) (string, error){vod.Holds, live.Holds, site.Holds} {
		if what, err := holds(tx, tenant); err != nil || what != "" {
			return what, err
		}
	}
	return "", nil
}
