// Package viewer watches a stream by Low-Latency HLS as players do, without decoding
// it: it asks for each next version of each playlist before that is there, for the
// difference alone, and for the part that is announced. It costs little, so that
// tests and benchmarks have hundreds of them, of any server.
package viewer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// Options say what is watched.
type Options struct {
	Master string // address of the multivariant playlist
	// Got is told of each answer, by several goroutines. It may be nil.
	Got func(Answer)
}

// Answer is what a server answered.
type Answer struct {
	Target   string // path and query
	Playlist bool   // else a part or an init section
	Status   int
	Bytes    int64
	Asked    time.Time
	At       time.Time // when all of it was there
}

// Watch watches until ctx ends, which is no error, or something goes wrong: any
// status but 200, a playlist that ends.
func Watch(ctx context.Context, o Options) error {
	if o.Got == nil {
		o.Got = func(Answer) {}
	}
	base, cookie, uris, err := enter(ctx, o.Master)
	if err == nil && len(uris) == 0 {
		err = fmt.Errorf("%s names no playlist", o.Master)
	}
	if err != nil {
		return unlessOver(ctx, err)
	}
	all, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var running sync.WaitGroup
	for _, uri := range uris {
		address, err := base.Parse(uri)
		if err != nil {
			return err
		}
		r := &rendition{
			o: &o, address: address, playlists: newConn(address.Host, cookie), media: newConn(address.Host, cookie), wanted: make(chan string, 512),
		}
		for _, task := range []func(context.Context) error{r.follow, r.fetch} {
			running.Go(func() {
				if err := task(all); err != nil {
					stop(err) // the first counts
				}
			})
		}
	}
	running.Wait()
	return unlessOver(ctx, context.Cause(all))
}

// unlessOver forgets an error that comes of being stopped.
func unlessOver(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// enter reads the multivariant playlist, by whatever redirections and cookies the
// server wants to have.
func enter(ctx context.Context, master string) (base *url.URL, cookie string, uris []string, err error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, "", nil, err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, master, nil)
	if err != nil {
		return nil, "", nil, err
	}
	response, err := (&http.Client{Transport: transport, Jar: jar}).Do(r)
	if err != nil {
		return nil, "", nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %d %s", master, response.StatusCode, text)
	}
	if err != nil {
		return nil, "", nil, err
	}
	base = response.Request.URL
	for i, c := range jar.Cookies(base) {
		if i > 0 {
			cookie += "; "
		}
		cookie += c.Name + "=" + c.Value
	}
	return base, cookie, renditions(text), nil
}

// rendition is one of those that are watched together.
type rendition struct {
	o         *Options
	address   *url.URL // of the playlist
	playlists *conn
	media     *conn
	wanted    chan string // URIs of parts, in their order
	last      string      // the newest that was wanted
}

// follow reads one version of the playlist after the other.
func (r *rendition) follow(ctx context.Context) error {
	defer close(r.wanted)
	defer r.playlists.close()
	var text, target []byte
	var v version
	for begun := false; ; begun = true {
		target = append(target[:0], r.address.RequestURI()...)
		if begun {
			target = directives(target, r.address.RawQuery != "", &v)
		}
		text = text[:0]
		if err := r.get(ctx, r.playlists, string(target), true, &text); err != nil {
			return err
		}
		if err := v.parse(text); err != nil {
			return fmt.Errorf("%s: %w", target, err)
		}
		if v.ended {
			return fmt.Errorf("%s has ended", target)
		}
		if !begun {
			r.begin(&v)
		}
		r.want(&v)
	}
}

// directives asks for the version after v, as a difference.
func directives(target []byte, more bool, v *version) []byte {
	separator := byte('?')
	if more {
		separator = '&'
	}
	target = append(append(target, separator), "_HLS_msn="...)
	target = append(strconv.AppendInt(target, v.next, 10), "&_HLS_part="...)
	return append(strconv.AppendInt(target, int64(v.parts), 10), "&_HLS_skip=YES"...)
}

// begin wants the init section, and of the parts the last few: players begin three part
// targets before the end.
func (r *rendition) begin(v *version) {
	if v.init != nil {
		r.wanted <- string(v.init)
	}
	if old := len(v.uris) - 3; old > 0 {
		r.last = string(v.uris[old-1])
	}
}

// want wants what is new, and what is announced, once.
func (r *rendition) want(v *version) {
	if v.hint != nil && string(v.hint) == r.last {
		return
	}
	fresh := v.uris
	for i, uri := range v.uris {
		if string(uri) == r.last {
			fresh = v.uris[i+1:]
			break
		}
	}
	for _, uri := range fresh {
		r.wanted <- string(uri)
		r.last = string(uri)
	}
	if v.hint != nil {
		r.last = string(v.hint)
		r.wanted <- r.last
	}
}

// fetch gets what is wanted.
func (r *rendition) fetch(ctx context.Context) error {
	defer r.media.close()
	for uri := range r.wanted {
		address, err := r.address.Parse(uri)
		if err == nil {
			err = r.get(ctx, r.media, address.RequestURI(), false, nil)
		}
		if err != nil {
			go func() {
				for range r.wanted { // follow may wait to be rid of one, until it hears of this
				}
			}()
			return err
		}
	}
	return nil
}

func (r *rendition) get(ctx context.Context, c *conn, target string, playlist bool, into *[]byte) error {
	asked := time.Now()
	a, err := c.get(ctx, target, into)
	if err != nil {
		return fmt.Errorf("%s: %w", target, err)
	}
	r.o.Got(Answer{Target: target, Playlist: playlist, Status: a.status, Bytes: a.length, Asked: asked, At: time.Now()})
	if a.status != http.StatusOK {
		said := []byte(nil)
		if into != nil {
			said = bytes.TrimSpace(*into)
		}
		return fmt.Errorf("%s: %d %.200s", target, a.status, said)
	}
	return nil
}
