package notify

import (
	"context"
	"net/http"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/event"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
	"liuyun/internal/kit/web"
)

const tag = "Webhooks"

type webhookPath struct {
	ID string `path:"id" maxLength:"64"`
}

type deliveryPath struct {
	ID       string `path:"id" maxLength:"64"`
	Delivery string `path:"delivery" maxLength:"64"`
}

type listInput struct{ web.PageQuery }

type deliveriesInput struct {
	ID string `path:"id" maxLength:"64"`
	web.PageQuery
}

// NewWebhook is what is asked for a webhook.
type NewWebhook struct {
	URL     string   `json:"url" maxLength:"2048"`
	Events  []string `json:"events,omitempty" maxItems:"32" nullable:"false" doc:"Types of events; empty means all."`
	Enabled *bool    `json:"enabled,omitempty" doc:"True unless said."`
}

type createWebhookInput struct{ Body NewWebhook }

// WebhookChange is what of a webhook is to be another; what is left out stays.
type WebhookChange struct {
	URL     *string   `json:"url,omitempty" maxLength:"2048"`
	Events  *[]string `json:"events,omitempty" maxItems:"32" nullable:"false"`
	Enabled *bool     `json:"enabled,omitempty"`
}

type changeInput struct {
	ID      string `path:"id" maxLength:"64"`
	IfMatch string `header:"If-Match" doc:"The ETag of what is meant; 412 when it has changed."`
	Body    WebhookChange
}

type deleteInput struct {
	ID      string `path:"id" maxLength:"64"`
	IfMatch string `header:"If-Match" doc:"The ETag of what is meant; 412 when it has changed."`
}

type webhookOutput struct {
	ETag string `header:"ETag"`
	Body Webhook
}

// MadeWebhook is a webhook as the API shows it once.
type MadeWebhook struct {
	Webhook
	Secret string `json:"secret" doc:"Key of the signatures. It is shown this once."`
}

type createOutput struct {
	ETag string `header:"ETag"`
	Body MadeWebhook
}

type webhooksOutput struct{ Body web.Page[Webhook] }

type deliveriesOutput struct{ Body web.Page[Delivery] }

type deliveryOutput struct{ Body Delivery }

// Routes adds the operations to the API.
func (s *Service) Routes(a *web.API) {
	op := func(id, method, path, summary string, status int) web.Op {
		return web.Op{ID: id, Method: method, Path: "/v1/webhooks" + path, Tag: tag, Summary: summary, Scope: guard.WebhooksWrite, Status: status}
	}
	web.Add(a, op("list-webhooks", http.MethodGet, "", "List webhooks", 0), s.listWebhooks)
	web.Add(a, op("create-webhook", http.MethodPost, "", "Create a webhook", http.StatusCreated), s.createWebhook)
	web.Add(a, op("get-webhook", http.MethodGet, "/{id}", "Get a webhook", 0), s.getWebhook)
	web.Add(a, op("change-webhook", http.MethodPatch, "/{id}", "Change a webhook", 0), s.changeWebhook)
	web.Add(a, op("delete-webhook", http.MethodDelete, "/{id}", "Delete a webhook and its deliveries", http.StatusNoContent), s.deleteWebhook)
	web.Add(a, op("test-webhook", http.MethodPost, "/{id}/test", "Send a test event", http.StatusAccepted), s.testWebhook)
	web.Add(a, op("list-deliveries", http.MethodGet, "/{id}/deliveries", "List deliveries", 0), s.listDeliveries)
	web.Add(a, op("resend-delivery", http.MethodPost, "/{id}/deliveries/{delivery}/resend", "Send a delivery again", http.StatusAccepted), s.resendDelivery)
	a.Raw(web.Op{
		ID: "stream-events", Method: http.MethodGet, Path: "/v1/events", Tag: "Events", Scope: guard.AssetsRead, Summary: "Stream events",
		Description: "Server-sent events of the tenant. Lines `id:` number events; `Last-Event-ID` resumes after one of the last seven days. Progress comes without a number and may be left out. A reader that takes nothing for ten seconds is cut off.",
	}, web.Media{Response: "text/event-stream", Params: []web.Param{{In: "header", Name: "Last-Event-ID", Description: "Number of the last event that was seen."}}},
		http.HandlerFunc(s.stream))
}

// tenantOf returns in which tenant a request acts.
func tenantOf(ctx context.Context) string {
	p, _ := guard.From(ctx)
	return p.Tenant
}

// page cuts a list that was read with one more than the limit.
func page[T any](list []T, limit int, idOf func(T) string) web.Page[T] {
	if len(list) <= limit {
		return web.Page[T]{Data: list}
	}
	list = list[:limit]
	return web.Page[T]{Data: list, Next: idOf(list[limit-1])}
}

