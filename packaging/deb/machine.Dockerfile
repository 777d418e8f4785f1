# A machine to install the package on: Debian with systemd as process 1, and what the test uses. No service starts by itself.
FROM debian:bookworm-slim
RUN rm -f /etc/dpkg/dpkg.cfg.d/slim && apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        systemd systemd-sysv logrotate man-db bash-completion procps iproute2 redis-server redis-sentinel redis-tools \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /usr/sbin/policy-rc.d \
    && systemctl disable redis-server redis-sentinel \
    && systemctl mask systemd-resolved systemd-networkd systemd-logind getty.target console-getty systemd-udevd
CMD ["/lib/systemd/systemd"]
