#!/usr/bin/env bash
# Installs the pinned servers and clients into a directory: `install.sh DIR`.
#
# Each part (one npm tree, seven Python environments, the programs in Rust) carries a stamp with the
# hash of what it was installed from, so a second run does nothing. The parts
# install side by side; every one has its log beside it in DIR.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=${1:?usage: install.sh DIR}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

# A stamp also names the interpreter: a part is void when that changes.
stamp_of() { { cat "$@"; node --version; python3 --version; } | sha256sum | cut -d' ' -f1; }

install_node() {
    mkdir -p "$dir/node"
    cp "$here/package.json" "$here/package-lock.json" "$dir/node/"
    (cd "$dir/node" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
}

# The requirements files are complete (every package, exact version), so no
# resolver runs.
install_python() {
    rm -rf "${dir:?}/$1"
    python3 -m venv "$dir/$1"
    "$dir/$1/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps -r "$here/requirements-$1.txt"
}

# Outside of the workspace and of its target folder: nothing of it belongs to mcplex.
install_rust() {
    CARGO_TARGET_DIR="$dir/rust" cargo build --quiet --locked --manifest-path "$here/rust/Cargo.toml"
}

# part NAME COMMAND FILES...: installs NAME by COMMAND unless its stamp says it was.
part() {
    local name=$1 command=$2 stamp
    shift 2
    stamp=$(stamp_of "$@")
    if [ "$(cat "$dir/$name.stamp" 2>/dev/null)" = "$stamp" ]; then
        echo "interop: $name is installed"
        return
    fi
    rm -f "$dir/$name.stamp"
    echo "interop: installing $name"
    if ! "$command" "$name" >"$dir/$name.log" 2>&1; then
        echo "interop: installing $name failed; the end of $dir/$name.log:" >&2
        tail -n 15 "$dir/$name.log" >&2
        return 1
    fi
    echo "$stamp" >"$dir/$name.stamp"
    echo "interop: installed $name"
}

jobs_=()
part node install_node "$here/package.json" "$here/package-lock.json" & jobs_+=($!)
part rust install_rust "$here"/rust/{Cargo.toml,Cargo.lock,*.rs,*/Cargo.toml,*/src/*.rs} & jobs_+=($!)
for name in servers client-1 client-19 client-2 fastmcp telegram uv; do
    part "$name" install_python "$here/requirements-$name.txt" & jobs_+=($!)
done

failed=0
for job in "${jobs_[@]}"; do wait "$job" || failed=1; done
exit "$failed"
