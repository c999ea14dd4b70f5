package conf

import (
	"testing"

	"liuyun/internal/base/fault"
)

func TestUserFolders(t *testing.T) {
	t.Parallel()
	tests := []struct {
		environ []string
		want    string
	}{
		{[]string{"HOME=/h"}, "/h/.config/liuyun"},
		{[]string{"HOME=/h", "XDG_CONFIG_HOME=/c"}, "/c/liuyun"},
		{[]string{"HOME=/h", "XDG_CONFIG_HOME=c"}, "/h/.config/liuyun"},
		{[]string{"HOME=/g", "HOME=/h"}, "/h/.config/liuyun"},
		{[]string{"HOME="}, ""},
		{nil, ""},
	}
	for _, test := range tests {
		got, err := ConfigFolder(test.environ)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%q: got %q, %v, want %q", test.environ, got, err, test.want)
		}
		if err != nil && fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%q: got code %s", test.environ, fault.CodeOf(err))
		}
	}
	data, _ := DataFolder([]string{"HOME=/h"})
	state, _ := StateFolder([]string{"HOME=/h"})
	if data != "/h/.local/share/liuyun" || state != "/h/.local/state/liuyun" {
		t.Errorf("got %q and %q", data, state)
	}
}
