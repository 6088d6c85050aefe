#!/bin/sh
# Records the databases of TestUpgrade_RecordedDatabase with an earlier program.
#
#   record.sh OLD NEW OUT [POSTGRES_URL]
#
# OLD is the earlier program, NEW a program with `tocsin sandbox` and `tocsin init`. OUT
# receives keyset.json, and sqlite.db.gz or, with the URL of an empty database,
# postgres.sql.gz. Record both with the same OLD. Each has INC-1, which was acknowledged and
# has a note and a fact, and INC-2, whose channel, page and messages wait because the sandbox
# is offline.
set -eu
old=$1 new=$2 out=$3 database=${4:-}
dir=$(mktemp -d)
trap 'kill $sandbox $bot 2>/dev/null; rm -rf "$dir"' EXIT
sandbox= bot=
page=http://127.0.0.1:28081 url=http://127.0.0.1:28080

"$new" sandbox --addr 127.0.0.1:28081 --bot $url >/dev/null & sandbox=$!
until "$new" init "$dir/t" --sandbox $page >/dev/null 2>&1; do sleep 1; done
test -f "$out/keyset.json" && cp "$out/keyset.json" "$dir/t/keyset.json"
sed -i '/^secrets_file:/d' "$dir/t/tocsin.yaml"
test -n "$database" && sed -i "s|^database:.*|database: $database|" "$dir/t/tocsin.yaml"
echo "control_socket: $dir/t/s" >>"$dir/t/tocsin.yaml"
set -a; . "$dir/t/secrets.env"; set +a

"$old" -c "$dir/t/tocsin.yaml" serve 2>"$dir/log" & bot=$!
until "$old" -c "$dir/t/tocsin.yaml" health >/dev/null 2>&1; do sleep 1; done
tocsin() { "$old" -c "$dir/t/tocsin.yaml" incident "$@"; }
curl -sf $page/api/alert -d '{"alert": "sentry-data-leak", "seed": 7}' >/dev/null
until tocsin status INC-1 | grep -q 'channel was opened'; do sleep 1; done
tocsin ack INC-1
tocsin note INC-1 "written by an earlier version"
tocsin fact INC-1 personal_data suspected because documents were shown
sleep 5
for system in slack pager mail; do curl -sf $page/api/faults -d "{\"name\": \"$system-offline\", \"on\": true}" >/dev/null; done
tocsin open sev2 opened before the upgrade
sleep 3
kill -TERM $bot; wait $bot

cp "$dir/t/keyset.json" "$out/keyset.json"
if [ -n "$database" ]; then
	pg_dump --inserts --no-owner --no-privileges "$database" | grep -v '^\\' | gzip -9n >"$out/postgres.sql.gz"
else
	sqlite3 "$dir/t/tocsin.db" 'PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode=DELETE; VACUUM'
	gzip -9n <"$dir/t/tocsin.db" >"$out/sqlite.db.gz"
fi
