package h3

import (
	"net/http"
	"strconv"
	"strings"
)

// alternative is what clients that came by TCP are told.
type alternative struct {
	port         string // of the socket
	here, common []string
}

// commonPort is that of https, which a Host leaves out.
const commonPort = "443"

func newAlternative(port string) *alternative {
	return &alternative{port, []string{altSvc(port)}, []string{altSvc(commonPort)}}
}

// altSvc is a value of the field Alt-Svc (RFC 7838, RFC 9114 section 3.1.1). A day is how
// long clients that cannot reach the port try it first.
func altSvc(port string) string { return `h3=":` + port + `"; ma=86400` }

// Announce tells clients of next, which serves by TCP with the same certificates, that
// there is HTTP/3, for as long as there is. The port is the one that a client has come to:
// where a router or a container maps ports, it is not that of the socket. What writes
// answers remains as it is, for the sake of sendfile.
func (s *Server) Announce(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if alt := s.alt.Load(); alt != nil {
			w.Header()["Alt-Svc"] = alt.at(r.Host)
		}
		next.ServeHTTP(w, r)
	})
}

// at is what is told those who ask a host. The caller must not change it.
func (a *alternative) at(host string) []string {
	port := commonPort
	if at := strings.LastIndexByte(host, ':'); at > strings.LastIndexByte(host, ']') {
		port = host[at+1:]
	}
	switch port {
	case commonPort:
		return a.common
	case a.port:
		return a.here
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port[0] == '0' {
		return a.here // no port at all: what the client wrote is not written back
	}
	return []string{altSvc(port)}
}
