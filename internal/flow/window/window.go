// Package window is the last hours of a stream as HTTP Live Streaming and DASH serve them:
// it cuts the tracks of a hub's stream into the same segments, and those into parts
// of half a second (rfc8216bis, low latency), holds the newest in memory and the
// others on the disk, and answers what a handler is asked: playlists, parts,
// segments. It passes through what it gets and decodes nothing; it knows no HTTP.
package window

import (
	"io"
	"log/slog"
	"time"
)

// Options say how a stream is cut and how much of it is kept. The zero value of a
// field other than Folder means its default.
type Options struct {
	// Folder is this stream's alone. The segments of the window lie in it, one file
	// each, and a journal. New goes on with what it finds there, if it can, and
	// empties it if it cannot.
	Folder string
	// Keep is how far back a viewer can go. Default 2 h.
	Keep time.Duration
	// Segment is how long segments want to be: they end at the first key frame at or
	// after it. Default 4 s.
	Segment time.Duration
	// Longest is the longest segment, whole seconds: the TARGETDURATION, which never
	// changes. Default one and a half times Segment.
	Longest time.Duration
	// Soon is how long the first segment of all is, whether a key frame comes then or not:
	// before there is one, players have nothing to begin with. Default: until a key frame.
	Soon time.Duration
	// Part is how long parts are at most. Default 500 ms.
	Part time.Duration
	// MaxBytes bounds the folder: the oldest segments go first. 0 is no bound.
	MaxBytes int64
	// Room returns an error when nothing more should be written on the disk. Then the
	// window shrinks, and the newest segments are served from memory.
	Room func() error
	// First is the number of the first segment, where the folder has none to go on
	// from. Default: the seconds since 1970, so that a name is never used twice for one
	// stream, and caches may keep what they have got.
	First int64
	// Buffers is what groups share. Default: one of its own.
	Buffers *Buffers
	// Log gets what an operator should know. Default: nothing.
	Log *slog.Logger
}

// Query is what a player asks of a playlist (rfc8216bis 6.2.5).
type Query struct {
	MSN  int64 // _HLS_msn; -1 is absent
	Part int64 // _HLS_part; -1 is absent
	Skip bool  // _HLS_skip=YES or v2
}

// Caching is how long a cache may keep an answer.
type Caching struct {
	MaxAge    time.Duration
	Immutable bool // it is never another one under the same name
}

// Answer is a playlist. Text is shared by all who ask: it is read-only.
type Answer struct {
	Text []byte
	Caching
	zip *zipped
}

// Zips reports whether the text may be had compressed as well.
func (a *Answer) Zips() bool { return a.zip != nil }

// Gzip returns the text compressed by gzip (RFC 1952), where it Zips. It is made once
// for all who ask for that version, and shared by them: it is read-only.
func (a *Answer) Gzip() []byte { return a.zip.get() }

// File is a part, a segment or an init section. Whoever opened it closes it.
type File struct {
	// Content is an *os.File for a segment on the disk, and an io.WriterTo for what lies
	// in memory.
	Content io.ReadSeeker
	// Grows is set instead for a segment that is not whole yet: reading it waits for what
	// comes, and ends where the segment does. Size is unknown then.
	Grows io.Reader
	Size  int64
	Type  string // of its content, as HTTP says it
	Caching
	close func()
}

// Close gives back what the file holds.
func (f *File) Close() {
	if f.close != nil {
		f.close()
		f.close = nil
	}
}

// Health is how cutting and keeping go.
type Health struct {
	// KeyInterval is the time between the last two key frames, LongestKeyInterval the
	// longest there was.
	KeyInterval, LongestKeyInterval time.Duration
	// Dependent counts segments that had to begin without a key frame, because none
	// came for as long as a segment may be. Who watches does not notice; who comes
	// waits for the next key frame. The encoder should send one at least each Longest.
	Dependent int64
	// SinceKey is how long no key frame has come.
	SinceKey time.Duration
	// Gaps counts jumps in time too long to be bridged, each a discontinuity.
	Gaps int64
	// Dropped counts units that came too late, or too far ahead of the pictures.
	Dropped int64
	// Delay is how long after its first picture came the newest part could be had; 0
	// where the time of day is not known.
	Delay time.Duration
	// Window is how far back a viewer can go now, Bytes what lies on the disk.
	Window time.Duration
	Bytes  int64
	// Disk is why the newest segments could not be written; nil is well. The window
	// has shrunk then.
	Disk error
}
