#!/bin/bash
# A real Slurm of one's own, for the job scripts: Debian's packages unpacked in a folder, two nodes on this machine, no
# authentication, nothing installed. As root, and with nothing else in the way of ports 16817, 17001 and 17002:
#
#   tests/cluster/private_slurm.sh /tmp/slurm bash -c 'CFG=$PWD/cfg OCEAN=... sbatch --wait mpi.sbatch'
#
# Open MPI takes the two nodes for different machines, so it must not use shared memory between them.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: $0 FOLDER COMMAND..." >&2; exit 2; }
folder=$(realpath -m "$1")
shift
mkdir -p "$folder"/{state,spool.n1,spool.n2,tmp.n1,tmp.n2}
if [ ! -d "$folder/root" ]; then
  (cd "$folder" && apt-get download -q slurmctld slurmd slurm-client slurm-wlm-basic-plugins libmunge2)
  for package in "$folder"/*.deb; do dpkg -x "$package" "$folder/root"; done
fi
host=$(hostname -s)
libraries=$(echo "$folder"/root/usr/lib/*-linux-gnu)
cat > "$folder/slurm.conf" <<END
ClusterName=test
SlurmctldHost=$host
SlurmUser=root
AuthType=auth/none
CredType=cred/none
PluginDir=$libraries/slurm-wlm
SlurmctldPort=16817
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool.%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.%n.log
TmpFS=$folder/tmp.%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=17001 CPUs=8 RealMemory=1000
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=17002 CPUs=8 RealMemory=1000
PartitionName=cpu Nodes=n1,n2 Default=YES State=UP
PartitionName=gpu Nodes=n1,n2 State=UP
END
export SLURM_CONF=$folder/slurm.conf LD_LIBRARY_PATH=$libraries:$libraries/slurm-wlm PATH=$folder/root/usr/bin:$PATH
export OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,tcp OMPI_MCA_btl_tcp_if_include=lo
daemons=()
stop() {
  scancel --user=root --quiet || true
  sleep 2
  kill "${daemons[@]}" 2>/dev/null || true
}
trap stop EXIT
"$folder/root/usr/sbin/slurmctld-wlm" -D -c >"$folder/slurmctld.out" 2>&1 & daemons+=($!)
sleep 2
for node in n1 n2; do
  "$folder/root/usr/sbin/slurmd-wlm" -D -N $node -d "$folder/root/usr/sbin/slurmstepd-wlm" >"$folder/$node.out" 2>&1 & daemons+=($!)
done
for _ in $(seq 50); do
  [ "$(sinfo --noheader --partition=cpu --states=idle --format=%D)" != 2 ] || break
  sleep 0.2
done
"$@"
