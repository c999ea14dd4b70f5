package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"liuyun/client"
	"liuyun/internal/base/fault"
)

func newKeys(s *session) *cobra.Command {
	var scopes []string
	var expires time.Duration
	list := s.newAction(action{use: "list", short: "List the keys", example: "  liuyun keys list", args: cobra.NoArgs,
		run: func(ctx context.Context, c *client.Client, _ []string) error {
			return tellList(s, c.Keys.List(ctx), 0, columns[client.Key]{"key", []string{"ID", "NAME", "BEGINS", "SCOPES", "LAST USED", "EXPIRES"},
				func(k client.Key) []string {
					return []string{k.ID, k.Name, k.Prefix, strings.Join(k.Scopes, " "), dayOr(k.LastUsedAt, "never"), dayOr(k.ExpiresAt, "never")}
				}, "There are no keys."})
		}})
	create := s.newAction(action{use: "create NAME", short: "Make a key and show it, this once", example: "  liuyun keys create ci --scope assets:read --scope assets:write --expires 720h", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			if expires < 0 {
				return fault.New(fault.Invalid, "--expires %s is in the past", expires)
			}
			key := client.NewKey{Name: args[0], Scopes: scopes}
			if expires > 0 {
				at := time.Now().Add(expires).UTC().Truncate(time.Second)
				key.ExpiresAt = &at
			}
			k, err := c.Keys.Create(ctx, key)
			if err != nil {
				return err
			}
			return s.tellOne("key", k, fmt.Sprintf("%s %s\nThe key, which is shown only now:\n%s", k.ID, printable(k.Name), k.Secret))
		}})
	create.Flags().StringArrayVar(&scopes, "scope", []string{client.ScopeAssetsRead}, "what the key may do; may be repeated")
	create.Flags().DurationVar(&expires, "expires", 0, "how long the key is good for, such as 720h; 0 is for ever")
	remove := s.newAction(action{use: "delete ID", short: "Let nobody in with a key any more", example: "  liuyun keys delete key_…", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			if err := c.Keys.Delete(ctx, args[0]); err != nil {
				return err
			}
			return s.tellDone(args[0], "deleted")
		}})
	return s.newGroup("keys", "Manage the keys to a cloud",
		"Keys let programs and people in. Without a word it lists them.\nScopes: assets:read assets:write keys:write webhooks:write sites:read sites:write\nusage:read nodes:read admin.",
		"  liuyun keys\n  liuyun keys create ci --scope assets:write", list, create, remove)
}

func newTenants(s *session) *cobra.Command {
	list := s.newAction(action{use: "list", short: "List the tenants", example: "  liuyun tenants list", args: cobra.NoArgs,
		run: func(ctx context.Context, c *client.Client, _ []string) error {
			return tellList(s, c.Tenants.List(ctx), 0, columns[client.Tenant]{"tenant", []string{"ID", "NAME", "CREATED"},
				func(t client.Tenant) []string { return []string{t.ID, t.Name, dayText(t.CreatedAt)} }, "There are no tenants."})
		}})
	tell := func(t client.Tenant, err error) error {
		if err != nil {
			return err
		}
		return s.tellOne("tenant", t, t.ID+" "+printable(t.Name))
	}
	create := s.newAction(action{use: "create NAME", short: "Make a tenant", example: "  liuyun tenants create Acme", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			return tell(c.Tenants.Create(ctx, args[0]))
		}})
	rename := s.newAction(action{use: "rename ID NAME", short: "Change a tenant's name", example: "  liuyun tenants rename ten_… 'Acme Films'", args: cobra.ExactArgs(2),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			return tell(c.Tenants.Rename(ctx, args[0], args[1], 0))
		}})
	remove := s.newAction(action{use: "delete ID", short: "Remove a tenant that has no assets", example: "  liuyun tenants delete ten_…", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			if err := c.Tenants.Delete(ctx, args[0]); err != nil {
				return err
			}
			return s.tellDone(args[0], "deleted")
		}})
	return s.newGroup("tenants", "Manage who shares a cloud",
		"A tenant sees only what is theirs. These commands need a key of scope admin; with\n--tenant ID such a key acts in a tenant, for example to make its first key.",
		"  liuyun tenants\n  liuyun tenants create Acme", list, create, rename, remove)
}

