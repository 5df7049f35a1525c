# Runs a command with a user manager of systemd, in namespaces that end with it.
#
# The first stage takes a cgroup of its own; the second is in the namespaces. Exit code 77 says that
# there can be none here.
set -u
stage=$1; shift
if [ "$stage" = outside ]; then
  tree=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
  own=$(awk -F: '$1 == "0" { print $3 }' /proc/self/cgroup)
  [ -n "$tree" ] && [ -x /usr/lib/systemd/systemd ] || exit 77
  group="$tree$own/mcplex-test-$$"
  mkdir "$group" 2>/dev/null || exit 77
  ( sh -c 'echo $$ > "$0/cgroup.procs" && exec unshare --mount --cgroup --pid --fork --kill-child --mount-proc "$@"' \
      "$group" sh "$0" inside "$@" )
  code=$?
  find "$group" -depth -type d -exec rmdir {} + 2>/dev/null
  exit $code
fi
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system /run/user/0 && chmod 700 /run/user/0 || exit 77
mount -t tmpfs tmpfs /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup || exit 77
export XDG_RUNTIME_DIR=/run/user/0
/usr/lib/systemd/systemd --user >/dev/null 2>&1 &
manager=$!
tries=0
until systemctl --user show >/dev/null 2>&1; do
  tries=$((tries + 1))
  [ $tries -lt 200 ] && kill -0 $manager 2>/dev/null || exit 77
  sleep 0.1
done
"$@"
