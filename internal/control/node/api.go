package node

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/worker"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
	"liuyun/internal/kit/web"
)

// Node is a machine as the API shows it.
type Node struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Roles      []string `json:"roles" nullable:"false"`
	State      State    `json:"state" enum:"ready,draining,aside,gone"`
	Reason     string   `json:"reason" doc:"Why it is aside or gone, and what to do."`
	Version    string   `json:"version"`
	Class      string   `json:"class" doc:"Nodes of one class encode to the same bytes."`
	Address    string   `json:"address"`
	Cores      int      `json:"cores"`
	Load       float64  `json:"load" doc:"Part of the cores that is busy, 0 to 1."`
	Memory     int64    `json:"memory" doc:"Bytes."`
	MemoryUsed int64    `json:"memory_used" doc:"Bytes."`
	DiskFree   int64    `json:"disk_free" doc:"Bytes."`
	DiskSize   int64    `json:"disk_size" doc:"Bytes."`
	Running    int      `json:"running" doc:"Units that it encodes now."`
	// Worker is the machine as a worker.
	Worker   *worker.Figures `json:"worker" doc:"What it is worth as a worker; null on a node that does not encode, or is gone."`
	Currency string          `json:"currency" doc:"Of worker.price_per_hour, ISO 4217."`
	JoinedAt time.Time       `json:"joined_at"`
	SeenAt   time.Time       `json:"seen_at"`
}

type nodeInput struct {
	ID string `path:"id" maxLength:"64"`
}

type nodeOutput struct{ Body Node }

// NewJoinToken is what is asked for a join token.
type NewJoinToken struct {
	Roles     []string `json:"roles,omitempty" nullable:"false" maxItems:"8" doc:"What the node will do; worker when absent."`
	ExpiresIn int      `json:"expires_in,omitempty" minimum:"60" maximum:"2592000" default:"3600" doc:"Seconds that the token lets machines in."`
}

type tokenInput struct{ Body NewJoinToken }

// JoinTokenAnswer is a new join token. It is shown once.
type JoinTokenAnswer struct {
	Token     string    `json:"token"`
	Command   string    `json:"command" doc:"What to run on the machine that is to join."`
	ExpiresAt time.Time `json:"expires_at"`
}

// Roles that a join token can give.
func roles() []string { return []string{"control", "worker", "edge"} }

// Routes adds the operations on nodes.
func (s *Service) Routes(a *web.API) {
	op := func(id, method, path, scope, summary string) web.Op {
		return web.Op{ID: id, Method: method, Path: path, Tag: "Nodes", Scope: scope, Summary: summary}
	}
	web.Add(a, op("list-nodes", http.MethodGet, "/v1/nodes", guard.NodesRead, "List the machines of the cloud"), s.list)
	web.Add(a, op("get-node", http.MethodGet, "/v1/nodes/{id}", guard.NodesRead, "Get a machine"), s.get)
	web.Add(a, op("delete-node", http.MethodDelete, "/v1/nodes/{id}", guard.Admin, "Shut a machine out; its certificate is refused from now on"), s.delete)
	web.Add(a, op("drain-node", http.MethodPost, "/v1/nodes/{id}/drain", guard.Admin, "Let a machine finish what it does and take no more"),
		func(ctx context.Context, in *nodeInput) (*nodeOutput, error) { return s.drain(ctx, in, 1) })
	web.Add(a, op("resume-node", http.MethodPost, "/v1/nodes/{id}/resume", guard.Admin, "Let a machine take jobs again"),
		func(ctx context.Context, in *nodeInput) (*nodeOutput, error) { return s.drain(ctx, in, 0) })
	token := op("make-join-token", http.MethodPost, "/v1/nodes/join_tokens", guard.Admin, "Make a token that lets machines join")
	token.Status = http.StatusCreated
	web.Add(a, token, s.makeToken)
}

func (s *Service) list(ctx context.Context, in *web.PageQuery) (*struct{ Body web.Page[Node] }, error) {
	page := web.Page[Node]{Data: []Node{}}
	err := s.deps.Records.Read(ctx, func(tx *store.Tx) error {
		records, err := list(tx, in.After, in.Limit+1)
		if err != nil {
			return err
		}
		if len(records) > in.Limit {
			records = records[:in.Limit]
			page.Next = records[in.Limit-1].ID
		}
		for _, n := range records {
			page.Data = append(page.Data, s.show(n))
		}
		return nil
	})
	return &struct{ Body web.Page[Node] }{page}, err
}

