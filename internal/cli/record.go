package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"liuyun/client"
	"liuyun/internal/base/fault"
)

func (s *session) streamsRecord() *cobra.Command {
	stop := false
	cmd := s.newAction(action{use: "record ID", short: "Record a stream whenever it is on air, each time into an asset", example: "  liuyun streams record str_…\n  liuyun streams record str_… --stop", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			on := !stop
			r, err := c.Streams.Update(ctx, args[0], client.StreamChange{Record: &on})
			if err != nil {
				return err
			}
			text := r.ID + " is recorded when it is on air"
			switch {
			case stop:
				text = r.ID + " is not recorded any more; what was is an asset in a moment"
			case r.Status == client.StreamLive:
				text = r.ID + " is recorded from now on"
			}
			return s.tellOne("stream", r, text)
		}})
	cmd.Flags().BoolVar(&stop, "stop", false, "record it no more")
	return cmd
}

func (s *session) streamsClip() *cobra.Command {
	var clip client.NewClip
	start, end := "", ""
	cmd := s.newAction(action{use: "clip ID", short: "Make an asset of a part of what viewers can go back to", example: "  liuyun streams clip str_… --last 30s --name 'The goal'\n  liuyun streams clip str_… --start 2026-11-28T19:30:00Z --end 2026-11-28T19:31:30Z", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			for _, moment := range []struct {
				option, text string
				into         *time.Time
			}{{"--start", start, &clip.Start}, {"--end", end, &clip.End}} {
				if moment.text == "" {
					continue
				}
				at, err := time.Parse(time.RFC3339, moment.text)
				if err != nil {
					return fault.New(fault.Invalid, "%s %q is no time such as 2026-11-28T19:30:00Z", moment.option, moment.text)
				}
				*moment.into = at
			}
			if (start == "") == (clip.Last == 0) {
				return fault.New(fault.Invalid, "say either --last or --start: how long the clip is, or where it begins")
			}
			r, err := c.Streams.Clip(ctx, args[0], clip)
			if err != nil {
				return err
			}
			until := "now"
			if r.End != nil {
				until = r.End.Format(time.RFC3339)
			}
			return s.tellOne("clip", r, fmt.Sprintf("%s %s\nFrom %s to %s", r.Asset, printable(r.Name), r.Start.Format(time.RFC3339), until))
		}})
	flags := cmd.Flags()
	flags.DurationVar(&clip.Last, "last", 0, "how long it is, up to --end")
	flags.StringVar(&start, "start", "", "when it begins, as in 2026-11-28T19:30:00Z")
	flags.StringVar(&end, "end", "", "when it ends; now unless said")
	flags.StringVar(&clip.Name, "name", "", "what it is called")
	return cmd
}
