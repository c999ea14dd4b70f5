package ingest

import (
	"context"
	"time"

	"liuyun/internal/base/fault"
)

// recheckEvery is how often it is looked whether a viewer may still watch.
const recheckEvery = 10 * time.Second

// Recheck asks the desk again and again, until ctx ends, whether a viewer of a stream
// may still watch it, and calls end, once, with the reason when that is no longer so: a
// token has an end, a stream may become signed or be deleted, and a connection goes on.
func Recheck(ctx context.Context, d Desk, id, token string, end func(why string)) {
	tick := time.NewTicker(recheckEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asking, cancel := context.WithTimeout(ctx, recheckEvery)
		_, err := d.Watch(asking, id, token)
		cancel()
		switch fault.CodeOf(err) {
		case fault.Forbidden, fault.NotFound:
			end(fault.Message(err))
			return
		}
	}
}
