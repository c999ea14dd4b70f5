package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"liuyun/client"
	"liuyun/internal/base/fault"
)

// addCloudFlags gives a command, and those below it, the options that say which
// cloud is meant. They stand over the section client of the configuration.
func (s *session) addCloudFlags(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&s.cloud.Server, "server", "", "the `URL` of the cloud; else that of the configuration, or of liuyun login")
	flags.StringVar(&s.cloud.KeyFile, "key-file", "", "the `FILE` with the key; else that of the configuration, or of liuyun login")
	flags.StringVar(&s.cloud.CAFile, "ca-file", "", "trust the certificate in this PEM `FILE`, too")
	flags.StringVar(&s.cloud.Tenant, "tenant", "", "act in the tenant `ID`; only a key of scope admin may")
}

// first returns the first text that is not empty.
func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// connect returns a client of the cloud that options, configuration or an earlier
// login name, in this order. The key of a login goes to that login's server only.
func (s *session) connect() (*client.Client, error) {
	config := s.config.Client
	saved, err := s.readLogin()
	if err != nil {
		return nil, err
	}
	server := strings.TrimRight(first(s.cloud.Server, config.Server, saved.Server), "/")
	if server == "" {
		return nil, fault.New(fault.Invalid, "no cloud is named: sign in with 'liuyun login URL', or add --server URL --key-file FILE")
	}
	l := login{Server: server, CA: saved.CA}
	if server != saved.Server {
		l.CA = ""
	}
	if path := first(s.cloud.CAFile, config.CAFile); path != "" {
		if l.CA, err = readSmall(path, "the certificate"); err != nil {
			return nil, err
		}
	}
	switch path := first(s.cloud.KeyFile, config.KeyFile); {
	case path != "":
		if l.Key, err = readKeyFile(path); err != nil {
			return nil, err
		}
	case server == saved.Server:
		l.Key = saved.Key
	default:
		return nil, fault.New(fault.Forbidden, "there is no key for %s: sign in with 'liuyun login %s', or add --key-file FILE", server, server)
	}
	return s.newClient(l, first(s.cloud.Tenant, config.Tenant))
}

// newClient returns a client for a login.
func (s *session) newClient(l login, tenant string) (*client.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = time.Minute
	if l.CA != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM([]byte(l.CA)) {
			return nil, fault.New(fault.Invalid, "the file of --ca-file holds no certificate (PEM)")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	c, err := client.New(l.Server, l.Key, client.Options{
		HTTP: &http.Client{Transport: transport}, Tenant: tenant, UserAgent: "liuyun/" + s.env.Version,
	})
	if err != nil {
		return nil, fault.New(fault.Invalid, "%s", strings.TrimPrefix(err.Error(), "client: "))
	}
	return c, nil
}

// largestSecret bounds key and certificate files.
const largestSecret = 64 << 10

func readSmall(path, what string) (string, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fault.New(fault.NotFound, "%s %s does not exist", what, path)
	}
	if err != nil {
		return "", fault.Wrap(err, fault.Forbidden, "%s %s cannot be read", what, path)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, largestSecret+1))
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "%s %s cannot be read", what, path)
	}
	if len(text) > largestSecret {
		return "", fault.New(fault.Invalid, "%s %s has more than %d bytes", what, path, largestSecret)
	}
	return string(text), nil
}

func readKeyFile(path string) (string, error) {
	text, err := readSmall(path, "the key file")
	if err != nil {
		return "", err
	}
	return checkKey(text, path)
}

// checkKey returns the key in text that came from somewhere.
func checkKey(text, from string) (string, error) {
	key := strings.TrimSpace(text)
	if !strings.HasPrefix(key, "lyk_") || strings.ContainsAny(key, " \t\r\n") {
		return "", fault.New(fault.Invalid, "%s holds no key; a key is one line that begins with lyk_", from)
	}
	return key, nil
}

// cloudError makes what the client says a fault; any other error stays.
func cloudError(err error) error {
	var answer *client.Error
	if errors.As(err, &answer) {
		message := answer.Error()
		if answer.Status == http.StatusUnauthorized {
			message += "\nSign in with 'liuyun login URL', or name a good key with --key-file."
		}
		return fault.New(fault.Code(answer.Code), "%s", message)
	}
	var broken *url.Error
	if !errors.As(err, &broken) || errors.Is(err, context.Canceled) {
		return err
	}
	server := broken.URL
	if u, err := url.Parse(broken.URL); err == nil {
		server = u.Scheme + "://" + u.Host
	}
	var unknown x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &unknown):
		return fault.Wrap(broken.Err, fault.Unavailable, "the certificate of %s is from nobody that this machine trusts; for a local CA add --ca-file with its certificate", server)
	case errors.As(err, &record):
		return fault.Wrap(broken.Err, fault.Unavailable, "%s does not speak HTTPS; try http://", server)
	}
	return fault.Wrap(broken.Err, fault.Unavailable, "%s does not answer; is the server running, and is this its address?", server)
}

