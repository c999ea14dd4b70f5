package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"liuyun/client"
)

// sourceOf is what a stream shall come from: an asset by its id, or an address.
func sourceOf(text string) client.NewStreamSource {
	if strings.HasPrefix(text, "ast_") {
		return client.NewStreamSource{Asset: text}
	}
	return client.NewStreamSource{URL: text}
}

// sourceLines tells how a source goes, in words.
func sourceLines(source *client.StreamSource) []string {
	if source == nil {
		return nil
	}
	line := "Source: " + printable(first(source.URL, source.Asset)) + " is " + source.State
	if source.Problem != "" {
		line += ": " + printable(source.Problem)
	}
	return []string{line}
}

func (s *session) streamsStart() *cobra.Command {
	return s.newAction(action{use: "start ID", short: "Let encoders send to a stream again, or fetch its source", example: "  liuyun streams start str_…", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			r, err := c.Streams.Start(ctx, args[0])
			if err != nil {
				return err
			}
			return s.tellOne("stream", r, strings.Join(append([]string{r.ID + " is started"}, sourceLines(r.Source)...), "\n"))
		}})
}

func (s *session) streamsStop() *cobra.Command {
	return s.newAction(action{use: "stop ID", short: "End a stream, also while it is on air, and take nothing in for it until it is started", example: "  liuyun streams stop str_…", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			r, err := c.Streams.Stop(ctx, args[0])
			if err != nil {
				return err
			}
			return s.tellOne("stream", r, r.ID+" is stopped")
		}})
}
