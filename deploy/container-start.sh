#!/usr/bin/env bash
# Starts the server of deploy/Dockerfile; the first start makes an administrator's key.
set -euo pipefail
if [[ -n ${TINTYPE_KEYS-} && ! -e $TINTYPE_KEYS ]]; then
  echo "A key for everything, shown this once: $(tintype serve keys add admin --scope admin)"
fi
exec tintype serve "$@"
