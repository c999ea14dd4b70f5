package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
	"liuyun/internal/kit/web"
)

// application is what a machine sends to join; a node that renews sends only the
// request.
type application struct {
	Credential []byte `json:"credential,omitempty"`
	Request    []byte `json:"request"` // certificate request in PEM
	Name       string `json:"name,omitempty"`
	// Roles that the machine will have; none are asked for by an older one.
	Roles []string `json:"roles,omitempty"`
}

// Membership is what a machine gets when it joins.
type Membership struct {
	Node        string   `json:"node"`
	Roles       []string `json:"roles"`
	Certificate []byte   `json:"certificate"` // PEM
	CA          []byte   `json:"ca"`          // PEM
	Reach       Reach    `json:"reach"`
}

// maxApplication bounds what a stranger may send.
const maxApplication = 32 << 10

// Handler serves the node listener: POST /join for whoever has a join token; POST
// /renew, /blob/ and /play/ for nodes whose certificate was verified (see [guard.NodeTLS])
// and whose record is still there.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /join", s.join)
	mux.Handle("POST /renew", s.members(http.HandlerFunc(s.renew)))
	if s.deps.Blob != nil {
		mux.Handle("/blob/", s.members(http.StripPrefix("/blob", s.deps.Blob), "worker", "control"))
	}
	if s.deps.Media != nil {
		mux.Handle("/play/", s.members(s.deps.Media, "edge"))
	}
	return mux
}

// members lets only nodes through that still have a record, and one of the roles where
// some are given.
func (s *Service) members(next http.Handler, roles ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.member(r, roles); err != nil {
			web.Problem(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Service) member(r *http.Request, roles []string) error {
	node, ok := guard.PeerNode(r.TLS)
	if !ok {
		return fault.New(fault.Forbidden, "only nodes may come here; join with a token first")
	}
	has, err := s.Roles(r.Context(), node)
	switch {
	case fault.CodeOf(err) == fault.NotFound:
		return fault.New(fault.Forbidden, "this node was deleted; join again with a new token")
	case err != nil:
		return err
	case len(roles) > 0 && !slices.ContainsFunc(has, func(role string) bool { return slices.Contains(roles, role) }):
		return fault.New(fault.Forbidden, "this is for nodes of the role %s; join with a token for it", strings.Join(roles, " or "))
	}
	return nil
}

func readApplication(w http.ResponseWriter, r *http.Request) (a application, err error) {
	err = json.NewDecoder(http.MaxBytesReader(w, r.Body, maxApplication)).Decode(&a)
	if err != nil {
		return a, fault.Wrap(err, fault.Invalid, "this is no application of a node")
	}
	return a, nil
}

func (s *Service) join(w http.ResponseWriter, r *http.Request) {
	a, err := readApplication(w, r)
	if err == nil && s.deps.CA == nil {
		err = fault.New(fault.Unavailable, "this control node cannot let machines in; dial the one that made the token")
	}
	if err != nil {
		web.Problem(w, r, err)
		return
	}
	m := Membership{Node: s.ids.New("nod"), CA: s.deps.CA.PEM()}
	now := time.Now()
	err = s.deps.Records.Write(r.Context(), func(tx *store.Tx) error {
		granted, err := tokenRoles(tx, guard.CredentialHash(a.Credential), now)
		if err != nil {
			return err
		}
		if err := allowed(granted, a.Roles); err != nil {
			return err
		}
		if m.Reach, err = s.reach(tx); err != nil {
			return err
		}
		if m.Certificate, err = s.sign(a.Request, m.Node, granted); err != nil {
			return err
		}
		m.Roles = granted
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		return put(tx, record{ID: m.Node, Name: shortName(a.Name), Roles: granted, Address: host, Joined: now, Seen: now})
	})
	if err != nil {
		web.Problem(w, r, err)
		return
	}
	s.deps.Log.Info("a machine joined", "node", m.Node, "name", shortName(a.Name), "from", r.RemoteAddr, "roles", strings.Join(m.Roles, ","))
	answer(w, m)
}

// allowed refuses a role that a join token does not give.
func allowed(granted, wanted []string) error {
	for _, role := range wanted {
		if !slices.Contains(granted, role) {
			return fault.New(fault.Forbidden, "the join token is not for the role %s; make one that is, or choose with --roles", role)
		}
	}
	return nil
}

// sign makes the certificate of a node. Control nodes may stand for the listener
// that others dial.
func (s *Service) sign(request []byte, node string, granted []string) ([]byte, error) {
	if slices.Contains(granted, "control") {
		return s.deps.CA.SignNode(request, node, guard.ControlName)
	}
	return s.deps.CA.SignNode(request, node)
}

func (s *Service) renew(w http.ResponseWriter, r *http.Request) {
	a, err := readApplication(w, r)
	if err == nil && s.deps.CA == nil {
		err = fault.New(fault.Unavailable, "this control node cannot renew; dial the one that made the token")
	}
	if err != nil {
		web.Problem(w, r, err)
		return
	}
	node, _ := guard.PeerNode(r.TLS)
	var n record
	var reach Reach
	err = s.deps.Records.Read(r.Context(), func(tx *store.Tx) (err error) {
		if n, err = get(tx, node); err == nil {
			reach, err = s.reach(tx)
		}
		return err
	})
	m := Membership{Node: node, Roles: n.Roles, CA: s.deps.CA.PEM(), Reach: reach}
	if err == nil {
		m.Certificate, err = s.sign(a.Request, node, n.Roles)
	}
	if err != nil {
		web.Problem(w, r, err)
		return
	}
	answer(w, m)
}

func answer(w http.ResponseWriter, m Membership) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(m)
}

// shortName keeps what a machine calls itself fit to be shown.
func shortName(name string) string {
	name = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c == '\ufffd' {
			return -1
		}
		return c
	}, name)
	if runes := []rune(name); len(runes) > 64 {
		name = string(runes[:64])
	}
	return name
}

