// Package obs is how operators see inside: log lines that a person wants to read
// or a program can, and metrics for Prometheus. It is the only package that knows
// client_golang. It keeps nothing and sends nothing.
package obs

import (
	"io"
	"log/slog"

	"liuyun/internal/base/fault"
)

// Format is how log records are written.
type Format string

// The formats.
const (
	Text   Format = "text"   // one tidy line for people
	Colour Format = "colour" // the same for a terminal; nobody configures it
	JSON   Format = "json"   // one object a line
)

// LogConfig is the section "log" of the configuration.
type LogConfig struct {
	Format string `conf:"format" help:"How log lines are written: text for people, json for programs."`
	Level  string `conf:"level" help:"What is written at least: debug, info, warn or error."`
}

// DefaultLogConfig returns what holds when nothing is set.
func DefaultLogConfig() LogConfig { return LogConfig{Format: string(Text), Level: "info"} }

// Validate refuses formats and levels that do not exist.
func (c LogConfig) Validate() error {
	if c.Format != string(Text) && c.Format != string(JSON) {
		return fault.New(fault.Invalid, "format is text or json, not %q", c.Format)
	}
	switch c.Level {
	case "debug", "info", "warn", "error":
		return nil
	}
	return fault.New(fault.Invalid, "level is debug, info, warn or error, not %q", c.Level)
}

// SlogLevel returns the level; info when it is none of the four.
func (c LogConfig) SlogLevel() slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		return slog.LevelInfo
	}
	return level
}

// NewLogger returns a logger that writes records of at least the level to w, each
// in one Write.
func NewLogger(w io.Writer, format Format, level slog.Leveler) *slog.Logger {
	if format == JSON {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(&lineHandler{out: &output{w: w}, level: level, colour: format == Colour})
}
