#!/usr/bin/env bash
# mediamtx.sh VERSION OUTPUT: build MediaMTX, which the benchmarks of live compare
# with, from its module as Go's proxy has it. Two files that it embeds are fetched by
# its own generators and so are not in the module: its version, and hls.js for its
# page, for which ours stands in. Nothing of it is kept but the program.
set -euo pipefail
version=$1
output=$(realpath -m "$2")
root=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Away from our go.mod, and from settings for it.
cd "$scratch"
export GOFLAGS=-buildvcs=false
module=$(go mod download -json "github.com/bluenviron/mediamtx@$version" | sed -n 's/^\t"Dir": "\(.*\)",\?$/\1/p')
cp -r "$module" source
chmod -R u+w source
echo "$version" > source/internal/core/VERSION
cp "$root/test/e2e/node_modules/hls.js/dist/hls.min.js" source/internal/servers/hls/
go build -C source -trimpath -ldflags '-s -w' -o "$output" .