func newNodes(s *session) *cobra.Command {
	list := s.newAction(action{use: "list", short: "List the machines and what they do", example: "  liuyun nodes list", args: cobra.NoArgs,
		run: func(ctx context.Context, c *client.Client, _ []string) error {
			return tellList(s, c.Nodes.List(ctx), 0, columns[client.Node]{"node", []string{"ID", "NAME", "ROLES", "STATE", "LOAD", "CORES", "RUNNING", "DISK FREE", "VERSION", "ARCH", "FPS/CORE", "WATTS", "PRICE/H", "G/KWH"},
				func(n client.Node) []string {
					state := n.State
					if n.Reason != "" {
						state += ": " + n.Reason
					}
					row := []string{n.ID, n.Name, strings.Join(n.Roles, ","), state, fmt.Sprintf("%.0f %%", 100*n.Load), fmt.Sprint(n.Cores), fmt.Sprint(n.Running), sizeText(n.DiskFree), n.Version}
					return append(row, workerCells(n)...)
				}, "There are no nodes."})
		}})
	get := s.newAction(action{use: "get ID", short: "Show a machine, and what it is worth as a worker", example: "  liuyun nodes get nod_…", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			n, err := c.Nodes.Get(ctx, args[0])
			if err != nil {
				return err
			}
			return s.tellOne("node", n, nodeText(n))
		}})
	var roles []string
	var expires time.Duration
	token := s.newAction(action{use: "join-token", short: "Make a token with which a machine joins", example: "  liuyun nodes join-token --expires 1h", args: cobra.NoArgs,
		run: func(ctx context.Context, c *client.Client, _ []string) error {
			t, err := c.Nodes.CreateJoinToken(ctx, roles, expires)
			if err != nil {
				return err
			}
			return s.tellOne("join_token", t, fmt.Sprintf("Run this on the machine that is to help, before %s:\n%s", dayText(t.ExpiresAt), t.Command))
		}})
	token.Flags().StringSliceVar(&roles, "role", []string{"worker"}, "what the machine may be: worker, edge or control; may be repeated")
	token.Flags().StringSliceVar(&roles, "roles", []string{"worker"}, "the same, as liuyun serve has it")
	token.Flags().DurationVar(&expires, "expires", time.Hour, "how long the token is good for")
	change := func(name, short string, do func(client.Nodes, context.Context, string) (client.Node, error)) *cobra.Command {
		return s.newAction(action{use: name + " ID", short: short, example: "  liuyun nodes " + name + " nod_…", args: cobra.ExactArgs(1),
			run: func(ctx context.Context, c *client.Client, args []string) error {
				n, err := do(c.Nodes, ctx, args[0])
				if err != nil {
					return err
				}
				return s.tellOne("node", n, fmt.Sprintf("%s %s is %s", n.ID, printable(n.Name), n.State))
			}})
	}
	remove := s.newAction(action{use: "remove ID", short: "Let a machine in no more", example: "  liuyun nodes remove nod_…", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			if err := c.Nodes.Delete(ctx, args[0]); err != nil {
				return err
			}
			return s.tellDone(args[0], "removed")
		}})
	return s.newGroup("nodes", "Manage the machines of a cloud", "Nodes are the machines that a cloud runs on. Without a word it lists them.",
		"  liuyun nodes\n  liuyun nodes join-token", list, get, token, change("drain", "Give a machine no more work; it finishes what it has", client.Nodes.Drain),
		change("resume", "Give a drained machine work again", client.Nodes.Resume), remove)
}

func newUsage(s *session) *cobra.Command {
	var from, to string
	cmd := s.newAction(action{use: "usage", short: "Show what was encoded, stored and served", example: "  liuyun usage\n  liuyun usage --from 2026-11-01 --to 2026-11-30", args: cobra.NoArgs,
		run: func(ctx context.Context, c *client.Client, _ []string) error {
			first, err := parseDay("--from", from)
			if err != nil {
				return err
			}
			last, err := parseDay("--to", to)
			if err != nil {
				return err
			}
			u, err := c.Usage(ctx, first, last)
			if err != nil {
				return err
			}
			if s.json {
				return s.writeObject("usage", u)
			}
			row := func(name string, minutes, cpu float64, stored, served int64) client.UsageDay {
				return client.UsageDay{Day: name, MinutesEncoded: minutes, CPUSeconds: cpu, BytesStored: stored, BytesServed: served}
			}
			days := append(slices.Clone(u.Days), row("total", u.Total.MinutesEncoded, u.Total.CPUSeconds, u.Total.BytesStored, u.Total.BytesServed))
			return tellList(s, each(days), 0, columns[client.UsageDay]{"day", []string{"DAY", "ENCODED", "CPU", "STORED", "SERVED"}, func(d client.UsageDay) []string {
				return []string{d.Day, fmt.Sprintf("%.1f min", d.MinutesEncoded), durationText(d.CPUSeconds), sizeText(d.BytesStored), sizeText(d.BytesServed)}
			}, ""})
		}})
	cmd.Long = "Usage shows what your tenant used, day by day (UTC)."
	cmd.Flags().StringVar(&from, "from", "", "the first `DAY`, such as 2026-11-01")
	cmd.Flags().StringVar(&to, "to", "", "the last `DAY`, included")
	s.addCloudFlags(cmd)
	return cmd
}

func parseDay(option, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return day, fault.New(fault.Invalid, "%s %q is no day such as 2026-11-01", option, text)
	}
	return day, nil
}

// each yields what is there already as a list is.
func each[T any](items []T) func(func(T, error) bool) {
	return func(yield func(T, error) bool) {
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
	}
}
