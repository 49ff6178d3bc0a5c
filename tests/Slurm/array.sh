#!/usr/bin/env bash
# Runs samples/BatchScoring/score.sbatch on a Slurm of one node, made here: four shards, the worker of one of them killed in the middle of its
# rows, and the merged parts held against what one process writes.
#
#   tests/Slurm/array.sh MODEL ROWS COMMAND...      an ONNX folder, a file of JSON lines, how longcat is called (one word a part)
#
# Installs slurm-wlm and munge where that is Debian and root. Exit codes: 0, 1 for a failure, 77 where Slurm cannot run here (the reason is
# the last line).
set -uo pipefail
skip() { echo "skipped: $*"; exit 77; }
[ $# -ge 3 ] || { echo "usage: array.sh MODEL ROWS COMMAND..." >&2; exit 2; }
model=$(realpath "$1") rows=$(realpath "$2")
shift 2
root=$(cd "$(dirname "$0")/../.." && pwd)
[ "$(uname -s)" = Linux ] || skip "Slurm needs Linux"
[ "$(id -u)" = 0 ] || skip "a Slurm of one's own needs root"
for command in munged slurmctld slurmd; do
    if ! command -v "$command" >/dev/null; then
        command -v apt-get >/dev/null || skip "there is no $command, and no apt-get to install it"
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null 2>&1 || skip "slurm-wlm cannot be installed"
    fi
done
pgrep -x slurmctld >/dev/null && skip "a slurmctld is running already"

work=$(mktemp -d)
chmod 755 "$work"
processes=()
cleanup() {
    [ ${#processes[@]} -gt 0 ] && kill "${processes[@]}" 2>/dev/null
    sleep 1
    [ ${#processes[@]} -gt 0 ] && kill -9 "${processes[@]}" 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT

# munge with a key and a socket of its own, so that nothing of the system's is touched.
mkdir -p "$work/munge" "$work/state" "$work/spool"
chmod 700 "$work/munge"
head -c 1024 /dev/urandom >"$work/munge/key"
chmod 400 "$work/munge/key"
chmod 755 "$work/munge"
munged --force --foreground --key-file="$work/munge/key" --socket="$work/munge/socket" --pid-file="$work/munge/pid" --log-file="$work/munge/log" --seed-file="$work/munge/seed" >"$work/munged.out" 2>&1 &
processes+=($!)
sleep 1
kill -0 "${processes[0]}" 2>/dev/null || skip "munged does not start: $(tail -1 "$work/munged.out")"

host=$(hostname -s)
cat >"$work/slurm.conf" <<CONF
ClusterName=longcat
SlurmctldHost=$host
SlurmUser=root
SlurmdUser=root
SlurmctldPort=$((20000 + $$ % 10000))
SlurmdPort=$((30000 + $$ % 10000))
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket
CryptoType=crypto/munge
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
SlurmctldTimeout=30
SchedulerParameters=requeue_delay=1
NodeName=$host CPUs=$(nproc) State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$work/slurm.conf
slurmctld -D >"$work/slurmctld.out" 2>&1 &
processes+=($!)
slurmd -D -N "$host" >"$work/slurmd.out" 2>&1 &
processes+=($!)
for _ in $(seq 60); do
    state=$(sinfo -h -o %T 2>/dev/null || true)
    case $state in idle* | mixed* | allocated*) break ;; esac
    sleep 1
done
case ${state:-} in idle* | mixed* | allocated*) ;; *) skip "the node does not come up (${state:-no answer}): $(tail -1 "$work/slurmd.log" 2>/dev/null)" ;; esac

export LONGCAT="$*"
cd "$work" || exit 1
$LONGCAT score "$model" --input "$rows" --output whole.jsonl --max-new-tokens 8 --max-failed-rows 1000000 || { echo "failed: one process"; exit 1; }
job=$(sbatch --parsable --array=0-3 "$root/samples/BatchScoring/score.sbatch" "$model" "$rows" out --max-new-tokens 8 --rows-in-flight 2 --max-failed-rows 1000000) || { echo "failed: sbatch"; exit 1; }

# The worker of shard 2 is killed as soon as it has written a row.
killed=
for _ in $(seq 2400); do
    if [ -s out/part-00002.jsonl.partial ]; then
        pid=$(pgrep -f -- "score $model .*--output out/" | while read -r p; do tr '\0' '\n' <"/proc/$p/environ" 2>/dev/null | grep -qx SLURM_ARRAY_TASK_ID=2 && grep -qv '^bash' "/proc/$p/comm" && echo "$p"; done | tail -1)
        [ -n "$pid" ] && kill -9 "$pid" && killed=$pid && break
    fi
    [ -e out/part-00002.jsonl ] && break
    sleep 0.05
done
for _ in $(seq 300); do
    # A requeued task waits for a while; its start is asked for now.
    scontrol update jobid="${job}_2" starttime=now >/dev/null 2>&1 || true
    [ -z "$(squeue -h -j "$job" 2>/dev/null)" ] && break
    sleep 1
done
if ! $LONGCAT merge-parts out --output merged.jsonl; then
    squeue -a; tail -n 5 ./*.log "$work"/slurm*.log
    echo "failed: the shards are not finished"
    exit 1
fi
[ -n "$killed" ] || { echo "failed: shard 2 was done before it could be killed; give more rows"; exit 1; }
grep -q "into the queue again" longcat-score-*_2.log || { echo "failed: the killed shard was not put into the queue again"; exit 1; }
grep "done before" longcat-score-*_2.log || { echo "failed: the killed shard began anew"; cat longcat-score-*_2.log; exit 1; }
cmp whole.jsonl merged.jsonl || { echo "failed: merged parts and one process differ"; exit 1; }
echo "passed: 4 shards, process $killed killed, every row once and in order"
