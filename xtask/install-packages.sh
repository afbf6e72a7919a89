#!/bin/sh
# Installs Debian packages without letting them start services, now or at the next boot: the store starts servers of
# its own. Run as root: sh xtask/install-packages.sh mariadb-server-core redis-server
set -eu
export DEBIAN_FRONTEND=noninteractive

# Debian asks this program before it starts a service; 101 means no. One that is there already is the machine's own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

# Another apt may be at work, as at first boot.
lock='-o DPkg::Lock::Timeout=300'
apt-get $lock --quiet update
apt-get $lock --quiet --yes --no-install-recommends install "$@"

# Packages enable their services for the next boot, and one whose policy was not ours may have started.
if command -v systemctl >/dev/null; then
    for package in "$@"; do
        for unit in $(dpkg --listfiles "$package" | sed -n 's|.*/systemd/system/\([^/@]*\.service\)$|\1|p'); do
            systemctl --quiet disable "$unit"
            if [ -d /run/systemd/system ]; then systemctl stop "$unit"; fi
        done
    done
fi
