// Package app puts the parts together: the sections of the configuration, each
// owned by the package that it configures, the data folder, the server and its
// backup. It holds no rules of its own.
package app

import (
	"liuyun/internal/control/gauge"
	"liuyun/internal/control/node"
	"liuyun/internal/control/notify"
	"liuyun/internal/control/sched"
	"liuyun/internal/edge/cache"
	"liuyun/internal/edge/front"
	"liuyun/internal/engine/ffmpeg"
	"liuyun/internal/engine/quality"
	"liuyun/internal/kit/blob"
	"liuyun/internal/kit/bus"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/obs"
	"liuyun/internal/kit/store"
	"liuyun/internal/video/live"
	"liuyun/internal/video/vod"
)

// Config is the whole configuration. A section is one line here and one in
// DefaultConfig.
type Config struct {
	FFmpeg  ffmpeg.Config    `conf:"ffmpeg" help:"The child processes that decode and encode."`
	Quality quality.Config   `conf:"quality" help:"How near an encode is to what it was made from."`
	Store   store.Config     `conf:"store" help:"Records: assets, keys, jobs."`
	Blob    blob.Config      `conf:"blob" help:"Objects: sources, and what is made of them."`
	Bus     bus.Config       `conf:"bus" help:"What moves between the nodes: requests and events."`
	Node    node.Config      `conf:"node" help:"How other machines join."`
	Upload  vod.UploadConfig `conf:"upload" help:"Sources that clients send."`
	Import  vod.ImportConfig `conf:"import" help:"Sources that are fetched from an address."`
	Worker  gauge.Config     `conf:"worker" help:"This machine as a worker: what is counted as its price, power and carbon."`
	Sched   sched.Config     `conf:"sched" help:"Which workers make what. On control nodes."`
	Live    live.Config      `conf:"live" help:"Streams that encoders push, and their window."`
	Edge    EdgeConfig       `conf:"edge" help:"A cache in front of origins, see --roles edge."`
	Webhook notify.Config    `conf:"webhook" help:"Events that are sent to other servers."`
	ACME    guard.ACMEConfig `conf:"acme" help:"Certificates of a public authority, for --tls acme."`
	Viewer  vod.ViewerConfig `conf:"viewer" help:"How viewers reach what is published."`
	Log     obs.LogConfig    `conf:"log" help:"What the server tells of itself."`
	Client  ClientConfig     `conf:"client" help:"Where upload, assets and the other commands that manage a cloud find it."`
}

// EdgeConfig is what of an edge is configured: its cache, and its place in a cloud.
type EdgeConfig struct {
	cache.Config
	PlaceConfig
}

// PlaceConfig is where an edge is, and what it may ask.
type PlaceConfig = front.Config

// Validate checks both.
func (c EdgeConfig) Validate() error {
	if err := c.Config.Validate(); err != nil {
		return err
	}
	return c.PlaceConfig.Validate()
}

// DefaultConfig returns the configuration that holds when nothing is set.
func DefaultConfig() Config {
	return Config{
		FFmpeg:  ffmpeg.DefaultConfig(),
		Store:   store.DefaultConfig(),
		Blob:    blob.DefaultConfig(),
		Bus:     bus.DefaultConfig(),
		Upload:  vod.DefaultUploadConfig(),
		Import:  vod.DefaultImportConfig(),
		Worker:  gauge.DefaultConfig(),
		Sched:   sched.DefaultConfig(),
		Live:    live.DefaultConfig(),
		Edge:    EdgeConfig{Config: cache.DefaultConfig()},
		Webhook: notify.DefaultConfig(),
		Viewer:  vod.DefaultViewerConfig(),
		Log:     obs.LogConfig{Format: "text", Level: "info"},
	}
}
