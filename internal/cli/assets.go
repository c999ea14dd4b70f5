package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"liuyun/client"
	"liuyun/internal/base/fault"
	"liuyun/internal/contract/encode"
)

func newAssets(s *session) *cobra.Command {
	return s.newGroup("assets", "Manage the videos of a cloud", "Assets are the videos of a cloud. Without a word it lists them.",
		"  liuyun assets\n  liuyun assets get ast_…\n  liuyun assets import https://example.org/talk.mp4",
		s.assetsList(), s.assetsGet(), s.assetsImport(), s.assetsRetry(), s.assetsCompare(), s.assetsSubtitles(), s.assetsDelete())
}

func (s *session) assetsList() *cobra.Command {
	limit, f := 50, client.AssetFilter{}
	cmd := s.newAction(action{use: "list", short: "List the assets, newest first", example: "  liuyun assets list --status failed\n  liuyun assets list --search holiday --limit 0 --json", args: cobra.NoArgs,
		run: func(ctx context.Context, c *client.Client, _ []string) error {
			return tellList(s, c.Assets.List(ctx, f), limit, columns[client.Asset]{"asset", []string{"ID", "STATE", "NAME", "LENGTH", "SIZE", "CREATED"},
				func(a client.Asset) []string {
					return []string{a.ID, stateText(a), a.Name, lengthText(a), sizeText(a.Size), dayText(a.CreatedAt)}
				}, "There are no such assets."})
		}})
	cmd.Flags().StringVar((*string)(&f.Status), "status", "", "only these: created, uploading, queued, processing, ready or failed")
	cmd.Flags().StringVar(&f.Query, "search", "", "only those whose name contains `TEXT`")
	cmd.Flags().IntVar(&limit, "limit", limit, "at most so many; 0 is all")
	return cmd
}

// stateText is an asset's state with how far it is.
func stateText(a client.Asset) string {
	switch {
	case a.WaitingFor != "":
		return string(a.Status) + " (waits for " + a.WaitingFor + ")"
	case a.Status == client.Processing:
		return fmt.Sprintf("%s %.0f %%", a.Phase, 100*a.Progress)
	}
	return string(a.Status)
}

func lengthText(a client.Asset) string {
	if a.Duration == 0 {
		return "-"
	}
	return durationText(a.Duration)
}

// assetText is an asset for people, with where it can be watched.
func assetText(c *client.Client, a client.Asset) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s: %s", a.ID, printable(a.Name), stateText(a))
	if a.Failure != nil {
		fmt.Fprintf(&text, "\n  %s", printable(a.Failure.Message))
	}
	for _, warning := range a.Warnings {
		fmt.Fprintf(&text, "\n  note: %s", printable(warning.Message))
	}
	for _, r := range a.Renditions {
		fmt.Fprintf(&text, "\n  %-12s %4d×%-4d %6.2f fps  mean %6s  peak %6s", r.ID, r.Width, r.Height, r.FrameRate, rateText(r.AverageBandwidth), rateText(r.Bandwidth))
	}
	for _, t := range a.Subtitles {
		fmt.Fprintf(&text, "\n  subtitles    %s  %s", t.Language, printable(t.Name))
	}
	text.WriteString(assetSpentText(a.Spent))
	for _, link := range []struct{ name, url string }{{"hls", a.Playback.HLS}, {"dash", a.Playback.DASH}, {"embed", a.Playback.Embed}} {
		if link.url != "" && a.Status == client.Ready {
			fmt.Fprintf(&text, "\n  %-12s %s", link.name, c.Resolve(link.url))
		}
	}
	return text.String()
}

func (s *session) tellAsset(c *client.Client, a client.Asset, err error) error {
	if err != nil {
		return err
	}
	return s.tellOne("asset", a, assetText(c, a))
}

func (s *session) assetsGet() *cobra.Command {
	return s.newAction(action{use: "get ID", short: "Show an asset", example: "  liuyun assets get ast_… --json", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			a, err := c.Assets.Get(ctx, args[0])
			return s.tellAsset(c, a, err)
		}})
}

func (s *session) assetsImport() *cobra.Command {
	name, f := "", &makeFlags{}
	cmd := s.newAction(action{use: "import URL", short: "Let the server fetch a video itself", example: "  liuyun assets import https://example.org/talk.mp4 --name talk", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			a, err := c.Assets.Create(ctx, client.NewAsset{Name: name, URL: args[0], Policy: client.Policy(f.policy), Options: f.options()})
			return s.tellAsset(c, a, err)
		}})
	cmd.Flags().StringVar(&name, "name", "", "the asset's name; the file's when empty")
	f.add(cmd)
	return cmd
}

func (s *session) assetsRetry() *cobra.Command {
	return s.newAction(action{use: "retry ID", short: "Try a failed asset again", example: "  liuyun assets retry ast_…", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			a, err := c.Assets.Retry(ctx, args[0])
			return s.tellAsset(c, a, err)
		}})
}

