#!/usr/bin/env bash
# The whole way from nothing to a portrait that speaks, on this machine; `flow.sh --help` tells how.
# Written for bash 3.2 too, which macOS has.
set -euo pipefail

usage() {
  cat <<'END'
usage: launch/flow.sh [OPTIONS] OUT

Makes people to train on, trains every stage on them in two processes, merges the stages to weights,
evaluates those and lets a portrait speak with them. Everything goes below OUT; each command is
shown before it is run, and can be copied. The same call goes on where an earlier one stopped.

  --size SIZE      of the model: smoke, lite or base; default smoke, which learns next to nothing
  --people N       how many are made; default 4
  --clips N        of each of them; default 2
  --corpus DIR     prepared clips, instead of making any
  --steps N        of every stage; default what the config says
  --processes N    that train together; default 2
  --port N         at which they find each other; default 8476
  --dry-run        shows every command and runs none

It uses the CPU unless JAX_PLATFORMS says otherwise. To be run in the repository's root, with
`facespeak` and its extras train, corpus and eval installed; `make flow` sees to both.
END
}

say() { echo "flow.sh: $*" >&2; }

misused() {
  say "$*"
  usage >&2
  exit 2
}

# The words as a shell would need them typed.
quoted() {
  local word separator=''
  for word in "$@"; do
    case $word in
      *[!A-Za-z0-9_./:=@%+,-]*) word="'$word'" ;; # none holds an apostrophe, see `check`
    esac
    printf '%s%s' "$separator" "$word"
    separator=' '
  done
}

# Shows a command, and runs it unless this is a dry run.
call() {
  quoted "$@"
  echo
  if [ -z "$DRY_RUN" ]; then "$@"; fi
}

prepare() {
  DATA=$OUT/data/heads
  if [ -d "$DATA/heads/1.0.0" ]; then
    echo "# $DATA is there already"
    return
  fi
  call facespeak prepare heads --people "$PEOPLE" --clips "$CLIPS" --size "$PIXELS" --out "$DATA"
}

# from STAGE PARTS…: the flags that take parts of an earlier stage.
from() {
  local stage=$1 part
  shift
  for part in "$@"; do echo "--config.upstream.$part=$OUT/$stage"; done
}

# stage STAGE FLAGS…: trains it.
stage() {
  local stage=$1
  shift
  echo "# $stage"
  set -- --config "configs/$SIZE.py:$stage" --workdir "$OUT/$stage" \
    "--config.data.paths=(\"$DATA\",)" "$@"
  if [ -n "$STEPS" ]; then set -- "$@" "--config.train.steps=$STEPS"; fi
  train "$stage" "$@"
}

# train STAGE FLAGS…: in all processes. Process 0 speaks here, the others into files.
train() {
  local log=$OUT/$1 index children=()
  shift
  if [ "$PROCESSES" -gt 1 ]; then
    set -- "--coordinator_address=localhost:$PORT" "--num_processes=$PROCESSES" "$@"
  fi
  for ((index = 1; index < PROCESSES; index++)); do
    echo "$(quoted "${TRAINER[@]}" "$@" "--process_id=$index") >>$log.$index.log 2>&1 &"
    if [ -z "$DRY_RUN" ]; then
      "${TRAINER[@]}" "$@" "--process_id=$index" >>"$log.$index.log" 2>&1 &
      children+=($!)
    fi
  done
  if [ "$PROCESSES" -gt 1 ]; then set -- "$@" --process_id=0; fi
  quoted "${TRAINER[@]}" "$@"
  echo
  if [ -n "$DRY_RUN" ]; then return; fi
  # In the background too, so that a signal to this script is seen soon and handed on.
  "${TRAINER[@]}" "$@" &
  children+=($!)
  if ! all_end_well "${children[@]}"; then
    for ((index = 1; index < PROCESSES; index++)); do tail -n 5 "$log.$index.log" >&2; done
    say "a training ended with $CODE"
    exit "$CODE"
  fi
}

