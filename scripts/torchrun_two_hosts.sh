#!/bin/sh
# gan train on several hosts that share a file system and no scheduler. Run the same line on each of them:
#   HOSTS=2 MASTER=first-host:29500 sh scripts/torchrun_two_hosts.sh loss=hinge output=/shared/runs
set -eu
: "${MASTER:?say which host, and which free port of it, all meet at: MASTER=first-host:29500}"
HOSTS=${HOSTS:-2}
GPUS=${GPUS:-8}   # processes on each host
RUN=${RUN:-gan}   # the same on all hosts; another for each training, as resume=auto knows its run by it

# c10d: who is which, and where to meet, is agreed anew at each restart, so that any host may be started first.
# --max-restarts: when a process is lost all are started again, and resume=auto goes on from the last checkpoint.
# Without the variable, a torchrun that takes the place of one that was killed never learns where the others meet.
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
exec torchrun --nnodes="$HOSTS" --nproc-per-node="$GPUS" --max-restarts=3 \
    --rdzv-backend=c10d --rdzv-endpoint="$MASTER" --rdzv-id="$RUN" \
    -m gan_research train trainer=ddp_multinode trainer.num_nodes="$HOSTS" trainer.devices="$GPUS" "$@" resume=auto
