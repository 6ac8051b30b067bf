#!/usr/bin/env bash
# Makes a video with speech: a moving test picture, and the sound of an audio file (by default the demo model's sample).
set -euo pipefail

if (($# < 1 || $# > 2)) || [[ $1 == -* ]]; then
  echo "usage: make-video.sh OUT.mp4 [AUDIO]" >&2
  exit 2
fi
out=$1
audio=${2:-$(dirname "$0")/../whisper-job-image/model/sample-25s.flac}
command -v ffmpeg >/dev/null || { echo "make-video: please install ffmpeg" >&2; exit 1; }
[[ -s $audio ]] || { echo "make-video: $audio is no file, or it is empty" >&2; exit 1; }

ffmpeg -nostdin -v error -y -f lavfi -i testsrc2=size=320x180:rate=10 -i "$audio" -map 0:v -map 1:a -shortest \
  -c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac -b:a 96k -movflags +faststart "$out"
echo "$out" >&2
