package peer

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pion/turn/v5"

	"liuyun/internal/base/fault"
	"liuyun/internal/flow/ingest"
)

// Limits of TURN.
const (
	relayRealm  = "liuyun"
	mostRelays  = 1000
	relayHolds  = 12 * time.Hour // credentials
	relayTCPOne = 100            // connections from one address
)

// relay is a TURN server for clients whose network lets nothing through but a port
// of their choice. What it relays goes to this server's own WebRTC port, and to
// nowhere else, so that it is of no use for anything but watching and publishing.
type relay struct {
	server *turn.Server
	port   int
	secret [32]byte
	open   atomic.Int64
}

// openRelay listens. Media is reached at those addresses and that port.
func openRelay(address string, media []net.IP, mediaPort int, log quietLog) (*relay, error) {
	r := &relay{}
	rand.Read(r.secret[:])
	udp, tcp, err := listenRelay(address)
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "TURN cannot be listened for on %s: %v; choose another address with live.turn_listen", address, err)
	}
	r.port = udp.LocalAddr().(*net.UDPAddr).Port
	way := &wayIn{addresses: media, port: mediaPort}
	permit := func(_ net.Addr, peer net.IP) bool { return way.has(peer) }
	r.server, err = turn.NewServer(turn.ServerConfig{
		Realm: relayRealm, AuthHandler: r.authenticate, LoggerFactory: log,
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: udp, RelayAddressGenerator: way, PermissionHandler: permit}},
		ListenerConfigs:   []turn.ListenerConfig{{Listener: &bounded{Listener: tcp, quota: ingest.Quota{Most: mostRelays, MostOfOne: relayTCPOne}, log: log.log}, RelayAddressGenerator: way, PermissionHandler: permit}},
		QuotaHandler:      func(string, string, net.Addr) bool { return r.open.Load() < mostRelays },
		EventHandler: turn.EventHandler{
			OnAllocationCreated: func(net.Addr, net.Addr, string, string, string, net.Addr, int) { r.open.Add(1) },
			OnAllocationDeleted: func(net.Addr, net.Addr, string, string, string) { r.open.Add(-1) },
		},
	})
	if err != nil {
		udp.Close()
		tcp.Close()
		return nil, err
	}
	return r, nil
}

func listenRelay(address string) (net.PacketConn, net.Listener, error) {
	udp, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, nil, err
	}
	host, _, _ := net.SplitHostPort(address)
	_, port, _ := net.SplitHostPort(udp.LocalAddr().String())
	tcp, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		udp.Close()
		return nil, nil, err
	}
	return udp, tcp, nil
}

func (r *relay) close() { r.server.Close() }

// password is that of a user name, which says until when it holds.
func (r *relay) password(user string) string {
	mac := hmac.New(sha256.New, r.secret[:])
	mac.Write([]byte(user))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:18])
}

func (r *relay) authenticate(a *turn.RequestAttributes) (string, []byte, bool) {
	until, _, _ := strings.Cut(a.Username, ":")
	seconds, err := strconv.ParseInt(until, 10, 64)
	if err != nil || time.Now().Unix() > seconds {
		return "", nil, false
	}
	return a.Username, turn.GenerateAuthKey(a.Username, a.Realm, r.password(a.Username)), true
}

// links are the headers that tell a client of the relay (RFC 9725, 4.6).
func (r *relay) links(host string, now time.Time) []string {
	user := strconv.FormatInt(now.Add(relayHolds).Unix(), 10) + ":" + strings.ToLower(rand.Text()[:10])
	var list []string
	for _, transport := range []string{"udp", "tcp"} {
		list = append(list, fmt.Sprintf(`<turn:%s?transport=%s>; rel="ice-server"; username="%s"; credential="%s"; credential-type="password"`,
			net.JoinHostPort(host, strconv.Itoa(r.port)), transport, user, r.password(user)))
	}
	return list
}

// wayIn makes the sockets of relays. They reach the media port alone.
type wayIn struct {
	addresses []net.IP
	port      int
}

func (w *wayIn) has(ip net.IP) bool {
	for _, a := range w.addresses {
		if a.Equal(ip) {
			return true
		}
	}
	return false
}

// Validate is called before the first relay.
func (w *wayIn) Validate() error {
	if len(w.addresses) == 0 {
		return fault.New(fault.Unavailable, "this machine has no address to relay to")
	}
	return nil
}

// AllocatePacketConn makes a socket. The address that is told is one of this machine's.
func (w *wayIn) AllocatePacketConn(c turn.AllocateListenerConfig) (net.PacketConn, net.Addr, error) {
	v6 := strings.HasSuffix(c.Network, "6")
	for _, ip := range w.addresses {
		if (ip.To4() == nil) != v6 {
			continue
		}
		bind := "0.0.0.0:0"
		if v6 {
			bind = "[::]:0"
		}
		if ip.IsLoopback() {
			bind = net.JoinHostPort(ip.String(), "0")
		}
		conn, err := net.ListenPacket(c.Network, bind)
		if err != nil {
			return nil, nil, err
		}
		return &fenced{conn, w}, &net.UDPAddr{IP: ip, Port: conn.LocalAddr().(*net.UDPAddr).Port}, nil
	}
	return nil, nil, fault.New(fault.Unavailable, "this machine has no address of the kind %s", c.Network)
}

// AllocateListener refuses: nobody connects to a relay by TCP.
func (w *wayIn) AllocateListener(turn.AllocateListenerConfig) (net.Listener, net.Addr, error) {
	return nil, nil, fault.New(fault.Invalid, "only UDP is relayed")
}

// AllocateConn refuses: a relay dials nobody by TCP.
func (w *wayIn) AllocateConn(turn.AllocateConnConfig) (net.Conn, error) {
	return nil, fault.New(fault.Invalid, "only UDP is relayed")
}

// fenced is a socket that reaches the media port alone.
type fenced struct {
	net.PacketConn
	way *wayIn
}

func (f *fenced) allows(a net.Addr) bool {
	u, ok := a.(*net.UDPAddr)
	return ok && u.Port == f.way.port && f.way.has(u.IP)
}

// WriteTo drops what is for others.
func (f *fenced) WriteTo(b []byte, to net.Addr) (int, error) {
	if !f.allows(to) {
		return len(b), nil
	}
	return f.PacketConn.WriteTo(b, to)
}

// ReadFrom drops what comes from others.
func (f *fenced) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := f.PacketConn.ReadFrom(b)
		if err != nil || f.allows(from) {
			return n, from, err
		}
	}
}
