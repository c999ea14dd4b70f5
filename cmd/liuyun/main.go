// Command liuyun turns video into adaptive streams; see internal/cli.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"liuyun/internal/cli"
)

// version is set by the linker.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C kills at once
	os.Exit(cli.Main(ctx, cli.Process(version)))
}
