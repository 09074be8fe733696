#!/bin/sh
# status.sh JOB: print running, success or failed. A job that was killed leaves no exit status and is failed.
job=.snakemake/submitted/$1
alive() { kill -0 "$(cat "$job.process")" 2>/dev/null; }
if alive; then echo running
elif [ "$(cat "$job.ended" 2>/dev/null)" = 0 ]; then echo success
else echo failed
fi
