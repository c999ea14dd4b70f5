package guard

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// A certificate whose files change is replaced within ten seconds; files that
// cannot be read leave the old one in use, and are told.
func TestFilesThatChange(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	ca, err := OpenCA(folder)
	if err != nil {
		t.Fatal(err)
	}
	certPath, keyPath := filepath.Join(folder, "a.crt"), filepath.Join(folder, "a.key")
	synctest.Test(t, func(t *testing.T) {
		write := func() *tls.Certificate {
			made, err := ca.newServer(nil)
			if err != nil {
				t.Fatal(err)
			}
			key, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
			if err != nil {
				t.Fatal(err)
			}
			for path, text := range map[string][]byte{certPath: pemOf(made.Certificate[0]), keyPath: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})} {
				if err := os.WriteFile(path, text, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chtimes(path, time.Now(), time.Now()); err != nil {
					t.Fatal(err)
				}
			}
			return made
		}
		first := write()
		problems := 0
		config, err := FileTLS(certPath, keyPath, func(error) { problems++ })
		if err != nil {
			t.Fatal(err)
		}
		shown := func(want *tls.Certificate, when string) {
			t.Helper()
			if got, err := config.GetCertificate(nil); err != nil || !got.Leaf.Equal(want.Leaf) {
				t.Errorf("%s: another certificate, %v", when, err)
			}
		}
		time.Sleep(5 * time.Second)
		second := write()
		shown(first, "too soon to look")
		time.Sleep(6 * time.Second)
		shown(second, "after ten seconds")
		time.Sleep(time.Minute)
		if err := os.WriteFile(certPath, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(certPath, time.Now(), time.Now()); err != nil {
			t.Fatal(err)
		}
		shown(second, "broken")
		if problems != 1 {
			t.Errorf("told of %d problems, want 1", problems)
		}
	})
}

// The certificate of a listener is made anew before it ends.
func TestServerCertificateIsRenewed(t *testing.T) {
	t.Parallel()
	ca, err := OpenCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ca := *ca
		ca.cert.NotAfter = time.Now().Add(caLife) // synctest's time begins in 2000
		get := ca.Server()
		first, _ := get(nil)
		time.Sleep(40 * 24 * time.Hour)
		if again, _ := get(nil); again != first {
			t.Error("renewed too early")
		}
		time.Sleep(10 * 24 * time.Hour)
		if again, err := get(nil); err != nil || again == first || !again.Leaf.NotAfter.After(first.Leaf.NotAfter) {
			t.Errorf("not renewed: %v", err)
		}
	})
}
