#!/bin/sh
# Installs Debian packages without letting them start services, now or at the next boot. What was installed before, what
# others install meanwhile, and the services of both stay as they are, whether this succeeds or fails.
# Run as root: sh xtask/install-packages.sh mariadb-server-core redis-server
# Options of apt-get may come first: with --no-remove it fails where it would have to remove a package.
set -eu
export DEBIAN_FRONTEND=noninteractive

# Another apt may be at work, as at first boot.
lock='-o DPkg::Lock::Timeout=300'
# A changed file in /etc stays as it is; dpkg would ask.
keep='-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold'

# Those of `$planned` of which there are files, those included whose installation failed half way.
installed() {
    dpkg-query --show --showformat='${db:Status-Abbrev}${binary:Package}\n' $planned 2>/dev/null | sed -n 's/^.[^nc]. *//p'
}

# Runs "$@" as a package's own script would: deb-systemd-helper refuses to work for anybody else.
as_package() {
    DPKG_MAINTSCRIPT_PACKAGE=install-packages "$@"
}

# Packages enable their services for the next boot, and one whose policy was not ours may have started. Without
# systemctl they enable them too, for a system that is booted from these files.
put_services_off() {
    if [ -z "$planned" ]; then return 0; fi
    for package in $(installed); do
        files=$(dpkg --listfiles "$package")
        for unit in $(printf "%s\n" "$files" | sed -n 's#.*/systemd/system/\([^/@]*\.\(service\|socket\|timer\)\)$#\1#p'); do
            if command -v systemctl >/dev/null; then
                systemctl --quiet disable "$unit" || true
                if [ -d /run/systemd/system ]; then systemctl stop "$unit" || true; fi
            elif command -v deb-systemd-helper >/dev/null; then
                as_package deb-systemd-helper --quiet disable "$unit" || true
            fi
        done
        for script in $(printf "%s\n" "$files" | sed -n 's#^/etc/init\.d/\([^/]*\)$#\1#p'); do
            if command -v update-rc.d >/dev/null; then update-rc.d "$script" disable || true; fi
        done
    done
}

# Debian asks this program before it starts a service; 101 means no. One that is there already is the machine's own.
policy=/usr/sbin/policy-rc.d
has_own_policy=
finish() {
    put_services_off
    if [ "$has_own_policy" ]; then rm -f "$policy"; fi
}

apt-get $lock --quiet update
# `check` waits for the other apt, so the plan below knows what that one has installed.
apt-get $lock --quiet --quiet check
# Packages that apt installs anew for us, from lines like `Inst NAME (VERSION …)`; upgrades are `Inst NAME [OLD] (…)`.
planned=$(apt-get --simulate --quiet --quiet --no-install-recommends install "$@" | sed -n 's/^Inst \([^ ]*\) (.*/\1/p')
trap finish EXIT
trap 'exit 130' INT TERM HUP
if [ ! -e "$policy" ]; then
    has_own_policy=yes
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
apt-get $lock $keep --quiet --yes --no-install-recommends install "$@" </dev/null