// Register makes the record of this machine itself, the first control node, which
// needs no token. Node is its id, which it keeps in its data folder.
func (s *Service) Register(ctx context.Context, node, name string, granted []string, address string) error {
	now := time.Now()
	return s.deps.Records.Write(ctx, func(tx *store.Tx) error {
		if err := put(tx, record{ID: node, Name: shortName(name), Roles: granted, Address: address, Joined: now, Seen: now}); err != nil {
			return err
		}
		return putReach(tx, node, s.deps.Reach())
	})
}

// Return tells the records where this control node, which joined with a token, is
// reached now. Records that do not know it are fault.Forbidden.
func (s *Service) Return(ctx context.Context, node string) error {
	err := s.deps.Records.Write(ctx, func(tx *store.Tx) error { return putReach(tx, node, s.deps.Reach()) })
	if fault.CodeOf(err) == fault.NotFound {
		return fault.New(fault.Forbidden, "the records do not know this node: it was deleted (join again with a new folder and token), or store.url is not that of the cloud it joined")
	}
	return err
}

// Join asks the control nodes of the token, one after the other, to let this
// machine in under that name, and keeps its certificate in folder. When the token is
// not for all of the roles, which is fault.Forbidden, nothing is kept: it can be tried
// again with others.
func Join(ctx context.Context, token guard.JoinToken, name, folder string, roles ...string) (*guard.Identity, Membership, error) {
	key, request, err := guard.NewRequest()
	if err != nil {
		return nil, Membership{}, err
	}
	transport := &http.Transport{TLSClientConfig: guard.PinnedTLS(token.CA), TLSHandshakeTimeout: 10 * time.Second}
	defer transport.CloseIdleConnections()
	var m Membership
	for _, address := range token.Addresses {
		m, err = apply(ctx, transport, address, "/join", application{token.Credential, request, name, roles})
		if err == nil || fault.CodeOf(err) == fault.Forbidden {
			break
		}
	}
	if err == nil {
		err = allowed(m.Roles, roles) // an older control node does not look
	}
	if err != nil {
		return nil, Membership{}, err
	}
	identity, err := guard.SaveIdentity(folder, key, m.Certificate, m.CA)
	return identity, m, err
}

// Renew replaces the certificate of this node by a new one when half of its life
// has gone, and does nothing before.
func Renew(ctx context.Context, identity *guard.Identity, addresses []string) error {
	if !identity.Due(time.Now()) {
		return nil
	}
	key, request, err := guard.NewRequest()
	if err != nil {
		return err
	}
	transport := &http.Transport{TLSClientConfig: identity.ClientTLS(), TLSHandshakeTimeout: 10 * time.Second}
	defer transport.CloseIdleConnections()
	err = errors.New("no control node is known")
	for _, address := range addresses {
		var m Membership
		if m, err = apply(ctx, transport, address, "/renew", application{Request: request}); err == nil {
			return identity.Replace(key, m.Certificate)
		}
	}
	return err
}

// apply sends an application and reads the membership or the problem.
func apply(ctx context.Context, transport http.RoundTripper, address, path string, a application) (m Membership, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	body, err := json.Marshal(a)
	if err != nil {
		return m, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+address+path, bytes.NewReader(body))
	if err != nil {
		return m, fault.Wrap(err, fault.Invalid, "%q is no address of a control node", address)
	}
	got, err := transport.RoundTrip(r)
	if err != nil {
		var known *fault.Error
		if errors.As(err, &known) {
			return m, known
		}
		return m, fault.Wrap(err, fault.Unavailable, "the control node at %s cannot be reached; look at the network and its node listener", address)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(io.LimitReader(got.Body, 64<<10))
	if err != nil {
		return m, fault.Wrap(err, fault.Unavailable, "the control node at %s broke off", address)
	}
	if got.StatusCode != http.StatusOK {
		var problem struct {
			Code   fault.Code `json:"code"`
			Detail string     `json:"detail"`
		}
		if json.Unmarshal(text, &problem) != nil || problem.Detail == "" {
			return m, fault.New(fault.Unavailable, "the control node at %s answered %s", address, got.Status)
		}
		return m, fault.New(problem.Code, "%s", problem.Detail)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fault.Wrap(err, fault.Unavailable, "the control node at %s gave an answer that cannot be read", address)
	}
	return m, nil
}
