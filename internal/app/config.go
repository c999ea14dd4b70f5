// Package app puts the parts together: here the sections of the configuration,
// each owned by the package that it configures. It holds no rules of its own.
package app

import "liuyun/internal/engine/ffmpeg"

// Config is the whole configuration. A section is one line here and one in
// DefaultConfig.
type Config struct {
	FFmpeg ffmpeg.Config `conf:"ffmpeg" help:"The child processes that decode and encode."`
}

// DefaultConfig returns the configuration that holds when nothing is set.
func DefaultConfig() Config {
	return Config{
		FFmpeg: ffmpeg.DefaultConfig(),
	}
}
