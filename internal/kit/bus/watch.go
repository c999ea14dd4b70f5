package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// prepare makes the streams. What fails now, watch tries again.
func (b *Bus) prepare(ctx context.Context) {
	wait := retryMin
	for range 20 { // a cluster needs a moment to find its leader
		ctx, cancel := context.WithTimeout(ctx, b.timing.probeWait)
		err := b.prepareStreams(ctx)
		cancel()
		if err == nil {
			return
		}
		b.sick.Store(&err)
		if !b.streamsUp() || !b.clustered() || !sleep(ctx, wait) {
			return
		}
	}
}

func (b *Bus) prepareStreams(ctx context.Context) error {
	_, js, err := b.connection()
	if err != nil {
		return err
	}
	if err := b.prepareProbe(ctx, js); err != nil {
		return err
	}
	return b.prepareEvents(ctx, js, b.replicas())
}

func (b *Bus) probeStream() string { return "PROBE_" + b.options.Name }

// prepareProbe makes a stream that lies on this node only: whether it takes a
// message tells of this node's disk, not of others.
func (b *Bus) prepareProbe(ctx context.Context, js jetstream.JetStream) error {
	config := jetstream.StreamConfig{
		Name: b.probeStream(), Subjects: []string{"probe." + b.options.Name}, Storage: jetstream.FileStorage,
		MaxMsgs: 1, Discard: jetstream.DiscardOld, Replicas: 1, Duplicates: time.Second,
	}
	if b.clustered() {
		config.Placement = &jetstream.Placement{Tags: []string{b.tag()}}
	}
	_, err := js.CreateOrUpdateStream(ctx, config)
	return err
}

// watch probes the streams until ctx ends. A disk that was full leaves the
// server's streams shut even when there is room again: when probes fail and
// there is room, the server is started anew in its place. The client finds it by
// itself, subscriptions and consumers with it.
func (b *Bus) watch(ctx context.Context) {
	failures := 0
	copies := b.replicas()
	var restarted time.Time
	for sleep(ctx, b.timing.probe) {
		err := b.probe(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			failures = 0
			if b.sick.Swap(nil) != nil {
				b.options.Log.Info("bus: events are taken again")
			}
			if now := b.replicas(); now != copies || b.clustered() {
				b.raiseCopies(ctx)
				copies = now
			}
			continue
		}
		failures++
		if b.sick.Swap(&err) == nil {
			b.options.Log.Warn("bus: events are not taken", "error", err, "free_bytes", b.freeRoom())
		}
		if failures < 2 && b.streamsUp() || time.Since(restarted) < b.timing.restartWait || b.freeRoom() < b.timing.room {
			continue
		}
		restarted = time.Now()
		b.restart(ctx)
	}
}

// probe publishes into the node's own stream and looks at how the events fare.
func (b *Bus) probe(ctx context.Context) error {
	if !b.streamsUp() {
		return errors.New("the server has shut its streams")
	}
	conn, js, err := b.connection()
	if err != nil {
		return err
	}
	if !conn.IsConnected() {
		return errors.New("not connected")
	}
	ctx, cancel := context.WithTimeout(ctx, b.timing.probeWait)
	defer cancel()
	if _, err = js.Publish(ctx, "probe."+b.options.Name, nil); errors.Is(err, jetstream.ErrNoStreamResponse) {
		err = b.prepareStreams(ctx)
	}
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	if _, err := js.Stream(ctx, eventStream); err != nil {
		return b.prepareStreams(ctx)
	}
	// In a cluster an event may wait for other nodes; a restart of this one would
	// not help.
	if n := b.eventFailures.Load(); n >= 5 && !b.clustered() {
		return fmt.Errorf("%d events in a row were not taken", n)
	}
	return nil
}

// streamsUp reports whether the server keeps streams now.
func (b *Bus) streamsUp() bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.server != nil && b.server.JetStreamEnabled()
}

func (b *Bus) restart(ctx context.Context) {
	b.options.Log.Warn("bus: starting the server anew")
	b.stopServer()
	b.eventFailures.Store(0)
	if err := b.startServer(); err != nil {
		b.options.Log.Error("bus: the server does not start", "error", err)
		return
	}
	b.prepare(ctx)
}

// replicas is how many copies of a stream the cluster shall keep: three when it
// has three nodes, else one. Two would stop when either is lost.
func (b *Bus) replicas() int {
	if b.embedded() && b.clustered() && len(b.options.Config.Cluster.Routes) >= 2 {
		return 3
	}
	return 1
}

// raiseCopies gives each stream but the probes the copies that the cluster can
// keep: a stream that was made while two nodes were missing has one.
func (b *Bus) raiseCopies(ctx context.Context) {
	_, js, err := b.connection()
	if err != nil || b.replicas() == 1 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, b.timing.probeWait)
	defer cancel()
	streams := js.ListStreams(ctx)
	for info := range streams.Info() {
		config := info.Config
		if config.Replicas >= b.replicas() || config.Placement != nil {
			continue
		}
		config.Replicas = b.replicas()
		if _, err := js.UpdateStream(ctx, config); err != nil {
			b.options.Log.Debug("bus: copies wait for more nodes", "stream", config.Name, "error", err)
		}
	}
}
