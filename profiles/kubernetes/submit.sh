#!/bin/sh
# submit.sh CPUS GPUS MEMORY_MB MINUTES SCRIPT: make a Kubernetes job of a job script; print the job's name.
set -e
sed -e "s|{{CPUS}}|$1|" -e "s|{{GPUS}}|$2|" -e "s|{{MEMORY}}|$3|" -e "s|{{SECONDS}}|$(($4 * 60))|" -e "s|{{SCRIPT}}|$5|" \
    -e "s|{{FOLDER}}|$PWD|" -e "s|{{DATA}}|$AGEGENDER_DATA|" profiles/kubernetes/job.yaml |
    kubectl create -o name -f -
