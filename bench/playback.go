package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"liuyun/internal/av/hls"
	"liuyun/test/viewer"
)

// playback is a player as far as it runs dry: it plays what it has as time goes by,
// begins when it has as much as a player has behind the end, and stalls while it has
// nothing. What it missed is jumped over.
type playback struct {
	need time.Duration // until it begins

	mu     sync.Mutex
	began  bool
	at     time.Time     // when ahead was so much
	ahead  time.Duration // that can be played
	stalls []stall
	parts  []arrival // which are got when it is known how long they are
	lost   []string  // why it went to the other edge
}

// stall is a time in which nothing could be played.
type stall struct {
	from time.Time
	took time.Duration
}

// arrival is a part that came.
type arrival struct {
	at   time.Time
	name string // of the file
}

// lengths are how long parts of pictures are, by their names.
type lengths struct {
	mu    sync.Mutex
	known map[string]time.Duration
}

// learn reads the playlist from either of two edges, each second, until ctx ends.
func (l *lengths) learn(ctx context.Context, masters [2]string) {
	client := &http.Client{Timeout: playPatience, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for n := 0; ctx.Err() == nil; n++ {
		text, err := getAll(ctx, client, strings.TrimSuffix(masters[n%2], "master.m3u8")+"video/media.m3u8")
		if checked, _ := hls.Check(text, nil); err == nil && checked != nil {
			l.mu.Lock()
			for _, s := range append(checked.Playlist.Segments, checked.Playlist.Open) {
				for _, p := range s.Parts {
					l.known[p.URI] = p.Duration
				}
			}
			l.mu.Unlock()
		}
		_ = pause(ctx, time.Second/2) // it only ends sooner
	}
}

// play plays the parts that came, and returns how many of them nobody knows the length of.
func (l *lengths) play(p *playback) (unknown int) {
	for _, a := range p.parts {
		length, ok := l.known[a.name]
		if !ok {
			unknown++
			continue
		}
		p.got(a.at, length)
	}
	return unknown
}

// got gives it media of such a length.
func (p *playback) got(now time.Time, length time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pass(now)
	p.ahead += length
	p.began = p.began || p.ahead >= p.need
}

// pass has time go by.
func (p *playback) pass(now time.Time) {
	if p.began {
		p.ahead -= now.Sub(p.at)
		if p.ahead < 0 {
			p.stalls = append(p.stalls, stall{now.Add(p.ahead), -p.ahead})
			p.ahead = 0
		}
	}
	p.at = now
}

// end returns its stalls, one that lasts among them.
func (p *playback) end(now time.Time) (began bool, stalls []stall) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pass(now)
	return p.began, p.stalls
}

func (p *playback) leave(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.lost) < 8 {
		p.lost = append(p.lost, fmt.Sprintf("%s %v", time.Now().Format("05.000"), err))
	}
}

// How soon a player tries the other edge, and how long it waits for an answer.
const (
	playAgain    = 200 * time.Millisecond
	playPatience = 5 * time.Second
	lowBehind    = 1400 * time.Millisecond // of the three parts of up to 500 ms that it begins with
)

// playLow watches by LL-HLS, the first of two addresses, or after an error the other. It
// notes what comes, to be played by [lengths.play].
func (p *playback) playLow(ctx context.Context, masters [2]string) {
	seen := make(map[string]bool)
	var mu sync.Mutex
	for n := 0; ctx.Err() == nil; n++ {
		err := viewer.Watch(ctx, viewer.Options{Master: masters[n%2], Got: func(a viewer.Answer) {
			if a.Status != http.StatusOK || !isPart(a.Target) || !strings.Contains(a.Target, "/video/") {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if !seen[a.Target] {
				seen[a.Target] = true
				p.parts = append(p.parts, arrival{a.At, a.Target[strings.LastIndexByte(a.Target, '/')+1:]})
			}
		}})
		if err == nil {
			return
		}
		p.leave(err)
		_ = pause(ctx, playAgain) // it only ends sooner
	}
}

// playWhole watches as players do that know nothing of parts, three target durations
// behind the end.
func (p *playback) playWhole(ctx context.Context, masters [2]string) {
	client := &http.Client{Timeout: playPatience, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	next := int64(-1)
	for n := 0; ctx.Err() == nil; {
		base := strings.TrimSuffix(masters[n%2], "master.m3u8") + "video/"
		wait, err := p.reload(ctx, client, base, &next)
		if err != nil && ctx.Err() == nil {
			p.leave(err)
			n++
			wait = playAgain
		}
		_ = pause(ctx, wait)
	}
}

// reload reads the playlist and gets what is new, and says when to do that again.
func (p *playback) reload(ctx context.Context, client *http.Client, base string, next *int64) (time.Duration, error) {
	text, err := getAll(ctx, client, base+"media.m3u8")
	if err != nil {
		return 0, err
	}
	checked, _ := hls.Check(text, nil)
	if checked == nil {
		return 0, fmt.Errorf("%smedia.m3u8 is no playlist", base)
	}
	l := &checked.Playlist
	if *next < 0 && !begin(l, next, &p.need) {
		return time.Second, nil
	}
	for i, s := range l.Segments {
		number := l.MediaSequence + int64(i)
		if number < *next {
			continue
		}
		if !s.Gap {
			if _, err := getAll(ctx, client, base+s.URI); err != nil {
				return 0, err
			}
			p.got(time.Now(), s.Duration)
		}
		*next = number + 1
	}
	return l.Target / 2, nil
}

// begin finds the first segment, and how long it is from there to the end; false where
// there is too little yet.
func begin(l *hls.LivePlaylist, next *int64, need *time.Duration) bool {
	var sum time.Duration
	for i := len(l.Segments) - 1; i >= 0; i-- {
		if sum += l.Segments[i].Duration; sum >= 3*l.Target {
			*next, *need = l.MediaSequence+int64(i), sum
			return true
		}
	}
	return false
}

func getAll(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	status, body, err := fetch(client, r)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s: %d %.100s", address, status, body)
	}
	return body, err
}
