package docs

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"liuyun/internal/contract/edge"
	"liuyun/internal/edge/rule"
	"liuyun/internal/testkit"
)

// Sites and rules in the guide of edges are ones that edges take.
func TestSitesOfTheGuide(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(testkit.Root(t), "docs", "guide", "edge.md"))
	if err != nil {
		t.Fatal(err)
	}
	sites := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	rules := regexp.MustCompile("`({\"path\".*?})`").FindAllStringSubmatch(string(text), -1)
	if len(sites) == 0 || len(rules) == 0 {
		t.Fatalf("the guide has %d sites and %d rules", len(sites), len(rules))
	}
	for _, m := range sites {
		var s edge.Settings
		read(t, m[1], &s)
		if _, err := rule.Compile(s.Rules); err != nil {
			t.Errorf("%v in\n%s", err, m[1])
		}
	}
	for _, m := range rules {
		var one edge.Rule
		read(t, m[1], &one)
		if _, err := rule.Compile([]edge.Rule{one}); err != nil {
			t.Errorf("%v in %s", err, m[1])
		}
	}
}

// read reads JSON in which each field is one of into.
func read(t *testing.T, text string, into any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Errorf("%v in\n%s", err, text)
	}
}
