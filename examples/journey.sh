#!/usr/bin/env bash
# From a video to its words over the REST API: the requests that a browser front end sends, in curl and jq.
# Standard output gets the words alone; what happens meanwhile is told on standard error.
set -euo pipefail

API=${API:-http://127.0.0.1:8080}
BASE=$API/api/upload-video

usage() {
  cat <<'TEXT'
usage: journey.sh [--client-id[=ID]] [--timeout SECONDS] FILE

Uploads a video or audio file, has it transcribed and prints the words.
  --client-id[=ID]   choose the job's id here (a new UUID unless ID is given) and start with process-video;
                     without it the server chooses the id: request-process
  --timeout SECONDS  give up watching after so long (default 3600); the job goes on
The API is the environment variable API, by default http://127.0.0.1:8080.
TEXT
}

say() { echo "$*" >&2; }
fail() { say "journey: $*"; exit 1; }

# One request with a JSON answer. A refusal ends the script with what the server said; a restarting server is waited for.
request() {
  local method=$1 path=$2 body=${3:-} repeats=5 tries code
  # An error may hide a job that was made all the same: sent again, this request would make a second one.
  [[ $path != /request-process ]] || repeats=0
  for ((tries = 0; tries < 15; tries++)); do
    code=0
    : >"$answer_file"
    # To a file, because a request that is repeated would write each of its answers to standard output.
    curl --silent --show-error --retry "$repeats" --fail-with-body --max-time 60 --output "$answer_file" \
      --request "$method" ${body:+--header 'Content-Type: application/json' --data "$body"} "$BASE$path" || code=$?
    ((code == 7)) || break  # 7: the connection was refused, so nothing was sent
    sleep 2
  done
  ((code == 0)) || fail "$method $path was refused: $(sentence_of "$(<"$answer_file")")"
  cat "$answer_file"
}

# The sentence for people in an error answer, or the answer itself where there is none.
sentence_of() {
  [[ $1 ]] || { echo "no answer"; return; }
  jq --raw-output '[.error?.message?, .message?, .detail?, .title?] | map(select(type == "string")) | first // error' \
    <<<"$1" 2>/dev/null || echo "$1"
}

content_type_of() {
  case ${1,,} in
    *.mp4 | *.m4v) echo video/mp4 ;;
    *.mov) echo video/quicktime ;;
    *.webm) echo video/webm ;;
    *.mkv) echo video/x-matroska ;;
    *.mp3) echo audio/mpeg ;;
    *.m4a) echo audio/mp4 ;;
    *.wav) echo audio/wav ;;
    *.flac) echo audio/flac ;;
    *.ogg | *.opus) echo audio/ogg ;;
    *) fail "$1: name it .mp4, .mov, .webm, .mkv, .mp3, .m4a, .wav, .flac, .ogg or .opus" ;;
  esac
}

# Sets video_url.
upload() {
  local type answer upload_url
  type=$(content_type_of "$file")
  answer=$(request POST /generate-url \
    "$(jq --null-input --arg name "${file##*/}" --arg type "$type" '{filename: $name, content_type: $type}')")
  upload_url=$(jq --raw-output .upload_url <<<"$answer")
  video_url=$(jq --raw-output .video_url <<<"$answer")
  say "uploading $file ($type)"
  # The URL is signed for this content type: another one is refused.
  curl --silent --show-error --fail-with-body --globoff --output /dev/null \
    --header "Content-Type: $type" --upload-file "$file" "$upload_url" ||
    fail "the storage refused the file"
}

# Sets job_id.
start() {
  local answer
  if [[ $client_id ]]; then
    answer=$(request POST /process-video \
      "$(jq --null-input --arg id "$client_id" --arg url "$video_url" '{job_id: $id, video_url: $url}')")
  else
    answer=$(request POST /request-process "$(jq --null-input --arg url "$video_url" '{video_url: $url}')")
  fi
  job_id=$(jq --raw-output .job_id <<<"$answer")
  say "job $job_id"
}

# "transcribing 40 % (12 of 30 s of audio)", as far as it is known.
describe() {
  jq --raw-output '"\(.stage // .status) \(.progress // 0) %" +
    if .audio_seconds_total
    then " (\(.audio_seconds_done // 0 | floor) of \(.audio_seconds_total | floor) s of audio)" else "" end' <<<"$1"
}

watch_until_final() {
  local answer line shown=
  while ((SECONDS < timeout)); do
    answer=$(request GET "/status/$job_id")
    case $(jq --raw-output .status <<<"$answer") in
      completed) return ;;
      failed | cancelled) fail "the job ended as $(jq --raw-output .status <<<"$answer"): $(sentence_of "$answer")" ;;
    esac
    line=$(describe "$answer")
    [[ $line == "$shown" ]] || say "$line"
    shown=$line
    sleep 1
  done
  fail "not done within $timeout s; it goes on: $BASE/status/$job_id"
}

file= client_id= timeout=3600
while (($#)); do
  case $1 in
    --client-id) client_id=$(</proc/sys/kernel/random/uuid) ;;
    --client-id=?*) client_id=${1#*=} ;;
    --timeout) timeout=${2:?--timeout needs seconds}; shift ;;
    -h | --help) usage; exit ;;
    -*) usage >&2; exit 2 ;;
    *) [[ -z $file ]] || { usage >&2; exit 2; }; file=$1 ;;
  esac
  shift
done
[[ $file ]] || { usage >&2; exit 2; }
[[ -s $file ]] || fail "$file is no file, or it is empty"
for program in curl jq; do command -v "$program" >/dev/null || fail "please install $program"; done
curl --silent --fail --max-time 10 --output /dev/null "$API/health" ||
  fail "no API answers at $API: start it (make up), or set API to where it is"

answer_file=$(mktemp)
trap 'rm -f "$answer_file"' EXIT
upload
start
watch_until_final
request GET "/result/$job_id" | jq --raw-output '.text | sub("^\\s+"; "")'
