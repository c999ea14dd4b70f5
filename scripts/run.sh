#!/usr/bin/env bash
# run.sh [FILE]: start the whole cloud with its data in run/data, say where it is
# and with which key, and give it FILE; the first time, when no file is named, a
# shared clip or one that ffmpeg makes. Ctrl-C stops it. LISTEN chooses the address.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p run

pick() {
  local media="${LIUYUN_SHARED:-../shared}/media" clip
  for clip in animation/bbb_480p24_30s_6ch.mp4 people_motion/woman_dog_720p2997_10s.mp4; do
    if [ -f "$media/$clip" ]; then
      echo "$media/$clip"
      return
    fi
  done
  if [ ! -f run/clip.mp4 ]; then
    ffmpeg -nostdin -loglevel error -f lavfi -i testsrc2=size=1280x720:rate=25:duration=20 \
      -f lavfi -i 'sine=frequency=440:duration=20' -c:v libx264 -preset veryfast -pix_fmt yuv420p -c:a aac \
      -y run/making.mp4
    mv run/making.mp4 run/clip.mp4
  fi
  echo run/clip.mp4
}

new=true
[ ! -e run/data/FORMAT ] || new=false

mkfifo run/ready.$$
trap 'rm -f run/ready.$$' EXIT
bin/liuyun serve --data run/data --listen "${LISTEN:-127.0.0.1:8080}" 2> >(grep -v '^Sign in with' >&2) > run/ready.$$ &
server=$!
exec 3< run/ready.$$
if ! read -r _ address <&3; then
  wait "$server"
  exit
fi
trap 'kill -TERM "$server" 2>/dev/null' INT TERM

echo
echo "  Liuyun   $address"
echo "  key      $(cat run/data/admin.key)"
echo
echo "Ctrl-C stops it; the data stay in run/data."
if [ -n "${1-}" ] || $new; then
  bin/liuyun upload "${1-$(pick)}" --server "$address" --key-file run/data/admin.key
fi
if [ -n "${DISPLAY-}${WAYLAND_DISPLAY-}" ] && command -v xdg-open >/dev/null; then
  xdg-open "$address" >/dev/null 2>&1 || true
fi
# A signal ends the first wait, and the server needs a moment after it.
while kill -0 "$server" 2>/dev/null; do wait "$server" && status=0 || status=$?; done
exit "${status:-0}"
