package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"liuyun/client"
)

func newWebhooks(s *session) *cobra.Command {
	return s.newGroup("webhooks", "Manage the addresses that events are sent to",
		"A webhook gets a signed POST for each event. Without a word it lists them.\nEvents: asset.created asset.updated asset.ready asset.failed asset.deleted\nstream.created stream.updated stream.live stream.reconnecting stream.idle stream.deleted.",
		"  liuyun webhooks\n  liuyun webhooks create https://app.example/hook --event asset.ready",
		s.webhooksList(), s.webhooksCreate(), s.webhooksSwitch("enable", "Send events again", true), s.webhooksSwitch("disable", "Send no events", false),
		s.webhooksTest(), s.webhooksDeliveries(), s.webhooksResend(), s.webhooksDelete())
}

func (s *session) webhooksList() *cobra.Command {
	return s.newAction(action{use: "list", short: "List the webhooks", example: "  liuyun webhooks list", args: cobra.NoArgs,
		run: func(ctx context.Context, c *client.Client, _ []string) error {
			return tellList(s, c.Webhooks.List(ctx), 0, columns[client.Webhook]{"webhook", []string{"ID", "URL", "EVENTS", "ENABLED", "LAST", "FAILING SINCE"},
				func(w client.Webhook) []string {
					return []string{w.ID, w.URL, first(strings.Join(w.Events, " "), "all"), fmt.Sprint(w.Enabled), statusText(w.LastStatus), dayOr(w.FailingSince, "-")}
				}, "There are no webhooks."})
		}})
}

func statusText(status *int) string {
	if status == nil {
		return "-"
	}
	return fmt.Sprint(*status)
}

func (s *session) webhooksCreate() *cobra.Command {
	var events []string
	cmd := s.newAction(action{use: "create URL", short: "Make a webhook and show its secret, this once",
		example: "  liuyun webhooks create https://app.example/hook --event asset.ready --event asset.failed", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			w, err := c.Webhooks.Create(ctx, client.NewWebhook{URL: args[0], Events: events})
			if err != nil {
				return err
			}
			return s.tellOne("webhook", w, fmt.Sprintf("%s %s\nThe secret, which is shown only now:\n%s", w.ID, printable(w.URL), w.Secret))
		}})
	cmd.Flags().StringArrayVar(&events, "event", nil, "a `TYPE` of event to send; may be repeated; none is all")
	return cmd
}

func (s *session) webhooksSwitch(name, short string, enabled bool) *cobra.Command {
	return s.newAction(action{use: name + " ID", short: short, example: "  liuyun webhooks " + name + " whk_…", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			w, err := c.Webhooks.Update(ctx, args[0], client.WebhookChange{Enabled: &enabled})
			if err != nil {
				return err
			}
			return s.tellOne("webhook", w, w.ID+" "+name+"d")
		}})
}

func (s *session) tellDelivery(d client.Delivery, err error) error {
	if err != nil {
		return err
	}
	return s.tellOne("delivery", d, fmt.Sprintf("%s %s is %s", d.ID, d.Event.Type, d.State))
}

func (s *session) webhooksTest() *cobra.Command {
	return s.newAction(action{use: "test ID", short: "Send an event that means nothing", example: "  liuyun webhooks test whk_…", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			return s.tellDelivery(c.Webhooks.Test(ctx, args[0]))
		}})
}

func (s *session) webhooksDeliveries() *cobra.Command {
	limit := 50
	cmd := s.newAction(action{use: "deliveries ID", short: "List what was sent and what waits", example: "  liuyun webhooks deliveries whk_… --limit 10", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			return tellList(s, c.Webhooks.Deliveries(ctx, args[0]), limit, columns[client.Delivery]{"delivery", []string{"ID", "EVENT", "STATE", "TRIES", "STATUS", "NEXT", "ERROR"},
				func(d client.Delivery) []string {
					return []string{d.ID, d.Event.Type, d.State, fmt.Sprint(d.Attempts), statusText(d.Status), dayOr(d.NextAt, "-"), d.Error}
				}, "Nothing was sent yet."})
		}})
	cmd.Flags().IntVar(&limit, "limit", limit, "at most so many, newest first; 0 is all")
	return cmd
}

func (s *session) webhooksResend() *cobra.Command {
	return s.newAction(action{use: "resend ID DELIVERY", short: "Send a delivery again", example: "  liuyun webhooks resend whk_… dlv_…", args: cobra.ExactArgs(2),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			return s.tellDelivery(c.Webhooks.Resend(ctx, args[0], args[1]))
		}})
}

func (s *session) webhooksDelete() *cobra.Command {
	return s.newAction(action{use: "delete ID", short: "Remove a webhook", example: "  liuyun webhooks delete whk_…", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			if err := c.Webhooks.Delete(ctx, args[0]); err != nil {
				return err
			}
			return s.tellDone(args[0], "deleted")
		}})
}
