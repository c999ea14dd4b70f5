package bus

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"liuyun/internal/base/fault"
)

// bucketBytes bounds a bucket: it is for small state. A Put above it fails.
const bucketBytes = 16 << 20

// Bucket is small state that all nodes see and may watch: who is present, what
// the edge shall do. What must be listed, searched or changed together with
// other things belongs into the store.
type Bucket struct {
	bus *Bus
	kv  jetstream.KeyValue
}

var bucketKey = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

// Bucket opens the bucket, and makes it where there is none: letters, digits, "-"
// and "_". A value that is not put again within ttl goes; 0 keeps it.
func (b *Bus) Bucket(ctx context.Context, name string, ttl time.Duration) (*Bucket, error) {
	kv, err := b.openBucket(ctx, name, ttl)
	if err != nil {
		return nil, explain(err, "bucket "+name)
	}
	return &Bucket{bus: b, kv: kv}, nil
}

func (b *Bus) openBucket(ctx context.Context, name string, ttl time.Duration) (jetstream.KeyValue, error) {
	_, js, err := b.connection()
	if err != nil {
		return nil, err
	}
	// An existing bucket may have more copies than it was made with.
	kv, err := js.KeyValue(ctx, name)
	if err == nil || !errors.Is(err, jetstream.ErrBucketNotFound) {
		return kv, err
	}
	config := jetstream.KeyValueConfig{Bucket: name, TTL: ttl, MaxBytes: bucketBytes, Storage: jetstream.FileStorage, Replicas: b.replicas()}
	if ttl > 0 {
		config.LimitMarkerTTL = max(ttl, time.Second) // watchers are told of what went by its age
	}
	kv, err = js.CreateKeyValue(ctx, config)
	if errors.Is(err, jetstream.ErrBucketExists) {
		return js.KeyValue(ctx, name)
	}
	return kv, err
}

func checkKey(key string) error {
	if !bucketKey.MatchString(key) || len(key) > 256 {
		return fault.New(fault.Invalid, "%q is no key: use letters, digits, - and _, with dots between them", key)
	}
	return nil
}

// Put sets the key's value, as JSON.
func (k *Bucket) Put(ctx context.Context, key string, v any) error {
	if err := checkKey(key); err != nil {
		return err
	}
	data, err := encode(v)
	if err != nil {
		return err
	}
	_, err = k.kv.Put(ctx, key, data)
	return explain(err, "put "+key)
}

// Get decodes the key's value into out. An absent key is fault.NotFound.
func (k *Bucket) Get(ctx context.Context, key string, out any) error {
	if err := checkKey(key); err != nil {
		return err
	}
	entry, err := k.kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return fault.New(fault.NotFound, "nothing is kept under %s", key)
	}
	if err != nil {
		return explain(err, "get "+key)
	}
	if err := json.Unmarshal(entry.Value(), out); err != nil {
		return fault.Wrap(err, fault.Internal, "%s holds something else", key)
	}
	return nil
}

// Delete removes the key. An absent one is no error.
func (k *Bucket) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	return explain(k.kv.Purge(ctx, key), "delete "+key)
}

// All returns every key with its value.
func (k *Bucket) All(ctx context.Context) (map[string]json.RawMessage, error) {
	watcher, err := k.kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, explain(err, "read bucket")
	}
	defer watcher.Stop()
	all := make(map[string]json.RawMessage)
	for {
		select {
		case entry, ok := <-watcher.Updates():
			if !ok {
				return nil, fault.New(fault.Unavailable, "the bus broke off")
			}
			if entry == nil { // all that there is now
				return all, nil
			}
			all[entry.Key()] = entry.Value()
		case <-ctx.Done():
			return nil, explain(ctx.Err(), "read bucket")
		}
	}
}

// Watch calls fn for each key and its value, then for each change; value is nil
// when the key is gone. After a lost connection it begins anew, so that fn sees
// values again; a key that went in between is told, too. It returns nil when ctx
// ends.
func (k *Bucket) Watch(ctx context.Context, fn func(key string, value json.RawMessage)) error {
	known := make(map[string]bool)
	for wait := retryMin; ; wait = min(2*wait, retryMax) {
		err := k.watch(ctx, known, fn)
		if ctx.Err() != nil {
			return nil
		}
		k.bus.options.Log.Debug("bus: watching interrupted", "bucket", k.kv.Bucket(), "error", err)
		if !sleep(ctx, wait) {
			return nil
		}
	}
}

func (k *Bucket) watch(ctx context.Context, known map[string]bool, fn func(key string, value json.RawMessage)) error {
	watcher, err := k.kv.WatchAll(ctx)
	if err != nil {
		return err
	}
	defer watcher.Stop()
	present := make(map[string]bool)
	initial := true
	for {
		var entry jetstream.KeyValueEntry
		var ok bool
		select {
		case entry, ok = <-watcher.Updates():
		case <-ctx.Done():
			return nil
		}
		switch {
		case !ok:
			return errors.New("the watch ended")
		case entry == nil:
			initial = false
			for key := range known {
				if !present[key] {
					delete(known, key)
					fn(key, nil)
				}
			}
		case entry.Operation() == jetstream.KeyValuePut:
			known[entry.Key()], present[entry.Key()] = true, true
			fn(entry.Key(), entry.Value())
		case !initial || known[entry.Key()]:
			delete(known, entry.Key())
			delete(present, entry.Key())
			fn(entry.Key(), nil)
		}
	}
}
