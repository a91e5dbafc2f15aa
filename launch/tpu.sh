#!/usr/bin/env bash
# Trains on Cloud TPU VMs that are asked for through queued resources; `tpu.sh --help` tells how.
# Written for bash 3.2 too, which macOS has.
set -euo pipefail

usage() {
  cat <<'END'
usage: launch/tpu.sh [--dry-run] COMMAND NAME [OPTIONS] [-- TRAINING FLAGS]

  create NAME    queue a request for TPUs and wait until they are there
  setup NAME     ship the code of a commit to every worker, install it, and copy the data there
  run NAME -- …  start the training on every worker and watch it until it ends; TPUs that were
                 taken away are asked for again and the training resumes in its workdir
  status NAME    the state of the request and of the training on every worker
  logs NAME      follow the log of one worker
  stop NAME      have the training save and end, on every worker
  delete NAME    give the TPUs back

NAME: of the request and its nodes; lower-case letters, digits and hyphens.
--dry-run shows every call instead of making it.

Options, and the environment variables that say the same:
  --project ID             PROJECT           Google Cloud project (needed)
  --zone ZONE              ZONE              for instance us-central2-b (needed)
  --accelerator-type TYPE  ACCELERATOR_TYPE  for instance v5litepod-256 (create, run)
  --runtime-version V      RUNTIME_VERSION   default: what Google names for the type
  --spot | --reserved      PROVISIONING      spot or reserved; default: on-demand (create, run)
  --node-count N           NODE_COUNT        slices, joined by the data-centre network; default 1
  --service-account MAIL   SERVICE_ACCOUNT   whom the workers act as; default: the project's
  --commit REF             COMMIT            what setup ships; default HEAD
  --data gs://…            DATA              what setup copies to ~/data of every worker
  --node I, --worker I     NODE, WORKER      whose log; default 0 and 0
  --retries N              RETRIES           times run starts again; default 20
                           POLL_SECONDS      between two looks at the TPUs; default 30
                           WAIT_SECONDS      the longest wait for TPUs; default 86400

run's training flags are those of `python -m facespeak_jax.main`; --workdir must be on gs://.
Exit codes: 0 done; 2 wrong usage; what the training ended with; what gcloud failed with; else 1.
END
}

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ON_ALL=(--node=all --worker=all)
PATIENCE=5 # calls that may fail in a row before their error counts

say() { echo "tpu.sh: $*" >&2; }

die() {
  say "$*"
  exit 1
}

misused() {
  say "$*"
  usage >&2
  exit 2
}

# A word as a shell would need it typed.
quote() {
  case $1 in
    '' | *[!A-Za-z0-9_./:=@%+,-]*) printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")" ;;
    *) printf '%s' "$1" ;;
  esac
}

quoted() {
  local word separator=''
  for word in "$@"; do
    printf '%s%s' "$separator" "$(quote "$word")"
    separator=' '
  done
}

# Runs a command, or shows it.
call() {
  if [ -n "$DRY_RUN" ]; then
    quoted "$@"
    echo
  else
    "$@"
  fi
}

# gcloud on the queued resource: resource VERB ARGS…
resource() {
  local verb=$1
  shift
  call gcloud compute tpus queued-resources "$verb" "$@" \
    "--project=$PROJECT" "--zone=$ZONE" --quiet
}

# ask WHERE… -- WORDS…: what a worker is to do, worded for launch/worker.sh.
ask() {
  local where=()
  while [ "$1" != -- ]; do
    where+=("$1")
    shift
  done
  shift
  resource ssh "$NAME" "${where[@]}" "--command=bash facespeak_jax/launch/worker.sh $(quoted "$@")"
}

# STATE: of the queued resource.
read_state() {
  if [ -n "$DRY_RUN" ]; then
    resource describe "$NAME" '--format=value(state.state)'
    STATE=ACTIVE
  else
    STATE=$(resource describe "$NAME" '--format=value(state.state)')
  fi
}

# A call that a network hiccup or two may spoil.
patiently() {
  local tries=1 code
  while true; do
    code=0
    "$@" || code=$?
    if [ "$code" -eq 0 ] || [ "$tries" -ge "$PATIENCE" ]; then return "$code"; fi
    tries=$((tries + 1))
    sleep "$POLL_SECONDS"
  done
}

create() {
  local options=("--accelerator-type=$ACCELERATOR_TYPE" "--runtime-version=$RUNTIME_VERSION")
  if [ "$NODE_COUNT" -gt 1 ]; then
    options+=("--node-count=$NODE_COUNT" "--node-prefix=$NAME")
  else
    options+=("--node-id=$NAME")
  fi
  case $PROVISIONING in
    spot) options+=(--spot) ;;
    reserved) options+=(--reserved) ;;
  esac
  if [ -n "$SERVICE_ACCOUNT" ]; then
    options+=("--service-account=$SERVICE_ACCOUNT")
  fi
  resource create "$NAME" "${options[@]}"
}

