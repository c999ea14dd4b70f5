package app_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"liuyun/internal/app"
	"liuyun/internal/base/secret"
	"liuyun/internal/kit/conf"
	"liuyun/internal/testkit"
)

const (
	referencePage = "../../docs/reference/config.md"
	sampleFile    = "../../docs/reference/liuyun.yaml"
)

func TestReferenceIsCurrent(t *testing.T) {
	page, err := conf.Reference(app.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	testkit.Golden(t, referencePage, page)

	sample, err := conf.Sample(app.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	testkit.Golden(t, sampleFile, sample)
}

// The sample file, loaded over an empty configuration, gives the defaults.
func TestSampleFileEqualsTheDefaults(t *testing.T) {
	got, err := conf.Load(app.Config{}, conf.Sources{File: sampleFile})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(app.DefaultConfig(), got, cmpopts.EquateComparable(secret.Text{})); diff != "" {
		t.Errorf("sample file (-defaults +sample):\n%s", diff)
	}
}
