#!/usr/bin/env bash
# What launch/tpu.sh asks of every worker of a TPU: setup, start, status, logs, stop.
# One training at a time; it goes on when the connection that started it ends.
set -euo pipefail

CODE=$HOME/facespeak_jax
VENV=$HOME/facespeak_venv
RUN=$HOME/facespeak_run # of the training: its log, process id, arguments and outcome
STOP_SECONDS=${STOP_SECONDS:-600}

# setup [DATA]: takes the unpacked archive this file is in as the code, installs what it needs, and
# copies a bucket's data to ~/data.
setup() {
  if running; then
    echo "a training is running here; stop it first" >&2
    return 1
  fi
  local unpacked
  unpacked=$(cd "$(dirname "$0")/.." && pwd)
  if [ "$unpacked" != "$CODE" ]; then
    rm -rf "$CODE"
    mv "$unpacked" "$CODE"
  fi
  [ -x "$VENV/bin/python" ] || make_environment
  "$VENV/bin/python" -m pip install --quiet --editable "${CODE}[train]" 'jax[tpu]' gcsfs
  if [ $# -gt 0 ]; then
    mkdir -p "$HOME/data"
    gcloud storage rsync --recursive "$1" "$HOME/data"
  fi
  JAX_PLATFORMS=${JAX_PLATFORMS:-tpu,cpu} timeout 600 "$VENV/bin/python" -m facespeak_jax.cli doctor
}

# The images of TPU VMs come with an older Python than the package needs; uv fetches one.
make_environment() {
  local name
  for name in python3.13 python3.12 python3.11; do
    if "$name" -m venv "$VENV" 2>/dev/null; then
      return
    fi
    rm -rf "$VENV"
  done
  python3 -m pip install --quiet --user uv
  python3 -m uv venv --quiet --seed --python 3.12 "$VENV"
}

# start ARGS…: the training program in the background; does nothing if the same one runs already.
start() {
  mkdir -p "$RUN"
  if running; then
    if printf '%s\n' "$@" | cmp -s - "$RUN/arguments"; then
      echo "running already"
      return
    fi
    echo "another training is running here; stop it first. Its arguments:" >&2
    cat "$RUN/arguments" >&2
    return 1
  fi
  rm -f "$RUN/outcome" "$RUN/asked"
  printf '%s\n' "$@" >"$RUN/arguments"
  cd "$CODE"
  nohup bash "$CODE/launch/worker.sh" train "$@" </dev/null >>"$RUN/train.log" 2>&1 &
  echo $! >"$RUN/pid"
  echo "started; its log is $RUN/train.log"
}

# train ARGS…: the training program, and in the end how it went. SIGTERM is handed on, so that it
# saves. With JAX_PLATFORMS a worker whose TPU is not there fails, where it would use its CPU.
train() {
  local child='' code=0 terminated=''
  trap 'terminated=yes; if [ -n "$child" ]; then kill -TERM "$child" 2>/dev/null || true; fi' TERM
  JAX_PLATFORMS=${JAX_PLATFORMS:-tpu,cpu} "$VENV/bin/python" -m facespeak_jax.main "$@" &
  child=$!
  if [ -n "$terminated" ]; then
    kill -TERM "$child" 2>/dev/null || true # the signal came before there was a child
  fi
  echo "$child" >"$RUN/child"
  while kill -0 "$child" 2>/dev/null; do
    wait "$child" || true # a signal ends the wait early
  done
  wait "$child" || code=$?
  if [ -z "$terminated" ]; then
    echo "finished $code" >"$RUN/outcome"
  elif [ -e "$RUN/asked" ]; then
    echo "stopped $code" >"$RUN/outcome"
  else
    echo "interrupted $code" >"$RUN/outcome"
  fi
}

running() {
  local pid
  [ -e "$RUN/pid" ] || return 1
  pid=$(cat "$RUN/pid")
  # After a reboot the number may be another program's.
  [ -r "/proc/$pid/cmdline" ] && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q 'worker.sh train'
}

# status: one line: running, idle, finished CODE, stopped CODE (by request) or interrupted.
status() {
  local word=idle
  if running; then
    word=running
  elif [ -e "$RUN/outcome" ]; then
    word=$(cat "$RUN/outcome")
  elif [ -e "$RUN/pid" ]; then
    word=interrupted # it vanished without a word: the machine went down
  fi
  echo "worker $(hostname): $word"
}

# stop: SIGTERM, on which the training saves and ends; after STOP_SECONDS it is killed, and the last
# complete checkpoint stands.
stop() {
  local waited=0
  if ! running; then
    status
    return
  fi
  touch "$RUN/asked"
  kill -TERM "$(cat "$RUN/pid")" 2>/dev/null || true
  while running; do
    if [ "$waited" -ge "$STOP_SECONDS" ]; then
      echo "no end after $STOP_SECONDS s; killed. The last complete checkpoint stands" >&2
      kill -KILL "$(cat "$RUN/child")" 2>/dev/null || true
      sleep 1
      break
    fi
    sleep 1
    waited=$((waited + 1))
  done
  status
}

logs() {
  exec tail -n 100 -F "$RUN/train.log"
}

case ${1:-} in
  setup | start | train | status | stop | logs) "$@" ;;
  *)
    echo "usage: worker.sh setup|start ARGS…|status|stop|logs" >&2
    exit 2
    ;;
esac