# Waits, at most WAIT_SECONDS, until the TPUs are there; 1 if they won't come, else gcloud's code.
wait_until_active() {
  local waited=0
  while true; do
    patiently read_state || return
    case $STATE in
      ACTIVE) return 0 ;;
      FAILED | SUSPENDED)
        say "$NAME is $STATE; see: launch/tpu.sh status $NAME"
        return 1
        ;;
    esac
    pause "$waited" || return
    waited=$((waited + POLL_SECONDS))
  done
}

# pause WAITED: one more look's time, unless the longest wait is over.
pause() {
  if [ "$1" -ge "$WAIT_SECONDS" ]; then
    say "$NAME is still $STATE after $1 s; it stays queued: look again with status, or delete it"
    return 1
  fi
  say "$NAME is $STATE"
  sleep "$POLL_SECONDS"
}

setup() {
  local commit archive code=0
  commit=$(git -C "$ROOT" rev-parse --verify --quiet "$COMMIT^{commit}") ||
    die "there is no commit $COMMIT in $ROOT"
  if [ -n "$(git -C "$ROOT" status --porcelain)" ]; then
    say "what is not committed is not shipped; this is commit $commit"
  fi
  archive=facespeak_jax-$commit.tar.gz
  if [ -n "$DRY_RUN" ]; then
    SCRATCH=/tmp
  else
    SCRATCH=$(mktemp -d) || return
  fi
  ship "$commit" "$archive" || code=$?
  if [ -z "$DRY_RUN" ]; then rm -rf "$SCRATCH"; fi
  return "$code"
}

# ship COMMIT ARCHIVE: through the folder SCRATCH to every worker, where worker.sh goes on.
ship() {
  local unpack="rm -rf facespeak_new && mkdir facespeak_new && tar -xzf $2 -C facespeak_new"
  unpack="$unpack && rm $2 && bash facespeak_new/launch/worker.sh setup"
  if [ -n "$DATA" ]; then unpack="$unpack $(quote "$DATA")"; fi
  call git -C "$ROOT" archive --format=tar.gz "--output=$SCRATCH/$2" "$1" || return
  resource scp "$SCRATCH/$2" "$NAME:" "${ON_ALL[@]}" || return
  resource ssh "$NAME" "${ON_ALL[@]}" "--command=$unpack"
}

# Brings the TPUs to ACTIVE with the code on them; asks for new ones where the old were taken away.
# Fails if they did not come this time.
ensure_active() {
  local waited=0
  while [ "$STATE" = SUSPENDING ] || [ "$STATE" = DELETING ]; do
    pause "$waited" || return
    waited=$((waited + POLL_SECONDS))
    patiently read_state || return
  done
  case $STATE in
    ACTIVE) ;;
    SUSPENDED | FAILED)
      say "$NAME is $STATE; asking for new TPUs"
      BARE=yes
      resource delete "$NAME" --force || return
      patiently create || return
      wait_until_active || return
      ;;
    *)
      BARE=yes
      wait_until_active || return
      ;;
  esac
  if [ -n "$BARE" ]; then setup || return; fi
  BARE=''
}

# Watches the training until it ends or the TPUs go. OUTCOME: finished, stopped, failed or lost;
# CODE: of the training, or of gcloud where the workers can't be reached.
watch_training() {
  local answer failures=0
  OUTCOME=running
  while [ "$OUTCOME" = running ]; do
    sleep "$POLL_SECONDS"
    patiently read_state || {
      OUTCOME=failed CODE=$?
      return
    }
    if [ "$STATE" != ACTIVE ]; then
      OUTCOME=lost
    elif answer=$(ask "${ON_ALL[@]}" -- status); then
      failures=0
      judge "$answer"
    else
      CODE=$? failures=$((failures + 1))
      say "not all workers can be reached"
      if [ "$failures" -ge "$PATIENCE" ]; then OUTCOME=failed; fi
    fi
  done
}

# judge ANSWER: what the workers' status lines say together.
judge() {
  local codes
  codes=$(printf '%s\n' "$1" | sed -En 's/^worker .*: (finished|stopped) ([1-9][0-9]*)$/\2/p')
  # 143: stopped before it could save anything; 134: ended because another worker was lost
  codes=$(printf '%s\n' "$codes" | grep -vxE '143|134' || true)
  CODE=0
  if [ -n "$codes" ]; then
    OUTCOME=failed CODE=${codes%%$'\n'*}
  elif says "$1" 'interrupted|idle|finished 134'; then
    OUTCOME=lost
  elif says "$1" running; then
    OUTCOME=running
  elif says "$1" stopped; then
    OUTCOME=stopped
  elif says "$1" 'finished 0'; then
    OUTCOME=finished
  else
    OUTCOME=lost # no worker has a word to say
  fi
}

