#!/bin/sh
# submit.sh SCRIPT: run a job script as a process of its own, which outlives whoever submitted it; print the job's name.
job=$(basename "$1")
mkdir -p .snakemake/submitted
rm -f ".snakemake/submitted/$job".*
setsid sh -c 'sh "$1"; echo $? >"$2.ended"' - "$1" ".snakemake/submitted/$job" >".snakemake/submitted/$job.log" 2>&1 </dev/null &
echo $! >".snakemake/submitted/$job.process"
echo "$job"
