#!/bin/sh
# Posts to a chat: every switch as a client-reconfig-script, or every warning as a notification-script.
#
#   sentinel client-reconfig-script mymaster /usr/local/bin/tell-chat.sh
#   sentinel notification-script mymaster /usr/local/bin/tell-chat.sh
#
# The address of a webhook is a secret: whoever has it may post. It is in a file that only the sentinel's user may read, as curl's configuration:
#
#   url = "https://chat.example.com/hooks/T0123/abcdef"
#
# so that it stands in no argument, which everybody on the host could see, and in no log. {"text": …} is what Slack, Mattermost and Rocket.Chat
# take; Discord wants "content". Needs curl and jq.
#
# When the chat does not answer the exit status is 1, and the sentinel tries again, ten times.
set -eu

webhook=${WEBHOOK_FILE:-/etc/redis/chat.curl}
if [ ! -r "$webhook" ]; then
    echo "tell-chat: $webhook cannot be read by $(id -un)" >&2
    exit 2
fi

if [ $# -ge 7 ]; then
    # <master name> <leader|observer> <start> <from ip> <from port> <to ip> <to port>. All sentinels call it, one of them as leader.
    [ "$2" = leader ] || exit 0
    text="The master of $1 was $4:$5 and is $6:$7 now, says the sentinel on $(uname -n)."
else
    # <event> <what it is about>
    text="$1 ${2:-} (the sentinel on $(uname -n))"
fi

# curl's own words name the host, never the path.
jq -n --arg text "$text" '{text: $text}' |
    curl --silent --show-error --fail --max-time 10 --config "$webhook" \
        --header 'Content-Type: application/json' --data-binary @- >/dev/null || exit 1
