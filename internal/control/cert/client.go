package cert

import (
	"context"
	"time"

	"liuyun/internal/contract/edge"
	"liuyun/internal/kit/guard"
)

// requester is what a Client needs of kit/bus.
type requester interface {
	Request(ctx context.Context, subject string, in, out any) error
}

// Client asks control nodes, for a [guard.SharedStorage]. It may be used by several
// goroutines.
type Client struct{ bus requester }

// NewClient returns a client on the bus.
func NewClient(bus requester) *Client { return &Client{bus} }

// Load returns what is under a key, or fault.NotFound.
func (c *Client) Load(ctx context.Context, key string) (value []byte, modified time.Time, err error) {
	var out edge.CertificateValue
	err = c.bus.Request(ctx, edge.SubjectCertificateLoad, edge.CertificateLoad{Key: key}, &out)
	return out.Value, out.Modified, err
}

// List returns some of the keys below prefix, those after the key after, and whether
// there are more.
func (c *Client) List(ctx context.Context, prefix, after string) (keys []string, more bool, err error) {
	var out edge.CertificateKeys
	err = c.bus.Request(ctx, edge.SubjectCertificateList, edge.CertificateList{Prefix: prefix, After: after}, &out)
	return out.Keys, out.More, err
}

// Change changes all or nothing. It is fault.Conflict when the lock was lost.
func (c *Client) Change(ctx context.Context, change guard.SharedChange) error {
	in := edge.CertificateChange{Remove: change.Remove}
	for _, entry := range change.Put {
		in.Put = append(in.Put, edge.CertificateEntry{Key: entry.Key, Value: entry.Value})
	}
	if change.Under.Name != "" {
		in.Under = &edge.CertificateHold{Name: change.Under.Name, Token: change.Under.Token}
	}
	return c.bus.Request(ctx, edge.SubjectCertificateChange, in, nil)
}

// Lock gets a lock, or is fault.Conflict while another has it.
func (c *Client) Lock(ctx context.Context, name, holder string) (guard.SharedHold, error) {
	var out edge.CertificateHold
	err := c.bus.Request(ctx, edge.SubjectCertificateLock, edge.CertificateLock{Name: name, Holder: holder}, &out)
	return guard.SharedHold{Name: name, Token: out.Token}, err
}

// Renew keeps a lock for another minute, or is fault.Conflict when it was lost.
func (c *Client) Renew(ctx context.Context, hold guard.SharedHold) error {
	return c.bus.Request(ctx, edge.SubjectCertificateRenew, edge.CertificateHold{Name: hold.Name, Token: hold.Token}, nil)
}

// Unlock frees a lock.
func (c *Client) Unlock(ctx context.Context, hold guard.SharedHold) error {
	return c.bus.Request(ctx, edge.SubjectCertificateUnlock, edge.CertificateHold{Name: hold.Name, Token: hold.Token}, nil)
}
