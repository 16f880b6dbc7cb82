#!/usr/bin/env bash
# A sweep as a Slurm job array, on a Slurm of one node that is started here: same data bytes as one run without.
# Usage: .ci/slurm.sh TRIALSIM      (the command). Needs root and Debian packages; says so and ends well elsewhere.
set -euo pipefail
trialsim=$(realpath -s "${1:?which trialsim}")
skip() { echo "no Slurm here ($1): job arrays were not tried"; exit 0; }
[ "$(id -u)" = 0 ] || skip "not root"
if ! command -v slurmctld slurmd munged > /dev/null; then
  command -v apt-get > /dev/null || skip "no apt-get"
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y slurmctld slurmd slurm-client munge; } \
    > /dev/null 2>&1 || skip "its packages cannot be installed"
fi

work=$(mktemp -d)
pids=()
end() {
  for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null || true; done
  wait
  rm -rf "$work"
}
trap end EXIT

# --- one node, no systemd, loopback only, no port of a Slurm that may be running already
host=$(hostname -s)
mkdir -p "$work"/{state,spool,munge}
chmod 755 "$work"
dd if=/dev/urandom of="$work/munge.key" bs=1024 count=1 2> /dev/null
chmod 600 "$work/munge.key"
chmod 700 "$work/munge"
chmod 755 "$work/munge"
munged --force --foreground --key-file="$work/munge.key" --socket="$work/munge/socket" --pid-file="$work/munge/pid" \
  --seed-file="$work/munge/seed" --log-file="$work/munge/log" > /dev/null 2>&1 &
pids+=($!)
cat > "$work/slurm.conf" << CONF
ClusterName=trialsim
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPort=27817
SlurmdPort=27818
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MailProg=/bin/true
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=1500 State=UNKNOWN
PartitionName=short Nodes=ALL Default=YES MaxTime=10 State=UP
CONF
export SLURM_CONF=$work/slurm.conf
for _ in $(seq 50); do [ -S "$work/munge/socket" ] && break; sleep 0.1; done
slurmctld -D > "$work/slurmctld.log" 2>&1 &
pids+=($!)
slurmd -D -N "$host" > "$work/slurmd.log" 2>&1 &
pids+=($!)
for _ in $(seq 100); do sinfo -h -o %T 2> /dev/null | grep -q idle && break; sleep 0.2; done
if ! sinfo -h -o %T | grep -q idle; then
  tail -n 5 "$work"/slurm*.log "$work/munge/log"
  echo "Slurm is installed, but its node does not come up"
  exit 1
fi

# --- three shards, put together
cat > "$work/sweep.yaml" << SWEEP
name: on_slurm
base: resolve
set: {sample_size: 60, max_enrolment_days: 2000, analyses: {change: {kind: linear, outcome: severity}}, decisions: {}}
axes: [{grid: {arms.coach.delivery.coaches: [1, 2], arms.coach.start_prob: [0.7, 0.8, 0.9]}}]
replicates: 600
seed: 3
SWEEP
cd "$work"
out="$work/all results"
"$trialsim" slurm sweep.yaml --shards 3 --out "$out" --time 00:05:00 --memory 400M --partition short \
  --setup "PATH=$(dirname "$trialsim"):\$PATH" --script job.sh
mkdir -p "$out"
number=$(sbatch --parsable job.sh)
"$trialsim" sweep sweep.yaml --out alone
for _ in $(seq 400); do [ -z "$(squeue -h -j "$number" 2> /dev/null)" ] && break; sleep 0.2; done
tail -n 2 "$out"/log-*.txt
"$trialsim" merge "$out"/shard-* --out merged
diff -r alone/data merged/data
echo "Slurm's three tasks and one run alone: the same $(find merged/data -type f | wc -l) files"
