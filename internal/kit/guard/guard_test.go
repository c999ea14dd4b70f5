package guard_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
	"liuyun/internal/kit/guard"
)

func pemText(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func secret(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func TestPrincipal(t *testing.T) {
	t.Parallel()
	if _, ok := guard.From(context.Background()); ok {
		t.Error("an empty context carries nobody")
	}
	want := guard.Principal{Tenant: "ten_1", Scopes: []string{guard.AssetsRead}}
	got, ok := guard.From(guard.With(context.Background(), want))
	if diff := cmp.Diff(want, got); diff != "" || !ok {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for scope, allowed := range map[string]bool{"": true, guard.AssetsRead: true, guard.AssetsWrite: false, guard.Admin: false} {
		if got.Allows(scope) != allowed {
			t.Errorf("scope %q: got %v", scope, !allowed)
		}
	}
	if !(guard.Principal{Scopes: []string{guard.Admin}}).Allows(guard.KeysWrite) {
		t.Error("admin allows everything")
	}
}

func TestSigner(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	s := guard.NewSigner(secret(1))
	token := s.Sign("ast_a", now.Add(time.Hour))
	if len(token) != 30 || strings.ContainsAny(token, "/+=%") {
		t.Errorf("got token %q, want 30 characters that may stand in a path", token)
	}
	flipped := []byte(token)
	flipped[20] ^= 1
	tests := []struct {
		name         string
		signer       *guard.Signer
		token, asset string
		now          time.Time
		want         string // in the error; "" for none
	}{
		{"good", s, token, "ast_a", now, ""},
		{"last second", s, token, "ast_a", now.Add(time.Hour - time.Second), ""},
		{"expired", s, token, "ast_a", now.Add(time.Hour), "expired at 2026-11-24T13:00:00Z"},
		{"another asset", s, token, "ast_b", now, "not signed here"},
		{"a longer name", s, token, "ast_aa", now, "not signed here"},
		{"changed", s, string(flipped), "ast_a", now, "not signed here"},
		{"empty", s, "", "ast_a", now, "not signed here"},
		{"long", s, strings.Repeat("a", 1000), "ast_a", now, "not signed here"},
		{"another secret", guard.NewSigner(secret(2)), token, "ast_a", now, "not signed here"},
		{"after a rotation", guard.NewSigner(secret(2), secret(1)), token, "ast_a", now, ""},
	}
	for _, test := range tests {
		err := test.signer.Verify(test.token, test.asset, test.now)
		if (err == nil) != (test.want == "") || err != nil && (!strings.Contains(err.Error(), test.want) || fault.CodeOf(err) != fault.Forbidden) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
	if s.Sign("ast_a", now) == s.Sign("ast_a", now.Add(time.Second)) {
		t.Error("the end is not signed")
	}
}

// Only what was signed is accepted, in one spelling.
func FuzzVerify(f *testing.F) {
	now := time.Unix(1_800_000_000, 0)
	s := guard.NewSigner(secret(1))
	good := s.Sign("ast_a", now.Add(time.Hour))
	f.Add(good, "ast_a")
	f.Add(good[:29]+"_", "ast_a")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, token, asset string) {
		if s.Verify(token, asset, now) == nil && (token != good || asset != "ast_a") {
			t.Errorf("accepted %q for %q", token, asset)
		}
	})
}

func TestJoinToken(t *testing.T) {
	t.Parallel()
	want := guard.JoinToken{Addresses: []string{"10.0.0.1:7443", "[::1]:7443"}, CA: secret(7), Credential: guard.NewCredential()}
	got, err := guard.ParseJoinToken(" " + want.String() + "\n")
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if a, b := guard.CredentialHash(want.Credential), guard.CredentialHash(guard.NewCredential()); a == b || len(a) != 64 {
		t.Errorf("hashes %s and %s", a, b)
	}
	short := want
	short.Credential = short.Credential[:8]
	odd := want
	odd.Addresses = []string{"no port"}
	for _, bad := range []string{"", "lyk_abc", want.String()[4:], want.String()[:50], short.String(), odd.String(), "lyj_" + strings.Repeat("A", 1<<20)} {
		if _, err := guard.ParseJoinToken(bad); fault.CodeOf(err) != fault.Invalid || strings.Contains(err.Error(), "AAAA") {
			t.Errorf("%.20q: got %v", bad, err)
		}
	}
}

func FuzzParseJoinToken(f *testing.F) {
	f.Add(guard.JoinToken{Addresses: []string{"a:1"}, CA: secret(1), Credential: secret(2)}.String())
	f.Add("lyj_")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := guard.ParseJoinToken(text)
		if err != nil {
			return
		}
		again, err := guard.ParseJoinToken(token.String())
		if diff := cmp.Diff(token, again); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
	})
}

func openCA(t *testing.T) (*guard.CA, string) {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "certs")
	ca, err := guard.OpenCA(folder)
	if err != nil {
		t.Fatal(err)
	}
	return ca, folder
}

