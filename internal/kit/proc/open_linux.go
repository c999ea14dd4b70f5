package proc

import (
	"context"
	"errors"
	"os/exec"
)

// errNoBrowser says that there is no desktop to open anything on.
var errNoBrowser = errors.New("no desktop was found")

// Open shows address with the desktop's own program. It does not wait for that
// program to end.
func Open(ctx context.Context, address string) error {
	opener, err := exec.LookPath("xdg-open")
	if err != nil {
		return errNoBrowser
	}
	return exec.CommandContext(ctx, opener, address).Run()
}
