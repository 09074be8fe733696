#!/bin/sh
# status.sh JOB: print running, success or failed.
case $(kubectl get "$1" -o 'jsonpath={.status.conditions[?(@.status=="True")].type}') in
*Complete*) echo success ;;
*Failed*) echo failed ;;
*) echo running ;;
esac
