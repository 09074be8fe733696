#!/bin/sh
# cancel.sh JOB...: end jobs and all that they started.
for job; do kill -- "-$(cat ".snakemake/submitted/$job.process")" 2>/dev/null; done
exit 0
