package window

import (
	"context"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/hub"
)

// Group cuts the tracks of one stream into the same segments, and keeps the last of
// them. Its methods may be called by several goroutines.
type Group struct{ o Options }

// New opens the window in o.Folder. It starts nothing: see Run.
func New(o Options) (*Group, error) { return &Group{o: o}, nil }

// Run cuts what r reads, until that ends or ctx does, and returns why: nil when the
// stream has ended well, which is then the end of the playlists too. What is open is
// closed and on the disk when it returns. It may be called again, with another
// reader, but not at the same time: where the timestamps go on, so do the segments.
func (g *Group) Run(ctx context.Context, r *hub.Reader) error { return nil }

// End writes the end of the playlists, as after a Run whose stream ended well. Not
// while Run runs.
func (g *Group) End() {}

// Master returns the multivariant playlist. It is unavailable before the first
// segment is whole.
func (g *Group) Master() (Answer, error) { return Answer{}, errNotYet() }

// Playlist returns the media playlist of a rendition: "video", "audio" and, of
// further tracks of sound, "audio2" …. It waits as q asks (rfc8216bis 6.2.5.2), at
// most three target durations. Faults: invalid for a query that asks for what is too
// far ahead, not found for a rendition, unavailable before the first segment and
// when it has waited for too long.
func (g *Group) Playlist(ctx context.Context, rendition string, q Query) (Answer, error) {
	return Answer{}, errNotYet()
}

// Open opens what a playlist names: "init7.mp4", "12.m4s", "12.3.m4s". A part that is
// announced but not there yet is waited for, at most three target durations.
func (g *Group) Open(ctx context.Context, rendition, name string) (*File, error) {
	return nil, errNotYet()
}

// Health says how it goes.
func (g *Group) Health() Health { return Health{} }

func errNotYet() error {
	return fault.New(fault.Unavailable, "the stream has not begun yet: try again in a few seconds")
}
