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

func newStreams(s *session) *cobra.Command {
	return s.newGroup("streams", "Go live: manage streams and their keys",
		"A stream is where an encoder such as OBS or ffmpeg sends, and where viewers watch\nit live: ffmpeg -re -i film.mp4 -c:v libx264 -g 50 -c:a aac -f flv rtmp://HOST:1935/live/KEY\nWithout a word it lists them.",
		"  liuyun streams\n  liuyun streams create 'Town hall'",
		s.streamsList(), s.streamsCreate(), s.streamsGet(), s.streamsRotate(), s.streamsStart(), s.streamsStop(), s.streamsRecord(), s.streamsLadder(), s.streamsClip(), s.streamsDelete())
}

func (s *session) streamsList() *cobra.Command {
	status := ""
	cmd := s.newAction(action{use: "list", short: "List the streams", example: "  liuyun streams list --status live", args: cobra.NoArgs,
		run: func(ctx context.Context, c *client.Client, _ []string) error {
			return tellList(s, c.Streams.List(ctx, client.StreamStatus(status)), 0, columns[client.Stream]{"stream", []string{"ID", "NAME", "STATUS", "SINCE", "PLAYS AT"},
				func(r client.Stream) []string {
					return []string{r.ID, r.Name, streamState(r), dayOr(r.LiveSince, "-"), c.Resolve(r.Playback.HLS)}
				}, "There are no streams."})
		}})
	cmd.Flags().StringVar(&status, "status", "", "only those that are idle, connecting, live or reconnecting")
	return cmd
}

func (s *session) streamsCreate() *cobra.Command {
	signed, source, ladder := false, "", ""
	cmd := s.newAction(action{use: "create NAME", short: "Make a stream and show its key, this once",
		example: "  liuyun streams create 'Town hall'\n  liuyun streams create Harbour --source rtsp://camera.example/1 --ladder auto", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			stream := client.NewStream{Name: args[0], Source: sourceOf(source), Ladder: rungsOf(ladder)}
			if signed {
				stream.Policy = client.Signed
			}
			r, err := c.Streams.Create(ctx, stream)
			if err != nil {
				return err
			}
			return s.tellOne("stream", r, fmt.Sprintf("%s %s\nViewers: %s\n%s", r.ID, printable(r.Name), c.Resolve(r.Playback.HLS), ingestText(r)))
		}})
	cmd.Flags().BoolVar(&signed, "signed", false, "only signed addresses play it")
	cmd.Flags().StringVar(&ladder, "ladder", "", "make renditions of it: auto, or some of 1080p,720p,480p,360p, or none")
	cmd.Flags().StringVar(&source, "source", "", "fetch it: srt://, rtsp://, https:// (HLS or a transport stream), udp://, or an asset that is played again and again")
	return cmd
}

// rungsOf is a ladder as people write it; nil where nothing is written.
func rungsOf(text string) []string {
	switch text {
	case "":
		return nil
	case "none":
		return []string{}
	}
	return strings.FieldsFunc(text, func(c rune) bool { return c == ',' || c == ' ' })
}

func (s *session) streamsLadder() *cobra.Command {
	return s.newAction(action{use: "ladder ID RENDITIONS", short: "Choose the renditions that are made of a stream, also while it is on air",
		example: "  liuyun streams ladder str_… auto\n  liuyun streams ladder str_… 720p,360p\n  liuyun streams ladder str_… none", args: cobra.ExactArgs(2),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			r, err := c.Streams.Update(ctx, args[0], client.StreamChange{Ladder: rungsOf(args[1])})
			if err != nil {
				return err
			}
			if len(r.Ladder) == 0 {
				return s.tellOne("stream", r, "The stream is passed on as it comes.")
			}
			return s.tellOne("stream", r, "Made of the stream while it is on air: "+strings.Join(r.Ladder, ", "))
		}})
}

