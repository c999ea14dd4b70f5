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

func newEdge(s *session) *cobra.Command {
	return s.newGroup("edge", "Manage what edges serve, purge it and watch them",
		"Edges serve viewers from what they have stored: what the cloud itself has, and sites,\nwhich are names with origins of yours behind them. Without a word it lists the edges.\nA machine becomes one with: liuyun nodes join-token --role edge. With ID cloud, purge,\npurges, traffic and tail are about what the cloud itself serves, for keys of scope admin.",
		"  liuyun edge\n  liuyun edge create --host www.example.org --origin https://origin.example.org\n  liuyun edge purge sit_… --url www.example.org/film.mp4 --wait",
		s.edgeList(), s.edgeSites(), s.edgeSite(), s.edgeCreate(), s.edgeApply(), s.edgeDelete(), s.edgeCertificate(),
		s.edgePurge(), s.edgePurges(), s.edgeTraffic(), s.edgeTail())
}

func (s *session) edgeList() *cobra.Command {
	return s.newAction(action{use: "list", short: "List the edges and how they do", example: "  liuyun edge list --json", args: cobra.NoArgs,
		run: func(ctx context.Context, c *client.Client, _ []string) error {
			return tellList(s, c.Edges.List(ctx), 0, columns[client.Edge]{"edge", []string{"NAME", "REGION", "STATE", "LOAD", "REQ/S", "HITS", "EGRESS", "STORED", "OWN", "URL"},
				edgeRow, "There are no edges. Make one with 'liuyun nodes join-token --role edge'."})
		}})
}

// egressText is bits a second with their unit, as 48.00 Mbit/s.
func egressText(bits float64) string {
	if bits >= 1e6 {
		return fmt.Sprintf("%.2f Mbit/s", bits/1e6)
	}
	return fmt.Sprintf("%.0f kbit/s", bits/1e3)
}

// edgeRow is an edge in a table. What one does that is away is not known.
func edgeRow(e client.Edge) []string {
	row := []string{e.Name, first(e.Region, "-"), e.State, "-", "-", "-", "-", "-", "-", first(e.URL, "-")}
	if e.State == "away" {
		return row
	}
	copy(row[3:], []string{shareText(e.Load), fmt.Sprintf("%.1f", e.Requests), "-", egressText(e.Egress), sizeText(e.Stored), sizeText(e.Own)})
	if e.Requests > 0 {
		row[5] = shareText(e.HitRatio)
	}
	return row
}

// shareText is a share from 0 to 1 for people. Only all is 100 %.
func shareText(share float64) string {
	if share < 1 {
		share = min(share, 0.999)
	}
	return fmt.Sprintf("%.3g %%", 100*share)
}

func (s *session) edgeSites() *cobra.Command {
	return s.newAction(action{use: "sites", short: "List the sites", example: "  liuyun edge sites", args: cobra.NoArgs,
		run: func(ctx context.Context, c *client.Client, _ []string) error {
			return tellList(s, c.Sites.List(ctx), 0, columns[client.Site]{"site", []string{"ID", "NAME", "STATE", "TLS", "HOSTS", "ORIGINS"},
				func(one client.Site) []string {
					var origins []string
					for _, o := range one.Origins {
						origins = append(origins, o.URL)
					}
					return []string{one.ID, one.Name, siteState(one), one.TLS, strings.Join(one.Hosts, " "), strings.Join(origins, " ")}
				}, "There are no sites."})
		}})
}

func siteState(one client.Site) string {
	if one.Disabled {
		return "disabled"
	}
	return "served"
}

func (s *session) edgeSite() *cobra.Command {
	return s.newAction(action{use: "site ID", short: "Show a site; as JSON, what apply takes", example: "  liuyun edge site sit_…\n  liuyun edge site sit_… --json > site.json", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			return s.tellSite(c.Sites.Get(ctx, args[0]))
		}})
}

func (s *session) tellSite(one client.Site, err error) error {
	if err != nil {
		return err
	}
	return s.tellOne("site", one, siteText(one))
}

// siteText is a site for people.
func siteText(one client.Site) string {
	lines := []string{fmt.Sprintf("%s %s is %s", one.ID, printable(one.Name), siteState(one)), "Names: " + printable(strings.Join(one.Hosts, " "))}
	for _, o := range one.Origins {
		line := fmt.Sprintf("Origin: %s, weight %d", printable(o.URL), max(o.Weight, 1))
		if o.Backup {
			line = "Origin: " + printable(o.URL) + ", a backup"
		}
		if o.Host != "" {
			line += ", asked as " + printable(o.Host)
		}
		lines = append(lines, line)
	}
	if h := one.Health; h != nil {
		lines = append(lines, "Health: "+printable(h.Path))
	}
	line := "TLS: " + one.TLS
	if cert := one.Certificate; cert != nil {
		line += fmt.Sprintf(", a certificate for %s until %s", printable(strings.Join(cert.Names, " ")), dayText(cert.NotAfter))
	}
	lines = append(lines, line)
	for _, r := range one.Rules {
		lines = append(lines, "Rule: "+printable(ruleText(r)))
	}
	return strings.Join(lines, "\n")
}

