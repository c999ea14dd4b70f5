package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"time"
)

// The types of events. A webhook gets those that begin with "asset." as it asked.
const (
	AssetCreated  = "asset.created"
	AssetUpdated  = "asset.updated"
	AssetReady    = "asset.ready"
	AssetFailed   = "asset.failed"
	AssetDeleted  = "asset.deleted"
	AssetProgress = "asset.progress" // passes by: is not sent again after a break
	NodeChanged   = "node.changed"   // passes by, too
	WebhookTest   = "webhook.test"
)

// Event is a change that the cloud tells of. In [Client.Events] and in webhooks
// it is the same.
type Event struct {
	ID     string          `json:"id"`
	Type   string          `json:"type"`
	Time   time.Time       `json:"time"`
	Tenant string          `json:"tenant"`
	Data   json.RawMessage `json:"data"` // the resource as the API shows it

	// Cursor is where a later [Client.Events] goes on after this event; "" for
	// what passes by, and in webhooks.
	Cursor string `json:"-"`
}

// Asset returns the asset that the event is about. That of an AssetProgress has
// only ID, Status, Progress, Phase and WaitingFor.
func (e Event) Asset() (a Asset, err error) {
	if err := json.Unmarshal(e.Data, &a); err != nil {
		return a, fmt.Errorf("client: the data of a %s is no asset: %w", e.Type, err)
	}
	return a, nil
}

// eventSilence is how long nothing may come before the connection counts as
// broken: the server writes something every 15 s.
const eventSilence = 45 * time.Second

// Events yields what happens from now on, or after an earlier event whose Cursor
// is given, until ctx ends: then without an error. A broken connection is made
// again, and no event is lost or comes twice. It ends after the first error,
// which is one that will stay, such as a key without the scope.
func (c *Client) Events(ctx context.Context, after string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		err := c.follow(ctx, "/v1/events", after, func(m message) error {
			event, err := m.event()
			if err == nil && !yield(event, nil) {
				err = errEnough
			}
			return err
		})
		if err != nil {
			yield(Event{}, err)
		}
	}
}

var (
	errEnough = errors.New("client: no more events are wanted")
	errSilent = errors.New("client: the server is silent")
)

// follow passes on what the stream of events at path tells, from now on or after the
// message with the id after. It opens the stream again when that breaks. It ends
// without an error when ctx does, or take returned errEnough; else with one that
// will stay.
func (c *Client) follow(ctx context.Context, path, after string, take func(message) error) error {
	for failures := 1; ctx.Err() == nil; failures++ {
		err := c.read(ctx, path, after, func(m message) error {
			failures = 0
			err := take(m)
			if err == nil && m.id != "" {
				after = m.id
			}
			return err
		})
		again, _ := repeat(err, http.MethodGet)
		switch {
		case errors.Is(err, errEnough) || ctx.Err() != nil:
			return nil
		case !again:
			return err
		}
		sleep(ctx, pause(max(1, failures), err))
	}
	return nil
}

// read opens a stream once and passes its messages on. It always returns an error:
// that of take, when it had one.
func (c *Client) read(ctx context.Context, path, after string, take func(message) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	request, err := c.request(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "text/event-stream")
	if after != "" {
		request.Header.Set("Last-Event-ID", after)
	}
	watch := time.AfterFunc(eventSilence, func() { cancel(errSilent) })
	defer watch.Stop()
	response, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errorOf(response)
	}
	stream := newEventReader(&watched{response.Body, watch, eventSilence})
	for {
		message, err := stream.next()
		if err != nil {
			return fmt.Errorf("client: read events: %w", err)
		}
		if err := take(message); err != nil {
			return err
		}
	}
}

// event is the event that a message of the stream tells. What passes by is not
// numbered, so nothing goes on after it.
func (m message) event() (e Event, err error) {
	if err := json.Unmarshal(m.data, &e); err != nil {
		return e, &notOurs{fmt.Errorf("the data of a %s are no event: %w", m.kind, err)}
	}
	e.Cursor = m.id
	return e, nil
}

// watched is a reader that a timer watches: it begins anew with each byte.
type watched struct {
	io.Reader
	timer *time.Timer
	limit time.Duration
}

// Read reads and winds the timer up.
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if n > 0 {
		w.timer.Reset(w.limit)
	}
	return n, err
}
