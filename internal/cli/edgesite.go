package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"liuyun/client"
	"liuyun/internal/base/fault"
)

func (s *session) edgeCreate() *cobra.Command {
	var settings client.SiteSettings
	var origins []string
	cmd := s.newAction(action{use: "create", short: "Have edges serve a site",
		example: "  liuyun edge create --name Films --host www.example.org --host '*.films.example.org' --origin https://origin.example.org --tls acme", args: cobra.NoArgs,
		run: func(ctx context.Context, c *client.Client, _ []string) error {
			if len(settings.Hosts) == 0 || len(origins) == 0 {
				return fault.New(fault.Invalid, "a site needs the names that viewers come by, and a server that has it: --host www.example.org --origin https://origin.example.org")
			}
			settings.Name, settings.Origins = first(settings.Name, settings.Hosts[0]), nil
			for _, origin := range origins {
				settings.Origins = append(settings.Origins, client.Origin{URL: origin, Weight: 1})
			}
			return s.tellSite(c.Sites.Create(ctx, settings))
		}})
	flags := cmd.Flags()
	flags.StringVar(&settings.Name, "name", "", "what it is called; its first host unless said")
	flags.StringArrayVar(&settings.Hosts, "host", nil, "a `NAME` that viewers come by, or *.example.org; may be repeated")
	flags.StringArrayVar(&origins, "origin", nil, "the `URL` of a server that has it; may be repeated, then they share the requests")
	flags.StringVar(&settings.TLS, "tls", "", "where the certificate comes from: off or acme; upload one with liuyun edge certificate")
	return cmd
}

func (s *session) edgeApply() *cobra.Command {
	cmd := s.newAction(action{use: "apply FILE", short: "Make or replace a site as a JSON file says; - is standard input",
		example: "  liuyun edge apply site.json\n  liuyun edge site sit_… --json | jq '.disabled = true' | liuyun edge apply -", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			text, err := s.readDocument(args[0])
			if err != nil {
				return err
			}
			doc, err := parseSite(text)
			switch {
			case err != nil:
				return fault.Wrap(err, fault.Invalid, "%s is no site: %v", args[0], err)
			case doc.ID == "":
				return s.tellSite(c.Sites.Create(ctx, doc.SiteSettings))
			}
			return s.tellSite(c.Sites.Replace(ctx, doc.ID, doc.SiteSettings, doc.Rev))
		}})
	cmd.Long = `Apply makes a site where the file has no "id", and replaces the one that it names. With
a "rev", as liuyun edge site ID --json writes it, nothing changes when somebody else has
changed the site meanwhile. What only the cloud says of a site is passed over.`
	return cmd
}

// siteDocument is a site as apply takes it.
type siteDocument struct {
	client.Site
	Type string `json:"type"` // as --json writes it
}

// parseSite reads a site. A field that no site has is an error, for it would be lost.
func parseSite(text []byte) (doc siteDocument, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&doc); err != nil {
		return doc, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return doc, errors.New("more follows behind the object")
	}
	if doc.Type != "" && doc.Type != "site" {
		return doc, errors.New(`its type is "` + doc.Type + `"`)
	}
	return doc, nil
}

// largestDocument is more than the API takes.
const largestDocument = 2 << 20

// readDocument reads a file, or standard input for "-".
func (s *session) readDocument(path string) ([]byte, error) {
	in := s.env.Stdin
	if path != "-" {
		file, err := os.Open(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, fault.New(fault.NotFound, "%s does not exist", path)
		case err != nil:
			return nil, fault.Wrap(err, fault.Invalid, "%s cannot be opened", path)
		}
		defer file.Close()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, largestDocument+1))
	switch {
	case err != nil:
		return nil, fault.Wrap(err, fault.Invalid, "%s cannot be read", path)
	case len(text) > largestDocument:
		return nil, fault.New(fault.Limit, "%s has more than %d bytes, and is no site", path, largestDocument)
	}
	return text, nil
}
