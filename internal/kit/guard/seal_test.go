package guard

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSeal(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "seal.key")
	open := func() *Seal {
		t.Helper()
		s, err := OpenSeal(path)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	sealed := s.Seal([]byte("sites"))
	if data, err := open().Open(sealed); err != nil || string(data) != "sites" {
		t.Errorf("after a restart: %q, %v", data, err)
	}
	for i := range sealed {
		changed := append([]byte{}, sealed...)
		changed[i] ^= 1
		if _, err := s.Open(changed); err == nil {
			t.Errorf("byte %d was changed, and it is believed", i)
		}
	}
	if _, err := s.Open(sealed[:10]); err == nil {
		t.Error("a part is believed")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open().Open(sealed); err == nil {
		t.Error("what another key has sealed is believed")
	}
}