func (s *session) assetsCompare() *cobra.Command {
	o, frames, page := client.CompareOptions{}, 0, ""
	cmd := s.newAction(action{use: "compare ID", short: "Compare an asset with its source",
		example: "  liuyun assets compare ast_…\n  liuyun assets compare ast_… --report talk.html --frames 8", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			o.Frames = &frames
			a, err := c.Assets.Compare(ctx, args[0], o)
			if err != nil {
				return err
			}
			if a.Comparison != nil && a.Comparison.Status == "running" {
				fmt.Fprintln(s.env.Stderr, "note: it is being compared already; --every and --frames are those that were asked for then")
			}
			return s.awaitComparison(ctx, c, a, page)
		}})
	cmd.Long = `Compare has a worker measure each rendition of an asset against the source, frame by
frame, and make a page of it, which the console shows too. It stays until that is done;
when it is stopped, the worker goes on.`
	cmd.Flags().IntVar(&o.Every, "every", 0, "compare one frame in `N`; 0 chooses N so that some thousands are compared")
	cmd.Flags().IntVar(&frames, "frames", 6, "show so many of the worst frames in the report")
	cmd.Flags().StringVar(&page, "report", "", "write the page to `FILE`")
	return cmd
}

// awaitComparison follows the comparison of an asset until it is done, and tells what
// it came to.
func (s *session) awaitComparison(ctx context.Context, c *client.Client, a client.Asset, page string) (err error) {
	bar := s.newProgress()
	defer bar.finish()
	ticker := time.NewTicker(waitInterval)
	defer ticker.Stop()
	for {
		made := a.Comparison
		switch {
		case made == nil:
			return fault.New(fault.Canceled, "the comparison was stopped by somebody else")
		case made.Failure != nil:
			return fault.New(fault.Code(made.Failure.Code), "%s cannot be compared: %s", printable(a.Name), printable(made.Failure.Message))
		case made.Status == "ready":
			bar.finish()
			return s.tellAssetComparison(ctx, c, a, page)
		}
		bar.updateShare(printable(a.Name)+": "+made.Status, made.Progress)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		if a, err = c.Assets.Get(ctx, a.ID); err != nil {
			return err
		}
	}
}

func (s *session) tellAssetComparison(ctx context.Context, c *client.Client, a client.Asset, page string) error {
	if page != "" {
		var text bytes.Buffer
		if err := c.Assets.Report(ctx, a.ID, &text); err != nil {
			return err
		}
		if err := writeReport(page, text.Bytes()); err != nil {
			return err
		}
	}
	numbers, err := c.Assets.Comparison(ctx, a.ID)
	if err != nil {
		return err
	}
	text, err := json.Marshal(numbers)
	if err != nil {
		return err
	}
	var told encode.Comparison // of the same shape
	if err := json.Unmarshal(text, &told); err != nil {
		return err
	}
	for _, one := range a.Comparison.LeftOut {
		fmt.Fprintf(s.env.Stderr, "note: %s is left out: %s\n", printable(one.Rendition), printable(one.Message))
	}
	return s.tellComparison(told, page)
}

func (s *session) assetsDelete() *cobra.Command {
	return s.newAction(action{use: "delete ID…", short: "Remove assets and all that was made of them", example: "  liuyun assets delete ast_…", args: cobra.MinimumNArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			for _, id := range args {
				if err := c.Assets.Delete(ctx, id); err != nil {
					return err
				}
				if err := s.tellDone(id, "deleted"); err != nil {
					return err
				}
			}
			return nil
		}})
}

func (s *session) assetsSubtitles() *cobra.Command {
	name := ""
	add := s.newAction(action{use: "add ID LANGUAGE FILE", short: "Add or replace the subtitles of a language", example: "  liuyun assets subtitles add ast_… en talk.srt --name English", args: cobra.ExactArgs(3),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			file, err := openSource(args[2])
			if err != nil {
				return err
			}
			defer file.Close()
			a, err := c.Assets.PutSubtitle(ctx, args[0], args[1], name, file)
			return s.tellAsset(c, a, err)
		}})
	add.Flags().StringVar(&name, "name", "", "what viewers read in the menu; the language's name when empty")
	remove := s.newAction(action{use: "delete ID LANGUAGE", short: "Remove the subtitles of a language", example: "  liuyun assets subtitles delete ast_… en", args: cobra.ExactArgs(2),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			a, err := c.Assets.DeleteSubtitle(ctx, args[0], args[1])
			return s.tellAsset(c, a, err)
		}})
	group := &cobra.Command{Use: "subtitles", Short: "Add or remove subtitles", Example: add.Example,
		Args: noSuchAction, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	group.AddCommand(add, remove)
	return group
}

// openSource opens a regular file that is to be sent.
func openSource(path string) (*os.File, error) {
	file, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault.New(fault.NotFound, "%s does not exist", path)
	case err != nil:
		return nil, fault.Wrap(err, fault.Invalid, "%s cannot be opened", path)
	}
	info, err := file.Stat()
	switch {
	case err != nil || !info.Mode().IsRegular():
		err = fault.New(fault.Invalid, "%s is no regular file", path)
	case info.Size() == 0:
		err = fault.New(fault.Invalid, "%s is empty", path)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}
