package id

import (
	"strings"
	"testing"
)

func TestNewIncreases(t *testing.T) {
	t.Parallel()
	var m Maker
	last := ""
	for range 10_000 {
		got := m.New("ast")
		if got <= last {
			t.Fatalf("%s follows %s", got, last)
		}
		if !Valid("ast", got) {
			t.Fatalf("%s is not valid", got)
		}
		last = got
	}
}

func TestValid(t *testing.T) {
	t.Parallel()
	var m Maker
	good := m.New("ast")
	for _, bad := range []string{"", "ast", "ast_", good + "0", good[:len(good)-1], "key" + good[3:], strings.ToUpper(good), good[:5] + "u" + good[6:], good[:5] + "/" + good[6:]} {
		if Valid("ast", bad) {
			t.Errorf("%q is valid", bad)
		}
	}
}