# all_end_well PROCESSES…: waits for all; after the first that fails, in CODE, the others are ended.
all_end_well() {
  local child code
  CODE=0
  while [ $# -gt 0 ]; do
    sleep 1
    for child in "$@"; do
      shift
      if kill -0 "$child" 2>/dev/null; then
        set -- "$@" "$child" # it is still running
        continue
      fi
      code=0
      wait "$child" || code=$?
      if [ "$code" -ne 0 ] && [ "$CODE" -eq 0 ]; then
        CODE=$code
        end_all
      fi
    done
  done
  [ "$CODE" -eq 0 ]
}

# On SIGTERM a training saves and ends.
end_all() {
  # shellcheck disable=SC2046 # numbers
  kill -TERM $(jobs -rp) 2>/dev/null || true
}

# shellcheck disable=SC2317,SC2329 # called by the trap
halt() {
  trap '' INT TERM
  end_all
  wait
  say "stopped; the same call goes on from here"
  exit 143
}

# shellcheck disable=SC2046 # each line that `from` prints is a word
train_all() {
  stage face
  stage sync
  stage vocoder
  stage speech $(from face encoder motion_basis voice_reader) $(from vocoder vocoder)
  stage motion $(from face encoder motion_basis) $(from speech voice_reader voice_code text_encoder)
  stage joint $(from face encoder motion_basis generator) \
    $(from speech voice_reader voice_code text_encoder durations mel_decoder) \
    $(from motion reducer motion_prior motion_field lip_mapper) \
    $(from vocoder vocoder) $(from sync sync_expert)
}

use() {
  local weights=$OUT/weights
  echo "# weights, how good they are, and a video"
  call python -m facespeak_jax.training.merge --out "$weights" \
    --workdirs "$OUT/face" "$OUT/vocoder" "$OUT/speech" "$OUT/motion" "$OUT/joint"
  call facespeak evaluate --weights "$weights" --suite heads --corpus "$DATA" --clips 1 \
    --out "$OUT/evaluation"
  call facespeak speak --weights "$weights" --portrait launch/portraits/head_a.png \
    --text "Good morning." --output "$OUT/morning.mp4"
}

# check WHAT VALUE PATTERN: the whole value must match.
check() {
  if [ -z "$2" ]; then misused "$1 is not given"; fi
  printf '%s' "$2" | grep -Eqx -- "$3" || misused "$1 can't be '$2'"
}

assign() {
  case $1 in
    --size) SIZE=$2 ;;
    --people) PEOPLE=$2 ;;
    --clips) CLIPS=$2 ;;
    --corpus) DATA=$2 ;;
    --steps) STEPS=$2 ;;
    --processes) PROCESSES=$2 ;;
    --port) PORT=$2 ;;
    *) misused "unknown option $1" ;;
  esac
}

parse() {
  while [ $# -gt 0 ]; do
    case $1 in
      --dry-run) DRY_RUN=yes ;;
      --help | -h)
        usage
        exit
        ;;
      --?*=*) assign "${1%%=*}" "${1#*=}" ;;
      -*)
        if [ $# -lt 2 ]; then misused "$1 is unknown or needs a value"; fi
        assign "$1" "$2"
        shift
        ;;
      *)
        if [ -n "$OUT" ]; then misused "unexpected argument '$1'"; fi
        OUT=$1
        ;;
    esac
    shift
  done
}

check_all() {
  local path='[A-Za-z0-9_./~+-]+'
  check OUT "$OUT" "$path"
  if [ -n "$DATA" ]; then check --corpus "$DATA" "$path"; fi
  if [ -n "$STEPS" ]; then check --steps "$STEPS" '[1-9][0-9]*'; fi
  check --people "$PEOPLE" '[1-9][0-9]*'
  check --clips "$CLIPS" '[1-9][0-9]*'
  check --processes "$PROCESSES" '[1-9][0-9]*'
  check --port "$PORT" '[1-9][0-9]*'
  case $SIZE in
    smoke) PIXELS=64 ;;
    lite) PIXELS=128 ;;
    base) PIXELS=256 ;;
    *) misused "--size can't be '$SIZE'" ;;
  esac
  if [ ! -d configs ]; then misused "there is no configs/ here; run it in the repository's root"; fi
}

SIZE=smoke PEOPLE=4 CLIPS=2 STEPS='' PROCESSES=2 PORT=8476 DATA='' OUT='' DRY_RUN='' PIXELS=''
CODE=0 # of the training
TRAINER=(python -m facespeak_jax.main)

parse "$@"
check_all
trap halt INT TERM
echo "export JAX_PLATFORMS=${JAX_PLATFORMS:=cpu}"
export JAX_PLATFORMS
if [ -z "$DRY_RUN" ]; then mkdir -p "$OUT"; fi
if [ -z "$DATA" ]; then prepare; fi
train_all
use
