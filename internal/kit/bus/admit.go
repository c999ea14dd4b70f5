package bus

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// admitTimeout bounds how long a connection waits for the word of Options.Admit.
const admitTimeout = 4 * time.Second

// door decides which connections the embedded server takes: those of this process,
// which know its token, and those of nodes whose certificate was verified and whom
// admit lets in.
type door struct {
	token string
	admit func(ctx context.Context, node string) (Subjects, error)

	mu     sync.Mutex
	inside map[string][]uint64 // connections by node; some may have ended
	server *server.Server
}

func newDoor(token string, o Options) *door {
	return &door{token: token, admit: o.Admit, inside: make(map[string][]uint64)}
}

// permissions are what the server holds a joined node to: the subjects, and
// answers to its own requests.
func (s Subjects) permissions() *server.Permissions {
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: s.Publish, Deny: denyAll(s.Publish)},
		Subscribe: &server.SubjectPermission{Allow: append([]string{"_INBOX.>"}, s.Subscribe...)},
	}
}

// denyAll is for an empty list, which would allow everything.
func denyAll(allowed []string) []string {
	if len(allowed) == 0 {
		return []string{">"}
	}
	return nil
}

// Check is called by the server for each connection.
func (d *door) Check(c server.ClientAuthentication) bool {
	if subtle.ConstantTimeCompare([]byte(c.GetOpts().Token), []byte(d.token)) == 1 {
		return true
	}
	state := c.GetTLSConnectionState()
	if d.admit == nil || state == nil || len(state.VerifiedChains) == 0 {
		return false
	}
	node := state.VerifiedChains[0][0].Subject.CommonName
	ctx, cancel := context.WithTimeout(context.Background(), admitTimeout)
	defer cancel()
	may, err := d.admit(ctx, node)
	if err != nil {
		return false
	}
	c.RegisterUser(&server.User{Username: node, Permissions: may.permissions()})
	d.note(node, c.GetID())
	return true
}

// peers decides which servers are of the cluster, by Options.Peer.
type peers func(ctx context.Context, state *tls.ConnectionState) error

// Check is called by the server for each connection to another one.
func (p peers) Check(c server.ClientAuthentication) bool {
	state := c.GetTLSConnectionState()
	if state == nil || len(state.VerifiedChains) == 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), admitTimeout)
	defer cancel()
	return p(ctx, state) == nil
}

// note remembers a connection, and forgets those of the node that have ended.
func (d *door) note(node string, connection uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	present := []uint64{connection}
	for _, other := range d.inside[node] {
		if d.server != nil && d.server.GetClient(other) != nil {
			present = append(present, other)
		}
	}
	d.inside[node] = present
}

// opened says which server the connections belong to from now on.
func (d *door) opened(s *server.Server) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.server = s
	clear(d.inside)
}

// Left reports whether a node was connected to this server, which is the only one, and is
// not any more. Where there are several servers nobody knows: it is false.
func (b *Bus) Left(node string) bool {
	b.door.mu.Lock()
	defer b.door.mu.Unlock()
	connections := b.door.inside[node]
	if b.clustered() || b.door.server == nil {
		return false
	}
	for _, connection := range connections {
		if b.door.server.GetClient(connection) != nil {
			return false
		}
	}
	return len(connections) > 0
}

// Expel ends the connections of a node to this server. It may come back if Admit
// lets it in.
func (b *Bus) Expel(node string) {
	b.door.mu.Lock()
	connections, s := b.door.inside[node], b.door.server
	delete(b.door.inside, node)
	b.door.mu.Unlock()
	for _, connection := range connections {
		_ = s.DisconnectClientByID(connection) // it may have gone by itself
	}
}
