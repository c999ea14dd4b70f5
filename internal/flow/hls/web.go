package hls

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"liuyun/internal/av/hls"
	"liuyun/internal/base/fault"
	"liuyun/internal/flow/ingest"
	"liuyun/internal/flow/ts"
)

// Web takes what an address of HTTP gives: a playlist, or a transport stream without an
// end.
type Web struct {
	Client *http.Client // without a Timeout
	Log    *slog.Logger
}

// silentTime is how long nothing may come of a transport stream.
const silentTime = 15 * time.Second

// Pull puts what address gives into the input, see [Puller.Pull].
func (w *Web) Pull(ctx context.Context, address string, in ingest.Input) error {
	streaming, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(silentTime, cancel)
	defer silence.Stop()
	body, _, err := HTTP(w.Client)(streaming, address, hls.SourceRange{})
	if err != nil {
		return err
	}
	defer body.Close()
	r := bufio.NewReaderSize(body, 64<<10)
	head, _ := r.Peek(16) // what is shorter is neither
	if bytes.Contains(head, []byte("#EXTM3U")) {
		body.Close()
		silence.Stop()
		return (&Puller{Fetch: HTTP(w.Client), Log: w.Log}).Pull(ctx, address, in)
	}
	feed := ts.NewFeed(in, w.Log)
	for buffer := make([]byte, 32<<10); ; {
		n, err := r.Read(buffer)
		silence.Reset(silentTime)
		if err := feed.Write(buffer[:n], time.Now()); err != nil {
			return err
		}
		if strange := feed.Stats(); strange.Packets == 0 && strange.Skipped > 64<<10 {
			return fault.New(fault.Invalid, "%s gives neither an HLS playlist nor a transport stream", name(address))
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case streaming.Err() != nil:
			return fault.New(fault.Unavailable, "nothing comes from %s any more", name(address))
		case err == io.EOF && feed.Stats().Packets == 0:
			return fault.New(fault.Invalid, "%s gives neither an HLS playlist nor a transport stream", name(address))
		case err == io.EOF:
			return feed.Flush()
		case err != nil:
			return fault.Wrap(err, fault.Unavailable, "%s has broken off", name(address))
		}
	}
}
