// Package hls takes in what others publish by HTTP Live Streaming: live playlists at
// their edge, and finished ones from their beginning, in their own time. What they are
// read by is another's business: HTTP, or the handler of a player in this process.
package hls

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"sync"
	"time"

	"liuyun/internal/av/hls"
	"liuyun/internal/base/fault"
	"liuyun/internal/flow/ingest"
)

// Fetch opens a resource, or a part of it where part has a length. It returns as well
// where the resource is in the end: what it names is relative to that. Its errors are
// faults: not found for what is not there.
type Fetch func(ctx context.Context, address string, part hls.SourceRange) (body io.ReadCloser, at string, err error)

// Puller takes a stream from playlists.
type Puller struct {
	Fetch Fetch
	// Loop begins again at the end of a playlist that has one.
	Loop bool
	Log  *slog.Logger
}

// Limits of what is fetched.
const (
	largestPlaylist = 4 << 20
	largestInit     = 1 << 20
	largestSegment  = 64 << 20
	fetchTime       = 30 * time.Second // of one resource
	tries           = 3
)

// Pull puts what the playlist at address leads to into the input, until ctx ends, or
// the playlist does and is not begun again: that is no error. It does not close the
// input. An error is a fault: invalid where nothing of it can be used, not found or
// unavailable for what may be better the next time.
func (p *Puller) Pull(ctx context.Context, address string, in ingest.Input) error {
	text, at, err := p.load(ctx, address, hls.SourceRange{}, largestPlaylist)
	if err != nil {
		return err
	}
	source, err := hls.ReadSource(text)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "the answer is no HLS playlist")
	}
	lists := []string{at}
	if len(source.Variants) > 0 {
		if lists, err = choose(source, at); err != nil {
			return err
		}
	}
	return p.play(ctx, lists, in)
}

// play fetches playlists, of pictures and perhaps of sound apart from them.
func (p *Puller) play(ctx context.Context, lists []string, in ingest.Input) error {
	reading, cancel := context.WithCancelCause(ctx)
	var loading sync.WaitGroup
	defer loading.Wait()
	defer cancel(nil)
	shared := &periods{offsets: make(map[int64]int64)}
	queues, size := make([]*queue, len(lists)), queuedLive
	if p.Loop {
		size = queuedFile
	}
	for i, list := range lists {
		q := newQueue(reading, size, shared, i == 0, i == len(lists)-1)
		queues[i] = q
		l := &loader{Puller: p, list: list, queue: q}
		loading.Go(func() {
			defer close(q.events)
			if err := l.run(reading); err != nil {
				cancel(err)
			}
		})
	}
	if len(lists) > 1 {
		in.Expect(true, true)
	}
	err := merge(reading, queues, in, len(lists) == 1)
	switch cause := context.Cause(reading); {
	case ctx.Err() != nil:
		return ctx.Err()
	case cause != nil && !errors.Is(cause, context.Canceled):
		return cause
	}
	return err
}

// The codecs that are taken, best first.
var chosen = [...][]string{
	{"avc1", "avc3", "mp4a.40", "opus", "Opus"},
	{"avc1", "avc3", "hvc1", "hev1", "mp4a.40", "opus", "Opus"},
}

// choose finds the best variant that can be used, and the sound that belongs to it.
func choose(s *hls.Source, at string) ([]string, error) {
	var codecs []string
	for _, v := range s.Variants {
		codecs = append(codecs, v.Codecs...)
	}
	for _, known := range chosen {
		usable := slices.DeleteFunc(slices.Clone(s.Variants), func(v hls.SourceVariant) bool { return v.URI == "" || !v.Usable(known...) })
		if len(usable) == 0 {
			continue
		}
		best := slices.MaxFunc(usable, func(a, b hls.SourceVariant) int { return int(min(a.Bandwidth, 1<<40) - min(b.Bandwidth, 1<<40)) })
		lists := []string{best.URI}
		if sound := soundOf(s, best.Audio); sound != "" && sound != best.URI {
			lists = append(lists, sound)
		}
		for i, list := range lists {
			resolved, err := resolve(at, list)
			if err != nil {
				return nil, err
			}
			lists[i] = resolved
		}
		return lists, nil
	}
	slices.Sort(codecs)
	return nil, fault.New(fault.Invalid, "none of the variants can be used, they are %v: H.264 or H.265 with AAC or Opus is needed", slices.Compact(codecs))
}

// soundOf is where the sound of a group is, "" where it is with the pictures.
func soundOf(s *hls.Source, group string) string {
	uri := ""
	for i, sound := range s.Sounds {
		if sound.Group == group && group != "" && (uri == "" || sound.Default) {
			if uri = sound.URI; uri == "" || s.Sounds[i].Default {
				return uri
			}
		}
	}
	return uri
}

// resolve is where a resource is that a playlist names.
func resolve(base, name string) (string, error) {
	from, err := url.Parse(base)
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "the address %q cannot be read", base)
	}
	to, err := from.Parse(name)
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "the playlist names %q, which is no address", name)
	}
	return to.String(), nil
}

// load fetches a whole resource, and tries again what may be better then.
func (p *Puller) load(ctx context.Context, address string, part hls.SourceRange, limit int64) (data []byte, at string, err error) {
	for try := range tries {
		data, at, err = p.loadOnce(ctx, address, part, limit)
		if err == nil || fault.CodeOf(err) != fault.Unavailable || ctx.Err() != nil {
			return data, at, err
		}
		if err := sleep(ctx, time.Duration(try+1)*500*time.Millisecond); err != nil {
			return nil, "", err
		}
	}
	return nil, "", err
}

func (p *Puller) loadOnce(ctx context.Context, address string, part hls.SourceRange, limit int64) ([]byte, string, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	body, at, err := p.Fetch(ctx, address, part)
	if err != nil {
		return nil, "", err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, limit+1))
	switch {
	case int64(len(data)) > limit:
		return nil, "", fault.New(fault.Invalid, "%s has more than %d MiB", name(address), limit>>20)
	case err != nil:
		return nil, "", fault.Wrap(err, fault.Unavailable, "%s did not come as a whole", name(address))
	case part.Length > 0 && int64(len(data)) != part.Length:
		return nil, "", fault.New(fault.Unavailable, "%s has fewer bytes than its playlist says", name(address))
	}
	return data, at, nil
}

// name is an address as it may be shown: without what may be a secret.
func name(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the resource"
	}
	return u.Host + u.Path
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
