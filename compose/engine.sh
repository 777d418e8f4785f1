# Sourced: is there a Docker engine, and which compose? `compose` then is the command, `engine` fails in words.

engine() {
    has docker || fail "docker is missing: on Debian \`just deps\` installs it, else https://docs.docker.com/engine/install/"
    docker info >/dev/null 2>&1 ||
        fail "the Docker engine does not answer: is it running (systemctl start docker; \`just deps\` starts it), and may $(id -un) use it?"
    if docker compose version >/dev/null 2>&1; then
        compose=(docker compose)
    elif has docker-compose; then
        compose=(docker-compose)
    else
        fail "neither the compose plugin of docker nor docker-compose is here: apt-get install docker-compose, or: just deps"
    fi
}
