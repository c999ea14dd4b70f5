package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"liuyun/internal/base/fault"
	"liuyun/internal/console"
	"liuyun/internal/kit/proc"
	"liuyun/internal/video/vod"
)

type playFlags struct {
	listen string
	noOpen bool
}

func newPlay(s *session) *cobra.Command {
	f := &playFlags{}
	cmd := &cobra.Command{
		Use:   "play DIR",
		Short: "Serve an encoded folder on this machine and open the player",
		Long: `Play serves the folder DIR, made by encode, with a player page on the loopback
address and opens it in the browser. It prints the address and runs until it is
stopped. The media can be used from other pages too: below /media/, any origin
is allowed, and HEAD and Range requests are answered.`,
		Example: `  liuyun play talk
  liuyun play talk --listen 127.0.0.1:9000 --no-open`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return s.play(cmd.Context(), args[0], f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:0", "the `ADDRESS` to listen on; port 0 takes a free one")
	flags.BoolVar(&f.noOpen, "no-open", false, "do not open the browser")
	return cmd
}

// Limits of the server: it is for one machine, but pages of any origin reach it.
const (
	headerTimeout = 5 * time.Second
	idleTimeout   = 2 * time.Minute
	stopTimeout   = 2 * time.Second
	largestHeader = 32 << 10
)

func (s *session) play(ctx context.Context, dir string, f *playFlags) error {
	folder, err := vod.NewFolder(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	folder.Revalidate = true // the folder may be encoded anew while it is watched
	if !console.Built() {
		return fault.New(fault.Unavailable, "the player page is not in this build; build it with: make build")
	}
	listener, err := net.Listen("tcp", f.listen)
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "%s cannot be listened on; choose another address with --listen", f.listen)
	}
	server := &http.Server{
		Handler:           console.Player(folder),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    largestHeader,
	}
	stop := context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			server.Close()
		}
	})
	defer stop()
	if err := s.announce(ctx, "http://"+listener.Addr().String()+"/", f); err != nil {
		return err
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", dir, err)
	}
	return nil
}

// announce prints the address and opens it.
func (s *session) announce(ctx context.Context, address string, f *playFlags) error {
	if s.json {
		return s.writeJSON(struct {
			Type string `json:"type"` // "ready"
			URL  string `json:"url"`
		}{"ready", address})
	}
	fmt.Fprintf(s.env.Stdout, "ready %s\n", address)
	if f.noOpen {
		return nil
	}
	if err := proc.Open(ctx, address); err != nil {
		fmt.Fprintf(s.env.Stderr, "open the address above in a browser (%v)\n", err)
	} else {
		fmt.Fprintln(s.env.Stderr, "Ctrl-C stops it.")
	}
	return nil
}
