#!/bin/sh
# Installs Debian packages without letting them start services, now or at the next boot: the store starts servers of
# its own. What was installed before, and its services, stay as they are, whether this succeeds or fails.
# Run as root: sh xtask/install-packages.sh mariadb-server-core redis-server
set -eu
export DEBIAN_FRONTEND=noninteractive

# Packages of which there are files, those included whose installation failed half way.
installed() {
    dpkg-query --show --showformat='${db:Status-Abbrev}${binary:Package}\n' | sed -n 's/^.[^nc]. *//p'
}

# Packages enable their services for the next boot, and one whose policy was not ours may have started.
put_services_off() {
    command -v systemctl >/dev/null || return 0
    for package in $(installed | grep -Fxv -e "$before"); do
        for unit in $(dpkg --listfiles "$package" | sed -n 's#.*/systemd/system/\([^/@]*\.\(service\|socket\|timer\)\)$#\1#p'); do
            systemctl --quiet disable "$unit" || true
            if [ -d /run/systemd/system ]; then systemctl stop "$unit" || true; fi
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

before=$(installed)
trap finish EXIT
trap 'exit 130' INT TERM HUP
if [ ! -e "$policy" ]; then
    has_own_policy=yes
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

# Another apt may be at work, as at first boot.
lock='-o DPkg::Lock::Timeout=300'
apt-get $lock --quiet update
apt-get $lock --quiet --yes --no-install-recommends install "$@"
