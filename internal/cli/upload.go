package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"liuyun/client"
	"liuyun/internal/base/fault"
	"liuyun/internal/kit/conf"
)

// makeFlags are the options that say what the server makes of a source. What is
// empty, the server decides.
type makeFlags struct {
	codecs, ladder, preset, loudness, saliency, policy, prefer, optimize string
	mp4, original, hardware                                              bool
	target                                                               float64
}

func (f *makeFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.codecs, "codec", "", "codecs, comma-separated: h264 (always made), hevc, av1")
	flags.StringVar(&f.ladder, "ladder", "", "picture heights, each with an optional cap: 1080:6M,720,480")
	flags.StringVar(&f.preset, "preset", "", "speed against size, ultrafast to veryslow")
	flags.StringVar(&f.loudness, "loudness", "", "bring the sound to this loudness: -23, -16 or off")
	flags.StringVar(&f.saliency, "saliency", "", "give more bits to where people look: off, auto or strong")
	flags.StringVar(&f.prefer, "prefer", "", "which machines make it: time (whichever is free), cost (the cheapest) or carbon (that with the least CO2e)")
	flags.BoolVar(&f.hardware, "hardware", false, "have a worker's hardware encoders make it: faster, with more bits for the same picture")
	flags.StringVar(&f.optimize, "optimize", "", "search the quality of every shot: off, quick or thorough")
	flags.Float64Var(&f.target, "target", 0, "with --optimize: the mean quality of the largest rung, 40 to 99")
	flags.StringVar(&f.policy, "policy", "", "who may watch: public or signed")
	flags.BoolVar(&f.mp4, "mp4", false, "make one MP4 a rung besides")
	flags.BoolVar(&f.original, "keep-original", false, "let viewers download the source")
}

// options returns nil when nothing was asked for.
func (f *makeFlags) options() *client.EncodeOptions {
	o := client.EncodeOptions{Ladder: f.ladder, Preset: f.preset, Loudness: f.loudness, Saliency: f.saliency, MP4: f.mp4, KeepOriginal: f.original, Prefer: f.prefer, Hardware: f.hardware, Optimize: f.optimize, Target: f.target}
	for codec := range strings.SplitSeq(f.codecs, ",") {
		if codec = strings.TrimSpace(codec); codec != "" {
			o.Codecs = append(o.Codecs, codec)
		}
	}
	if f.codecs == "" && o.Ladder == "" && o.Preset == "" && o.Loudness == "" && o.Saliency == "" && o.Prefer == "" && o.Optimize == "" && o.Target == 0 && !o.MP4 && !o.KeepOriginal && !o.Hardware {
		return nil
	}
	return &o
}

type uploadFlags struct {
	makeFlags
	name string
	wait bool
}

func newUpload(s *session) *cobra.Command {
	f := &uploadFlags{}
	cmd := s.newAction(action{use: "upload FILE…", short: "Send video files to a cloud",
		example: "  liuyun upload talk.mov --wait\n  liuyun upload *.mp4 --preset slow --json", args: cobra.MinimumNArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error { return s.upload(ctx, c, args, f) }})
	cmd.Long = `Upload sends each FILE to the cloud, which encodes it. When the line breaks it goes
on by itself; stopped by Ctrl-C or a crash, the same command goes on within a day.
With --wait it stays until everything is ready, and prints where it can be watched.`
	cmd.Flags().StringVar(&f.name, "name", "", "the asset's name, for one FILE; the file's when empty")
	cmd.Flags().BoolVar(&f.wait, "wait", false, "wait until the files can be watched")
	f.add(cmd)
	s.addCloudFlags(cmd)
	return cmd
}

func (s *session) upload(ctx context.Context, c *client.Client, paths []string, f *uploadFlags) error {
	if f.name != "" && len(paths) > 1 {
		return fault.New(fault.Invalid, "--name is for one file; leave it out, and each takes its file's name")
	}
	for _, path := range paths { // a slip in the last shall not show after an hour
		file, err := openSource(path)
		if err != nil {
			return err
		}
		file.Close()
	}
	var notes []resumeNote
	for _, path := range paths {
		note, a, err := s.uploadOne(ctx, c, path, f)
		if err != nil {
			return stoppedUpload(ctx, err)
		}
		notes = append(notes, note)
		if !f.wait {
			note.forget()
			if err := s.tellOne("asset", a, fmt.Sprintf("%s %s: uploaded (%s)", a.ID, printable(a.Name), a.Status)); err != nil {
				return err
			}
		}
	}
	for _, note := range notes {
		if !f.wait {
			break
		}
		if err := s.await(ctx, c, note); err != nil {
			return stoppedUpload(ctx, err)
		}
	}
	return nil
}

