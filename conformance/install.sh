#!/usr/bin/env bash
# Installs the pinned suite and the SDKs of the fixture servers: `install.sh DIR`.
#
# No scripts of packages run: the Node binary that the suite needs is a package of its own.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../interop/parts.sh"

suite conformance "$here" "${1:?usage: install.sh DIR}"
part node install_node "$here/package.json" "$here/package-lock.json"
part python install_python "$here/requirements-python.txt"
part rust install_rust "$here"/fixtures/rust/{Cargo.toml,Cargo.lock,src/*.rs} "$here/fixtures/catalog.json"
finish