// writeObject writes v, which is a struct, as one line with a type.
func (s *session) writeObject(kind string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	head, err := json.Marshal(kind)
	if err != nil {
		return err
	}
	line := append([]byte(`{"type":`), head...)
	if len(text) > 2 {
		line = append(line, ',')
	}
	line = append(line, text[1:]...)
	_, err = s.env.Stdout.Write(append(line, '\n'))
	return err
}

// columns is how a kind of resource stands in a table.
type columns[T any] struct {
	kind string // its type under --json
	head []string
	row  func(T) []string
	none string // told when there are none
}

// tellList writes at most limit resources, 0 being all: a table for people, one
// object a line for scripts.
func tellList[T any](s *session, all iter.Seq2[T, error], limit int, as columns[T]) error {
	table := tabwriter.NewWriter(s.env.Stdout, 0, 8, 2, ' ', 0)
	n := 0
	for item, err := range all {
		switch {
		case err != nil:
			return err
		case s.json:
			if err := s.writeObject(as.kind, item); err != nil {
				return err
			}
		default:
			if n == 0 {
				writeRow(table, as.head)
			}
			writeRow(table, as.row(item))
		}
		if n++; n == limit {
			break
		}
	}
	if n == 0 && !s.json && !s.quiet {
		_, err := io.WriteString(s.env.Stderr, as.none+"\n")
		return err
	}
	return table.Flush()
}

// writeRow writes cells without what would move the cursor or end the line.
func writeRow(table io.Writer, cells []string) {
	for i, cell := range cells {
		cells[i] = printable(cell)
	}
	_, _ = io.WriteString(table, strings.Join(cells, "\t")+"\n") // Flush tells the error
}

// printable replaces control characters, which a name from elsewhere may have.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || (r >= 0x7f && r < 0xa0) || r == '\u2028' || r == '\u2029' || (r >= '\u202a' && r <= '\u202e') {
			return '·'
		}
		return r
	}, text)
}

// tellOne writes one resource: an object for scripts, the words for people.
func (s *session) tellOne(kind string, v any, words string) error {
	if s.json {
		return s.writeObject(kind, v)
	}
	_, err := io.WriteString(s.env.Stdout, words+"\n")
	return err
}

// done is the result of what has nothing to show.
type done struct {
	ID     string `json:"id"`
	Action string `json:"action"`
}

func (s *session) tellDone(id, action string) error {
	return s.tellOne("done", done{id, action}, id+" "+action)
}

// action is a command below a command of the cloud.
type action struct {
	use, short, example string
	args                cobra.PositionalArgs
	run                 func(ctx context.Context, c *client.Client, args []string) error
}

// newAction makes the command.
func (s *session) newAction(a action) *cobra.Command {
	return &cobra.Command{
		Use: a.use, Short: a.short, Example: a.example, Args: a.args,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			return a.run(cmd.Context(), c, args)
		},
	}
}

// newGroup makes a command of the cloud that has others below it. Called alone it
// does what its first one does.
func (s *session) newGroup(name, short, long, example string, children ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{Use: name, Short: short, Long: long, Example: example, Args: noSuchAction, RunE: children[0].RunE}
	s.addCloudFlags(group)
	group.AddCommand(children...)
	return group
}

// noSuchAction refuses a word that is none of the commands below a group.
func noSuchAction(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	names := make([]string, 0, len(cmd.Commands()))
	for _, child := range cmd.Commands() {
		names = append(names, child.Name())
	}
	return fault.New(fault.Invalid, "there is no %q here; there are %s", args[0], strings.Join(names, ", "))
}

// dayText is a moment for people.
func dayText(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04")
}

func dayOr(t *time.Time, otherwise string) string {
	if t == nil {
		return otherwise
	}
	return dayText(*t)
}

// sizeText is a number of bytes for people.
func sizeText(n int64) string {
	const units = "kMGTP"
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1000, 0
	for value >= 999.95 && unit < len(units)-1 {
		value, unit = value/1000, unit+1
	}
	return fmt.Sprintf("%.1f %cB", value, units[unit])
}