// ingestText says what to type into an encoder.
func ingestText(r client.Stream) string {
	return fmt.Sprintf("Encoder: %s\nThe stream key, which is shown only now:\n%s", first(r.Ingest.RTMP.URL, "RTMP is not listened for, see live.rtmp_listen"), r.Ingest.RTMP.Key)
}

func (s *session) streamsGet() *cobra.Command {
	return s.newAction(action{use: "get ID", short: "Show a stream and how it goes", example: "  liuyun streams get str_…", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			r, err := c.Streams.Get(ctx, args[0])
			if err != nil {
				return err
			}
			lines := []string{fmt.Sprintf("%s %s is %s", r.ID, printable(r.Name), streamState(r)), "Viewers: " + c.Resolve(r.Playback.HLS), "Encoder: " + r.Ingest.RTMP.URL}
			lines = append(lines, sourceLines(r.Source)...)
			if rec := r.Recording; rec != nil {
				lines = append(lines, fmt.Sprintf("Recording: %s, %s, %s", rec.Asset, durationText(rec.Duration), sizeText(rec.Stored)))
			}
			return s.tellOne("stream", r, strings.Join(append(lines, healthLines(r.Health)...), "\n"))
		}})
}

// streamState is where a stream is, in a word.
func streamState(r client.Stream) string {
	if r.Stopped && r.Status == client.StreamIdle {
		return "stopped"
	}
	return string(r.Status)
}

// healthLines tells how a stream goes, in words.
func healthLines(h *client.StreamHealth) (lines []string) {
	if h == nil {
		return nil
	}
	if h.VideoCodec != "" {
		lines = append(lines, fmt.Sprintf("Pictures: %d × %d, %.4g a second, %s, a key frame each %.1f s", h.Width, h.Height, h.FPS, h.VideoCodec, h.KeyInterval))
	}
	if h.AudioCodec != "" {
		lines = append(lines, fmt.Sprintf("Sound: %d Hz, %d channels, %s", h.SampleRate, h.Channels, h.AudioCodec))
	}
	lines = append(lines, fmt.Sprintf("Rate: %.2f Mbit/s, %d dropped, clock %+.3f s", float64(h.Bitrate)/1e6, h.Drops, h.Drift))
	for _, g := range h.Rungs {
		line := fmt.Sprintf("Rendition: %s, %d × %d, up to %.2f Mbit/s, %s", g.Name, g.Width, g.Height, float64(g.Bitrate)/1e6, g.State)
		if g.Spent > 0 {
			line += fmt.Sprintf(", %.2f Mbit/s now at QP %.0f", float64(g.Spent)/1e6, g.QP)
		}
		if g.Offset != 0 {
			line += fmt.Sprintf(", moved by %+.1f: %s", g.Offset, printable(g.Why))
		}
		lines = append(lines, line)
	}
	lines = append(lines, fmt.Sprintf("Window: %s, %s", durationText(h.Window), sizeText(h.Stored)))
	for _, p := range h.Problems {
		lines = append(lines, "Problem: "+printable(p.Message))
	}
	return lines
}

func (s *session) streamsRotate() *cobra.Command {
	grace := time.Duration(0)
	cmd := s.newAction(action{use: "rotate-key ID", short: "Give a stream another key and show it, this once", example: "  liuyun streams rotate-key str_… --grace 1h", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			if grace < 0 {
				return fault.New(fault.Invalid, "--grace %s is in the past", grace)
			}
			r, err := c.Streams.RotateKey(ctx, args[0], grace)
			if err != nil {
				return err
			}
			return s.tellOne("stream", r, r.ID+"\n"+ingestText(r))
		}})
	cmd.Flags().DurationVar(&grace, "grace", 0, "how long the key before still lets encoders in; who is on air stays there")
	return cmd
}

func (s *session) streamsDelete() *cobra.Command {
	return s.newAction(action{use: "delete ID", short: "Remove a stream, also while it is on air", example: "  liuyun streams delete str_…", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			if err := c.Streams.Delete(ctx, args[0]); err != nil {
				return err
			}
			return s.tellDone(args[0], "deleted")
		}})
}
