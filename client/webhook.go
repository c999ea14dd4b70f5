package client

import (
	"context"
	"iter"
	"net/http"
	"time"
)

// Webhook is an address that events are sent to.
type Webhook struct {
	ID           string     `json:"id"`
	URL          string     `json:"url"`
	Events       []string   `json:"events"` // types; empty is all
	Enabled      bool       `json:"enabled"`
	CreatedAt    time.Time  `json:"created_at"`
	Rev          int64      `json:"rev"`
	LastStatus   *int       `json:"last_status"` // of HTTP
	FailingSince *time.Time `json:"failing_since"`
	// Secret is what deliveries are signed with, whsec_…, in the answer of Create
	// and never again. See [VerifyWebhook].
	Secret string `json:"secret,omitempty"`
}

// Delivery is an event on its way to a webhook.
type Delivery struct {
	ID          string     `json:"id"`
	Webhook     string     `json:"webhook"`
	Event       Event      `json:"event"`
	State       string     `json:"state"` // waiting, delivered or failed
	Attempts    int        `json:"attempts"`
	Status      *int       `json:"status"`   // of HTTP, of the last attempt
	Response    string     `json:"response"` // its first kilobyte
	Error       string     `json:"error"`    // why there was no answer
	NextAt      *time.Time `json:"next_at"`
	CreatedAt   time.Time  `json:"created_at"`
	DeliveredAt *time.Time `json:"delivered_at"`
}

// Webhooks are the webhooks of a tenant.
type Webhooks struct{ c *Client }

const webhooksPath = "/v1/webhooks"

// NewWebhook is what a webhook begins with.
type NewWebhook struct {
	URL    string   `json:"url"`
	Events []string `json:"events,omitempty"` // types; empty is all
}

// Create makes a webhook. Its Secret is shown this once.
func (s Webhooks) Create(ctx context.Context, webhook NewWebhook) (w Webhook, err error) {
	return w, s.c.post(ctx, webhooksPath, webhook, &w)
}

// List yields the webhooks, newest first. It ends after the first error.
func (s Webhooks) List(ctx context.Context) iter.Seq2[Webhook, error] {
	return list[Webhook](ctx, s.c, webhooksPath, nil)
}

// Get returns the webhook.
func (s Webhooks) Get(ctx context.Context, id string) (w Webhook, err error) {
	return w, s.c.get(ctx, at(webhooksPath, id), nil, &w)
}

// WebhookChange says what to change; what is nil stays.
type WebhookChange struct {
	URL     *string   `json:"url,omitempty"`
	Events  *[]string `json:"events,omitempty"`
	Enabled *bool     `json:"enabled,omitempty"`
	// Rev, when it is not 0, must be the webhook's, or nothing changes and the
	// error is a Conflict.
	Rev int64 `json:"-"`
}

// Update changes the webhook.
func (s Webhooks) Update(ctx context.Context, id string, change WebhookChange) (w Webhook, err error) {
	return w, s.c.do(ctx, call{method: http.MethodPatch, path: at(webhooksPath, id), rev: change.Rev, in: change, out: &w})
}

// Delete removes the webhook and what waits to be delivered to it.
func (s Webhooks) Delete(ctx context.Context, id string) error {
	return s.c.delete(ctx, at(webhooksPath, id))
}

// Test sends an event of type webhook.test.
func (s Webhooks) Test(ctx context.Context, id string) (d Delivery, err error) {
	return d, s.c.post(ctx, at(webhooksPath, id)+"/test", nil, &d)
}

// Deliveries yields what was sent to the webhook or waits, newest first. It ends
// after the first error.
func (s Webhooks) Deliveries(ctx context.Context, id string) iter.Seq2[Delivery, error] {
	return list[Delivery](ctx, s.c, at(webhooksPath, id)+"/deliveries", nil)
}

// Resend delivers an event again.
func (s Webhooks) Resend(ctx context.Context, id, delivery string) (d Delivery, err error) {
	return d, s.c.post(ctx, at(at(webhooksPath, id)+"/deliveries", delivery)+"/resend", nil, &d)
}
