package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestTextIsNotShown(t *testing.T) {
	t.Parallel()
	type holder struct {
		Key  Text
		Many []Text
	}
	h := holder{Key: New("hunter2"), Many: []Text{New("hunter2")}}
	var out bytes.Buffer
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		fmt.Fprintf(&out, format+"\n", h.Key)
		fmt.Fprintf(&out, format+"\n", h)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", h.Key, "all", h)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "key", h.Key, "all", h)
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(text)
	if strings.Contains(out.String(), "hunter2") || strings.Contains(out.String(), fmt.Sprintf("%x", "hunter2")) {
		t.Errorf("the secret is shown:\n%s", &out)
	}
	if h.Key.Reveal() != "hunter2" {
		t.Errorf("got %q, want the secret", h.Key.Reveal())
	}
}

func TestTextReadsItself(t *testing.T) {
	t.Parallel()
	var got Text
	if err := got.UnmarshalText([]byte("hunter2")); err != nil {
		t.Fatal(err)
	}
	if got.Reveal() != "hunter2" || got.Empty() || !(Text{}).Empty() || (Text{}).String() != "" {
		t.Errorf("got %q, empty %t", got.Reveal(), got.Empty())
	}
}