// ruleText is what a rule says.
func ruleText(r client.Rule) string {
	says := []string{}
	if r.TTL != nil {
		says = append(says, fmt.Sprintf("kept %d s", *r.TTL))
	}
	if r.BrowserTTL != nil {
		says = append(says, fmt.Sprintf("in browsers %d s", *r.BrowserTTL))
	}
	if r.Query != "" {
		says = append(says, strings.TrimSpace("query "+r.Query+" "+strings.Join(r.Parameters, " ")))
	}
	if len(r.Vary) > 0 {
		says = append(says, "varies by "+strings.Join(r.Vary, " "))
	}
	for _, f := range r.Request {
		says = append(says, fmt.Sprintf("asked with %s: %s", f.Name, f.Value))
	}
	for _, f := range r.Response {
		says = append(says, fmt.Sprintf("answered with %s: %s", f.Name, f.Value))
	}
	if r.Redirect != "" {
		says = append(says, "redirected to "+r.Redirect)
	}
	if r.Compress != nil {
		says = append(says, map[bool]string{true: "compressed", false: "not compressed"}[*r.Compress])
	}
	return r.Path + " " + strings.Join(says, ", ")
}

func (s *session) edgeDelete() *cobra.Command {
	return s.newAction(action{use: "delete ID", short: "Serve a site no more", example: "  liuyun edge delete sit_…", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			if err := c.Sites.Delete(ctx, args[0]); err != nil {
				return err
			}
			return s.tellDone(args[0], "deleted")
		}})
}

func (s *session) edgeCertificate() *cobra.Command {
	certificate, key := "", ""
	cmd := s.newAction(action{use: "certificate ID", short: "Upload the certificate of a site's names", example: "  liuyun edge certificate sit_… --cert fullchain.pem --key privkey.pem", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			if certificate == "" || key == "" {
				return fault.New(fault.Invalid, "name both files: --cert FILE --key FILE")
			}
			chain, err := readSmall(certificate, "the certificate")
			if err != nil {
				return err
			}
			secret, err := readSmall(key, "the key")
			if err != nil {
				return err
			}
			return s.tellSite(c.Sites.UploadCertificate(ctx, args[0], []byte(chain), []byte(secret)))
		}})
	cmd.Flags().StringVar(&certificate, "cert", "", "the PEM `FILE` with the certificate and the chain behind it")
	cmd.Flags().StringVar(&key, "key", "", "the PEM `FILE` with its key")
	return cmd
}

func (s *session) edgeTraffic() *cobra.Command {
	return s.newAction(action{use: "traffic ID", short: "Show what edges did for a site in the last hour", example: "  liuyun edge traffic sit_…\n  liuyun edge traffic cloud --json", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			t, err := c.Sites.Traffic(ctx, args[0])
			if err != nil {
				return err
			}
			return s.tellOne("traffic", t, trafficText(t, s.env.Columns, time.Now()))
		}})
}

func (s *session) edgeTail() *cobra.Command {
	return s.newAction(action{use: "tail ID", short: "Watch requests as edges answer them, until Ctrl-C", example: "  liuyun edge tail sit_…\n  liuyun edge tail sit_… --json", args: cobra.ExactArgs(1),
		run: func(ctx context.Context, c *client.Client, args []string) error {
			// Requests waits for a cloud that is away; one that was never there is told of.
			if _, err := c.Sites.Traffic(ctx, args[0]); err != nil {
				return err
			}
			for r, err := range c.Sites.Requests(ctx, args[0]) {
				if err != nil {
					return err
				}
				if err := s.tellOne("request", r, requestText(r)); err != nil {
					return err
				}
			}
			return nil
		}})
}

// requestText is a request as one line.
func requestText(r client.SiteRequest) string {
	return printable(fmt.Sprintf("%s %s %d %-4s %s %s%s %s %.3f s %s", r.At.Local().Format("15:04:05.000"), r.Edge, r.Status, r.Cache, r.Method, r.Host, r.Path, sizeText(r.Bytes), r.Seconds, r.Client))
}
