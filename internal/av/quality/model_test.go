package quality

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"testing"

	"liuyun/internal/testkit"
)

// tiny is a model of one feature and one vector, with changes to its fields.
func tiny(t testing.TB, changes map[string]any) []byte {
	t.Helper()
	fields := map[string]any{
		"model_type": "LIBSVMNUSVR", "norm_type": "linear_rescale",
		"feature_names": []string{"VMAF_integer_feature_adm2_score"},
		"slopes":        []float64{0.5, 2}, "intercepts": []float64{0.25, -1},
		"model": "svm_type nu_svr\nkernel_type rbf\ngamma 1\nnr_class 2\ntotal_sv 1\nrho -0.5\nSV\n2 1:0.5 \n",
	}
	for name, value := range changes {
		if value == nil {
			delete(fields, name)
			continue
		}
		fields[name] = value
	}
	data, err := json.Marshal(map[string]any{"model_dict": fields})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestModelScores(t *testing.T) {
	t.Parallel()
	plain := (2*math.Exp(-0.25*0.25) + 0.5 - 0.25) / 0.5 // with ADM2 = 0.875, x = 0.75
	for _, c := range []struct {
		name    string
		changes map[string]any
		want    float64
	}{
		{"as it is", nil, plain},
		{"clipped", map[string]any{"score_clip": []float64{0, 3}}, 3},
		{"a transform that is not enabled", map[string]any{"score_transform": map[string]any{"p0": 7}}, plain},
		{"a polynomial", map[string]any{"score_transform": map[string]any{"enabled": true, "p0": 1, "p1": 0.5, "p2": 0.25}},
			1 + plain/2 + plain*plain/4},
		{"never lower", map[string]any{"score_transform": map[string]any{"enabled": true, "p1": 0.5, "out_gte_in": "true"}}, plain},
		{"never higher", map[string]any{"score_transform": map[string]any{"enabled": true, "p1": 1.5, "out_lte_in": "true"}}, plain},
		{"knots", map[string]any{"score_transform": map[string]any{"enabled": true, "knots": [][]float64{{0, 0}, {2, 10}, {4, 10}}}}, 10},
		{"beyond the last knot", map[string]any{"score_transform": map[string]any{"enabled": true, "knots": [][]float64{{0, 0}, {1, 10}, {2, 11}}}}, 10 + (plain - 1)},
	} {
		m, err := ParseModel(tiny(t, c.changes))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		within(t, c.name, m.Score(Features{ADM2: 0.875}), c.want, 1e-9)
	}
}

func TestModelsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, changes := range map[string]map[string]any{
		"another kind":         {"model_type": "RANDOMFOREST"},
		"an unknown feature":   {"feature_names": []string{"Cambi_feature_cambi_score"}},
		"no features":          {"feature_names": []string{}},
		"too few slopes":       {"slopes": []float64{1}},
		"a slope of 0":         {"slopes": []float64{0, 1}},
		"an unknown option":    {"feature_opts_dicts": []map[string]float64{{"adm_csf_mode": 2}}},
		"a limit below 1":      {"feature_opts_dicts": []map[string]float64{{"adm_enhn_gain_limit": 0}}},
		"no vectors":           {"model": "svm_type nu_svr\n"},
		"another kernel":       {"model": "svm_type nu_svr\nkernel_type linear\ngamma 1\ntotal_sv 1\nrho 0\nSV\n1 1:1\n"},
		"fewer than it says":   {"model": "svm_type nu_svr\nkernel_type rbf\ngamma 1\ntotal_sv 2\nrho 0\nSV\n1 1:1\n"},
		"more than it says":    {"model": "svm_type nu_svr\nkernel_type rbf\ngamma 1\ntotal_sv 1\nrho 0\nSV\n1 1:1\n1 1:1\n"},
		"an entry out of line": {"model": "svm_type nu_svr\nkernel_type rbf\ngamma 1\ntotal_sv 1\nrho 0\nSV\n1 2:1\n"},
		"no number":            {"model": "svm_type nu_svr\nkernel_type rbf\ngamma NaN\ntotal_sv 1\nrho 0\nSV\n1 1:1\n"},
		"a clip of one":        {"score_clip": []float64{1}},
		"knots that fall":      {"score_transform": map[string]any{"enabled": true, "knots": [][]float64{{0, 5}, {1, 0}}}},
	} {
		if _, err := ParseModel(tiny(t, changes)); !errors.Is(err, ErrModel) {
			t.Errorf("%s: %v, want ErrModel", name, err)
		}
	}
	if _, err := ParseModel(make([]byte, maxModelBytes+1)); !errors.Is(err, ErrModel) {
		t.Errorf("too many bytes: %v, want ErrModel", err)
	}
}

// The published models, and the one of 2026 that needs what is not here.
func TestPublishedModels(t *testing.T) {
	t.Parallel()
	for name, neg := range map[string]bool{
		"vmaf_v0.6.1.json": false, "vmaf_v0.6.1neg.json": true, "vmaf_4k_v0.6.1.json": false, "vmaf_4k_v0.6.1neg.json": true,
	} {
		m := readModel(t, name)
		if m.NEG() != neg {
			t.Errorf("%s: NEG is %t", name, m.NEG())
		}
		// A perfect still picture.
		f := Features{ADM2: 1, VIF: [4]float64{1, 1, 1, 1}}
		if score := m.Score(f); score < 95 || score > 100 {
			t.Errorf("%s: %.3f for a perfect picture", name, score)
		}
	}
	data, err := os.ReadFile(testkit.Shared(t, "vmaf/vmaf_v1.0.16_3d0h.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseModel(data); !errors.Is(err, ErrModel) {
		t.Errorf("v1.0.16: %v, want ErrModel", err)
	}
}

// Whatever the bytes, a model is refused or gives a number in bounded time.
func FuzzParseModel(f *testing.F) {
	f.Add(tiny(f, nil))
	f.Add(tiny(f, map[string]any{
		"score_clip":         []float64{0, 100},
		"feature_opts_dicts": []map[string]float64{{"adm_enhn_gain_limit": 1}},
		"score_transform":    map[string]any{"enabled": true, "p0": 1, "p1": 2, "p2": 3, "knots": [][]float64{{0, 0}, {1, 1}}, "out_gte_in": "true"},
	}))
	f.Add([]byte(`{"model_dict":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseModel(data)
		if err != nil {
			if !errors.Is(err, ErrModel) {
				t.Errorf("%v does not wrap ErrModel", err)
			}
			return
		}
		m.Score(Features{ADM2: 0.9, Motion: 3, Motion2: 2, VIF: [4]float64{0.5, 0.8, 0.9, 1}})
	})
}
