#!/usr/bin/env bash
# Installs the pinned packages into a directory: `install.sh DIR`. The browser is not among them: it is
# the one of the system.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../interop/parts.sh"

suite dashboard "$here" "${1:?usage: install.sh DIR}"
part node install_node "$here/package.json" "$here/package-lock.json"
finish
