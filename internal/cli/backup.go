package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"liuyun/internal/app"
)

func newBackup(s *session) *cobra.Command {
	o := app.BackupOptions{}
	cmd := &cobra.Command{
		Use:   "backup FOLDER",
		Short: "Write a backup of a cloud into a new folder",
		Long: `Backup writes the records of a cloud (assets, keys, webhooks, usage), its
certificates and the first key into a new FOLDER, with --media also sources and
what was made of them. The server may run meanwhile. FOLDER appears when
everything is in it; when it is stopped, the same command goes on.

On the disk of the data folder media takes no room of its own: its files are
linked. A backup that outlives the disk has to be on another one.

The backup holds secrets: whoever can read it can be this cloud. Only you can.

Run it as the user of the server, with the server's --data, --config and --set.`,
		Example: `  liuyun backup /mnt/backup/monday --data /var/lib/liuyun
  liuyun backup /mnt/backup/all --media --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			bar := s.newProgress()
			defer bar.finish()
			o.Config, o.To, o.Version = s.config, args[0], s.env.Version
			o.Progress = func(done, total int64) { bar.updateBytes("copy media", done, total) }
			result, err := app.Backup(cmd.Context(), o)
			bar.finish()
			if err != nil {
				return err
			}
			return s.tellBackup(result)
		},
	}
	cmd.Flags().StringVar(&o.Data, "data", dataFolder, "the data `FOLDER` of the server")
	cmd.Flags().BoolVar(&o.Media, "media", false, "sources and what was made of them, too")
	return cmd
}

func (s *session) tellBackup(r *app.BackupResult) error {
	if s.json {
		return s.writeJSON(struct {
			Type    string         `json:"type"` // "backup"
			Path    string         `json:"path"`
			Media   bool           `json:"media"`
			Assets  int            `json:"assets"`
			Objects int64          `json:"objects"`
			Bytes   int64          `json:"bytes"`
			Missing []app.AssetRef `json:"missing_media"`
		}{"backup", r.Path, r.Media, r.Assets, r.Objects, r.Bytes, r.Missing})
	}
	media := "without their media"
	if r.Media {
		media = fmt.Sprintf("with their media (%s)", sizeText(r.Bytes))
	}
	fmt.Fprintf(s.env.Stdout, "%s: %s %s\n", r.Path, count(r.Assets, "asset"), media)
	if len(r.Missing) > 0 {
		s.tellMissing(r.Missing, "lost their media before the backup")
	}
	return nil
}

func newRestore(s *session) *cobra.Command {
	o := app.RestoreOptions{}
	cmd := &cobra.Command{
		Use:   "restore FOLDER",
		Short: "Make a data folder of a backup",
		Long: `Restore makes a new data folder of the backup in FOLDER; then start the server
with it. Records go where the configuration says: into the data folder, or with
--set store.url=… into an empty PostgreSQL database, whatever they came from. So
does media, into the data folder or to S3. What was stopped is done by running the
same command again.

Without media in the backup the assets are there, and cannot be watched: players
get 404 until their files lie in the data folder, or on S3, as before.`,
		Example: `  liuyun restore /mnt/backup/monday --data /var/lib/liuyun
  liuyun restore monday --set store.url=postgres://liuyun@127.0.0.1/liuyun`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			bar := s.newProgress()
			defer bar.finish()
			o.Config, o.From = s.config, args[0]
			o.Progress = func(done, total int64) { bar.updateBytes("copy media", done, total) }
			result, err := app.Restore(cmd.Context(), o)
			bar.finish()
			if err != nil {
				return err
			}
			return s.tellRestore(result)
		},
	}
	cmd.Flags().StringVar(&o.Data, "data", dataFolder, "the data `FOLDER` to make")
	return cmd
}

func (s *session) tellRestore(r *app.RestoreResult) error {
	if s.json {
		return s.writeJSON(struct {
			Type    string         `json:"type"` // "restore"
			Data    string         `json:"data"`
			Media   bool           `json:"media"`
			Assets  int            `json:"assets"`
			Missing []app.AssetRef `json:"missing_media"`
		}{"restore", r.Data, r.Media, r.Assets, r.Missing})
	}
	fmt.Fprintf(s.env.Stdout, "%s: %s restored\n", r.Data, count(r.Assets, "asset"))
	switch {
	case len(r.Missing) == 0:
	case r.Media:
		s.tellMissing(r.Missing, "lost their media before the backup")
	default:
		s.tellMissing(r.Missing, "cannot be watched until their files are where they were, under blob in the data folder or on S3: the backup has no media")
	}
	return nil
}

// mostNamed is how many assets are named to people.
const mostNamed = 5

// tellMissing tells people which assets have no media.
func (s *session) tellMissing(list []app.AssetRef, what string) {
	var names []string
	for _, a := range list[:min(len(list), mostNamed)] {
		names = append(names, a.ID+" "+printable(a.Name))
	}
	if len(list) > mostNamed {
		names = append(names, "…")
	}
	fmt.Fprintf(s.env.Stderr, "%s %s:\n  %s\n", count(len(list), "asset"), what, strings.Join(names, "\n  "))
}

// count is a number of things, in words.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
