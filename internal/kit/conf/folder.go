package conf

import (
	"path/filepath"
	"strings"

	"liuyun/internal/base/fault"
)

// program names our folder below those of the XDG Base Directory Specification.
const program = "liuyun"

// ConfigFolder returns where a user's settings for this program lie; it may not
// exist. environ is a list of NAME=value, as [Environ] returns.
func ConfigFolder(environ []string) (string, error) {
	return userFolder(environ, "XDG_CONFIG_HOME", ".config")
}

// DataFolder returns where what this program keeps for a user lies.
func DataFolder(environ []string) (string, error) {
	return userFolder(environ, "XDG_DATA_HOME", ".local/share")
}

// StateFolder returns where this program notes for a user how far it came.
func StateFolder(environ []string) (string, error) {
	return userFolder(environ, "XDG_STATE_HOME", ".local/state")
}

func userFolder(environ []string, variable, below string) (string, error) {
	// The specification: a path that is not absolute does not count.
	if folder := lookup(environ, variable); filepath.IsAbs(folder) {
		return filepath.Join(folder, program), nil
	}
	if home := lookup(environ, "HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, filepath.FromSlash(below), program), nil
	}
	return "", fault.New(fault.Invalid, "there is no home folder: neither %s nor HOME is set", variable)
}

// lookup returns the last value of a variable, or "".
func lookup(environ []string, name string) (value string) {
	for _, entry := range environ {
		if n, v, _ := strings.Cut(entry, "="); n == name {
			value = v
		}
	}
	return value
}
