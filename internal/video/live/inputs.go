package live

import (
	"context"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/ingest"
)

// An encoder of a stream is its primary or its backup input. Both may be connected. One
// of them is on air: the primary while it delivers, else the backup.
const (
	primary = iota
	backup
)

// Who goes on air, and when.
const (
	stalledFor = time.Second            // without a picture: the other input may go on air
	steadyFor  = 3 * time.Second        // of pictures: the primary may go back on air
	refreshGap = time.Second            // an encoder is asked for a key frame no more often
	watchEvery = 200 * time.Millisecond // inputs are looked at
	heldAfter  = 2 * time.Second        // without a picture of who is connected, the slate begins
)

func slot(c ingest.Connection) int {
	if c.Backup {
		return backup
	}
	return primary
}

func (in *input) role() string { return [...]string{"primary", "backup"}[slot(in.connection)] }

// join makes a connection an input of its stream.
func (l *session) join(c ingest.Connection, now time.Time) (*input, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return nil, errClosing
	}
	at := slot(c)
	if was := l.inputs[at]; was != nil {
		if now.Sub(was.seen) <= silentFor {
			return nil, fault.New(fault.Conflict, "another encoder sends to this stream; stop that one first, or send as its backup")
		}
		was.connection.Kick("another encoder has taken its place")
		l.log.Warn("a silent encoder lost its place to another")
		l.drop(was)
	}
	in := &input{session: l, connection: c, feed: l.channel.Connect(now), since: now, seen: now, delivered: now, steady: now}
	l.inputs[at] = in
	if l.onAir == nil {
		l.take(in, now)
	}
	if l.ticked.IsZero() {
		l.ticked = now
	}
	l.log.Info("an encoder sends", "as", in.role(), "protocol", c.Protocol, "encoder", c.Encoder, "from", c.Remote)
	l.poke()
	return in, nil
}

// drop ends an input's part in the stream.
func (l *session) drop(in *input) {
	l.count(in)
	l.channel.Drop(in.feed)
	l.inputs[slot(in.connection)] = nil
	if l.onAir == in {
		l.onAir = nil
	}
	if !l.present() {
		l.report = nil
	}
	l.poke()
}

func (l *session) present() bool { return l.inputs[primary] != nil || l.inputs[backup] != nil }

// watchable reports whether an input is on air, or one delivers that will be at its next
// key frame.
func (l *session) watchable(now time.Time) bool {
	if l.onAir != nil && l.onAir.feed.Started() {
		return true
	}
	for _, in := range l.inputs {
		if in != nil && l.channel.Begun() && in.delivered.After(in.since) && !in.stalled(now) {
			return true
		}
	}
	return false
}

// shown reports whether viewers see what comes: they would take a window that still has the
// end of what was before for a stream that is over.
func (l *session) shown(now time.Time) bool { return l.watchable(now) && !l.group.Ended() }

// take puts an input on air, from its next key frame on.
func (l *session) take(in *input, now time.Time) {
	if l.slate {
		l.channel.Hold(now, watchEvery) // so that there is no hole
	}
	if l.onAir != nil {
		l.log.Info("another input goes on air", "input", in.role())
	}
	l.onAir = in
	l.channel.Take(in.feed)
	l.poke()
}

// offer puts an input on air that has a key frame, where it should be there.
func (l *session) offer(f *ingest.Feed, now time.Time) {
	for _, in := range l.inputs {
		if in != nil && in.feed == f && l.shouldBe(in, now) {
			l.take(in, now)
		}
	}
}

// shouldBe reports whether an input that is not on air should be.
func (l *session) shouldBe(in *input, now time.Time) bool {
	switch on := l.onAir; {
	case in == on:
		return false
	case on == nil || on.stalled(now):
		return true
	}
	return slot(in.connection) == primary && now.Sub(in.steady) >= steadyFor
}

// stalled reports whether nothing that can be watched has come for a while.
func (in *input) stalled(now time.Time) bool { return now.Sub(in.delivered) > stalledFor }

// deliver has pass take what came, and follows how the input delivers. One that is on
// air delivers where it is passed on; another one before it is asked whether it shall be.
func (in *input) deliver(now time.Time, pass func() error) error {
	if in != in.session.onAir {
		in.note(now)
	}
	err := pass()
	if in == in.session.onAir && in.feed.Started() {
		in.note(now)
	}
	return err
}

func (in *input) note(now time.Time) {
	if in.stalled(now) {
		in.steady = now
	}
	in.delivered = now
}

// awaits reports whether a key frame of an input is waited for, which can be asked for
// one.
func (l *session) awaits(in *input, now time.Time) bool {
	if in.connection.Refresh == nil || now.Sub(in.refreshed) < refreshGap || in.stalled(now) {
		return false
	}
	return l.shouldBe(in, now) || (in == l.onAir && l.channel.Holding())
}

// watching looks at the inputs until ctx ends.
func (l *session) watching(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			l.watch(now)
		}
	}
}

// watch looks at the inputs: whoever should go on air is asked for a key frame, and the
// slate is shown where there is nothing else.
func (l *session) watch(now time.Time) {
	var refresh []func()
	l.mu.Lock()
	for _, in := range l.inputs {
		if in != nil && l.awaits(in, now) {
			in.refreshed = now
			refresh = append(refresh, in.connection.Refresh)
		}
	}
	if on := l.shown(now); on != l.showing {
		l.showing = on
		l.poke()
	}
	if l.slate && !l.closing {
		after := watchEvery
		if l.onAir != nil {
			after = heldAfter
		}
		l.channel.Hold(now, after)
	}
	l.mu.Unlock()
	for _, ask := range refresh { // it may wait for the network
		ask()
	}
}