func (s *Service) get(ctx context.Context, in *nodeInput) (*nodeOutput, error) {
	var n record
	err := s.deps.Records.Read(ctx, func(tx *store.Tx) (err error) {
		n, err = get(tx, in.ID)
		return err
	})
	return &nodeOutput{s.show(n)}, err
}

func (s *Service) delete(ctx context.Context, in *nodeInput) (*struct{}, error) {
	err := s.deps.Records.Write(ctx, func(tx *store.Tx) error {
		if _, err := get(tx, in.ID); err != nil {
			return err
		}
		_, err := tx.Exec("DELETE FROM nodes WHERE id = ?", in.ID)
		return err
	})
	if err == nil {
		s.forget(in.ID)
		if err := s.deps.Messages.Publish(subjectDeleted, greeting{in.ID}); err != nil {
			s.deps.Log.Warn("a deleted node may stay connected until it reconnects", "node", in.ID, "cause", err)
		}
	}
	return nil, err
}

func (s *Service) drain(ctx context.Context, in *nodeInput, draining int) (*nodeOutput, error) {
	err := s.deps.Records.Write(ctx, func(tx *store.Tx) error { return setDraining(tx, in.ID, draining) })
	if err != nil {
		return nil, err
	}
	return s.get(ctx, in)
}

// show puts together what is kept of a node and what was heard of it.
func (s *Service) show(n record) Node {
	now := time.Now()
	shown := Node{ID: n.ID, Name: n.Name, Roles: n.Roles, Version: n.Version, Class: n.Class, Address: n.Address, Cores: n.Cores, JoinedAt: n.Joined, SeenAt: n.Seen, Currency: s.deps.Currency}
	h, here := s.presence(n.ID, now)
	if !h.at.IsZero() {
		shown.SeenAt = h.at.UTC()
	}
	if !here {
		shown.State = Gone
		shown.Reason = "nothing was heard of it since " + shown.SeenAt.UTC().Format(time.RFC3339) + "; start it, or look at its network"
		return shown
	}
	shown.State, shown.Reason, shown.Load, shown.Running = h.State, h.Reason, h.Load, h.Running
	shown.Memory, shown.MemoryUsed, shown.DiskFree, shown.DiskSize = h.Memory, h.MemoryUsed, h.DiskFree, h.DiskSize
	shown.Worker = h.Figures
	if n.Draining && shown.State == Ready { // it will hear of it with its next beat
		shown.State = Draining
	}
	return shown
}

func (s *Service) makeToken(ctx context.Context, in *tokenInput) (*struct{ Body JoinTokenAnswer }, error) {
	if s.deps.CA == nil {
		return nil, fault.New(fault.Unavailable, "this control node joined another and cannot let machines in; ask the first control node")
	}
	given := in.Body.Roles
	if len(given) == 0 {
		given = []string{"worker"}
	}
	for _, role := range given {
		if !slices.Contains(roles(), role) {
			return nil, fault.New(fault.Invalid, "%q is no role; there are %s", role, strings.Join(roles(), ", "))
		}
	}
	reach := s.deps.Reach()
	if !reachable(reach.Nodes) {
		return nil, fault.New(fault.Conflict, "other machines cannot reach this one: its node listener has no address of a network; set node.listen and node.address")
	}
	credential := guard.NewCredential()
	now := time.Now()
	expires := now.Add(time.Duration(in.Body.ExpiresIn) * time.Second)
	err := s.deps.Records.Write(ctx, func(tx *store.Tx) error {
		return addToken(tx, guard.CredentialHash(credential), given, expires, now)
	})
	if err != nil {
		return nil, err
	}
	token := guard.JoinToken{Addresses: reach.Nodes, CA: s.deps.CA.Hash(), Credential: credential}.String()
	return &struct{ Body JoinTokenAnswer }{JoinTokenAnswer{
		Token: token, Command: "liuyun serve --roles " + strings.Join(given, ",") + " --join " + token, ExpiresAt: expires.UTC().Truncate(time.Second),
	}}, nil
}

// reachable reports whether there is an address at all that a machine could dial.
func reachable(addresses []string) bool {
	return slices.ContainsFunc(addresses, func(address string) bool {
		host, port, err := net.SplitHostPort(address)
		return err == nil && host != "" && port != "" && port != "0" && !net.ParseIP(host).IsUnspecified()
	})
}