# says ANSWER WORD: whether a worker's status begins with the word.
says() { printf '%s\n' "$1" | grep -Eq "^worker .*: ($2)"; }

# A training that failed beside TPUs that are just being taken away did not fail by itself.
forgive_preemption() {
  sleep "$POLL_SECONDS"
  if read_state && [ "$STATE" != ACTIVE ]; then OUTCOME=lost; fi
}

run() {
  local attempt code
  if [ -n "$DRY_RUN" ]; then
    show_run "$@"
    return
  fi
  read_state
  for ((attempt = 0; attempt <= RETRIES; attempt++)); do
    if [ "$attempt" -gt 0 ]; then
      say "starting again, $attempt of at most $RETRIES times"
      sleep "$POLL_SECONDS"
    fi
    code=0
    ensure_active || code=$?
    if [ "$code" -ne 0 ]; then
      patiently read_state || exit
      continue
    fi
    if ask "${ON_ALL[@]}" -- start "$@"; then
      watch_training
    else
      OUTCOME=failed CODE=$?
      say "the training could not be started on every worker; has setup been run?"
    fi
    if [ "$OUTCOME" = failed ]; then forgive_preemption; fi
    conclude
  done
  if [ "$code" -ne 0 ]; then exit "$code"; fi
  die "interrupted more than $RETRIES times; the same command goes on from the last checkpoint"
}

# Ends the script unless the training has to be started again.
conclude() {
  case $OUTCOME in
    finished)
      say "the training is finished"
      exit
      ;;
    stopped)
      say "the training was stopped; the same command resumes it"
      exit
      ;;
  esac
  say "the training is $OUTCOME; $NAME is $STATE"
  if [ "$STATE" = ACTIVE ]; then
    ask "${ON_ALL[@]}" -- stop >&2 || true # those that wait for a lost one
  fi
  if [ "$OUTCOME" = failed ]; then
    say "exit code $CODE; see: launch/tpu.sh logs $NAME"
    exit "$CODE"
  fi
}

show_run() {
  read_state
  ask "${ON_ALL[@]}" -- start "$@"
  ask "${ON_ALL[@]}" -- status
  echo "# Where the TPUs were taken away (SUSPENDED or FAILED), and then from the start again:"
  resource delete "$NAME" --force
  create
  wait_until_active
  setup
}

status() {
  resource describe "$NAME" '--format=yaml(name,state,tpu.nodeSpec[].node.acceleratorType)'
  read_state
  if [ "$STATE" = ACTIVE ]; then ask "${ON_ALL[@]}" -- status; fi
}

# The training flags must name a workdir that outlives the TPUs.
check_workdir() {
  local flag workdir='' next=''
  for flag in "$@"; do
    if [ -n "$next" ]; then workdir=$flag; fi
    next=''
    case $flag in
      --workdir | -workdir) next=yes ;;
      --workdir=* | -workdir=*) workdir=${flag#*=} ;;
    esac
  done
  case $workdir in
    gs://?*) ;;
    '') misused "run needs training flags after --, with --workdir gs://…" ;;
    *) misused "--workdir must be on gs://, for the disks vanish with the TPUs; got $workdir" ;;
  esac
}

# check WHAT VALUE PATTERN: the whole value must match.
check() {
  if [ -z "$2" ]; then misused "$1 is not given"; fi
  printf '%s' "$2" | grep -Eqx -- "$3" || misused "$1 can't be '$2'"
  case $2 in *$'\n'*) misused "$1 can't have several lines" ;; esac
}

default_runtime_version() {
  case $ACCELERATOR_TYPE in
    v6e-*) echo v2-alpha-tpuv6e ;;
    v5p-*) echo v2-alpha-tpuv5 ;;
    v5litepod-*) echo v2-alpha-tpuv5-lite ;;
    v[234]-*) echo tpu-ubuntu2204-base ;;
    *) misused "no runtime version is known for $ACCELERATOR_TYPE; give --runtime-version" ;;
  esac
}

