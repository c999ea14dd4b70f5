package bus

import (
	"context"
	"errors"
	"regexp"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"liuyun/internal/base/fault"
)

// bucketBytes bounds a bucket: it is for small state.
const bucketBytes = 16 << 20

var bucketKey = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

// openBucket opens small state that all control nodes see, and makes it where there
// is none. A value that is not put again within ttl goes.
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