func (s *Service) listWebhooks(ctx context.Context, in *listInput) (*webhooksOutput, error) {
	list := []Webhook{}
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		where, args := `tenant = ?`, []any{tenantOf(ctx)}
		if in.After != "" {
			where, args = where+` AND id < ?`, append(args, in.After)
		}
		hooks, err := queryHooks(tx, where+` ORDER BY id DESC LIMIT ?`, append(args, in.Limit+1)...)
		for _, h := range hooks {
			list = append(list, h.Webhook)
		}
		return err
	})
	return &webhooksOutput{page(list, in.Limit, func(w Webhook) string { return w.ID })}, err
}

func (s *Service) createWebhook(ctx context.Context, in *createWebhookInput) (*createOutput, error) {
	h := hook{tenant: tenantOf(ctx)}
	h.URL, h.Events, h.Enabled = in.Body.URL, in.Body.Events, in.Body.Enabled == nil || *in.Body.Enabled
	if h.Events == nil {
		h.Events = []string{}
	}
	err := s.db.Write(ctx, func(tx *store.Tx) (err error) {
		h, err = s.create(tx, h)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &createOutput{web.ETag(h.Rev), MadeWebhook{h.Webhook, h.secret}}, nil
}

func (s *Service) getWebhook(ctx context.Context, in *webhookPath) (*webhookOutput, error) {
	var h hook
	err := s.db.Read(ctx, func(tx *store.Tx) (err error) {
		h, err = getHook(tx, tenantOf(ctx), in.ID)
		return err
	})
	return &webhookOutput{web.ETag(h.Rev), h.Webhook}, err
}

func (s *Service) changeWebhook(ctx context.Context, in *changeInput) (*webhookOutput, error) {
	var h hook
	err := s.db.Write(ctx, func(tx *store.Tx) (err error) {
		if h, err = getHook(tx, tenantOf(ctx), in.ID); err != nil {
			return err
		}
		if err := web.CheckMatch(in.IfMatch, h.Rev); err != nil {
			return err
		}
		if in.Body.URL != nil {
			h.URL = *in.Body.URL
			if err := s.checkHost(h.URL); err != nil {
				return err
			}
		}
		if in.Body.Events != nil {
			h.Events = *in.Body.Events
		}
		if in.Body.Enabled != nil {
			h.Enabled = *in.Body.Enabled
			tx.AfterCommit(s.nudge)
		}
		h, err = s.change(tx, h)
		return err
	})
	return &webhookOutput{web.ETag(h.Rev), h.Webhook}, err
}

func (s *Service) deleteWebhook(ctx context.Context, in *deleteInput) (*struct{}, error) {
	return nil, s.db.Write(ctx, func(tx *store.Tx) error {
		h, err := getHook(tx, tenantOf(ctx), in.ID)
		if err != nil {
			return err
		}
		if err := web.CheckMatch(in.IfMatch, h.Rev); err != nil {
			return err
		}
		return removeHook(tx, h.ID)
	})
}

// Forget removes the webhooks of a tenant, with their secrets and deliveries.
func Forget(tx *store.Tx, tenant string) error {
	hooks, err := queryHooks(tx, `tenant = ?`, tenant)
	if err != nil {
		return err
	}
	for _, h := range hooks {
		if err := removeHook(tx, h.ID); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) testWebhook(ctx context.Context, in *webhookPath) (*deliveryOutput, error) {
	out := &deliveryOutput{}
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		h, err := getHook(tx, tenantOf(ctx), in.ID)
		if err != nil {
			return err
		}
		if !h.Enabled {
			return fault.New(fault.Conflict, "the webhook is off: enable it first")
		}
		id, err := s.insert(tx, h.ID, s.testEvent(h.tenant))
		if err != nil {
			return err
		}
		out.Body, err = getDelivery(tx, h.ID, id)
		return err
	})
	return out, err
}

func (s *Service) testEvent(tenant string) event.Event {
	return event.Event{ID: s.ids.New("evt"), Type: event.WebhookTest, Time: now(), Tenant: tenant, Data: []byte(`{}`)}
}

func (s *Service) listDeliveries(ctx context.Context, in *deliveriesInput) (*deliveriesOutput, error) {
	var list []Delivery
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		h, err := getHook(tx, tenantOf(ctx), in.ID)
		if err != nil {
			return err
		}
		where, args := `webhook = ?`, []any{h.ID}
		if in.After != "" {
			where, args = where+` AND id < ?`, append(args, in.After)
		}
		list, err = queryDeliveries(tx, where+` ORDER BY id DESC LIMIT ?`, append(args, in.Limit+1)...)
		return err
	})
	return &deliveriesOutput{page(list, in.Limit, func(d Delivery) string { return d.ID })}, err
}

func (s *Service) resendDelivery(ctx context.Context, in *deliveryPath) (*deliveryOutput, error) {
	out := &deliveryOutput{}
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		h, err := getHook(tx, tenantOf(ctx), in.ID)
		if err != nil {
			return err
		}
		if _, err := getDelivery(tx, h.ID, in.Delivery); err != nil {
			return err
		}
		if err := s.resend(tx, in.Delivery); err != nil {
			return err
		}
		out.Body, err = getDelivery(tx, h.ID, in.Delivery)
		return err
	})
	return out, err
}
