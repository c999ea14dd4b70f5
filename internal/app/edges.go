package app

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"liuyun/internal/contract/edge"
	"liuyun/internal/control/cert"
	"liuyun/internal/control/node"
	"liuyun/internal/control/site"
	"liuyun/internal/edge/rule"
	"liuyun/internal/kit/bus"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/job"
)

// admit says what a node may say and hear on the bus, by its roles.
func (c *control) admit(ctx context.Context, name string) (bus.Subjects, error) {
	roles, err := c.nodes.Roles(ctx, name)
	may := bus.Subjects{Publish: node.AgentSubjects(name)}
	if slices.Contains(roles, RoleWorker) || slices.Contains(roles, RoleControl) {
		may = may.And(job.WorkerSubjects())
	}
	if slices.Contains(roles, RoleEdge) {
		may = may.And(site.Subjects(name)).And(bus.Subjects{Publish: cert.Subjects()})
	}
	return may, err
}

// checkRules says what is wrong with rules of a site.
func checkRules(rules []edge.Rule) error {
	_, err := rule.Compile(rules)
	return err
}

// checkPair says what is wrong with an uploaded certificate.
func checkPair(certificate, key string, hosts []string) error {
	_, err := guard.CheckPair([]byte(certificate), []byte(key), hosts, time.Now())
	return err
}

// expel shuts a node out that was deleted.
func (c *control) expel(name string) {
	c.bus.Expel(name)
	ctx, cancel := context.WithTimeout(context.Background(), forgetTime)
	defer cancel()
	if err := c.sites.Forget(ctx, name); err != nil {
		c.log.Warn("a deleted edge is still listed; delete it again", "node", name, "cause", err)
	}
}

// forgetTime is how long the records may take to forget a node.
const forgetTime = 10 * time.Second

// checked stands in an address for a token that an edge has verified and taken away, so
// that a cache has one copy for all who have one.
const checked = "~"

// signedFor is how long the token holds that stands for one that an edge has verified.
const signedFor = time.Minute

// media is what edges ask for: films and streams, as viewers get them. They see to who
// may have what, and count it.
func (c *control) media(signer *guard.Signer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(guard.WithRelay(r.Context()))
		if rest, ok := strings.CutPrefix(r.URL.Path, "/play/"+checked+"/"); ok {
			of, _, _ := strings.Cut(rest, "/")
			u := *r.URL
			u.Path, u.RawPath = "/play/~"+signer.Sign(of, time.Now().Add(signedFor))+"/"+rest, ""
			r.URL = &u
		}
		byKind(c.streams.Play(), c.assets.Play()).ServeHTTP(w, r)
	})
}
