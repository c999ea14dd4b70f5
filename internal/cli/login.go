package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/conf"
)

// login is the cloud that a user signed in to, as it is kept in the user's
// configuration folder, readable by the user only.
type login struct {
	Server string `json:"server"`
	Key    string `json:"key"`
	CA     string `json:"ca,omitempty"` // PEM
}

func newLogin(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "login URL",
		Short: "Sign in to a cloud",
		Long: `Login asks for a key of the cloud at URL, tries it, and keeps both for the other
commands in the user's configuration folder (liuyun/login.json, readable by the
user only). The key is read from the terminal, from standard input, or from the
file of --key-file. The first key of a server lies in its data folder, admin.key.`,
		Example: `  liuyun login http://127.0.0.1:8080
  liuyun login https://cloud.example --ca-file ca.pem < admin.key`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return s.login(cmd.Context(), args[0]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&s.cloud.KeyFile, "key-file", "", "the `FILE` with the key")
	flags.StringVar(&s.cloud.CAFile, "ca-file", "", "trust the certificate in this PEM `FILE`, too")
	return cmd
}

func newLogout(s *session) *cobra.Command {
	return &cobra.Command{
		Use:     "logout",
		Short:   "Forget the cloud that login named",
		Long:    `Logout removes what login kept. The key itself stays valid: see liuyun keys delete.`,
		Example: `  liuyun logout`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			path, err := s.loginFile()
			if err != nil {
				return err
			}
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return s.tellDone(path, "forgotten")
		},
	}
}

func (s *session) login(ctx context.Context, server string) (err error) {
	l := login{Server: strings.TrimRight(server, "/")}
	if s.cloud.CAFile != "" {
		if l.CA, err = readSmall(s.cloud.CAFile, "the certificate"); err != nil {
			return err
		}
	}
	if _, err := s.newClient(l, ""); err != nil { // before a key is asked for
		return err
	}
	if s.cloud.KeyFile != "" {
		l.Key, err = readKeyFile(s.cloud.KeyFile)
	} else {
		l.Key, err = s.askKey(ctx)
	}
	if err != nil {
		return err
	}
	c, err := s.newClient(l, "")
	if err != nil {
		return err
	}
	defer c.Close()
	who, err := c.Session(ctx)
	if err != nil {
		return err
	}
	path, err := s.loginFile()
	if err != nil {
		return err
	}
	if err := writeJSONFile(path, l); err != nil {
		return fault.Wrap(err, fault.Unavailable, "%s cannot be written", path)
	}
	if !s.quiet && !s.json && readable(l.Server) {
		fmt.Fprintln(s.env.Stderr, "note: the key goes to this server unencrypted; better use https://")
	}
	return s.tellOne("session", who, fmt.Sprintf("Signed in to %s (%s) as %s, tenant %s.", l.Server, who.Version, printable(who.Key.Name), printable(who.Tenant.Name)))
}

// readable reports whether others on the network can read what goes to server.
func readable(server string) bool {
	u, err := url.Parse(server)
	if err != nil || u.Scheme == "https" || u.Hostname() == "localhost" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return ip == nil || !ip.IsLoopback()
}

// askKey reads a key from standard input. On a terminal it is not shown.
func (s *session) askKey(ctx context.Context) (string, error) {
	restore := func() {}
	if file, ok := s.env.Stdin.(*os.File); ok {
		if state, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS); err == nil {
			fmt.Fprint(s.env.Stderr, "Key (lyk_…): ")
			hidden := *state
			hidden.Lflag &^= unix.ECHO
			restore = func() {
				_ = unix.IoctlSetTermios(int(file.Fd()), unix.TCSETS, state)
				fmt.Fprintln(s.env.Stderr)
			}
			if err := unix.IoctlSetTermios(int(file.Fd()), unix.TCSETS, &hidden); err != nil {
				return "", fmt.Errorf("hide the key: %w", err)
			}
		}
	}
	defer restore()
	type line struct {
		text string
		err  error
	}
	read := make(chan line, 1)
	go func() { // stays behind when ctx ends: a read of a terminal cannot be stopped
		text, err := bufio.NewReader(io.LimitReader(s.env.Stdin, largestSecret)).ReadString('\n')
		read <- line{text, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case l := <-read:
		if l.err != nil && !errors.Is(l.err, io.EOF) {
			return "", fmt.Errorf("read the key: %w", l.err)
		}
		return checkKey(l.text, "standard input")
	}
}

func (s *session) loginFile() (string, error) {
	folder, err := conf.ConfigFolder(s.env.Environ)
	return filepath.Join(folder, "login.json"), err
}

// readLogin returns what login kept; the zero login when there is none.
func (s *session) readLogin() (l login, err error) {
	path, err := s.loginFile()
	if err != nil {
		return l, nil // without a home there was no login
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil || json.Unmarshal(text, &l) != nil {
		return login{}, fault.Wrap(err, fault.Invalid, "%s cannot be read; sign in again with 'liuyun login URL'", path)
	}
	return l, nil
}

// writeJSONFile writes v to a file that only the user can read, whole or not at
// all. Its folder is made.
func writeJSONFile(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // 0600
	if err != nil {
		return err
	}
	_, err = file.Write(append(text, '\n'))
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		os.Remove(file.Name())
	}
	return err
}
