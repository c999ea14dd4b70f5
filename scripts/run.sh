#!/usr/bin/env bash
# run.sh [FILE]: encode FILE, a shared clip or one that ffmpeg makes, into run/
# and open it in the player. What is already encoded is not encoded again.
set -euo pipefail
cd "$(dirname "$0")/.."

pick() {
  local media="${LIUYUN_SHARED:-../shared}/media" clip
  for clip in animation/bbb_480p24_30s_6ch.mp4 people_motion/woman_dog_720p2997_10s.mp4; do
    if [ -f "$media/$clip" ]; then
      echo "$media/$clip"
      return
    fi
  done
  mkdir -p run
  if [ ! -f run/clip.mp4 ]; then
    ffmpeg -nostdin -loglevel error -f lavfi -i testsrc2=size=1280x720:rate=25:duration=20 \
      -f lavfi -i 'sine=frequency=440:duration=20' -c:v libx264 -preset veryfast -pix_fmt yuv420p -c:a aac \
      -y run/making.mp4
    mv run/making.mp4 run/clip.mp4
  fi
  echo run/clip.mp4
}

in=${1:-$(pick)}
name=$(basename "$in")
out="run/${name%.*}"
echo "$in -> $out"
bin/liuyun encode "$in" -o "$out"
exec bin/liuyun play "$out"
