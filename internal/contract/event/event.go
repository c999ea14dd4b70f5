// Package event is the document that tells the world of a change: on the bus,
// in GET /v1/events and in webhooks it is the same.
package event

import (
	"encoding/json"
	"time"
)

// Event is one change. It is written in the transaction that makes the change.
type Event struct {
	ID     string          `json:"id"`
	Type   string          `json:"type"` // resource.verb
	Time   time.Time       `json:"time"`
	Tenant string          `json:"tenant"`
	Data   json.RawMessage `json:"data"` // the resource as the API shows it
}

// The types.
const (
	AssetCreated = "asset.created"
	AssetUpdated = "asset.updated"
	AssetReady   = "asset.ready"
	AssetFailed  = "asset.failed"
	AssetDeleted = "asset.deleted"
	WebhookTest  = "webhook.test"

	StreamCreated      = "stream.created"
	StreamUpdated      = "stream.updated"
	StreamLive         = "stream.live"
	StreamReconnecting = "stream.reconnecting" // the encoder is gone, and may come back
	StreamIdle         = "stream.idle"
	StreamDeleted      = "stream.deleted"

	// AssetProgress is told to who watches, and kept nowhere.
	AssetProgress = "asset.progress"
	// NodeChanged is told to operators who watch, of no tenant, and kept nowhere.
	NodeChanged = "node.changed"
	// StreamHealth likewise, each second that a stream is on air.
	StreamHealth = "stream.health"
)

// Types lists what a webhook may subscribe to.
func Types() []string {
	return []string{
		AssetCreated, AssetUpdated, AssetReady, AssetFailed, AssetDeleted,
		StreamCreated, StreamUpdated, StreamLive, StreamReconnecting, StreamIdle, StreamDeleted,
	}
}
