package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"liuyun/internal/app"
	"liuyun/internal/base/fault"
	"liuyun/internal/kit/obs"
)

// dataFolder is where a server keeps its data unless told otherwise: beside where
// it is started, to be seen.
const dataFolder = "liuyun-data"

type serveFlags struct {
	data, listen, join, name string
	origin                   string
	roles                    []string
	tls, cert, key           string
}

func newServe(s *session) *cobra.Command {
	f := &serveFlags{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the cloud, or one node of it",
		Long: `Serve runs the whole cloud on this machine: API, console, viewers, queue and
encoding. When everything is ready it prints one line, "ready" and the address.
The first key is in the file admin.key of the data folder. An interrupt or SIGTERM
lets what has begun finish, for at most half a minute.

With --join it adds this machine to a cloud that runs elsewhere; make the token
there, in the console or with: liuyun nodes join-token.

With --roles edge it is a cache for viewers nearby: of a cloud that it joins, for its
films, streams and sites, or with --origin ADDRESS in front of that server, without a
cloud.`,
		Example: `  liuyun serve
  liuyun serve --data /var/lib/liuyun --listen 0.0.0.0:8443 --tls local
  liuyun serve --roles worker --join lyj_…
  liuyun serve --roles edge --join lyj_… --listen 0.0.0.0:443 --tls sites
  liuyun serve --roles edge --origin https://example.org --listen 0.0.0.0:80`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.serve(cmd, f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.data, "data", dataFolder, "the `FOLDER` for records, media and certificates")
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8080", "the `ADDRESS` of API, console and viewers")
	flags.StringSliceVar(&f.roles, "roles", app.DefaultRoles(), "what this node does: control (records, API, console), worker (encodes), live (takes streams in; beside control), or edge (a cache for the sites of a cloud, alone or beside control; or, alone, in front of --origin)")
	flags.StringVar(&f.origin, "origin", "", "the `ADDRESS` of the server that an edge without a cloud is in front of")
	flags.StringVar(&f.join, "join", "", "join the cloud that made this `TOKEN`; needed once")
	flags.StringVar(&f.name, "name", "", "the name of this node for people (default: the host's)")
	flags.StringVar(&f.tls, "tls", "off", "off, local (a certificate of our own authority), acme (see acme.domains) or sites (those of the sites alone, on an edge)")
	flags.StringVar(&f.cert, "tls-cert", "", "the certificate chain, a PEM `FILE`, with --tls-key")
	flags.StringVar(&f.key, "tls-key", "", "the private key, a PEM `FILE`")
	return cmd
}

// tlsOptions reads the three options that say how the listener is secured.
func (f *serveFlags) tlsOptions() (app.TLSOptions, error) {
	o := app.TLSOptions{Mode: app.TLSMode(f.tls), Cert: f.cert, Key: f.key}
	switch {
	case (f.cert == "") != (f.key == ""):
		return o, fault.New(fault.Invalid, "--tls-cert and --tls-key go together")
	case f.cert != "" && f.tls != "off":
		return o, fault.New(fault.Invalid, "choose --tls %s, or --tls-cert and --tls-key", f.tls)
	case f.cert != "":
		o.Mode = app.TLSFiles
	case o.Mode != app.TLSOff && o.Mode != app.TLSLocal && o.Mode != app.TLSACME && o.Mode != app.TLSSites:
		return o, fault.New(fault.Invalid, "--tls %q: choose off, local, acme or sites", f.tls)
	}
	return o, nil
}

func (s *session) serve(cmd *cobra.Command, f *serveFlags) error {
	secure, err := f.tlsOptions()
	if err != nil {
		return err
	}
	format := obs.Format(s.config.Log.Format)
	if format == obs.Text && s.env.Columns > 0 {
		format = obs.Colour
	}
	return app.Serve(cmd.Context(), app.ServeOptions{
		Config: s.config, Data: f.data, Listen: f.listen, Roles: f.roles, Origin: f.origin, Join: f.join, Name: f.name, TLS: secure,
		Version: s.env.Version, Log: obs.NewLogger(s.env.Stderr, format, s.config.Log.SlogLevel()),
		Ready: s.ready,
	})
}

// ready tells that the server is ready: one line, and for people at a terminal
// what they need next.
func (s *session) ready(r app.Ready) {
	if s.json {
		s.writeJSON(struct {
			Type     string `json:"type"` // "ready"
			URL      string `json:"url"`
			Data     string `json:"data"`
			AdminKey string `json:"admin_key_file,omitempty"`
			CA       string `json:"ca_file,omitempty"`
			Node     string `json:"node"`
		}{"ready", r.URL, r.Data, r.AdminKey, r.CA, r.Node})
		return
	}
	if r.URL == "" {
		fmt.Fprintf(s.env.Stdout, "ready %s\n", r.Node)
		return
	}
	fmt.Fprintf(s.env.Stdout, "ready %s\n", r.URL)
	var next []string
	if r.AdminKey != "" {
		next = append(next, "Sign in with the key in "+r.AdminKey+".")
	}
	next = append(next, r.Trust...)
	if s.env.Columns > 0 {
		next = append(next, "Ctrl-C stops it.")
	}
	fmt.Fprintln(s.env.Stderr, strings.Join(next, "\n"))
}