// stoppedUpload tells what a stop leaves.
func stoppedUpload(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fault.Wrap(err, fault.Canceled, "stopped; run the same command again to go on where it stopped")
	}
	return err
}

// uploadOne sends a file, going on with what an earlier run of the same command
// began.
func (s *session) uploadOne(ctx context.Context, c *client.Client, path string, f *uploadFlags) (note resumeNote, a client.Asset, err error) {
	file, err := openSource(path)
	if err != nil {
		return note, a, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return note, a, err
	}
	o := client.UploadOptions{Name: first(f.name, filepath.Base(path)), Options: f.options(), Policy: client.Policy(f.policy)}
	if note, err = s.newResumeNote(c, path, info, o); err != nil {
		return note, a, err
	}
	bar := s.newProgress()
	defer bar.finish()
	o.OnProgress = func(sent, size int64) { bar.updateBytes("upload", sent, size) }
	o.OnCreated = note.write
	if o.Resume = note.read(); o.Resume != "" {
		a, err = c.Upload(ctx, file, info.Size(), o)
		if client.CodeOf(err) != client.NotFound {
			return note, a, err
		}
		// The upload is over, by its end or by its age: the asset says which.
		if a, err := c.Assets.Get(ctx, note.asset()); err == nil && a.Status != client.Created && a.Status != client.Uploading && a.Size == info.Size() {
			return note, a, nil
		}
		o.Resume = ""
	}
	a, err = c.Upload(ctx, file, info.Size(), o)
	return note, a, err
}

// waitInterval is how often --wait asks.
const waitInterval = time.Second

// await follows an asset until it can be watched, and tells it.
func (s *session) await(ctx context.Context, c *client.Client, note resumeNote) error {
	bar := s.newProgress()
	defer bar.finish()
	ticker := time.NewTicker(waitInterval)
	defer ticker.Stop()
	for {
		a, err := c.Assets.Get(ctx, note.asset())
		switch {
		case client.CodeOf(err) == client.NotFound:
			note.forget()
			return err
		case err != nil:
			return err
		case a.Status.Ended():
			bar.finish()
			note.forget()
			if err := s.tellAsset(c, a, nil); err != nil || a.Failure == nil {
				return err
			}
			return fault.New(fault.Code(a.Failure.Code), "%s failed: %s", printable(a.Name), printable(a.Failure.Message))
		}
		bar.updateShare(printable(a.Name)+": "+first(a.Phase, string(a.Status)), a.Progress)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// resumeNote is where the token of an upload is kept until it is over.
type resumeNote struct{ path string }

// newResumeNote names the note by all that the upload depends on: another file, or
// other options, are another upload.
func (s *session) newResumeNote(c *client.Client, path string, info os.FileInfo, o client.UploadOptions) (resumeNote, error) {
	folder, err := conf.StateFolder(s.env.Environ)
	if err != nil {
		return resumeNote{}, err
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return resumeNote{}, err
	}
	key, err := json.Marshal([]any{c.BaseURL(), s.cloud.Tenant, s.config.Client.Tenant, absolute, info.Size(), info.ModTime().UnixNano(), o.Name, o.Options, o.Policy})
	if err != nil {
		return resumeNote{}, err
	}
	sum := sha256.Sum256(key)
	return resumeNote{filepath.Join(folder, "uploads", hex.EncodeToString(sum[:16])+".json")}, nil
}

type resumeToken struct {
	Token string `json:"token"`
}

func (n resumeNote) write(token string) error { return writeJSONFile(n.path, resumeToken{token}) }

// read returns the token, or "" when there is no note.
func (n resumeNote) read() string {
	text, err := os.ReadFile(n.path)
	var t resumeToken
	if err != nil || json.Unmarshal(text, &t) != nil {
		return ""
	}
	return t.Token
}

// asset is the asset that the upload is of: it names the upload.
func (n resumeNote) asset() string { return filepath.Base(n.read()) }

func (n resumeNote) forget() { _ = os.Remove(n.path) } // one that stays is seen to be over
