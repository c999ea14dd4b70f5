#!/usr/bin/env bash
# fuzz.sh TIME: run each fuzz target of the module for TIME. What they find lies
# in the package's testdata/fuzz: commit it with the fix.
set -euo pipefail
cd "$(dirname "$0")/.."
time=$1

status=0
while IFS=: read -r file target; do
  echo "== $target in $(dirname "$file")"
  go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "./$(dirname "$file")" || status=1
done < <(grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' cmd internal | sed 's/:func /:/' | sort)
exit $status
