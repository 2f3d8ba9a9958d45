# Before every task: waits for half a minute until a command succeeds.
until_so() {
  tries=0
  until "$@" >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -gt 150 ]; then
      "$@"
      return
    fi
    sleep 0.2
  done
}