// The authority is made once, its key is for nobody else, and half of it is not
// replaced.
func TestCAIsKept(t *testing.T) {
	t.Parallel()
	ca, folder := openCA(t)
	again, err := guard.OpenCA(folder)
	if err != nil || !bytes.Equal(ca.Hash(), again.Hash()) {
		t.Fatalf("opened again it is another: %v", err)
	}
	key := filepath.Join(folder, "ca.key")
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("ca.key: %v, %v", info.Mode(), err)
	}
	if lines := ca.Instructions(); !strings.Contains(lines[0], ca.Path()) || lines[1] == "" {
		t.Errorf("got %q", lines)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if _, err := guard.OpenCA(folder); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("without its key: got %v", err)
	}
}

// listen serves HTTPS and answers with the node that asks.
func listen(t *testing.T, config *tls.Config) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		node, _ := guard.PeerNode(r.TLS)
		w.Header().Set("Node", node)
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.Listener = tls.NewListener(server.Listener, config)
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func get(address string, config *tls.Config) (*http.Response, error) {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	defer client.CloseIdleConnections()
	answer, err := client.Get("https://" + address)
	if err == nil {
		answer.Body.Close()
	}
	return answer, err
}

// identity joins a node to ca.
func identity(t *testing.T, ca *guard.CA, node, folder string) *guard.Identity {
	t.Helper()
	key, request, err := guard.NewRequest()
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := ca.SignNode(request, node)
	if err != nil {
		t.Fatal(err)
	}
	id, err := guard.SaveIdentity(folder, key, certificate, ca.PEM())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// A node knows its control node by the token's hash alone, and is known by its
// certificate afterwards.
func TestNodeTLS(t *testing.T) {
	t.Parallel()
	ca, _ := openCA(t)
	other, _ := openCA(t)
	address := listen(t, guard.NodeTLS(ca.Server(guard.ControlName), ca.Pool()))
	if _, err := get(address, guard.PinnedTLS(ca.Hash())); err != nil {
		t.Errorf("pinned: %v", err)
	}
	if _, err := get(address, guard.PinnedTLS(other.Hash())); err == nil || !strings.Contains(err.Error(), "made the join token") {
		t.Errorf("pinned to another authority: %v", err)
	}
	impostor := listen(t, guard.NodeTLS(ca.Server(), ca.Pool())) // a certificate of the CA, but not a control node's
	if _, err := get(impostor, guard.PinnedTLS(ca.Hash())); err == nil {
		t.Error("any certificate of the authority passes for a control node")
	}
	folder := t.TempDir()
	id := identity(t, ca, "nod_1", folder)
	opened, err := guard.OpenIdentity(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, who := range []*guard.Identity{id, opened} {
		answer, err := get(address, who.ClientTLS())
		if err != nil {
			t.Fatal(err)
		}
		if got := answer.Header.Get("Node"); got != "nod_1" || who.Node() != "nod_1" {
			t.Errorf("the listener sees node %q", got)
		}
	}
	if _, err := get(address, identity(t, other, "nod_1", t.TempDir()).ClientTLS()); err == nil {
		t.Error("a node of another authority is let in")
	}
	if id.Due(time.Now()) || !id.Due(time.Now().Add(15*24*time.Hour+2*time.Hour)) {
		t.Error("a node's certificate is renewed after half of its 30 days")
	}
	if info, _ := os.Stat(filepath.Join(folder, "node.pem")); info.Mode().Perm() != 0o600 {
		t.Errorf("node.pem is %v", info.Mode())
	}
	if _, err := guard.OpenIdentity(t.TempDir()); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("no identity: %v", err)
	}
}

func TestReplaceIdentity(t *testing.T) {
	t.Parallel()
	ca, _ := openCA(t)
	address := listen(t, guard.NodeTLS(ca.Server(guard.ControlName), ca.Pool()))
	id := identity(t, ca, "nod_1", t.TempDir())
	key, request, err := guard.NewRequest()
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := ca.SignNode(request, "nod_2")
	if err == nil {
		err = id.Replace(key, certificate)
	}
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := get(address, id.ClientTLS()); err != nil || answer.Header.Get("Node") != "nod_2" {
		t.Errorf("the new certificate is not shown: %v", err)
	}
}

func TestSignNodeRefuses(t *testing.T) {
	t.Parallel()
	ca, _ := openCA(t)
	random := make([]byte, 100)
	rand.Read(random)
	for _, request := range [][]byte{nil, random, ca.PEM(), bytes.Repeat([]byte("a"), 1<<20)} {
		if _, err := ca.SignNode(request, "nod_1"); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("got %v", err)
		}
	}
}

// A certificate for people's browsers names what they type.
func TestServerNames(t *testing.T) {
	t.Parallel()
	ca, _ := openCA(t)
	certificate, err := ca.Server("video.example", "10.1.2.3", "")(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "video.example", "10.1.2.3"} {
		if err := certificate.Leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if certificate.Leaf.VerifyHostname("other.example") == nil {
		t.Error("it names what nobody asked for")
	}
}
