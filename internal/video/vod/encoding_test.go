package vod

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"liuyun/internal/base/fault"
	"liuyun/internal/contract/encode"
	"liuyun/internal/kit/guard"
	"liuyun/internal/kit/store"
)

// What was written of shots is told, and what is not there is not.
func TestEncoding(t *testing.T) {
	t.Parallel()
	s := newTestService(t)
	id := s.begin(t)
	ctx := guard.With(t.Context(), guard.Principal{Tenant: testTenant})
	ask := func() (Encoding, error) {
		out, err := s.apiEncoding(ctx, &AssetPath{ID: id})
		if err != nil {
			return Encoding{}, err
		}
		return out.Body, nil
	}
	if _, err := ask(); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("of an asset that is not ready: %v", err)
	}
	const prefix = "assets/x/"
	err := s.DB.Write(t.Context(), func(tx *store.Tx) error {
		a, err := anyAsset(tx, id)
		if err != nil {
			return err
		}
		a.Status, a.Result = Ready, &encode.Result{Prefix: prefix, Duration: 9.5}
		return saveAsset(tx, a)
	})
	if err != nil {
		t.Fatal(err)
	}
	empty := Encoding{Shots: []EncodedShot{}, Renditions: []EncodedRendition{}}
	for _, test := range []struct {
		report string
		want   Encoding
	}{
		{"", empty}, // none is there
		{`{"version":1,"plan":{"shots":2},"renditions":[{"id":"h264-720p"}]}`, empty},
		{
			`{"version":1,"plan":{"shots":1,"shot_starts_s":[0,4.25]},"renditions":[{"id":"h264-720p","shot_bytes":[100,70]},{"id":"odd","shot_bytes":[1]}]}`,
			Encoding{Shots: []EncodedShot{{0, 4.25}, {4.25, 9.5}}, Renditions: []EncodedRendition{{"h264-720p", []int64{100, 70}}}},
		},
	} {
		s.put(t, prefix+encode.ReportName, test.report)
		got, err := ask()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.report, diff)
		}
	}
	s.put(t, prefix+encode.ReportName, `{"plan":`)
	if _, err := ask(); fault.CodeOf(err) != fault.Internal {
		t.Errorf("of a broken report: %v", err)
	}
	if _, err := s.apiEncoding(guard.With(t.Context(), guard.Principal{Tenant: "ten_other"}), &AssetPath{ID: id}); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("to another tenant: %v", err)
	}
}

// put stores an object; "" stores none.
func (s *Service) put(t *testing.T, name, text string) {
	t.Helper()
	if text == "" {
		return
	}
	if _, err := s.Blob.Put(context.WithoutCancel(t.Context()), name, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
}