# Reads the command line into the variables below; FLAGS are the training's.
parse() {
  while [ $# -gt 0 ]; do
    case $1 in
      --dry-run) DRY_RUN=yes ;;
      --help | -h)
        usage
        exit
        ;;
      --spot | --reserved)
        if [ -n "$PROVISIONING" ] && [ "$PROVISIONING" != "${1#--}" ]; then
          misused "$1 contradicts $PROVISIONING"
        fi
        PROVISIONING=${1#--}
        ;;
      --project | --zone | --accelerator-type | --runtime-version | --node-count | \
        --service-account | --commit | --data | --node | --worker | --retries)
        if [ $# -lt 2 ]; then misused "$1 needs a value"; fi
        assign "$1" "$2"
        shift
        ;;
      --?*=*) assign "${1%%=*}" "${1#*=}" ;;
      --)
        shift
        FLAGS=("$@")
        break
        ;;
      -*) misused "unknown option $1" ;;
      *)
        if [ -z "$COMMAND" ]; then
          COMMAND=$1
        elif [ -z "$NAME" ]; then
          NAME=$1
        else
          misused "unexpected argument '$1'"
        fi
        ;;
    esac
    shift
  done
}

assign() {
  case $1 in
    --project) PROJECT=$2 ;;
    --zone) ZONE=$2 ;;
    --accelerator-type) ACCELERATOR_TYPE=$2 ;;
    --runtime-version) RUNTIME_VERSION=$2 ;;
    --node-count) NODE_COUNT=$2 ;;
    --service-account) SERVICE_ACCOUNT=$2 ;;
    --commit) COMMIT=$2 ;;
    --data) DATA=$2 ;;
    --node) NODE=$2 ;;
    --worker) WORKER=$2 ;;
    --retries) RETRIES=$2 ;;
    *) misused "unknown option $1" ;;
  esac
}

check_all() {
  case $COMMAND in
    create | setup | run | status | logs | stop | delete) ;;
    '') misused "a command is needed" ;;
    *) misused "unknown command '$COMMAND'" ;;
  esac
  check NAME "$NAME" '[a-z]([-a-z0-9]{0,61}[a-z0-9])?'
  check --project "$PROJECT" '[a-z][-a-z0-9.:]*'
  check --zone "$ZONE" '[a-z]+-[a-z]+[0-9]+-[a-z]'
  check --node-count "$NODE_COUNT" '[1-9][0-9]*'
  check --retries "$RETRIES" '[0-9]+'
  check --node "$NODE" '[0-9]+'
  check --worker "$WORKER" '[0-9]+'
  check POLL_SECONDS "$POLL_SECONDS" '[1-9][0-9]*'
  check WAIT_SECONDS "$WAIT_SECONDS" '[0-9]+'
  if [ -n "$DATA" ]; then check --data "$DATA" 'gs://.+'; fi
  case $PROVISIONING in
    '' | on-demand | spot | reserved) ;;
    *) misused "PROVISIONING can't be '$PROVISIONING': on-demand, spot or reserved" ;;
  esac
  case $COMMAND in create | run) check_request ;; esac
  if [ "$COMMAND" = run ]; then
    check_workdir ${FLAGS[@]+"${FLAGS[@]}"}
  elif [ ${#FLAGS[@]} -gt 0 ]; then
    misused "$COMMAND takes no training flags"
  fi
}

check_request() {
  check --accelerator-type "$ACCELERATOR_TYPE" '[a-z0-9]+-[0-9]+'
  if [ -n "$SERVICE_ACCOUNT" ]; then
    check --service-account "$SERVICE_ACCOUNT" '[^ @]+@[^ @]+'
  fi
  if [ -z "$RUNTIME_VERSION" ]; then RUNTIME_VERSION=$(default_runtime_version); fi
  check --runtime-version "$RUNTIME_VERSION" '[-a-z0-9.]+'
}

PROJECT=${PROJECT:-} ZONE=${ZONE:-} ACCELERATOR_TYPE=${ACCELERATOR_TYPE:-}
RUNTIME_VERSION=${RUNTIME_VERSION:-} PROVISIONING=${PROVISIONING:-} NODE_COUNT=${NODE_COUNT:-1}
SERVICE_ACCOUNT=${SERVICE_ACCOUNT:-} COMMIT=${COMMIT:-HEAD} DATA=${DATA:-} NODE=${NODE:-0} WORKER=${WORKER:-0}
RETRIES=${RETRIES:-20} POLL_SECONDS=${POLL_SECONDS:-30} WAIT_SECONDS=${WAIT_SECONDS:-86400}
DRY_RUN='' COMMAND='' NAME='' FLAGS=() STATE='' OUTCOME='' CODE=0 SCRATCH=''
BARE='' # yes while the TPUs are there but the code is not

parse "$@"
check_all
case $COMMAND in
  create)
    create
    wait_until_active
    ;;
  setup) setup ;;
  run) run "${FLAGS[@]}" ;;
  status) status ;;
  logs) ask "--node=$NODE" "--worker=$WORKER" -- logs ;;
  stop) ask "${ON_ALL[@]}" -- stop ;;
  delete) resource delete "$NAME" --force ;;
esac
