#!/bin/sh
# Stands before the server in PATH, in the place of mysqld.sh, where several hosts use it: adds what
# differs from host to host.
unset MYSQL_ROOT_PASSWORD
# Any number will do that no other member has.
number=$(printf %s "$PRIVATE_ADDRESS" | cksum)
set -- "$@" --server-id="${number%% *}" --report-host="$PRIVATE_ADDRESS" \
  --bind-address="$PRIVATE_ADDRESS,127.0.0.1"
case $DATABASE_SERVERS in
  *,*)
    IFS=,
    for server in $DATABASE_SERVERS; do
      members=${members:+$members,}${server%:*}
      seeds=${seeds:+$seeds,}${server%:*}:33061
    done
    unset IFS
    set -- --defaults-extra-file=/opt/order-service/group.cnf "$@" \
      --loose-group-replication-local-address="$PRIVATE_ADDRESS:33061" \
      --loose-group-replication-group-seeds="$seeds" \
      --loose-group-replication-ip-allowlist="$members"
    ;;
esac
exec /usr/sbin/mysqld "$@"
