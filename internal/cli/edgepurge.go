package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"liuyun/client"
	"liuyun/internal/base/fault"
)

// purgeFlags say what is to be purged, and whether it is waited for.
type purgeFlags struct {
	url, prefix, tag, host string
	all, hard, wait        bool
	timeout                time.Duration
}

// purge is what the options name, which is one thing.
func (f *purgeFlags) purge() (client.NewPurge, error) {
	var named []client.NewPurge
	for _, one := range []client.NewPurge{{Kind: client.PurgeURL, Value: f.url}, {Kind: client.PurgePrefix, Value: f.prefix}, {Kind: client.PurgeTag, Value: f.tag}, {Kind: client.PurgeHost, Value: f.host}} {
		if one.Value != "" {
			named = append(named, one)
		}
	}
	if f.all {
		named = append(named, client.NewPurge{Kind: client.PurgeAll})
	}
	if len(named) != 1 {
		return client.NewPurge{}, fault.New(fault.Invalid, "say what is to be purged with one of --url, --prefix, --tag, --host and --all")
	}
	if f.timeout <= 0 {
		return client.NewPurge{}, fault.New(fault.Invalid, "--timeout %s is no time to wait", f.timeout)
	}
	named[0].Hard = f.hard
	return named[0], nil
}

func (s *session) edgePurge() *cobra.Command {
	f := &purgeFlags{}
	cmd := s.newAction(action{use: "purge ID", short: "Have edges serve something no more as they have it",
		example: "  liuyun edge purge sit_… --url www.example.org/film.mp4 --wait\n  liuyun edge purge sit_… --prefix www.example.org/films/\n  liuyun edge purge sit_… --all --hard", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			what, err := f.purge()
			if err != nil {
				return err
			}
			p, err := c.Sites.Purge(ctx, args[0], what)
			if err == nil && f.wait {
				p, err = s.awaitPurge(ctx, c, args[0], p, f.timeout)
			}
			if err != nil {
				return err
			}
			return s.tellOne("purge", p, purgeText(p))
		}})
	cmd.Long = `Purge has edges ask the origin, before they serve it again, whether what they have is
still right; while no origin answers they serve it. With --hard they forget it. With
--wait it stays until all edges that are there have it. One that is away purges when it
comes back.`
	flags := cmd.Flags()
	flags.StringVar(&f.url, "url", "", "one `ADDRESS`, such as www.example.org/film.mp4")
	flags.StringVar(&f.prefix, "prefix", "", "all `BELOW` a path, such as www.example.org/films/")
	flags.StringVar(&f.tag, "tag", "", "all that the origin gave this `TAG` in Surrogate-Key or Cache-Tag")
	flags.StringVar(&f.host, "host", "", "all of a host `NAME`")
	flags.BoolVar(&f.all, "all", false, "all of the site")
	flags.BoolVar(&f.hard, "hard", false, "forget it, rather than ask whether it is still right")
	flags.BoolVar(&f.wait, "wait", false, "wait until all edges that are there have it")
	flags.DurationVar(&f.timeout, "timeout", time.Minute, "how long --wait waits; then the exit status is 6, and the purge goes on")
	return cmd
}

// purgeInterval is how often --wait asks.
const purgeInterval = 500 * time.Millisecond

// awaitPurge follows a purge until all edges that are there have it.
func (s *session) awaitPurge(ctx context.Context, c *client.Client, site string, p client.Purge, limit time.Duration) (client.Purge, error) {
	bar := s.newProgress()
	defer bar.finish()
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	ticker := time.NewTicker(purgeInterval)
	defer ticker.Stop()
	for len(p.Waiting) > 0 {
		bar.updateShare("purge", float64(p.Done)/float64(p.Done+len(p.Waiting)))
		select {
		case <-ctx.Done():
			return p, ctx.Err()
		case <-timeout.C:
			return p, fault.New(fault.Unavailable, "after %s these edges have not purged yet: %s; it goes on, see 'liuyun edge purges %s'", limit, printable(strings.Join(p.Waiting, " ")), site)
		case <-ticker.C:
		}
		var err error
		if p, err = c.Sites.GetPurge(ctx, site, p.ID); err != nil {
			return p, err
		}
	}
	return p, nil
}

// purgeText says which edges have a purge.
func purgeText(p client.Purge) string {
	lines := []string{fmt.Sprintf("%s %s: %d of %d edges have it", p.ID, printable(whatText(p)), p.Done, p.Edges)}
	if len(p.Waiting) > 0 {
		lines = append(lines, "Waits for: "+printable(strings.Join(p.Waiting, " ")))
	}
	if len(p.Away) > 0 {
		lines = append(lines, "Away, and purge when they come back: "+printable(strings.Join(p.Away, " ")))
	}
	return strings.Join(lines, "\n")
}

func whatText(p client.Purge) string {
	return strings.TrimSpace(string(p.Kind) + " " + p.Value)
}

func (s *session) edgePurges() *cobra.Command {
	limit := 50
	cmd := s.newAction(action{use: "purges ID", short: "List the last purges and who has them", example: "  liuyun edge purges sit_… --limit 10", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			return tellList(s, c.Sites.Purges(ctx, args[0]), limit, columns[client.Purge]{"purge", []string{"ID", "WHAT", "HARD", "STATUS", "DONE", "WAITING", "AWAY", "CREATED"},
				func(p client.Purge) []string {
					return []string{p.ID, whatText(p), fmt.Sprint(p.Hard), p.Status, fmt.Sprintf("%d/%d", p.Done, p.Edges), first(strings.Join(p.Waiting, " "), "-"), first(strings.Join(p.Away, " "), "-"), dayText(p.CreatedAt)}
				}, "Nothing was purged lately."})
		}})
	cmd.Flags().IntVar(&limit, "limit", limit, "at most so many, newest first; 0 is all")
	return cmd
}
