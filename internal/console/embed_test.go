package console

import "testing"

func TestPlayable(t *testing.T) {
	t.Parallel()
	const asset, stream = "ast_00000000000000000000000001", "str_00000000000000000000000001"
	for name, want := range map[string]bool{
		asset: true, stream: true, "~token/" + asset: true, "~token/" + stream: true,
		"~/" + stream: false, "~token": false, stream + "/x": false, "key_00000000000000000000000001": false, "": false,
	} {
		if got := playable(name); got != want {
			t.Errorf("%q: %t, want %t", name, got, want)
		}
	}
}
