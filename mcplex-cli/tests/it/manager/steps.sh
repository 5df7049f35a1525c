# What a user does with a service, and what happens to it; each step says how it went.
mcplex=$1
pid() { systemctl --user show mcplex -p MainPID --value; }
# Waits until another process than this one is the service, and clients can connect.
next() {
  tries=0
  until [ "$(pid)" != "$1" ] && [ "$(pid)" != 0 ] && systemctl --user is-active -q mcplex; do
    tries=$((tries + 1)); [ $tries -lt 600 ] || { echo "no next one"; exit 1; }
    sleep 0.1
  done
}
say() { echo "$1: $2"; }
$mcplex service install --now -c mcplex.toml; say installed $?
mkdir -p "$XDG_CONFIG_HOME/systemd/user/mcplex.service.d"
printf '[Service]\nWatchdogSec=10\nTimeoutAbortSec=1\nRestartSec=100ms\n' > "$XDG_CONFIG_HOME/systemd/user/mcplex.service.d/soon.conf"
say active "$(systemctl --user is-active mcplex)"
systemctl --user daemon-reload; systemctl --user restart mcplex; say restarted $?
first=$(pid)
$mcplex service status | grep -E 'active|answers|says|enabled'
# As cron, sudo or a monitor would ask.
env -u XDG_RUNTIME_DIR $mcplex status -c mcplex.toml | grep -q '^files '; say found $?
systemctl --user reload mcplex; say reloaded $?
kill -KILL $first; next $first; say killed again
second=$(pid)
kill -STOP $second; next $second; say stopped again
say restarts "$(systemctl --user show mcplex -p NRestarts --value)"
third=$(pid)
$mcplex service uninstall; say uninstalled $?
say left "$(systemctl --user is-active mcplex)"
[ -e /proc/$third ] && say process there || say process gone
