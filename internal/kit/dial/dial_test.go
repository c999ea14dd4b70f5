package dial

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"liuyun/internal/base/fault"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	g, err := New([]string{"10.1.0.0/16", "192.168.7.7", "fd00:1::/32"})
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{"8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "223.255.255.255",
		"2606:4700::1111", "2a00:1450::1", "10.1.2.3", "192.168.7.7", "::ffff:10.1.2.3", "fd00:1::5", "::ffff:8.8.8.8"}
	refused := []string{"0.0.0.0", "0.1.2.3", "10.2.0.1", "127.0.0.1", "127.9.9.9", "169.254.169.254", "172.16.0.1", "172.31.255.255",
		"192.168.1.1", "100.64.0.1", "100.127.255.255", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
		"224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
		"::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2001::1", "2001:db8::1", "3fff::1",
		"fc00::1", "fd00::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "100::1", "::ffff:0:7f00:1", "4000::1"}
	for _, ip := range allowed {
		if err := g.Check(netip.MustParseAddr(ip)); err != nil {
			t.Errorf("%s: %v", ip, err)
		}
	}
	for _, ip := range refused {
		if err := g.Check(netip.MustParseAddr(ip)); fault.CodeOf(err) != fault.Forbidden {
			t.Errorf("%s: got %v, want forbidden", ip, err)
		}
	}
}

func TestCheckHost(t *testing.T) {
	t.Parallel()
	for host, allow := range map[string]string{
		"127.0.0.1": "10.1.0.0/16", "::1": "10.1.0.0/16", "10.2.0.1": "10.1.0.0/16", "fe80::1%eth0": "10.1.0.0/16",
		"localhost": "10.1.0.0/16", "LOCALHOST.": "10.1.0.0/16", "a.localhost": "localhost",
	} {
		if g, err := New([]string{allow}); err != nil || fault.CodeOf(g.CheckHost(host)) != fault.Forbidden {
			t.Errorf("%s is not refused where %s is allowed (%v)", host, allow, err)
		}
	}
	for host, allow := range map[string]string{
		"8.8.8.8": "10.1.0.0/16", "10.1.2.3": "10.1.0.0/16", "example.com": "10.1.0.0/16", "": "10.1.0.0/16",
		"localhost": "127.0.0.0/8", "LocalHost": "localhost", "a.localhost": "::1",
	} {
		g, err := New([]string{allow})
		if err != nil {
			t.Fatal(err)
		}
		if err := g.CheckHost(host); err != nil {
			t.Errorf("%s where %s is allowed: %v", host, allow, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, item := range []string{"", "10.0.0.0/33", "http://x", "*.example", "a b", "x:80", "fe80::1%eth0"} {
		if _, err := New([]string{item}); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%q: got %v, want invalid", item, err)
		}
	}
}

// Names are resolved before they are judged, and redirects are judged too.
func TestTransport(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "http://127.0.0.2:1/", http.StatusFound)
		}
	}))
	defer server.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	get := func(allow []string, url string) error {
		g, err := New(allow)
		if err != nil {
			t.Fatal(err)
		}
		transport := g.Transport()
		defer transport.CloseIdleConnections()
		request, err := http.NewRequestWithContext(context.Background(), "GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := (&http.Client{Transport: transport}).Do(request)
		if err == nil {
			response.Body.Close()
		}
		return err
	}
	for _, url := range []string{server.URL, "http://localhost:" + port, "http://[::ffff:127.0.0.1]:" + port, "http://2130706433:" + port} {
		if err := get(nil, url); err == nil {
			t.Errorf("%s was called", url)
		}
	}
	if err := get([]string{"127.0.0.1"}, server.URL); err != nil {
		t.Errorf("an allowed address: %v", err)
	}
	if err := get([]string{"localhost"}, "http://LOCALHOST:"+port); err != nil {
		t.Errorf("an allowed name: %v", err)
	}
	if err := get([]string{"127.0.0.1"}, server.URL+"/away"); fault.CodeOf(err) != fault.Forbidden {
		t.Errorf("a redirect: got %v, want forbidden", err)
	}
}

func FuzzGuard(f *testing.F) {
	for _, seed := range []string{"127.0.0.1:80", "[::1]:443", "[::ffff:10.0.0.1]:1", "x:1", "[fe80::1%a]:1", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		if (&Guard{}).Control("tcp", address, nil) != nil {
			return
		}
		ip := netip.MustParseAddrPort(address).Addr().Unmap()
		if ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() || !ip.IsGlobalUnicast() {
			t.Errorf("%s may be called", address)
		}
	})
}
